"""The machine by itself: every legal step, every illegal one, and the laws of replay."""

from __future__ import annotations

import itertools
import math

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safeupdater.domain.artifact import ImageReference
from safeupdater.domain.change import Change, VersionChangeType
from safeupdater.domain.decision import Decision, Reason
from safeupdater.domain.decision import Verdict as GateVerdict
from safeupdater.domain.health import Condition, HealthPolicy, Observation, Sample, SampleStatus
from safeupdater.domain.operation import (
    AbortRequested,
    BecameReady,
    Blame,
    Finished,
    Observed,
    OnInconclusive,
    OperationPlanned,
    OperationSettings,
    Outcome,
    Phase,
    PreflightPassed,
    Resolution,
    Resolved,
    Resumed,
    RollbackPolicy,
    SnapshotCaptured,
    StepDone,
    StepFailed,
    StepIntended,
    Steps,
    StepStatus,
    Unrunnable,
    Verdict,
    VerdictReached,
    Woke,
)
from safeupdater.domain.plan import PlannedUpdate
from safeupdater.errors import IllegalTransition
from safeupdater.update import states
from safeupdater.update.machine import TABLE, begin, evolve, is_ended, is_parked, next_command, replay
from safeupdater.update.transitions import MAX_RESUMPTIONS, RETRIES

STEPS = Steps(
    staging=("pull", "create"), switching=("park", "start"), committing=("remove_old",),
    restoring=("demote", "unpark"), discarding=("remove_candidate",), resuming=("start",),
)  # fmt: skip
DIGESTS = ["sha256:" + character * 64 for character in "ab"]
OLD, NEW = (
    ImageReference.parse(f"app:{version}").with_digest(digest)
    for version, digest in zip(("1.0.0", "1.1.0"), DIGESTS, strict=True)
)
PLANNED = PlannedUpdate(
    target_id="memory://local/app",
    changes=(
        Change(asset_id="memory://local/app", current=OLD, new=NEW, change_type=VersionChangeType.MINOR),
    ),
    decision=Decision.because(Reason(code="x", message="x", verdict=GateVerdict.APPROVE)),
    policy_hash="x",
)


def opened(**settings_: object) -> OperationPlanned:
    base = OperationSettings(health=HealthPolicy(ready_timeout_s=60, window_s=30, interval_s=10))
    return OperationPlanned(
        operation_id="op", target_id=PLANNED.target_id, planned=PLANNED, steps=STEPS,
        settings=attrs.evolve(base, **settings_),
    )  # fmt: skip


def steps_of(phase: Phase) -> list[object]:
    return [
        event
        for step in STEPS.of(phase)
        for event in (StepIntended(phase=phase, step=step), StepDone(phase=phase, step=step))
    ]


BEFORE_SWITCH = [PreflightPassed(), SnapshotCaptured(sha256="s"), *steps_of(Phase.STAGING)]
SWITCHED = [*BEFORE_SWITCH, *steps_of(Phase.SWITCHING)]
WATCHING = [*SWITCHED, BecameReady(identity="c2", evidence="running")]
RESTORE = VerdictReached(verdict=Verdict.RESTORE, code="bad", message="bad", blame=Blame.RELEASE)
COMMIT = VerdictReached(verdict=Verdict.COMMIT, code="good", message="good")
HOLD = VerdictReached(verdict=Verdict.HOLD, code="inconclusive", message="?")
RESTORED = [*WATCHING, RESTORE, *steps_of(Phase.RESTORING), BecameReady(identity="c1", evidence="stable")]


def after(*events: object, **settings_: object) -> states.State:
    return replay([opened(**settings_), *events])  # type: ignore[list-item]


def looked(condition: Condition | None, now_s: float, status: SampleStatus = SampleStatus.OK) -> Observed:
    said = None if condition is None else Observation(condition, condition.value, "", "c2")
    return Observed(now_s, said, Sample(status, now_s))


