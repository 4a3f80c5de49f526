"""The engine on a real PostgreSQL: nothing is stranded when the server goes away during a recovery."""

from __future__ import annotations

import os
import threading
import time
from typing import Any

import pytest

from safeupdater.backends.memory import CRASHES, GOOD, MemoryWorld
from safeupdater.domain.health import HealthPolicy
from safeupdater.domain.operation import OperationSettings
from safeupdater.domain.plan import PlannedUpdate
from safeupdater.errors import StoreError
from safeupdater.stores.clock import SystemClock
from safeupdater.stores.sql import SqlStore
from safeupdater.update.executor import UpdateExecutor
from safeupdater.update.review import PolicyReview
from safeupdater.update.rollback import RollbackManager
from testbed.postgres import Postgres
from tests.simulation.checker import Checker
from tests.simulation.faults import Crash, Fault, Injector
from tests.simulation.harness import Process
from tests.simulation.kills import run_kills
from tests.simulation.settings import SECRET, AdmitAll, NoChecks, SimulatedPolicy, add_target
from tests.simulation.watched import WatchedBackend, WatchedStore

SETTINGS = OperationSettings(health=HealthPolicy(ready_timeout_s=10.0, window_s=0.6, interval_s=0.2))
DOWN_S = 1.0
CRASH_POINTS = (5, 9, 14, 18, 22, 26, 29, 33)
"""Where the updates of the eight targets are interrupted: from the first look to the verdict."""
OUTAGES = (2, 11, 24, 45, 70)
"""At which calls of the recovery the server goes away, for as long as it takes to come back."""


class Outages(Injector):
    """Takes the server away at some calls, and brings it back a little later."""

    def __init__(self, server: Postgres, how: str) -> None:
        super().__init__()
        self.server, self.how = server, how
        self.points: tuple[int, ...] = ()
        self.happened = 0
        self.met: list[str] = []
        self._comeback = threading.Thread()

    def cross(self, name: str, effect: Any) -> Any:
        if self.count + 1 in self.points:
            self.happened += 1
            self.wait()
            self._comeback = threading.Thread(target=self._go_and_come_back)
            self._comeback.start()
            time.sleep(0.05)  # the next call meets it going down, down, or coming up
        try:
            return super().cross(name, effect)
        except StoreError as error:
            self.met.append(error.code)
            raise

    def _go_and_come_back(self) -> None:
        if self.how == "crash":
            self.server.crash()
            return
        self.server.stop()
        time.sleep(DOWN_S)
        self.server.start()

    def wait(self) -> None:
        if self._comeback.ident is not None:
            self._comeback.join()


class Site:
    """A world, and processes that update it through one PostgreSQL."""

    def __init__(self, server: Postgres, how: str) -> None:
        self.server = server
        self.clock = SystemClock()
        self.world = MemoryWorld(self.clock, host="sim")
        self.seams = Outages(server, how)
        self.dead: set[str] = set()
        self.store = self._open()
        self.checker = Checker(self.world, self.store, lambda: self.seams.count, secrets=(SECRET,))
        self.world.interfere = lambda name, effect: self.seams.cross(
            f"world.{name}", lambda: self.checker.effect(name, effect)
        )

    def _open(self) -> SqlStore:
        return SqlStore(
            self.server.url,
            self.clock,
            is_dead=lambda holder: holder in self.dead,
            allow_plain_snapshots=True,
        )

    def add(self, number: int) -> PlannedUpdate:
        name = f"app{number}"
        planned, original = add_target(self.world, self.store, name, CRASHES if number % 3 == 2 else GOOD)
        self.checker.originals[name] = original
        return planned

    def boot(self, holder: str) -> Process:
        self.seams.is_dead = False
        backend = WatchedBackend(self.world)
        backend.checker = self.checker
        store: Any = WatchedStore(self.store, self.seams, self.checker)
        ids = iter(range(100))
        executor = UpdateExecutor(
            [backend], store, clock=self.clock, checks=NoChecks(),
            review=PolicyReview(SimulatedPolicy(SETTINGS), store), holder=holder,
            new_id=lambda: f"{holder}-{next(ids)}", admission=AdmitAll(),
        )  # fmt: skip
        return Process(holder, executor, RollbackManager(executor, store, [backend], clock=self.clock))

    def interrupt(self, planned: PlannedUpdate, point: int) -> None:
        """Begins an update in a process that dies at a point."""
        process = self.boot(f"dies-{planned.target_id}")
        self.seams.schedule = {self.seams.count + point: Fault.CRASH_AFTER}
        with pytest.raises(Crash):
            process.executor.run([planned])
        self.dead.add(process.holder)

    def recover(self, deadline_s: float) -> None:
        """Recovers as a service does: again and again, however often the store does not answer."""
        process = self.boot("recovers")
        until_s = time.monotonic() + deadline_s
        while time.monotonic() < until_s:
            try:
                process.rollbacks.recover()
                if not self.store.unfinished():
                    return
            except StoreError as error:
                if not error.transient:
                    raise
                time.sleep(0.1)
        raise AssertionError(f"stranded: {[opened.target_id for opened in self.store.unfinished()]}")


@pytest.mark.skipif(
    "SAFEUPDATER_TEST_DATABASE_URL" in os.environ,
    reason="does not apply: a given server is not ours to restart",
)
@pytest.mark.parametrize("how", ["restart", "crash"])
def test_a_server_that_goes_away_during_recovery_strands_no_operation(how: str) -> None:
    with Postgres() as server:
        site = Site(server, how)
        targets = [site.add(number) for number in range(len(CRASH_POINTS))]
        for planned, point in zip(targets, CRASH_POINTS, strict=True):
            site.interrupt(planned, point)
        assert len(site.store.unfinished()) == len(targets)

        site.seams.points = tuple(site.seams.count + outage for outage in OUTAGES)
        site.recover(deadline_s=120.0)
        site.seams.wait()

        assert site.seams.happened == len(OUTAGES)
        assert site.seams.met, "no call ever met an outage"
        assert set(site.seams.met) <= {"store_unavailable", "commit_unknown"}
        site.checker.reread_all()
        site.checker.crashes = 1
        for planned in targets:
            site.checker.ended(planned.target_id)
        site.store.close()


def test_processes_killed_at_random_points_leave_nothing_unfinished(postgres_url: str) -> None:
    tally = run_kills(postgres_url, 6, seed=11)

    assert tally.violations == []
    assert tally.killed >= 5
