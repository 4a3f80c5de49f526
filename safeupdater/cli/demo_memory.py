"""The demonstration's world in memory: no server, no network, and a clock that does not dawdle."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from safeupdater.backends.memory import Behaviour, MemoryBackend, MemoryWorld
from safeupdater.cli.demo_stage import Stage
from safeupdater.config.policy import Policy
from safeupdater.domain.operation import Outcome
from safeupdater.protocols import Observer
from safeupdater.stores.memory import MemoryStore
from safeupdater.update.updater import Updater

_SPEED = 250.0
_LONGEST_PAUSE_S = 0.25


class FastClock:
    """A clock on which whatever is waited for has passed almost at once.

    ``pause`` is what really passes meanwhile: seconds to sleep, so that people can follow.
    """

    def __init__(self, pause: Callable[[float], None] = lambda _: None) -> None:
        self._skipped_s = 0.0
        self._pause = pause

    def now(self) -> datetime:
        """The wall clock plus what was skipped."""
        return datetime.now(UTC) + timedelta(seconds=self._skipped_s)

    def monotonic(self) -> float:
        """The monotonic clock plus what was skipped."""
        return time.monotonic() + self._skipped_s

    def wait(self, delay_s: float, interrupted: Callable[[], bool]) -> None:
        """Skips the time, but for a short pause."""
        if not interrupted():
            self._pause(min(delay_s / _SPEED, _LONGEST_PAUSE_S))
            self._skipped_s += delay_s


@contextmanager
def memory_stage(observer: Observer, *, is_watched: bool) -> Iterator[Stage]:
    """A host in memory on which three containers run, each with a newer version in the registry."""
    clock = FastClock(time.sleep if is_watched else lambda _: None)
    world = MemoryWorld(clock, host="demo")
    world.run("shop", "example/shop:1.4.2")
    world.run("search", "example/search:2.1.0")
    world.run("ledger", "example/ledger:15.4.0")
    world.publish("example/shop:1.4.3", Behaviour(ready_after_s=8.0))
    # It comes up well and dies of a leak a while later: a deployment without a window calls it a success.
    world.publish("example/search:2.1.1", Behaviour(ready_after_s=5.0, exits_after_s=45.0))
    world.publish("example/ledger:16.0.0")
    updater = Updater(
        backends=[MemoryBackend(world)],
        policy=Policy.default(),
        store=MemoryStore(clock),
        tags=world,
        clock=clock,
        observers=[observer],
    )
    with updater:
        yield Stage(
            updater=updater,
            place="a little world in memory, where time runs fast",
            outcomes={"shop": Outcome.SUCCEEDED, "search": Outcome.ROLLED_BACK},
            waits="ledger",
        )