EXAMPLES: dict[type, states.State] = {
    type(state): state
    for state in (
        begin(opened()),
        after(PreflightPassed()),
        after(PreflightPassed(), SnapshotCaptured(sha256="s")),
        after(*BEFORE_SWITCH),
        after(*SWITCHED),
        after(*WATCHING),
        evolve(after(*WATCHING), looked(Condition.FAILED, 1.0)),
        after(*WATCHING, COMMIT),
        after(*WATCHING, HOLD),
        after(*WATCHING, RESTORE),
        after(*WATCHING, RESTORE, *steps_of(Phase.RESTORING)),
        after(*RESTORED),
        after(*WATCHING, RESTORE, Finished(outcome=Outcome.ROLLBACK_FAILED)),
        after(*WATCHING, COMMIT, *steps_of(Phase.COMMITTING), Finished(outcome=Outcome.SUCCEEDED)),
        after(*RESTORED, *steps_of(Phase.DISCARDING), Finished(outcome=Outcome.ROLLED_BACK)),
        after(AbortRequested(by="x"), Finished(outcome=Outcome.ABORTED)),
        after(
            StepFailed(
                phase=Phase.PREFLIGHT, step="preflight", status=StepStatus.SUPERSEDED, code="x", message="x"
            ),
            Finished(outcome=Outcome.SUPERSEDED),
        ),
        after(
            StepFailed(
                phase=Phase.PREFLIGHT, step="preflight", status=StepStatus.GONE, code="x", message="x"
            ),
            Finished(outcome=Outcome.TARGET_GONE),
        ),
    )
}
HAPPENINGS = {
    PreflightPassed: PreflightPassed(),
    SnapshotCaptured: SnapshotCaptured(sha256="s"),
    StepIntended: StepIntended(phase=Phase.STAGING, step="pull"),
    StepDone: StepDone(phase=Phase.STAGING, step="pull"),
    StepFailed: StepFailed(phase=Phase.STAGING, step="pull", status=StepStatus.RETRY, code="x", message="x"),
    BecameReady: BecameReady(identity="c2", evidence="x"),
    VerdictReached: COMMIT,
    AbortRequested: AbortRequested(by="somebody"),
    Resumed: Resumed(by="p2", epoch=2),
    Resolved: Resolved(resolution=Resolution.RESTORE, by="somebody"),
    Finished: Finished(outcome=Outcome.SUCCEEDED),
    Observed: looked(Condition.READY, 1.0),
    Woke: Woke(),
    OperationPlanned: opened(),
}


def test_there_is_an_example_of_every_state() -> None:
    assert set(EXAMPLES) == set(states.State.__args__)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("state", "happening"), list(itertools.product(EXAMPLES, HAPPENINGS)), ids=lambda value: value.__name__
)
def test_every_pair_follows_the_table_or_is_refused(state: type, happening: type) -> None:
    example = EXAMPLES[state]
    rule = TABLE.get((state, happening))
    if rule is None:
        with pytest.raises(IllegalTransition):
            evolve(example, HAPPENINGS[happening])
        return
    try:
        following = evolve(example, HAPPENINGS[happening])
    except IllegalTransition:
        return  # the right kind of event with the wrong content
    assert type(following) in rule.to


def test_the_commands_of_the_happy_path_are_the_design() -> None:
    commands = [
        next_command(after(*events))
        for events in ([], [PreflightPassed()], BEFORE_SWITCH[:2], BEFORE_SWITCH, SWITCHED, WATCHING)
    ]
    assert commands == [
        states.Preflight(), states.Capture(), states.Perform(Phase.STAGING, "pull"),
        states.Perform(Phase.SWITCHING, "park"), states.Probe(-math.inf), states.Probe(-math.inf),
    ]  # fmt: skip


@pytest.mark.parametrize("state", EXAMPLES, ids=lambda state: state.__name__)
def test_only_ends_and_parked_states_ask_for_nothing(state: type) -> None:
    example = EXAMPLES[state]
    assert (next_command(example) is None) == (is_ended(example) or is_parked(example))


# --- aborting -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("events", [[], [PreflightPassed()], BEFORE_SWITCH[:3], BEFORE_SWITCH])
def test_an_abort_before_the_switch_ends_as_aborted(events: list[object]) -> None:
    state = after(*events, AbortRequested(by="somebody"))
    assert isinstance(state, states.Discarding)
    assert state.outcome is Outcome.ABORTED


@pytest.mark.parametrize("events", [[*BEFORE_SWITCH, StepIntended(phase=Phase.SWITCHING, step="park")],
                                    SWITCHED, WATCHING])  # fmt: skip
