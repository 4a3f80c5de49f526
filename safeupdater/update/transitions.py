"""What each event means in each state: pure functions from a state and an event to the next state."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import assert_never

import attrs

from safeupdater.domain.health import Condition, Judgement, Observation, Sample, SampleStatus, WindowVerdict
from safeupdater.domain.operation import (
    AbortRequested,
    BecameReady,
    Blame,
    Finished,
    Happening,
    Observed,
    OnInconclusive,
    Outcome,
    Phase,
    PreflightPassed,
    Resolution,
    Resolved,
    Resumed,
    SnapshotCaptured,
    StepDone,
    StepFailed,
    StepIntended,
    StepStatus,
    Unrunnable,
    Verdict,
    VerdictReached,
    Woke,
)
from safeupdater.domain.quick import evolved
from safeupdater.errors import IllegalTransition
from safeupdater.health import Window
from safeupdater.update.states import (
    ENDINGS,
    Capturing,
    Committing,
    Deciding,
    Discarding,
    Held,
    Operation,
    Pending,
    Restoring,
    RollbackFailed,
    Settling,
    Staging,
    State,
    Switching,
    Verifying,
    Watching,
)

RETRIES: Mapping[Phase, int] = MappingProxyType(
    {
        Phase.PREFLIGHT: 3,
        Phase.CAPTURING: 3,
        Phase.STAGING: 3,
        Phase.SWITCHING: 4,
        Phase.COMMITTING: 6,
        Phase.RESTORING: 12,
        Phase.DISCARDING: 6,
    }
)
"""How often a phase is begun again after a step failed that may work later."""

UNANSWERED_RETRIES = 1440
"""How often the way back is begun again while the runtime does not answer: a day, at one minute each."""

MAX_RESUMPTIONS = 10
"""After so many interruptions an operation goes back instead of on."""

_THE_RELEASES_FAULT = frozenset({"start_failed"})
"""Why a switch is refused where the new version itself is to blame; anything else is its surroundings."""

_READY_POLL_S = 0.5
_READY = Condition.READY  # bound: see ``domain.quick``
_STABLE_FOR_S = 1.0
_MAX_PAUSE_S = 60.0


def backoff_s(tries: int) -> float:
    """The wait before a phase is begun again: 0.5, 1, 2 … 60 seconds."""
    return float(min(_MAX_PAUSE_S, 0.5 * 2 ** min(10, max(0, tries - 1))))


_Steps = Staging | Switching | Committing | Restoring | Discarding
_Failable = Pending | Capturing | _Steps
_Lookers = Settling | Watching | Verifying
_Again = Committing | Restoring | Verifying | Discarding


def illegal(state: State, happening: Happening) -> IllegalTransition:
    """The error for an event that a state does not allow; its evidence names both."""
    return IllegalTransition(
        f"{type(happening).__name__} cannot happen in {type(state).__name__}",
        state=type(state).__name__,
        happening=type(happening).__name__,
    )


# --- going on -----------------------------------------------------------------------------------------------


def preflight_passed(state: Pending, event: PreflightPassed) -> State:
    """The update may begin: what was learned of the old version is kept."""
    return Capturing(evolved(state.operation, running=event.running, baseline=event.baseline))


def snapshot_captured(state: Capturing, event: SnapshotCaptured) -> State:
    """The way back is stored: only now may anything be prepared. What it says is what is gone back to."""
    running = state.operation.running if event.running is None else event.running
    operation = evolved(state.operation, snapshot_sha256=event.sha256, running=running)
    return Staging(operation) if operation.opened.steps.staging else Switching(operation)


def _check_step(state: _Failable, event: StepIntended | StepDone | StepFailed) -> None:
    if event.step != state.step or event.phase is not state.phase:
        raise illegal(state, event)


def intended(state: _Steps, event: StepIntended) -> State:
    """A step is about to act; from here on a switch counts as having touched the target."""
    _check_step(state, event)
    if isinstance(state, Switching) and not state.touched:
        return Switching(state.operation, state.index, state.tries, 0.0, True, state.resuming)
    return attrs.evolve(state, pause_s=0.0) if state.pause_s else state


def done(state: _Steps, event: StepDone) -> State:
    """A step is true: the next one, or the next phase after the last."""
    _check_step(state, event)
    following = state.index + 1
    if following < len(state.steps) or isinstance(state, Committing | Discarding):
        return state.at(following)
    match state:
        case Staging():
            return Switching(state.operation)
        case Switching():
            return Settling(state.operation)
        case Restoring():
            return Verifying(state.operation, tries=state.tries)
        case _:
            assert_never(state)


# --- steps that do not come out -----------------------------------------------------------------------------


def step_failed(state: _Failable, event: StepFailed) -> State:
    """A step did not come out: the phase is begun again, given up, or somebody else was there first."""
    _check_step(state, event)
    match event.status:
        case StepStatus.SUPERSEDED | StepStatus.GONE:
            return _displaced(state, event)
        case StepStatus.RETRY if state.tries < _tries_of(state, event):
            tries = state.tries + 1
            return attrs.evolve(state, index=0, tries=tries, pause_s=backoff_s(tries))
        case StepStatus.RETRY | StepStatus.REFUSED:
            return _given_up(state, event)
        case StepStatus.DONE:
            raise illegal(state, event)
        case _:
            assert_never(event.status)


def _tries_of(state: _Failable, event: StepFailed) -> int:
    """How often a phase is begun again: the way back, while nobody answers, for a day."""
    is_waiting = event.unanswered and isinstance(state, Restoring)
    return UNANSWERED_RETRIES if is_waiting else RETRIES[state.phase]


def _given_up(state: _Failable, event: StepFailed) -> State:
    match state:
        case Pending() | Capturing():
            return _discard(state.operation, Outcome.ABORTED, event, staged=False)
        case Staging():
            return _discard(state.operation, Outcome.ABORTED, event)
        case Switching():
            blame = Blame.RELEASE if event.code in _THE_RELEASES_FAULT else Blame.ENVIRONMENT
            return _go_back(state.operation, event.code, event.message, blame)
        case Restoring():
            return _rollback_failed(state.operation, event.code, event.message)
        case Committing() | Discarding():
            leftover = f"{event.step}: {event.message or event.code}"
            operation = evolved(state.operation, leftovers=(*state.operation.leftovers, leftover))
            return attrs.evolve(state, operation=operation, index=state.index + 1)
        case _:
            assert_never(state)


def _displaced(state: _Failable | Settling | Watching | Verifying | Deciding, event: StepFailed) -> State:
    """Somebody else changed or removed the target: theirs stands, only what is ours is cleared away."""
    if isinstance(state, Committing | Discarding):
        return attrs.evolve(_given_up(state, event), index=len(state.steps))  # type: ignore[arg-type]
    gone = event.status is StepStatus.GONE
    return _discard(
        state.operation,
        Outcome.TARGET_GONE if gone else Outcome.SUPERSEDED,
        event,
        staged=not isinstance(state, Pending | Capturing),
    )


def displaced_while_looking(state: _Lookers | Deciding, event: StepFailed) -> State:
    """Somebody else changed or removed what was being looked at."""
    if event.status not in (StepStatus.SUPERSEDED, StepStatus.GONE):
        raise illegal(state, event)
    return _displaced(state, event)


def _discard(
    operation: Operation, outcome: Outcome, why: StepFailed | Finished, *, staged: bool = True
) -> Discarding:
    return Discarding(operation, outcome=outcome, code=why.code, message=why.message, staged=staged)


def _go_back(operation: Operation, code: str, message: str, blame: Blame) -> Deciding:
    return Deciding(
        operation, VerdictReached(verdict=Verdict.RESTORE, code=code, message=message, blame=blame)
    )


def _rollback_failed(operation: Operation, code: str, message: str) -> Deciding:
    return Deciding(operation, Finished(outcome=Outcome.ROLLBACK_FAILED, code=code, message=message))


# --- looking at the new version -----------------------------------------------------------------------------


def settling_observed(state: Settling, seen: Observed) -> State:
    """A look at the new version before it was ready: it became so, failed, or has more time."""
    began_s = _first(state.began_s, seen.now_s)
    health = state.operation.opened.settings.health
    found = seen.observation
    if found is not None:
        if found.condition is Condition.STOPPED and not state.operation.running:
            return _unverified(state.operation)
        decided = _decided_by_state(state.operation, found)
        if decided is not None:
            return decided
        if found.condition is Condition.READY and seen.sample.status is SampleStatus.OK:
            evidence = found.code or "ready"
            return Deciding(state.operation, BecameReady(identity=found.identity, evidence=evidence))
    if seen.now_s - began_s >= health.ready_timeout_s:
        return _never_ready(state.operation, seen)
    due_s = seen.now_s + min(health.interval_s, _READY_POLL_S)
    return Settling(state.operation, began_s, due_s)


def _unverified(operation: Operation) -> State:
    if operation.opened.settings.unrunnable is Unrunnable.COMMIT:
        message = "it was not running before and is not running now; the policy commits it unverified"
        return Deciding(operation, VerdictReached(verdict=Verdict.COMMIT, code="unverified", message=message))
    message = "it was not running, so the new version cannot be verified"
    return _go_back(operation, "unrunnable", message, Blame.ENVIRONMENT)


def _never_ready(operation: Operation, seen: Observed) -> State:
    timeout_s = operation.opened.settings.health.ready_timeout_s
    if seen.observation is None:
        message = f"the runtime did not say within {timeout_s:g} s whether the new version is ready"
        return _go_back(operation, "not_observed", message, Blame.ENVIRONMENT)
    if seen.observation.condition is Condition.READY and seen.sample.status is SampleStatus.VOID:
        message = f"it runs, but nothing could be measured within {timeout_s:g} s: {seen.sample.detail}"
        return _go_back(operation, "no_data", message, Blame.ENVIRONMENT)
    if seen.observation.condition is Condition.PAUSED:
        message = f"paused, so nothing could be measured within {timeout_s:g} s"
        return _go_back(operation, "paused", message, Blame.ENVIRONMENT)
    probed = seen.sample.detail if seen.sample.status is not SampleStatus.OK else ""
    detail = probed or seen.observation.detail or seen.observation.code
    message = f"not ready within {timeout_s:g} s: {detail}"
    return _go_back(operation, "ready_timeout", message, Blame.RELEASE)


def _decided_by_state(operation: Operation, found: Observation | None) -> State | None:
    """What the runtime's own word decides at once, before any probe is counted."""
    if found is not None and found.condition in (Condition.FAILED, Condition.STOPPED):
        code = found.code or found.condition.value
        return _go_back(operation, code, found.detail or code, Blame.RELEASE)
    if found is not None and found.condition is Condition.ABSENT:
        # It was we who took the old version out of service, so it is for us to bring it back.
        message = f"somebody removed the new version: {found.detail or found.code}"
        return _go_back(operation, found.code or "removed_by_others", message, Blame.ENVIRONMENT)
    return _displaced_by(operation, found)


