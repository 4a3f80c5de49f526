"""The parts of the table that simulate: each yields tasks, which may run beside each other."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from tests.simulation import bugs, crashes, docker_bugs, docker_crashes, playing
from tests.simulation.docker_world import SCENARIOS
from tests.simulation.faults import Fault
from tests.simulation.histories import STEP_BUDGET
from tests.simulation.sizes import STORES, Size
from tests.simulation.table import Row, Task

BUG_LIMIT = 1000
"""Histories within which a planted bug must be noticed."""
DOCKER_SHARES = 8
"""Parts of the second faults of one scenario, for as many processes."""


# --- every fault at every point -----------------------------------------------------------------------------


def crash_tasks(size: Size, seed: int) -> Iterator[Task]:
    """Every fault at every point; then another one at every point after it."""
    for store in STORES:
        for scenario in crashes.SCENARIOS:
            for share in range(scenario.sparse):
                chosen = {"every": scenario.sparse, "first": 1 + share, "mishaps": store == "memory"}
                if share == 0 or not size.is_quick:
                    what = f"one fault at every point, {store}"
                    yield partial(crash_row, what, scenario.name, store, chosen)
    for store in STORES:
        second_every = 1 if store == "memory" or size.is_full else size.second_every
        for scenario in crashes.SCENARIOS if second_every else ():
            if second_every > 1:
                yield from _crashes_twice(scenario, store)
            yield from _double_faults(size, scenario, store, second_every)


def _crashes_twice(scenario: crashes.Scenario, store: str) -> Iterator[Task]:
    """Of the first faults only crashes, since each durable store takes hours for all of them; but in full.

    A crash after a call is one before the next.
    """
    what = f"a crash, then another and a fault in turn, at every point, {store}, long scenarios sampled"
    for share in range(4):
        chosen = {
            "depth": 2, "every": 4 * scenario.sparse, "first": 1 + share * scenario.sparse,
            "second_every": scenario.sparse, "faults": (Fault.CRASH_BEFORE, Fault.TORN),
        }  # fmt: skip
        yield partial(crash_row, what, scenario.name, store, chosen)


def _double_faults(size: Size, scenario: crashes.Scenario, store: str, second_every: int) -> Iterator[Task]:
    sparse = 1 if size.is_full else scenario.sparse
    every = sparse * (1 if size.is_full or (store == "memory" and not size.is_quick) else size.first_every)
    second = "every fault" if size.is_full else "a crash, and another fault in turn,"
    what = f"then {second} at every point, {store}"
    if not size.is_full:
        what += ", sampled" if every * second_every > sparse else ", long scenarios sampled"
    for share in range(4):
        chosen = {
            "depth": 2, "every": 4 * every, "first": 1 + share * every, "second_every": second_every * sparse,
            "all_seconds": size.is_full,
        }  # fmt: skip
        yield partial(crash_row, what, scenario.name, store, chosen)


def crash_row(what: str, name: str, store: str, chosen: dict[str, Any]) -> Row:
    """What the enumeration of one scenario's faults found."""
    scenario = next(item for item in crashes.SCENARIOS if item.name == name)
    tally = crashes.enumerate_faults([scenario], store, **chosen)
    return Row(
        what=what, runs=tally.runs, violations=tally.violations, checked=tally.checked,
        coverage=tally.coverage,
    )  # fmt: skip


# --- random histories ---------------------------------------------------------------------------------------


def history_tasks(size: Size, seed: int) -> Iterator[Task]:
    """Random histories, most of them in memory, some on the durable stores."""
    shares = {"memory": size.histories, "json": size.histories // 10, "sqlite": size.histories // 50}
    for store, count in shares.items():
        what = f"random histories, {store}, seeds {seed:,} to {seed + count - 1:,}"
        chunk = max(20, min(2000, count // 8))
        for begin in range(0, count, chunk):
            yield partial(history_row, what, store, seed + begin, min(chunk, count - begin))


def history_row(what: str, store: str, seed: int, count: int) -> Row:
    """What some histories found."""
    report = playing.run_histories(count, seed, store=store)
    found = []
    for violation in report.violations:
        number = violation.split()[1]
        found.append(f"{violation} (--replay history:{store}:{number})")
    return Row(
        what=what, runs=report.histories, violations=found, checked=report.checked, coverage=report.coverage,
        figures={f"steps, of {STEP_BUDGET:,} allowed": report.longest},
    )  # fmt: skip


# --- planted bugs -------------------------------------------------------------------------------------------


def bug_tasks(size: Size, seed: int) -> Iterator[Task]:
    """Planted design bugs, each of which must be noticed."""
    for number in range(len(bugs.BUGS)):
        yield partial(bug_row, number, seed)


def bug_row(number: int, seed: int) -> Row:
    """Whether a planted bug is noticed, and within how many histories."""
    bug = bugs.BUGS[number]
    caught = bugs.look_for(bug, limit=BUG_LIMIT, seed=seed)
    replay = f"(--replay 'bug:{bug.name}:{seed}')"
    missed = [] if caught.violation else [f"{bug.name} ({bug.breaks}): not noticed {replay}"]
    return Row(
        what=f"{len(bugs.BUGS)} planted bugs", runs=caught.histories, violations=missed,
        figures={f"histories, of {BUG_LIMIT:,} allowed": caught.histories},
    )  # fmt: skip


# --- the real Docker backend --------------------------------------------------------------------------------


def docker_tasks(size: Size, seed: int) -> Iterator[Task]:
    """The real Docker backend over a fake daemon: every fault at every call, then another one."""
    for name in SCENARIOS:
        yield partial(_docker, "docker, one fault at every call", name)
    every = 1 if size.is_full else 400 if size.is_quick else 20
    shares = DOCKER_SHARES if size.is_full else 1
    for name in SCENARIOS:
        what = f"docker, two faults, {name}" + (f", one of {every}" if every > 1 else "")
        for share in range(shares):
            yield partial(_docker_twice, what, name, (share, shares), (every, seed))
    for number in range(len(docker_bugs.BUGS)):
        yield partial(_docker_bug, number)


def _docker_bug(number: int) -> Row:
    bug = docker_bugs.BUGS[number]
    caught = docker_bugs.look_for(bug)
    missed = [] if caught.violation else [f"{bug.name} ({bug.breaks}): not noticed"]
    return Row(what=f"docker, {len(docker_bugs.BUGS)} planted bugs", runs=caught.lives, violations=missed)


def _docker(what: str, name: str) -> Row:
    return _docker_row(what, docker_crashes.one_fault(name))


def _docker_twice(what: str, name: str, share: tuple[int, int], sample: tuple[int, int]) -> Row:
    first, shares = share
    firsts = docker_crashes.first_faults(name)[first::shares]
    return _docker_row(what, docker_crashes.two_faults(name, firsts, docker_crashes.Sample(*sample)))


def _docker_row(what: str, tally: docker_crashes.Tally) -> Row:
    return Row(what=what, runs=tally.runs, violations=tally.violations, checked=tally.checked)
