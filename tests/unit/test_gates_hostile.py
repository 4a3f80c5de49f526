"""Bad input at the gates: bounded time, clear errors, nothing unprintable, closed in doubt."""

from __future__ import annotations

import sys
import time

import pytest

from safeupdater.domain.candidate import Facts
from safeupdater.domain.decision import Verdict
from safeupdater.errors import ConfigurationError, MissingExtraError
from safeupdater.gates import (
    Constraint,
    DiffGate,
    Freeze,
    Labels,
    NotQuarantined,
    Ownership,
    SemverGate,
    SkippedVersions,
    Sources,
    TagPatterns,
)
from safeupdater.testing.gates import make_candidate

GENEROUS = DiffGate(SemverGate("auto", "auto", "auto", "auto", "auto", zero_major="literal"))
BUDGET_S = 0.25


def within_budget(call):
    began = time.perf_counter()
    result = call()
    assert time.perf_counter() - began < BUDGET_S
    return result


# --- texts that are no versions ---------------------------------------------------------------------------

NO_VERSIONS = {
    "lone surrogate": "1.2.\ud800",
    "nul": "1.2.4\x00",
    "full-width digits": "１.２.４",
    "superscript": "1.2.³",
    "arabic digits": "١.٢.٤",
    "ansi escape": "1.2.4\x1b[31m",
    "line feed": "1.2.4\n",
    "carriage return": "1.2.4\r\n1.2.5",
    "bidi override": "1.2.4\u202e",
    "zero width": "1.2\u200b.4",
    "10 kB": "1." * 5000,
    "nested zeros": "1.0.0-" + "0." * 5000,
    "long number": "9" * 5000 + ".0.0",
    "spaces": " 1.2.4",
    "reference": "nginx:1.2.4",
    "url": "https://evil.example/1.2.4",
    "bad digest": "1.2.4@sha256:beef",
    "upper-case digest": "1.2.4@sha256:" + "A" * 64,
    "two digests": "1.2.4@sha256:" + "a" * 64 + "@sha256:" + "b" * 64,
    "template": "${HOME}",
    "commit": "0123456789abcdef0123456789abcdef01234567",
    "signature": "sha256-" + "a" * 64 + ".sig",
}


@pytest.mark.parametrize("text", NO_VERSIONS.values(), ids=NO_VERSIONS)
def test_a_text_that_is_no_version_is_rejected_in_plain_ascii(text):
    for current, new in (("1.2.3", text), (text, "1.2.3")):
        decision = within_budget(lambda pair=(current, new): GENEROUS.evaluate_update(*pair))
        assert decision.verdict is Verdict.REJECT
        assert decision.reasons[0].code == "invalid_version"
        assert decision.reason.startswith("Version analysis failed: ")
        assert decision.reason.isascii()
        assert decision.reason.isprintable()
        assert len(decision.reason) < 200


@pytest.mark.parametrize("thing", [None, 1.25, b"1.2.3", ["1.2.3"], {}])
def test_what_is_no_text_is_rejected_as_well(thing):
    assert GENEROUS.evaluate_update("1.2.3", thing).reasons[0].code == "invalid_version"


@pytest.mark.parametrize(
    ("current", "new"),
    [("1.2.3", "20240101"), ("1.2.3", "99999999999999.0.0"), ("20240101", "1.2.3"), ("10.11", "2021.12")],
)
def test_moving_between_numbering_schemes_is_never_an_upgrade(current, new):
    assert GENEROUS.evaluate_update(current, new).verdict is Verdict.REJECT


# --- patterns ---------------------------------------------------------------------------------------------

BOMB_TAG = "a" * 127 + "b"


@pytest.mark.parametrize("pattern", ["*a" * 60 + "c", "*" * 250 + "c", "[a-z]*" * 40 + "c", "?*" * 100 + "c"])
def test_a_glob_cannot_be_made_to_run_for_long(pattern):
    gate = TagPatterns(include=[pattern])
    decision = within_budget(lambda: gate(make_candidate("1.0.0", BOMB_TAG)))
    assert decision.reasons[0].code == "tag_not_included"


@pytest.mark.parametrize("pattern", ["^(a+)+$", "(a*)*c", "(a|aa)+c", "(.*a){20}c"])
def test_a_regular_expression_cannot_be_made_to_run_for_long(pattern):
    pytest.importorskip("re2")
    gate = TagPatterns(include=["re:" + pattern])
    decision = within_budget(lambda: gate(make_candidate("1.0.0", BOMB_TAG)))
    assert decision.reasons[0].code == "tag_not_included"


