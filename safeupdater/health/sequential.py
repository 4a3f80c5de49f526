"""The sequential test behind the default health rule: what each sample is worth, and when it is enough.

Wald's sequential probability ratio test weighs "this version fails as often as the old one did" (p0)
against "it fails 20 % of the time" (p1). Evidence is counted in nats: a failure adds ``ln(p1/p0)``, a good
sample subtracts ``ln((1-p0)/(1-p1))``. Two departures, both towards what containers really do:

- failures that follow each other are one event more often than many, so within a blip of up to
  ``BLIP`` probes the second and later ones add little; a longer run is no blip and counts in full again;
- beside the sum since the window opened, which a long good beginning can make deaf, runs a second one that
  never falls below zero (Page's CUSUM): it hears a version that turns bad late.

How the figures were chosen and what they give: ``docs/explanation/health-verdicts.md``.
"""

from __future__ import annotations

import math

import attrs

from safeupdater.domain.health import Baseline

NOISE_FLOOR = 0.02
"""The failing share that is taken for ordinary noise where nothing better is known."""
NOISE_CEILING = 0.05
"""However noisy the old version was, the new one is not forgiven more than this."""
BAD_SHARE = 0.20
"""The failing share that must not be committed."""
ALPHA = 0.001
"""The share of versions as good as p0 that the test may call bad."""
BETA = 0.005
"""The share of versions that fail ``BAD_SHARE`` of the time that the test may call good."""
BLIP = 5
"""Failures in a row that still pass for one short interruption."""
REPEAT_STEP = 0.55
"""What the second and later failures of a blip add, in nats: a blip and one failure more stay below the
bound, and yet a version that is down for five probes of every twenty-five gathers evidence against itself."""
LATE_BOUND = 9.2
"""What the sum that never falls below zero must reach in a window of up to ``LATE_SAMPLES`` samples."""
LATE_SAMPLES = 60
QUIET = 1.0
"""Below this that sum holds no fresh suspicion: seven good samples after a single failure."""


@attrs.frozen(kw_only=True)
class SequentialTest:
    """The steps and bounds of one test, all in nats. ``late_bound`` grows with the samples of the window."""

    failure_step: float
    repeat_step: float
    good_step: float
    bad_bound: float
    good_bound: float
    late_bound: float

    @classmethod
    def against(cls, baseline: Baseline | None, due: int) -> SequentialTest:
        """The test for a window of so many due samples, given how often the old version failed."""
        noise = expected_noise(baseline)
        failure_step = math.log(BAD_SHARE / noise)
        return cls(
            failure_step=failure_step,
            repeat_step=min(failure_step, REPEAT_STEP),
            good_step=math.log((1 - BAD_SHARE) / (1 - noise)),
            bad_bound=math.log((1 - BETA) / ALPHA),
            good_bound=math.log(BETA / (1 - ALPHA)),
            late_bound=LATE_BOUND + math.log(max(1.0, due / LATE_SAMPLES)),
        )


def expected_noise(baseline: Baseline | None) -> float:
    """p0: the failing share that the new version is allowed, from 0.02 to 0.05."""
    if baseline is None or baseline.samples <= 0:
        return NOISE_FLOOR
    share = (baseline.failures + 0.5) / (baseline.samples + 1)
    return min(max(share, NOISE_FLOOR), NOISE_CEILING)


@attrs.frozen
class Evidence:
    """What the samples so far say, in nats; more is worse.

    ``total`` is the sum since the window opened, ``late`` the one that never falls below zero, ``run`` the
    number of failures that the latest samples form without a good one between them.
    """

    total: float = 0.0
    late: float = 0.0
    run: int = 0

    def with_good(self, test: SequentialTest) -> Evidence:
        """The evidence after one more good sample."""
        step = test.good_step
        late = self.late + step
        return Evidence(self.total + step, late if late > 0.0 else 0.0, 0)

    def with_failure(self, test: SequentialTest) -> Evidence:
        """The evidence after one more failed sample."""
        step = test.repeat_step if 0 < self.run < BLIP else test.failure_step
        return Evidence(self.total + step, self.late + step, self.run + 1)
