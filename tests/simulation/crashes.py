"""Every single fault at every point, and a second one at every point of the recovery."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

import attrs

from safeupdater.backends.memory import CRASHES, GOOD, Behaviour
from safeupdater.domain.operation import OperationSettings, Resolution
from safeupdater.errors import BackendError, RollbackError
from tests.simulation.checker import Violation
from tests.simulation.faults import DEATHS, Fault, faults_at, mishaps_at
from tests.simulation.harness import Harness, Process
from tests.simulation.settings import HOLDING, HURRIED, PROBED, SETTINGS


def _apply(process: Process, harness: Harness) -> None:
    process.executor.run(harness.planned)


def _abort_when(state: str) -> Callable[[Process, Harness], None]:
    def begin(process: Process, harness: Harness) -> None:
        planned = harness.planned[0]
        opened = process.executor.open(planned)
        if not isinstance(opened, str):
            return
        asked: list[bool] = []

        def ask(progressed: object) -> None:
            if not asked and getattr(progressed, "state", "") == state:
                asked.append(process.rollbacks.abort(planned.target_id, by="somebody"))

        process.executor.on_progress(ask)
        process.executor.run([opened])

    return begin


Spoiling = Callable[[Process, Harness], contextlib.AbstractContextManager[None]]


def _parked_beside(spoiling: Spoiling, *wishes: Resolution) -> Callable[[Process, Harness], None]:
    """The first update needs a person, and another one runs meanwhile; then the person mends what was
    broken, restarts everything, and wishes one thing after the other, of which some may be refused."""

    def begin(process: Process, harness: Harness) -> None:
        first, *others = harness.planned
        with spoiling(process, harness):
            process.executor.run([first])
        process.executor.run(others)
        harness.world.behaviours[first.changes[0].current.digest or ""] = GOOD
        harness.world.restart_daemon()
        for wish in wishes:
            with contextlib.suppress(RollbackError):  # what went wrong before may have ended it otherwise
                process.rollbacks.resolve(first.target_id, wish, by="somebody")

    return begin


@contextlib.contextmanager
def _old_version_broken(process: Process, harness: Harness) -> Iterator[None]:
    """The old version cannot be started any more: going back fails."""
    harness.world.behaviours[harness.planned[0].changes[0].current.digest or ""] = Behaviour(startable=False)
    yield


@contextlib.contextmanager
def _old_version_slow(process: Process, harness: Harness) -> Iterator[None]:
    """The old version can be started and is never seen ready in time: it is put back again and again."""
    slow = Behaviour(ready_after_s=1000.0)
    harness.world.behaviours[harness.planned[0].changes[0].current.digest or ""] = slow
    yield


@contextlib.contextmanager
def _no_data_while_watching(process: Process, harness: Harness) -> Iterator[None]:
    """The runtime does not answer during the window: no verdict can be reached."""
    interfere = harness.world.interfere
    states = [""]

    def silent(name: str, effect: Callable[[], object]) -> object:
        if name == "observe" and states[-1] == "watching":
            raise BackendError("no answer", code="timeout", transient=True)
        assert interfere is not None
        return interfere(name, effect)

    process.executor.on_progress(lambda progressed: states.append(progressed.state))
    harness.world.interfere = silent
    try:
        yield
    finally:
        harness.world.interfere = interfere
        process.executor.on_progress(None)


@attrs.frozen(kw_only=True)
class Scenario:
    """One kind of operation to break.

    ``parks``: the state in which the first update waits for a person. ``sparse``: small runs try only
    every n-th point of a long one. ``hears_alerts``: an observer that hears of alerts is a seam, too.
    """

    name: str
    behaviours: tuple[Behaviour, ...] = (GOOD,)
    begin: Callable[[Process, Harness], None] = _apply
    running: bool = True
    resumable: bool = False
    settings: OperationSettings = SETTINGS
    parks: str = ""
    sparse: int = 1
    failing_hooks: frozenset[str] = frozenset()
    hears_alerts: bool = False


SCENARIOS = (
    Scenario(name="commit"),
    Scenario(name="commit, resumable", resumable=True),
    Scenario(name="rollback", behaviours=(CRASHES,)),
    Scenario(name="commit, probes and hooks", settings=PROBED),
    Scenario(name="rollback, probes and hooks", behaviours=(CRASHES,), settings=PROBED),
    Scenario(name="a hook fails before the switch", settings=PROBED, failing_hooks=frozenset({"dump"})),
    Scenario(name="abort staging", begin=_abort_when("staging")),
    Scenario(name="abort switching", begin=_abort_when("switching")),
    Scenario(name="abort watching", begin=_abort_when("watching")),
    Scenario(name="abort watching, probes and hooks", begin=_abort_when("watching"), settings=PROBED),
    Scenario(
        name="hold", behaviours=(GOOD, GOOD), settings=HOLDING,
        begin=_parked_beside(_no_data_while_watching, Resolution.RESTORE), parks="Held", sparse=4,
        hears_alerts=True,
    ),
    Scenario(
        name="hold, kept", behaviours=(GOOD,), settings=HOLDING,
        begin=_parked_beside(_no_data_while_watching, Resolution.KEEP_NEW), parks="Held",
        hears_alerts=True,
    ),
    Scenario(
        name="failed rollback", behaviours=(CRASHES, GOOD), parks="RollbackFailed", sparse=10,
        begin=_parked_beside(_old_version_broken, Resolution.KEEP_NEW, Resolution.RESTORE),
        hears_alerts=True,
    ),
    Scenario(
        name="old version never stable", behaviours=(CRASHES, GOOD), settings=HURRIED, parks="RollbackFailed",
        begin=_parked_beside(_old_version_slow, Resolution.RESTORE), sparse=3,
    ),
)  # fmt: skip


@attrs.define
class Tally:
    """What an enumeration covered and found."""

    runs: int = 0
    points: int = 0
    violations: list[str] = attrs.Factory(list)
    checked: Counter[str] = attrs.Factory(Counter)
    coverage: set[tuple[str, Fault]] = attrs.Factory(set)

    def take(self, harness: Harness) -> None:
        """Adds what one run exercised."""
        self.runs += 1
        self.checked.update(harness.checker.checked)
        self.coverage |= harness.coverage


def run_case(scenario: Scenario, store: str, schedule: dict[int, Fault], tally: Tally) -> Harness:
    """One run; a violation is noted with what replays it."""
    harness = Harness(
        store=store, schedule=schedule, behaviours=scenario.behaviours, running=scenario.running,
        resumable=scenario.resumable, settings=scenario.settings, failing_hooks=scenario.failing_hooks,
        hears_alerts=scenario.hears_alerts,
    )  # fmt: skip
    try:
        harness.run(lambda process: scenario.begin(process, harness))
    except (Violation, Exception) as violation:  # noqa: BLE001  whatever the engine lets out is a finding
        what = str(violation) if isinstance(violation, Violation) else f"it raised {violation!r}"
        names = harness.injector.names
        where = [names[point - 1] for point in schedule if point <= len(names)]
        replay = replay_text(scenario, store, schedule)
        tally.violations.append(f"{scenario.name} on {store} at {where}: {what} (--replay {replay})")
    finally:
        tally.take(harness)
    return harness


def replay_text(scenario: Scenario, store: str, schedule: Mapping[int, Fault]) -> str:
    """A run as ``--replay`` takes it: ``crash:STORE:SCENARIO:POINT=FAULT,…``."""
    faults = ",".join(f"{point}={fault.name}" for point, fault in schedule.items())
    return f"'crash:{store}:{scenario.name}:{faults}'"


def replay_case(text: str) -> Tally:
    """Runs again what a violation names after ``crash:``."""
    store, name, faults = text.split(":")
    scenario = next(item for item in SCENARIOS if item.name == name)
    pairs = (fault.partition("=") for fault in faults.split(",") if fault)
    tally = Tally()
    run_case(scenario, store, {int(point): Fault[fault] for point, _, fault in pairs}, tally)
    return tally


def singles(
    scenario: Scenario,
    store: str,
    tally: Tally,
    *,
    every: int = 1,
    first: int = 1,
    faults: Collection[Fault] = tuple(Fault),
    mishaps: bool = False,
) -> Iterator[tuple[int, Fault, list[str]]]:
    """Every single fault at every point of a fault-free run; yields the points that each run crossed."""
    clean = run_case(scenario, store, {}, tally)
    names = list(clean.injector.names)
    tally.points += len(names)
    for point in range(first, len(names) + 1, every):
        name = names[point - 1]
        possible = faults_at(name) + (mishaps_at(name, store) if mishaps else ())
        for fault in dict.fromkeys(fault for fault in possible if fault in faults):
            harness = run_case(scenario, store, {point: fault}, tally)
            yield point, fault, list(harness.injector.names)


def enumerate_faults(
    scenarios: Iterable[Scenario],
    store: str,
    *,
    depth: int = 1,
    every: int = 1,
    first: int = 1,
    second_every: int = 1,
    faults: Collection[Fault] = tuple(Fault),
    mishaps: bool = False,
    all_seconds: bool = False,
) -> Tally:
    """All single faults and, with ``depth=2``, a second one at every point after each of them.

    ``every`` and ``first`` take only every n-th point for the first fault, beginning there;
    ``second_every`` does so with the second. ``faults`` are those that are tried first; with
    ``mishaps``, what people and machines do is tried at every point as well. The second fault is a crash,
    and another one in turn, or with ``all_seconds`` whatever can happen there.
    """
    tally = Tally()
    for scenario in scenarios:
        for point, fault, names in singles(
            scenario, store, tally, every=every, first=first, faults=faults, mishaps=mishaps
        ):
            if depth < 2:
                continue
            for second in range(point + 1, len(names) + 1, second_every):
                for again in seconds_at(names[second - 1], store, point + second, all_seconds=all_seconds):
                    run_case(scenario, store, {point: fault, second: again}, tally)
    return tally


def seconds_at(name: str, store: str, turn: int, *, all_seconds: bool) -> tuple[Fault, ...]:
    """What comes second at a seam: a crash before or after it, and one of everything else in turn."""
    others = tuple(
        dict.fromkeys(item for item in faults_at(name) + mishaps_at(name, store) if item not in DEATHS)
    )
    if all_seconds or not others:
        return (*DEATHS, *others)
    return (DEATHS[turn % 2], others[turn % len(others)])
