"""Everything a store remembers, in memory: records, the journal, leases.

Each change comes in two halves: ``plan_…`` checks it against the rules and says what it would be, changing
nothing; ``apply_…`` makes it so and cannot fail. A durable store writes between the two.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from itertools import takewhile

import attrs

from safeupdater.codec import SETTING, kind_of, plain
from safeupdater.domain.operation import Event, JournalEntry, OperationPlanned
from safeupdater.protocols import Lease, LeaseSeen, Stored
from safeupdater.stores.leases import LeaseRow, LeaseWatch, current, renewed, taken
from safeupdater.stores.rules import (
    Head,
    Offer,
    check_pruning,
    check_version,
    is_end,
    make_offer,
    operation_open,
    outdated,
    record_conflict,
    require_key,
)


@attrs.define
class _Operation:
    """The journal of one operation."""

    planned: OperationPlanned
    entries: list[JournalEntry] = attrs.field(factory=list)
    is_open: bool = True

    @property
    def head(self) -> Head:
        return Head(self.planned.target_id, len(self.entries), self.is_open)


@attrs.define
class _Shelf:
    """The records of one kind. ``floor`` is the highest version of any record that was removed: a record
    that is made anew begins above it, so that a version never comes back with another value."""

    records: dict[str, Stored[object]] = attrs.field(factory=dict)
    order: list[str] | None = None
    floor: int = 0

    def keys_from(self, prefix: str) -> Iterator[str]:
        if self.order is None:
            self.order = sorted(self.records)
        keys: Sequence[str] = self.order
        if prefix:
            keys = keys[bisect_left(keys, prefix) :]
        return takewhile(lambda key: key.startswith(prefix), keys)


def _position_of(entry: JournalEntry) -> int:
    return entry.position


def _own_copy(kind: str, found: Stored[object]) -> Stored[object]:
    # Every other kind is frozen; a setting may be a list that its reader goes on to change.
    return Stored(plain(found.value), found.version) if kind == SETTING else found


class Book:
    """The state of one store. Not thread-safe: its owner holds a lock around each call."""

    def __init__(self, watch: LeaseWatch) -> None:
        self._watch = watch
        self._shelves: dict[str, _Shelf] = {}
        self._operations: dict[str, _Operation] = {}
        self._open: dict[str, str] = {}
        self._journal: list[JournalEntry] = []
        self._position = 0
        self._leases: dict[str, LeaseRow] = {}

    # records

    def get(self, kind: str, key: str) -> Stored[object] | None:
        """The record, or None."""
        shelf = self._shelves.get(kind)
        found = shelf.records.get(key) if shelf else None
        return _own_copy(kind, found) if found else None

    def iterate(self, kind: str, prefix: str = "") -> list[tuple[str, Stored[object]]]:
        """The records of a kind under a prefix, in key order, as they are now."""
        shelf = self._shelves.get(kind)
        if shelf is None:
            return []
        return [(key, _own_copy(kind, shelf.records[key])) for key in shelf.keys_from(prefix)]

    def plan_put(self, kind: str, key: str, value: object, expected: int | None) -> int:
        """The version that the record would get.

        Raises:
            VersionConflict: it is not at the expected version.
            StoreError: the kind, key or value cannot be stored.
        """
        kind_of(kind, value)
        require_key(key)
        shelf = self._shelf(kind)
        found = shelf.records.get(key)
        actual = found.version if found else 0
        if expected is not None and expected != actual:
            raise record_conflict(kind, key, actual, expected)
        return (actual or shelf.floor) + 1

    def apply_put(self, kind: str, key: str, value: object, version: int) -> None:
        """Sets the record."""
        shelf = self._shelf(kind)
        if key not in shelf.records:
            shelf.order = None
        shelf.records[key] = Stored(plain(value) if kind == SETTING else value, version)

    def plan_delete(self, kind: str, key: str, expected: int | None) -> bool:
        """Whether there is something to remove.

        Raises:
            VersionConflict: it is not at the expected version.
        """
        found = self.get(kind, key)
        actual = found.version if found else 0
        if expected is not None and expected != actual:
            raise record_conflict(kind, key, actual, expected)
        return found is not None

    def apply_delete(self, kind: str, key: str) -> None:
        """Removes the record."""
        shelf = self._shelf(kind)
        removed = shelf.records.pop(key)
        shelf.floor = max(shelf.floor, removed.version)
        shelf.order = None

    def apply_floor(self, kind: str, version: int) -> None:
        """Notes up to which version records of a kind were removed."""
        self._shelf(kind).floor = version

    def floors(self) -> list[tuple[str, int]]:
        """The kinds of which records were removed, and the highest version that was."""
        return [(kind, shelf.floor) for kind, shelf in sorted(self._shelves.items()) if shelf.floor]

    def kinds(self) -> list[str]:
        """The kinds of which there may be records."""
        return sorted(self._shelves)

    def _shelf(self, kind: str) -> _Shelf:
        shelf = self._shelves.get(kind)
        if shelf is None:
            shelf = self._shelves[kind] = _Shelf()
        return shelf

    # journal

    def plan_append(
        self,
        operation_id: str,
        events: Sequence[Event],
        expected_version: int,
        at: datetime,
        lease: Lease | None,
    ) -> list[JournalEntry]:
        """The entries that would be added; none where exactly these were added before.

        Raises:
            VersionConflict, LeaseLost: as ``StateStore.append``.
        """
        offer = make_offer(operation_id, events, expected_version, at, lease.epoch if lease else 0)
        if lease is not None:
            current(self._leases.get(lease.key), lease)
        operation = self._operations.get(operation_id)
        if operation is None:
            check_version(None, offer)
            return offer.entries(self._free_target(offer), self._position + 1)
        if not operation.is_open or len(operation.entries) != expected_version:
            if offer.is_stored_as(operation.entries[expected_version : offer.version]):
                return []
            check_version(operation.head, offer)
        return offer.entries(operation.planned.target_id, self._position + 1)

    def _free_target(self, offer: Offer) -> str:
        planned = offer.opens
        assert planned is not None, "make_offer saw to it"
        busy = self._open.get(planned.target_id)
        if busy is not None:
            raise operation_open(planned.target_id, busy)
        return planned.target_id

    def apply_entries(self, entries: Sequence[JournalEntry]) -> None:
        """Adds entries to the journal."""
        for entry in entries:
            event = entry.event
            operation = self._operations.get(entry.operation_id)
            if operation is None:
                assert isinstance(event, OperationPlanned), "make_offer saw to it"
                operation = self._operations[entry.operation_id] = _Operation(event)
                self._open[entry.target_id] = entry.operation_id
            operation.entries.append(entry)
            if is_end(event):
                operation.is_open = False
                self._open.pop(entry.target_id, None)
        if entries:
            self._journal += entries
            self._position = entries[-1].position

    def load(self, operation_id: str, after: int) -> tuple[JournalEntry, ...]:
        """The journal of one operation, from behind a version on."""
        operation = self._operations.get(operation_id)
        if operation is None or len(operation.entries) <= after:
            return ()
        return tuple(operation.entries[after:])

    def unfinished(self) -> tuple[OperationPlanned, ...]:
        """The operations without an end, oldest first."""
        return tuple(self._operations[operation_id].planned for operation_id in self._open.values())

    def since(self, cursor: int, limit: int) -> tuple[JournalEntry, ...]:
        """The entries after a position."""
        begin = bisect_right(self._journal, cursor, key=_position_of)
        return tuple(self._journal[begin : begin + max(limit, 0)])

    def plan_prune(self, before: datetime, keep_per_target: int, keep: Collection[str]) -> list[str]:
        """The operations whose journals are no longer kept; see ``StateStore.prune``."""
        check_pruning(before, keep_per_target)
        ended: defaultdict[str, list[JournalEntry]] = defaultdict(list)
        for operation in self._operations.values():
            if not operation.is_open:
                ended[operation.planned.target_id].append(operation.entries[-1])
        return [
            last.operation_id
            for ends in ended.values()
            for last in outdated(ends, before, keep_per_target)
            if last.operation_id not in keep
        ]

    def apply_forget(self, operation_ids: Collection[str]) -> None:
        """Removes the journals of ended operations."""
        gone = frozenset(operation_ids)
        for operation_id in gone:
            del self._operations[operation_id]
        self._journal = [entry for entry in self._journal if entry.operation_id not in gone]

    @property
    def position(self) -> int:
        """The highest position that was ever given."""
        return self._position

    def apply_position(self, position: int) -> None:
        """Notes up to which position entries were given, some of which are gone."""
        self._position = position

    # leases

    def plan_acquire(self, key: str, holder: str, ttl_s: float, now: datetime) -> LeaseRow | None:
        """The row of a lease taken now; None while somebody else holds it."""
        require_key(key)
        row = self._leases.get(key)
        after = taken(row, key, holder, ttl_s, now)
        return after if self._watch.may_take(row, holder, now) else None

    def lease_on(self, key: str, now: datetime) -> LeaseSeen | None:
        """Who holds a lease; None where nobody does."""
        return self._watch.seen(self._leases.get(key), now)

    def plan_renew(self, lease: Lease, ttl_s: float, now: datetime) -> LeaseRow:
        """The row of a lease renewed now.

        Raises:
            LeaseLost: it is no longer the current one.
        """
        return renewed(self._leases.get(lease.key), lease, ttl_s, now)

    def plan_release(self, lease: Lease) -> LeaseRow | None:
        """The row of a lease given back; None where it is no longer the current one."""
        row = self._leases.get(lease.key)
        if row is None or not row.belongs_to(lease):
            return None
        return LeaseRow(key=row.key, holder=None, epoch=row.epoch, ttl_s=row.ttl_s, renewed_at=row.renewed_at)

    def leases(self) -> list[LeaseRow]:
        """The row of every lease that there ever was: epochs must outlive their holders."""
        return list(self._leases.values())

    def apply_lease(self, row: LeaseRow) -> None:
        """Sets the row of a lease."""
        self._leases[row.key] = row
