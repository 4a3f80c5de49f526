"""What DiffGate never lets through, whatever the versions and the gate."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from safeupdater.analysis import SemVerAnalyzer
from safeupdater.domain.change import UPGRADES, VersionChangeType
from safeupdater.domain.decision import Verdict
from safeupdater.gates import DiffGate, Freeze, SemverGate, UpdateWindow
from safeupdater.gates.semver import ACTIONS
from safeupdater.testing.gates import candidates, make_candidate

ANYTHING = DiffGate(Freeze(active=False))
ANALYZER = SemVerAnalyzer()

numbers = st.lists(st.integers(0, 12), min_size=1, max_size=3).map(lambda some: ".".join(map(str, some)))
suffixes = st.sampled_from(("", "", "", "-rc.1", "-alpine", "-r2"))
tags = st.builds(
    lambda prefix, number, suffix: prefix + number + suffix, st.sampled_from(("", "v")), numbers, suffixes
)
actions = st.sampled_from(list(ACTIONS))


@given(tags, tags)
def test_what_is_let_through_is_newer_and_of_the_same_family(current, new):
    decision = ANYTHING.evaluate_update(current, new)
    if decision.verdict is Verdict.APPROVE:
        assert ANALYZER.compare_versions(current, new)[0] == 1
        assert ANALYZER.same_family(current, new)
        assert decision.change_type in UPGRADES
    else:
        assert not (ANALYZER.is_upgrade(current, new) and ANALYZER.same_family(current, new))


@given(tags, tags)
def test_no_step_is_let_through_both_ways(current, new):
    there, back = ANYTHING.evaluate_update(current, new), ANYTHING.evaluate_update(new, current)
    assert not (there.safe and back.safe)


@given(st.text(max_size=40), st.text(max_size=40))
def test_any_two_texts_get_a_decision_that_can_be_printed(current, new):
    decision = DiffGate(SemverGate()).evaluate_update(current, new)
    assert decision.reason.isprintable()
    assert decision.deciding is not None


@given(numbers, numbers, st.builds(SemverGate, actions, actions, actions, actions, actions))
def test_the_semver_gate_follows_the_policy_for_the_change_type_or_is_stricter(one, other, gate):
    current, new = sorted((one, other), key=lambda text: ANALYZER.parse_version(text))
    allowed, decision = ANYTHING.evaluate_update(current, new), DiffGate(gate).evaluate_update(current, new)
    if not allowed.safe:
        assert decision.verdict is Verdict.REJECT
        return
    wanted = ACTIONS[gate.action(decision.change_type)]
    is_strict = decision.change_type is VersionChangeType.MINOR and ANALYZER.is_breaking_change(current, new)
    assert decision.verdict is (max(wanted, ACTIONS[gate.major]) if is_strict else wanted)


@given(candidates())
def test_nothing_that_a_person_approves_gets_past_quarantine_or_a_closed_window(candidate):
    decision = DiffGate(SemverGate() & UpdateWindow()).decide(candidate)
    if candidate.facts.quarantined is not None:
        assert decision.verdict is Verdict.REJECT
    elif candidate.now is None:
        assert decision.verdict >= Verdict.DEFER


@given(candidates())
def test_the_change_type_written_in_a_candidate_does_not_matter(candidate):
    change = candidate.change
    digests = change.current.digest is not None
    lies = [
        make_candidate(
            str(change.current.tag), str(change.new.tag),
            VersionChangeType.DIGEST if digests else lie,
            now=candidate.now, facts=candidate.facts, consent=candidate.consent, owner=candidate.asset.owner,
        )
        for lie in VersionChangeType
        if digests or lie is not VersionChangeType.DIGEST
    ]  # fmt: skip
    assert len({DiffGate(SemverGate()).decide(lie) for lie in lies}) == 1
