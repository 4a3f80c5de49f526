"""DiffGate: hard gates that nothing composes away, and the policy of the asset."""

from __future__ import annotations

from datetime import timedelta

import attrs
import pytest

from safeupdater.analysis import SemVerAnalyzer
from safeupdater.domain.artifact import ChartReference
from safeupdater.domain.asset import Asset, AssetType
from safeupdater.domain.candidate import Candidate, Facts
from safeupdater.domain.change import Change, VersionChangeType
from safeupdater.domain.decision import Verdict
from safeupdater.errors import ConfigurationError
from safeupdater.gates import (
    DiffGate,
    Freeze,
    MinimumAge,
    NeverDown,
    NotQuarantined,
    Ownership,
    Parsable,
    SameFamily,
    SchemeSanity,
    SemverGate,
    UpdateWindow,
    any_of,
)
from safeupdater.protocols import AssetPolicy
from safeupdater.testing.gates import NOW, make_candidate

A, B = ("@sha256:" + letter * 64 for letter in "ab")
YES = Freeze(active=False)
ANYTHING = any_of(YES, lambda candidate: True)


def codes(decision) -> list[str]:
    return [reason.code for reason in decision.reasons]


@pytest.mark.parametrize(
    ("current", "new", "code"),
    [
        ("1.2.3", "not-a-version", "invalid_version"),
        ("1.2.3", "1.2.3", "not_an_upgrade"),
        ("1.2.3", "1.2.2", "not_an_upgrade"),
        ("2.0.0", "1.99.0", "not_an_upgrade"),
        ("1.12-alpine", "1.15-alpine-perl", "other_variant"),
        ("1.12-alpine", "1.15", "other_variant"),
        ("1.2.3", "1.3", "other_precision"),
        ("v1.2.3", "release-1.3.0", "other_prefix"),
        ("10.11", "2021.12", "scheme_change"),
        ("latest", "1.2.3", "invalid_version"),
        ("1.2.3", "latest", "invalid_version"),
        ("latest" + A, "stable" + B, "invalid_version"),
        ("latest" + A, "latest" + A, "not_an_upgrade"),
        ("1.2.3" + A, "1.2.3", "not_an_upgrade"),
        ("1.2.3", "1.2.3" + B, "not_an_upgrade"),
    ],
)
def test_no_gate_however_generous_composes_the_hard_gates_away(current, new, code):
    decision = DiffGate(ANYTHING).evaluate_update(current, new)
    assert decision.verdict is Verdict.REJECT
    assert codes(decision) == [code]


@pytest.mark.parametrize("tag", ["latest", "1.2.3", "lts-jdk17", "abcdef1"])
def test_the_same_tag_with_other_bits_needs_no_version(tag):
    decision = DiffGate(SemverGate(digest="auto")).evaluate_update(tag + A, tag + B)
    assert decision.verdict is Verdict.APPROVE
    assert decision.change_type is VersionChangeType.DIGEST


def test_bits_that_run_already_are_no_digest_change():
    candidate = make_candidate("latest", "latest", VersionChangeType.DIGEST)
    known = attrs.evolve(candidate.asset, digests=frozenset({candidate.change.new.digest}))
    decision = DiffGate(ANYTHING).decide(attrs.evolve(candidate, asset=known))
    assert codes(decision) == ["not_an_upgrade"]


def test_an_image_without_a_tag_has_no_version_to_compare():
    candidate = make_candidate("latest", "latest", VersionChangeType.DIGEST)
    change = attrs.evolve(
        candidate.change,
        current=attrs.evolve(candidate.change.current, tag=None),
        new=attrs.evolve(candidate.change.new, tag=None),
    )
    assert codes(DiffGate(ANYTHING).decide(attrs.evolve(candidate, change=change))) == ["invalid_version"]


def test_what_is_in_quarantine_is_rejected_with_its_reason_and_the_policy_is_still_heard():
    candidate = make_candidate(facts=Facts(quarantined="rolled back on Monday"))
    decision = DiffGate(ANYTHING).decide(candidate)
    assert decision.verdict is Verdict.REJECT
    assert decision.reason == "In quarantine: rolled back on Monday"
    assert "not_frozen" in codes(decision)


def test_an_approval_lifts_no_hard_gate():
    consent = Verdict.MANUAL_APPROVAL
    for candidate in (
        make_candidate("1.2.3", "1.2.2", consent=consent),
        make_candidate("10.11", "2021.12", consent=consent),
        make_candidate(facts=Facts(quarantined=""), consent=consent),
    ):
        assert DiffGate(ANYTHING).decide(candidate).verdict is Verdict.REJECT


def test_full_semver_texts_with_build_metadata_are_compared():
    decision = DiffGate(SemverGate()).evaluate_update("v1.2.3-beta.1+build.456", "v1.2.3+build.500")
    assert decision.change_type is VersionChangeType.PATCH
    assert decision.safe


def test_charts_are_decided_by_their_version():
    old, new = (ChartReference(name="shop", version=version) for version in ("1.2.3", "1.2.4"))
    asset = Asset(id="helm://prod/shop/web", name="web", asset_type=AssetType.HELM_RELEASE, image=old)
    change = Change(asset_id=asset.id, current=old, new=new, change_type=VersionChangeType.UNKNOWN)
    decision = DiffGate(SemverGate()).decide(Candidate(asset=asset, change=change))
    assert (decision.verdict, decision.change_type) == (Verdict.APPROVE, VersionChangeType.PATCH)


# --- time in the two-string form --------------------------------------------------------------------------


