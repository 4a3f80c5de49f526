"""How health is asked for, what was measured, and how it is judged: values only."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import attrs


def _frozen(value: Mapping[str, object]) -> Mapping[str, object]:
    return MappingProxyType(dict(value))


@attrs.frozen(kw_only=True)
class ProbeSpec:
    """A health check by type name and options, as written in a policy: ``http``, ``tcp``, ``exec`` …

    Options may hold secrets, such as a header to log in with: they stay out of ``repr``.
    """

    type: str
    options: Mapping[str, object] = attrs.field(factory=dict, converter=_frozen, hash=False, repr=False)


class Rule(enum.Enum):
    """How a monitoring window is judged."""

    SEQUENTIAL = "sequential"
    FAILURE_RATE = "failure_rate"

    def __str__(self) -> str:
        return self.value


@attrs.frozen(kw_only=True)
class HealthPolicy:
    """How long to wait for readiness, and how to watch afterwards. All times in seconds.

    ``failure_rate`` is a share (0.1 is 10 %); the rule ``failure_rate`` fails strictly above it.
    ``baseline_s`` is how long the old version is measured before the update, 0 for not at all.
    """

    ready_timeout_s: float = 300.0
    window_s: float = 300.0
    interval_s: float = 10.0
    failure_rate: float = 0.1
    rule: Rule = Rule.SEQUENTIAL
    checks: tuple[ProbeSpec, ...] = ()
    check_timeout_s: float = 5.0
    baseline_s: float = 0.0

    def __attrs_post_init__(self) -> None:
        for name in ("ready_timeout_s", "window_s", "interval_s", "check_timeout_s"):
            value = getattr(self, name)
            if not 0 < value < 30 * 86_400:
                raise ValueError(f"{name} must be more than 0 seconds and less than 30 days, got {value!r}")
        if not 0 <= self.baseline_s <= 10:
            raise ValueError(f"baseline_s is at most 10 seconds, got {self.baseline_s!r}")
        if not 0 <= self.failure_rate < 1:
            raise ValueError(f"failure_rate is a share from 0 to below 1, got {self.failure_rate!r}")


class SampleStatus(enum.Enum):
    """What one measurement says. ``void``: the probe itself could not measure, which says nothing."""

    OK = "ok"
    FAILED = "failed"
    VOID = "void"


class Sample(NamedTuple):
    """One measurement of a target's health, at ``at_s`` seconds of a monotonic clock."""

    status: SampleStatus
    at_s: float = 0.0
    detail: str = ""


class Condition(enum.Enum):
    """What the runtime itself says about a version, before any probe."""

    ABSENT = "absent"
    """It is not there (yet, or any more)."""
    STARTING = "starting"
    READY = "ready"
    UNREADY = "unready"
    """Running, was or may become ready, is not now."""
    PAUSED = "paused"
    """Held still by somebody: nothing can be measured, which is nobody's fault."""
    FAILED = "failed"
    """Decides at once: exited, crash loop, out of memory, image cannot be pulled, HEALTHCHECK unhealthy."""
    STOPPED = "stopped"
    """Not running because it is not meant to run (it was stopped before the update too)."""
    FOREIGN = "foreign"
    """Somebody else changed what we manage."""


@attrs.frozen
class Observation:
    """What the runtime says: a condition, a stable code (``running``, ``oom_killed``), a sentence.

    ``identity`` names the very thing that was observed (a container id, a pod template hash), so that a
    measurement of one thing is never counted for another.
    """

    condition: Condition
    code: str = ""
    detail: str = ""
    identity: str = ""


class Judgement(enum.Enum):
    """How a monitoring window ends."""

    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"
    INCONCLUSIVE = "inconclusive"


@attrs.frozen(kw_only=True)
class Tally:
    """Counts of a monitoring window: ``due`` samples by the clock, and what came of them."""

    due: int = 0
    ok: int = 0
    failed: int = 0
    void: int = 0

    @property
    def valid(self) -> int:
        """Samples that say something."""
        return self.ok + self.failed


@attrs.frozen(kw_only=True)
class WindowVerdict:
    """The judgement of a monitoring window, its evidence and a sentence for people."""

    judgement: Judgement
    code: str
    message: str
    tally: Tally


@attrs.frozen(kw_only=True)
class Baseline:
    """Measurements of the old version shortly before an update: failures among samples."""

    samples: int
    failures: int