def became_ready(state: Settling | Deciding, event: BecameReady) -> State:
    """The new version is ready, so monitoring begins."""
    verdict = state.operation.verdict
    if verdict is None:
        return Watching(state.operation, identity=event.identity)
    raise illegal(state, event)


def watching_observed(state: Watching, seen: Observed) -> State:
    """A look in the monitoring window: one more sample, or the runtime's word decides."""
    operation, identity, (now_s, found, sample) = state.operation, state.identity, seen
    if found is None or found.condition is not _READY or found.identity != identity:
        decided = _decided_by_state(operation, found) or _other_instance(state, found)
        if decided is not None:
            return decided
        sample = _window_sample(seen)
    health = operation.opened.settings.health
    window = (state.window or Window.open(health, now_s, operation.baseline)).add(sample)
    judged = window.judge(now_s)
    if judged is not None:
        return Deciding(operation, _verdict(operation, judged))
    began_s, due_s, interval_s = state.began_s, state.due_s, health.interval_s
    if began_s is None:
        return Watching(operation, now_s, now_s + interval_s, identity, window)
    # A look that came late does not make the following ones hurry.
    due_s = now_s if due_s < now_s - interval_s else due_s + interval_s
    return Watching(operation, began_s, due_s, identity, window)


def _other_instance(state: Watching, found: Observation | None) -> Deciding | None:
    if found is None or not state.identity or found.identity == state.identity:
        return None
    message = "another instance than the one that became ready is there now"
    other = Observation(Condition.FOREIGN, "identity_changed", message, found.identity)
    return _displaced_by(state.operation, other)


