"""A rule of your own: a gate is a function from a candidate to yes, no, or a decision with its reason."""

from datetime import UTC, datetime

from safeupdater import DiffGate, gate
from safeupdater.domain.candidate import Candidate
from safeupdater.domain.decision import Decision, Reason, Verdict
from safeupdater.gates import SemverGate


@gate
def no_friday(candidate: Candidate) -> Decision:
    """Puts off what would happen on a Friday. Without a time nobody knows the day: that is no yes."""
    if candidate.now is None or candidate.now.weekday() == 4:
        return Decision.because(Reason(code="friday", message="Not on a Friday", verdict=Verdict.DEFER))
    return Decision.because(Reason(code="no_friday", message="It is no Friday", verdict=Verdict.APPROVE))


@gate
def is_no_rewrite(candidate: Candidate) -> bool:
    """A gate that only says yes or no: the reason is then its name."""
    return not (candidate.change.new.version_text or "").endswith(".0.0")


# `&` is the stricter of two gates, `|` the milder. Never down, same family and the like hold in any case.
rules = DiffGate(SemverGate() & no_friday & is_no_rewrite)
thursday, friday = datetime(2026, 3, 5, 12, tzinfo=UTC), datetime(2026, 3, 6, 12, tzinfo=UTC)
for current, new, now in (
    ("1.4.2", "1.4.3", thursday),
    ("1.4.2", "1.4.3", friday),
    ("1.4.2", "2.0.0", thursday),
    ("1.4.3", "1.4.2", thursday),
):
    decision = rules.evaluate_update(current, new, now=now)
    print(f"{current} → {new} on a {now:%A}: {decision.verdict} ({decision.reason})")

# Output:
# 1.4.2 → 1.4.3 on a Thursday: approve (Patch update is approved automatically)
# 1.4.2 → 1.4.3 on a Friday: defer (Not on a Friday)
# 1.4.2 → 2.0.0 on a Thursday: reject (is_no_rewrite says reject)
# 1.4.3 → 1.4.2 on a Thursday: reject (Not an upgrade: '1.4.2' is not newer than '1.4.3')
