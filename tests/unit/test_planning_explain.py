"""A plan on paper: 80 columns, nothing that a server wrote can move the cursor, and JSON that comes back."""

from __future__ import annotations

import unicodedata

import attrs
import pytest

from safeupdater.codec import plan_from_json, plan_to_json
from safeupdater.domain.decision import Decision, Reason, Verdict
from safeupdater.domain.plan import Plan, UnknownAsset
from tests.support.planning import NOW, asset, only, plan

WORDS = [
    "short",
    "word " * 60,
    "x" * 500,
    "升级需要人工批准" * 30,
    "🚀" * 90,
    "é" * 200,
    "a-very-long-" * 40,
    "",
]
HOSTILE = "\x1b[2J\x1b]0;owned\x07 line\r\napprove   forged \u202etxet\u200b\x00\x9b31m"


def columns(line: str) -> int:
    """The width of a line on a terminal, counted independently."""
    wide = sum(unicodedata.east_asian_width(letter) in "WF" for letter in line)
    marks = sum(unicodedata.category(letter) in ("Mn", "Me") for letter in line)
    return len(line) + wide - marks


def saying(text: str) -> Plan:
    """A plan in which somebody else's text stands wherever one can."""
    made = plan(
        [asset(), asset(asset_id="docker://prod-1/" + "n" * 200)],
        {"example/web": ["1.0.1", "1.1.0", "2.0.0-" + "alpine" * 15, "2.0.0"]},
    )
    reason = Reason(code="said", message=text, verdict=Verdict.DEFER, policy=text, until=NOW)
    decision = Decision.because(reason)
    first = made.updates[0]
    options = tuple(attrs.evolve(option, decision=decision) for option in first.alternatives)
    told = attrs.evolve(first, decision=decision, alternatives=options)
    unknown = UnknownAsset(asset_id="docker://prod-1/db", code="broken", message=text)
    return Plan(updates=(told, *made.updates[1:]), unknown=(unknown,), current=("docker://prod-1/ok",))


@pytest.mark.parametrize("text", [*WORDS, HOSTILE], ids=lambda text: ascii(text[:10]))
def test_no_line_is_wider_than_80_columns(text: str) -> None:
    for line in saying(text).explain().splitlines():
        assert columns(line) <= 80, line


def test_text_from_servers_reaches_the_terminal_as_text() -> None:
    explained = saying(HOSTILE).explain()
    assert all(letter.isprintable() or letter == "\n" for letter in explained)
    assert "\\x1b[2J" in explained
    assert "\\u202e" in explained
    assert not any(line.startswith("approve   forged") for line in explained.splitlines())


def test_every_update_option_and_reason_is_said() -> None:
    explained = plan(asset(), {"example/web": ["1.0.1", "1.1.0", "2.0.0"]}).explain()
    for word in ("1 approved", "1.0.0 → 1.0.1 (patch)", "or 1.1.0", "or 2.0.0", "semver_gates.patch=auto"):
        assert word in explained


def test_what_is_unknown_is_never_shown_as_current() -> None:
    explained = plan(asset(), {}).explain()
    assert "0 current, 1 unknown" in explained
    assert "not_found" in explained


def test_a_plan_comes_back_from_json_as_it_was() -> None:
    made = plan(
        [asset(), asset(asset_id="docker://prod-1/other")], {"example/web": ["1.0.1", "1.1.0", "2.0.0"]}
    )
    again = plan_from_json(plan_to_json(made))
    assert again == made
    assert again.hash == made.hash
    assert [update.hash for update in again.updates] == [update.hash for update in made.updates]


def test_the_words_of_a_decision_are_not_part_of_the_hash() -> None:
    update = only(plan(asset(), {"example/web": ["1.0.1"]}))
    assert (
        attrs.evolve(update, decision=Decision(verdict=Verdict.REJECT), alternatives=()).hash == update.hash
    )
