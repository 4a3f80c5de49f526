"""A world, a store and processes that die and come back, with faults at every seam."""

from __future__ import annotations

import atexit
import contextlib
import functools
import itertools
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs

from safeupdater.backends.memory import GOOD, Behaviour, Container, MemoryBackend, MemoryWorld
from safeupdater.domain.artifact import ImageReference
from safeupdater.domain.asset import Asset
from safeupdater.domain.candidate import Candidate
from safeupdater.domain.change import Change, VersionChangeType
from safeupdater.domain.decision import Decision, Reason, Verdict
from safeupdater.domain.health import HealthPolicy
from safeupdater.domain.notice import AlertRaised
from safeupdater.domain.operation import AbortRequested, OperationSettings, RollbackPolicy
from safeupdater.domain.plan import PlannedUpdate
from safeupdater.errors import StoreError
from safeupdater.gates import gate
from safeupdater.protocols import Admittance, AssetPolicy
from safeupdater.stores.jsonfile import JsonFileStore
from safeupdater.stores.memory import MemoryStore
from safeupdater.testing.clock import FakeClock
from safeupdater.update.executor import UpdateExecutor
from safeupdater.update.machine import is_parked, replay
from safeupdater.update.review import PolicyReview
from safeupdater.update.rollback import RollbackManager
from tests.simulation.checker import Acting, Checker, Violation
from tests.simulation.faults import Crash, Fault, FaultyStore, Injector
from tests.simulation.files import CrashingFiles

SETTINGS = OperationSettings(
    health=HealthPolicy(ready_timeout_s=60.0, window_s=30.0, interval_s=10.0), rollback=RollbackPolicy()
)
SECRET = "hunter2-planted"
_MAX_BOOTS = 60


@gate
def everything(candidate: Candidate) -> Decision:
    """Approves whatever the hard gates let through."""
    reason = Reason(code="simulated", message="the simulation approves", verdict=Verdict.APPROVE)
    return Decision.because(reason, change_type=candidate.change.change_type)


class SimulatedPolicy:
    """One policy for everything."""

    def __init__(self, settings: OperationSettings = SETTINGS) -> None:
        self._policy = AssetPolicy(gate=everything, fingerprint="simulated", settings=settings)

    def for_asset(self, asset: Asset) -> AssetPolicy:
        return self._policy

    def defaults(self) -> AssetPolicy:
        return self._policy


class NoChecks:
    """The world's own word is the only evidence."""

    def create(self, type: str, **options: object) -> Any:
        raise AssertionError("the simulation has no probes")


class AdmitAll:
    """Lets everything begin."""

    def admit(self, planned: PlannedUpdate, now: object) -> Admittance:
        return Admittance(admitted=True)


def add_target(
    world: MemoryWorld, store: Any, name: str, behaviour: Behaviour, *, running: bool = True
) -> tuple[PlannedUpdate, Container]:
    """Adds a container that runs 1.0.0, with 1.1.0 on offer: the planned update, and what it is now."""
    old = world.run(name, f"{name}:1.0.0", running=running, password=SECRET)
    digest = world.publish(f"{name}:1.1.0", behaviour)
    new = ImageReference.parse(f"{name}:1.1.0").with_digest(digest)
    asset_id = f"memory://{world.host}/{name}"
    change = Change(asset_id=asset_id, current=old.image, new=new, change_type=VersionChangeType.MINOR)
    reason = Reason(code="simulated", message="the simulation approves", verdict=Verdict.APPROVE)
    for asset in MemoryBackend(world).scan().assets:
        if asset.id == asset_id:
            store.put("asset", asset_id, asset)
    planned = PlannedUpdate(
        target_id=asset_id, changes=(change,), decision=Decision.because(reason), policy_hash="simulated"
    )
    return planned, attrs.evolve(old)


class WatchedBackend(MemoryBackend):
    """The real backend, telling the checker who acts."""

    checker: Checker

    def perform(self, operation: Any, phase: Any, step: str, report: Any) -> Any:
        began = self.checker.points()
        self.checker.acting = Acting(
            operation_id=operation.operation_id, target_id=operation.target_id, epoch=operation.epoch,
            phase=phase, step=step, began=began,
        )  # fmt: skip
        try:
            return super().perform(operation, phase, step, report)
        finally:
            self.checker.acting = None


