"""The store contract notices what a store must not do, and says what is wrong.

Each store here is the one in memory, wrong in one way that somebody's store could be.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path

import attrs
import pytest

from safeupdater.domain.operation import Event, Finished, OperationPlanned, VerdictReached
from safeupdater.errors import LeaseLost, StoreError, VersionConflict
from safeupdater.protocols import Clock, JournalEntry, Lease, StateStore, Stored
from safeupdater.stores.memory import MemoryStore
from safeupdater.testing.stores import StateStoreContract
from tests.support.noticing import complaints

A_MOMENT_S = 0.002


class FewKinds(MemoryStore):
    def put(self, kind: str, key: str, value: object, *, expected: int | None = None) -> int:
        if kind in ("approval", "quarantine", "plan", "rollback", "breaker"):
            raise StoreError(f"no table for a {kind}")
        return super().put(kind, key, value, expected=expected)


class LosesMessages(MemoryStore):
    def load(self, operation_id: str, after: int = 0) -> tuple[JournalEntry, ...]:
        return tuple(
            attrs.evolve(entry, event=attrs.evolve(entry.event, message=""))
            if isinstance(entry.event, VerdictReached)
            else entry
            for entry in super().load(operation_id, after)
        )


class WholeSeconds(MemoryStore):
    def load(self, operation_id: str, after: int = 0) -> tuple[JournalEntry, ...]:
        return tuple(
            attrs.evolve(entry, at=entry.at.replace(microsecond=0))
            for entry in super().load(operation_id, after)
        )


class LiveIteration(MemoryStore):
    def iterate(self, kind: str, prefix: str = "") -> Iterator[tuple[str, Stored[object]]]:
        for key in [key for key, _ in super().iterate(kind, prefix)]:
            found = self.get(kind, key)
            if found is not None:
                yield key, found


class LateIteration(MemoryStore):
    def iterate(self, kind: str, prefix: str = "") -> Iterator[tuple[str, Stored[object]]]:
        yield from super().iterate(kind, prefix)


class SmallRecords(MemoryStore):
    def put(self, kind: str, key: str, value: object, *, expected: int | None = None) -> int:
        if len(str(getattr(value, "data", value))) > 65_536:
            raise StoreError("the column takes 64 kB")
        return super().put(kind, key, value, expected=expected)


class AppendingStore(MemoryStore):
    """One whose appends are to be broken."""

    def append(
        self,
        operation_id: str,
        events: Sequence[Event],
        *,
        expected_version: int,
        at: datetime,
        lease: Lease | None = None,
    ) -> int:
        self.before_append(operation_id, events, expected_version)
        return super().append(
            operation_id, events, expected_version=expected_version, at=at, lease=self.lease_for(lease)
        )

    def before_append(self, operation_id: str, events: Sequence[Event], expected_version: int) -> None:
        """What is wrong with an append."""

    def lease_for(self, lease: Lease | None) -> Lease | None:
        return lease


class ShortAppends(AppendingStore):
    def before_append(self, operation_id: str, events: Sequence[Event], expected_version: int) -> None:
        if len(events) > 64:
            raise StoreError("64 events at a time")


class ShortJournals(AppendingStore):
    def before_append(self, operation_id: str, events: Sequence[Event], expected_version: int) -> None:
        if expected_version + len(events) > 64:
            raise StoreError("64 events to an operation")


class UnfencedAppends(AppendingStore):
    def lease_for(self, lease: Lease | None) -> Lease | None:
        return None


class NoSecondAsking(AppendingStore):
    def before_append(self, operation_id: str, events: Sequence[Event], expected_version: int) -> None:
        if events and 0 < len(self.load(operation_id)) != expected_version:
            raise VersionConflict("somebody was faster")


class RacingLeases(MemoryStore):
    """It looks who has the lease, and then takes it."""

    def acquire(self, key: str, holder: str, ttl_s: float) -> Lease | None:
        row = self._book.plan_acquire(key, holder, ttl_s, self._clock.now())
        time.sleep(A_MOMENT_S)
        if row is None:
            return None
        self._book.apply_lease(row)
        return row.as_lease()


class RacingAppends(MemoryStore):
    """It looks at which version the journal is, and then writes, whatever came in between."""

    def append(
        self,
        operation_id: str,
        events: Sequence[Event],
        *,
        expected_version: int,
        at: datetime,
        lease: Lease | None = None,
    ) -> int:
        is_next = len(self.load(operation_id)) == expected_version
        time.sleep(A_MOMENT_S)
        if is_next and expected_version:
            expected_version = len(self.load(operation_id))
        return super().append(operation_id, events, expected_version=expected_version, at=at, lease=lease)


class RacingOpenings(MemoryStore):
    """It looks whether the target is free, and then opens, whatever came in between."""

    def append(
        self,
        operation_id: str,
        events: Sequence[Event],
        *,
        expected_version: int,
        at: datetime,
        lease: Lease | None = None,
    ) -> int:
        first = events[0] if events else None
        if isinstance(first, OperationPlanned) and first.target_id not in self._book._open:
            time.sleep(A_MOMENT_S)
            self._book._open.pop(first.target_id, None)
        return super().append(operation_id, events, expected_version=expected_version, at=at, lease=lease)


class OwnOrder(MemoryStore):
    def since(self, cursor: int, limit: int = 1000) -> tuple[JournalEntry, ...]:
        found = super().since(cursor, 10**6)
        return tuple(sorted(found, key=lambda entry: (entry.operation_id, entry.version)))[:limit]


class NoLimit(MemoryStore):
    def since(self, cursor: int, limit: int = 1000) -> tuple[JournalEntry, ...]:
        return super().since(cursor, 10**6)


class Unsorted(MemoryStore):
    def iterate(self, kind: str, prefix: str = "") -> Iterator[tuple[str, Stored[object]]]:
        return iter(list(super().iterate(kind, prefix))[::-1])


class OverwritingPuts(MemoryStore):
    def put(self, kind: str, key: str, value: object, *, expected: int | None = None) -> int:
        return super().put(kind, key, value)


class OverwritingDeletes(MemoryStore):
    def delete(self, kind: str, key: str, *, expected: int | None = None) -> None:
        super().delete(kind, key)


class PartialBatches(MemoryStore):
    def put_many(
        self, kind: str, values: Mapping[str, object], *, expected: Mapping[str, int] | None = None
    ) -> None:
        for key, value in values.items():
            self.put(kind, key, value, expected=(expected or {}).get(key))


class AnybodyReleases(MemoryStore):
    def release(self, lease: Lease) -> None:
        row = self._book._leases.get(lease.key)
        if row is not None:
            self._book.apply_lease(attrs.evolve(row, holder=None))


class AnybodyRenews(MemoryStore):
    def renew(self, lease: Lease, ttl_s: float) -> Lease:
        try:
            return super().renew(lease, ttl_s)
        except LeaseLost:
            return lease


class OneEpoch(MemoryStore):
    def acquire(self, key: str, holder: str, ttl_s: float) -> Lease | None:
        lease = super().acquire(key, holder, ttl_s)
        if lease is None:
            return None
        self._book.apply_lease(attrs.evolve(self._book._leases[key], epoch=1))
        return attrs.evolve(lease, epoch=1)


class PrunesAll(MemoryStore):
    def prune(self, before: datetime, *, keep_per_target: int, keep: Collection[str] = ()) -> int:
        return super().prune(before, keep_per_target=keep_per_target)


class NewestFirst(MemoryStore):
    def unfinished(self) -> tuple[OperationPlanned, ...]:
        return super().unfinished()[::-1]


class HeldIsOver(MemoryStore):
    def unfinished(self) -> tuple[OperationPlanned, ...]:
        return tuple(
            opened
            for opened in super().unfinished()
            if not isinstance(self.load(opened.operation_id)[-1].event, Finished)
        )


SAID: dict[type[MemoryStore], str] = {
    FewKinds: "no table for a approval",
    LosesMessages: "VerdictReached came back otherwise than it was appended",
    WholeSeconds: "an event at 2026-03-01 12:00:00.123456+00:00 came back at 2026-03-01 12:00:00+00:00",
    LiveIteration: "what was written after the call is in it",
    LateIteration: "what was written after the call is in it",
    SmallRecords: "the column takes 64 kB",
    ShortAppends: "64 events at a time",
    ShortJournals: "64 events to an operation",
    RacingLeases: "4 threads wanted one lease, and these got it",
    RacingAppends: "one append at version 1 was granted, the journal has versions [1, 2, 3",
    RacingOpenings: "4 threads opened operations on one target",
}
NOTICED_ANYWAY: list[type[MemoryStore]] = [
    UnfencedAppends,
    NoSecondAsking,
    OwnOrder,
    NoLimit,
    Unsorted,
    OverwritingPuts,
    OverwritingDeletes,
    PartialBatches,
    AnybodyReleases,
    AnybodyRenews,
    OneEpoch,
    PrunesAll,
    NewestFirst,
    HeldIsOver,
]


def complaints_about(broken: type[MemoryStore]) -> dict[str, str]:
    class Contract(StateStoreContract):
        durable = False

        def open(self, place: Path, clock: Clock) -> StateStore:
            return broken(clock)

    return complaints(Contract)


def test_nothing_is_said_of_a_good_store() -> None:
    assert complaints_about(MemoryStore) == {}


@pytest.mark.parametrize("broken", SAID, ids=lambda broken: broken.__name__)
def test_the_contract_says_what_is_wrong(broken: type[MemoryStore]) -> None:
    said = complaints_about(broken)
    assert any(SAID[broken] in text for text in said.values()), said


@pytest.mark.parametrize("broken", NOTICED_ANYWAY, ids=lambda broken: broken.__name__)
def test_the_contract_notices(broken: type[MemoryStore]) -> None:
    assert complaints_about(broken)


def test_a_bare_assertion_of_the_contract_shows_both_sides() -> None:
    said = complaints_about(Unsorted)["test_iteration_is_in_key_order_and_keeps_to_the_prefix"]
    assert "At index 0 diff: 'b' != 'B'" in said
