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
import os
import sys
from collections.abc import Callable, Iterator

import attrs

from tests.simulation import parts, promises
from tests.simulation.replays import replay
from tests.simulation.running import run
from tests.simulation.sizes import DEFAULT, FULL, QUICK, THOROUGH, Size
from tests.simulation.table import Task, show

PARTS: dict[str, Callable[[Size, int], Iterator[Task]]] = {
    "crashes": parts.crash_tasks,
    "aborts": promises.abort_tasks,
    "histories": parts.history_tasks,
    "bugs": parts.bug_tasks,
    "docker": parts.docker_tasks,
    "kills": promises.kill_tasks,
    "health": promises.health_tasks,
    "suites": promises.suite_tasks,
}
ALONE: dict[str, Callable[[Size, int], Iterator[Task]]] = {"benchmarks": promises.benchmark_tasks}
"""What would measure the others, too."""
WHOLE = frozenset({"crashes", "histories"})
"""The parts that together hit every pair of a state and a fault."""


def main(arguments: list[str] | None = None) -> int:
    """The command; 1 where something does not hold."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.simulation", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("parts", nargs="*", help=f"of {', '.join((*PARTS, *ALONE))}; all where none is named")
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
    unknown = set(chosen.parts) - {*PARTS, *ALONE}
    if unknown:
        known = ", ".join((*PARTS, *ALONE))
        parser.error(f"no such part: {', '.join(sorted(unknown))}; there are {known}")
    size = QUICK if chosen.quick else FULL if chosen.full else THOROUGH if chosen.thorough else DEFAULT
    if chosen.histories:
        size = attrs.evolve(size, histories=chosen.histories)
    wanted = chosen.parts or [*PARTS, *ALONE]
    tasks = [task for part in wanted if part in PARTS for task in PARTS[part](size, chosen.seed)]
    alone = [task for part in wanted if part in ALONE for task in ALONE[part](size, chosen.seed)]
    print(f"seed {chosen.seed}")
    rows = run(tasks, alone, chosen.jobs)
    is_whole = set(wanted) >= WHOLE and not size.is_quick
    return 0 if show(rows, is_whole=is_whole) else 1


if __name__ == "__main__":
    sys.exit(main())
