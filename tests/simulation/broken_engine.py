"""Patches of the engine that break it, for planted bugs: each is applied for a time and taken back."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any
from unittest import mock

import attrs

from safeupdater.domain.health import Condition, Observation, Sample, SampleStatus, WindowVerdict
from safeupdater.domain.operation import (
    DONE,
    Blame,
    Observed,
    Outcome,
    PreflightPassed,
    SnapshotCaptured,
    StepDone,
    StepIntended,
    StepOutcome,
    StepStatus,
    VerdictReached,
)
from safeupdater.domain.operation import Verdict as Direction
from safeupdater.update import accounts, acting, machine, transitions
from safeupdater.update.flight import Flight
from safeupdater.update.machine import Rule
from safeupdater.update.states import (
    Committing,
    Deciding,
    Discarding,
    Restoring,
)

Patch = Callable[[contextlib.ExitStack], None]


def replaced(target: Any, name: str, value: Any) -> Patch:
    return lambda stack: stack.enter_context(mock.patch.object(target, name, value))  # type: ignore[func-returns-value]


def handled(state: type, event: type, apply: Callable[[Any, Any], Any]) -> Patch:
    """Another handler in the machine's table."""

    def plant(stack: contextlib.ExitStack) -> None:
        table = {**machine.TABLE, (state, event): Rule(apply, frozenset())}
        stack.enter_context(mock.patch.object(machine, "TABLE", table))

    return plant


def both(*patches: Patch) -> Patch:
    def plant(stack: contextlib.ExitStack) -> None:
        for patch in patches:
            patch(stack)

    return plant


# --- the executor -------------------------------------------------------------------------------------------


def act_before_saving(self: Any, flight: Flight, deadline_s: float = 120.0) -> None:
    flight.keep_lease(self._store, self._clock.monotonic(), deadline_s)


def save_without_lease(self: Flight, store: Any, clock: Any, notifier: Any) -> None:
    if self.unsaved:
        store.append(
            self.operation_id, self.unsaved, expected_version=self.version, at=clock.now(), lease=None
        )
        self.version += len(self.unsaved)
        self.unsaved = []


def never_renew(self: Flight, store: Any, now_s: float, for_s: float = 120.0) -> None:
    return None


def capture_unsaved(backend: Any, context: Any, store: Any) -> Any:
    snapshot = backend.capture(context)
    return attrs.evolve(context, snapshot=snapshot), SnapshotCaptured(sha256=snapshot.sha256)


def conclude_nothing(self: Any, flight: Any, command: Any, event: Any) -> bool:
    return True


def start_over(events: Any) -> Any:
    return machine.begin(next(iter(events)))


_context_for = Flight.context_for


def old_epoch(self: Flight, deadline_s: float) -> Any:
    return attrs.evolve(_context_for(self, deadline_s), epoch=0)


def other_intent(self: Any, flight: Any, command: Any) -> None:
    flight.happened(StepIntended(phase=command.phase, step=command.step))
    self._make_sure(flight)
    steps = flight.state.steps
    other = command._replace(step=steps[-1])
    event = acting.perform(flight.backend, flight.context, None, other, lambda progress: None)
    flight.happened(attrs.evolve(event, step=command.step))


# --- looking ------------------------------------------------------------------------------------------------

_look = acting.look


def silence_is_ready(*args: Any, **kwargs: Any) -> Observed:
    seen = _look(*args, **kwargs)
    if seen.observation is None or seen.observation.condition is not Condition.READY:
        identity = seen.observation.identity if seen.observation else ""
        said = Observation(Condition.READY, "running", "", identity)
        return Observed(seen.now_s, said, Sample(SampleStatus.OK, seen.now_s))
    return seen


def all_samples_good(seen: Observed) -> Sample:
    return Sample(SampleStatus.OK, seen.now_s)


def commit_when_ready(state: Any, event: Any) -> Any:
    return Committing(state.operation)


class EagerWindow:
    """A window that is healthy before anything was measured."""

    @classmethod
    def open(cls, *args: Any) -> Any:
        return cls()

    def add(self, sample: Sample) -> Any:
        return self

    @property
    def tally(self) -> Any:
        from safeupdater.domain.health import Tally

        return Tally()

    def judge(self, now_s: float) -> WindowVerdict:
        from safeupdater.domain.health import Judgement

        return WindowVerdict(judgement=Judgement.HEALTHY, code="window_healthy", message="", tally=self.tally)


