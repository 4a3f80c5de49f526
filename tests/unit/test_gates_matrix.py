"""The decision matrix and the decision tree, as they were first drawn."""

from __future__ import annotations

from pathlib import Path

import pytest

from safeupdater.domain.change import UPGRADES, VersionChangeType
from safeupdater.domain.decision import Verdict
from safeupdater.errors import ConfigurationError
from safeupdater.gates import DiffGate, SemverGate
from safeupdater.gates.matrix import EXAMPLES, render
from safeupdater.testing.gates import make_candidate

APPROVE, REVIEW, MANUAL, REJECT = "approve", "review_required", "manual_approval", "reject"

# Written out by hand: this is the specification, and the code must agree with it.
MATRIX = {
    ("patch", "auto"): (APPROVE, "patch_update_auto_approved"),
    ("patch", "review"): (REVIEW, "patch_update_review_required"),
    ("patch", "manual"): (MANUAL, "patch_update_manual_approval"),
    ("patch", "skip"): (REJECT, "patch_update_skipped"),
    ("minor", "auto"): (APPROVE, "minor_update_auto_approved"),
    ("minor", "review"): (REVIEW, "minor_update_review_required"),
    ("minor", "manual"): (MANUAL, "minor_update_manual_approval"),
    ("minor", "skip"): (REJECT, "minor_update_skipped"),
    ("major", "auto"): (APPROVE, "major_update_auto_approved"),
    ("major", "review"): (REVIEW, "major_update_review_required"),
    ("major", "manual"): (MANUAL, "major_update_manual_approval"),
    ("major", "skip"): (REJECT, "major_update_skipped"),
    ("prerelease", "auto"): (APPROVE, "prerelease_update_auto_approved"),
    ("prerelease", "review"): (REVIEW, "prerelease_update_review_required"),
    ("prerelease", "manual"): (MANUAL, "prerelease_update_manual_approval"),
    ("prerelease", "skip"): (REJECT, "prerelease_update_skipped"),
    ("digest", "auto"): (APPROVE, "digest_update_auto_approved"),
    ("digest", "review"): (REVIEW, "digest_update_review_required"),
    ("digest", "manual"): (MANUAL, "digest_update_manual_approval"),
    ("digest", "skip"): (REJECT, "digest_update_skipped"),
}


@pytest.mark.parametrize(("row", "expected"), MATRIX.items())
def test_the_decision_matrix_holds(row, expected):
    change_type, action = row
    verdict, code = expected
    gate = DiffGate(SemverGate(**{change_type: action}))
    decision = gate.evaluate_update(*EXAMPLES[VersionChangeType(change_type)])
    assert decision.to_dict() == {
        "decision": verdict,
        "safe": verdict == APPROVE,
        "reason": decision.reasons[0].message,
        "auto_update": verdict == APPROVE,
        "change_type": change_type,
        "policy_applied": f"semver_gates.{change_type}={action}",
    }
    assert [reason.code for reason in decision.reasons] == [code]


def test_the_matrix_covers_every_change_type_and_every_action():
    assert {change_type for change_type, _ in MATRIX} == {str(kind) for kind in UPGRADES}
    assert len(MATRIX) == 5 * 4


@pytest.mark.parametrize(
    ("current", "new", "code", "change_type"),
    [
        ("1.2.3", "not-a-version", "invalid_version", "unknown"),
        ("not-a-version", "1.2.3", "invalid_version", "unknown"),
        ("latest", "1.2.3", "invalid_version", "unknown"),
        ("1.2.3", "latest", "invalid_version", "unknown"),
        ("", "1.2.3", "invalid_version", "unknown"),
        ("1.2.3", "1.2.3", "not_an_upgrade", "no_change"),
        ("1.2.3", "v1.2.3", "not_an_upgrade", "no_change"),
        ("latest", "latest", "not_an_upgrade", "no_change"),
        ("1.2.3", "1.2.2", "not_an_upgrade", "unknown"),
        ("1.2.3", "1.2.3-rc.1", "not_an_upgrade", "unknown"),
    ],
)
def test_both_leaves_of_the_tree_that_reject_do_so_under_any_action(current, new, code, change_type):
    generous = SemverGate("auto", "auto", "auto", "auto", "auto", zero_major="literal")
    decision = DiffGate(generous).evaluate_update(current, new)
    assert decision.verdict is Verdict.REJECT
    assert [reason.code for reason in decision.reasons] == [code]
    assert str(decision.change_type) == change_type
    if code == "invalid_version":
        assert decision.reason.startswith("Version analysis failed: ")


