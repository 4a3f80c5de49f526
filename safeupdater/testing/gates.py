"""What a gate must keep to, as tests that its author runs, and strategies that make candidates.

Subclass ``GateContract`` in a test module; pytest finds its tests::

    class TestMyGate(GateContract):
        def make_gate(self) -> Gate:
            return MyGate()
"""

from __future__ import annotations

import datetime as dt
import gc
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from safeupdater.domain.artifact import ImageReference
from safeupdater.domain.asset import Asset, AssetType
from safeupdater.domain.candidate import Candidate, Facts
from safeupdater.domain.change import Change, VersionChangeType
from safeupdater.domain.decision import Decision, Reason, Verdict
from safeupdater.gates.evaluation import evaluate
from safeupdater.protocols import Gate

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

NOW = datetime(2025, 10, 20, 12, 0, tzinfo=UTC)
"""A Monday, the time of the sample candidates."""

_OLD, _NEW = "sha256:" + "a" * 64, "sha256:" + "b" * 64
_STEPS = (
    ("1.2.3", "1.2.4", VersionChangeType.PATCH),
    ("1.2.3", "1.3.0", VersionChangeType.MINOR),
    ("1.2.3", "2.0.0", VersionChangeType.MAJOR),
    ("1.2.3", "1.3.0-rc.1", VersionChangeType.PRERELEASE),
    ("0.2.3", "0.3.0", VersionChangeType.MINOR),
    ("1.2.3", "1.2.3", VersionChangeType.DIGEST),
    ("latest", "latest", VersionChangeType.DIGEST),
    ("1.2.3", "1.2.3", VersionChangeType.NO_CHANGE),
    ("1.2.3", "1.2.2", VersionChangeType.UNKNOWN),
    ("1.2.3", "not-a-version", VersionChangeType.UNKNOWN),
)


def make_candidate(
    current: str = "1.2.3",
    new: str = "1.2.4",
    change_type: VersionChangeType = VersionChangeType.PATCH,
    *,
    image: str = "ghcr.io/acme/shop",
    now: datetime | None = NOW,
    facts: Facts | None = None,
    consent: Verdict | None = None,
    labels: dict[str, str] | None = None,
    owner: str | None = "",
) -> Candidate:
    """A candidate for one container; a digest change gets two digests. All facts are unknown but given."""
    is_digest = change_type is VersionChangeType.DIGEST
    old = ImageReference.parse(f"{image}:{current}").with_digest(_OLD if is_digest else None)
    offered = ImageReference.parse(f"{image}:{new}").with_digest(_NEW if is_digest else None)
    asset = Asset(
        id="memory://local/shop",
        name="shop",
        asset_type=AssetType.CONTAINER,
        image=old,
        labels=labels or {},
        owner=owner,
    )
    change = Change(asset_id=asset.id, current=old, new=offered, change_type=change_type)
    return Candidate(asset=asset, change=change, now=now, facts=facts or Facts(), consent=consent)


def sample_candidates() -> tuple[Candidate, ...]:
    """Candidates of every change type: with and without time, with facts known, unknown and hostile."""
    week = timedelta(days=7)
    known = Facts(published_at=NOW - week, first_seen=NOW - week, owner="", extra={"signed": True})
    hostile = Facts(published_at=NOW + week, owner="argocd", quarantined="failed \x1b[31m‮")
    bare = [make_candidate(*step, now=None) for step in _STEPS]
    full = [make_candidate(*step, facts=known) for step in _STEPS]
    odd = [make_candidate(*step, facts=hostile, labels={"": "\ud800"}, owner=None) for step in _STEPS]
    return (*bare, *full, *odd)


class GateContract:
    """What every gate must keep to. Give ``make_gate``; override ``candidates`` to add your own."""

    def make_gate(self) -> Gate:
        """A new gate, equal in behaviour to any other that this makes."""
        raise NotImplementedError("give the gate to check")

    def candidates(self) -> tuple[Candidate, ...]:
        """What it is asked to decide on."""
        return sample_candidates()

    def test_it_has_a_name(self) -> None:
        """Reasons need somebody who gives them."""
        name = self.make_gate().name
        assert isinstance(name, str)
        assert name.strip()

    def test_it_needs_a_frozenset_of_fact_names(self) -> None:
        """Only the facts that are named are fetched."""
        needs = self.make_gate().needs
        assert isinstance(needs, frozenset), f"needs is {type(needs).__name__}, not a frozenset"
        assert all(isinstance(fact, str) and fact for fact in needs)

    def test_it_decides_on_everything(self) -> None:
        """It raises for no candidate, since raising rejects for good, and explains every verdict."""
        gate = self.make_gate()
        for candidate in self.candidates():
            decision: object = gate(candidate)
            assert isinstance(decision, Decision), f"gave {type(decision).__name__}"
            assert decision.deciding is not None, f"{decision.verdict} has no reason"
            for reason in decision.reasons:
                _check_reason(reason)

    def test_it_is_deterministic(self) -> None:
        """The same candidate gets the same decision: again, in another order, and from another gate."""
        one, other = self.make_gate(), self.make_gate()
        candidates = self.candidates()
        first = [one(candidate) for candidate in candidates]
        assert [one(candidate) for candidate in candidates] == first, "a second call differs"
        backwards = [other(candidate) for candidate in reversed(candidates)]
        assert backwards[::-1] == first, "the order of calls matters"

    def test_it_mutates_nothing(self) -> None:
        """Candidate and gate stay as they were."""
        gate = self.make_gate()
        for candidate in self.candidates():
            before = repr(candidate), repr(gate)
            gate(candidate)
            assert (repr(candidate), repr(gate)) == before

    def test_it_reads_no_clock(self) -> None:
        """The time is in the candidate; a gate that reads a clock cannot be replayed."""
        gate = self.make_gate()
        with _clock_calls() as calls:
            for candidate in self.candidates():
                gate(candidate)
        assert not calls, f"it called {', '.join(sorted(calls))}"

    def test_it_survives_evaluation(self) -> None:
        """What it answers is taken as it is, not as broken."""
        gate = self.make_gate()
        for candidate in self.candidates():
            decision = evaluate(gate, candidate)
            assert not decision.is_fatal, decision.reason