def test_an_abort_before_the_verdict_goes_back(events: list[object]) -> None:
    command = next_command(after(*events, AbortRequested(by="somebody")))
    assert isinstance(command, states.Record)
    assert isinstance(command.event, VerdictReached)
    assert (command.event.verdict, command.event.blame) == (Verdict.RESTORE, Blame.REQUEST)


@pytest.mark.parametrize("events", [[*WATCHING, COMMIT], [*WATCHING, RESTORE], [*WATCHING, HOLD], RESTORED])
def test_an_abort_after_the_verdict_has_no_effect(events: list[object]) -> None:
    assert after(*events, AbortRequested(by="somebody")) == after(*events)


@pytest.mark.parametrize("events", [[], BEFORE_SWITCH, SWITCHED, WATCHING, [*WATCHING, COMMIT], RESTORED])
def test_asking_twice_is_asking_once(events: list[object]) -> None:
    once = after(*events, AbortRequested(by="somebody"))
    assert evolve(once, AbortRequested(by="somebody")) == once


# --- interruptions ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("events", [[], [PreflightPassed()], BEFORE_SWITCH[:3], BEFORE_SWITCH])
def test_an_interruption_before_the_switch_ends_as_aborted(events: list[object]) -> None:
    state = after(*events, Resumed(by="p2", epoch=2))
    assert isinstance(state, states.Discarding)
    assert (state.outcome, state.code) == (Outcome.ABORTED, "interrupted")


def test_an_interruption_while_switching_goes_back_without_blaming_the_release() -> None:
    intended = StepIntended(phase=Phase.SWITCHING, step="park")
    command = next_command(after(*BEFORE_SWITCH, intended, Resumed(by="p2", epoch=2)))
    assert isinstance(command, states.Record)
    assert isinstance(command.event, VerdictReached)
    assert (command.event.verdict, command.event.blame) == (Verdict.RESTORE, Blame.ENVIRONMENT)


def test_a_switch_that_is_proved_complete_is_made_sure_of_and_goes_on() -> None:
    state = after(*SWITCHED, Resumed(by="p2", epoch=2, proved=True))
    assert next_command(state) == states.Perform(Phase.SWITCHING, "start")


def test_an_interruption_while_watching_makes_sure_of_the_new_version_and_opens_a_fresh_window() -> None:
    state = after(*WATCHING, Resumed(by="p2", epoch=2))
    assert next_command(state) == states.Perform(Phase.SWITCHING, "start")
    for event in (StepIntended, StepDone):
        state = evolve(state, event(phase=Phase.SWITCHING, step="start"))
    assert isinstance(state, states.Settling)


def test_after_too_many_interruptions_it_goes_back() -> None:
    state = after(*WATCHING)
    for number in range(MAX_RESUMPTIONS + 1):
        state = evolve(state, Resumed(by="p", epoch=number))
    command = next_command(state)
    assert isinstance(command, states.Record)
    assert isinstance(command.event, VerdictReached)
    assert command.event.verdict is Verdict.RESTORE


@pytest.mark.parametrize("events", [[*WATCHING, COMMIT], [*WATCHING, RESTORE], RESTORED])
def test_an_interruption_after_the_verdict_keeps_the_direction(events: list[object]) -> None:
    before, resumed = after(*events), after(*events, Resumed(by="p2", epoch=2))
    assert type(resumed) is type(before)
    assert resumed.operation.verdict == before.operation.verdict


# --- looking ------------------------------------------------------------------------------------------------


def settle(*looks: Observed, **settings_: object) -> states.State:
    state = after(*SWITCHED, **settings_)
    for look in looks:
        state = evolve(state, look)
    return state


def test_failed_samples_are_void_until_the_first_good_one() -> None:
    failed = [looked(Condition.READY, second, SampleStatus.FAILED) for second in range(50)]
    state = settle(*failed, looked(Condition.READY, 51.0))
    assert isinstance(state, states.Deciding)
    assert isinstance(state.event, BecameReady)


def test_a_slow_starter_within_its_time_is_not_rolled_back() -> None:
    state = settle(*(looked(Condition.STARTING, float(second)) for second in range(60)))
    assert isinstance(state, states.Settling)