def test_the_built_in_defaults_are_those_of_the_policy_file():
    assert {str(kind): SemverGate().action(kind) for kind in UPGRADES} == {
        "patch": "auto",
        "minor": "review",
        "major": "manual",
        "prerelease": "skip",
        "digest": "review",
    }


@pytest.mark.parametrize(
    ("minor", "major", "zero_major", "verdict", "policy"),
    [
        ("auto", "manual", "strict", MANUAL, "semver_gates.major=manual"),
        ("auto", "skip", "strict", REJECT, "semver_gates.major=skip"),
        ("manual", "auto", "strict", MANUAL, "semver_gates.minor=manual"),
        ("auto", "auto", "strict", APPROVE, "semver_gates.minor=auto"),
        ("auto", "manual", "literal", APPROVE, "semver_gates.minor=auto"),
        ("review", "skip", "literal", REVIEW, "semver_gates.minor=review"),
    ],
)
def test_below_one_a_minor_step_takes_the_stricter_rule_unless_read_literally(
    minor, major, zero_major, verdict, policy
):
    gate = DiffGate(SemverGate(minor=minor, major=major, zero_major=zero_major))
    decision = gate.evaluate_update("0.4.1", "0.5.0")
    assert (str(decision.verdict), decision.policy_applied) == (verdict, policy)
    assert decision.change_type is VersionChangeType.MINOR


@pytest.mark.parametrize(("row", "expected"), MATRIX.items())
def test_read_literally_versions_below_one_follow_the_same_matrix(row, expected):
    change_type, action = row
    below_one = {"patch": ("0.2.3", "0.2.4"), "minor": ("0.2.3", "0.3.0"), "major": ("0.2.3", "1.0.0"),
                 "prerelease": ("0.2.3", "0.3.0-rc.1"),
                 "digest": tuple(f"0.2.3@sha256:{letter * 64}" for letter in "ab")}  # fmt: skip
    decision = DiffGate(SemverGate(**{change_type: action}, zero_major="literal")).evaluate_update(
        *below_one[change_type]
    )
    assert (str(decision.verdict), decision.reasons[0].code) == expected


def test_a_patch_below_one_is_a_patch():
    assert DiffGate(SemverGate()).evaluate_update("0.4.1", "0.4.2").safe


def test_a_change_type_that_lies_is_not_believed():
    lying = make_candidate("1.2.3", "2.0.0", VersionChangeType.PATCH)
    decision = DiffGate(SemverGate()).decide(lying)
    assert decision.verdict is Verdict.MANUAL_APPROVAL
    assert decision.change_type is VersionChangeType.MAJOR


@pytest.mark.parametrize(
    ("setting", "value", "hint"),
    [
        ("patch", "autoo", "did you mean auto?"),
        ("minor", "Review", ""),
        ("zero_major", "lenient", ""),
        ("major", None, ""),
    ],
)
def test_an_unknown_action_is_an_error_that_says_what_is_known(setting, value, hint):
    with pytest.raises(ConfigurationError, match=rf"semver_gates\.{setting}: expected one of") as raised:
        SemverGate(**{setting: value})
    assert hint in str(raised.value)


def test_the_table_in_the_documentation_is_the_generated_one():
    page = Path(__file__).parents[2] / "docs" / "reference" / "gates.md"
    assert render() in page.read_text(encoding="utf-8")
