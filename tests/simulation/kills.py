"""Real processes killed by SIGKILL at random points of an update, and what a new process makes of it.

The world lies in a file that is replaced at every call, as a real runtime outlives its updater. A first
process begins an update and is killed at a scheduled crossing of a seam (runtime, store, file or statement),
before or after the effect, or by somebody else at a moment of the clock on the wall. A second one recovers
at once, perhaps to be killed as well; a last one ends it. What is left must satisfy the invariants.

    python -m tests.simulation.kills --store sqlite --kills 200 --seed 1
    python -m tests.simulation.kills --replay kills:sqlite:1:17
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import importlib
import json
import os
import pickle
import random
import secrets
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NoReturn, Self

import attrs

from safeupdater.backends.memory import MemoryWorld
from safeupdater.backends.memory.world import Container
from safeupdater.domain.plan import PlannedUpdate
from safeupdater.protocols import Clock, StateStore
from safeupdater.stores.filesystem import OsFileSystem
from safeupdater.stores.holder import holder_identity
from safeupdater.stores.jsonfile import JsonFileStore
from safeupdater.testing.clock import FakeClock
from safeupdater.update.admission import LocalAdmission
from safeupdater.update.review import PolicyReview
from safeupdater.update.rollback import RollbackManager
from tests.simulation.checker import Checker, Violation
from tests.simulation.crashes import SCENARIOS, Scenario
from tests.simulation.faults import Injector
from tests.simulation.harness import LIMITS, Process
from tests.simulation.settings import SECRET, SimulatedPolicy, add_target
from tests.simulation.watched import (
    Seamed,
    SimulatedChecks,
    SimulatedHooks,
    WatchedBackend,
    WatchedExecutor,
    WatchedStore,
)

ROOT = Path(__file__).resolve().parents[2]
RECOVERY_S = 60.0
"""How long a recovery may take on the clock on the wall."""
SHARE_BY_OTHERS = 0.2
SHARE_TWICE = 0.4
_FAILED = 70
_KILLED = -signal.SIGKILL
_ENDING = tuple(scenario for scenario in SCENARIOS if not scenario.parks)
"""Everything that ends without a person."""
_BY_NAME = {scenario.name: scenario for scenario in _ENDING}


@attrs.frozen(kw_only=True)
class Kill:
    """When a process dies: at a crossing, before its effect or after it, or after a time on the wall."""

    point: int = 0
    after: bool = False
    delay_s: float | None = None


@attrs.frozen(kw_only=True)
class Job:
    """What one process is to do: begin an update, or recover; ``seat`` holds the world's file."""

    seat: str
    url: str
    scenario: str
    recover: bool = False
    kill: Kill = Kill()


# --- the world that outlives its updaters -------------------------------------------------------------------


@attrs.define
class Scene:
    """The world, its targets as they were, and what is planned for them; all of it lies in one file."""

    path: Path
    world: MemoryWorld
    clock: FakeClock
    planned: list[PlannedUpdate]
    originals: dict[str, Container]

    @classmethod
    def load(cls, seat: str) -> Self:
        """What the file holds."""
        path = Path(seat, "world")
        return cls(path, *pickle.loads(path.read_bytes()))

    def save(self) -> None:
        """Replaces the file, whole."""
        interfere, self.world.interfere = self.world.interfere, None
        content = pickle.dumps((self.world, self.clock, self.planned, self.originals))
        self.world.interfere = interfere
        fresh = self.path.with_suffix(".new")
        fresh.write_bytes(content)
        fresh.replace(self.path)


def set_up(seat: Path, url: str, scenario: Scenario, names: tuple[str, ...]) -> None:
    """Writes a world with these targets, and a store that knows them."""
    clock = FakeClock()
    world = MemoryWorld(clock, host="sim")
    with contextlib.closing(open_at(url, clock, Injector())) as store:
        added = [
            add_target(world, store, name, scenario.behaviours[0], running=scenario.running) for name in names
        ]
    originals = {name: container for name, (_, container) in zip(names, added, strict=True)}
    Scene(seat / "world", world, clock, [planned for planned, _ in added], originals).save()


# --- one process --------------------------------------------------------------------------------------------


