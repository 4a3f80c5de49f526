"""Slow starters and short windows, through the whole engine: what is good must be committed."""

from __future__ import annotations

import attrs

from safeupdater.backends.memory import Behaviour
from safeupdater.domain.health import HealthPolicy
from safeupdater.domain.operation import Finished, OperationSettings, Outcome
from tests.simulation.crashes import PROBED
from tests.simulation.harness import SETTINGS, Harness

SHORT = attrs.evolve(
    SETTINGS, health=HealthPolicy(ready_timeout_s=60.0, window_s=10.0, interval_s=1.0), hooks=()
)
"""Ten seconds, looked at once a second."""


def slow_starters(*, every_s: float) -> tuple[int, list[str]]:
    """Releases that become ready at any time within ``ready_timeout``, with and without probes."""
    timeout_s = SETTINGS.health.ready_timeout_s
    starts = [number * every_s for number in range(int(timeout_s / every_s))]
    found = [
        finding
        for start_s in starts
        for kind in ("plain", "probed")
        for finding in replay_case(f"{kind}:{start_s}")
    ]
    return 2 * len(starts), found


def short_windows(count: int) -> tuple[int, list[str]]:
    """Windows of ten seconds over releases without a fault, started at any fraction of a second."""
    return count, [finding for number in range(count) for finding in replay_case(f"short:{number / count}")]


def replay_case(text: str) -> list[str]:
    """Runs again what a violation names after ``start:``: ``KIND:SECONDS``; what it finds."""
    kind, start_s = text.split(":")
    settings = {"plain": SETTINGS, "probed": PROBED, "short": SHORT}[kind]
    ended = _outcome(settings, Behaviour(ready_after_s=float(start_s)))
    if ended is Outcome.SUCCEEDED:
        return []
    return [f"ready after {start_s} s, {kind}: it ended as {ended} (--replay 'start:{text}')"]


def _outcome(settings: OperationSettings, behaviour: Behaviour) -> Outcome | None:
    harness = Harness(behaviours=(behaviour,), settings=settings)
    harness.run(lambda process: process.executor.run(harness.planned) and None)
    (events,) = harness.checker.journals.values()
    last = events[-1]
    return last.outcome if isinstance(last, Finished) else None
