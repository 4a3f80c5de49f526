"""Pruning, as every state store promises it: what goes, what stays, and what never comes back."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import pytest

from safeupdater.domain.operation import Event, Finished, Outcome
from safeupdater.errors import VersionConflict
from safeupdater.protocols import StateStore
from safeupdater.testing.clock import FakeClock
from safeupdater.testing.store_samples import INTENDED, START, StoreTests, planned

DAY = timedelta(days=1)


class PruningTests(StoreTests):
    """The part of the contract about ``prune``."""

    def ended(
        self, store: StateStore, id: str, target: str = "web", *, at: datetime = START,
        outcome: Outcome = Outcome.SUCCEEDED,
    ) -> None:  # fmt: skip
        """An operation with that outcome, of which every event is from that time."""
        events: list[Event] = [planned(id, target), INTENDED, Finished(outcome=outcome)]
        store.append(id, events, expected_version=0, at=at)

    def kept(self, store: StateStore) -> list[str]:
        """The operations whose journals are there, by cursor."""
        return list(dict.fromkeys(entry.operation_id for entry in store.since(0)))

    def test_what_ended_before_a_time_is_forgotten_whole(
        self, store: StateStore, tmp_path: Path, clock: FakeClock
    ) -> None:
        for day in range(4):
            self.ended(store, f"op-{day}", f"t{day}", at=START + day * DAY)
        left = (*store.load("op-2"), *store.load("op-3"))
        assert store.prune(START + 2 * DAY, keep_per_target=0) == 2
        for _ in range(2):
            assert store.load("op-0") == store.load("op-1") == ()
            assert store.since(0) == left, "what is left keeps its positions"
            store = self.reopened(store, tmp_path, clock)
        store.close()

    @pytest.mark.parametrize("microseconds", [0, 1, 999_999])
    def test_the_time_is_compared_exactly(self, store: StateStore, microseconds: int) -> None:
        at = START + timedelta(microseconds=microseconds)
        self.ended(store, "op-1", at=at)
        assert store.prune(at, keep_per_target=0) == 0
        assert store.prune(at + timedelta(microseconds=1), keep_per_target=0) == 1

    def test_the_newest_of_each_target_stay_however_old_they_are(self, store: StateStore) -> None:
        for number in range(5):
            self.ended(store, f"web-{number}", at=START + number * DAY)
        self.ended(store, "db-0", "db")
        assert store.prune(START + 99 * DAY, keep_per_target=2) == 3
        assert self.kept(store) == ["web-3", "web-4", "db-0"]
        assert store.prune(START + 99 * DAY, keep_per_target=2) == 0

    @pytest.mark.parametrize("outcome", [Outcome.HELD, Outcome.ROLLBACK_FAILED])
    def test_what_has_not_ended_stays(
        self, store: StateStore, tmp_path: Path, clock: FakeClock, outcome: Outcome
    ) -> None:
        self.ended(store, "op-1", outcome=outcome)
        self.append(store, 0, planned("op-2", "db"), id="op-2")
        assert store.prune(START + 99 * DAY, keep_per_target=0) == 0
        store = self.reopened(store, tmp_path, clock)
        assert [event.operation_id for event in store.unfinished()] == ["op-1", "op-2"]
        assert self.append(store, 1, INTENDED, id="op-2") == 2
        store.close()

    def test_what_is_named_stays(self, store: StateStore) -> None:
        for number in range(3):
            self.ended(store, f"op-{number}")
        assert store.prune(START + DAY, keep_per_target=0, keep={"op-1", "nothing"}) == 2
        assert self.kept(store) == ["op-1"]

    def test_no_position_is_given_twice(self, store: StateStore, tmp_path: Path, clock: FakeClock) -> None:
        for number in range(2):
            self.ended(store, f"op-{number}")
        last = store.since(0)[-1].position
        assert store.prune(START + DAY, keep_per_target=0) == 2
        assert store.since(0) == ()
        for number in range(2, 4):
            store = self.reopened(store, tmp_path, clock)
            self.ended(store, f"op-{number}")
            assert store.since(last)[0].position > last
            assert self.kept(store)[-1] == f"op-{number}"
        store.close()

    def test_a_reader_by_cursor_goes_on_behind_what_is_gone(self, store: StateStore) -> None:
        for number in range(3):
            self.ended(store, f"op-{number}", f"t{number}", at=START + number * DAY)
        entries = store.since(0)
        store.prune(START + DAY, keep_per_target=0)
        for entry in entries:
            assert store.since(entry.position) == tuple(
                later for later in entries[3:] if later.position > entry.position
            )
        assert store.since(0, 2) == entries[3:5]

    def test_a_target_is_free_after_its_past_is_gone(self, store: StateStore) -> None:
        self.ended(store, "op-1")
        store.prune(START + DAY, keep_per_target=0)
        with pytest.raises(VersionConflict):
            self.append(store, 3, INTENDED)
        self.append(store, 0, planned("op-2"), id="op-2")
        assert [event.operation_id for event in store.unfinished()] == ["op-2"]

    def test_many_are_forgotten_at_once(self, store: StateStore) -> None:
        for number in range(450):
            self.ended(store, f"op-{number:03}")
        assert store.prune(START + DAY, keep_per_target=10) == 440
        assert self.kept(store) == [f"op-{number:03}" for number in range(440, 450)]

    @pytest.mark.parametrize(("before", "keep"), [(datetime(2026, 1, 1), 0), (START, -1)])  # noqa: DTZ001
    def test_a_senseless_pruning_is_an_error(self, store: StateStore, before: datetime, keep: int) -> None:
        with pytest.raises(ValueError, match="pruning"):
            store.prune(before, keep_per_target=keep)