class Executioner(Injector):
    """Counts the crossings, and kills its own process at the scheduled one."""

    kill = Kill()

    def cross(self, name: str, effect: Callable[[], Any]) -> Any:
        self.count += 1
        is_due = self.count == self.kill.point
        if is_due and not self.kill.after:
            _die()
        result = effect()
        if is_due:
            _die()
        return result


def _die() -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("unreachable")


class CrossedFiles:
    """The real file system; every call that changes something is a seam."""

    def __init__(self, seams: Injector) -> None:
        self._files = OsFileSystem()
        self._seams = seams

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._files, name)
        if name in ("create", "replace", "sync_directory", "remove"):
            return lambda *args: self._seams.cross(f"file.{name}", lambda: method(*args))
        return method

    def open_log(self, path: Path) -> CrossedLog:
        return CrossedLog(self._files.open_log(path), self._seams)


class CrossedLog:
    """A journal file whose writes and syncs are seams."""

    def __init__(self, log: Any, seams: Injector) -> None:
        self._log = log
        self._seams = seams

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._log, name)
        if name in ("write", "sync", "truncate"):
            return lambda *args: self._seams.cross(f"file.{name}", lambda: method(*args))
        return method


def open_at(url: str, clock: Clock, seams: Injector) -> Any:
    """The store of a URL; every file operation, or statement sent to a database, is a seam."""
    if url.startswith("json:"):
        return JsonFileStore(url.removeprefix("json:"), clock, files=CrossedFiles(seams))
    from sqlalchemy import event

    from safeupdater.stores.sql import SqlStore
    from safeupdater.stores.sqlsession import make_engine

    engine = make_engine(url)

    def said(*arguments: Any) -> None:
        seams.cross("sql.statement", lambda: None)

    event.listen(engine, "before_cursor_execute", said)
    event.listen(engine, "after_cursor_execute", said)
    store = SqlStore(engine, clock, allow_plain_snapshots=True)
    close = store.close
    store.close = lambda: (close(), engine.dispose())  # type: ignore[method-assign]
    return store


class SavingClock:
    """The world's clock; its waits are seams, too: processes die while they wait."""

    def __init__(self, scene: Scene, seams: Injector) -> None:
        self._scene = scene
        self._seams = seams

    def wait(self, delay_s: float, interrupted: Callable[[], bool]) -> None:
        def effect() -> None:
            self._scene.clock.wait(delay_s, interrupted)
            self._scene.clock.waits.clear()
            self._scene.save()

        self._seams.cross("clock.wait", effect)

    def now(self) -> Any:
        return self._scene.clock.now()

    def monotonic(self) -> float:
        return self._scene.clock.monotonic()


def carry_out(job: Job) -> int:
    """Does what one process does, until it ends or is killed; the number of crossings."""
    scene = Scene.load(job.seat)
    scenario = _BY_NAME[job.scenario]
    seams = Executioner()
    seams.kill = job.kill
    clock = SavingClock(scene, seams)
    with contextlib.closing(open_at(job.url, clock, seams)) as inner:
        checker = Checker(scene.world, inner, lambda: seams.count, secrets=(SECRET,))
        process = _boot(scene, scenario, inner, seams, checker, clock)
        if job.recover:
            results = process.rollbacks.recover(wait_s=0.0)
            # The holder is dead: its lease, which has minutes left, holds nobody up.
            held_up = [result.target_id for result in results if result.code == "target_busy"]
            checker.holds("I11", not held_up, f"a dead holder's lease holds up {held_up}")
        else:
            scenario.begin(process, scene)  # type: ignore[arg-type]
    return seams.count


def _boot(
    scene: Scene, scenario: Scenario, inner: StateStore, seams: Injector, checker: Checker, clock: Clock
) -> Process:
    def interfere(name: str, effect: Callable[[], Any]) -> Any:
        def act() -> Any:
            result = checker.effect(name, effect)
            scene.save()
            return result

        return seams.cross(f"world.{name}", act)

    scene.world.interfere = interfere
    for opened in inner.unfinished():
        checker.reread(opened.operation_id)
    backend = WatchedBackend(scene.world, can_resume_switch=scenario.resumable)
    backend.checker = checker
    store: Any = WatchedStore(inner, seams, checker)
    holder = holder_identity()
    review = PolicyReview(SimulatedPolicy(scenario.settings), store)
    executor = WatchedExecutor(
        [backend], store, clock=clock, checks=SimulatedChecks(seams), review=review, holder=holder,
        hooks=SimulatedHooks(seams, checker, scenario.failing_hooks), observers=[Seamed(seams)],
        new_id=lambda: f"op-{secrets.token_hex(6)}", admission=LocalAdmission(store, LIMITS),
    )  # fmt: skip
    executor.checker = checker
    return Process(holder, executor, RollbackManager(executor, store, [backend], clock=clock))


