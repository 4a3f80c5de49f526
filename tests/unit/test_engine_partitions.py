"""A runtime that cannot be reached while it is updated, and old versions that come and go."""

from __future__ import annotations

import itertools

import pytest

from safeupdater.domain.health import SampleStatus
from safeupdater.domain.notice import Severity
from safeupdater.domain.operation import Blame, Outcome, VerdictReached
from safeupdater.update.result import Done, OperationResult
from tests.support.engine import Bench, FakeCheck, FakeChecks, policy_with

PROBED = policy_with(health={"window": "5m", "interval": "10s", "checks": [{"type": "http", "port": 80}]})


def watched() -> tuple[Bench, str]:
    bench = Bench(PROBED)
    operation_id = bench.open()
    bench.steps_until(operation_id, "Watching")
    return bench, operation_id


def drive(bench: Bench, operation_id: str, for_s: float) -> OperationResult | None:
    """Goes on for so many seconds; the result where it ended."""
    until_s = bench.clock.monotonic() + for_s
    while bench.clock.monotonic() < until_s:
        answer = bench.updater.executor.advance(operation_id)
        if isinstance(answer, Done):
            return answer.result
        bench.clock.advance(answer.delay_s)
    return None


def test_a_short_partition_costs_samples_and_nothing_else() -> None:
    bench, operation_id = watched()
    bench.world.down = True
    assert drive(bench, operation_id, 60.0) is None
    bench.world.down = False
    result = bench.run(operation_id)
    assert result.outcome is Outcome.SUCCEEDED
    assert result.tally.void >= 5
    assert bench.recorder.alerts == []


def test_a_partition_longer_than_the_watch_brings_the_old_version_back_when_it_ends() -> None:
    bench, operation_id = watched()
    bench.world.down = True
    while bench.state(operation_id) != "Restoring":
        assert drive(bench, operation_id, 60.0) is None
        assert bench.clock.monotonic() < 86_400
    assert drive(bench, operation_id, 120.0) is None
    assert bench.running == {"web": "1.1.0"}, "it cannot be reached, so it is as it was"
    bench.world.down = False

    result = bench.run(operation_id)

    assert result.outcome is Outcome.ROLLED_BACK
    assert bench.running == {"web": "1.0.0"}
    (verdict,) = (event for event in bench.recorder.events if isinstance(event, VerdictReached))
    assert verdict.blame is Blame.ENVIRONMENT
    assert bench.updater.rollbacks.quarantined() == ()


def test_after_five_silent_minutes_a_person_hears_of_it_once() -> None:
    bench, operation_id = watched()
    bench.world.down = True
    drive(bench, operation_id, 290.0)
    assert bench.recorder.alerts == []
    drive(bench, operation_id, 600.0)
    (alert,) = bench.recorder.alerts
    assert (alert.severity, alert.code) == (Severity.CRITICAL, "runtime_silent")
    assert alert.operation_id == operation_id


def test_the_way_back_is_gone_when_the_runtime_is_back_after_hours() -> None:
    bench, operation_id = watched()
    bench.updater.abort(bench.store.load(operation_id)[0].target_id, by="ada")
    bench.world.down = True
    assert drive(bench, operation_id, 20 * 3600.0) is None
    bench.world.down = False
    assert bench.run(operation_id).outcome is Outcome.ROLLED_BACK
    assert bench.running == {"web": "1.0.0"}


def test_after_a_day_without_an_answer_a_person_must_look() -> None:
    bench, operation_id = watched()
    bench.updater.abort(bench.store.load(operation_id)[0].target_id, by="ada")
    bench.world.down = True
    result = drive(bench, operation_id, 30 * 3600.0)
    assert result is not None
    assert result.outcome is Outcome.ROLLBACK_FAILED


def test_each_silence_is_told() -> None:
    bench, operation_id = watched()
    for told in (1, 2):
        bench.world.down = True
        drive(bench, operation_id, 320.0)
        bench.world.down = False
        drive(bench, operation_id, 30.0)
        assert [alert.code for alert in bench.recorder.alerts] == ["runtime_silent"] * told


def test_a_way_back_that_cannot_be_gone_is_told_after_five_minutes_too() -> None:
    bench, operation_id = watched()
    bench.updater.abort(bench.store.load(operation_id)[0].target_id, by="ada")
    bench.world.down = True
    drive(bench, operation_id, 400.0)
    assert bench.state(operation_id) == "Restoring"
    assert [alert.code for alert in bench.recorder.alerts] == ["runtime_silent"]


# --- the old version ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("failing_every", "outcome"), [(2, Outcome.ABORTED), (5, Outcome.ABORTED)])
def test_an_old_version_that_flaps_is_no_measure_for_a_new_one(failing_every: int, outcome: Outcome) -> None:
    turns = itertools.count(1)
    check = FakeCheck(lambda: SampleStatus.FAILED if next(turns) % failing_every == 0 else SampleStatus.OK)
    bench = Bench(policy_with(health={"checks": [{"type": "http", "port": 80}], "baseline": "10s"}))
    bench.updater = bench.process(checks=FakeChecks(check))
    before = bench.world.containers["web"].id

    result = bench.run(bench.plan())

    assert (result.outcome, result.code) == (outcome, "baseline_unhealthy")
    assert [item.id for item in bench.world.containers.values()] == [before]
    assert "of 20 probes" in result.message


def test_a_rare_failure_of_the_old_version_refuses_nothing() -> None:
    turns = itertools.count(1)
    check = FakeCheck(lambda: SampleStatus.FAILED if next(turns) == 7 else SampleStatus.OK)
    bench = Bench(policy_with(health={"checks": [{"type": "http", "port": 80}], "baseline": "10s"}))
    bench.updater = bench.process(checks=FakeChecks(check))
    assert bench.run(bench.plan()).outcome is Outcome.SUCCEEDED
