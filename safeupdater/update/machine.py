"""One update as a machine without I/O: ``next_command`` says what is wanted, ``evolve`` what it means.

Neither performs anything nor reads a clock. The journal is the list of events and the state is its fold,
so an operation is taken up after a crash by replaying it. ``TABLE`` holds every legal step with the states
that it may lead to; whatever is not in it is an ``IllegalTransition`` and changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any

import attrs

from safeupdater.domain.operation import (
    AbortRequested,
    BecameReady,
    Event,
    Finished,
    Happening,
    Observed,
    OperationPlanned,
    Outcome,
    PreflightPassed,
    Resolved,
    Resumed,
    SnapshotCaptured,
    StepDone,
    StepFailed,
    StepIntended,
    VerdictReached,
    Woke,
)
from safeupdater.errors import IllegalTransition
from safeupdater.update import transitions
from safeupdater.update.states import (
    Aborted,
    Capture,
    Capturing,
    Command,
    Committing,
    Deciding,
    Discarding,
    Ended,
    Held,
    Operation,
    Parked,
    Pending,
    Perform,
    Preflight,
    Probe,
    Record,
    Restoring,
    RollbackFailed,
    RolledBack,
    Settling,
    Staging,
    State,
    Succeeded,
    Superseded,
    Switching,
    TargetGone,
    Verifying,
    Wait,
    Watching,
)

# --- what is wanted -----------------------------------------------------------------------------------------


def next_command(state: State) -> Command | None:
    """What the state asks for; None where there is nothing to do (ended, or a person must decide)."""
    return _WANTED[type(state)](state)


def _look(state: Settling | Watching) -> Command:
    return Probe(state.due_s)


def _look_at_old(state: Verifying) -> Command:
    return Probe(state.due_s, old=True)


def _preflight(state: Pending) -> Command:
    return Preflight() if state.pause_s <= 0 else Wait(state.pause_s)


def _capture(state: Capturing) -> Command:
    return Capture() if state.pause_s <= 0 else Wait(state.pause_s)


def _step(state: Staging | Switching | Restoring) -> Command:
    if state.pause_s > 0:
        return Wait(state.pause_s)
    return Perform(state.phase, state.steps[state.index])


def _step_or_end(state: Committing | Discarding) -> Command:
    if state.pause_s > 0:
        return Wait(state.pause_s)
    step = state.step
    return Record(_ending(state)) if step is None else Perform(state.phase, step)


def _journal(state: Deciding) -> Command:
    return Record(state.event)


def _nothing(state: Ended | Parked) -> None:
    return None


_WANTED: Mapping[type, Callable[[Any], Command | None]] = MappingProxyType(
    {
        Pending: _preflight,
        Capturing: _capture,
        **dict.fromkeys((Staging, Switching, Restoring), _step),
        **dict.fromkeys((Settling, Watching), _look),
        Verifying: _look_at_old,
        Deciding: _journal,
        **dict.fromkeys((Committing, Discarding), _step_or_end),
        **dict.fromkeys((Held, RollbackFailed), _nothing),
        **dict.fromkeys((Succeeded, Aborted, RolledBack, Superseded, TargetGone), _nothing),
    }
)


def _ending(state: Committing | Discarding) -> Finished:
    operation = state.operation
    if isinstance(state, Discarding):
        return Finished(
            outcome=state.outcome, code=state.code, message=state.message, leftovers=operation.leftovers
        )
    verdict = operation.verdict
    return Finished(
        outcome=Outcome.SUCCEEDED,
        code=verdict.code if verdict else "",
        message=verdict.message if verdict else "",
        leftovers=operation.leftovers,
    )


# --- what it means ------------------------------------------------------------------------------------------


def begin(opened: OperationPlanned) -> Pending:
    """The first state of an operation."""
    return Pending(Operation(opened=opened))


def evolve(state: State, happening: Happening) -> State:
    """The state after an event, a look or a wait.

    Raises:
        IllegalTransition: the state does not allow it; nothing was changed.
    """
    rule = TABLE.get((type(state), type(happening)))
    if rule is None:
        raise transitions.illegal(state, happening)
    return rule.apply(state, happening)


def replay(events: Iterable[Event]) -> State:
    """The state that a journal leads to.

    Raises:
        IllegalTransition: the journal is not one of an operation.
    """
    remaining = iter(events)
    first = next(remaining, None)
    if not isinstance(first, OperationPlanned):
        raise IllegalTransition(f"a journal begins with OperationPlanned, not with {type(first).__name__}")
    state: State = begin(first)
    for event in remaining:
        state = evolve(state, event)
    return state


# --- the table ----------------------------------------------------------------------------------------------


@attrs.frozen
class Rule:
    """What an event does in a state, and every state that it may lead to."""

    apply: Callable[[Any, Any], State]
    to: frozenset[type]


TABLE: Mapping[tuple[type, type], Rule]
"""Every legal step: (state, event) → what it does and where it may lead."""


def _rules() -> Mapping[tuple[type, type], Rule]:
    table: dict[tuple[type, type], Rule] = {}

    def on(*states: type, event: type, apply: Callable[[Any, Any], State], to: tuple[type, ...]) -> None:
        for state in states:
            table[state, event] = Rule(apply, frozenset(to or (state,)))

    stay: tuple[type, ...] = ()
    on(Pending, event=PreflightPassed, apply=transitions.preflight_passed, to=(Capturing,))
    on(Capturing, event=SnapshotCaptured, apply=transitions.snapshot_captured, to=(Staging, Switching))
    on(
        Staging,
        Switching,
        Committing,
        Restoring,
        Discarding,
        event=StepIntended,
        apply=transitions.intended,
        to=stay,
    )
    on(Verifying, event=StepIntended, apply=transitions.put_back_intended, to=(Restoring,))

    on(Staging, event=StepDone, apply=transitions.done, to=(Staging, Switching))
    on(Switching, event=StepDone, apply=transitions.done, to=(Switching, Settling))
    on(Restoring, event=StepDone, apply=transitions.done, to=(Restoring, Verifying))
    on(Committing, Discarding, event=StepDone, apply=transitions.done, to=stay)

    on(Pending, event=StepFailed, apply=transitions.step_failed, to=(Pending, Discarding))
    on(Capturing, event=StepFailed, apply=transitions.step_failed, to=(Capturing, Discarding))
    on(Staging, event=StepFailed, apply=transitions.step_failed, to=(Staging, Discarding))
    on(Switching, event=StepFailed, apply=transitions.step_failed, to=(Switching, Deciding, Discarding))
    on(Restoring, event=StepFailed, apply=transitions.step_failed, to=(Restoring, Deciding, Discarding))
    on(Committing, Discarding, event=StepFailed, apply=transitions.step_failed, to=stay)
    on(
        Settling, Watching, Verifying, Deciding,
        event=StepFailed, apply=transitions.displaced_while_looking, to=(Discarding,),
    )  # fmt: skip

    on(Settling, event=Observed, apply=transitions.settling_observed, to=(Settling, Deciding))
    on(Watching, event=Observed, apply=transitions.watching_observed, to=(Watching, Deciding))
    on(Verifying, event=Observed, apply=transitions.verifying_observed, to=(Verifying, Deciding, Restoring))
    on(
        Pending, Capturing, Staging, Switching, Committing, Restoring, Discarding,
        event=Woke, apply=transitions.woke, to=stay,
    )  # fmt: skip

    on(Settling, event=BecameReady, apply=transitions.became_ready, to=(Watching,))
    on(Verifying, event=BecameReady, apply=transitions.old_is_stable, to=(Discarding,))
    on(Deciding, event=BecameReady, apply=transitions.decided_ready, to=(Watching, Discarding))
    on(
        Settling, Watching, Deciding,
        event=VerdictReached, apply=transitions.verdict_reached, to=(Committing, Restoring, Held),
    )  # fmt: skip

    on(Committing, event=Finished, apply=transitions.finished, to=(Succeeded,))
    on(
        Discarding,
        event=Finished, apply=transitions.finished, to=(Aborted, RolledBack, Superseded, TargetGone),
    )  # fmt: skip
    on(Restoring, Verifying, Deciding, event=Finished, apply=transitions.finished_badly, to=(RollbackFailed,))
    on(
        Held, RollbackFailed,
        event=Resolved, apply=transitions.resolved, to=(Committing, Restoring, Discarding),
    )  # fmt: skip

    on(Pending, Capturing, Staging, event=AbortRequested, apply=transitions.abort_untouched, to=(Discarding,))
    on(Switching, event=AbortRequested, apply=transitions.abort_switching, to=(Deciding, Discarding))
    on(Settling, Watching, event=AbortRequested, apply=transitions.abort_unjudged, to=(Deciding,))
    on(Deciding, event=AbortRequested, apply=transitions.abort_deciding, to=stay)
    on(
        Committing, Restoring, Verifying, Discarding, Held, RollbackFailed,
        event=AbortRequested, apply=transitions.abort_too_late, to=stay,
    )  # fmt: skip

    on(Pending, Capturing, Staging, event=Resumed, apply=transitions.resumed_untouched, to=(Discarding,))
    on(
        Switching,
        event=Resumed, apply=transitions.resumed_switching, to=(Discarding, Deciding, Settling, Switching),
    )  # fmt: skip
    on(Settling, event=Resumed, apply=transitions.resumed_switching, to=(Switching, Settling, Deciding))
    on(Watching, event=Resumed, apply=transitions.resumed_watching, to=(Switching, Settling, Deciding))
    on(Deciding, event=Resumed, apply=transitions.resumed_deciding, to=stay)
    on(Committing, Restoring, Discarding, event=Resumed, apply=transitions.resumed_again, to=stay)
    on(Verifying, event=Resumed, apply=transitions.resumed_again, to=(Restoring,))
    return MappingProxyType(table)


TABLE = _rules()


def is_ended(state: State) -> bool:
    """Whether the operation is over."""
    return isinstance(state, Ended)


def is_parked(state: State) -> bool:
    """Whether a person must decide."""
    return isinstance(state, Parked)
