"""Values: what is known, decided and recorded. Nothing here performs anything."""
