"""The table that every benchmark prints: what was measured, and whether it keeps its budget."""

from __future__ import annotations

from collections.abc import Iterable

import attrs


@attrs.frozen
class Line:
    """One line of the table: what was measured, in which unit, and the budget it has to keep, if any."""

    what: str
    value: float
    unit: str
    budget: float | None = None

    @property
    def is_kept(self) -> bool:
        """Whether the value is within its budget."""
        return self.budget is None or self.value <= self.budget

    def __str__(self) -> str:
        verdict = "" if self.budget is None else f"<= {self.budget:g}   {'ok' if self.is_kept else 'MISSED'}"
        return f"{self.what:<62}{self.value:>10.2f} {self.unit:<8}{verdict}".rstrip()


MISSED = 3
"""The exit status where a budget is missed; 1 is what a benchmark ends with that does not run."""


def printed(lines: Iterable[Line]) -> int:
    """Prints lines as they come; the exit status: ``MISSED`` where a budget is."""
    kept = True
    for line in lines:
        print(line, flush=True)
        kept &= line.is_kept
    return 0 if kept else MISSED
