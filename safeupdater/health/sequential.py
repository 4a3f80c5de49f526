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
from typing import NamedTuple

import attrs

from safeupdater.domain.health import Baseline
from safeupdater.domain.quick import made

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
FIRST_BLIP_STEP = 0.2
"""What each of the second and later failures of the window's first blip adds, in nats. One blip is bad luck:
it may weigh little more than one failure. It still weighs so much that a version down for five probes of
every twenty-five does not pass while its second blip is awaited."""
LATE_BOUND = 11.5
"""What the sum that never falls below zero must reach in a window of up to ``LATE_SAMPLES`` samples."""
LATE_SAMPLES = 60
QUIET = 1.0
"""Below this that sum holds no fresh suspicion: seven good samples after a single failure."""


@attrs.frozen(kw_only=True)
class SequentialTest:
    """The steps and bounds of one test, all in nats. ``late_bound`` grows with the samples of the window."""

    failure_step: float
    first_blip_step: float
    blip_step: float
    good_step: float
    bad_bound: float
    good_bound: float
    late_bound: float

    @classmethod
    def against(cls, baseline: Baseline | None, due: int) -> SequentialTest:
        """The test for a window of so many due samples, given how often the old version failed."""
        noise = expected_noise(baseline)
        failure_step = math.log(BAD_SHARE / noise)
        good_step = math.log((1 - BAD_SHARE) / (1 - noise))
        return cls(
            failure_step=failure_step,
            first_blip_step=FIRST_BLIP_STEP,
            blip_step=_blip_step(failure_step, good_step),
            good_step=good_step,
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


def _blip_step(failure_step: float, good_step: float) -> float:
    """What each of the second and later failures of a later blip adds: no downtime may pass as blips.

    A version that is down for ``BAD_SHARE`` of the time, one blip after the other, must gather no evidence
    in its own favour: one blip weighs as much as the good samples between two of them.
    """
    good_between = BLIP * (1 - BAD_SHARE) / BAD_SHARE
    return (-good_step * good_between - failure_step) / (BLIP - 1)


class Evidence(NamedTuple):  # made anew for every sample, which a tuple is five times as fast as attrs
    """What the samples so far say, in nats; more is worse.

    ``total`` is the sum since the window opened, ``late`` the one that never falls below zero, ``run`` the
    number of failures that the latest samples form without a good one between them, ``blip_seen`` whether
    an earlier run had more than one.
    """

    total: float = 0.0
    late: float = 0.0
    run: int = 0
    blip_seen: bool = False

    def with_good(self, test: SequentialTest) -> Evidence:
        """The evidence after one more good sample."""
        total, late, run, blip_seen = self
        step = test.good_step
        late += step
        return made(Evidence, (total + step, late if late > 0.0 else 0.0, 0, blip_seen or run > 1))

    def with_failure(self, test: SequentialTest) -> Evidence:
        """The evidence after one more failed sample."""
        if 0 < self.run < BLIP:
            step = test.blip_step if self.blip_seen else test.first_blip_step
        else:
            step = test.failure_step
        return Evidence(self.total + step, self.late + step, self.run + 1, self.blip_seen)
