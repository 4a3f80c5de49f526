"""The contract of state stores, run on every store that needs no server."""

from __future__ import annotations

from pathlib import Path

import pytest

from safeupdater.errors import StoreError
from safeupdater.protocols import Clock, StateStore
from safeupdater.stores.jsonfile import JsonFileStore
from safeupdater.stores.memory import MemoryStore
from safeupdater.stores.sql import SqlStore
from safeupdater.testing.clock import FakeClock
from safeupdater.testing.stores import StateStoreContract, asset, snapshot


class PutsMany(StateStoreContract):
    """What our own stores promise beyond the contract."""

    def test_many_records_are_written_at_once_all_or_none(
        self, store: StateStore, tmp_path: Path, clock: FakeClock
    ) -> None:
        assert isinstance(store, MemoryStore | JsonFileStore | SqlStore)
        old = store.put("asset", "a", asset("a", "1.0.0"))
        values = {name: asset(name, "2.0.0") for name in ("a", "b", "c")}
        with pytest.raises(StoreError):
            store.put_many("asset", {**values, "": asset()})
        assert [key for key, _ in store.iterate("asset")] == ["a"]
        store.put_many("asset", values)
        store.put_many("asset", {})
        store.put_many("snapshot", {"op-1": snapshot()})
        again = self.reopened(store, tmp_path, clock)
        assert {key: stored.value for key, stored in again.iterate("asset")} == values
        assert [stored.version for _, stored in again.iterate("asset")] == [old + 1, 1, 1]
        found = again.get("snapshot", "op-1")
        assert found is not None
        assert found.value == snapshot()
        again.close()


class TestMemoryStore(PutsMany):
    durable = False

    def open(self, place: Path, clock: Clock) -> StateStore:
        return MemoryStore(clock)


class TestJsonFileStore(PutsMany):
    shared = False

    def open(self, place: Path, clock: Clock) -> StateStore:
        return JsonFileStore(place / "state", clock)


class TestSqliteStore(PutsMany):
    def open(self, place: Path, clock: Clock) -> StateStore:
        return SqlStore(f"sqlite:///{place}/state.db", clock)