# --- processes to kill --------------------------------------------------------------------------------------


def serve() -> None:
    """Forks a process for every job that it reads, having imported everything; answers how it ended."""
    with contextlib.suppress(ImportError):  # without the extra there are no SQL stores to kill
        for name in (
            "safeupdater.stores.sql",
            "sqlalchemy.dialects.sqlite",
            "sqlalchemy.dialects.postgresql",
        ):
            importlib.import_module(name)
    gc.freeze()
    for line in sys.stdin:
        asked = json.loads(line)
        job = Job(**{**asked, "kill": Kill(**asked["kill"])})
        began_s = time.monotonic()
        pid = os.fork()
        if pid == 0:
            _run_and_exit(job)
        if job.kill.delay_s is not None:
            time.sleep(job.kill.delay_s)
            os.kill(pid, signal.SIGKILL)  # nobody has waited for it yet: the id is still its own
        _, status = os.waitpid(pid, 0)
        answer = {"code": os.waitstatus_to_exitcode(status), "took_s": time.monotonic() - began_s}
        print(json.dumps(answer), flush=True)


def _run_and_exit(job: Job) -> NoReturn:
    try:
        Path(job.seat, "crossings").write_text(str(carry_out(job)))
    except BaseException as error:  # noqa: BLE001  whatever it is, the parent must hear of it
        named = isinstance(error, Violation)
        Path(job.seat, "error").write_text(str(error) if named else traceback.format_exc())
        os._exit(_FAILED)
    os._exit(0)


