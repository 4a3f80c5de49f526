"""Long steps and the lease: a hook or a stop may take its own time, and nobody else does it meanwhile."""

from __future__ import annotations

import math
from typing import Any

import pytest

from safeupdater.domain.operation import Outcome, StepOutcome
from safeupdater.update.guarded import GuardedBackend
from tests.support.engine import Bench, policy_with

DAY_S, USUAL_S = 86_400.0, 120.0


class SlowHook:
    """Takes a while; meanwhile another process recovers what it can."""

    def __init__(self, takes_s: float) -> None:
        self.takes_s = takes_s
        self.bench = Bench()
        self.ran: list[str] = []
        self.seen: list[tuple[Outcome, str]] = []

    def run(self, hook: Any, operation: Any, target: Any) -> StepOutcome:
        self.ran.append(hook.name)
        assert operation.deadline_s >= hook.timeout_s
        if len(self.ran) == 1:
            self.bench.clock.advance(self.takes_s)
            self.seen = [(item.outcome, item.code) for item in self.bench.process().recover()]
        return StepOutcome()


@pytest.mark.parametrize(
    ("point", "timeout", "takes_s"),
    [("before_switch", "2h", 7100), ("after_commit", "10m", 590), ("after_commit", "3d", 250_000)],
)
def test_a_hook_keeps_the_lease_for_its_whole_time_out(point: str, timeout: str, takes_s: float) -> None:
    hook = SlowHook(takes_s)
    spec = {"name": "tell", "point": point, "command": ["tell"], "timeout": timeout}
    bench = hook.bench = Bench(policy_with(hooks=[spec]), hooks=hook)

    assert bench.run(bench.plan()).outcome is Outcome.SUCCEEDED
    assert hook.seen == [(Outcome.INTERRUPTED, "target_busy")]
    assert hook.ran == ["tell"]


def test_after_a_long_hook_the_lease_is_no_longer_than_usual() -> None:
    hook = SlowHook(1.0)
    spec = {"name": "tell", "point": "before_switch", "command": ["tell"], "timeout": "7d"}
    bench = hook.bench = Bench(policy_with(hooks=[spec]), hooks=hook)
    operation_id = bench.open()
    bench.steps_until(operation_id, "Watching")

    bench.clock.advance(601.0)
    bench.process().recover()
    assert bench.state(operation_id) == "Succeeded"


@pytest.mark.parametrize("is_guarded", [False, True], ids=["direct", "guarded"])
def test_a_step_that_takes_long_keeps_the_lease_for_the_time_that_its_backend_names(is_guarded: bool) -> None:
    bench = Bench()
    seen: list[str] = []
    inner = bench.backend
    perform = inner.perform

    def slow(operation: Any, phase: Any, step: str, report: Any) -> StepOutcome:
        if step == "park" and not seen:
            assert operation.deadline_s == 3600.0
            bench.clock.advance(3500.0)  # a database that takes its time to stop
            seen.extend(item.code for item in bench.process().recover())
        outcome: StepOutcome = perform(operation, phase, step, report)
        return outcome

    inner.perform = slow
    inner.step_time_s = lambda operation, phase, step: 3600.0 if step == "park" else 0.0
    updater = bench.process(backends=[GuardedBackend(inner) if is_guarded else inner])

    (result,) = updater.executor.run([bench.plan()])
    assert result.outcome is Outcome.SUCCEEDED
    assert seen == ["target_busy"]


@pytest.mark.parametrize(
    ("said", "deadline_s"),
    [
        (math.inf, 7 * DAY_S), (1e300, 7 * DAY_S), (7 * DAY_S, 7 * DAY_S), (-1.0, USUAL_S),
        (-math.inf, USUAL_S), (math.nan, USUAL_S), (None, USUAL_S), ("long", USUAL_S),
        (ZeroDivisionError(), USUAL_S),
    ],
)  # fmt: skip
def test_whatever_a_backend_says_of_a_steps_time_the_update_ends(said: Any, deadline_s: float) -> None:
    bench = Bench()
    given: list[float] = []
    inner = bench.backend
    perform = inner.perform

    def noted(operation: Any, phase: Any, step: str, report: Any) -> StepOutcome:
        if step == "park":
            given.append(operation.deadline_s)
        outcome: StepOutcome = perform(operation, phase, step, report)
        return outcome

    def step_time_s(operation: Any, phase: Any, step: str) -> Any:
        if isinstance(said, Exception):
            raise said
        return said

    inner.perform, inner.step_time_s = noted, step_time_s
    assert bench.run(bench.plan()).outcome is Outcome.SUCCEEDED
    assert given == [deadline_s]