class WatchedStore(FaultyStore):
    """The store behind its seam, telling the checker of journals and epochs."""

    def __init__(self, inner: Any, injector: Injector, checker: Checker) -> None:
        super().__init__(inner, injector)
        self._checker = checker

    def __getattr__(self, name: str) -> Any:
        method = super().__getattr__(name)
        if name == "append":
            return lambda operation_id, events, **kwargs: self._append(method, operation_id, events, kwargs)
        if name == "put":
            return lambda kind, key, *args, **kwargs: self._put(method, kind, key, args, kwargs)
        if name == "acquire":
            return lambda key, *args: self._acquire(method, key, args)
        return method

    def _append(self, method: Any, operation_id: str, events: Any, kwargs: Any) -> Any:
        try:
            version = method(operation_id, events, **kwargs)
        except BaseException:
            # What became of it is known only by looking.
            self._checker.reread(operation_id)
            raise
        self._checker.appended(operation_id, kwargs["expected_version"], tuple(events))
        return version

    def _put(self, method: Any, kind: str, key: str, args: Any, kwargs: Any) -> Any:
        if kind == "snapshot":
            self._checker.snapshots.pop(key, None)
        return method(kind, key, *args, **kwargs)

    def _acquire(self, method: Any, key: str, args: Any) -> Any:
        lease = method(key, *args)
        if lease is not None:
            self._checker.epochs[key] = max(lease.epoch, self._checker.epochs.get(key, 0))
        return lease


class Database:
    """An SQLite file that is as new for every run: copied from a template, on one engine for all runs."""

    def __init__(self, directory: Path) -> None:
        from safeupdater.stores.sql import SqlStore
        from safeupdater.stores.sqlsession import make_engine

        self._path = directory / "state.db"
        url = f"sqlite:///{self._path}"
        SqlStore(url).close()
        self._template = self._path.read_bytes()
        self.engine = make_engine(url)

    def renew(self) -> None:
        """Forgets everything that was stored."""
        self.engine.dispose()
        for suffix in ("-wal", "-shm"):
            self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)
        self._path.write_bytes(self._template)


@functools.cache
def _own_database() -> Database:
    memory = Path("/dev/shm")
    directory = tempfile.TemporaryDirectory(prefix="su-simulation-", dir=memory if memory.is_dir() else None)
    atexit.register(directory.cleanup)
    return Database(Path(directory.name))


