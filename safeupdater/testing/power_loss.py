"""Every disk that a power cut may leave: what was synced, and any combination of what was not."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import attrs

from safeupdater.stores.filesystem import FileLock, LogFile
from safeupdater.testing.filesystem import MemoryFileSystem


@attrs.define
class _Disk:
    """Names and the files that they lead to. A renamed file is still the same file."""

    names: dict[Path, int] = attrs.field(factory=dict)
    contents: dict[int, bytearray] = attrs.field(factory=dict)

    def copy(self) -> _Disk:
        return _Disk(dict(self.names), {key: bytearray(value) for key, value in self.contents.items()})


Effect = Callable[[_Disk], None]


@attrs.frozen
class _Change:
    """One recorded call: what it does to a disk, and the file or directory whose sync makes it durable.

    ``torn`` is what half of it does, where it can be halved.
    """

    name: str
    effect: Effect
    awaits: object
    torn: Effect | None = None


@attrs.frozen
class _Sync:
    """Everything that awaits this is durable from here on."""

    what: object


@attrs.define
class RecordingFileSystem:
    """Files in memory that remember every change and every sync, for ``disks_after_power_cuts``.

    The contract is POSIX's and no more: a write is durable after a sync of its file, a name after a sync of
    its directory, and unsynced changes reach the disk in any order or never (Pillai et al., OSDI 2014).
    """

    _inner: MemoryFileSystem = attrs.field(factory=MemoryFileSystem)
    _log: list[_Change | _Sync] = attrs.field(factory=list)
    _files: dict[Path, int] = attrs.field(factory=dict)
    _numbers: Iterator[int] = attrs.field(factory=itertools.count)

    @property
    def length(self) -> int:
        """How many changes and syncs were recorded so far."""
        return len(self._log)

    def forget_syncs(self, *, of_directories: bool) -> None:
        """Takes the syncs of directories, or of files, for never made: what a test of the test needs."""
        for index, entry in enumerate(self._log):
            if isinstance(entry, _Sync) and isinstance(entry.what, Path) == of_directories:
                self._log[index] = _Sync(None)

    def read(self, path: Path) -> bytes | None:
        """See ``FileSystem.read``."""
        return self._inner.read(path)

    def names(self, directory: Path) -> tuple[str, ...]:
        """See ``FileSystem.names``."""
        return self._inner.names(directory)

    def free_bytes(self, directory: Path) -> int | None:
        """See ``FileSystem.free_bytes``."""
        return None

    def make_directory(self, path: Path) -> None:
        """See ``FileSystem.make_directory``."""

    def create(self, path: Path, data: bytes) -> None:
        """See ``FileSystem.create``: the content is durable, its name is not yet."""
        self._inner.create(path, data)
        number = self._files[path] = next(self._numbers)

        def content(disk: _Disk) -> None:
            disk.contents[number] = bytearray(data)

        self._log += [
            _Change(f"content of {path.name}", content, number),
            _Sync(number),
            _Change(f"name {path.name}", lambda disk: disk.names.__setitem__(path, number), path.parent),
        ]

    def replace(self, source: Path, target: Path) -> None:
        """See ``FileSystem.replace``."""
        self._inner.replace(source, target)
        number = self._files[target] = self._files.pop(source)

        def rename(disk: _Disk) -> None:
            disk.names.pop(source, None)
            disk.names[target] = number

        self._log.append(_Change(f"rename to {target.name}", rename, target.parent))

    def remove(self, path: Path) -> None:
        """See ``FileSystem.remove``."""
        self._inner.remove(path)
        self._files.pop(path, None)

        def unlink(disk: _Disk) -> None:
            disk.names.pop(path, None)

        self._log.append(_Change(f"remove {path.name}", unlink, path.parent))

    def sync_directory(self, path: Path) -> None:
        """See ``FileSystem.sync_directory``."""
        self._log.append(_Sync(path))

    def open_log(self, path: Path) -> LogFile:
        """See ``FileSystem.open_log``."""
        return _RecordingLog(self._inner.open_log(path), self._files[path], self._log)

    def lock(self, path: Path) -> FileLock:
        """See ``FileSystem.lock``."""
        return self._inner.lock(path)


@attrs.define
class _RecordingLog:
    _inner: LogFile
    _number: int
    _log: list[_Change | _Sync]

    def write(self, offset: int, data: bytes) -> None:
        self._inner.write(offset, data)
        half = data[: len(data) // 2]
        self._log.append(
            _Change("write", self._put(offset, data), self._number, torn=self._put(offset, half))
        )

    def sync(self) -> None:
        self._log.append(_Sync(self._number))

    def truncate(self, size: int) -> None:
        self._inner.truncate(size)
        number = self._number

        def cut(disk: _Disk) -> None:
            del disk.contents.setdefault(number, bytearray())[size:]

        self._log.append(_Change("truncate", cut, number))

    def close(self) -> None:
        self._inner.close()

    def _put(self, offset: int, data: bytes) -> Effect:
        number = self._number

        def put(disk: _Disk) -> None:
            content = disk.contents.setdefault(number, bytearray())
            content.extend(bytes(max(0, offset - len(content))))  # a hole reads as zeros
            content[offset : offset + len(data)] = data

        return put


@attrs.frozen
class PowerCut:
    """A disk that a power cut after ``after`` recorded calls may leave, and what it lost."""

    after: int
    lost: tuple[str, ...]
    disk: MemoryFileSystem


def disks_after_power_cuts(files: RecordingFileSystem, *, most_lost: int = 3) -> Iterator[PowerCut]:
    """Every legal disk for a power cut after every call: up to ``most_lost`` unsynced changes are missing,
    or all of them, and one that can be halved may be there by half."""
    base = _Disk()
    pending: list[_Change] = []
    for after, entry in enumerate(files._log, start=1):
        if isinstance(entry, _Change):
            pending.append(entry)
        else:
            durable = [change for change in pending if change.awaits == entry.what]
            for change in durable:
                change.effect(base)
            pending = [change for change in pending if change.awaits != entry.what]
        for lost in _losses(len(pending), most_lost):
            yield from _disks(base, pending, lost, after)


def _losses(count: int, most: int) -> Iterator[tuple[int, ...]]:
    for size in range(min(count, most) + 1):
        yield from itertools.combinations(range(count), size)
    if count > most:
        yield tuple(range(count))


def _disks(base: _Disk, pending: Sequence[_Change], lost: tuple[int, ...], after: int) -> Iterator[PowerCut]:
    halves = [index for index in lost if pending[index].torn is not None]
    for half in (None, *halves):
        disk = base.copy()
        for index, change in enumerate(pending):
            if index == half and change.torn is not None:
                change.torn(disk)
            elif index not in lost:
                change.effect(disk)
        names = tuple(pending[index].name + (" (half)" if index == half else "") for index in lost)
        found = {path: bytearray(disk.contents.get(number, b"")) for path, number in disk.names.items()}
        yield PowerCut(after, names, MemoryFileSystem(files=found))
