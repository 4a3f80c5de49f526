"""A file system that fails where a test wants it to: full, broken, torn, or cut from power."""

from __future__ import annotations

import enum
import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import attrs

from safeupdater.errors import StoreLocked
from safeupdater.stores.filesystem import FileLock, FileSystem, LogFile, OsFileSystem

Result = TypeVar("Result")


@attrs.define
class MemoryFileSystem:
    """Files in memory, for tests that open thousands of stores. Locks hold between its users.

    ``capacity_bytes`` is how much all files together may hold: a write that does not fit is done as far as
    it does, and fails with ``ENOSPC``. With ``truncate_fails`` it cannot be undone either.
    """

    files: dict[Path, bytearray] = attrs.field(factory=dict)
    capacity_bytes: int | None = None
    truncate_fails: bool = False
    _locked: set[Path] = attrs.field(factory=set, init=False)

    def read(self, path: Path) -> bytes | None:
        """See ``FileSystem.read``."""
        found = self.files.get(path)
        return None if found is None else bytes(found)

    def names(self, directory: Path) -> tuple[str, ...]:
        """See ``FileSystem.names``."""
        return tuple(sorted(path.name for path in self.files if path.parent == directory))

    def make_directory(self, path: Path) -> None:
        """See ``FileSystem.make_directory``."""

    @property
    def used_bytes(self) -> int:
        """How much all files together hold."""
        return sum(map(len, self.files.values()))

    def create(self, path: Path, data: bytes) -> None:
        """See ``FileSystem.create``."""
        self.files[path] = bytearray()
        self.write_at(self.files[path], 0, data)

    def write_at(self, content: bytearray, offset: int, data: bytes) -> None:
        """Writes into a file as much as there is room for."""
        grows = max(0, offset + len(data) - len(content))
        lacking = 0 if self.capacity_bytes is None else max(0, self.used_bytes + grows - self.capacity_bytes)
        fitting = data[: len(data) - min(lacking, len(data))]
        content[offset : offset + len(fitting)] = fitting
        if lacking:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def replace(self, source: Path, target: Path) -> None:
        """See ``FileSystem.replace``."""
        self.files[target] = self.files.pop(source)

    def sync_directory(self, path: Path) -> None:
        """See ``FileSystem.sync_directory``."""

    def remove(self, path: Path) -> None:
        """See ``FileSystem.remove``."""
        self.files.pop(path, None)

    def open_log(self, path: Path) -> LogFile:
        """See ``FileSystem.open_log``."""
        return _MemoryLog(self, self.files[path])

    def free_bytes(self, directory: Path) -> int | None:
        """See ``FileSystem.free_bytes``."""
        return None if self.capacity_bytes is None else max(0, self.capacity_bytes - self.used_bytes)

    def lock(self, path: Path) -> FileLock:
        """See ``FileSystem.lock``."""
        if path in self._locked:
            raise StoreLocked(f"{path.parent} is being written by another store of this test")
        self._locked.add(path)
        return _MemoryLock(self._locked, path)


@attrs.define
class _MemoryLog:
    _files: MemoryFileSystem
    _data: bytearray

    def write(self, offset: int, data: bytes) -> None:
        self._files.write_at(self._data, offset, data)

    def sync(self) -> None:
        pass

    def truncate(self, size: int) -> None:
        if self._files.truncate_fails:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        del self._data[size:]

    def close(self) -> None:
        pass


@attrs.define
class _MemoryLock:
    _locked: set[Path]
    _path: Path

    def release(self) -> None:
        self._locked.discard(self._path)


class Crash(BaseException):
    """The process died here. Not an ``Exception``: no code may catch it and go on."""


class Mishap(enum.Enum):
    """What goes wrong with one call."""

    ERROR = "error"
    """It fails and has no effect."""
    PARTIAL = "partial"
    """It fails after half of the bytes were written; like ERROR where there are none."""
    CRASH_BEFORE = "crash_before"
    CRASH_AFTER = "crash_after"
    TORN = "torn"
    """The process dies after half of the bytes were written."""


@attrs.frozen(kw_only=True)
class Fault:
    """What goes wrong, at the how-manieth changing call (from 1), and with which ``errno``.

    With ``lasts`` it goes wrong at every later call as well. With ``only``, only calls whose name begins so
    (or in one of these ways) fail: ``write``, ``sync``, ``create journal`` …
    """

    call: int
    mishap: Mishap
    errno: int = 5
    lasts: bool = False
    only: str | tuple[str, ...] = ""

    def is_due(self, number: int, name: str) -> bool:
        """Whether it befalls this call."""
        return (number >= self.call if self.lasts else number == self.call) and name.startswith(self.only)


