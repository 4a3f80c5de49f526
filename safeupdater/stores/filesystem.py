"""The few things that a file store asks of a file system, so that tests can make each of them fail."""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path
from typing import Protocol

from safeupdater.errors import StoreError, StoreLocked

_PRIVATE_FILE = 0o600
_PRIVATE_DIRECTORY = 0o700


class LogFile(Protocol):
    """An open journal file. Every method may raise ``OSError``."""

    def write(self, offset: int, data: bytes) -> None:
        """Writes bytes at an offset; they are durable only after ``sync``."""
        ...

    def sync(self) -> None:
        """Makes everything written so far durable."""
        ...

    def truncate(self, size: int) -> None:
        """Cuts the file to that many bytes."""
        ...

    def close(self) -> None:
        """Gives back the handle."""
        ...


class FileLock(Protocol):
    """A lock that the system takes back when the process dies."""

    def release(self) -> None:
        """Gives it back."""
        ...


class FileSystem(Protocol):
    """Files with the guarantees of POSIX. Every method may raise ``OSError``."""

    def read(self, path: Path) -> bytes | None:
        """What a file holds; None where there is none."""
        ...

    def names(self, directory: Path) -> tuple[str, ...]:
        """The names in a directory; none where there is no directory."""
        ...

    def make_directory(self, path: Path) -> None:
        """Makes a directory that only its owner may enter, with its parents, durably."""
        ...

    def create(self, path: Path, data: bytes) -> None:
        """Writes a new file that only its owner may read, and makes its content durable."""
        ...

    def replace(self, source: Path, target: Path) -> None:
        """Renames a file over another, at once; durable after ``sync_directory``."""
        ...

    def sync_directory(self, path: Path) -> None:
        """Makes the names in a directory durable."""
        ...

    def remove(self, path: Path) -> None:
        """Removes a file; one that is not there is fine."""
        ...

    def open_log(self, path: Path) -> LogFile:
        """Opens an existing file to write to it."""
        ...

    def free_bytes(self, directory: Path) -> int | None:
        """How much more may be written there; None where that is not known."""
        ...

    def lock(self, path: Path) -> FileLock:
        """Takes the lock of a file.

        Raises:
            StoreLocked: another process has it.
        """
        ...


def io_error(error: OSError, what: str) -> StoreError:
    """What a failed call of the file system means for the caller."""
    match error.errno:
        case errno.ENOSPC | errno.EDQUOT:
            return StoreError(
                f"{what}: the disk is full; nothing was lost: free space and try again",
                code="disk_full",
                transient=True,
            )
        case errno.EROFS | errno.EACCES | errno.EPERM:
            return StoreError(f"{what}: writing is not allowed there; nothing was changed", code="read_only")
        case _:
            return StoreError(f"{what}: {error.strerror or type(error).__name__}", code="io_error")


def _sync(handle: int) -> None:
    try:
        import fcntl

        full_sync = fcntl.F_FULLFSYNC  # type: ignore[attr-defined, unused-ignore]
    except (ImportError, AttributeError):
        os.fsync(handle)
    else:
        fcntl.fcntl(handle, full_sync)  # macOS: fsync alone leaves data in the drive's cache


def _write_all(handle: int, offset: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        written = os.pwrite(handle, left, offset)
        left, offset = left[written:], offset + written


class _OsLogFile:
    def __init__(self, path: Path) -> None:
        self._handle = os.open(path, os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW)

    def write(self, offset: int, data: bytes) -> None:
        _write_all(self._handle, offset, data)

    def sync(self) -> None:
        _sync(self._handle)

    def truncate(self, size: int) -> None:
        os.ftruncate(self._handle, size)

    def close(self) -> None:
        os.close(self._handle)


class _OsLock:
    def __init__(self, handle: int) -> None:
        self._handle = handle

    def release(self) -> None:
        os.close(self._handle)


class OsFileSystem:
    """The operating system's files (POSIX)."""

    def read(self, path: Path) -> bytes | None:
        """See ``FileSystem.read``."""
        try:
            return path.read_bytes()
        except FileNotFoundError:
            return None

    def names(self, directory: Path) -> tuple[str, ...]:
        """See ``FileSystem.names``."""
        try:
            return tuple(sorted(os.listdir(directory)))
        except FileNotFoundError:
            return ()

    def make_directory(self, path: Path) -> None:
        """See ``FileSystem.make_directory``."""
        if path.is_dir():
            return
        self.make_directory(path.parent)
        with contextlib.suppress(FileExistsError):
            os.mkdir(path, _PRIVATE_DIRECTORY)
        self.sync_directory(path.parent)

    def create(self, path: Path, data: bytes) -> None:
        """See ``FileSystem.create``."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
        handle = os.open(path, flags, _PRIVATE_FILE)
        try:
            _write_all(handle, 0, data)
            _sync(handle)
        finally:
            os.close(handle)

    def replace(self, source: Path, target: Path) -> None:
        """See ``FileSystem.replace``."""
        os.replace(source, target)

    def sync_directory(self, path: Path) -> None:
        """See ``FileSystem.sync_directory``."""
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

    def remove(self, path: Path) -> None:
        """See ``FileSystem.remove``."""
        path.unlink(missing_ok=True)

    def open_log(self, path: Path) -> LogFile:
        """See ``FileSystem.open_log``."""
        return _OsLogFile(path)

    def free_bytes(self, directory: Path) -> int | None:
        """See ``FileSystem.free_bytes``."""
        found = os.statvfs(directory)
        return found.f_bavail * found.f_frsize

    def lock(self, path: Path) -> FileLock:
        """See ``FileSystem.lock``."""
        try:
            import fcntl
        except ImportError:
            raise StoreError("a json: store needs a POSIX system; use sqlite:///PATH here") from None
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, _PRIVATE_FILE)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = _pid_in(handle)
            os.close(handle)
            raise _locked(path, pid) from None
        except BaseException:
            os.close(handle)
            raise
        os.ftruncate(handle, 0)
        os.pwrite(handle, b"%d\n" % os.getpid(), 0)
        return _OsLock(handle)


def _pid_in(handle: int) -> int | None:
    text = os.pread(handle, 32, 0).strip()
    return int(text) if text.isdigit() else None


def _locked(path: Path, pid: int | None) -> StoreLocked:
    who = f"process {pid}" if pid else "another process"
    return StoreLocked(
        f"{path.parent} is being written by {who}: a json: store has one writer; wait for it, "
        "or use sqlite:///PATH, which many processes can share",
        pid=pid,
    )
