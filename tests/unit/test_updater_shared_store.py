"""One store for the updaters of several hosts: each plans and applies what it serves."""

from __future__ import annotations

from typing import Any

import pytest

from safeupdater.backends.memory import MemoryBackend, MemoryWorld
from safeupdater.config import Policy
from safeupdater.domain.operation import Outcome
from safeupdater.errors import DockerConnectionError
from safeupdater.stores.memory import MemoryStore
from safeupdater.testing.clock import FakeClock
from safeupdater.update.updater import Updater


class Fleet:
    """Two hosts with ``web`` on each, a newer release of it, and one store."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.store = MemoryStore(self.clock)
        self.worlds = {host: MemoryWorld(self.clock, host=host) for host in ("north", "south")}
        for world in self.worlds.values():
            world.run("web", "web:1.0.0")
            world.publish("web:1.0.1")

    def updater(self, *hosts: str) -> Updater:
        return Updater(
            backends=[MemoryBackend(self.worlds[host]) for host in hosts], store=self.store,
            policy=Policy.default(), tags=self.worlds["north"], clock=self.clock,
        )  # fmt: skip


@pytest.fixture
def fleet() -> Fleet:
    fleet = Fleet()
    fleet.updater("north", "south").scan()
    return fleet


def test_each_plans_and_applies_what_runs_where_it_reaches(fleet: Fleet) -> None:
    north = fleet.updater("north")
    assert [update.target_id for update in north.plan().updates] == ["memory://north/web"]
    assert [result.outcome for result in north.apply()] == [Outcome.SUCCEEDED]
    (left,) = fleet.updater("south").plan().updates
    assert left.target_id == "memory://south/web"


def test_without_a_backend_everything_that_is_known_is_planned(fleet: Fleet) -> None:
    assert len(fleet.updater().plan().updates) == 2


def test_a_backend_that_cannot_say_what_it_serves_keeps_no_other_from_its_plan(fleet: Fleet) -> None:
    updater = fleet.updater("north", "south")
    away: Any = updater.backends[1]
    for error in (DockerConnectionError("the daemon is away"), RuntimeError("a bug")):

        def owns(target_id: str, error: Exception = error) -> bool:
            raise error

        away.owns = owns
        assert [update.target_id for update in updater.plan().updates] == ["memory://north/web"]
