"""Everything that the update engine promises, tried: one table, and 1 as exit code where it fails.

python -m tests.simulation                  all parts, ten thousand histories
python -m tests.simulation --quick          a smaller run of each
python -m tests.simulation --thorough       double faults in full on every store, long scenarios sampled
python -m tests.simulation --full           a million histories, and everything in full
python -m tests.simulation --seed 7 crashes kills
python -m tests.simulation --replay "crash:json:commit:80=CRASH_AFTER"
"""

from __future__ import annotations

import argparse
import concurrent.futures
import contextlib
import math
import os
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import attrs

from tests.simulation import (
    bugs,
    coverage,
    crashes,
    docker_bugs,
    docker_crashes,
    health_profiles,
    histories,
    kills,
)
from tests.simulation.docker_world import SCENARIOS

ROOT = Path(__file__).resolve().parents[2]
STORES = ("memory", "json", "sqlite")
BUG_LIMIT = 1000
"""Histories within which a planted bug must be noticed."""


@attrs.define(kw_only=True)
class Row:
    """One line of the table."""

    what: str
    runs: int = 0
    violations: list[str] = attrs.Factory(list)
    seconds: float = 0.0
    checked: Counter[str] = attrs.Factory(Counter)
    coverage: set[coverage.Pair] = attrs.Factory(set)

    def take(self, other: Row) -> None:
        """Adds what another task for the same line found."""
        self.runs += other.runs
        self.violations += other.violations
        self.seconds += other.seconds
        self.checked.update(other.checked)
        self.coverage |= other.coverage


@attrs.frozen(kw_only=True)
class Size:
    """How much of everything is tried."""

    histories: int
    kills: int
    windows: int
    second_every: int
    """Of the second faults on the durable stores every n-th is tried; 0: none at all."""
    first_every: int = 1
    """Of the first faults of a pair, on every store."""
    is_full: bool = False


QUICK = Size(histories=500, kills=10, windows=1200, second_every=0, first_every=6)
DEFAULT = Size(histories=10_000, kills=200, windows=20_000, second_every=12, first_every=4)
THOROUGH = Size(histories=10_000, kills=200, windows=20_000, second_every=1, first_every=1)
FULL = Size(histories=1_000_000, kills=200, windows=20_000, second_every=1, is_full=True)

DOCKER_SHARES = 8
"""Parts of the second faults of one scenario, for as many processes."""

Task = Callable[[], Row]


# --- the parts: each yields tasks, which may run beside each other ------------------------------------------


def crash_tasks(size: Size, seed: int) -> Iterator[Task]:
    """Every fault at every point; then a crash at every point after it."""
    for store in STORES:
        for scenario in crashes.SCENARIOS:
            for share in range(scenario.sparse):
                chosen = {"every": scenario.sparse, "first": 1 + share, "mishaps": store == "memory"}
                if share == 0 or size is not QUICK:
                    yield partial(
                        _crashes, f"one fault at every point, {store}", scenario.name, store, chosen
                    )
    for store in STORES:
        second_every = 1 if store == "memory" or size.is_full else size.second_every
        for scenario in crashes.SCENARIOS if second_every else ():
            yield from _double_faults(size, scenario, store, second_every)


def _double_faults(size: Size, scenario: crashes.Scenario, store: str, second_every: int) -> Iterator[Task]:
    sparse = 1 if size.is_full else scenario.sparse
    every = sparse * (1 if size.is_full or (store == "memory" and size is not QUICK) else size.first_every)
    what = f"then a crash at every point, {store}"
    if not size.is_full:
        what += ", sampled" if every * second_every > sparse else ", long scenarios sampled"
    for share in range(4):
        chosen = {
            "depth": 2, "every": 4 * every, "first": 1 + share * every, "second_every": second_every * sparse,
        }  # fmt: skip
        yield partial(_crashes, what, scenario.name, store, chosen)


def _crashes(what: str, name: str, store: str, chosen: dict[str, Any]) -> Row:
    scenario = next(item for item in crashes.SCENARIOS if item.name == name)
    tally = crashes.enumerate_faults([scenario], store, **chosen)
    return Row(
        what=what, runs=tally.runs, violations=tally.violations, checked=tally.checked,
        coverage=tally.coverage,
    )  # fmt: skip


def docker_tasks(size: Size, seed: int) -> Iterator[Task]:
    """The real Docker backend over a fake daemon: every fault at every call, then another one."""
    for name in SCENARIOS:
        yield partial(_docker, "docker, one fault at every call", name)
    every = 1 if size.is_full else 400 if size is QUICK else 20
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