@attrs.define
class FaultyFileSystem:
    """Files (on disk, or ``inner``) with faults. It counts the calls that change something.

    After a crash every call raises ``Crash`` and its locks are free. With ``power_cut``, what was added to
    a log and not synced is gone then, as after a power cut rather than a kill.
    """

    faults: tuple[Fault, ...] = ()
    power_cut: bool = False
    inner: FileSystem = attrs.field(factory=OsFileSystem)
    calls: list[str] = attrs.field(factory=list, init=False)
    is_crashed: bool = attrs.field(default=False, init=False)
    _locks: list[FileLock] = attrs.field(factory=list, init=False)
    _synced: dict[Path, int] = attrs.field(factory=dict, init=False)

    def read(self, path: Path) -> bytes | None:
        """See ``FileSystem.read``."""
        self._require_life()
        return self.inner.read(path)

    def names(self, directory: Path) -> tuple[str, ...]:
        """See ``FileSystem.names``."""
        self._require_life()
        return self.inner.names(directory)

    def make_directory(self, path: Path) -> None:
        """See ``FileSystem.make_directory``."""
        self.change("make_directory", lambda: self.inner.make_directory(path))

    def create(self, path: Path, data: bytes) -> None:
        """See ``FileSystem.create``."""
        half = data[: len(data) // 2]
        self.change(
            f"create {path.name}",
            lambda: self.inner.create(path, data),
            lambda: self.inner.create(path, half),
        )

    def replace(self, source: Path, target: Path) -> None:
        """See ``FileSystem.replace``."""
        self.change(f"replace {target.name}", lambda: self.inner.replace(source, target))
        self._synced.pop(target, None)

    def sync_directory(self, path: Path) -> None:
        """See ``FileSystem.sync_directory``."""
        self.change("sync_directory", lambda: self.inner.sync_directory(path))

    def remove(self, path: Path) -> None:
        """See ``FileSystem.remove``."""
        self.change(f"remove {path.name}", lambda: self.inner.remove(path))

    def open_log(self, path: Path) -> LogFile:
        """See ``FileSystem.open_log``."""
        self._require_life()
        self._synced[path] = self.size(path)
        return _FaultyLog(self, path, self.inner.open_log(path))

    def free_bytes(self, directory: Path) -> int | None:
        """See ``FileSystem.free_bytes``."""
        self._require_life()
        return self.inner.free_bytes(directory)

    def lock(self, path: Path) -> FileLock:
        """See ``FileSystem.lock``."""
        self._require_life()
        lock = _OnceReleased(self.inner.lock(path))
        self._locks.append(lock)
        return lock

    def change(
        self, name: str, act: Callable[[], Result], half: Callable[[], object] | None = None
    ) -> Result | None:
        """Performs a changing call, with the fault that is due."""
        self._require_life()
        self.calls.append(name)
        fault = next((fault for fault in self.faults if fault.is_due(len(self.calls), name)), None)
        if fault is None:
            return act()
        if fault.mishap in (Mishap.PARTIAL, Mishap.TORN) and half is not None:
            half()
        if fault.mishap in (Mishap.ERROR, Mishap.PARTIAL):
            raise OSError(fault.errno, os.strerror(fault.errno))
        if fault.mishap is Mishap.CRASH_AFTER:
            act()
        self.crash()
        raise Crash(f"crashed at call {len(self.calls)}: {name}")

    def synced(self, path: Path, size: int) -> None:
        """Notes how much of a log is durable."""
        self._synced[path] = size

    def size(self, path: Path) -> int:
        """How many bytes a file has; 0 where there is none."""
        return len(self.inner.read(path) or b"")

    def crash(self) -> None:
        """Ends the process that uses these files, now."""
        self.is_crashed = True
        if self.power_cut:
            for path, size in self._synced.items():
                if self.size(path) > size:
                    log = self.inner.open_log(path)
                    log.truncate(size)
                    log.close()
        for lock in self._locks:
            lock.release()

    def _require_life(self) -> None:
        if self.is_crashed:
            raise Crash("this process is dead")


@attrs.define
class _OnceReleased:
    _lock: FileLock | None

    def release(self) -> None:
        lock, self._lock = self._lock, None
        if lock is not None:
            lock.release()


@attrs.define
class _FaultyLog:
    _files: FaultyFileSystem
    _path: Path
    _log: LogFile

    def write(self, offset: int, data: bytes) -> None:
        half = data[: len(data) // 2]
        self._files.change(
            "write", lambda: self._log.write(offset, data), lambda: self._log.write(offset, half)
        )

    def sync(self) -> None:
        self._files.change("sync", self._log.sync)
        self._files.synced(self._path, self._files.size(self._path))

    def truncate(self, size: int) -> None:
        self._files.change("truncate", lambda: self._log.truncate(size))

    def close(self) -> None:
        self._log.close()