def _check_reason(reason: Reason) -> None:
    assert reason.code, "a reason has no code"
    assert reason.code.replace("_", "").isalnum(), f"{reason.code!a} is not a code such as too_young"
    assert reason.message.strip(), f"{reason.code} has no sentence"
    assert reason.message.isprintable(), f"{reason.code}: {reason.message!a} cannot be printed"
    assert reason.until is None or reason.until.utcoffset() is not None, f"{reason.code}: until is naive"


_CLOCKS = frozenset({"time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "localtime", "gmtime"})
_DATE_CLOCKS = frozenset({"now", "utcnow", "today"})


@contextmanager
def _clock_calls() -> Iterator[set[str]]:
    """The names of the clocks that are read within."""
    calls: set[str] = set()

    def watch(frame: types.FrameType, event: str, called: object) -> None:
        if event != "c_call":
            return
        name, owner = getattr(called, "__name__", ""), getattr(called, "__self__", None)
        if name in _CLOCKS and getattr(called, "__module__", "") == "time":
            calls.add(f"time.{name}")
        elif name in _DATE_CLOCKS and isinstance(owner, type) and issubclass(owner, dt.date):
            calls.add(f"{owner.__name__}.{name}")

    before, collects = sys.getprofile(), gc.isenabled()
    gc.disable()  # test tools time the collector, in the middle of whatever runs
    sys.setprofile(watch)
    try:
        yield calls
    finally:
        sys.setprofile(before)
        if collects:
            gc.enable()


# --- strategies -------------------------------------------------------------------------------------------


def verdicts() -> SearchStrategy[Verdict]:
    """Every verdict."""
    from hypothesis import strategies as st

    return st.sampled_from(Verdict)


def reasons() -> SearchStrategy[Reason]:
    """Reasons with few enough different parts that they meet; some fatal, some with a time."""
    from hypothesis import strategies as st

    def build(verdict: Verdict, code: str, gate: str, days: int | None, fatal: bool) -> Reason:
        until = NOW + timedelta(days=days) if days and verdict is Verdict.DEFER else None
        is_fatal = fatal and verdict is Verdict.REJECT
        return Reason(
            code=code, message=f"{gate}: {code}", verdict=verdict, gate=gate, until=until, fatal=is_fatal
        )

    names = st.sampled_from(("one", "two", "three"))
    return st.builds(build, verdicts(), names, names, st.none() | st.integers(1, 3), st.booleans())


def decisions() -> SearchStrategy[Decision]:
    """Decisions that a single gate may give: a verdict, the reason for it, and perhaps others."""
    from hypothesis import strategies as st

    def build(deciding: Reason, others: list[Reason]) -> Decision:
        kept = tuple(other for other in others if not other.fatal)
        return Decision(verdict=deciding.verdict, reasons=(deciding, *kept))

    return st.builds(build, reasons(), st.lists(reasons(), max_size=2))


def candidates() -> SearchStrategy[Candidate]:
    """Candidates of every change type, with facts known and unknown, approved and not."""
    from hypothesis import strategies as st

    times = st.none() | st.integers(-30, 30).map(lambda days: NOW + timedelta(days=days))
    facts = st.builds(
        Facts,
        published_at=times,
        first_seen=times,
        owner=st.sampled_from((None, "", "argocd", "helm/shop")),
        quarantined=st.sampled_from((None, "it failed")),
    )
    consents = st.sampled_from((None, Verdict.REVIEW_REQUIRED, Verdict.MANUAL_APPROVAL))
    return st.builds(
        lambda step, now, facts, consent, owner: make_candidate(
            *step, now=now, facts=facts, consent=consent, owner=owner
        ),
        st.sampled_from(_STEPS),
        times,
        facts,
        consents,
        st.sampled_from((None, "", "argocd")),
    )
