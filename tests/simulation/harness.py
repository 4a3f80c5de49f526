"""A world, a store and processes that die and come back, with faults at every seam."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs

from safeupdater.backends.memory import GOOD, Behaviour, MemoryWorld
from safeupdater.domain.notice import AlertRaised
from safeupdater.domain.operation import OperationSettings
from safeupdater.domain.plan import PlannedUpdate
from safeupdater.errors import CorruptState, StoreError
from safeupdater.protocols import Observer
from safeupdater.stores.jsonfile import JsonFileStore
from safeupdater.stores.memory import MemoryStore
from safeupdater.testing.clock import FakeClock
from safeupdater.update.admission import Limits, LocalAdmission
from safeupdater.update.executor import UpdateExecutor
from safeupdater.update.machine import is_parked, replay
from safeupdater.update.review import PolicyReview
from safeupdater.update.rollback import RollbackManager
from tests.simulation.checker import Checker, Violation
from tests.simulation.databases import Database, shared_database
from tests.simulation.faults import DEATHS, EVERYWHERE, Crash, Fault, Injector
from tests.simulation.files import CrashingFiles
from tests.simulation.people import People
from tests.simulation.settings import SECRET, SETTINGS, SimulatedPolicy, add_target, plan_for
from tests.simulation.watched import (
    Seamed,
    SimulatedChecks,
    SimulatedHooks,
    WatchedBackend,
    WatchedExecutor,
    WatchedStore,
)

LIMITS = Limits(max_concurrent=5)
"""All targets of a harness at once; what bounds rollbacks is as by default."""
_MAX_BOOTS = 60
_BETWEEN_BOOTS_S = 20.0


@attrs.define(eq=False)
class Process:
    """One updater process: an executor and its rollback manager."""

    holder: str
    executor: UpdateExecutor
    rollbacks: RollbackManager


class Harness:
    """A world of containers ``app0 …``, each running 1.0.0, with 1.1.0 on offer behaving as told."""

    def __init__(
        self,
        *,
        store: str = "memory",
        directory: Path | None = None,
        schedule: dict[int, Fault] | None = None,
        behaviours: tuple[Behaviour, ...] = (GOOD,),
        running: bool = True,
        settings: OperationSettings = SETTINGS,
        resumable: bool = False,
        failing_hooks: frozenset[str] = frozenset(),
        hears_alerts: bool = False,
    ) -> None:
        self.clock = FakeClock()
        self.injector = Injector(schedule or {}, on_fault=self._faulted)
        self.world = MemoryWorld(self.clock, host="sim")
        self.kind = store
        self.files = CrashingFiles(self.injector)
        self.database = None if store != "sqlite" else Database(directory) if directory else shared_database()
        self.policy = SimulatedPolicy(settings)
        self.dead: set[str] = set()
        self.damaged: Callable[[], None] | None = None
        self.process: Process | None = None
        self.backend = WatchedBackend(self.world, can_resume_switch=resumable)
        self.coverage: set[tuple[str, Fault]] = set()
        self.faults = 0
        self._parked: dict[str, tuple[Any, bool]] = {}
        is_probed = bool(settings.hooks or settings.health.checks)
        self._observers: list[Observer] = [self]
        if is_probed or hears_alerts:
            self._observers.append(Seamed(self.injector, only_alerts=not is_probed))
        self._numbers = itertools.count(1)
        self._processes = itertools.count(1)
        self.injector.is_quiet = True
        self.inner = self._open_store()
        self.checker = Checker(
            self.world, self.inner, lambda: self.injector.count, secrets=(SECRET,), policy=self.policy
        )
        self.hooks = SimulatedHooks(self.injector, self.checker, failing_hooks)
        self.backend.checker = self.checker
        self.world.interfere = lambda name, effect: self.injector.cross(
            f"world.{name}", lambda: self.checker.effect(name, effect)
        )
        self.planned = [self._target(number, item, running) for number, item in enumerate(behaviours)]
        self.people = People(self)
        self.injector.actions.update(self.people.actions())
        self.injector.outage = self.people.outage
        self.injector.is_quiet = False

    # --- setting the scene ----------------------------------------------------------------------------------

    def _target(self, number: int, behaviour: Behaviour, running: bool) -> PlannedUpdate:
        name = f"app{number}"
        planned, original = add_target(self.world, self.inner, name, behaviour, running=running)
        self.checker.originals[name] = original
        self.checker.ages.update({original.image.digest or "": 0, planned.changes[0].new.digest or "": 1})
        return planned

    def offer(self, number: int, version: str, behaviour: Behaviour | None) -> None:
        """Another version of a target is there, with bits of its own, or with those of the one before."""
        before = self.planned[number]
        name = before.target_id.rpartition("/")[2]
        if name not in self.world.containers:
            return
        same = before.changes[0].new.digest if behaviour is None else None
        digest = self.world.publish(f"{name}:{version}", behaviour or GOOD, digest=same)
        self.checker.ages.setdefault(digest, len(self.checker.ages))
        self.planned[number] = plan_for(self.world, name, version, digest)

    def _open_store(self) -> Any:
        def is_dead(holder: str) -> bool:
            return holder in self.dead

        match self.kind:
            case "memory":
                return MemoryStore(self.clock, is_dead=is_dead)
            case "json":
                return JsonFileStore("/state", self.clock, is_dead=is_dead, files=self.files)
            case _:
                from safeupdater.stores.sql import SqlStore

                assert self.database is not None
                return SqlStore(self.database.engine, self.clock, is_dead=is_dead)

    def reopen(self) -> None:
        """What a new process finds: the store, as the crash left it.

        Raises:
            Crash: it dies again while it opens the store.
            StoreError: the store cannot be opened now.
            Violation: a damaged store was opened as if nothing were wrong.
        """
        self.checker.turn = ""
        self.injector.is_dead = False
        if self.kind == "json":
            self.files.power_cut()
            self._refuse_what_is_damaged()
        elif self.database is not None:
            self.inner.close()
            self.database.engine.dispose()
        if self.kind != "memory":
            self.inner = self._open_store()
            self.checker.store = self.inner
        self.checker.reread_all()

    def _refuse_what_is_damaged(self) -> None:
        """No process may begin over damaged state; somebody mends it from a backup."""
        if self.damaged is None:
            return
        try:
            self._open_store()
        except CorruptState:
            self.checker.holds("I4", True, "")
        else:
            self.checker.holds("I4", False, "a damaged journal was opened")
        mend, self.damaged = self.damaged, None
        mend()
        self.files.power_cut()

    def boot(self, **arguments: Any) -> Process:
        """A new process over the present store."""
        holder = f"p{next(self._processes)}"
        self.injector.is_dead = False
        store: Any = WatchedStore(self.inner, self.injector, self.checker)
        executor = WatchedExecutor(
            [self.backend], store, clock=self.clock, checks=SimulatedChecks(self.injector), hooks=self.hooks,
            review=PolicyReview(self.policy, store), holder=holder, observers=self._observers,
            new_id=lambda: f"op{next(self._numbers)}", admission=LocalAdmission(store, LIMITS), **arguments,
        )  # fmt: skip
        executor.checker = self.checker
        return Process(holder, executor, RollbackManager(executor, store, [self.backend], clock=self.clock))

    def notify(self, happening: object) -> None:
        """Observer: alerts are what the checker wants to hear of."""
        if isinstance(happening, AlertRaised):
            if happening.code == "unexpected_error":
                # The engine goes on past its own defects; here they must be seen.
                self.checker.holds("I11", False, f"it raised {happening.message}")
            self.checker.alerts.append(happening)

    # --- running --------------------------------------------------------------------------------------------

    def run(self, begin: Callable[[Process], None]) -> None:
        """Begins, and recovers in a new process as often as the old one dies, until all has ended.

        Raises:
            Violation: an invariant does not hold.
        """
        self._attempt(begin)
        for _ in range(_MAX_BOOTS):
            if not self.unfinished():
                break
            self.clock.advance(_BETWEEN_BOOTS_S)
            if self.kind == "json":
                self.come_back()  # a JSON store has one writer: it must be closed before the next opens it
            faults = self.faults
            self._attempt(lambda process: process.rollbacks.recover(wait_s=600.0) and None)
            if self.checker.frozen and self.faults == faults:
                held_up = set(self.unfinished()) - self.checker.frozen
                self.checker.holds("I13", not held_up, f"what newer code wrote holds up {held_up}")
            self.checker.frozen.clear()
        else:
            self.checker.holds("I11", False, "operations do not end")
        self.finish()

    def finish(self) -> None:
        """Checks what is left when everything has ended.

        Raises:
            Violation: an invariant does not hold, or did not at any time and something swallowed that.
        """
        self.injector.is_quiet = True
        self.checker.reread_all()
        for planned in self.planned:
            self.checker.ended(planned.target_id)
        if self.checker.broken:
            raise Violation(self.checker.broken[0])

    def _attempt(self, act: Callable[[Process], None]) -> None:
        process: Process | None = None
        try:
            process = self.process = self.boot()
            act(process)
        except (Crash, StoreError):
            if process is not None:
                self.dead.add(process.holder)
            self.come_back()

    def come_back(self) -> None:
        """Opens the store in a new process, as often as that dies of it or is refused.

        Raises:
            CorruptState: the state is damaged, which nobody did.
        """
        for _ in range(_MAX_BOOTS):
            try:
                self.reopen()
            except CorruptState:
                raise
            except (Crash, StoreError):
                self.clock.advance(_BETWEEN_BOOTS_S)
                continue
            return
        self.checker.holds("I11", False, "the store cannot be opened any more")

    def unfinished(self) -> list[str]:
        """The operations that are under way: neither ended nor waiting for a person."""
        found = []
        for opened in self.inner.unfinished():
            entries = self.inner.load(opened.operation_id)
            known = (len(entries), entries[-1].event)
            if self._parked.get(opened.operation_id, (None, False))[0] != known:
                state = replay(entry.event for entry in entries)
                self._parked[opened.operation_id] = (known, is_parked(state))
            if not self._parked[opened.operation_id][1]:
                found.append(opened.operation_id)
        return found

    def _faulted(self, fault: Fault, name: str) -> None:
        """Notes whom a fault meets: everybody under way, or the one whose call it comes in."""
        self.faults += 1
        self.checker.restarts += fault is Fault.RESTART
        self.checker.crashes += fault in (*DEATHS, Fault.TORN, Fault.CORRUPT, Fault.NEWER)
        if self.people.is_moot(fault):
            return
        for opened in self.inner.unfinished():
            if fault in EVERYWHERE or opened.operation_id == self.checker.turn:
                state = replay(entry.event for entry in self.inner.load(opened.operation_id))
                self.coverage.add((type(state).__name__, fault))
