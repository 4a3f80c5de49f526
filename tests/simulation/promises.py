"""The parts of the table that measure: health windows, killed processes, tests of stores, benchmarks."""

from __future__ import annotations

import contextlib
import math
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from tests.simulation import aborts, health_profiles, kills, waiting
from tests.simulation.sizes import DEFAULT, Size
from tests.simulation.table import Row, Task

ROOT = Path(__file__).resolve().parents[2]


# --- what people ask for ------------------------------------------------------------------------------------


def abort_tasks(size: Size, seed: int) -> Iterator[Task]:
    """Somebody asks to stop, once and twice, at every point of every kind of update."""
    for name in aborts.RELEASES:
        yield partial(_aborts, name, size.is_quick)


def _aborts(name: str, is_quick: bool) -> Row:
    tally = aborts.ask_everywhere(name, every=4 if is_quick else 1)
    return Row(
        what="an abort, once and twice, at every point", runs=tally.runs, violations=tally.violations,
        checked=tally.checked,
    )  # fmt: skip


# --- real processes, killed ---------------------------------------------------------------------------------


def kill_tasks(size: Size, seed: int) -> Iterator[Task]:
    """Real processes killed by SIGKILL."""
    for store in ("json", "sqlite"):
        yield partial(_kills, store, store, size.kills, seed)
    yield partial(_kills_on_postgres, size.kills, seed)


def _kills(name: str, store: str, count: int, seed: int) -> Row:
    tally = kills.run_kills(store, count, seed)
    return Row(
        what=f"kill -9, {name}", runs=tally.runs, violations=tally.violations, checked=tally.checked,
        figures={"killed": tally.killed, "seconds to recover": tally.slowest_s},
    )  # fmt: skip


def _kills_on_postgres(count: int, seed: int) -> Row:
    with contextlib.ExitStack() as stack:
        url = os.environ.get("SAFEUPDATER_TEST_DATABASE_URL", "")
        if not url:
            from testbed.postgres import Postgres
            from testbed.processes import Unavailable

            try:
                url = stack.enter_context(Postgres()).url
            except Unavailable as unavailable:
                # What was promised of it was not tried: that must not look like success.
                return Row(what="kill -9, postgresql", violations=[f"not tried: {unavailable}"])
        return _kills("postgresql", url, count, seed)


# --- health -------------------------------------------------------------------------------------------------


def health_tasks(size: Size, seed: int) -> Iterator[Task]:
    """What the health rules do to simulated versions."""
    for profile in health_profiles.PROFILES:
        if profile.max_rolled_back is not None or profile.max_committed is not None:
            yield partial(health_row, profile.name, size.windows, seed)
    yield partial(_slow_starters, size.is_quick)
    yield partial(_short_windows, size.is_quick)


def health_row(name: str, windows: int, seed: int) -> Row:
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
    figures = {
        f"% {what}, of {limit:.1%} allowed": 100 * share
        for what, (share, limit) in shares.items()
        if limit is not None
    }
    return Row(what=f"health: {name}", runs=windows, violations=found, figures=figures)


def _chance(limit: float, windows: int) -> float:
    """What a small sample may exceed a limit by, by chance: nothing from the promised size on."""
    return 0.0 if windows >= DEFAULT.windows else 3 * math.sqrt(limit / windows)


def _slow_starters(is_quick: bool) -> Row:
    runs, violations = waiting.slow_starters(every_s=5.0 if is_quick else 0.5)
    return Row(what="health: a slow start within ready_timeout", runs=runs, violations=violations)


def _short_windows(is_quick: bool) -> Row:
    runs, violations = waiting.short_windows(10 if is_quick else 200)
    return Row(what="health: an all-good window of 10 s commits", runs=runs, violations=violations)


# --- what tests of their own try ----------------------------------------------------------------------------

SUITES = {
    "damaged JSON journals": (
        "tests/unit/test_stores_jsonfile.py",
        "every_flipped_byte or every_truncation or cut_at_a_record or wrong_checksum or missing_line",
    ),
    "16 processes on one SQLite file": ("tests/contract/test_stores_crowd.py", "sqlite"),
    "16 processes on one JSON store": ("tests/contract/test_stores_crowd.py", "json"),
    "16 processes on one PostgreSQL": ("tests/live/test_stores_postgres.py", "many_processes_append"),
    "PostgreSQL restarted during appends": ("tests/live/test_stores_postgres.py", "restarts_during_appends"),
    "PostgreSQL restarted during recovery": ("tests/live/test_engine_postgres.py", "goes_away_during_recov"),
    "a bad digest under 100 tags for 30 days": ("tests/unit/test_rollback_recovery.py", "under_100_tags"),
    "20 secrets planted in snapshots": ("tests/unit/test_engine_secrets.py", ""),
    "partial and lying tag lists (I8)": ("tests/unit/test_registry_listings.py", ""),
    "shuffled tag lists and assets (I8)": ("tests/property/test_planning_laws.py", "shuffling or chosen"),
}
"""Line of the table → the tests that try it, and which of them."""


def suite_tasks(size: Size, seed: int) -> Iterator[Task]:
    """What the tests of the stores and of the engine try: damage, crowds, outages, secrets."""
    for name in SUITES:
        yield partial(suite_row, name, not size.is_quick)


def suite_row(name: str, is_full: bool) -> Row:
    """Runs the tests of one line. None of them may skip: what is not tried is not promised."""
    path, chosen = SUITES[name]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", path, "-k", chosen]
    env = {**os.environ, "SAFEUPDATER_FULL": "1" if is_full else "0", "CI": "true"}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=env)
    passed = sum(int(count) for count in re.findall(r"(\d+) passed", done.stdout))
    replay = f"(--replay 'suite:{name}')"
    failed = [
        f"{line} {replay}"
        for line in done.stdout.splitlines()
        if line.startswith(("FAILED", "ERROR", "SKIPPED"))
    ]
    if (done.returncode or not passed) and not failed:
        failed = [f"{path}: pytest ended with {done.returncode}, {passed} passed {replay}"]
    return Row(what=f"{name} (tests)", runs=passed + len(failed), violations=failed)


# --- figures ------------------------------------------------------------------------------------------------


def benchmark_tasks(size: Size, seed: int) -> Iterator[Task]:
    """The budgets of the engine and of its stores; nothing else may run meanwhile."""
    yield partial(benchmark_row, size.is_quick)


def benchmark_row(is_quick: bool) -> Row:
    """What ``python -m benchmarks.engine`` measures, one line of the table for all of it."""
    from benchmarks import engine

    lines = list(engine.all_lines(updates=300 if is_quick else 1500, assets=1000 if is_quick else 10_000))
    missed = [f"{line} (--replay benchmarks)" for line in lines if not line.is_kept]
    figures = {f"{line.what} [{line.unit}]": line.value for line in lines}
    return Row(what="benchmarks of the engine", runs=len(lines), violations=missed, figures=figures)