@pytest.mark.parametrize(
    ("status", "code", "blame"),
    [
        (SampleStatus.VOID, "no_data", Blame.ENVIRONMENT),
        (SampleStatus.FAILED, "ready_timeout", Blame.RELEASE),
    ],
)
def test_a_release_that_could_not_be_measured_is_not_blamed(
    status: SampleStatus, code: str, blame: Blame
) -> None:
    state = settle(looked(Condition.READY, 0.0, status), looked(Condition.READY, 60.0, status))
    assert isinstance(state, states.Deciding)
    assert isinstance(state.event, VerdictReached)
    assert (state.event.verdict, state.event.code, state.event.blame) == (Verdict.RESTORE, code, blame)


@pytest.mark.parametrize(
    ("condition", "blame"), [(Condition.STARTING, Blame.RELEASE), (None, Blame.ENVIRONMENT)]
)
def test_what_is_never_ready_goes_back(condition: Condition | None, blame: Blame) -> None:
    state = settle(looked(condition, 0.0), looked(condition, 60.0))
    assert isinstance(state, states.Deciding)
    assert isinstance(state.event, VerdictReached)
    assert (state.event.verdict, state.event.blame) == (Verdict.RESTORE, blame)


@pytest.mark.parametrize(
    ("code", "blame"), [("start_failed", Blame.RELEASE), ("port_is_taken", Blame.ENVIRONMENT)]
)
def test_a_refused_switch_blames_the_release_only_where_it_cannot_be_started(code: str, blame: Blame) -> None:
    step = STEPS.switching[0]
    intended = StepIntended(phase=Phase.SWITCHING, step=step)
    refused = StepFailed(phase=Phase.SWITCHING, step=step, status=StepStatus.REFUSED, code=code, message="no")
    state = after(*BEFORE_SWITCH, intended, refused)
    assert isinstance(state, states.Deciding)
    assert isinstance(state.event, VerdictReached)
    assert (state.event.code, state.event.blame) == (code, blame)


@pytest.mark.parametrize("events", [SWITCHED, WATCHING])
def test_what_somebody_else_put_in_its_place_stands(events: list[object]) -> None:
    state = evolve(after(*events), looked(Condition.FOREIGN, 1.0))
    assert isinstance(state, states.Deciding)
    assert isinstance(state.event, StepFailed)
    assert state.event.status is StepStatus.SUPERSEDED
    assert isinstance(evolve(state, state.event), states.Discarding)


@pytest.mark.parametrize("events", [SWITCHED, WATCHING])
def test_a_new_version_that_somebody_removed_brings_the_old_one_back_without_blame(
    events: list[object],
) -> None:
    state = evolve(after(*events), looked(Condition.ABSENT, 1.0))
    assert isinstance(state, states.Deciding)
    assert isinstance(state.event, VerdictReached)
    assert (state.event.verdict, state.event.blame) == (Verdict.RESTORE, Blame.ENVIRONMENT)


def test_an_old_version_that_somebody_removed_after_it_was_put_back_is_gone() -> None:
    back = after(*WATCHING, RESTORE, *steps_of(Phase.RESTORING))
    state = evolve(back, looked(Condition.ABSENT, 1.0))
    assert isinstance(state, states.Deciding)
    assert isinstance(state.event, StepFailed)
    assert state.event.status is StepStatus.GONE


def test_another_instance_than_the_one_that_became_ready_is_never_counted() -> None:
    other = Observed(1.0, Observation(Condition.READY, "running", "", "c9"), Sample(SampleStatus.OK, 1.0))
    state = evolve(after(*WATCHING), other)
    assert isinstance(state, states.Deciding)
    assert isinstance(state.event, StepFailed)


def test_an_all_good_window_commits_and_no_data_never_does() -> None:
    for status, expected in ((SampleStatus.OK, Verdict.COMMIT), (SampleStatus.VOID, Verdict.RESTORE)):
        state = after(*WATCHING)
        for second in range(0, 1000, 10):
            if isinstance(state, states.Deciding):
                break
            state = evolve(state, looked(Condition.READY, float(second), status))
        assert isinstance(state, states.Deciding)
        assert isinstance(state.event, VerdictReached)
        assert state.event.verdict is expected


def test_what_is_inconclusive_is_held_where_the_policy_says_so() -> None:
    state = after(*WATCHING, rollback=RollbackPolicy(on_inconclusive=OnInconclusive.HOLD))
    for second in range(0, 1000, 10):
        if isinstance(state, states.Deciding):
            break
        state = evolve(state, looked(Condition.READY, float(second), SampleStatus.VOID))
    assert isinstance(state, states.Deciding)
    assert isinstance(evolve(state, state.event), states.Held)