def shared_database() -> Database:
    """The process's database, empty: one harness at a time has it.

    It lies in memory where the system has a file system there: SQLite loses nothing that it must keep when
    a process dies, only when the power fails, and that is not simulated on it.
    """
    database = _own_database()
    database.renew()
    return database


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
    ) -> None:
        self.clock = FakeClock()
        self.injector = Injector(schedule or {}, on_fault=self._faulted)
        self.world = MemoryWorld(self.clock, host="sim")
        self.kind = store
        self.files = CrashingFiles(self.injector)
        self.database = None if store != "sqlite" else Database(directory) if directory else shared_database()
        self.policy = SimulatedPolicy(settings)
        self.dead: set[str] = set()
        self.process: Process | None = None
        self.backend = WatchedBackend(self.world, can_resume_switch=resumable)
        self.coverage: set[tuple[str, Fault]] = set()
        self._numbers = itertools.count(1)
        self._processes = itertools.count(1)
        self.injector.is_quiet = True
        self.inner = self._open_store()
        self.checker = Checker(self.world, self.inner, lambda: self.injector.count, secrets=(SECRET,))
        self.backend.checker = self.checker
        self.world.interfere = lambda name, effect: self.injector.cross(
            f"world.{name}", lambda: self.checker.effect(name, effect)
        )
        self.planned = [self._target(number, item, running) for number, item in enumerate(behaviours)]
        self.injector.actions.update(
            {
                Fault.RESTART: self.world.restart_daemon,
                Fault.CLOCK_JUMP: self._jump,
                Fault.PRUNE: self.world.prune,
                Fault.GONE: self._somebody_removes,
                Fault.OLD_BROKEN: self._old_breaks,
                Fault.EDITED: self._somebody_edits,
                Fault.ABORT: self._somebody_aborts,
                Fault.DRAIN: self._drain,
                Fault.LEASE_LOST: self._somebody_takes_the_lease,
            }
        )
        self.injector.is_quiet = False

    # --- setting the scene ----------------------------------------------------------------------------------

    def _target(self, number: int, behaviour: Behaviour, running: bool) -> PlannedUpdate:
        name = f"app{number}"
        planned, original = add_target(self.world, self.inner, name, behaviour, running=running)
        self.checker.originals[name] = original
        return planned

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
        """What a new process finds: the store, as the crash left it."""
        if self.kind == "json":
            self.files.power_cut()
        elif self.database is not None:
            self.inner.close()
            self.database.engine.dispose()
        if self.kind != "memory":
            self.inner = self._open_store()
            self.checker.store = self.inner
        self.checker.reread_all()

    def boot(self, **arguments: Any) -> Process:
        """A new process over the present store."""
        holder = f"p{next(self._processes)}"
        store: Any = WatchedStore(self.inner, self.injector, self.checker)
        executor = UpdateExecutor(
            [self.backend], store, clock=self.clock, checks=NoChecks(),
            review=PolicyReview(self.policy, store), holder=holder,
            new_id=lambda: f"op{next(self._numbers)}", admission=AdmitAll(), observers=[self], **arguments,
        )  # fmt: skip
        return Process(holder, executor, RollbackManager(executor, store, [self.backend], clock=self.clock))

    def notify(self, happening: object) -> None:
        """Observer: alerts are what the checker wants to hear of."""
        if isinstance(happening, AlertRaised):
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
            self.clock.advance(1.0)
            self._attempt(lambda process: process.rollbacks.recover(wait_s=600.0) and None)
        else:
            raise Violation("I11: operations do not end")
        self.checker.reread_all()
        for planned in self.planned:
            self.checker.ended(planned.target_id)

    def _attempt(self, act: Callable[[Process], None]) -> None:
        process: Process | None = None
        try:
            process = self.process = self.boot()
            act(process)
        except Crash:
            self._die(process)
        except StoreError:
            self._die(process)

    def _die(self, process: Process | None) -> None:
        if process is not None:
            self.dead.add(process.holder)
        while True:
            try:
                self.reopen()
            except Crash:
                continue
            return

    def unfinished(self) -> list[str]:
        """The operations that are under way: neither ended nor waiting for a person."""
        found = []
        for opened in self.inner.unfinished():
            state = replay(entry.event for entry in self.inner.load(opened.operation_id))
            if not is_parked(state):
                found.append(opened.operation_id)
        return found

    # --- what people and machines do -----------------------------------------------------------------------

    def _faulted(self, fault: Fault, name: str) -> None:
        self.checker.restarts += fault is Fault.RESTART
        self.checker.crashes += fault in (Fault.CRASH_BEFORE, Fault.CRASH_AFTER, Fault.TORN)
        for opened in self.inner.unfinished():
            state = replay(entry.event for entry in self.inner.load(opened.operation_id))
            self.coverage.add((type(state).__name__, fault))

    def _jump(self) -> None:
        from datetime import timedelta

        self.clock.jump(timedelta(days=3650 if self.injector.count % 2 else -3650))

    def _drain(self) -> None:
        if self.process is not None:
            self.process.executor.stop()

    def _somebody_takes_the_lease(self) -> None:
        """The updater stands still for longer than its lease; another takes it, and lets go of it soon."""
        self.clock.advance(5000.0)
        for planned in self.planned:
            lease = self.inner.acquire(planned.target_id, "somebody", 1.0)
            if lease is not None:
                self.checker.epochs[planned.target_id] = lease.epoch

    def _old_breaks(self) -> None:
        planned = self.planned[self.injector.count % len(self.planned)]
        self.world.behaviours[planned.changes[0].current.digest or ""] = Behaviour(startable=False)

    def _somebody_removes(self) -> None:
        name = self.planned[self.injector.count % len(self.planned)].target_id.rpartition("/")[2]
        container = self.world.containers.get(name)
        if container is not None:
            self.checker.removed.add(name)
            self.world.remove(name)

    def _somebody_aborts(self) -> None:
        """A person at another terminal: past every seam, since it is not this process that fails."""
        self.injector.is_quiet = True
        for opened in self.inner.unfinished()[:1]:
            entries = self.inner.load(opened.operation_id)
            with contextlib.suppress(StoreError):
                self.inner.append(
                    opened.operation_id, [AbortRequested(by="somebody")],
                    expected_version=len(entries), at=self.clock.now(),
                )  # fmt: skip
                self.checker.reread(opened.operation_id)
        self.injector.is_quiet = False

    def _somebody_edits(self) -> None:
        name = self.planned[self.injector.count % len(self.planned)].target_id.rpartition("/")[2]
        container = self.world.containers.get(name)
        if container is not None:
            container.config = {**container.config, "edited": self.injector.count}
            self.checker.touched[container.id] = self.injector.count
            self.checker.edited.add(name)
