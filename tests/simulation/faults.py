"""Faults at every seam: the calls to the runtime, the looks, the store and its files.

Each crossing of a seam is a numbered point. A schedule says what happens at which point; everything else
works. A crash is a ``BaseException``, so that no border of the engine can swallow it.
"""

from __future__ import annotations

import enum
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
    TIMEOUT_BEFORE = "time-out, no effect (F07)"
    TIMEOUT_AFTER = "time-out, effect (F07)"
    STORE_DOWN = "store does not answer (F09b)"
    STORE_UNKNOWN = "commit outcome unknown (F09b)"
    LEASE_LOST = "lease lost (F10)"
    CLOCK_JUMP = "clock jump (F11)"
    GONE = "target removed (F16)"
    EDITED = "target edited (F19)"
    PRUNE = "images pruned (F17)"
    OLD_BROKEN = "old version cannot start (F18)"
    DRAIN = "drain (F20)"
    ABORT = "somebody asks to stop"


@attrs.define(eq=False)
class Injector:
    """Counts the points that are crossed, and makes the scheduled ones fail.

    ``on_point`` is told of every crossing before anything happens (for the checker); ``world_faults``
    perform what people and daemons do.
    """

    schedule: Mapping[int, Fault] = attrs.Factory(dict)
    actions: dict[Fault, Callable[[], None]] = attrs.Factory(dict)
    on_fault: Callable[[Fault, str], None] = lambda fault, name: None
    choose: Callable[[str], Fault | None] = lambda name: None
    count: int = 0
    names: list[str] = attrs.Factory(list)
    is_quiet: bool = False

    def cross(self, name: str, effect: Callable[[], Any]) -> Any:
        """Performs an effect at a seam, or what the schedule says instead of it, before or after it."""
        if self.is_quiet:
            return effect()
        self.count += 1
        self.names.append(name)
        fault = self.schedule.get(self.count) or self.choose(name)
        if fault is None:
            return effect()
        self.on_fault(fault, name)
        match fault:
            case Fault.CRASH_BEFORE | Fault.TORN:
                raise Crash(name)
            case Fault.CRASH_AFTER:
                effect()
                raise Crash(name)
            case Fault.TIMEOUT_BEFORE | Fault.STORE_DOWN:
                raise _no_answer(name)
            case Fault.TIMEOUT_AFTER | Fault.STORE_UNKNOWN:
                effect()
                raise _no_answer(name)
            case Fault.CONFLICT:
                raise BackendError("conflict", code="conflict", transient=True)
            case Fault.RESTART if name.startswith("world."):
                self.actions[fault]()
                raise BackendError("the daemon went away", code="unreachable", transient=True)
            case _:
                self.actions.get(fault, _nothing)()
                return effect()


def _nothing() -> None:
    return None


def _no_answer(name: str) -> Exception:
    if name.startswith("store."):
        return StoreError("no answer", transient=True)
    return BackendError("no answer", code="timeout", transient=True)


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
