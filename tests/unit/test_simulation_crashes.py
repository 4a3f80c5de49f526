"""Faults at every point of an update: a smaller run of what ``python -m tests.simulation`` does in full.

A violation names what replays it: ``python -m tests.simulation --replay …``.
"""

from __future__ import annotations

import re
from collections import Counter

import pytest

from safeupdater.stores import framing
from tests.simulation import aborts, coverage
from tests.simulation.__main__ import main
from tests.simulation.aborts import RELEASES, ask_everywhere
from tests.simulation.bugs import BUGS, planted
from tests.simulation.crashes import SCENARIOS, Scenario, enumerate_faults, replay_case
from tests.simulation.faults import DEATHS, FOREIGN_FAULTS, MISHAPS, Fault
from tests.simulation.files import CrashingLog
from tests.simulation.table import Row, show
from tests.simulation.waiting import replay_case as replay_start
from tests.simulation.waiting import short_windows, slow_starters

BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}
UNDER_WAY = {"Pending", "Capturing", "Staging", "Switching", "Settling", "Watching", "Committing"}
GOING_BACK = {"Restoring", "Verifying", "Discarding"}
CHANGING = {"Staging", "Switching", "Committing", "Restoring", "Discarding"}


SHORT = [scenario for scenario in SCENARIOS if not scenario.parks]
LONG = [scenario for scenario in SCENARIOS if scenario.parks]


@pytest.mark.parametrize("store", ["memory", "json"])
def test_no_single_fault_at_any_point_violates_an_invariant(store: str) -> None:
    tally = enumerate_faults(SHORT, store, every=9, mishaps=True)

    assert tally.violations == []
    assert {f"I{number}" for number in (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 14)} <= set(tally.checked)
    assert {state for state, hit in tally.coverage if hit in DEATHS} >= CHANGING


def test_a_torn_record_in_any_state_is_recovered_from() -> None:
    scenarios = [BY_NAME["commit"], BY_NAME["rollback"]]
    tally = enumerate_faults(scenarios, "json", faults=(Fault.TORN,))

    assert tally.violations == []
    assert {state for state, _ in tally.coverage} >= UNDER_WAY | GOING_BACK


def test_a_commit_with_an_unknown_outcome_on_sql_is_never_made_twice_or_lost() -> None:
    scenarios = [BY_NAME["commit"], BY_NAME["rollback"]]
    tally = enumerate_faults(scenarios, "sqlite", faults=(Fault.STORE_UNKNOWN,))

    assert tally.violations == []
    assert {state for state, _ in tally.coverage} >= CHANGING


def test_single_faults_on_sqlite_violate_nothing() -> None:
    tally = enumerate_faults(SHORT, "sqlite", every=67)

    assert tally.violations == []


@pytest.mark.parametrize("scenario", LONG, ids=lambda scenario: scenario.name)
def test_what_waits_for_a_person_is_safe_from_everything_beside_it(scenario: Scenario) -> None:
    tally = enumerate_faults([scenario], "memory", every=3 * scenario.sparse, mishaps=True)

    assert tally.violations == []
    assert {fault for state, fault in tally.coverage if state == scenario.parks} >= set(MISHAPS)


@pytest.mark.parametrize("name", ["commit", "rollback", "abort switching"])
def test_a_second_fault_within_the_recovery_violates_nothing(name: str) -> None:
    tally = enumerate_faults([BY_NAME[name]], "memory", depth=2, every=9, second_every=4)

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


def test_probes_hooks_and_observers_may_throw_hang_or_see_the_process_die() -> None:
    scenarios = [BY_NAME[name] for name in ("commit, probes and hooks", "rollback, probes and hooks")]
    # Every call: any stride may fall into step with the few that alternate while the new version is watched.
    tally = enumerate_faults(scenarios, "memory", every=1, faults=FOREIGN_FAULTS)

    assert tally.violations == []
    for fault in FOREIGN_FAULTS:
        met = {state for state, hit in tally.coverage if hit is fault}
        assert met >= {"Pending", "Staging", "Switching", "Settling", "Watching", "Committing"}


def test_a_damaged_journal_is_refused_whenever_it_is_damaged() -> None:
    tally = enumerate_faults([BY_NAME["commit"]], "json", every=4, faults=(Fault.CORRUPT,), mishaps=True)

    assert tally.violations == []
    assert {state for state, _ in tally.coverage} >= UNDER_WAY


def test_a_damaged_journal_that_is_opened_all_the_same_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(framing, "_checksum", lambda seq, record: "0" * 16)
    tally = enumerate_faults([BY_NAME["commit"]], "json", every=9, faults=(Fault.CORRUPT,), mishaps=True)

    assert any("I4: a damaged journal was opened" in violation for violation in tally.violations)


@pytest.mark.parametrize("name", RELEASES)
def test_an_abort_ends_as_promised_and_twice_is_once(name: str) -> None:
    tally = ask_everywhere(name, every=6)

    assert tally.violations == []
    assert tally.runs > 10


def test_an_abort_that_comes_out_otherwise_is_found_out_and_can_be_replayed() -> None:
    bug = next(bug for bug in BUGS if bug.name == "an abort is ignored while switching")
    with planted(bug):
        tally = ask_everywhere("commit", every=3)
        found = re.search(r"--replay 'abort:([^']+)'", "".join(tally.violations))
        assert found is not None
        assert aborts.replay_case(found[1]).violations


def test_slow_starters_and_short_windows_are_committed() -> None:
    assert slow_starters(every_s=15.0) == (8, [])
    assert short_windows(3) == (3, [])


def test_a_start_that_takes_too_long_would_be_noticed() -> None:
    (finding,) = replay_start("plain:61.0")
    assert finding.startswith(
        "ready after 61.0 s, plain: it ended as rolled_back (--replay 'start:plain:61.0')"
    )


@pytest.mark.parametrize(
    "text",
    [
        "crash:json:commit:20=TORN,30=CRASH_AFTER",
        "history:memory:7",
        "abort:commit:9:11",
        "bug:effects do not wait for the journal:1",
        "docker:good:death 5",
        "kills:json:1:0",
        "health:no data:100:1",
        "start:short:0.25",
        "suite:a bad digest under 100 tags for 30 days",
    ],
)
def test_the_command_replays_what_a_violation_names(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--replay", text]) == 0
    assert capsys.readouterr().out == "it holds\n"


def test_the_command_says_what_it_can_replay() -> None:
    with pytest.raises(SystemExit, match="names nothing to replay: it begins with one of crash, history"):
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

    unreachable = every_pair - {("Watching", Fault.NO_REGISTRY)}
    row.coverage = unreachable
    assert show([row], is_whole=True)
    assert "unreachable: registry cut off (F09c) × Pending, " in capsys.readouterr().out

    row.violations = ["I1: neither (--replay x)"]
    assert not show([row], is_whole=False)
    assert "VIOLATION: something: I1: neither (--replay x)" in capsys.readouterr().out


def test_a_line_that_tried_nothing_fails_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert not show([Row(what="killed processes on PostgreSQL")], is_whole=False)
    assert "NOTHING TRIED: killed processes on PostgreSQL" in capsys.readouterr().out
