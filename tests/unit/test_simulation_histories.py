"""A smaller run of the random histories, and planted bugs that they must notice."""

from __future__ import annotations

import pytest

from tests.simulation.bugs import BUGS, Bug, look_for
from tests.simulation.histories import run_histories

_QUICK = (
    "effects do not wait for the journal", "nobody checks the lease", "the snapshot is not stored",
    "the end does not wait for the quarantine", "silence is taken for health", "a rollback is only said",
    "an interrupted switch is called aborted", "stop, remove, create", "the candidate restarts by itself",
    "another image than was decided", "another container is stopped", "an error tells a secret",
)  # fmt: skip


@pytest.mark.parametrize(("store", "count"), [("memory", 300), ("json", 60), ("sqlite", 6)])
def test_whatever_happens_no_invariant_is_broken(store: str, count: int) -> None:
    report = run_histories(count, store=store)
    assert report.violations == []
    assert report.outcomes["succeeded"]
    assert report.outcomes["rolled_back"]


@pytest.mark.parametrize("bug", [bug for bug in BUGS if bug.name in _QUICK], ids=lambda bug: bug.name)
def test_a_planted_bug_is_noticed(bug: Bug) -> None:
    assert look_for(bug, limit=500).violation is not None


def test_there_are_bugs_for_every_invariant_that_histories_can_break() -> None:
    broken = {bug.breaks for bug in BUGS}
    assert broken >= {"I1", "I2", "I3", "I4", "I5", "I6", "I7", "I8", "I9", "I10", "I11", "I13", "I14", "I15"}
