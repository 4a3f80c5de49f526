"""What type checkers conclude about gates: checked by mypy and pyright, run by pytest."""

from __future__ import annotations

from datetime import datetime
from typing import assert_type

from safeupdater.domain.candidate import Candidate
from safeupdater.domain.decision import Decision, Verdict
from safeupdater.gates import (
    AllOf,
    AnyOf,
    BackOff,
    Constraint,
    DiffGate,
    Freeze,
    ImageChanges,
    Labels,
    MinimumAge,
    NeverDown,
    NotQuarantined,
    Ownership,
    Parsable,
    Running,
    SameFamily,
    SchemeSanity,
    SemverGate,
    SkippedVersions,
    Sources,
    StatefulGuard,
    TagPatterns,
    TagStability,
    UpdateWindow,
    all_of,
    any_of,
    evaluate,
    gate,
)
from safeupdater.protocols import Gate
from safeupdater.testing.gates import make_candidate


def weekday(candidate: Candidate) -> bool:
    return candidate.now is not None and candidate.now.weekday() < 5


@gate
def named(candidate: Candidate) -> Verdict:
    return Verdict.APPROVE


@gate(name="with facts", needs={"owner"})
def with_facts(candidate: Candidate) -> bool:
    return candidate.facts.owner == ""


EVERY_GATE: tuple[Gate, ...] = (
    SemverGate(), Constraint("^1"), SkippedVersions(["1.2.3"]), MinimumAge(60), UpdateWindow(), Freeze(),
    TagPatterns(["1.*"]), Sources(["ghcr.io"]), Ownership(["helm/*"]), Labels(), StatefulGuard(None),
    TagStability(),    ImageChanges("review"),
    Running(), BackOff(), Parsable(), NeverDown(), SameFamily(), SchemeSanity(), NotQuarantined(),
    DiffGate(SemverGate()), named, with_facts, all_of(weekday), any_of(weekday),
)  # fmt: skip


def test_every_gate_is_a_gate_and_decides() -> None:
    for each in EVERY_GATE:
        assert_type(each.needs, frozenset[str])
        assert_type(evaluate(each, make_candidate()), Decision)


def test_gates_and_functions_compose() -> None:
    assert_type(SemverGate() & MinimumAge(60), AllOf)
    assert_type(SemverGate() | weekday, AnyOf)
    assert_type(named & with_facts, AllOf)
    assert_type(all_of(weekday, SemverGate(), named), AllOf)


def test_a_window_tells_when_it_opens() -> None:
    now = make_candidate().now
    assert now is not None
    assert_type(UpdateWindow().next_open(now), datetime | None)


def test_two_texts_give_a_decision() -> None:
    assert_type(DiffGate(weekday).evaluate_update("1.2.3", "1.2.4"), Decision)
    assert_type(DiffGate(SemverGate()).decide(make_candidate()), Decision)