def test_gates_that_look_at_the_time_defer_without_one():
    for timed in (MinimumAge(60), UpdateWindow()):
        decision = DiffGate(SemverGate() & timed).evaluate_update("1.2.3", "1.2.4")
        assert decision.verdict is Verdict.DEFER
        assert "no_time" in codes(decision)
    assert DiffGate(UpdateWindow()).evaluate_update("1.2.3", "1.2.4", now=NOW).safe


# --- policies ---------------------------------------------------------------------------------------------


@attrs.frozen
class TwoPolicies:
    """One policy for an asset called shop, another for everything else."""

    shop: AssetPolicy
    rest: AssetPolicy

    def for_asset(self, asset):
        return self.shop if asset.name == "shop" else self.rest

    def defaults(self):
        return self.rest


def policy(**settings) -> AssetPolicy:
    return AssetPolicy(**{"gate": SemverGate(), "fingerprint": "f", **settings})


def test_a_candidate_is_decided_by_the_policy_of_its_asset_and_two_texts_by_the_defaults():
    diff = DiffGate(TwoPolicies(shop=policy(gate=SemverGate(patch="skip")), rest=policy()))
    assert diff.decide(make_candidate()).verdict is Verdict.REJECT
    assert diff.evaluate_update("1.2.3", "1.2.4").verdict is Verdict.APPROVE


def test_family_and_major_step_are_the_policys():
    loose = DiffGate(TwoPolicies(shop=policy(), rest=policy(family="loose", max_major_step=5000)))
    assert loose.evaluate_update("1.2.3", "v1.2.4").safe
    assert codes(loose.evaluate_update("1.2.3-alpine", "1.2.4")) == ["other_variant"]
    assert loose.evaluate_update("10.11", "2021.12").verdict is Verdict.MANUAL_APPROVAL
    narrow = DiffGate(TwoPolicies(shop=policy(), rest=policy(max_major_step=2)))
    assert codes(narrow.evaluate_update("1.0.0", "4.0.0")) == ["scheme_change"]


def test_every_hard_gate_that_rejects_gives_its_reason():
    decision = DiffGate(ANYTHING).evaluate_update("10.11-alpine", "2021.12")
    assert sorted(codes(decision)) == ["other_variant", "scheme_change"]


def test_a_policy_that_is_off_rejects():
    diff = DiffGate(TwoPolicies(shop=policy(enabled=False), rest=policy()))
    assert codes(diff.decide(make_candidate())) == ["disabled_by_policy"]


def test_it_names_the_facts_that_it_needs():
    diff = DiffGate(TwoPolicies(shop=policy(gate=Ownership()), rest=policy()))
    assert diff.needs == {"quarantined"}
    assert diff.needs_of(make_candidate().asset) == {"quarantined", "owner"}


def test_it_is_a_gate_itself_and_takes_plain_functions():
    both = DiffGate(lambda candidate: True) & Freeze()
    decision = both(make_candidate(facts=Facts(published_at=NOW - timedelta(days=1))))
    assert decision.verdict is Verdict.DEFER


@pytest.mark.parametrize("nothing", [None, 7, "policy.yaml"])
def test_it_needs_a_policy_or_a_gate(nothing):
    with pytest.raises(ConfigurationError, match="is not a gate"):
        DiffGate(nothing)


def test_a_gate_that_raises_rejects_through_it():
    def raises(candidate):
        raise ValueError("password")

    decision = DiffGate(any_of(raises, YES)).evaluate_update("1.2.3", "1.2.4")
    assert decision.verdict is Verdict.REJECT
    assert "password" not in repr(decision)


def test_an_analyzer_that_fails_blocks_the_update():
    class Failing(SemVerAnalyzer):
        def compare_versions(self, current, new):
            raise RuntimeError("password")

    decision = DiffGate(ANYTHING, analyzer=Failing()).evaluate_update("1.2.3", "1.2.4")
    assert decision.verdict is Verdict.REJECT
    assert decision.reason == "Version analysis failed: the analyzer raised RuntimeError"


# --- the hard gates by themselves -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hard", "current", "new", "code"),
    [
        (Parsable(), "1.2.3", "latest", "invalid_version"),
        (Parsable(), "1.2.3", "1.2.2", "versions_parsed"),
        (NeverDown(), "1.2.3", "1.2.2", "not_an_upgrade"),
        (NeverDown(), "1.2.3", "latest", "not_an_upgrade"),
        (NeverDown(), "1.2.3", "1.2.4", "is_an_upgrade"),
        (SameFamily(), "1.2.3", "1.2.4-alpine", "other_variant"),
        (SameFamily(), "latest", "1.2.4", "other_family"),
        (SameFamily("loose"), "1.2", "v1.2.4", "same_family"),
        (SchemeSanity(), "1.2.3", "900.0.0", "scheme_change"),
        (SchemeSanity(1000), "1.2.3", "900.0.0", "same_scheme"),
    ],
)
def test_each_hard_gate_can_be_used_by_itself(hard, current, new, code):
    decision = hard(make_candidate(current, new))
    assert codes(decision) == [code]
    approving = {"versions_parsed", "is_an_upgrade", "same_family", "same_scheme"}
    assert decision.verdict is (Verdict.APPROVE if code in approving else Verdict.REJECT)


def test_digest_changes_pass_the_hard_gates():
    candidate = make_candidate("latest", "latest", VersionChangeType.DIGEST)
    for hard in (Parsable(), NeverDown(), SameFamily(), SchemeSanity(), NotQuarantined()):
        assert hard(candidate).safe


def test_an_unknown_family_rule_is_an_error():
    with pytest.raises(ConfigurationError, match="family: expected strict or loose"):
        SameFamily("any")
