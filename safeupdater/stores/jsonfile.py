"""A store in a directory: an append-only journal that is the truth, and ``state.json`` for people."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from safeupdater.codec import loads
from safeupdater.domain.asset import Asset
from safeupdater.domain.operation import Event, JournalEntry, OperationPlanned
from safeupdater.errors import CorruptState, StoreError
from safeupdater.protocols import Clock, Lease, LeaseSeen, Stored
from safeupdater.stores.book import Book
from safeupdater.stores.checkpoint import checkpoint_text, read_reach
from safeupdater.stores.clock import SystemClock
from safeupdater.stores.filesystem import FileLock, FileSystem, OsFileSystem, io_error
from safeupdater.stores.framing import Line, Scan
from safeupdater.stores.holder import is_provably_dead
from safeupdater.stores.jsonlog import JOURNAL, JournalLog, read_journal
from safeupdater.stores.jsonrecords import (
    append_record,
    append_records,
    apply_record,
    batch_record,
    delete_record,
    floor_record,
    forget_record,
    lease_record,
    position_record,
    put_file_record,
    put_record,
)
from safeupdater.stores.leases import IsDead, LeaseRow, LeaseWatch
from safeupdater.stores.place import MountTable, require_local, require_safe, system_mounts
from safeupdater.stores.reserve import Reserve
from safeupdater.stores.rules import is_end, is_way_back
from safeupdater.stores.snapshotfiles import FileValue, SnapshotFiles

STATE = "state.json"
_LOCK = "lock"


class JsonFileStore:
    """Records, journal and leases in a directory, for one writing process on one machine.

    Every change is one line of ``journal.jsonl``, durable when the call returns; everything is held in
    memory. ``state.json`` is written by ``checkpoint()`` and on close. Snapshots are files of their own.
    The writer holds a lock for life; readers (``read_only=True``) need none and see the state at opening.
    A writer refuses a network file system, unless ``allow_network`` says that locks and syncs hold there.

    Raises:
        StoreLocked: another process writes there.
        CorruptState: what is there is damaged, foreign or newer; it was left as it is.
        StoreError: the directory cannot be read or written, or is no place for state
            (``network_file_system``, ``unsafe_place``).
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        clock: Clock | None = None,
        *,
        read_only: bool = False,
        allow_network: bool = False,
        mounts: MountTable = system_mounts,
        is_dead: IsDead = is_provably_dead,
        files: FileSystem | None = None,
    ) -> None:
        self._directory = Path(path)
        self._clock = clock or SystemClock()
        self._files = files or OsFileSystem()
        self._snapshots = SnapshotFiles(self._files, self._directory)
        self._reserve = Reserve(self._files, self._directory)
        self._going_back: set[str] = set()
        self._book = Book(LeaseWatch(self._clock, is_dead))
        self._mutex = threading.RLock()
        self._pid = os.getpid()
        self._lock: FileLock | None = None
        self._log: JournalLog | None = None
        self._is_checkpointed = False
        with self._naming("opening"):
            if files is None and not read_only:
                self._require_fit(mounts, allow_network=allow_network)
            self._open(read_only)

    def __repr__(self) -> str:
        return f"JsonFileStore({str(self._directory)!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # records

    def get(self, kind: str, key: str) -> Stored[object] | None:
        """See ``StateStore.get``."""
        with self._mutex, self._naming("reading"):
            found = self._book.get(kind, key)
            return self._with_content(found) if found else None

    def put(self, kind: str, key: str, value: object, *, expected: int | None = None) -> int:
        """See ``StateStore.put``."""
        with self._mutex, self._naming("writing"):
            version = self._book.plan_put(kind, key, value, expected)
            if kind == "snapshot":
                self._put_file(kind, key, value, version)
            else:
                self._write(
                    put_record(kind, key, version, value),
                    lambda: self._book.apply_put(kind, key, value, version),
                )
            return version

    def put_many(
        self, kind: str, values: Mapping[str, object], *, expected: Mapping[str, int] | None = None
    ) -> None:
        """See ``StateStore.put_many``: one line with one sync, all or none.

        Snapshots, which are files of their own, are checked together and written one by one.
        """
        with self._mutex, self._naming("writing"):
            wanted = expected or {}
            versions = {
                key: self._book.plan_put(kind, key, value, wanted.get(key)) for key, value in values.items()
            }
            if kind == "snapshot":
                for key, value in values.items():
                    self._put_file(kind, key, value, versions[key])
                return
            puts = [put_record(kind, key, versions[key], value) for key, value in values.items()]

            def apply() -> None:
                for key, value in values.items():
                    self._book.apply_put(kind, key, value, versions[key])

            if puts:
                self._write(batch_record(puts), apply)

    def delete(self, kind: str, key: str, *, expected: int | None = None) -> None:
        """See ``StateStore.delete``."""
        with self._mutex, self._naming("writing"):
            if not self._book.plan_delete(kind, key, expected):
                self._writable()
                return
            before = self._book.get(kind, key)
            self._write(delete_record(kind, key), lambda: self._book.apply_delete(kind, key))
            self._drop_file(before)

    def iterate(self, kind: str, prefix: str = "") -> Iterator[tuple[str, Stored[object]]]:
        """See ``StateStore.iterate``; what it yields is the state at the call."""
        with self._mutex, self._naming("reading"):
            return iter([(key, self._with_content(found)) for key, found in self._book.iterate(kind, prefix)])

    # journal

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
        with self._mutex, self._naming("writing"):
            entries = self._book.plan_append(operation_id, events, expected_version, at, lease)
            if entries:
                self._write(
                    append_record(entries),
                    lambda: self._book.apply_entries(entries),
                    is_way_back=any(is_way_back(event) for event in events),
                )
                self._note_way_back(operation_id, events)
        return expected_version + len(events)

    def load(self, operation_id: str, after: int = 0) -> tuple[JournalEntry, ...]:
        """See ``StateStore.load``."""
        with self._mutex:
            return self._book.load(operation_id, after)

    def unfinished(self) -> tuple[OperationPlanned, ...]:
        """See ``StateStore.unfinished``."""
        with self._mutex:
            return self._book.unfinished()

    def since(self, cursor: int, limit: int = 1000) -> tuple[JournalEntry, ...]:
        """See ``StateStore.since``."""
        with self._mutex:
            return self._book.since(cursor, limit)

    def prune(self, before: datetime, *, keep_per_target: int, keep: Collection[str] = ()) -> int:
        """See ``StateStore.prune``; one line, and the space comes back when the journal is compacted."""
        with self._mutex, self._naming("writing"):
            gone = self._book.plan_prune(before, keep_per_target, keep)
            if gone:
                self._write(forget_record(gone), lambda: self._book.apply_forget(gone))
            return len(gone)

    # leases

    def acquire(self, key: str, holder: str, ttl_s: float) -> Lease | None:
        """See ``StateStore.acquire``."""
        with self._mutex, self._naming("writing"):
            row = self._book.plan_acquire(key, holder, ttl_s, self._clock.now())
            return self._write_lease(row).as_lease() if row else None

    def lease_on(self, key: str) -> LeaseSeen | None:
        """See ``StateStore.lease_on``."""
        with self._mutex:
            return self._book.lease_on(key, self._clock.now())

    def renew(self, lease: Lease, ttl_s: float) -> Lease:
        """See ``StateStore.renew``."""
        with self._mutex, self._naming("writing"):
            return self._write_lease(self._book.plan_renew(lease, ttl_s, self._clock.now())).as_lease()

    def release(self, lease: Lease) -> None:
        """See ``StateStore.release``."""
        with self._mutex, self._naming("writing"):
            row = self._book.plan_release(lease)
            if row is not None:
                self._write_lease(row)

    # upkeep

    def checkpoint(self) -> None:
        """Writes ``state.json`` anew, atomically; compacts the journal where most of it is outdated.

        Raises:
            StoreError: it could not be written; the journal still holds everything.
        """
        with self._mutex, self._naming("writing the checkpoint"):
            log = self._writable()
            if log.wants_compaction:
                log.compact(self._live_records())
            assets = [found.value for _, found in self._book.iterate("asset")]
            text = checkpoint_text(
                [asset for asset in assets if isinstance(asset, Asset)], self._clock.now(), log.reach
            )
            fresh = self._directory / f"{STATE}.new"
            self._files.create(fresh, text)
            self._files.replace(fresh, self._directory / STATE)
            self._files.sync_directory(self._directory)
            self._is_checkpointed = True
            self._reserve.fill()

    def free_bytes(self) -> int | None:
        """See ``MeasuredStore.free_bytes``: the free space of the disk."""
        with self._naming("measuring"):
            return self._files.free_bytes(self._directory)

    def close(self) -> None:
        """Writes ``state.json`` where something changed, and gives the lock back. Twice is once."""
        with self._mutex:
            log, lock = self._log, self._lock
            try:
                if log is not None and log.is_usable and not self._is_checkpointed and self._is_ours():
                    self.checkpoint()
            finally:
                self._log = self._lock = None
                if log is not None:
                    log.close()
                if lock is not None:
                    lock.release()

    # inside

    def _require_fit(self, mounts: MountTable, *, allow_network: bool) -> None:
        if not allow_network:
            require_local(self._directory, mounts)
        for path in (self._directory, self._directory / JOURNAL):
            require_safe(path)

    def _open(self, read_only: bool) -> None:
        if not read_only:
            self._files.make_directory(self._directory)
            self._lock = self._files.lock(self._directory / _LOCK)
        try:
            found = self._read_all()
            if not read_only:
                self._log = JournalLog(self._files, self._directory, found)
                self._snapshots.remove_all_but(self._file_values())
                self._reserve.fill()
                for opened in self._book.unfinished():
                    entries = self._book.load(opened.operation_id, 0)
                    self._note_way_back(opened.operation_id, [entry.event for entry in entries])
        except BaseException:
            if self._lock is not None:
                self._lock.release()
            raise

    def _read_all(self) -> Scan | None:
        # The checkpoint first: read in this order, a journal that goes on meanwhile is never too short.
        text = self._files.read(self._directory / STATE)
        reach = read_reach(text, str(self._directory / STATE)) if text is not None else None
        found = read_journal(self._files, self._directory, reach)
        if found is None and self._files.names(self._directory / "snapshots"):
            raise CorruptState(f"{self._directory / JOURNAL} is missing, but there are snapshots beside it")
        for line in found.lines[1:] if found else ():
            self._apply(line)
        return found

    def _apply(self, line: Line) -> None:
        try:
            apply_record(self._book, loads(line.record), FileValue)
        except CorruptState as error:
            raise CorruptState(
                f"{self._directory / JOURNAL}: line number {line.seq}: {error}; nothing was changed",
                code=error.code,
            ) from error

    def _writable(self) -> JournalLog:
        if self._log is None:
            raise StoreError(f"{self._directory} is closed, or open for reading only", code="read_only")
        if not self._is_ours():
            raise StoreError(
                f"{self._directory} was opened by process {self._pid}: a child process may not write to it",
                code="store_locked",
            )
        self._log.require_usable()
        return self._log

    def _is_ours(self) -> bool:
        return os.getpid() == self._pid

    def _write(
        self, record: dict[str, Any], apply: Callable[[], None], *, is_way_back: bool | None = None
    ) -> None:
        if is_way_back is None:  # leases, assets, quarantines: what a way back needs besides its own events
            is_way_back = bool(self._going_back)
        try:
            self._writable().write(record, apply)
        except StoreError as error:
            if error.code != "disk_full" or not is_way_back or not self._reserve.release():
                raise
            self._writable().write(record, apply)
        self._is_checkpointed = False

    def _note_way_back(self, operation_id: str, events: Sequence[Event]) -> None:
        if is_end(events[-1]):
            self._going_back.discard(operation_id)
        elif any(is_way_back(event) for event in events):
            self._going_back.add(operation_id)

    def _write_lease(self, row: LeaseRow) -> LeaseRow:
        self._write(lease_record(row), lambda: self._book.apply_lease(row))
        return row

    def _put_file(self, kind: str, key: str, value: object, version: int) -> None:
        self._writable()
        before = self._book.get(kind, key)
        reference = self._snapshots.write(key, version, value)
        self._write(
            put_file_record(kind, key, version, reference.name, reference.sha256),
            lambda: self._book.apply_put(kind, key, reference, version),
        )
        self._drop_file(before)

    def _drop_file(self, stored: Stored[object] | None) -> None:
        if stored is not None and isinstance(stored.value, FileValue):
            with contextlib.suppress(OSError):  # the next opening removes what is left
                self._snapshots.remove(stored.value)

    def _with_content(self, found: Stored[object]) -> Stored[object]:
        if isinstance(found.value, FileValue):
            return Stored(self._snapshots.read(found.value), found.version)
        return found

    def _file_values(self) -> list[FileValue]:
        values = [found.value for _, found in self._book.iterate("snapshot")]
        return [value for value in values if isinstance(value, FileValue)]

    def _live_records(self) -> list[dict[str, Any]]:
        records = [floor_record(kind, floor) for kind, floor in self._book.floors()]
        for kind in self._book.kinds():
            records += [self._record_of(kind, key, found) for key, found in self._book.iterate(kind)]
        records += [lease_record(row) for row in self._book.leases()]
        records += append_records(self._book.since(0, 2**62))
        records.append(position_record(self._book.position))
        return records

    def _record_of(self, kind: str, key: str, found: Stored[object]) -> dict[str, Any]:
        if isinstance(found.value, FileValue):
            return put_file_record(kind, key, found.version, found.value.name, found.value.sha256)
        return put_record(kind, key, found.version, found.value)

    @contextlib.contextmanager
    def _naming(self, doing: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise io_error(error, f"{doing} {self._directory}") from error
