"""Every gate of ours keeps to the public contract, and the contract catches gates that do not."""

from __future__ import annotations

import itertools
import time as clock
from datetime import UTC, date, datetime, time

import attrs
import pytest

from safeupdater.domain.candidate import Candidate
from safeupdater.domain.decision import Decision, Reason, Verdict
from safeupdater.gates import (
    BackOff,
    Constraint,
    DiffGate,
    Freeze,
    FreezePeriod,
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
    Window,
    gate,
)
from safeupdater.testing.gates import GateContract

WINDOW = Window(range(4), time(9), time(16), "Europe/Lisbon")
FREEZE = FreezePeriod(date(2025, 12, 20), date(2026, 1, 4))

MAKERS = {
    "semver": SemverGate,
    "constraint": lambda: Constraint("^1.2"),
    "skipped": lambda: SkippedVersions(["1.2.4", ">=2"]),
    "age": lambda: MinimumAge(3 * 86_400),
    "first seen": lambda: MinimumAge(3 * 86_400, basis="first_seen", unknown="review"),
    "window": lambda: UpdateWindow([WINDOW], [FREEZE]),
    "freeze": Freeze,
    "tags": lambda: TagPatterns(["1.*"], ["*-rc*"]),
    "sources": lambda: Sources(["ghcr.io"], ["ghcr.io/acme/*"]),
    "ownership": lambda: Ownership(["helm/*"]),
    "labels": Labels,
    "running": Running,
    "back off": lambda: BackOff("a" * 64),
    "stateful": lambda: StatefulGuard(True),
    "stability": TagStability,
    "image": lambda: ImageChanges("review"),
    "parsable": Parsable,
    "never down": NeverDown,
    "same family": SameFamily,
    "scheme": SchemeSanity,
    "quarantine": NotQuarantined,
    "function": lambda: gate(lambda candidate: candidate.asset.running, "running"),
    "all of": lambda: SemverGate() & MinimumAge(60) & Ownership(),
    "any of": lambda: SemverGate() | UpdateWindow([WINDOW]) | Labels(),
    "diff gate": lambda: DiffGate(SemverGate() & UpdateWindow([WINDOW])),
}


@pytest.mark.parametrize("maker", MAKERS.values(), ids=MAKERS)
class TestEveryGateOfOurs(GateContract):
    @pytest.fixture(autouse=True)
    def _made_by(self, maker):
        self.maker = maker

    def make_gate(self):
        return self.maker()


# --- the contract has teeth -------------------------------------------------------------------------------


def approve(message: str = "yes", code: str = "yes") -> Decision:
    return Decision.because(Reason(code=code, message=message, verdict=Verdict.APPROVE, gate="bad"))


@attrs.define
class BadGate:
    answer: object
    name: str = "bad"
    needs: object = frozenset()

    def __call__(self, candidate: Candidate) -> object:
        return self.answer(candidate)


def reads_the_wall_clock(candidate):
    datetime.now(UTC)
    return approve()


def reads_the_date(candidate):
    date.today()  # noqa: DTZ011
    return approve()


def reads_monotonic_time(candidate):
    clock.monotonic()
    return approve()


def mutates_the_asset(candidate):
    object.__setattr__(candidate.asset, "running", False)
    return approve()


def fails_without_time(candidate):
    return approve(candidate.now.isoformat())


BAD = [
    ("test_it_has_a_name", lambda: BadGate(lambda _: approve(), name=" ")),
    ("test_it_needs_a_frozenset_of_fact_names", lambda: BadGate(lambda _: approve(), needs={"owner"})),
    ("test_it_needs_a_frozenset_of_fact_names", lambda: BadGate(lambda _: approve(), needs="owner")),
    ("test_it_decides_on_everything", lambda: BadGate(lambda _: True)),
    ("test_it_decides_on_everything", lambda: BadGate(lambda _: Decision(verdict=Verdict.APPROVE))),
    ("test_it_decides_on_everything", lambda: BadGate(lambda _: approve(message=" "))),
    ("test_it_decides_on_everything", lambda: BadGate(lambda _: approve(message="a\x1b[31mb"))),
    ("test_it_decides_on_everything", lambda: BadGate(lambda _: approve(code=""))),
    ("test_it_decides_on_everything", lambda: BadGate(fails_without_time)),
    ("test_it_survives_evaluation", lambda: BadGate(fails_without_time)),
    ("test_it_mutates_nothing", lambda: BadGate(mutates_the_asset)),
    ("test_it_reads_no_clock", lambda: BadGate(reads_the_wall_clock)),
    ("test_it_reads_no_clock", lambda: BadGate(reads_the_date)),
    ("test_it_reads_no_clock", lambda: BadGate(reads_monotonic_time)),
]


@pytest.mark.parametrize(("check", "maker"), BAD)
def test_the_contract_catches_a_gate_that_breaks_it(check, maker):
    contract = GateContract()
    contract.make_gate = maker
    with pytest.raises((AssertionError, AttributeError)):
        getattr(contract, check)()


def test_the_contract_catches_a_gate_that_decides_by_how_often_it_was_asked():
    counter = itertools.count()
    contract = GateContract()
    contract.make_gate = lambda: BadGate(lambda _: approve(f"asked {next(counter)} times"))
    with pytest.raises(AssertionError, match="a second call differs"):
        contract.test_it_is_deterministic()
