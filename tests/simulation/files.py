"""A file system in memory that forgets at a crash what was not synced, and can tear the last write."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import attrs

from safeupdater.errors import StoreLocked
from tests.simulation.faults import Crash, Fault, Injector


@attrs.define(eq=False)
class _Content:
    now: bytearray
    durable: bytes


def _turned(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 0x40]) + data[at + 1 :]


class CrashingFiles:
    """What a power cut leaves: synced content and names; of the rest, nothing or a torn part."""

    def __init__(self, injector: Injector) -> None:
        self.injector = injector
        self._files: dict[Path, _Content] = {}
        self._names: dict[Path, _Content] = {}
        self._locked: set[Path] = set()

    def power_cut(self) -> None:
        """Forgets everything that was not made durable; locks are gone too."""
        self._files = dict(self._names)
        for content in self._files.values():
            content.now = bytearray(content.durable)
        self._locked.clear()

    def damage(self) -> Callable[[], None]:
        """Turns a byte in the middle of the journal; what mends it again."""
        (content,) = (item for path, item in self._names.items() if path.name == "journal.jsonl")
        at = len(content.durable.rstrip(b"\0")) // 2
        content.durable = _turned(content.durable, at)
        return lambda: setattr(content, "durable", _turned(content.durable, at))

    def read(self, path: Path) -> bytes | None:
        content = self._files.get(path)
        return bytes(content.now) if content else None

    def names(self, directory: Path) -> tuple[str, ...]:
        return tuple(path.name for path in self._files if path.parent == directory)

    def make_directory(self, path: Path) -> None:
        return None

    def create(self, path: Path, data: bytes) -> None:
        def effect() -> None:
            self._files[path] = _Content(bytearray(data), bytes(data))

        self.injector.cross("file.create", effect)

    def replace(self, source: Path, target: Path) -> None:
        def effect() -> None:
            self._files[target] = self._files.pop(source)

        self.injector.cross("file.replace", effect)

    def sync_directory(self, path: Path) -> None:
        self.injector.cross("file.sync_directory", lambda: setattr(self, "_names", dict(self._files)))

    def remove(self, path: Path) -> None:
        self.injector.cross("file.remove", lambda: self._files.pop(path, None))

    def open_log(self, path: Path) -> CrashingLog:
        return CrashingLog(self, self._files[path])

    def free_bytes(self, directory: Path) -> int | None:
        return None

    def lock(self, path: Path) -> CrashingLock:
        if path in self._locked:
            raise StoreLocked("locked", pid=None)
        self._locked.add(path)
        return CrashingLock(self, path)

    def unlock(self, path: Path) -> None:
        self._locked.discard(path)


class CrashingLog:
    """An open journal whose writes are durable after ``sync`` only."""

    def __init__(self, files: CrashingFiles, content: _Content) -> None:
        self._files = files
        self._content = content

    def write(self, offset: int, data: bytes) -> None:
        injector = self._files.injector
        following = injector.count + 1
        is_alive = not (injector.is_quiet or injector.is_dead)
        if injector.schedule.get(following) is Fault.TORN and is_alive:
            self._put(offset, data[: len(data) // 2])
            self._content.durable = bytes(self._content.now)
            injector.count += 1
            injector.names.append("file.write")
            injector.on_fault(Fault.TORN, "file.write")
            injector.is_dead = True
            raise Crash("torn")
        injector.cross("file.write", lambda: self._put(offset, data))

    def _put(self, offset: int, data: bytes) -> None:
        content = self._content.now
        if len(content) < offset:
            content.extend(b"\0" * (offset - len(content)))
        content[offset : offset + len(data)] = data

    def sync(self) -> None:
        def effect() -> None:
            self._content.durable = bytes(self._content.now)

        self._files.injector.cross("file.sync", effect)

    def truncate(self, size: int) -> None:
        del self._content.now[size:]

    def close(self) -> None:
        return None


class CrashingLock:
    """A lock that dies with the process."""

    def __init__(self, files: CrashingFiles, path: Path) -> None:
        self._files = files
        self._path = path

    def release(self) -> None:
        self._files.unlock(self._path)