@pytest.mark.parametrize("pattern", ["(", "a{1001}", "((a{100}){100}){100}", r"(a)\1", "(?=a)", "a" * 129])
def test_an_expression_that_is_none_or_too_large_is_an_error(pattern):
    pytest.importorskip("re2")
    with pytest.raises(ConfigurationError, match=r"regular expression|longer than 128"):
        within_budget(lambda: TagPatterns(exclude=["re:" + pattern]))


def test_a_regular_expression_without_its_extra_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "re2", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'safeupdater\[regex\]'"):
        TagPatterns(include=["re:.*"])


@pytest.mark.parametrize(
    "pattern", ["", "x" * 257, "*-аlpine", "１.*", "1.*\u200b", "1.*\n", "\x1b[31m*", "*\ud800"]
)
@pytest.mark.parametrize("field", [0, 1])
def test_a_pattern_that_no_name_can_match_is_an_error_and_not_a_silent_hole(pattern, field):
    lists = [[], []]
    lists[field] = [pattern]
    for gate in (TagPatterns, Sources):
        with pytest.raises(ConfigurationError) as raised:
            gate(*lists)
        assert str(raised.value).isascii()


@pytest.mark.parametrize("make", [TagPatterns, Sources, Ownership, SkippedVersions])
def test_one_text_in_place_of_a_list_is_an_error(make):
    with pytest.raises(ConfigurationError, match="expected a list"):
        make("alpine")


@pytest.mark.parametrize("text", ["^" * 1000, "1 || " * 500, ">=" + "9" * 400, "1.2.3 - " * 300, "1.x" * 300])
def test_a_hostile_range_is_an_error_in_bounded_time(text):
    with pytest.raises(ConfigurationError):
        within_budget(lambda: Constraint(text))


# --- what others wrote on assets and facts ----------------------------------------------------------------

LOOKALIKES = {
    "cyrillic e": "safeupdater.еnable",
    "full width": "ｓafeupdater.enable",
    "zero width": "safeupdater\u200b.enable",
    "combining dot": "safeupdater.ena\u0323ble",
    "other case": "SafeUpdater.Enable",
    "spaces": " safeupdater.enable ",
    "bidi mark": "\u200esafeupdater.enable",
}


@pytest.mark.parametrize("key", LOOKALIKES.values(), ids=LOOKALIKES)
def test_a_label_that_only_looks_like_the_switch_still_restricts(key):
    decision = Labels()(make_candidate(labels={key: "false"}))
    assert decision.verdict is Verdict.REJECT
    assert decision.reasons[0].code == "disabled_by_label"
    assert decision.reason.isascii()


@pytest.mark.parametrize(
    "value", ["ｆalse", "fаlse", "true\u200b", "trüe", "${ENABLE}", "\x1b[0m", "t" * 9999]
)
def test_a_label_value_that_is_not_plainly_true_restricts(value):
    decision = Labels()(make_candidate(labels={"safeupdater.enable": value}))
    assert decision.reasons[0].code == "label_invalid"
    assert decision.reason.isascii()
    assert len(decision.reason) < 250


def test_no_label_can_permit_what_another_gate_refuses():
    allowed = make_candidate(labels={"safeupdater.enable": "true", "safeupdater.semver.major": "auto"})
    assert (Labels() & Freeze())(allowed).verdict is Verdict.DEFER


@pytest.mark.parametrize(
    "key", ["safeupdater.enabled", "app.enable", "", "\ud800", "x" * 100_000, "е" * 100_000]
)
def test_other_labels_are_left_alone_in_bounded_time(key):
    assert within_budget(lambda: Labels()(make_candidate(labels={key: "false"}))).safe


def test_an_owner_that_only_looks_allowed_is_not():
    decision = Ownership(["argocd"])(make_candidate(facts=Facts(owner="аrgocd")))
    assert decision.verdict is Verdict.REJECT
    assert decision.reason.isascii()


@pytest.mark.parametrize("text", ["x\x1b[31m", "line\nline", "\u202eevil", "\ud800", "y" * 100_000])
def test_a_text_of_a_fact_reaches_no_reason_as_it_is(text):
    for gate, facts in ((Ownership(), Facts(owner=text)), (NotQuarantined(), Facts(quarantined=text))):
        decision = gate(make_candidate(facts=facts))
        assert decision.reason.isprintable()
        assert len(decision.reason) < 400
