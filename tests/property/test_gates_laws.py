"""The laws of composing gates, on (verdict, reasons)."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from safeupdater.domain.decision import Decision, Reason, Verdict
from safeupdater.gates import Composable, all_of, any_of, gate
from safeupdater.testing.gates import candidates, decisions, make_candidate

SAMPLE = make_candidate()


def fixed(decision: Decision) -> Composable:
    return gate(lambda candidate: decision, name="fixed")


gates = decisions().map(fixed)


@st.composite
def trees(draw: st.DrawFn) -> Composable:
    """Gates and compositions of gates."""
    return draw(
        st.recursive(
            gates,
            lambda some: st.builds(lambda a, b, both: a & b if both else a | b, some, some, st.booleans()),
            max_leaves=6,
        )
    )


def outcome(composed: Composable) -> tuple[Verdict, tuple[Reason, ...]]:
    decision = composed(SAMPLE)
    return decision.verdict, decision.reasons


@given(trees(), trees(), trees())
def test_composing_is_associative(a, b, c):
    assert outcome((a & b) & c) == outcome(a & (b & c))
    assert outcome((a | b) | c) == outcome(a | (b | c))


@given(trees(), trees())
def test_composing_is_commutative(a, b):
    assert outcome(a & b) == outcome(b & a)
    assert outcome(a | b) == outcome(b | a)


@given(trees())
def test_composing_is_idempotent(a):
    assert outcome(a & a) == outcome(all_of(a))
    assert outcome(a | a) == outcome(any_of(a))
    assert outcome(all_of(a)) == outcome(a) == outcome(any_of(a))


@given(trees(), trees())
def test_all_of_is_the_stricter_and_any_of_the_milder(a, b):
    one, other = a(SAMPLE), b(SAMPLE)
    assert (a & b)(SAMPLE).verdict is max(one.verdict, other.verdict)
    fatal = one.is_fatal or other.is_fatal
    assert (a | b)(SAMPLE).verdict is (Verdict.REJECT if fatal else min(one.verdict, other.verdict))


@given(trees())
def test_reject_absorbs_in_all_of_and_approve_in_any_of_unless_a_gate_raised(a):
    reject, approve = gate(lambda _: Verdict.REJECT, "no"), gate(lambda _: Verdict.APPROVE, "yes")
    assert (a & reject)(SAMPLE).verdict is Verdict.REJECT
    expected = Verdict.REJECT if a(SAMPLE).is_fatal else Verdict.APPROVE
    assert (a | approve)(SAMPLE).verdict is expected


@given(trees())
def test_a_gate_that_raises_rejects_whatever_stands_beside_it(a):
    def raises(candidate):
        raise RuntimeError("secret")

    approve = gate(lambda _: Verdict.APPROVE, "yes")
    for composed in (a & raises, a | raises, (a & raises) | approve, raises | (a | approve)):
        decision = composed(SAMPLE)
        assert decision.verdict is Verdict.REJECT
        assert decision.is_fatal


@given(st.lists(gates, min_size=1, max_size=6), st.randoms(use_true_random=False), st.booleans())
def test_shuffling_gates_changes_nothing(some, random, strict):
    compose = all_of if strict else any_of
    shuffled = list(some)
    random.shuffle(shuffled)
    assert compose(*some)(SAMPLE) == compose(*shuffled)(SAMPLE)


@given(st.lists(decisions(), min_size=1, max_size=5))
def test_every_reason_is_kept_once_in_canonical_order(some):
    reasons = all_of(*map(fixed, some))(SAMPLE).reasons
    assert set(reasons) == {reason for decision in some for reason in decision.reasons}
    assert len(set(reasons)) == len(reasons)
    assert list(reasons) == sorted(reasons, key=lambda reason: reason.rank)


@given(st.lists(st.sampled_from(Verdict), min_size=1, max_size=5), candidates())
def test_an_approval_lifts_single_verdicts_but_never_a_deferral_or_a_rejection(verdicts, candidate):
    def lifted(verdict: Verdict) -> Verdict:
        return Verdict.APPROVE if candidate.lifts(verdict) else verdict

    single = [gate(lambda _, verdict=verdict: verdict, f"g{n}") for n, verdict in enumerate(verdicts)]
    assert all_of(*single)(candidate).verdict is max(map(lifted, verdicts))
    assert any_of(*single)(candidate).verdict is min(map(lifted, verdicts))
    for verdict in verdicts:
        assert lifted(verdict) in (verdict, Verdict.APPROVE)
        assert verdict not in (Verdict.DEFER, Verdict.REJECT) or lifted(verdict) is verdict
