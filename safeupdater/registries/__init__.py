"""Where newer versions are found: given tags (``static``) and OCI registries (``oci``)."""
