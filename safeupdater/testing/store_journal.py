"""The journal, as every state store promises to keep it."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from safeupdater.codec import EVENTS
from safeupdater.domain.operation import (
    AbortRequested,
    Event,
    Finished,
    JournalEntry,
    Outcome,
    Resolution,
    Resolved,
)
from safeupdater.errors import VersionConflict
from safeupdater.protocols import StateStore
from safeupdater.testing.clock import FakeClock
from safeupdater.testing.store_filled import EXACTLY, filled_events
from safeupdater.testing.store_samples import DONE, INTENDED, START, StoreTests, planned


class JournalTests(StoreTests):
    """The part of the contract about operations."""

    def test_events_come_back_in_order_with_their_versions(
        self, store: StateStore, tmp_path: Path, clock: FakeClock
    ) -> None:
        assert store.load("op-1") == ()
        assert self.append(store, 0, planned()) == 1
        assert self.append(store, 1, INTENDED, DONE) == 3
        entries = store.load("op-1")
        assert [entry.event for entry in entries] == [planned(), INTENDED, DONE]
        assert [entry.version for entry in entries] == [1, 2, 3]
        assert all(entry.operation_id == "op-1" and entry.at == START for entry in entries)
        assert all(entry.target_id == "memory://here/web" and entry.epoch == 0 for entry in entries)
        store = self.reopened(store, tmp_path, clock)
        assert store.load("op-1") == entries
        assert store.since(0) == entries
        assert self.append(store, 3, INTENDED) == 4
        store.close()

    def test_every_type_of_event_comes_back_whole_and_at_its_very_time(
        self, store: StateStore, tmp_path: Path, clock: FakeClock
    ) -> None:
        events = filled_events()
        assert {type(event) for event in events} == set(EVENTS.values())
        store.append("op-1", events, expected_version=0, at=EXACTLY)
        store = self.reopened(store, tmp_path, clock)
        entries = store.load("op-1")
        for entry, event in zip(entries, events, strict=True):
            assert entry.event == event, f"{type(event).__name__} came back otherwise than it was appended"
            assert entry.at == EXACTLY, f"an event at {EXACTLY} came back at {entry.at}"
        assert store.since(0) == entries
        store.close()

    def test_there_is_room_for_many_events(self, store: StateStore, tmp_path: Path, clock: FakeClock) -> None:
        many = [AbortRequested(by=str(number)) for number in range(300)]
        self.append(store, 0, planned(), *many)
        for number in range(301, 351):
            self.append(store, number, AbortRequested(by=str(number)))
        store = self.reopened(store, tmp_path, clock)
        kept = [entry.version for entry in store.load("op-1")]
        assert kept == list(range(1, 352)), f"of 351 events of one operation, {len(kept)} are there"
        store.close()

    @pytest.mark.parametrize("after", range(5))
    def test_a_journal_is_loaded_from_behind_a_version(self, store: StateStore, after: int) -> None:
        self.append(store, 0, planned(), INTENDED, DONE)
        assert store.load("op-1", after) == store.load("op-1")[after:]

    @pytest.mark.parametrize("expected", [1, 2, 4])
    def test_an_append_at_another_version_is_refused_whole(self, store: StateStore, expected: int) -> None:
        self.append(store, 0, planned(), INTENDED, DONE)
        with pytest.raises(VersionConflict):
            self.append(store, expected, AbortRequested(by="a"), AbortRequested(by="b"))
        assert len(store.load("op-1")) == 3
        assert len(store.since(0)) == 3

    @pytest.mark.parametrize(
        ("expected", "events"),
        [
            (0, ()),
            (0, (INTENDED,)),
            (1, (planned(),)),
            (0, (planned("op-2"),)),
            (0, (planned(), planned())),
            (0, (planned(), Finished(outcome=Outcome.ABORTED), INTENDED)),
            (-1, (INTENDED,)),
        ],
    )
    def test_a_malformed_append_is_an_error(
        self, store: StateStore, expected: int, events: tuple[Event, ...]
    ) -> None:
        with pytest.raises(ValueError, match=r"."):
            self.append(store, expected, *events)
        assert store.since(0) == ()

    def test_an_append_to_an_unknown_operation_is_refused(self, store: StateStore) -> None:
        with pytest.raises(VersionConflict):
            self.append(store, 1, INTENDED)

    def test_a_target_has_one_open_operation(self, store: StateStore) -> None:
        self.append(store, 0, planned())
        with pytest.raises(VersionConflict) as refused:
            self.append(store, 0, planned("op-2"), id="op-2")
        assert refused.value.code == "operation_open"
        self.append(store, 0, planned("op-3", "other"), id="op-3")
        assert [event.operation_id for event in store.unfinished()] == ["op-1", "op-3"]
        assert store.load("op-2") == ()

    @pytest.mark.parametrize(
        "outcome",
        [
            Outcome.SUCCEEDED,
            Outcome.ABORTED,
            Outcome.ROLLED_BACK,
            Outcome.SUPERSEDED,
            Outcome.TARGET_GONE,
        ],
    )
    def test_an_end_frees_the_target_and_nothing_follows_it(
        self, store: StateStore, outcome: Outcome
    ) -> None:
        self.append(store, 0, planned(), Finished(outcome=outcome))
        assert store.unfinished() == ()
        with pytest.raises(VersionConflict) as refused:
            self.append(store, 2, AbortRequested(by="late"))
        assert refused.value.code == "operation_finished"
        self.append(store, 0, planned("op-2"), id="op-2")
        assert [event.operation_id for event in store.unfinished()] == ["op-2"]

    @pytest.mark.parametrize("stop", [Outcome.HELD, Outcome.ROLLBACK_FAILED])
    def test_a_stop_keeps_the_target_until_somebody_decides(
        self, store: StateStore, stop: Outcome, tmp_path: Path, clock: FakeClock
    ) -> None:
        self.append(store, 0, planned(), Finished(outcome=stop))
        store = self.reopened(store, tmp_path, clock)
        assert [event.operation_id for event in store.unfinished()] == ["op-1"]
        with pytest.raises(VersionConflict):
            self.append(store, 0, planned("op-2"), id="op-2")
        self.append(store, 2, Resolved(resolution=Resolution.KEEP_NEW, by="ann"))
        self.append(store, 3, Finished(outcome=Outcome.SUCCEEDED))
        self.append(store, 0, planned("op-2"), id="op-2")
        store.close()

    def test_unfinished_operations_are_there_after_reopening_oldest_first(
        self, store: StateStore, tmp_path: Path, clock: FakeClock
    ) -> None:
        for number, target in enumerate("dacb"):
            self.append(store, 0, planned(f"op-{number}", target), id=f"op-{number}")
        self.append(store, 1, Finished(outcome=Outcome.ABORTED), id="op-1")
        store = self.reopened(store, tmp_path, clock)
        assert store.unfinished() == tuple(planned(f"op-{n}", t) for n, t in [(0, "d"), (2, "c"), (3, "b")])
        store.close()

    def test_a_reader_by_cursor_sees_everything_once_in_order(self, store: StateStore) -> None:
        for number in range(4):
            self.append(store, 0, planned(f"op-{number}", f"t{number}"), INTENDED, id=f"op-{number}")
        seen: list[JournalEntry] = []
        cursor = 0
        while page := store.since(cursor, 3):
            assert len(page) <= 3
            seen += page
            cursor = seen[-1].position
        assert [(entry.operation_id, entry.version) for entry in seen] == [
            (f"op-{number}", version) for number in range(4) for version in (1, 2)
        ]
        assert [entry.position for entry in seen] == sorted({entry.position for entry in seen})
        assert store.since(cursor) == ()

    def test_the_same_append_made_again_is_found_done(self, store: StateStore) -> None:
        lease = store.acquire("memory://here/web", "me", 60)
        assert lease is not None
        assert self.append(store, 0, planned(), INTENDED, lease=lease) == 2
        assert self.append(store, 0, planned(), INTENDED, lease=lease) == 2
        done = Finished(outcome=Outcome.ABORTED)
        assert self.append(store, 2, done, lease=lease) == 3
        assert self.append(store, 2, done, lease=lease) == 3
        assert len(store.since(0)) == 3
        with pytest.raises(VersionConflict):
            self.append(store, 1, DONE, lease=lease)

    def test_the_same_append_by_another_holder_is_a_conflict(self, store: StateStore) -> None:
        first = store.acquire("memory://here/web", "one", 60)
        assert first is not None
        self.append(store, 0, planned(), lease=first)
        self.append(store, 1, INTENDED, lease=first)
        store.release(first)
        second = store.acquire("memory://here/web", "two", 60)
        assert second is not None
        with pytest.raises(VersionConflict):
            self.append(store, 1, INTENDED, lease=second)
        with pytest.raises(VersionConflict):
            store.append("op-1", [INTENDED], expected_version=1, at=START + timedelta(seconds=1))

    def test_without_a_lease_an_equal_event_at_another_time_is_somebody_elses(
        self, store: StateStore
    ) -> None:
        self.append(store, 0, planned(), AbortRequested(by="ann"))
        assert self.append(store, 1, AbortRequested(by="ann")) == 2
        later = START + timedelta(seconds=1)
        with pytest.raises(VersionConflict):
            store.append("op-1", [AbortRequested(by="ann")], expected_version=1, at=later)
