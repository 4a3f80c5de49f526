"""What is refused before anything is touched: planned for later, tried ever more seldom, told of once."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from safeupdater.domain.asset import UpdateRecord
from safeupdater.domain.decision import Verdict
from safeupdater.domain.operation import Outcome, PreflightReport, StepOutcome, StepStatus
from safeupdater.errors import UpdateError
from tests.support.engine import WEB, Bench, only, outcomes, policy_with

HOUR_S = 3600.0


class Refusing:
    """A runtime that refuses every update of ``web`` before it begins."""

    def __init__(self, bench: Bench, code: str = "auto_remove") -> None:
        self.inner = bench.backend
        self.code = code
        self.asked = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def preflight(self, operation: Any) -> PreflightReport:
        self.asked += 1
        if not self.code:
            return self.inner.preflight(operation)  # type: ignore[no-any-return]
        return PreflightReport(refusal=StepOutcome(StepStatus.REFUSED, self.code, "it removes itself"))


def refusing(policy: dict[str, Any] | None = None) -> tuple[Bench, Refusing]:
    bench = Bench(policy)
    runtime = Refusing(bench)
    bench.updater = bench.process(backends=[runtime])
    return bench, runtime


def history(bench: Bench) -> list[UpdateRecord]:
    return list(bench.updater.inventory.history(WEB))


# --- what does not run ------------------------------------------------------------------------------------


def test_what_does_not_run_is_deferred_in_the_plan_and_nothing_is_begun() -> None:
    bench = Bench()
    bench.publish()
    bench.world.stop("web")
    for _ in range(3):
        assert bench.apply() == ()
        decision = only(bench.updater.plan()).decision
        assert decision.verdict is Verdict.DEFER
        assert "not_running" in {reason.code for reason in decision.reasons}
        bench.clock.advance(HOUR_S)
    assert history(bench) == []
    assert bench.recorder.alerts == []
    bench.world.start("web")
    assert outcomes(bench.apply()) == [Outcome.SUCCEEDED]


def test_what_does_not_run_is_updated_where_the_policy_says_so() -> None:
    bench = Bench(policy_with(unrunnable="commit"))
    bench.publish()
    bench.world.stop("web")
    assert outcomes(bench.apply()) == [Outcome.SUCCEEDED]


# --- what is refused again and again ------------------------------------------------------------------------


def test_a_refusal_that_stays_is_tried_ever_more_seldom_and_told_of_once_a_day() -> None:
    bench, runtime = refusing()
    runtime.code = ""
    bench.publish("1.0.1")
    assert outcomes(bench.apply()) == [Outcome.SUCCEEDED]
    bench.publish("1.0.2")
    runtime.code, runtime.asked = "auto_remove", 0
    for _ in range(10 * 24):
        bench.apply()
        bench.clock.advance(HOUR_S)

    assert runtime.asked == 6 + 8, "after 1, 2, 4, 8 and 16 hours, then daily"
    refused, success = history(bench)
    assert (refused.outcome, refused.code, refused.attempts) == ("aborted", "auto_remove", 14)
    assert success.outcome == "succeeded"
    told = [alert.code for alert in bench.recorder.alerts]
    assert set(told) == {"auto_remove"}
    assert len(told) == 1 + 9


def test_the_plan_says_why_it_waits_and_until_when() -> None:
    bench, _ = refusing()
    bench.publish()
    assert outcomes(bench.apply()) == [Outcome.ABORTED]
    bench.updater.scan()
    decision = only(bench.updater.plan()).decision
    assert decision.verdict is Verdict.DEFER
    (reason,) = [item for item in decision.reasons if item.code == "refused_before"]
    assert reason.message.endswith("it removes itself")
    assert reason.until == history(bench)[0].finished + timedelta(hours=1)


# --- and people who know better -----------------------------------------------------------------------------


def test_who_approves_after_a_refusal_has_it_tried_at_once() -> None:
    bench, runtime = refusing()
    bench.publish()
    bench.apply()
    assert "approves it" in bench.recorder.alerts[-1].remedy
    bench.clock.advance(60)
    assert bench.apply() == ()
    bench.updater.approve(only(bench.updater.plan()), approver="ada")
    assert outcomes(bench.apply()) == [Outcome.ABORTED], "the cause is still there"
    bench.clock.advance(60)
    assert outcomes(bench.apply()) == [Outcome.REFUSED], "the consent was given before that refusal"
    runtime.code = ""
    bench.updater.approve(only(bench.updater.plan()), approver="ada")
    assert outcomes(bench.apply()) == [Outcome.SUCCEEDED]


def test_a_consent_that_was_given_back_waits_and_a_new_one_does_not() -> None:
    bench, runtime = refusing(policy_with(semver_gates={"minor": "manual"}))
    bench.publish()
    bench.updater.scan()
    bench.updater.approve(only(bench.updater.plan()), approver="ada")
    assert outcomes(bench.apply()) == [Outcome.ABORTED]
    runtime.code = ""
    bench.clock.advance(60)
    assert outcomes(bench.apply()) == [Outcome.REFUSED]
    bench.updater.approve(only(bench.updater.plan()), approver="ada")
    assert outcomes(bench.apply()) == [Outcome.SUCCEEDED]


def test_nothing_else_that_waits_can_be_approved_with_it() -> None:
    bench, _ = refusing()
    bench.publish()
    bench.apply()
    bench.clock.advance(60)
    update = only(bench.updater.plan())
    with pytest.raises(UpdateError, match="by itself"):
        bench.updater.approve(update, approver="ada", bulk=True)
    bench.world.stop("web")
    bench.updater.scan()
    with pytest.raises(UpdateError, match="cannot be approved"):
        bench.updater.approve(only(bench.updater.plan()), approver="ada")


@pytest.mark.parametrize(
    "code", ["store_full", "backend_hangs", "daemon_unreachable", "disk_full", "registry_denied"]
)
def test_what_may_be_over_in_a_moment_is_tried_in_the_next_round(code: str) -> None:
    bench, runtime = refusing()
    bench.publish()
    runtime.code = code
    assert outcomes(bench.apply()) == [Outcome.ABORTED]
    runtime.code = ""
    assert outcomes(bench.apply()) == [Outcome.SUCCEEDED]


def another_version(bench: Bench) -> None:
    bench.publish("1.1.1")


def another_container(bench: Bench) -> None:
    bench.world.remove("web")
    bench.world.run("web", "web:1.0.0", password="other")


def another_policy(bench: Bench) -> None:
    policy = type(bench.policy).from_dict(policy_with(max_concurrent=2))
    bench.updater = bench.process(backends=bench.updater.backends, policy=policy)


@pytest.mark.parametrize("change", [another_version, another_container, another_policy])
def test_it_is_tried_at_once_when_something_changed(change: Any) -> None:
    bench, runtime = refusing()
    bench.publish()
    bench.apply()
    assert bench.apply() == ()
    change(bench)
    runtime.code = ""
    assert outcomes(bench.apply()) == [Outcome.SUCCEEDED]


def test_another_code_is_news() -> None:
    bench, runtime = refusing()
    bench.publish()
    bench.apply()
    bench.clock.advance(HOUR_S)
    runtime.code = "linked"
    bench.apply()
    assert [alert.code for alert in bench.recorder.alerts] == ["auto_remove", "linked"]
    assert [(item.code, item.attempts) for item in history(bench)] == [("linked", 1), ("auto_remove", 1)]


def test_two_versions_that_are_refused_in_turn_are_not_tried_in_turn_for_ever() -> None:
    bench, runtime = refusing()
    for version in ("1.0.1", "1.1.0"):
        bench.publish(version)
    for _ in range(24):
        bench.apply()
        bench.clock.advance(HOUR_S)
    assert runtime.asked == 2 * 5
    assert [item.attempts for item in history(bench)] == [5, 5]


def test_a_refusal_from_the_future_keeps_nothing_waiting() -> None:
    bench, _ = refusing()
    bench.publish()
    bench.clock.jump(timedelta(days=3650))
    bench.apply()
    bench.clock.jump(timedelta(days=-3650))
    assert outcomes(bench.apply()) == [Outcome.ABORTED]


def test_recording_a_refusal_twice_counts_it_once() -> None:
    bench, _ = refusing()
    bench.publish()
    bench.apply()
    asset = bench.updater.inventory.get(WEB)
    assert asset is not None
    assert asset.with_record(asset.update_history[-1]).update_history == asset.update_history


def test_what_did_not_run_for_a_moment_is_tried_as_soon_as_it_does() -> None:
    bench = Bench()
    update = bench.plan()
    bench.world.stop("web")
    assert bench.run(update).code == "not_running"
    bench.world.start("web")
    assert outcomes(bench.apply()) == [Outcome.SUCCEEDED]


def test_an_update_that_a_crash_interrupted_before_it_touched_anything_is_tried_in_the_next_round() -> None:
    bench = Bench()
    operation_id = bench.open()
    bench.steps_until(operation_id, "Capturing")
    bench.kill(bench.updater)
    bench.updater = bench.process()
    assert outcomes(bench.updater.recover()) == [Outcome.ABORTED]
    assert outcomes(bench.apply()) == [Outcome.SUCCEEDED]
