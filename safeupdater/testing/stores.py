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
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import attrs
import pytest

from safeupdater.codec import encode
from safeupdater.domain.artifact import ImageReference
from safeupdater.domain.asset import Asset, AssetStatus, AssetType
from safeupdater.domain.change import Change, VersionChangeType
from safeupdater.domain.decision import Decision, Verdict
from safeupdater.domain.operation import (
    AbortRequested,
    Event,
    Finished,
    FirstSeen,
    JournalEntry,
    OperationPlanned,
    OperationSettings,
    Outcome,
    Phase,
    Resolution,
    Resolved,
    Snapshot,
    StepDone,
    StepIntended,
    Steps,
)
from safeupdater.domain.plan import PlannedUpdate
from safeupdater.errors import LeaseLost, StoreError, VersionConflict
from safeupdater.protocols import Clock, Lease, StateStore
from safeupdater.testing.clock import FakeClock

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def asset(name: str = "web", version: str = "1.2.3") -> Asset:
    """An asset in the in-memory world."""
    return Asset(
        id=f"memory://here/{name}",
        name=name,
        asset_type=AssetType.CONTAINER,
        image=ImageReference.parse(f"registry.example/{name}:{version}"),
        status=AssetStatus.HEALTHY,
        labels={"tier": "web"},
        metadata={"ports": [80, 443], "nested": {"a": None}},
        last_scan=START,
    )


def planned(operation_id: str = "op-1", target: str = "web") -> OperationPlanned:
    """The first event of an operation on a target in the in-memory world."""
    current = ImageReference.parse(f"registry.example/{target}:1.2.3")
    change = Change(
        asset_id=f"memory://here/{target}",
        current=current,
        new=current.with_tag("1.2.4"),
        change_type=VersionChangeType.PATCH,
    )
    return OperationPlanned(
        operation_id=operation_id,
        target_id=f"memory://here/{target}",
        planned=PlannedUpdate(
            target_id=f"memory://here/{target}",
            changes=(change,),
            decision=Decision(verdict=Verdict.APPROVE, change_type=VersionChangeType.PATCH),
            policy_hash="0" * 64,
        ),
        settings=OperationSettings(),
        steps=Steps(staging=("pull",), switching=("swap",)),
    )


def snapshot(operation_id: str = "op-1", **data: Any) -> Snapshot:
    """A snapshot with that content."""
    return Snapshot(
        operation_id=operation_id,
        target_id="memory://here/web",
        format="memory/1",
        taken_at=START,
        data=data or {"env": ["A=1"]},
    )


INTENDED = StepIntended(phase=Phase.STAGING, step="pull")
DONE = StepDone(phase=Phase.STAGING, step="pull")


