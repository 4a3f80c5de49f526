"""Faults at every point of an update: a smaller run of what ``python -m tests.simulation`` does in full.

A violation names what replays it: ``python -m tests.simulation --replay …``.
"""

from __future__ import annotations

import re
from collections import Counter

import pytest

from tests.simulation import coverage
from tests.simulation.__main__ import Row, main, show
from tests.simulation.crashes import MISHAPS, SCENARIOS, WORLD_FAULTS, Scenario, enumerate_faults, replay_case
from tests.simulation.faults import Fault
from tests.simulation.files import CrashingLog
from tests.simulation.histories import run_histories

BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}
UNDER_WAY = {"Pending", "Capturing", "Staging", "Switching", "Settling", "Watching", "Committing"}
GOING_BACK = {"Restoring", "Verifying", "Discarding"}


SHORT = [scenario for scenario in SCENARIOS if not scenario.parks]
LONG = [scenario for scenario in SCENARIOS if scenario.parks]


@pytest.mark.parametrize("store", ["memory", "json"])
def test_no_single_fault_at_any_point_violates_an_invariant(store: str) -> None:
    tally = enumerate_faults(SHORT, store, mishaps=store == "memory")

    assert tally.violations == []
    assert {f"I{number}" for number in (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 14)} <= set(tally.checked)
    for fault in (Fault.CRASH_BEFORE, Fault.CRASH_AFTER, Fault.STORE_DOWN, Fault.STORE_UNKNOWN):
        assert {state for state, hit in tally.coverage if hit is fault} >= UNDER_WAY | GOING_BACK


def test_a_torn_record_in_any_state_is_recovered_from() -> None:
    scenarios = [BY_NAME["commit"], BY_NAME["rollback"]]
    tally = enumerate_faults(scenarios, "json", faults=(Fault.TORN,))

    assert tally.violations == []
    assert {state for state, _ in tally.coverage} >= UNDER_WAY | GOING_BACK


def test_a_commit_with_an_unknown_outcome_on_sql_is_never_made_twice_or_lost() -> None:
    scenarios = [BY_NAME["commit"], BY_NAME["rollback"]]
    tally = enumerate_faults(scenarios, "sqlite", faults=(Fault.STORE_UNKNOWN,))

    assert tally.violations == []
    assert {state for state, _ in tally.coverage} >= UNDER_WAY | GOING_BACK


def test_single_faults_on_sqlite_violate_nothing() -> None:
    tally = enumerate_faults(SHORT, "sqlite", every=9)

    assert tally.violations == []


@pytest.mark.parametrize("scenario", LONG, ids=lambda scenario: scenario.name)
def test_what_waits_for_a_person_is_safe_from_everything_beside_it(scenario: Scenario) -> None:
    tally = enumerate_faults([scenario], "memory", every=scenario.sparse, mishaps=True)

    assert tally.violations == []
    assert {fault for state, fault in tally.coverage if state == scenario.parks} >= {*MISHAPS, *WORLD_FAULTS}


@pytest.mark.parametrize("name", ["commit", "rollback", "abort switching"])
def test_a_second_fault_within_the_recovery_violates_nothing(name: str) -> None:
    tally = enumerate_faults([BY_NAME[name]], "memory", depth=2, every=5, second_every=2)

    assert tally.violations == []


def test_a_store_that_does_not_sync_is_found_out_and_the_finding_can_be_replayed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A crash is a power cut: what was not made durable is gone. Else these runs would prove nothing."""
    monkeypatch.setattr(CrashingLog, "sync", lambda log: None)
    tally = enumerate_faults([BY_NAME["commit"]], "json", every=7, faults=(Fault.CRASH_AFTER,))

    assert tally.violations
    found = re.search(r"--replay '(.+)'", tally.violations[0])
    assert found is not None
    assert replay_case(found[1].removeprefix("crash:")).violations == tally.violations[:1]


@pytest.mark.parametrize(("store", "count"), [("memory", 250), ("sqlite", 4)])
def test_random_histories_violate_nothing(store: str, count: int) -> None:
    report = run_histories(count, seed=20_000, store=store)

    assert report.violations == []
    assert report.histories == count


def test_the_command_replays_what_a_violation_names(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--replay", "crash:json:commit:20=TORN,30=CRASH_AFTER"]) == 0
    assert capsys.readouterr().out == "it holds\n"
    with pytest.raises(SystemExit, match="names nothing to replay"):
        main(["--replay", "nonsense"])


def test_the_table_shows_what_was_tried_and_a_pair_that_was_never_hit_fails_a_whole_run(
    capsys: pytest.CaptureFixture[str],
) -> None:
    every_pair = {(state, fault) for state in coverage.STATES for fault in Fault}
    row = Row(what="something", runs=1234, checked=Counter(I1=5, I11=7), coverage=every_pair)
    assert show([row], is_whole=True)
    assert "exercised: I1 5  I11 7" in capsys.readouterr().out

    row.coverage = every_pair - {("Held", Fault.TORN)}
    assert not show([row], is_whole=True)
    assert "never hit: Held × torn write (F03)" in capsys.readouterr().out
    assert show([row], is_whole=False)

    row.violations = ["I1: neither (--replay x)"]
    assert not show([row], is_whole=False)
    assert "VIOLATION: something: I1: neither (--replay x)" in capsys.readouterr().out