def _window_sample(seen: Observed) -> Sample:
    """The sample that counts: what the probes say, unless the runtime does not say that it is ready."""
    now_s, found, sample = seen
    if found is None:
        return Sample(SampleStatus.VOID, now_s, "the runtime did not answer")
    if found.condition is Condition.READY:
        return sample
    if found.condition is Condition.PAUSED:
        return Sample(SampleStatus.VOID, now_s, found.detail or found.code)
    return Sample(SampleStatus.FAILED, now_s, found.detail or found.code)


def _verdict(operation: Operation, judged: WindowVerdict) -> VerdictReached:
    match judged.judgement:
        case Judgement.HEALTHY:
            verdict, blame = Verdict.COMMIT, Blame.NOBODY
        case Judgement.UNHEALTHY:
            verdict, blame = Verdict.RESTORE, Blame.RELEASE
        case _:
            hold = operation.opened.settings.rollback.on_inconclusive is OnInconclusive.HOLD
            verdict = Verdict.HOLD if hold else Verdict.RESTORE
            blame = Blame.NOBODY if hold else Blame.ENVIRONMENT
    return VerdictReached(
        verdict=verdict, code=judged.code, message=judged.message, blame=blame, tally=judged.tally
    )


def verdict_reached(state: Switching | Settling | Watching | Deciding, event: VerdictReached) -> State:
    """The direction is taken; it is taken once."""
    if state.operation.verdict is not None:
        raise illegal(state, event)
    operation = evolved(state.operation, verdict=event)
    match event.verdict:
        case Verdict.COMMIT:
            return Committing(operation)
        case Verdict.RESTORE:
            return Restoring(operation)
        case Verdict.HOLD:
            return Held(operation, event.code, event.message)
        case _:
            assert_never(event.verdict)


