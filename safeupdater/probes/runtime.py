"""Health by the runtime's own state alone: Docker's HEALTHCHECK, a pod's readiness."""

from __future__ import annotations

import time

import attrs

from safeupdater.domain.health import Sample, SampleStatus
from safeupdater.protocols import ProbeTarget


@attrs.frozen(kw_only=True)
class RuntimeCheck:
    """Measures nothing of its own: ``docker`` and ``kubernetes`` in a policy.

    The engine asks the runtime before every probe anyway, and an exited, crash-looping or unhealthy version
    is judged by that. So the sample is always ``ok``: as good as the runtime says, and no better.
    """

    runtime: str

    def check(self, target: ProbeTarget, timeout_s: float) -> Sample:
        """Always ``ok``."""
        return Sample(SampleStatus.OK, time.monotonic(), f"left to the state that {self.runtime} reports")

    def self_test(self, timeout_s: float) -> Sample:
        """Always ``failed``: what decides is the runtime's state, and that can fail."""
        return Sample(SampleStatus.FAILED, time.monotonic(), f"{self.runtime} reports failures itself")
