"""Faults at every seam: calls to the runtime, probes, hooks, observers, the store and its files.

Each crossing of a seam is a numbered point. A schedule says what happens at which point; everything else
works. A crash is a ``BaseException``, so that no border of the engine can swallow it.
"""

from __future__ import annotations

import enum
import errno
import os
from collections.abc import Callable, Mapping
from typing import Any

import attrs

from safeupdater.backends.memory import MemoryWorld
from safeupdater.errors import BackendError, StoreError


class Crash(BaseException):
    """The process dies here."""


class Fault(enum.Enum):
    """What can happen at a point, named as in the failure model where it has a number."""

    CRASH_BEFORE = "crash before (F01)"
    CRASH_AFTER = "crash after (F02)"
    TORN = "torn write (F03)"
    RESTART = "daemon restart (F04)"
    CONFLICT = "conflict (F05)"
    BUSY = "429, retry later (F06)"
    TIMEOUT_BEFORE = "time-out, no effect (F07)"
    TIMEOUT_AFTER = "time-out, effect (F07)"
    SILENT = "a look that hangs (F08)"
    PARTITION = "target cut off for minutes (F09a)"
    STORE_DOWN = "store does not answer (F09b)"
    STORE_UNKNOWN = "commit outcome unknown (F09b)"
    NO_REGISTRY = "registry cut off (F09c)"
    LEASE_LOST = "lease lost to another (F10)"
    CLOCK_JUMP = "clock jump (F11)"
    STORE_FULL = "store's disk full for minutes (F12)"
    TARGET_FULL = "target's disk full (F12b)"
    CORRUPT = "state file damaged (F13)"
    RIVAL = "another writer first (F14)"
    FLAPPING = "release begins to flap (F15)"
    GONE = "target removed (F16)"
    PRUNE = "images pruned (F17)"
    OLD_BROKEN = "old version cannot start (F18)"
    EDITED = "target edited (F19)"
    DRAIN = "drain (F20)"
    TAG_MOVED = "tag moved (F22)"
    STRICTER = "policy turns stricter (F23)"
    NEWER = "record newer than the code (F24)"
    THROWS = "probe, hook, observer throws (F26)"
    HANGS = "probe, hook, observer hangs (F26)"
    PAUSED = "paused beyond the lease (F27)"
    SYNC_FAILED = "fsync fails (F28)"
    ABORT = "somebody asks to stop"


DEATHS = (Fault.CRASH_BEFORE, Fault.CRASH_AFTER)
WORLD_FAULTS = (
    *DEATHS, Fault.TIMEOUT_BEFORE, Fault.TIMEOUT_AFTER, Fault.RESTART, Fault.CONFLICT, Fault.BUSY,
)  # fmt: skip
STORE_FAULTS = (*DEATHS, Fault.STORE_DOWN, Fault.STORE_UNKNOWN)
FOREIGN_FAULTS = (*DEATHS, Fault.THROWS, Fault.HANGS)
"""What probes, hooks and observers do."""
MISHAPS = (
    Fault.RESTART, Fault.CLOCK_JUMP, Fault.GONE, Fault.EDITED, Fault.PRUNE, Fault.OLD_BROKEN, Fault.DRAIN,
    Fault.ABORT, Fault.PARTITION, Fault.FLAPPING, Fault.TAG_MOVED, Fault.STRICTER, Fault.PAUSED,
)  # fmt: skip
"""What people and machines do, at any moment, whatever the engine is at."""
EVERYWHERE = frozenset({*MISHAPS, Fault.LEASE_LOST, Fault.CORRUPT, Fault.NEWER, Fault.STORE_FULL})
"""Faults that meet every operation under way, not only the one whose call they come in."""

_OF_ONE_CALL: Mapping[str, tuple[Fault, ...]] = {
    "world.pull": (Fault.NO_REGISTRY, Fault.TARGET_FULL),
    "world.create": (Fault.TARGET_FULL,),
    "world.start": (Fault.TARGET_FULL,),
    "world.observe": (Fault.SILENT,),
    "store.append": (Fault.STORE_FULL, Fault.SYNC_FAILED),
    "store.put": (Fault.STORE_FULL, Fault.SYNC_FAILED, Fault.RIVAL),
    "file.write": (Fault.TORN, Fault.STORE_FULL),
    "file.create": (Fault.STORE_FULL,),
    "file.sync": (Fault.SYNC_FAILED,),
}
_OF_A_KIND: Mapping[str, tuple[Fault, ...]] = {
    "world": WORLD_FAULTS,
    "store": STORE_FAULTS,
    "file": DEATHS,
    "probe": FOREIGN_FAULTS,
    "hook": FOREIGN_FAULTS,
    "observer": FOREIGN_FAULTS,
}


def faults_at(name: str) -> tuple[Fault, ...]:
    """What can go wrong at a seam."""
    return (*_OF_A_KIND[name.partition(".")[0]], *_OF_ONE_CALL.get(name, ()))


