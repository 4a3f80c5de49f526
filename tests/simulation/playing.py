"""Playing many random histories, and what they covered and found."""

from __future__ import annotations

from collections import Counter

import attrs

from tests.simulation.checker import Violation
from tests.simulation.faults import Fault
from tests.simulation.harness import Harness
from tests.simulation.histories import History


@attrs.define(eq=False)
class Report:
    """What many histories covered and found."""

    histories: int = 0
    longest: int = 0
    violations: list[str] = attrs.Factory(list)
    checked: Counter[str] = attrs.Factory(Counter)
    coverage: set[tuple[str, Fault]] = attrs.Factory(set)
    outcomes: Counter[str] = attrs.Factory(Counter)

    def take(self, harness: Harness) -> None:
        """Adds what one history exercised."""
        self.checked.update(harness.checker.checked)
        self.coverage |= harness.coverage
        for events in harness.checker.journals.values():
            self.outcomes[str(getattr(events[-1], "outcome", type(events[-1]).__name__))] += 1


def run_histories(count: int, seed: int = 1, *, store: str = "memory", stop_at: int | None = None) -> Report:
    """Plays histories ``seed … seed + count - 1``; ends early after ``stop_at`` violations."""
    report = Report()
    for number in range(seed, seed + count):
        report.histories += 1
        history = History(number, store)
        try:
            history.run()
        except Violation as violation:
            report.violations.append(f"history {number} on {store}: {violation}")
        except Exception as error:  # noqa: BLE001  whatever the engine lets out is a finding
            report.violations.append(f"history {number} on {store}: it raised {error!r}")
        report.longest = max(report.longest, history.steps)
        report.take(history.harness)
        if stop_at is not None and len(report.violations) >= stop_at:
            break
    return report