class EndlessWindow(EagerWindow):
    """A window that never ends."""

    def judge(self, now_s: float) -> Any:
        return None


# --- the machine --------------------------------------------------------------------------------------------


def restored_by_saying_so(state: Any, event: VerdictReached) -> Any:
    operation = attrs.evolve(state.operation, verdict=event)
    if event.verdict is Direction.RESTORE:
        return Discarding(operation, outcome=Outcome.ROLLED_BACK, code="x", message="x")
    return transitions.verdict_reached(state, event)


def held_is_committed(state: Any, event: VerdictReached) -> Any:
    if event.verdict is Direction.HOLD:
        return Committing(attrs.evolve(state.operation, verdict=event))
    return transitions.verdict_reached(state, event)


def interrupted_anywhere(state: Any, event: Any) -> Any:
    return Discarding(state.operation, outcome=Outcome.ABORTED, code="interrupted", message="x")


def turn_around(state: Any, event: Any) -> Any:
    return Restoring(state.operation)


def ignore(state: Any, event: Any) -> Any:
    return state


def second_thoughts(state: Any, event: Any) -> Any:
    again = VerdictReached(verdict=Direction.RESTORE, code="x", message="x", blame=Blame.REQUEST)
    return Deciding(attrs.evolve(state.operation, verdict=None), again)


def put_back_unseen(state: Any, event: Any) -> Any:
    if state.index + 1 < len(state.steps):
        return attrs.evolve(state, index=state.index + 1)
    return Discarding(state.operation, outcome=Outcome.ROLLED_BACK, code="x", message="x")


def endless_retries(stack: contextlib.ExitStack) -> None:
    retries = dict.fromkeys(transitions.RETRIES, 10**9)
    stack.enter_context(mock.patch.object(transitions, "RETRIES", retries))


def telling_warning(*args: Any, **kwargs: Any) -> Any:
    backend, context = args[0], args[1]
    config = backend.world.containers.get(context.target_id.rpartition("/")[2])
    return PreflightPassed(warnings=(f"it runs with {config.config if config else ''}",))


def telling_error(phase: Any, step: str, error: Exception) -> Any:
    from safeupdater.domain.operation import StepFailed, StepStatus

    return StepFailed(
        phase=phase, step=step, status=StepStatus.RETRY, code="x", message="failed with hunter2-planted"
    )


# --- who may begin, and what foreign code does --------------------------------------------------------------


def unasked(self: Any, *args: Any) -> Any:
    return None


_put_in = accounts.put_in


def only_failures_kept_away(*args: Any, **kwargs: Any) -> None:
    if kwargs["blame"] is not Blame.REQUEST:
        _put_in(*args, **kwargs)


def reviewed_by_nobody(self: Any, planned: Any, now: Any, approval: Any) -> Any:
    return self._policy.defaults().settings


def hooks_the_wrong_way_round(steps: Any, settings: Any) -> Any:
    names = tuple(acting.HOOK_PREFIX + hook.name for hook in settings.hooks)
    return attrs.evolve(
        steps, committing=(*names[:1], *steps.committing), staging=(*steps.staging, *names[1:])
    )


_run_hook = acting._run_hook


def hooks_always_content(*args: Any, **kwargs: Any) -> Any:
    _run_hook(*args, **kwargs)
    return DONE


def hooks_telling_all(backend: Any, context: Any, hooks: Any, name: str) -> Any:
    hook = next(hook for hook in context.settings.hooks if hook.name == name)
    return StepOutcome(StepStatus.REFUSED, "hook_failed", f"{hook.argv} failed")


_perform = acting.perform


def swallowing_everything(*args: Any, **kwargs: Any) -> Any:
    """A border that keeps even the checker's word to itself."""
    command = args[3]
    try:
        return _perform(*args, **kwargs)
    except BaseException as error:
        if type(error).__name__ == "Crash":
            raise
        return StepDone(phase=command.phase, step=command.step)