def woke(state: _Failable, event: Woke) -> State:
    """The wait before a phase is begun again is over."""
    return attrs.evolve(state, pause_s=0.0)


# --- looking at the old version -----------------------------------------------------------------------------


def verifying_observed(state: Verifying, seen: Observed) -> State:
    """A look at the old version after it was put back: stable for long enough, or put back again."""
    operation, found = state.operation, seen.observation
    displaced = _displaced_by(operation, found)
    if displaced is not None:
        return displaced
    began_s = _first(state.began_s, seen.now_s)
    wanted = Condition.READY if operation.running else Condition.STOPPED
    stable_since_s = state.stable_since_s
    if found is not None:
        stable_since_s = _first(stable_since_s, seen.now_s) if found.condition is wanted else None
        if stable_since_s is not None and seen.now_s - stable_since_s >= _stable_for_s(operation):
            ready = BecameReady(identity=found.identity, evidence=found.code or "stable")
            return Deciding(operation, ready)
    is_dead = found is not None and found.condition is Condition.FAILED
    if is_dead or seen.now_s - began_s >= operation.opened.settings.health.ready_timeout_s:
        return _put_back_again(state, seen)
    poll_s = min(operation.opened.settings.health.interval_s, _READY_POLL_S)
    return Verifying(operation, began_s, seen.now_s + poll_s, state.tries, stable_since_s)


