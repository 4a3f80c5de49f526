"""What every gate that looks at the time does without one."""

from __future__ import annotations

from datetime import datetime
from typing import TypeGuard

from safeupdater.domain.decision import Decision, Verdict
from safeupdater.gates.reasons import says


def is_usable(time: datetime | None) -> TypeGuard[datetime]:
    """Whether a time is known and aware: a naive one names no instant, which is as good as unknown."""
    return time is not None and time.utcoffset() is not None


def no_time(gate: str) -> Decision:
    """The deferral of a gate that needs to know the time and was not told."""
    return says(gate, Verdict.DEFER, "no_time", "It depends on the time, and no time was given")
