"""Composing gates, plain functions as gates, and what becomes of broken ones."""

from __future__ import annotations

import attrs
import pytest

from safeupdater.domain.candidate import Candidate
from safeupdater.domain.change import VersionChangeType
from safeupdater.domain.decision import Decision, Reason, Verdict
from safeupdater.errors import ConfigurationError
from safeupdater.gates import (
    Composable,
    Freeze,
    MinimumAge,
    Ownership,
    SemverGate,
    all_of,
    any_of,
    evaluate,
    gate,
)
from safeupdater.testing.gates import make_candidate

MAJOR = make_candidate("1.2.3", "2.0.0", VersionChangeType.MAJOR)
PATCH = make_candidate()


def codes(decision: Decision) -> list[str]:
    return [reason.code for reason in decision.reasons]


# --- shape ------------------------------------------------------------------------------------------------


def test_a_composition_keeps_every_reason_and_takes_the_strictest_verdict():
    decision = (SemverGate() & Freeze() & Ownership())(MAJOR)
    assert decision.verdict is Verdict.MANUAL_APPROVAL
    assert codes(decision) == ["major_update_manual_approval", "frozen", "not_owned"]
    assert decision.change_type is VersionChangeType.MAJOR


def test_one_gate_that_approves_is_enough_for_any_of():
    decision = (SemverGate() | Freeze(active=False))(MAJOR)
    assert decision.verdict is Verdict.APPROVE
    assert codes(decision) == ["major_update_manual_approval", "not_frozen"]


@pytest.mark.parametrize("compose", [all_of, any_of])
def test_a_composition_of_nothing_is_an_error(compose):
    with pytest.raises(ConfigurationError, match="no gates decides nothing"):
        compose()


def test_nested_compositions_of_one_kind_are_flat():
    a, b, c = Freeze(), Ownership(), SemverGate()
    assert (a & (b & c)).gates == ((a & b) & c).gates == (a, b, c)
    assert len((a | (b & c)).gates) == 2


def test_a_composition_needs_what_its_gates_need():
    composed = SemverGate() & (MinimumAge(60) | Ownership())
    assert composed.needs == {"published_at", "first_seen", "clock_skew_s", "owner"}


def test_there_is_no_negation_and_no_truth_value():
    with pytest.raises(TypeError):
        ~Freeze()
    for use in (lambda: Freeze() and Ownership(), lambda: Freeze() or Ownership(), lambda: not Freeze()):
        with pytest.raises(TypeError, match="compose gates with"):
            use()


def test_every_gate_is_evaluated_even_when_the_verdict_is_settled():
    asked = []

    def spy(name: str, verdict: Verdict):
        return gate(lambda _: asked.append(name) or verdict, name)

    (spy("first", Verdict.REJECT) & spy("second", Verdict.APPROVE))(PATCH)
    (spy("third", Verdict.APPROVE) | spy("fourth", Verdict.REJECT))(PATCH)
    assert asked == ["first", "second", "third", "fourth"]


# --- plain functions --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [(True, Verdict.APPROVE), (False, Verdict.REJECT), *((verdict, verdict) for verdict in Verdict)],
)
def test_a_function_may_answer_with_a_verdict_or_a_truth_value(answer, verdict):
    def weekday_only(candidate):
        return answer

    decision = gate(weekday_only)(PATCH)
    assert decision.verdict is verdict
    assert decision.reasons[0].gate == "weekday_only"
    assert decision.reasons[0].code == f"weekday_only_{verdict}"


def test_gate_is_a_decorator_with_and_without_arguments():
    @gate
    def plain(candidate):
        return True

    @gate(name="has an owner", needs={"owner"})
    def detailed(candidate):
        return Verdict.DEFER

    assert (plain.name, plain.needs) == ("plain", frozenset())
    assert (detailed.name, detailed.needs) == ("has an owner", frozenset({"owner"}))
    assert detailed(PATCH).reasons[0].code == "has_an_owner_defer"
    assert (plain & detailed)(PATCH).verdict is Verdict.DEFER


def test_plain_functions_compose_on_either_side_of_a_gate():
    def never(candidate):
        return False

    approve = Freeze(active=False)
    assert (never & approve)(PATCH).verdict is Verdict.REJECT
    assert (approve & never)(PATCH).verdict is Verdict.REJECT
    assert (never | approve)(PATCH).verdict is Verdict.APPROVE
    assert (approve | never)(PATCH).verdict is Verdict.APPROVE


@attrs.frozen
class OpaqueGate:
    """What a plugin may bring: the protocol and nothing more."""

    verdict: Verdict = Verdict.REVIEW_REQUIRED
    name: str = "opaque"
    needs: frozenset[str] = frozenset({"signature"})

    def __call__(self, candidate: Candidate) -> Decision:
        return Decision.because(
            Reason(code="opaque", message="I say so", verdict=self.verdict, gate=self.name)
        )


def test_a_gate_without_operators_composes_and_keeps_its_name_and_needs():
    for composed in (
        OpaqueGate() & SemverGate(),
        SemverGate() & OpaqueGate(),
        all_of(OpaqueGate(), SemverGate()),
    ):
        assert composed.needs == {"signature"}
        assert composed(PATCH).verdict is Verdict.REVIEW_REQUIRED
    assert gate(OpaqueGate()).name == "opaque"