def _displaced_by(operation: Operation, found: Observation | None) -> Deciding | None:
    match found.condition if found else None:
        case Condition.FOREIGN:
            status = StepStatus.SUPERSEDED
        case Condition.ABSENT:
            status = StepStatus.GONE
        case _:
            return None
    assert found is not None
    phase = Phase.SWITCHING if operation.verdict is None else Phase.RESTORING
    message = found.detail or "somebody else changed or removed the target"
    return Deciding(
        operation,
        StepFailed(
            phase=phase, step="observe", status=status, code=found.code or status.value, message=message
        ),
    )


def _first(time_s: float | None, now_s: float) -> float:
    return now_s if time_s is None else time_s


def _stable_for_s(operation: Operation) -> float:
    return _STABLE_FOR_S if operation.running else 0.0


def _put_back_again(state: Verifying, seen: Observed) -> State:
    found = seen.observation
    if state.tries >= RETRIES[Phase.RESTORING]:
        detail = (found.detail or found.code) if found else "the runtime did not answer"
        message = f"the old version was put back and is not stable: {detail}"
        return _rollback_failed(state.operation, "old_not_stable", message)
    return Restoring(state.operation, 0, state.tries + 1, backoff_s(state.tries + 1))


def old_is_stable(state: Verifying | Deciding, event: BecameReady) -> State:
    """The old version runs again: what is left of the new one goes."""
    verdict = state.operation.verdict
    if verdict is None:
        raise illegal(state, event)
    return Discarding(
        state.operation, outcome=Outcome.ROLLED_BACK, code=verdict.code, message=verdict.message
    )


def decided_ready(state: Deciding, event: BecameReady) -> State:
    """Something became ready: the new version before the verdict, the old one after it."""
    return (became_ready if state.operation.verdict is None else old_is_stable)(state, event)


def put_back_intended(state: Verifying, event: StepIntended) -> State:
    """The old version is put back once more."""
    return intended(Restoring(state.operation, tries=state.tries + 1), event)


# --- ends ---------------------------------------------------------------------------------------------------


def finished(state: Committing | Discarding, event: Finished) -> State:
    """The end that the state was heading for, once its steps are done."""
    expected = Outcome.SUCCEEDED if isinstance(state, Committing) else state.outcome
    if state.index < len(state.steps) or event.outcome is not expected:
        raise illegal(state, event)
    return ENDINGS[event.outcome](state.operation, event.code, event.message)


def finished_badly(state: Restoring | Verifying | Deciding, event: Finished) -> State:
    """The old version could not be put back: a person must look."""
    if event.outcome is not Outcome.ROLLBACK_FAILED or state.operation.verdict is None:
        raise illegal(state, event)
    return RollbackFailed(state.operation, event.code, event.message)


def resolved(state: Held | RollbackFailed, event: Resolved) -> State:
    """A person decided what waited for one."""
    why = f"{event.resolution} by {event.by}" + (f": {event.reason}" if event.reason else "")
    verdict = VerdictReached(
        verdict=Verdict.COMMIT if event.resolution is Resolution.KEEP_NEW else Verdict.RESTORE,
        code=f"resolved_{event.resolution}",
        message=why,
        blame=Blame.REQUEST,
    )
    operation = evolved(state.operation, verdict=verdict)
    match event.resolution:
        case Resolution.KEEP_NEW:
            return Committing(operation)
        case Resolution.RESTORE:
            return Restoring(operation)
        case Resolution.ABANDON:
            return Discarding(
                operation, outcome=Outcome.SUPERSEDED, code="abandoned", message=why, staged=False
            )
        case _:
            assert_never(event.resolution)


# --- aborting and taking up again ---------------------------------------------------------------------------