@pytest.mark.parametrize(
    ("unrunnable", "verdict"), [(Unrunnable.COMMIT, Verdict.COMMIT), (Unrunnable.DEFER, Verdict.RESTORE)]
)
def test_what_did_not_run_is_committed_unverified_only_if_the_policy_says_so(
    unrunnable: Unrunnable, verdict: Verdict
) -> None:
    events = [PreflightPassed(running=False), *SWITCHED[1:]]
    state = evolve(after(*events, unrunnable=unrunnable), looked(Condition.STOPPED, 1.0))
    assert isinstance(state, states.Deciding)
    assert isinstance(state.event, VerdictReached)
    assert state.event.verdict is verdict


def test_a_look_long_overdue_is_followed_by_one_look_not_by_many() -> None:
    state = evolve(after(*WATCHING), looked(Condition.READY, 0.0))
    state = evolve(state, looked(Condition.READY, 25.0))
    command = next_command(state)
    assert isinstance(command, states.Probe)
    assert command.due_s <= 26.0
    command = next_command(evolve(state, looked(Condition.READY, 26.0)))
    assert isinstance(command, states.Probe)
    assert command.due_s > 26.0


# --- going back ---------------------------------------------------------------------------------------------


def verify(*looks: Observed) -> states.State:
    state = after(*WATCHING, RESTORE, *steps_of(Phase.RESTORING))
    for look in looks:
        state = evolve(state, look)
    return state


def test_the_old_version_counts_as_back_only_when_it_was_seen_stable() -> None:
    assert isinstance(verify(looked(Condition.READY, 0.0)), states.Verifying)
    flapping = verify(
        looked(Condition.READY, 0.0), looked(Condition.UNREADY, 0.9), looked(Condition.READY, 1.5)
    )
    assert isinstance(flapping, states.Verifying)
    stable = verify(looked(Condition.READY, 0.0), looked(Condition.READY, 1.1))
    assert isinstance(stable, states.Deciding)


def test_an_old_version_that_does_not_come_up_is_put_back_again_and_at_last_reported() -> None:
    state: states.State = after(*WATCHING, RESTORE)
    for _ in range(RETRIES[Phase.RESTORING] + 2):
        for event in steps_of(Phase.RESTORING):
            state = evolve(state, event)  # type: ignore[arg-type]
        state = evolve(state, looked(Condition.FAILED, 0.0))
        if isinstance(state, states.Deciding):
            break
    assert isinstance(state, states.Deciding)
    assert isinstance(evolve(state, state.event), states.RollbackFailed)


def test_a_refused_restore_step_ends_in_rollback_failed_and_people_can_resolve_it() -> None:
    refused = StepFailed(
        phase=Phase.RESTORING, step="demote", status=StepStatus.REFUSED, code="x", message="x"
    )
    state = after(*WATCHING, RESTORE, refused)
    failed = evolve(state, next_command(state).event)  # type: ignore[union-attr]
    assert isinstance(failed, states.RollbackFailed)
    for resolution, kind in (
        (Resolution.RESTORE, states.Restoring),
        (Resolution.KEEP_NEW, states.Committing),
        (Resolution.ABANDON, states.Discarding),
    ):
        assert isinstance(evolve(failed, Resolved(resolution=resolution, by="somebody")), kind)


def test_a_phase_is_begun_again_a_bounded_number_of_times() -> None:
    state = after(*BEFORE_SWITCH[:2])
    failed = StepFailed(phase=Phase.STAGING, step="pull", status=StepStatus.RETRY, code="x", message="x")
    for _ in range(RETRIES[Phase.STAGING]):
        state = evolve(state, failed)
        assert isinstance(next_command(state), states.Wait)
        state = evolve(state, Woke())
    assert isinstance(evolve(state, failed), states.Discarding)


def test_what_cannot_be_cleared_away_is_named_and_does_not_undo_the_success() -> None:
    refused = StepFailed(
        phase=Phase.COMMITTING, step="remove_old", status=StepStatus.REFUSED, code="busy", message="in use"
    )
    command = next_command(after(*WATCHING, COMMIT, refused))
    assert command == states.Record(
        Finished(outcome=Outcome.SUCCEEDED, code="good", message="good", leftovers=("remove_old: in use",))
    )


