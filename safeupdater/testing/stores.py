"""What every state store promises, as tests that run on any of them.

Subclass it in a test module of yours, and pytest runs the whole contract on your store:

    class TestMyStore(StateStoreContract):
        def open(self, place, clock):
            return MyStore(place, clock)

``open`` is called again with the same place to open the same store a second time; a store that keeps
nothing beyond its object says ``durable = False``, one that allows a single open object ``shared = False``.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from safeupdater.codec import encode
from safeupdater.errors import StoreError, VersionConflict
from safeupdater.protocols import StateStore
from safeupdater.testing.clock import FakeClock
from safeupdater.testing.store_journal import JournalTests
from safeupdater.testing.store_leases import LeaseTests
from safeupdater.testing.store_pruning import PruningTests
from safeupdater.testing.store_races import RaceTests
from safeupdater.testing.store_records import RecordTests
from safeupdater.testing.store_samples import DONE, INTENDED, START, asset, planned, snapshot

__all__ = ["DONE", "INTENDED", "START", "StateStoreContract", "asset", "planned", "snapshot"]


class StateStoreContract(RecordTests, JournalTests, PruningTests, LeaseTests, RaceTests):
    """The contract of ``StateStore``. ``open`` is all that a subclass has to give."""

    def test_two_objects_on_one_place_see_one_state(
        self, store: StateStore, tmp_path: Path, clock: FakeClock
    ) -> None:
        if not (self.durable and self.shared):
            pytest.skip("one place, one object")
        other = self.open(tmp_path, clock)
        version = store.put("setting", "k", 1)
        assert other.put("setting", "k", 2, expected=version) > version
        with pytest.raises(VersionConflict):
            store.put("setting", "k", 3, expected=version)
        self.append(store, 0, planned())
        with pytest.raises(VersionConflict):
            self.append(other, 0, planned("op-2"), id="op-2")
        assert other.load("op-1") == store.load("op-1")
        lease = store.acquire("k", "one", 60)
        assert lease is not None
        assert other.acquire("k", "two", 60) is None
        assert other.lease_on("k") == store.lease_on("k") is not None
        other.close()

    def test_no_text_about_the_store_shows_a_secret(self, store: StateStore) -> None:
        secret = "s3cr3t-in-env"  # noqa: S105 - an example of one
        store.put("snapshot", "op-1", snapshot(env=[f"PASSWORD={secret}"]))
        found = store.get("snapshot", "op-1")
        assert found is not None
        assert secret in str(encode(found.value)), "the test itself must be able to see it"
        with pytest.raises(VersionConflict) as refused:
            store.put("snapshot", "op-1", snapshot(env=[secret]), expected=99)
        texts = [repr(store), str(store), repr(found), repr(refused.value), str(refused.value.evidence)]
        with contextlib.suppress(StoreError):  # a store in memory can hold this
            try:
                store.put("snapshot", "op-1", snapshot(env=[secret], bad=object()))
            except StoreError as refusal:
                texts += [repr(refusal), str(refusal.evidence)]
                raise
        assert not any(secret in text for text in texts)

    def test_closing_twice_is_fine(self, store: StateStore) -> None:
        store.close()
        store.close()
