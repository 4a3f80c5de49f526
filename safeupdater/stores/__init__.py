"""Where state is kept: in memory, in a directory of JSON files, or in an SQL database.

``SqlStore`` needs the extra ``sql`` and is imported from ``safeupdater.stores.sql``; ``open_store`` does it
where a URL asks for it.
"""

from __future__ import annotations

from safeupdater.stores.holder import holder_identity, is_provably_dead
from safeupdater.stores.jsonfile import JsonFileStore
from safeupdater.stores.memory import MemoryStore
from safeupdater.stores.open import open_store
from safeupdater.stores.transfer import copy_state, export_state, import_state

__all__ = [
    "JsonFileStore",
    "MemoryStore",
    "copy_state",
    "export_state",
    "holder_identity",
    "import_state",
    "is_provably_dead",
    "open_store",
]