@pytest.mark.parametrize("status", [StepStatus.SUPERSEDED, StepStatus.GONE])
@pytest.mark.parametrize(
    ("events", "phase", "outcome"),
    [
        ([*WATCHING, COMMIT], Phase.COMMITTING, Outcome.SUCCEEDED),
        ([*BEFORE_SWITCH, AbortRequested(by="somebody")], Phase.DISCARDING, Outcome.ABORTED),
    ],
    ids=["committing", "discarding"],
)
def test_what_somebody_else_changed_while_it_was_cleared_away_is_left_and_changes_no_end(
    events: list[object], phase: Phase, outcome: Outcome, status: StepStatus
) -> None:
    two = ("one", "another")
    begun = attrs.evolve(opened(), steps=attrs.evolve(STEPS, committing=two, discarding=two))
    displaced = StepFailed(phase=phase, step="one", status=status, code="foreign", message="not ours")
    command = next_command(replay([begun, *events, displaced]))  # type: ignore[list-item]
    assert isinstance(command, states.Record), "nothing more of it is touched"
    assert isinstance(command.event, Finished)
    assert (command.event.outcome, command.event.leftovers) == (outcome, ("one: not ours",))


def test_the_snapshot_says_what_is_gone_back_to_where_the_preflight_saw_something_else() -> None:
    ended = [PreflightPassed(running=True), SnapshotCaptured(sha256="s", running=False)]
    assert after(*ended).operation.running is False
    started = [PreflightPassed(running=False), SnapshotCaptured(sha256="s", running=True)]
    assert after(*started).operation.running is True
    unsaid = [PreflightPassed(running=False), SnapshotCaptured(sha256="s")]
    assert after(*unsaid).operation.running is False


# --- laws ---------------------------------------------------------------------------------------------------


@given(st.lists(st.sampled_from(list(HAPPENINGS.values())), max_size=30))
@settings(max_examples=300)
def test_the_machine_is_total_and_an_illegal_event_changes_nothing(happenings: list[object]) -> None:
    state: states.State = begin(opened())
    for happening in happenings:
        try:
            state = evolve(state, happening)  # type: ignore[arg-type]
        except IllegalTransition:
            continue
        next_command(state)


@given(st.data())
@settings(max_examples=200)
def test_one_verdict_per_operation_whatever_happens(data: st.DataObject) -> None:
    state: states.State = begin(opened())
    journal: list[object] = [opened()]
    for _ in range(60):
        command = next_command(state)
        if command is None:
            break
        if isinstance(command, states.Perform):  # no effect without a journaled intent
            journal.append(StepIntended(phase=command.phase, step=command.step))
            state = evolve(state, journal[-1])  # type: ignore[arg-type]
        happening = data.draw(st.sampled_from(_answers(command)))
        if isinstance(happening, Resumed):
            state = replay(journal)  # type: ignore[arg-type]  # a new process knows the journal only
        try:
            state = evolve(state, happening)  # type: ignore[arg-type]
        except IllegalTransition:
            continue
        if not isinstance(happening, Observed | Woke):
            journal.append(happening)
    assert sum(isinstance(event, VerdictReached) for event in journal) <= 1
    replayed = replay(journal)  # type: ignore[arg-type]
    assert replayed.operation == state.operation
    assert is_ended(replayed) == is_ended(state)


def _answers(command: states.Command) -> list[object]:
    wishes: list[object] = [AbortRequested(by="x"), Resumed(by="p", epoch=3)]
    match command:
        case states.Perform(phase, step):
            failed = [
                StepFailed(phase=phase, step=step, status=status, code="x", message="x")
                for status in (StepStatus.RETRY, StepStatus.REFUSED, StepStatus.SUPERSEDED, StepStatus.GONE)
            ]
            done = [StepDone(phase=phase, step=step)] * 6
            return [*done, *failed, *wishes]
        case states.Preflight():
            return [PreflightPassed(), *wishes]
        case states.Capture():
            return [SnapshotCaptured(sha256="s"), *wishes]
        case states.Probe():
            return [looked(condition, 5.0) for condition in Condition] + wishes
        case states.Wait():
            return [Woke(), *wishes]
        case states.Record(event):
            return [event, event, *wishes]