def mishaps_at(name: str, store: str) -> tuple[Fault, ...]:
    """What people and machines can do at a seam, over a store of a kind.

    A lease is lost before calls to the store only: between looking at the lease and a call to a runtime
    that cannot refuse stale writers there is a gap, which the failure model bounds (§3.5) and nothing
    closes. A damaged or newer record is found by whoever opens the store.
    """
    if store == "json":
        return (Fault.CORRUPT,)
    return (*MISHAPS, Fault.LEASE_LOST, Fault.NEWER) if name.startswith("store.") else MISHAPS


@attrs.define(eq=False)
class Injector:
    """Counts the points that are crossed, and makes the scheduled ones fail.

    ``on_fault`` is told before anything happens; ``actions`` perform what people and machines do. While
    ``outage`` says that the other side of a seam is gone, every crossing of it fails. Once a process
    ``is_dead``, nothing that it still runs in handlers of its own gets through.
    """

    schedule: Mapping[int, Fault] = attrs.Factory(dict)
    actions: dict[Fault, Callable[[], None]] = attrs.Factory(dict)
    on_fault: Callable[[Fault, str], None] = lambda fault, name: None
    choose: Callable[[str], Fault | None] = lambda name: None
    outage: Callable[[str], Fault | None] = lambda name: None
    count: int = 0
    names: list[str] = attrs.Factory(list)
    is_quiet: bool = False
    is_dead: bool = False

    def cross(self, name: str, effect: Callable[[], Any]) -> Any:
        """Performs an effect at a seam, or what the schedule says instead of it, before or after it."""
        if self.is_quiet:
            return effect()
        if self.is_dead:
            raise Crash(name)
        self.count += 1
        self.names.append(name)
        fault = self.schedule.get(self.count) or self.choose(name)
        if fault is not None:
            self.on_fault(fault, name)
            try:
                return self._fail(fault, name, effect)
            except Crash:
                self.is_dead = True
                raise
        lasting = self.outage(name)
        if lasting is not None:
            raise refusal(lasting, name)
        return effect()

    def _fail(self, fault: Fault, name: str, effect: Callable[[], Any]) -> Any:
        match fault:
            case Fault.CRASH_BEFORE | Fault.TORN:
                raise Crash(name)
            case Fault.CRASH_AFTER:
                effect()
                raise Crash(name)
            case Fault.TIMEOUT_AFTER | Fault.STORE_UNKNOWN:
                effect()
                raise refusal(fault, name)
            case Fault.RESTART if name.startswith("world."):
                self.actions[fault]()
                raise refusal(fault, name)
            case fault if fault in self.actions:
                self.actions[fault]()
                lasting = self.outage(name)
                if lasting is not None:
                    raise refusal(lasting, name)
                return effect()
            case _:
                raise refusal(fault, name)


class Thrown(Exception):
    """What foreign code raises; the text may hold anything."""


_ANSWERS: Mapping[Fault, tuple[str, str, bool]] = {
    Fault.RESTART: ("the daemon went away", "unreachable", True),
    Fault.PARTITION: ("no route to the daemon", "unreachable", True),
    Fault.CONFLICT: ("conflict", "conflict", True),
    Fault.BUSY: ("too many requests", "rate_limited", True),
    Fault.NO_REGISTRY: ("the registry does not answer", "registry_unreachable", True),
    Fault.TARGET_FULL: ("no space left on device", "disk_full", False),
}


def refusal(fault: Fault, name: str) -> Exception:
    """What a caller gets where a fault lets a call fail."""
    if fault is Fault.THROWS:
        return Thrown("foreign code failed with hunter2-planted")
    if name.startswith("file."):
        return OSError(errno.EIO if fault is Fault.SYNC_FAILED else errno.ENOSPC, os.strerror(errno.EIO))
    if name.startswith("store."):
        return _store_refusal(fault)
    message, code, transient = _ANSWERS.get(fault, ("no answer", "timeout", True))
    evidence = {"retry_after_s": 30.0} if fault is Fault.BUSY else {}
    return BackendError(message, code=code, transient=transient, **evidence)


def _store_refusal(fault: Fault) -> StoreError:
    match fault:
        case Fault.STORE_FULL:
            return StoreError("the disk is full", code="disk_full", transient=True)
        case Fault.SYNC_FAILED:
            return StoreError("not durable", code="sync_failed", transient=False)
        case _:
            return StoreError("no answer", transient=True)


class FaultyStore:
    """A store whose every durable call is a seam; reads fail too, without effect."""

    def __init__(self, inner: Any, injector: Injector) -> None:
        self._inner = inner
        self._injector = injector

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._inner, name)
        if name in ("append", "put", "acquire", "renew", "release"):
            return lambda *args, **kwargs: self._injector.cross(
                f"store.{name}", lambda: method(*args, **kwargs)
            )
        return method


def interfere_with(world: MemoryWorld, injector: Injector) -> None:
    """Makes every call of the backend to the world a seam."""
    world.interfere = lambda name, effect: injector.cross(f"world.{name}", effect)
