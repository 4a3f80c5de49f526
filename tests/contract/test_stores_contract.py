"""The contract of state stores, run on every store that needs no server."""

from __future__ import annotations

from pathlib import Path

from safeupdater.protocols import Clock, StateStore
from safeupdater.stores.jsonfile import JsonFileStore
from safeupdater.stores.memory import MemoryStore
from safeupdater.stores.sql import SqlStore
from safeupdater.testing.stores import StateStoreContract


class TestMemoryStore(StateStoreContract):
    durable = False

    def open(self, place: Path, clock: Clock) -> StateStore:
        return MemoryStore(clock)


class TestJsonFileStore(StateStoreContract):
    shared = False

    def open(self, place: Path, clock: Clock) -> StateStore:
        return JsonFileStore(place / "state", clock)


class TestSqliteStore(StateStoreContract):
    def open(self, place: Path, clock: Clock) -> StateStore:
        return SqlStore(f"sqlite:///{place}/state.db", clock)
