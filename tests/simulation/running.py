"""Running the tasks of the table, beside each other, and saying how far they are."""

from __future__ import annotations

import concurrent.futures
import sys
import time

from tests.simulation.table import Row, Task


def timed(task: Task) -> Row:
    """What a task found, and how long it took."""
    began_s = time.monotonic()
    row = task()
    row.seconds = time.monotonic() - began_s
    return row


def run(tasks: list[Task], alone: list[Task], jobs: int) -> list[Row]:
    """Runs tasks in so many processes, then those that must be ``alone``; the lines in their order."""
    rows: dict[str, Row] = {}
    began_s, count = time.monotonic(), len(tasks) + len(alone)

    def take(number: int, found: Row) -> None:
        rows.setdefault(found.what, Row(what=found.what)).take(found)
        for violation in found.violations:
            print(f"VIOLATION: {found.what}: {violation}", file=sys.stderr)
        _show_progress(number, count, rows, time.monotonic() - began_s)

    if tasks:
        with concurrent.futures.ProcessPoolExecutor(jobs) as pool:
            for number, found in enumerate(pool.map(timed, tasks), start=1):
                take(number, found)
    for number, task in enumerate(alone, start=len(tasks) + 1):
        take(number, timed(task))
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
