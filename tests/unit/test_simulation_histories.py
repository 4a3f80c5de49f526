"""A smaller run of the random histories, and planted bugs that they must notice."""

from __future__ import annotations

import pytest

from tests.simulation.bugs import BUGS, look_for, planted
from tests.simulation.crashes import SCENARIOS, enumerate_faults
from tests.simulation.faults import DEATHS, Fault
from tests.simulation.playing import run_histories

_QUICK = (
    "effects do not wait for the journal", "nobody checks the lease", "the snapshot is not stored",
    "the end does not wait for the quarantine", "silence is taken for health", "a rollback is only said",
    "an interrupted switch is called aborted", "the budget of the day is not asked",
    "the policy is not asked again",
    "another image than was decided", "another container is stopped", "an error tells a secret",
    "hooks run on the wrong side of the switch",
)  # fmt: skip
NAMED = (
    "candidate created with restart=always", "A's restart policy not disabled",
    "restart policy restored after start in rollback", "no re-ensure at watch resume",
    "Watchtower order: stop, remove, create",
)  # fmt: skip
"""What the prototype of the failure model (§3.4) broke by."""
_ENUMERATED = {
    "restart policy restored after start in rollback": ("rollback", (Fault.RESTART,)),
    "no re-ensure at watch resume": ("commit, resumable", DEATHS),
}
"""Those that one fault at one point shows: the scenario, and the faults that are tried at all its points."""
_SOON = 333
"""A third of what a bug is given in the full run, so that another stream of chances does not hide it."""


@pytest.mark.parametrize(("store", "count"), [("memory", 300), ("json", 60), ("sqlite", 6)])
def test_whatever_happens_no_invariant_is_broken(store: str, count: int) -> None:
    report = run_histories(count, store=store)
    assert report.violations == []
    if store == "memory":
        assert {"succeeded", "aborted", "rolled_back", "superseded"} <= set(report.outcomes)


@pytest.mark.parametrize("name", [*_QUICK, *(name for name in NAMED if name not in _ENUMERATED)])
def test_a_planted_bug_is_noticed(name: str) -> None:
    bug = next(bug for bug in BUGS if bug.name == name)
    assert look_for(bug, limit=_SOON).violation is not None


@pytest.mark.parametrize(("name", "how"), _ENUMERATED.items())
def test_a_planted_bug_that_few_histories_meet_is_noticed_at_every_seed(
    name: str, how: tuple[str, tuple[Fault, ...]]
) -> None:
    bug = next(bug for bug in BUGS if bug.name == name)
    scenario = next(scenario for scenario in SCENARIOS if scenario.name == how[0])
    with planted(bug):
        tally = enumerate_faults([scenario], "memory", faults=how[1], mishaps=True)
    assert any(f": {bug.breaks}: " in violation for violation in tally.violations)


def test_what_something_swallows_is_a_violation_all_the_same() -> None:
    bug = next(bug for bug in BUGS if bug.name == "what the checker says is swallowed")
    with planted(bug):
        report = run_histories(60)
    assert any("run side by side" in violation for violation in report.violations)


def test_there_are_bugs_for_every_invariant_that_histories_can_break() -> None:
    broken = {bug.breaks for bug in BUGS}
    assert {bug.name for bug in BUGS} >= {*NAMED, *_QUICK}
    assert len(BUGS) >= 30
    assert broken >= {"I1", "I2", "I3", "I4", "I5", "I6", "I7", "I8", "I9", "I10", "I11", "I13", "I14", "I15"}
