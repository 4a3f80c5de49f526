"""What other people do to a target while it is being updated: whose fault it is, and what runs afterwards."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from safeupdater.backends.memory import CRASHES, Behaviour, MemoryWorld
from safeupdater.domain.operation import Blame, Outcome, VerdictReached
from safeupdater.errors import BackendError
from tests.support.engine import Bench


def verdict_of(bench: Bench) -> VerdictReached:
    (verdict,) = (event for event in bench.recorder.events if isinstance(event, VerdictReached))
    return verdict


def watched(**policy: object) -> tuple[Bench, str]:
    bench = Bench(**policy)  # type: ignore[arg-type]
    operation_id = bench.open()
    bench.steps_until(operation_id, "Watching")
    return bench, operation_id


# --- removed ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["Settling", "Watching"])
def test_whoever_removes_only_the_new_version_gets_the_old_one_back(state: str) -> None:
    bench = Bench()
    operation_id = bench.open()
    bench.steps_until(operation_id, state)
    bench.world.remove("web")

    result = bench.run(operation_id)

    assert (result.outcome, result.code) == (Outcome.ROLLED_BACK, "removed_by_others")
    assert bench.running == {"web": "1.0.0"}
    assert list(bench.world.containers) == ["web"], "nothing is left that would refuse the next update"
    assert verdict_of(bench).blame is Blame.ENVIRONMENT
    assert bench.updater.rollbacks.quarantined() == ()


def test_a_new_version_that_was_removed_between_two_processes_brings_the_old_one_back() -> None:
    bench, operation_id = watched()
    bench.kill(bench.updater)
    bench.world.remove("web")

    (result,) = bench.process().recover()

    assert result.outcome is Outcome.ROLLED_BACK
    assert result.operation_id == operation_id
    assert bench.running == {"web": "1.0.0"}


def test_whoever_removes_both_versions_wants_neither() -> None:
    bench, operation_id = watched()
    bench.world.remove("web")
    bench.world.remove("web.su-old")
    assert bench.run(operation_id).outcome is Outcome.TARGET_GONE
    assert bench.world.containers == {}


# --- paused -------------------------------------------------------------------------------------------------


def test_a_short_pause_while_watching_counts_for_nothing() -> None:
    bench, operation_id = watched()
    bench.world.containers["web"].paused = True
    bench.steps_until(operation_id, "Watching")
    for _ in range(2):
        answer = bench.updater.executor.advance(operation_id)
        bench.clock.advance(getattr(answer, "delay_s", 0.0))
    bench.world.containers["web"].paused = False

    result = bench.run(operation_id)

    assert result.outcome is Outcome.SUCCEEDED
    assert result.tally.void >= 1
    assert result.tally.failed == 0


def test_a_version_that_stays_paused_goes_back_and_is_not_blamed() -> None:
    bench, operation_id = watched()
    bench.world.containers["web"].paused = True
    result = bench.run(operation_id)
    assert result.outcome is Outcome.ROLLED_BACK
    assert result.tally.failed == 0
    assert verdict_of(bench).blame is Blame.ENVIRONMENT
    assert bench.updater.rollbacks.quarantined() == ()


def test_a_version_that_is_paused_before_it_is_ready_goes_back_and_is_not_blamed() -> None:
    bench = Bench()
    operation_id = bench.open(behaviour=Behaviour(ready_after_s=5.0))
    bench.steps_until(operation_id, "Settling")
    bench.world.containers["web"].paused = True
    result = bench.run(operation_id)
    assert (result.outcome, result.code) == (Outcome.ROLLED_BACK, "paused")
    assert verdict_of(bench).blame is Blame.ENVIRONMENT


# --- refused ------------------------------------------------------------------------------------------------


def _refusing(world: MemoryWorld, call: str) -> None:
    """The runtime refuses a call once."""
    left = [call]

    def interfere(name: str, effect: Callable[[], object]) -> object:
        if name in left:
            left.remove(name)
            raise BackendError("no room left on the device", code="disk_full")
        return effect()

    world.interfere = interfere


def test_a_start_that_the_surroundings_refuse_goes_back_without_quarantine() -> None:
    bench = Bench()
    planned = bench.plan()
    _refusing(bench.world, "start")
    result = bench.run(planned)
    assert (result.outcome, result.code) == (Outcome.ROLLED_BACK, "disk_full")
    assert verdict_of(bench).blame is Blame.ENVIRONMENT
    assert bench.updater.rollbacks.quarantined() == ()


def test_a_release_that_cannot_be_started_is_put_in_quarantine() -> None:
    bench = Bench()
    result = bench.run(bench.plan(behaviour=Behaviour(startable=False)))
    assert (result.outcome, result.code) == (Outcome.ROLLED_BACK, "start_failed")
    assert verdict_of(bench).blame is Blame.RELEASE
    assert [entry.version for entry in bench.updater.rollbacks.quarantined()] == ["1.1.0"]


def test_a_release_that_exits_is_still_to_blame() -> None:
    bench = Bench()
    assert bench.run(bench.plan(behaviour=CRASHES)).outcome is Outcome.ROLLED_BACK
    assert verdict_of(bench).blame is Blame.RELEASE