class StateStoreContract:
    """The contract of ``StateStore``. ``open`` is all that a subclass has to give."""

    durable = True
    """Whether what was written is there when the store is opened again."""
    shared = True
    """Whether two objects may have the same place open at once."""
    own_clock = True
    """Whether leases run out by the clock that ``open`` was given, rather than by a server's."""

    def open(self, place: Path, clock: Clock) -> StateStore:
        """Opens the store at a place: an empty directory that is this test's own."""
        raise NotImplementedError

    @pytest.fixture
    def clock(self) -> FakeClock:
        """The clock of the store under test."""
        return FakeClock()

    @pytest.fixture
    def store(self, tmp_path: Path, clock: FakeClock) -> Iterator[StateStore]:
        """The store under test, empty."""
        store = self.open(tmp_path, clock)
        yield store
        store.close()

    def reopened(self, store: StateStore, place: Path, clock: Clock) -> StateStore:
        """The store after it was closed and opened again; the same object where nothing is durable."""
        if not self.durable:
            return store
        store.close()
        return self.open(place, clock)

    # records

    def test_what_was_put_is_got(self, store: StateStore) -> None:
        assert store.get("asset", "a") is None
        version = store.put("asset", "a", asset())
        found = store.get("asset", "a")
        assert found is not None
        assert (found.value, found.version) == (asset(), version)
        assert store.get("asset", "b") is None
        assert store.get("approval", "a") is None

    def test_each_write_gives_a_higher_version(self, store: StateStore) -> None:
        versions = [store.put("setting", "k", number) for number in range(5)]
        assert versions == sorted(set(versions))
        assert versions[0] > 0
        found = store.get("setting", "k")
        assert found is not None
        assert (found.value, found.version) == (4, versions[-1])

    def test_compare_and_set_refuses_another_version_and_changes_nothing(self, store: StateStore) -> None:
        first = store.put("setting", "k", "one", expected=0)
        for wrong in (0, first + 1, 99):
            with pytest.raises(VersionConflict):
                store.put("setting", "k", "two", expected=wrong)
            with pytest.raises(VersionConflict):
                store.delete("setting", "k", expected=wrong)
        found = store.get("setting", "k")
        assert found is not None
        assert found.value == "one"
        assert store.put("setting", "k", "two", expected=first) > first

    def test_compare_and_set_on_nothing_expects_zero(self, store: StateStore) -> None:
        with pytest.raises(VersionConflict):
            store.put("setting", "k", "one", expected=1)
        with pytest.raises(VersionConflict):
            store.delete("setting", "k", expected=1)
        store.delete("setting", "k")
        store.delete("setting", "k", expected=0)
        assert store.get("setting", "k") is None

    def test_a_record_that_was_removed_and_made_anew_has_another_version(
        self, store: StateStore, tmp_path: Path, clock: FakeClock
    ) -> None:
        old = store.put("setting", "k", "one")
        store.delete("setting", "k", expected=old)
        assert store.get("setting", "k") is None
        store = self.reopened(store, tmp_path, clock)
        assert store.put("setting", "k", "two", expected=0) > old
        with pytest.raises(VersionConflict):
            store.put("setting", "k", "from the past", expected=old)
        store.close()

    def test_iteration_is_in_key_order_and_keeps_to_the_prefix(self, store: StateStore) -> None:
        keys = ["b", "a/2", "a/10", "a", "B", "a\U0010ffff", "a/é", "a%", "a_", "ab"]
        for key in keys:
            store.put("setting", key, key)
        store.put("first_seen", "a/2", FirstSeen(reference="a", at=START))
        assert [key for key, _ in store.iterate("setting")] == sorted(keys)
        for prefix in ("a", "a/", "a%", "a_", "c", "a\U0010ffff"):
            found = {key: stored.value for key, stored in store.iterate("setting", prefix)}
            assert list(found) == sorted(key for key in keys if key.startswith(prefix))
            assert all(key == value for key, value in found.items())
        assert list(store.iterate("plan")) == []

    def test_iteration_may_write_meanwhile(self, store: StateStore) -> None:
        for number in range(5):
            store.put("setting", str(number), number)
        for key, stored in store.iterate("setting"):
            store.put("setting", key, stored.value, expected=stored.version)
            store.put("setting", key + "x", 0)
        assert len(list(store.iterate("setting"))) == 10

    def test_a_setting_is_not_changed_by_who_reads_it(self, store: StateStore) -> None:
        given: dict[str, Any] = {"list": [1]}
        store.put("setting", "k", given)
        given["list"].append(2)
        found = store.get("setting", "k")
        assert found is not None
        assert found.value == {"list": [1]}
        assert isinstance(found.value, dict)
        found.value["list"].append(3)
        again = store.get("setting", "k")
        assert again is not None
        assert again.value == {"list": [1]}

    @pytest.mark.parametrize(
        ("kind", "key", "value"),
        [
            ("nonsense", "k", 1),
            ("asset", "k", FirstSeen(reference="a", at=START)),
            ("setting", "k", float("nan")),
            ("setting", "k", {"a": object()}),
            ("setting", "k", {1: 2}),
            ("setting", "", 1),
            ("setting", "a\0b", 1),
            ("setting", "\ud800", 1),
            ("setting", "k" * 2000, 1),
        ],
    )
    def test_what_cannot_be_stored_is_refused(
        self, store: StateStore, kind: str, key: str, value: object
    ) -> None:
        with pytest.raises(StoreError):
            store.put(kind, key, value)
        assert list(store.iterate("setting")) == []

    def test_every_kind_of_record_is_there_after_reopening(
        self, store: StateStore, tmp_path: Path, clock: FakeClock
    ) -> None:
        values: dict[str, object] = {
            "asset": asset(),
            "snapshot": snapshot(password="hunter2"),  # noqa: S106 - an example of a secret
            "first_seen": FirstSeen(reference="a", at=START),
            "setting": {"a": [1, 2.5, None, True, "é\n\0"]},
        }
        versions = {kind: store.put(kind, "k", value) for kind, value in values.items()}
        store = self.reopened(store, tmp_path, clock)
        for kind, value in values.items():
            found = store.get(kind, "k")
            assert found is not None
            assert (found.value, found.version) == (value, versions[kind])
            assert [key for key, _ in store.iterate(kind)] == ["k"]
        store.close()

    # journal

    def append(
        self, store: StateStore, expected: int, *events: Event, lease: Lease | None = None, id: str = "op-1"
    ) -> int:
        """Appends at the start of time."""
        return store.append(id, events, expected_version=expected, at=START, lease=lease)

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

    # leases

    def test_a_lease_has_one_holder_and_each_holder_a_higher_epoch(
        self, store: StateStore, tmp_path: Path, clock: FakeClock
    ) -> None:
        one = store.acquire("k", "one", 60)
        assert one is not None
        assert one == Lease(key="k", holder="one", epoch=1, ttl_s=60)
        assert store.acquire("k", "two", 60) is None
        other = store.acquire("other", "two", 60)
        assert other is not None
        store.release(one)
        two = store.acquire("k", "two", 60)
        assert two is not None
        assert two.epoch > one.epoch
        store.release(two)
        store = self.reopened(store, tmp_path, clock)
        three = store.acquire("k", "one", 60)
        assert three is not None
        assert three.epoch > two.epoch
        store.close()

    def test_a_holder_that_takes_its_own_lease_again_fences_its_past(self, store: StateStore) -> None:
        past = store.acquire("k", "one", 60)
        assert past is not None
        present = store.acquire("k", "one", 60)
        assert present is not None
        assert present.epoch > past.epoch
        with pytest.raises(LeaseLost):
            store.renew(past, 60)
        assert store.renew(present, 60) == present

    def test_a_lease_runs_out_unless_it_is_renewed(self, store: StateStore, clock: FakeClock) -> None:
        if not self.own_clock:
            pytest.skip("does not apply: its leases run on a server's clock")
        lease = store.acquire("k", "one", 60)
        assert lease is not None
        clock.advance(59)
        assert store.acquire("k", "two", 60) is None
        lease = store.renew(lease, 60)
        clock.advance(59)
        assert store.acquire("k", "two", 60) is None
        clock.advance(2)
        taken = store.acquire("k", "two", 60)
        assert taken is not None
        assert taken.epoch > lease.epoch
        with pytest.raises(LeaseLost):
            store.renew(lease, 60)

    def test_a_lease_that_ran_out_can_be_renewed_while_nobody_took_it(
        self, store: StateStore, clock: FakeClock
    ) -> None:
        lease = store.acquire("k", "one", 10)
        assert lease is not None
        clock.advance(100)
        assert store.renew(lease, 20) == attrs.evolve(lease, ttl_s=20)

    def test_a_lease_given_back_is_no_longer_ours(self, store: StateStore) -> None:
        lease = store.acquire("k", "one", 60)
        assert lease is not None
        store.release(lease)
        store.release(lease)
        with pytest.raises(LeaseLost):
            store.renew(lease, 60)
        with pytest.raises(LeaseLost):
            self.append(store, 0, planned(), lease=lease)
        taken = store.acquire("k", "two", 60)
        store.release(lease)
        assert taken is not None
        assert store.renew(taken, 60) == taken

    def test_an_append_with_a_lost_lease_is_refused(self, store: StateStore) -> None:
        key = "memory://here/web"
        old = store.acquire(key, "one", 60)
        assert old is not None
        self.append(store, 0, planned(), lease=old)
        store.release(old)
        new = store.acquire(key, "two", 60)
        with pytest.raises(LeaseLost):
            self.append(store, 1, INTENDED, lease=old)
        assert self.append(store, 1, INTENDED, lease=new) == 2
        assert [entry.epoch for entry in store.load("op-1")] == [old.epoch, old.epoch + 1]

    @pytest.mark.parametrize("years", [10, -10])
    def test_a_clock_that_jumps_never_lets_two_holders_act(
        self, store: StateStore, clock: FakeClock, years: int
    ) -> None:
        key = "memory://here/web"
        first = store.acquire(key, "one", 60)
        assert first is not None
        self.append(store, 0, planned(), lease=first)
        clock.jump(timedelta(days=365 * years))
        second = store.acquire(key, "two", 60)
        acting = [lease for lease in (first, second) if lease and self._may_act(store, lease)]
        assert len(acting) == 1
        assert acting[0] is (second or first)

    def _may_act(self, store: StateStore, lease: Lease) -> bool:
        try:
            self.append(store, len(store.load("op-1")), AbortRequested(by=lease.holder), lease=lease)
        except LeaseLost:
            return False
        return True

    def test_a_clock_that_went_back_does_not_keep_a_lease_for_years(
        self, store: StateStore, clock: FakeClock
    ) -> None:
        if not self.own_clock:
            pytest.skip("does not apply: its leases run on a server's clock")
        assert store.acquire("k", "one", 60) is not None
        clock.jump(timedelta(days=-3650))
        assert store.acquire("k", "two", 60) is None
        clock.advance(30)
        assert store.acquire("k", "two", 60) is None
        clock.advance(31)
        assert store.acquire("k", "two", 60) is not None

    @pytest.mark.parametrize("ttl_s", [0, -1, float("nan"), float("inf")])
    def test_a_senseless_time_to_live_is_an_error(self, store: StateStore, ttl_s: float) -> None:
        with pytest.raises(ValueError, match="lease"):
            store.acquire("k", "one", ttl_s)

    # many at once

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
        other.close()

    def test_threads_lose_no_write(self, store: StateStore) -> None:
        from concurrent.futures import ThreadPoolExecutor

        store.put("setting", "counter", 0)

        def count(_: int) -> None:
            while True:
                found = store.get("setting", "counter")
                assert found is not None
                assert isinstance(found.value, int)
                try:
                    store.put("setting", "counter", found.value + 1, expected=found.version)
                except VersionConflict:
                    continue
                return

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(count, range(40)))
        found = store.get("setting", "counter")
        assert found is not None
        assert found.value == 40

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