def abort_untouched(state: Pending | Capturing | Staging, event: AbortRequested) -> State:
    """Nothing was changed yet, so what was prepared is removed and that is all."""
    return _discard(
        state.operation,
        Outcome.ABORTED,
        Finished(outcome=Outcome.ABORTED, code="abort_requested", message=_asked(event)),
        staged=isinstance(state, Staging),
    )


def abort_switching(state: Switching, event: AbortRequested) -> State:
    """A switch that touched nothing yet is left; one that did goes back."""
    if state.touched:
        return _go_back(state.operation, "abort_requested", _asked(event), Blame.REQUEST)
    why = Finished(outcome=Outcome.ABORTED, code="abort_requested", message=_asked(event))
    return _discard(state.operation, Outcome.ABORTED, why)


def abort_unjudged(state: Settling | Watching, event: AbortRequested) -> State:
    """The new version is in place and unjudged: back to the old one."""
    return _go_back(state.operation, "abort_requested", _asked(event), Blame.REQUEST)


def abort_deciding(state: Deciding, event: AbortRequested) -> State:
    """A direction that is not journaled yet becomes back; anything else stands."""
    undecided = state.operation.verdict is None and not isinstance(state.event, StepFailed)
    return _go_back(state.operation, "abort_requested", _asked(event), Blame.REQUEST) if undecided else state


def abort_too_late(state: State, event: AbortRequested) -> State:
    """The direction was taken: nothing changes."""
    return state


def _asked(event: AbortRequested) -> str:
    return f"{event.by} asked to stop" + (f": {event.reason}" if event.reason else "")


def resumed_untouched(state: Pending | Capturing | Staging, event: Resumed) -> State:
    """Taken up before anything was changed: given up, since that costs nothing."""
    return _interrupted(state.operation, staged=isinstance(state, Staging))


def _interrupted(operation: Operation, *, staged: bool = True) -> Discarding:
    message = "interrupted before anything was changed"
    why = Finished(outcome=Outcome.ABORTED, code="interrupted", message=message)
    return _discard(_counted(operation), Outcome.ABORTED, why, staged=staged)


def _counted(operation: Operation) -> Operation:
    return evolved(operation, resumptions=operation.resumptions + 1)


def resumed_switching(state: Switching | Settling, event: Resumed) -> State:
    """Taken up while the new version took over: on if that is proved complete, else back."""
    if isinstance(state, Switching) and not state.touched:
        return _interrupted(state.operation)
    operation = _counted(state.operation)
    if event.proved or (isinstance(state, Switching) and state.resuming):
        return _watch_again(operation)
    message = "interrupted while the new version was taking over"
    return _go_back(operation, "interrupted", message, Blame.ENVIRONMENT)


def resumed_watching(state: Watching, event: Resumed) -> State:
    """Taken up while watching: a fresh window, since the samples were not journaled."""
    return _watch_again(_counted(state.operation))


def _watch_again(operation: Operation) -> State:
    if operation.resumptions > MAX_RESUMPTIONS:
        message = f"interrupted more than {MAX_RESUMPTIONS} times while watching"
        return _go_back(operation, "interrupted", message, Blame.ENVIRONMENT)
    if not operation.opened.steps.resuming:
        return Settling(operation)
    return Switching(operation, touched=True, resuming=True)


def resumed_deciding(state: Deciding, event: Resumed) -> State:
    """Taken up with something left to journal: that is journaled."""
    return attrs.evolve(state, operation=_counted(state.operation))


def resumed_again(state: _Again, event: Resumed) -> State:
    """Taken up on the way to an end: the steps are made sure of from the first."""
    operation = _counted(state.operation)
    match state:
        case Committing() | Restoring() | Discarding():
            return attrs.evolve(state, operation=operation, index=0, pause_s=0.0)
        case Verifying():
            return Restoring(operation, tries=state.tries)
        case _:
            assert_never(state)
