"""A store in memory: fast, gone with the process, and the model that the durable stores are compared with."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime

from safeupdater.domain.operation import Event, JournalEntry, OperationPlanned
from safeupdater.protocols import Clock, Lease, LeaseSeen, Stored
from safeupdater.stores.book import Book
from safeupdater.stores.clock import SystemClock
from safeupdater.stores.holder import is_provably_dead
from safeupdater.stores.leases import IsDead, LeaseWatch


class MemoryStore:
    """Records, journal and leases in memory. It keeps the values themselves, so it costs next to nothing.

    ``is_dead`` says of a holder text whether its process is gone for certain. An ``Updater`` warns before
    it changes something real with such a store, unless ``allow_volatile`` says that this is meant.
    """

    def __init__(
        self,
        clock: Clock | None = None,
        *,
        is_dead: IsDead = is_provably_dead,
        allow_volatile: bool = False,
    ) -> None:
        self.is_volatile = not allow_volatile
        self._clock = clock or SystemClock()
        self._book = Book(LeaseWatch(self._clock, is_dead))
        self._lock = threading.Lock()

    def get(self, kind: str, key: str) -> Stored[object] | None:
        """See ``StateStore.get``."""
        with self._lock:
            return self._book.get(kind, key)

    def put(self, kind: str, key: str, value: object, *, expected: int | None = None) -> int:
        """See ``StateStore.put``."""
        with self._lock:
            version = self._book.plan_put(kind, key, value, expected)
            self._book.apply_put(kind, key, value, version)
            return version

    def put_many(
        self, kind: str, values: Mapping[str, object], *, expected: Mapping[str, int] | None = None
    ) -> None:
        """See ``StateStore.put_many``: all or none."""
        wanted = expected or {}
        with self._lock:
            versions = {
                key: self._book.plan_put(kind, key, value, wanted.get(key)) for key, value in values.items()
            }
            for key, value in values.items():
                self._book.apply_put(kind, key, value, versions[key])

    def delete(self, kind: str, key: str, *, expected: int | None = None) -> None:
        """See ``StateStore.delete``."""
        with self._lock:
            if self._book.plan_delete(kind, key, expected):
                self._book.apply_delete(kind, key)

    def iterate(self, kind: str, prefix: str = "") -> Iterator[tuple[str, Stored[object]]]:
        """See ``StateStore.iterate``; what it yields is the state at the call."""
        with self._lock:
            return iter(self._book.iterate(kind, prefix))

    def append(
        self,
        operation_id: str,
        events: Sequence[Event],
        *,
        expected_version: int,
        at: datetime,
        lease: Lease | None = None,
    ) -> int:
        """See ``StateStore.append``."""
        with self._lock:
            entries = self._book.plan_append(operation_id, events, expected_version, at, lease)
            self._book.apply_entries(entries)
        return expected_version + len(events)

    def load(self, operation_id: str, after: int = 0) -> tuple[JournalEntry, ...]:
        """See ``StateStore.load``."""
        with self._lock:
            return self._book.load(operation_id, after)

    def unfinished(self) -> tuple[OperationPlanned, ...]:
        """See ``StateStore.unfinished``."""
        with self._lock:
            return self._book.unfinished()

    def since(self, cursor: int, limit: int = 1000) -> tuple[JournalEntry, ...]:
        """See ``StateStore.since``."""
        with self._lock:
            return self._book.since(cursor, limit)

    def prune(self, before: datetime, *, keep_per_target: int, keep: Collection[str] = ()) -> int:
        """See ``StateStore.prune``."""
        with self._lock:
            gone = self._book.plan_prune(before, keep_per_target, keep)
            self._book.apply_forget(gone)
            return len(gone)

    def acquire(self, key: str, holder: str, ttl_s: float) -> Lease | None:
        """See ``StateStore.acquire``."""
        with self._lock:
            row = self._book.plan_acquire(key, holder, ttl_s, self._clock.now())
            if row is None:
                return None
            self._book.apply_lease(row)
            return row.as_lease()

    def lease_on(self, key: str) -> LeaseSeen | None:
        """See ``StateStore.lease_on``."""
        with self._lock:
            return self._book.lease_on(key, self._clock.now())

    def renew(self, lease: Lease, ttl_s: float) -> Lease:
        """See ``StateStore.renew``."""
        with self._lock:
            row = self._book.plan_renew(lease, ttl_s, self._clock.now())
            self._book.apply_lease(row)
            return row.as_lease()

    def release(self, lease: Lease) -> None:
        """See ``StateStore.release``."""
        with self._lock:
            row = self._book.plan_release(lease)
            if row is not None:
                self._book.apply_lease(row)

    def close(self) -> None:
        """See ``StateStore.close``; what it holds stays readable."""