@pytest.mark.parametrize("thing", [None, 7, "semver", [], SemverGate, object()])
def test_what_cannot_decide_is_no_gate(thing):
    with pytest.raises(ConfigurationError, match="is not a gate"):
        all_of(thing)


def test_a_coroutine_function_is_no_gate():
    async def later(candidate):
        return True

    with pytest.raises(ConfigurationError, match="not async"):
        gate(later)


@pytest.mark.parametrize("needs", ["owner", 7])
def test_needs_must_be_a_set_of_names(needs):
    with pytest.raises(ConfigurationError, match="needs must be a set of fact names"):
        gate(lambda _: True, needs=needs)


def test_a_plugin_with_needs_that_are_no_frozenset_is_refused_when_composed():
    with pytest.raises(ConfigurationError, match="gate opaque: needs must be"):
        SemverGate() & OpaqueGate(needs="signature")


def test_a_gate_with_operators_and_a_mutable_set_of_needs_is_refused_when_composed():
    @attrs.frozen
    class Loose(Composable):
        name: str = "loose"
        needs: set = attrs.field(factory=set)

        def __call__(self, candidate):
            return True

    with pytest.raises(ConfigurationError, match="gate loose: needs must be a frozenset"):
        Loose() & SemverGate()


# --- broken gates -----------------------------------------------------------------------------------------


def raises(candidate):
    raise RuntimeError("token=hunter2")


def test_a_gate_that_raises_rejects_everything_and_says_its_type_but_never_its_text():
    for composed in (
        all_of(raises),
        SemverGate() & raises,
        SemverGate() | raises,
        any_of(raises, Freeze(False)),
    ):
        decision = composed(PATCH)
        assert decision.verdict is Verdict.REJECT
        assert decision.is_fatal
        assert decision.reasons[0].code == "gate_error"
        assert decision.reason == "Gate raises raised RuntimeError"
        assert "hunter2" not in repr(decision)


@pytest.mark.parametrize(
    "answer",
    [
        None,
        1,
        "approve",
        [],
        Decision(verdict=Verdict.APPROVE),
        Decision(verdict=Verdict.APPROVE, reasons=(Reason(code="x", message="x", verdict=Verdict.REJECT),)),
        Decision(
            verdict=Verdict.APPROVE,
            reasons=(
                Reason(code="x", message="x", verdict=Verdict.APPROVE),
                Reason(code="y", message="y", verdict=Verdict.REJECT, fatal=True),
            ),
        ),
        Decision(verdict="approve", reasons=(Reason(code="x", message="x", verdict=Verdict.APPROVE),)),
    ],
)
def test_a_gate_that_answers_with_nonsense_rejects_everything(answer):
    for composed in (all_of(lambda _: answer), Freeze(active=False) | gate(lambda _: answer, "odd")):
        decision = composed(PATCH)
        assert decision.verdict is Verdict.REJECT
        assert decision.reasons[0].code == "gate_invalid"
        assert decision.is_fatal


def test_a_gate_that_cannot_even_name_itself_still_rejects():
    class Broken:
        needs = frozenset()

        @property
        def name(self):
            raise RuntimeError("no name")

        def __call__(self, candidate):
            raise RecursionError

    decision = evaluate(Broken(), PATCH)
    assert decision.verdict is Verdict.REJECT
    assert decision.reason == "Gate Broken raised RecursionError"


def test_an_interrupt_is_not_swallowed():
    def interrupted(candidate):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        all_of(interrupted)(PATCH)


# --- approval ---------------------------------------------------------------------------------------------


def approved(candidate: Candidate, consent: Verdict = Verdict.MANUAL_APPROVAL) -> Candidate:
    return attrs.evolve(candidate, consent=consent)


def test_an_approval_lifts_what_a_single_gate_says_and_the_reason_keeps_its_code():
    decision = evaluate(SemverGate(), approved(MAJOR))
    assert decision.verdict is Verdict.APPROVE
    assert codes(decision) == ["major_update_manual_approval"]
    assert decision.reason.endswith(": approved")


def test_consent_in_bulk_lifts_reviews_only():
    minor = make_candidate("1.2.3", "1.3.0", VersionChangeType.MINOR)
    assert evaluate(SemverGate(), approved(minor, Verdict.REVIEW_REQUIRED)).safe
    assert not evaluate(SemverGate(), approved(MAJOR, Verdict.REVIEW_REQUIRED)).safe


def test_an_approval_never_lifts_a_deferral_or_a_rejection():
    assert (SemverGate() & Freeze())(approved(MAJOR)).verdict is Verdict.DEFER
    assert (SemverGate() & (lambda _: False))(approved(MAJOR)).verdict is Verdict.REJECT


def test_a_deferral_that_a_gate_hid_behind_a_stricter_verdict_comes_to_light():
    def weighs_two_rules(candidate):
        waits = Reason(code="wait", message="wait", verdict=Verdict.DEFER)
        asks = Reason(code="ask", message="ask", verdict=Verdict.MANUAL_APPROVAL)
        return Decision(verdict=Verdict.MANUAL_APPROVAL, reasons=(waits, asks))

    assert evaluate(gate(weighs_two_rules), approved(MAJOR)).verdict is Verdict.DEFER


def test_an_approval_does_not_heal_a_gate_that_raises():
    assert (SemverGate() | raises)(approved(MAJOR)).verdict is Verdict.REJECT
