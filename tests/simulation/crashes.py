"""Every single fault at every point, and a second one at every point of the recovery."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

import attrs

from safeupdater.backends.memory import CRASHES, GOOD, Behaviour
from tests.simulation.checker import Violation
from tests.simulation.faults import Fault
from tests.simulation.harness import Harness, Process

WORLD_FAULTS = (
    Fault.CRASH_BEFORE, Fault.CRASH_AFTER, Fault.TIMEOUT_BEFORE, Fault.TIMEOUT_AFTER, Fault.RESTART,
    Fault.CONFLICT,
)  # fmt: skip
STORE_FAULTS = (Fault.CRASH_BEFORE, Fault.CRASH_AFTER, Fault.STORE_DOWN, Fault.STORE_UNKNOWN)
FILE_FAULTS = (Fault.CRASH_BEFORE, Fault.CRASH_AFTER)


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


@attrs.frozen(kw_only=True)
class Scenario:
    """One kind of operation to break."""

    name: str
    behaviour: Behaviour = GOOD
    begin: Callable[[Process, Harness], None] = _apply
    running: bool = True
    resumable: bool = False


SCENARIOS = (
    Scenario(name="commit"),
    Scenario(name="commit, resumable", resumable=True),
    Scenario(name="rollback", behaviour=CRASHES),
    Scenario(name="abort staging", begin=_abort_when("staging")),
    Scenario(name="abort switching", begin=_abort_when("switching")),
    Scenario(name="abort watching", begin=_abort_when("watching")),
)


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


def faults_at(name: str) -> tuple[Fault, ...]:
    """What can go wrong at a seam."""
    if name.startswith("world."):
        return WORLD_FAULTS
    if name == "file.write":
        return (*FILE_FAULTS, Fault.TORN)
    return FILE_FAULTS if name.startswith("file.") else STORE_FAULTS


def run_case(scenario: Scenario, store: str, schedule: dict[int, Fault], tally: Tally) -> Harness:
    """One run; a violation is noted with what replays it."""
    harness = Harness(
        store=store, schedule=schedule,
        behaviours=(scenario.behaviour,), running=scenario.running, resumable=scenario.resumable,
    )  # fmt: skip
    try:
        harness.run(lambda process: scenario.begin(process, harness))
    except Violation as violation:
        names = harness.injector.names
        where = [names[point - 1] for point in schedule if point <= len(names)]
        replay = replay_text(scenario, store, schedule)
        tally.violations.append(f"{scenario.name} on {store} at {where}: {violation} (--replay {replay})")
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
) -> Iterator[tuple[int, Fault, list[str]]]:
    """Every single fault at every point of a fault-free run; yields the points that each run crossed."""
    clean = run_case(scenario, store, {}, tally)
    names = list(clean.injector.names)
    tally.points += len(names)
    for point in range(first, len(names) + 1, every):
        for fault in faults_at(names[point - 1]):
            if fault not in faults:
                continue
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
) -> Tally:
    """All single faults and, with ``depth=2``, a second crash at every point after each of them.

    ``every`` and ``first`` take only every n-th point for the first fault, beginning there;
    ``second_every`` does so with the second. ``faults`` are those that are tried first.
    """
    tally = Tally()
    for scenario in scenarios:
        for point, fault, names in singles(scenario, store, tally, every=every, first=first, faults=faults):
            if depth < 2:
                continue
            for second in range(point + 1, len(names) + 1, second_every):
                for again in (Fault.CRASH_BEFORE, Fault.CRASH_AFTER):
                    run_case(scenario, store, {point: fault, second: again}, tally)
    return tally
