"""What every gate that looks at the time does without one."""

from __future__ import annotations

import math
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


_MAX_SKEW_S = 300.0


def is_skewed(skew_s: float | None) -> bool:
    """Whether our clock is too far from a registry's to judge ages by; an unknown skew says nothing."""
    return skew_s is not None and not (math.isfinite(skew_s) and abs(skew_s) <= _MAX_SKEW_S)


def clock_skew(gate: str) -> Decision:
    """The deferral of a gate that would go by a clock that is wrong."""
    message = "Our clock and the registry's are more than five minutes apart: set it right first"
    return says(gate, Verdict.DEFER, "clock_skew", message)
