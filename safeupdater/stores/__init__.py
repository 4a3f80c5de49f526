"""Where state is kept: in memory, in a directory of JSON files, or in an SQL database."""

from __future__ import annotations

from safeupdater.stores.holder import holder_identity, is_provably_dead
from safeupdater.stores.jsonfile import JsonFileStore
from safeupdater.stores.memory import MemoryStore

__all__ = ["JsonFileStore", "MemoryStore", "holder_identity", "is_provably_dead"]
