"""An updater that dies, a daemon that restarts and calls that get no answer, at every call of an update.

The second fault, during the recovery, is sampled here; ``python -m tests.simulation docker --full`` tries
all of them.
"""

from __future__ import annotations

import pytest

from tests.simulation.docker_crashes import SCENARIOS, live_through, one_fault, two_faults


@pytest.mark.parametrize("name", SCENARIOS)
def test_without_faults_each_update_ends_as_it_should(name: str) -> None:
    world = live_through(SCENARIOS[name])
    assert world.ended == ("restored" if world.is_bad else "committed")


@pytest.mark.parametrize("name", SCENARIOS)
def test_one_fault_at_any_call_ends_with_exactly_one_version(name: str) -> None:
    tally = one_fault(name)
    assert tally.violations == []
    assert tally.runs >= 150


@pytest.mark.parametrize("name", ["good", "bad", "with a sidecar"])
def test_a_second_fault_during_recovery_changes_nothing(name: str) -> None:
    tally = two_faults(name, every=97)
    assert tally.violations == []
    assert tally.runs >= 40
