"""The table: one line per promise, and what its runs exercised; it decides whether everything holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import attrs

from tests.simulation import coverage

NOT_CLAIMED = "I12 (audit) is not claimed yet: there is no audit chain that a run could check"


@attrs.define(kw_only=True)
class Row:
    """One line of the table; ``figures`` are what was measured at worst, by name."""

    what: str
    runs: int = 0
    violations: list[str] = attrs.Factory(list)
    seconds: float = 0.0
    checked: Counter[str] = attrs.Factory(Counter)
    coverage: set[coverage.Pair] = attrs.Factory(set)
    figures: dict[str, float] = attrs.Factory(dict)

    def take(self, other: Row) -> None:
        """Adds what another task for the same line found."""
        self.runs += other.runs
        self.violations += other.violations
        self.seconds += other.seconds
        self.checked.update(other.checked)
        self.coverage |= other.coverage
        for name, value in other.figures.items():
            self.figures[name] = max(value, self.figures.get(name, value))

    @property
    def note(self) -> str:
        """The figures, for people."""
        return "; ".join(f"{name} {value:,.6g}" for name, value in self.figures.items())


Task = Callable[[], Row]


def show(rows: list[Row], *, is_whole: bool) -> bool:
    """Prints the table and what it rests on; whether everything holds."""
    widest = max(len(row.what) for row in rows)
    print(f"{'what':<{widest}}{'runs':>11}{'violations':>12}{'seconds':>9}  measured, at worst")
    for row in rows:
        counts = f"{row.runs:>11,}{len(row.violations):>12}{row.seconds:>9.1f}"
        print(f"{row.what:<{widest}}{counts}  {row.note}".rstrip())
    _show_exercised(rows)
    holds = _show_coverage({pair for row in rows for pair in row.coverage}, is_whole=is_whole)
    for row in rows:
        for violation in row.violations:
            print(f"VIOLATION: {row.what}: {violation}")
            holds = False
        if row.runs == 0:
            print(f"NOTHING TRIED: {row.what}")
            holds = False
    return holds


def _show_exercised(rows: list[Row]) -> None:
    checked = sum((row.checked for row in rows), Counter[str]())
    if checked:
        exercised = sorted(checked.items(), key=lambda item: int(item[0].removeprefix("I")))
        print("\nexercised: " + "  ".join(f"{name} {count:,}" for name, count in exercised))
        print(NOT_CLAIMED)


def _show_coverage(hit: set[coverage.Pair], *, is_whole: bool) -> bool:
    """Prints which faults hit which states; False where a whole run missed a pair that can be hit."""
    if not hit:
        return True
    print("\n" + coverage.table(hit))
    for line in coverage.reasons():
        print(line)
    missing = [f"never hit: {state} × {fault.value}" for state, fault in coverage.missing(hit)]
    if not missing:
        print("every pair of a state and a fault that can be hit was hit")
    elif is_whole:
        print(*missing, sep="\n")
    return not (missing and is_whole)