@attrs.define
class Nursery:
    """A process that has everything imported and forks those that are to die."""

    _server: subprocess.Popen[str]

    @classmethod
    @contextlib.contextmanager
    def opened(cls) -> Iterator[Nursery]:
        """Started on entering, gone on leaving."""
        server = subprocess.Popen(
            [sys.executable, "-m", "tests.simulation.kills", "--serve"],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        try:
            yield cls(server)
        finally:
            server.communicate()

    def run(self, job: Job) -> tuple[int, float]:
        """How the process ended (its exit code, -9 when it was killed) and after how many seconds.

        Raises:
            Violation: an invariant did not hold inside it, or it failed.
        """
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.write(json.dumps(attrs.asdict(job)) + "\n")
        self._server.stdin.flush()
        answer = json.loads(self._server.stdout.readline())
        if answer["code"] not in (0, _KILLED):
            raise Violation(Path(job.seat, "error").read_text())
        return answer["code"], answer["took_s"]


# --- killing ------------------------------------------------------------------------------------------------


@attrs.define
class Tally:
    """What was killed and what was found."""

    runs: int = 0
    killed: int = 0
    slowest_s: float = 0.0
    violations: list[str] = attrs.Factory(list)
    checked: Counter[str] = attrs.Factory(Counter)


@attrs.define
class Killing:
    """Kills processes over stores of one kind (``json``, ``sqlite``, or the URL of a PostgreSQL)."""

    nursery: Nursery
    store: str
    seed: int
    tally: Tally = attrs.Factory(Tally)
    _sizes: dict[str, tuple[int, float]] = attrs.Factory(dict)

    @property
    def kind(self) -> str:
        """The kind of store, without a password."""
        return self.store.partition(":")[0]

    def kill_one(self, index: int) -> None:
        """One update, one to two kills, one recovery; what it finds is noted with what replays it."""
        rng = random.Random(f"{self.seed}:{self.kind}:{index}")
        scenario = rng.choice(_ENDING)
        kills = self._kills(scenario, rng)
        with _seat() as seat:
            try:
                self._run(
                    seat, scenario, kills, names=(f"app{self.seed}x{index}a", f"app{self.seed}x{index}b")
                )
            except Violation as violation:
                replay = f"kills:{self.kind}:{self.seed}:{index}"
                self.tally.violations.append(f"{scenario.name}, {kills}: {violation} (--replay {replay})")
        self.tally.runs += 1

    def _kills(self, scenario: Scenario, rng: random.Random) -> list[Kill]:
        points, took_s = self._size(scenario)
        kills = [Kill(point=rng.randint(1, points), after=rng.random() < 0.5)]
        if rng.random() < SHARE_BY_OTHERS:
            kills = [Kill(delay_s=rng.uniform(0.0, took_s))]
        if rng.random() < SHARE_TWICE:
            kills.append(Kill(point=rng.randint(1, points), after=rng.random() < 0.5))
        return kills

    def _size(self, scenario: Scenario) -> tuple[int, float]:
        """How many crossings an unharmed update has, and how long it takes."""
        if scenario.name not in self._sizes:
            with _seat() as seat:
                name = f"clean{secrets.token_hex(4)}"
                job = self._set_up(seat, scenario, (f"{name}a", f"{name}b"))
                _, took_s = self.nursery.run(job)
                self._sizes[scenario.name] = int(Path(seat, "crossings").read_text()), took_s
        return self._sizes[scenario.name]

    def _set_up(self, seat: Path, scenario: Scenario, names: tuple[str, ...]) -> Job:
        url = {"json": f"json:{seat}/state", "sqlite": f"sqlite:///{seat}/state.db"}.get(
            self.store, self.store
        )
        set_up(seat, url, scenario, names)
        return Job(seat=str(seat), url=url, scenario=scenario.name)

    def _run(self, seat: Path, scenario: Scenario, kills: list[Kill], names: tuple[str, ...]) -> None:
        job = self._set_up(seat, scenario, names)
        for number, kill in enumerate(kills):
            code, _ = self.nursery.run(attrs.evolve(job, kill=kill, recover=number > 0))
            self.tally.killed += code == _KILLED
        _, took_s = self.nursery.run(attrs.evolve(job, recover=True))
        self.tally.slowest_s = max(self.tally.slowest_s, took_s)
        self.tally.checked["I11"] += 1
        if took_s > RECOVERY_S:
            raise Violation(f"I11: recovery took {took_s:.1f} s, more than {RECOVERY_S:.0f} s")
        self._check(job)

    def _check(self, job: Job) -> None:
        """Everything has ended, and what is left is one of old or new, whole, with nothing beside it."""
        scene = Scene.load(job.seat)
        with contextlib.closing(open_at(job.url, scene.clock, Injector())) as store:
            checker = Checker(
                scene.world, store, lambda: 0, secrets=(SECRET,), originals=scene.originals, crashes=1
            )
            try:
                checker.holds("I11", not store.unfinished(), f"unfinished: {len(store.unfinished())}")
                mine = {planned.target_id for planned in scene.planned}
                for operation_id in {
                    entry.operation_id for entry in store.since(0, 10**6) if entry.target_id in mine
                }:
                    checker.reread(operation_id)
                for target_id in mine:
                    checker.ended(target_id)
            finally:
                self.tally.checked.update(checker.checked)


@contextlib.contextmanager
def _seat() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="su-kills-") as directory:
        yield Path(directory)


def run_kills(store: str, count: int, seed: int, *, only: int | None = None) -> Tally:
    """Kills at that many random points; or replays the one of index ``only``."""
    with Nursery.opened() as nursery:
        killing = Killing(nursery, store, seed)
        for index in range(count) if only is None else [only]:
            killing.kill_one(index)
        return killing.tally


def main(arguments: list[str] | None = None) -> int:
    """The command; 1 where an invariant does not hold."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.kills", description=__doc__)
    parser.add_argument("--store", default="sqlite", help="json, sqlite or a postgresql:// URL")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--replay", help="kills:STORE:SEED:INDEX, as a violation says")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args(arguments)
    if chosen.serve:
        serve()
        return 0
    run = partial(run_kills, chosen.store, chosen.kills, chosen.seed)
    if chosen.replay:
        _, kind, seed, index = chosen.replay.split(":")
        run = partial(
            run_kills, kind if kind in ("json", "sqlite") else chosen.store, 1, int(seed), only=int(index)
        )
    tally = run()
    print(
        f"{tally.runs} runs, {tally.killed} killed, {len(tally.violations)} violations", dict(tally.checked)
    )
    print(*tally.violations, sep="\n")
    return 1 if tally.violations else 0


if __name__ == "__main__":
    sys.exit(main())
