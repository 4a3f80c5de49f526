"""Somebody asks to stop at every point of an update, once and twice, and what must become of it.

Before the switch touched anything it ends as aborted; before the verdict it goes back; after it nothing
changes. Twice is once. That no forward effect follows is asserted by the checker, as in every run.
"""

from __future__ import annotations

from typing import Any

from safeupdater.domain.operation import AbortRequested, Finished, Outcome, Phase, StepIntended, Verdict
from safeupdater.domain.operation import VerdictReached as Judged
from tests.simulation.crashes import SCENARIOS, Tally, run_case
from tests.simulation.faults import Fault
from tests.simulation.harness import Harness

RELEASES = ("commit", "commit, resumable", "rollback", "commit, probes and hooks")
_READS = frozenset({"world.inspect", "world.observe", "world.list"})
_LATER = (1, 2, 7)
"""How many points after the first request the second one comes."""


def ask_everywhere(name: str, *, every: int = 1) -> Tally:
    """Asks at every n-th point of an unharmed update, and at some points after it once more."""
    tally = Tally()
    clean = _run(name, (), tally)
    for point in range(1, len(clean.injector.names) + 1, every):
        once = _asked(name, (point,), clean, tally)
        is_asked = any(isinstance(event, AbortRequested) for event in _events(once))
        for later in _LATER if is_asked else ():
            _twice(name, (point, point + later), once, tally)
    return tally


def replay_case(text: str) -> Tally:
    """Runs again what a violation names after ``abort:``: ``NAME:POINT`` or ``NAME:POINT:POINT``."""
    name, *points = text.split(":")
    tally = Tally()
    once = _asked(name, (int(points[0]),), _run(name, (), tally), tally)
    if len(points) > 1:
        _twice(name, (int(points[0]), int(points[1])), once, tally)
    return tally


def _asked(name: str, points: tuple[int, ...], clean: Harness, tally: Tally) -> Harness:
    harness = _run(name, points, tally)
    wanted = wanted_outcome(_events(harness)) or outcome_of(clean)
    found = outcome_of(harness)
    if found is not wanted:
        _note(tally, name, points, f"it ended as {found}, not as {wanted}")
    return harness


def _twice(name: str, points: tuple[int, ...], once: Harness, tally: Tally) -> None:
    harness = _run(name, points, tally)
    if (outcome_of(harness), _effects(harness)) != (outcome_of(once), _effects(once)):
        _note(tally, name, points, f"twice is not once: {_effects(harness)}, not {_effects(once)}")


def _run(name: str, points: tuple[int, ...], tally: Tally) -> Harness:
    scenario = next(item for item in SCENARIOS if item.name == name)
    return run_case(scenario, "memory", dict.fromkeys(points, Fault.ABORT), tally)


def _note(tally: Tally, name: str, points: tuple[int, ...], what: str) -> None:
    replay = ":".join((name, *map(str, points)))
    tally.violations.append(f"{name}, asked to stop at {points}: {what} (--replay 'abort:{replay}')")


def wanted_outcome(events: tuple[Any, ...]) -> Outcome | None:
    """What must become of an operation with these events; None where nobody asked before its end."""
    asked = next((at for at, event in enumerate(events) if isinstance(event, AbortRequested)), None)
    if asked is None:
        return None
    before = events[:asked]
    for event in before:
        if isinstance(event, Judged):
            return Outcome.SUCCEEDED if event.verdict is Verdict.COMMIT else Outcome.ROLLED_BACK
    is_touched = any(isinstance(event, StepIntended) and event.phase is Phase.SWITCHING for event in before)
    return Outcome.ROLLED_BACK if is_touched else Outcome.ABORTED


def outcome_of(harness: Harness) -> Outcome | None:
    """How the only operation of a run ended."""
    ends = [event for event in _events(harness) if isinstance(event, Finished)]
    return ends[-1].outcome if ends else None


def _events(harness: Harness) -> tuple[Any, ...]:
    return next(iter(harness.checker.journals.values()), ())


def _effects(harness: Harness) -> list[str]:
    names = harness.injector.names
    return [name for name in names if name.startswith("world.") and name not in _READS]