def history_tasks(size: Size, seed: int) -> Iterator[Task]:
    """Random histories, most of them in memory, some on the durable stores."""
    shares = {"memory": size.histories, "json": size.histories // 10, "sqlite": size.histories // 50}
    for store, count in shares.items():
        chunk = max(20, min(2000, count // 8))
        for begin in range(0, count, chunk):
            yield partial(_histories, store, seed + begin, min(chunk, count - begin))


def _histories(store: str, seed: int, count: int) -> Row:
    report = histories.run_histories(count, seed, store=store)
    found = []
    for violation in report.violations:
        number = violation.split()[1]
        found.append(f"{violation} (--replay history:{store}:{number})")
    return Row(
        what=f"random histories, {store}", runs=report.histories, violations=found, checked=report.checked,
        coverage=report.coverage,
    )  # fmt: skip


def bug_tasks(size: Size, seed: int) -> Iterator[Task]:
    """Planted design bugs, each of which must be noticed."""
    for number in range(len(bugs.BUGS)):
        yield partial(_bug, number, seed)


def _bug(number: int, seed: int) -> Row:
    bug = bugs.BUGS[number]
    with bugs.planted(bug):
        report = histories.run_histories(BUG_LIMIT, seed, stop_at=1)
    missed = [] if report.violations else [f"{bug.name} ({bug.breaks}): not noticed"]
    return Row(what=f"{len(bugs.BUGS)} planted bugs", runs=report.histories, violations=missed)


def kill_tasks(size: Size, seed: int) -> Iterator[Task]:
    """Real processes killed by SIGKILL."""
    for store in ("json", "sqlite"):
        yield partial(_kills, store, store, size.kills, seed)
    yield partial(_kills_on_postgres, size.kills, seed)


def _kills(name: str, store: str, count: int, seed: int) -> Row:
    tally = kills.run_kills(store, count, seed)
    what = f"kill -9, {name} ({tally.killed} killed)"
    return Row(what=what, runs=tally.runs, violations=tally.violations, checked=tally.checked)


def _kills_on_postgres(count: int, seed: int) -> Row:
    with contextlib.ExitStack() as stack:
        url = os.environ.get("SAFEUPDATER_TEST_DATABASE_URL", "")
        if not url:
            from testbed.postgres import Postgres
            from testbed.processes import Unavailable

            try:
                url = stack.enter_context(Postgres()).url
            except Unavailable as unavailable:
                return Row(what=f"kill -9, postgresql: skipped, {unavailable}")
        return _kills("postgresql", url, count, seed)


def health_tasks(size: Size, seed: int) -> Iterator[Task]:
    """What the health rules do to simulated versions."""
    for profile in health_profiles.PROFILES:
        yield partial(_health, profile.name, size.windows, seed)


def _health(name: str, windows: int, seed: int) -> Row:
    """The windows of one profile, of all sizes, against what is promised for them together."""
    profile = next(item for item in health_profiles.PROFILES if item.name == name)
    sizes = health_profiles.SIZES
    rows = [health_profiles.simulate(profile, due, windows // len(sizes), seed) for due in sizes]
    shares = {
        "rolled back": (sum(row.rolled_back for row in rows) / len(rows), profile.max_rolled_back),
        "committed": (sum(row.committed for row in rows) / len(rows), profile.max_committed),
    }
    found = [
        f"{name}: {what} {share:.2%} > {limit:.2%} (--replay 'health:{name}:{windows}:{seed}')"
        for what, (share, limit) in shares.items()
        if limit is not None and share > limit + _chance(limit, windows)
    ]
    return Row(what="health windows", runs=windows, violations=found)


def _chance(limit: float, windows: int) -> float:
    """What a small sample may exceed a limit by, by chance: nothing from the promised size on."""
    return 0.0 if windows >= DEFAULT.windows else 3 * math.sqrt(limit / windows)


def store_tasks(size: Size, seed: int) -> Iterator[Task]:
    """What the tests of the stores try: damage to every byte of a journal, crowds of processes."""
    yield partial(
        _tests, "damaged JSON journals", "tests/unit/test_stores_jsonfile.py",
        "every_flipped_byte or every_truncation or cut_at_a_record or wrong_checksum or missing_line",
        size is not QUICK,
    )  # fmt: skip
    crowds = "tests/contract/test_stores_crowd.py"
    yield partial(_tests, "crowds of processes on one store", crowds, "", size is not QUICK)


def _tests(what: str, path: str, chosen: str, is_full: bool) -> Row:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", path, "-k", chosen]
    env = {**os.environ, "SAFEUPDATER_FULL": "1" if is_full else "0"}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=env)
    passed = sum(int(count) for count in re.findall(r"(\d+) passed", done.stdout))
    failed = [f"{line} (python -m pytest)" for line in done.stdout.splitlines() if line.startswith("FAILED")]
    if done.returncode and not failed:
        failed = [f"{path}: pytest ended with {done.returncode}"]
    return Row(what=f"{what} (tests)", runs=passed + len(failed), violations=failed)


PARTS: dict[str, Callable[[Size, int], Iterator[Task]]] = {
    "crashes": crash_tasks,
    "docker": docker_tasks,
    "histories": history_tasks,
    "bugs": bug_tasks,
    "kills": kill_tasks,
    "health": health_tasks,
    "stores": store_tasks,
}


# --- running them -------------------------------------------------------------------------------------------


def _timed(task: Task) -> Row:
    began_s = time.monotonic()
    row = task()
    row.seconds = time.monotonic() - began_s
    return row


def run(parts: list[str], size: Size, seed: int, jobs: int) -> list[Row]:
    """Runs the parts; the lines of the table in their order."""
    tasks = [task for part in parts for task in PARTS[part](size, seed)]
    rows: dict[str, Row] = {}
    began_s = time.monotonic()
    with concurrent.futures.ProcessPoolExecutor(jobs) as pool:
        for number, found in enumerate(pool.map(_timed, tasks), start=1):
            rows.setdefault(found.what, Row(what=found.what)).take(found)
            for violation in found.violations:
                print(f"VIOLATION: {found.what}: {violation}", file=sys.stderr)
            _show_progress(number, len(tasks), rows, time.monotonic() - began_s)
    return list(rows.values())


def _show_progress(number: int, tasks: int, rows: dict[str, Row], seconds: float) -> None:
    """One line of how far it is; it replaces itself on a terminal."""
    runs = sum(row.runs for row in rows.values())
    violations = sum(len(row.violations) for row in rows.values())
    line = f"{number} of {tasks} parts, {runs:,} runs, {violations} violations, {seconds:.0f} s"
    if sys.stderr.isatty():
        print(f"\r\x1b[K{line}", end="\n" if number == tasks else "", file=sys.stderr, flush=True)
    else:
        print(f"{time.strftime('%H:%M:%S')} {line}: {list(rows)[-1]}", file=sys.stderr, flush=True)


def show(rows: list[Row], *, is_whole: bool) -> bool:
    """Prints the table and what it rests on; whether everything holds."""
    widest = max(len(row.what) for row in rows)
    print(f"{'what':<{widest}}{'runs':>11}{'violations':>12}{'seconds':>9}")
    for row in rows:
        print(f"{row.what:<{widest}}{row.runs:>11,}{len(row.violations):>12}{row.seconds:>9.1f}")
    checked: Counter[str] = Counter()
    hit: set[coverage.Pair] = set()
    for row in rows:
        checked.update(row.checked)
        hit |= row.coverage
    exercised = sorted(checked.items(), key=lambda item: int(item[0].removeprefix("I")))
    print("\nexercised: " + "  ".join(f"{name} {count:,}" for name, count in exercised))
    holds = True
    if hit:
        print("\n" + coverage.table(hit))
        missing = [f"never hit: {state} × {fault.value}" for state, fault in coverage.missing(hit)]
        if not missing:
            print("no pair of a state and a fault is unreachable, and each was hit")
        elif is_whole:
            print(*missing, sep="\n")
            holds = False
    for row in rows:
        for violation in row.violations:
            print(f"VIOLATION: {row.what}: {violation}")
            holds = False
    return holds


def replay(text: str) -> list[str]:
    """Runs again what a violation names; what it finds."""
    kind, _, rest = text.partition(":")
    match kind:
        case "crash":
            return crashes.replay_case(rest).violations
        case "history":
            store, number = rest.split(":")
            return _histories(store, int(number), 1).violations
        case "docker":
            name, schedule = rest.split(":")
            return docker_crashes.replay(name, docker_crashes.parse(schedule)).violations
        case "kills":
            store, seed, index = rest.split(":")
            given = os.environ.get("SAFEUPDATER_TEST_DATABASE_URL", store)
            tally = kills.run_kills(store if store in STORES else given, 1, int(seed), only=int(index))
            return tally.violations
        case "health":
            name, windows, seed = rest.rsplit(":", 2)
            return _health(name, int(windows), int(seed)).violations
    raise SystemExit(f"{text!r} names nothing to replay: crash:…, docker:…, history:…, kills:… or health:…")


def main(arguments: list[str] | None = None) -> int:
    """The command; 1 where something does not hold."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.simulation", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("parts", nargs="*", help=f"of {', '.join(PARTS)}; all where none is named")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--thorough", action="store_true")
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--histories", type=int, help="how many random histories in memory")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--replay", help="what a violation says")
    chosen = parser.parse_args(arguments)
    if chosen.replay:
        violations = replay(chosen.replay)
        print(*violations or ["it holds"], sep="\n")
        return 1 if violations else 0
    unknown = set(chosen.parts) - set(PARTS)
    if unknown:
        parser.error(f"no such part: {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    size = QUICK if chosen.quick else FULL if chosen.full else THOROUGH if chosen.thorough else DEFAULT
    if chosen.histories:
        size = attrs.evolve(size, histories=chosen.histories)
    parts = chosen.parts or list(PARTS)
    rows = run(parts, size, chosen.seed, chosen.jobs)
    is_whole = {"crashes", "histories"} <= set(parts) and not chosen.quick
    return 0 if show(rows, is_whole=is_whole) else 1


if __name__ == "__main__":
    sys.exit(main())
