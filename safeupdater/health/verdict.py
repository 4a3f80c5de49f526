"""The monitoring window: samples in, a verdict out. A value that reads no clock and keeps no list.

Adding a sample and judging take constant time and memory, whatever the length of the window.
"""

from __future__ import annotations

from typing import NamedTuple

from safeupdater.domain.health import (
    Baseline,
    HealthPolicy,
    Judgement,
    Rule,
    Sample,
    SampleStatus,
    Tally,
    WindowVerdict,
)
from safeupdater.domain.quick import made
from safeupdater.health.sequential import QUIET, Evidence, SequentialTest

BASELINE_LIMIT = 0.10
"""An old version that fails more often than this cannot show that a new one is good."""
MIN_VALID = 3
"""Fewer samples than this never commit."""
EXTENSIONS = 3
"""A window that cannot be judged goes on to this many times its length …"""
EXTENDED_VALID = 120
"""… and at least until there are this many valid samples."""
_OK, _FAILED = SampleStatus.OK, SampleStatus.FAILED  # bound: see ``domain.quick``
_SLACK = 1e-6
"""How far, in intervals, a float may fall short of an instant and still have reached it."""


def baseline_refuses(baseline: Baseline) -> bool:
    """Whether the old version fails too often (above 10 %) for an update to be judged against it."""
    return baseline.samples > 0 and baseline.failures / baseline.samples > BASELINE_LIMIT


class Window(NamedTuple):  # made anew for every sample, as ``Evidence`` is
    """A monitoring window and everything its samples have said so far.

    ``fault`` is the code of the verdict *unhealthy* as soon as one sample has brought it, and stays: no
    later sample takes it back. Times are seconds of one monotonic clock.
    """

    policy: HealthPolicy
    began_s: float
    test: SequentialTest
    evidence: Evidence = Evidence()
    ok: int = 0
    failed: int = 0
    void: int = 0
    last_s: float | None = None
    """When the latest sample was taken; None before the first."""
    fault: str = ""

    @classmethod
    def open(cls, policy: HealthPolicy, began_s: float, baseline: Baseline | None = None) -> Window:
        """A window without samples that begins now."""
        due = int(policy.window_s / policy.interval_s + _SLACK)
        return cls(policy, began_s, SequentialTest.against(baseline, due))

    def add(self, sample: Sample) -> Window:
        """The window with one more sample; samples are added in the order in which they were taken."""
        policy, began_s, test, evidence, ok, failed, void, _, fault = self
        status, at_s, _ = sample
        if status is _OK:
            evidence = evidence.with_good(test)
            ok += 1
        elif status is _FAILED:
            evidence = evidence.with_failure(test)
            failed += 1
            fault = fault or self._fault_of(evidence, ok, failed)  # no other sample can bring one
        else:
            void += 1
        return made(Window, (policy, began_s, test, evidence, ok, failed, void, at_s, fault))

    def judge(self, now_s: float) -> WindowVerdict | None:
        """The verdict at an instant; None: go on watching.

        *Unhealthy* may come at any time, *healthy* not before the window's end. Every window ends: at the
        latest after three times its length or 240 intervals, whichever is later.
        """
        if self.fault:
            return self._verdict(Judgement.UNHEALTHY, self.fault, now_s)
        policy = self.policy
        window_s, interval_s = policy.window_s, policy.interval_s
        if now_s - self.began_s + _SLACK * interval_s < window_s:
            return None
        if not self._has_enough(now_s):
            over = self._reached(now_s, max(EXTENSIONS * window_s, 2 * MIN_VALID * interval_s))
            return self._verdict(Judgement.INCONCLUSIVE, "no_data", now_s) if over else None
        if self._shows_health():
            return self._verdict(Judgement.HEALTHY, "window_healthy", now_s)
        over = self._reached(now_s, EXTENSIONS * window_s) and self.ok + self.failed >= EXTENDED_VALID
        return self._verdict(Judgement.INCONCLUSIVE, "inconclusive", now_s) if over else None

    @property
    def tally(self) -> Tally:
        """The counts as of the latest sample."""
        return self._tally(self.began_s if self.last_s is None else self.last_s)

    @property
    def next_due_s(self) -> float:
        """When to measure next, on the window's own beat: a late sample does not shift those after it.

        Where the window ends between two beats, its end is measured too.
        """
        last_s = self.began_s if self.last_s is None else self.last_s
        beat_s = self.began_s + (self._beats(last_s) + 1) * self.policy.interval_s
        if self._reached(last_s, self.policy.window_s):
            return beat_s
        return min(beat_s, self.began_s + self.policy.window_s)

    def _fault_of(self, evidence: Evidence, ok: int, failed: int) -> str:
        """The code under which these counts and this evidence are unhealthy; empty where they are not."""
        if self.policy.rule is Rule.FAILURE_RATE:
            exceeded = failed > 0 and failed / (ok + failed) > self.policy.failure_rate
            return "failure_rate_exceeded" if exceeded else ""
        if evidence.total >= self.test.bad_bound:
            return "sequential_unhealthy"
        return "late_onset" if evidence.late >= self.test.late_bound else ""

    def _has_enough(self, now_s: float) -> bool:
        valid = self.ok + self.failed
        return valid >= MIN_VALID and 2 * valid >= self._due(now_s)

    def _shows_health(self) -> bool:
        if self.failed == 0 or self.policy.rule is Rule.FAILURE_RATE:
            return True
        return self.evidence.total <= self.test.good_bound and self.evidence.late < QUIET

    def _reached(self, now_s: float, span_s: float) -> bool:
        return now_s - self.began_s + _SLACK * self.policy.interval_s >= span_s

    def _beats(self, now_s: float) -> int:
        return max(0, int((now_s - self.began_s) / self.policy.interval_s + _SLACK))

    def _due(self, now_s: float) -> int:
        longest = max(EXTENSIONS * self.policy.window_s / self.policy.interval_s, 2 * EXTENDED_VALID)
        return min(self._beats(now_s), int(longest + _SLACK))

    def _tally(self, now_s: float) -> Tally:
        return Tally(due=self._due(now_s), ok=self.ok, failed=self.failed, void=self.void)

    def _verdict(self, judgement: Judgement, code: str, now_s: float) -> WindowVerdict:
        tally = self._tally(now_s)
        message = _MESSAGES[code].format(
            tally=tally,
            share=100 * tally.failed / max(1, tally.valid),
            limit=100 * self.policy.failure_rate,
            evidence=self.evidence,
            test=self.test,
        )
        return WindowVerdict(judgement=judgement, code=code, message=message, tally=tally)


_COUNTED = "{tally.failed} of {tally.valid} samples failed ({share:.1f} %)"
_MESSAGES = {
    "window_healthy": _COUNTED + ", {tally.due} were due",
    "failure_rate_exceeded": _COUNTED + ", more than {limit:g} %",
    "sequential_unhealthy": _COUNTED
    + ": evidence {evidence.total:.2f} reached {test.bad_bound:.2f}, too many for the noise expected",
    "late_onset": _COUNTED
    + ", the latest close together: evidence {evidence.late:.2f} reached {test.late_bound:.2f}",
    "no_data": "{tally.valid} of {tally.due} due samples measured anything ({tally.void} void),"
    " too few to judge",
    "inconclusive": _COUNTED
    + ": evidence {evidence.total:.2f} (good from {test.good_bound:.2f} down, bad from {test.bad_bound:.2f}"
    " up), of late {evidence.late:.2f}",
}
