"""Where state is kept: in memory, in a directory of JSON files, or in an SQL database.

``SqlStore`` needs the extra ``sql``: it is loaded when it is asked for, by name or by a URL.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from safeupdater.stores.holder import holder_identity, is_provably_dead
from safeupdater.stores.jsonfile import JsonFileStore
from safeupdater.stores.memory import MemoryStore
from safeupdater.stores.open import open_store
from safeupdater.stores.transfer import copy_state, export_state, import_state

if TYPE_CHECKING:
    from safeupdater.stores.sql import SqlStore as SqlStore

# Not "SqlStore": importing everything must not need the extra.
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


def __getattr__(name: str) -> object:
    if name != "SqlStore":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from safeupdater.stores.sql import SqlStore

    return SqlStore
