"""The journal file of a JSON store: opened with care, repaired where a crash left it unfinished, added to."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from safeupdater.codec import loads
from safeupdater.errors import CorruptState, StoreError
from safeupdater.stores.checkpoint import Reach
from safeupdater.stores.filesystem import FileSystem, io_error
from safeupdater.stores.framing import Line, Scan, frame, scan
from safeupdater.stores.jsonrecords import Header, read_header

JOURNAL = "journal.jsonl"
_FRESH = "journal.jsonl.new"
_COMPACT_FROM_BYTES = 256 * 1024


def read_journal(files: FileSystem, directory: Path, reach: Reach | None) -> Scan | None:
    """The good lines of the journal; None where there is none and never was.

    Raises:
        CorruptState: it is damaged, foreign, newer, or ends before the line that ``reach`` names.
    """
    path = directory / JOURNAL
    data = files.read(path)
    if data is None:
        if reach is not None:
            raise CorruptState(f"{path} is missing, but state.json knows of it: restore it from a backup")
        return None
    found = scan(data, str(path))
    if not found.lines:
        raise CorruptState(f"{path} has no first line: it is not a safeupdater journal, or it was cut off")
    header = read_header(loads(found.lines[0].record), str(path))
    _check_reach(path, found.lines, header.through, reach)
    return found


def _check_reach(path: Path, lines: Sequence[Line], through: int, reach: Reach | None) -> None:
    last = lines[-1].seq
    wanted = max(through, reach.sequence if reach else 0)
    if last < wanted:
        raise CorruptState(
            f"{path} ends at line {last}, but it had {wanted} when it was last checked: it was cut off. "
            "Nothing was changed: restore the directory from a backup",
            code="journal_cut",
        )
    if reach is None or reach.sequence <= through:
        return  # the line may have gone when the journal was compacted
    known = lines[reach.sequence - lines[0].seq]
    if known.checksum != reach.checksum:
        raise CorruptState(
            f"{path} is not the journal that state.json was written with: restore both from a backup"
        )


class JournalLog:
    """The open journal of the one writer.

    A write that fails is undone. Where that is impossible, or where the system could not say that data is
    durable, the log refuses every later write: asking the disk again can get a false yes.
    """

    def __init__(self, files: FileSystem, directory: Path, found: Scan | None) -> None:
        self._files = files
        self._directory = directory
        self._path = directory / JOURNAL
        self._broken: StoreError | None = None
        self._compacted_bytes = self._seq = self._size = 0
        self._checksum = ""
        if found is None:
            self._replace_file([], first=0)
        else:
            self._take_up(found)

    @property
    def reach(self) -> Reach:
        """The last line that is durable."""
        return Reach(self._seq, self._checksum)

    @property
    def wants_compaction(self) -> bool:
        """Whether it has more than doubled since it was compacted: most of it may be outdated."""
        return self._size > 2 * self._compacted_bytes + _COMPACT_FROM_BYTES

    @property
    def is_usable(self) -> bool:
        """Whether it can be written to."""
        return self._broken is None

    def require_usable(self) -> None:
        """Refuses where an earlier failure left it unknown what the file holds.

        Raises:
            StoreError: ``store_broken``.
        """
        if self._broken is not None:
            raise StoreError(
                f"{self._path} takes no more changes since an earlier failure ({self._broken}): "
                "what was acknowledged is there; close the store and open it again",
                code="store_broken",
            )

    def write(self, record: dict[str, Any], apply: Callable[[], None]) -> None:
        """Makes a record durable, then applies it.

        Raises:
            StoreError: it is not durable, and was not applied.
        """
        self.require_usable()
        line = frame(self._seq + 1, record)
        # Whatever interrupts the next lines (a signal handler that raises) leaves the log refusing.
        self._broken = StoreError("a write was interrupted", code="interrupted_write")
        self._write_durably(line.raw)
        self._size += len(line.raw)
        self._seq, self._checksum = line.seq, line.checksum
        apply()
        self._broken = None

    def compact(self, records: Sequence[dict[str, Any]]) -> None:
        """Replaces the file by one that holds these records only; line numbers never go back.

        Raises:
            StoreError: it was not replaced.
        """
        self.require_usable()
        old = self._log
        try:
            self._replace_file(records, first=max(0, self._seq - len(records)))
        except OSError as error:
            raise io_error(error, str(self._path)) from error
        old.close()

    def close(self) -> None:
        """Gives back the handle."""
        self._log.close()

    def _write_durably(self, data: bytes) -> None:
        try:
            self._log.write(self._size, data)
        except OSError as error:
            self._undo(error)
        try:
            self._log.sync()
        except OSError as error:
            self._broken = io_error(error, f"{self._path}: the system could not make a change durable")
            raise StoreError(
                f"{self._broken}; the store refuses further changes until it is opened again",
                code="sync_failed",
            ) from error

    def _undo(self, error: OSError) -> None:
        try:
            self._log.truncate(self._size)
        except OSError:
            self._broken = io_error(error, f"{self._path}: a change could not be undone")
        else:
            self._broken = None
        raise io_error(error, str(self._path)) from error

    def _take_up(self, found: Scan) -> None:
        last = found.lines[-1]
        self._compacted_bytes = read_header(loads(found.lines[0].record), str(self._path)).compacted_bytes
        self._seq, self._checksum, self._size = last.seq, last.checksum, found.good_bytes
        if found.tail.strip(b"\0"):
            self._keep_aside(found.tail)
        self._log = self._files.open_log(self._path)
        # The last writer may have died, or been refused, before its last line was durable. It counts from
        # here on, so it is written over itself and synced: on clean cached pages a sync alone does nothing.
        start = found.good_bytes + (1 if found.unterminated else 0) - len(last.raw)
        if found.tail:
            self._log.truncate(found.good_bytes)
        self._log.write(start, last.raw)
        self._log.sync()
        self._size = start + len(last.raw)

    def _keep_aside(self, tail: bytes) -> None:
        taken = set(self._files.names(self._directory))
        name = next(name for name in _torn_names() if name not in taken)
        self._files.create(self._directory / name, tail)
        self._files.sync_directory(self._directory)

    def _replace_file(self, records: Sequence[dict[str, Any]], first: int) -> None:
        lines = [frame(first + index, record) for index, record in enumerate(records, start=1)]
        content = b"".join(line.raw for line in lines)
        header = Header(through=first + len(records), compacted_bytes=len(content))
        lines.insert(0, frame(first, header.record))
        data = lines[0].raw + content
        fresh = self._directory / _FRESH
        self._files.create(fresh, data)
        # From the renaming on, the old file is nobody's: until the new one is open, nothing may be written.
        self._broken = StoreError("replacing the journal did not finish", code="interrupted_write")
        self._files.replace(fresh, self._path)
        self._files.sync_directory(self._directory)
        self._log = self._files.open_log(self._path)
        self._compacted_bytes, self._size = len(content), len(data)
        self._seq, self._checksum = lines[-1].seq, lines[-1].checksum
        self._broken = None


def _torn_names() -> Iterator[str]:
    number = 1
    while True:
        yield f"journal.torn-{number}"
        number += 1
