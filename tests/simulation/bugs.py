"""Design bugs, planted on purpose, so that the checker is known to see them.

Each is a patch of the engine or of the backend, applied for the time of a run and nowhere in the product.
The simulation must notice every one of them within a thousand histories.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import attrs

from safeupdater.backends.memory.backend import (
    CANDIDATE_SUFFIX,
    FAILED_SUFFIX,
    OPERATION_LABEL,
    PARKED_SUFFIX,
    _Act,
)
from safeupdater.domain.artifact import ImageReference
from safeupdater.domain.health import Condition, Observation, Sample, SampleStatus, WindowVerdict
from safeupdater.domain.operation import (
    DONE,
    Blame,
    Observed,
    Outcome,
    PreflightPassed,
    SnapshotCaptured,
    StepIntended,
    VerdictReached,
)
from safeupdater.domain.operation import Verdict as Direction
from safeupdater.update import accounts, acting, executor, machine, opening, transitions
from safeupdater.update.flight import Flight
from safeupdater.update.machine import Rule
from safeupdater.update.notifier import Notifier
from safeupdater.update.states import (
    Committing,
    Deciding,
    Discarding,
    Pending,
    Restoring,
    Settling,
    Staging,
    Switching,
    Watching,
)
from tests.simulation.histories import run_histories

Patch = Callable[[contextlib.ExitStack], None]


@attrs.frozen
class Bug:
    """One planted bug: the invariant that it breaks (others may see it first), and its patch."""

    name: str
    breaks: str
    plant: Patch


def _replaced(target: Any, name: str, value: Any) -> Patch:
    return lambda stack: stack.enter_context(mock.patch.object(target, name, value))  # type: ignore[func-returns-value]


def _handled(state: type, event: type, apply: Callable[[Any, Any], Any]) -> Patch:
    """Another handler in the machine's table."""

    def plant(stack: contextlib.ExitStack) -> None:
        table = {**machine.TABLE, (state, event): Rule(apply, frozenset())}
        stack.enter_context(mock.patch.object(machine, "TABLE", table))

    return plant


def _both(*patches: Patch) -> Patch:
    def plant(stack: contextlib.ExitStack) -> None:
        for patch in patches:
            patch(stack)

    return plant


# --- the executor -------------------------------------------------------------------------------------------


def _act_before_saving(self: Any, flight: Flight, deadline_s: float = 120.0) -> None:
    flight.keep_lease(self._store, self._clock.monotonic(), deadline_s)


def _save_without_lease(self: Flight, store: Any, clock: Any, notifier: Any) -> None:
    if self.unsaved:
        store.append(
            self.operation_id, self.unsaved, expected_version=self.version, at=clock.now(), lease=None
        )
        self.version += len(self.unsaved)
        self.unsaved = []


def _never_renew(self: Flight, store: Any, now_s: float, for_s: float = 120.0) -> None:
    return None


def _capture_unsaved(backend: Any, context: Any, store: Any) -> Any:
    snapshot = backend.capture(context)
    return attrs.evolve(context, snapshot=snapshot), SnapshotCaptured(sha256=snapshot.sha256)


def _conclude_nothing(self: Any, flight: Any, command: Any, event: Any) -> bool:
    return True


def _start_over(events: Any) -> Any:
    return machine.begin(next(iter(events)))


_context_for = Flight.context_for


def _old_epoch(self: Flight, deadline_s: float) -> Any:
    return attrs.evolve(_context_for(self, deadline_s), epoch=0)


def _other_intent(self: Any, flight: Any, command: Any) -> None:
    flight.happened(StepIntended(phase=command.phase, step=command.step))
    self._make_sure(flight)
    steps = flight.state.steps
    other = attrs.evolve(command, step=steps[-1])
    event = acting.perform(flight.backend, flight.context, None, other, lambda progress: None)
    flight.happened(attrs.evolve(event, step=command.step))


# --- looking ------------------------------------------------------------------------------------------------

_look = acting.look


def _silence_is_ready(*args: Any, **kwargs: Any) -> Observed:
    seen = _look(*args, **kwargs)
    if seen.observation is None or seen.observation.condition is not Condition.READY:
        identity = seen.observation.identity if seen.observation else ""
        said = Observation(Condition.READY, "running", "", identity)
        return Observed(seen.now_s, said, Sample(SampleStatus.OK, seen.now_s))
    return seen


def _all_samples_good(seen: Observed) -> Sample:
    return Sample(SampleStatus.OK, seen.now_s)


def _commit_when_ready(state: Any, event: Any) -> Any:
    return Committing(state.operation)


class _EagerWindow:
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


class _EndlessWindow(_EagerWindow):
    """A window that never ends."""

    def judge(self, now_s: float) -> Any:
        return None


# --- the machine --------------------------------------------------------------------------------------------


def _restored_by_saying_so(state: Any, event: VerdictReached) -> Any:
    operation = attrs.evolve(state.operation, verdict=event)
    if event.verdict is Direction.RESTORE:
        return Discarding(operation, outcome=Outcome.ROLLED_BACK, code="x", message="x")
    return transitions.verdict_reached(state, event)


def _held_is_committed(state: Any, event: VerdictReached) -> Any:
    if event.verdict is Direction.HOLD:
        return Committing(attrs.evolve(state.operation, verdict=event))
    return transitions.verdict_reached(state, event)


def _interrupted_anywhere(state: Any, event: Any) -> Any:
    return Discarding(state.operation, outcome=Outcome.ABORTED, code="interrupted", message="x")


def _turn_around(state: Any, event: Any) -> Any:
    return Restoring(state.operation)


def _ignore(state: Any, event: Any) -> Any:
    return state


def _second_thoughts(state: Any, event: Any) -> Any:
    again = VerdictReached(verdict=Direction.RESTORE, code="x", message="x", blame=Blame.REQUEST)
    return Deciding(attrs.evolve(state.operation, verdict=None), again)


def _put_back_unseen(state: Any, event: Any) -> Any:
    if state.index + 1 < len(state.steps):
        return attrs.evolve(state, index=state.index + 1)
    return Discarding(state.operation, outcome=Outcome.ROLLED_BACK, code="x", message="x")


def _endless_retries(stack: contextlib.ExitStack) -> None:
    retries = dict.fromkeys(transitions.RETRIES, 10**9)
    stack.enter_context(mock.patch.object(transitions, "RETRIES", retries))


# --- the backend --------------------------------------------------------------------------------------------


def _create(**changes: Any) -> Callable[[_Act], Any]:
    def create(self: _Act) -> Any:
        if self.new() is not None:
            return DONE
        labels = {OPERATION_LABEL: self.operation.operation_id}
        image = changes.get("image", lambda act: act._image)(self)
        config = changes.get("config", lambda act: act._config)(self)
        restart = changes.get("restart", "no")
        name = self.name + CANDIDATE_SUFFIX
        self._do("create", lambda: self.world.create(name, image, config, labels=labels, restart=restart))
        return DONE

    return create


def _old_image(act: _Act) -> ImageReference:
    return ImageReference.parse(str(act._snapshot.data["image"]))


def _third_image(act: _Act) -> ImageReference:
    digest = act.world.publish("other:9.9.9")
    act.world.images.add(digest)
    return ImageReference.parse("other:9.9.9").with_digest(digest)


def _park_keeping_restart(self: _Act) -> Any:
    old = self.old()
    if old is not None and old.running:
        self._do("stop", lambda: self.world.stop(old.name))
    if old is not None and old.name == self.name:
        self._do("rename", lambda: self.world.rename(old.name, self.name + PARKED_SUFFIX))
    return DONE


def _park_by_removing(self: _Act) -> Any:
    old = self.old()
    if old is not None:
        self._do("remove", lambda: self.world.remove(old.name))
    return DONE


def _park_without_looking(self: _Act) -> Any:
    old = self.old()
    if old is not None and old.restart != "no":
        self._do("update", lambda: setattr(old, "restart", "no"))
    return _park_keeping_restart(self)


def _park_somebody(self: _Act) -> Any:
    victim = next(iter(self.world.containers.values()))
    self._do("stop", lambda: self.world.stop(victim.name))
    return DONE


def _start_old_without_policy(self: _Act) -> Any:
    old = self.old()
    if old is not None and not old.running:
        self._do("start", lambda: self.world.start(old.name))
    return DONE


def _start_beside(self: _Act) -> Any:
    new = self.new()
    if new is not None and not new.running:
        self._do("start", lambda: self.world.start(new.name))
    return DONE


def _commit_backwards(self: _Act) -> Any:
    new, old = self.new(), self.old()
    if new is not None and old is not None and new.name == self.name:
        self._do("rename", lambda: self.world.rename(self.name, self.name + FAILED_SUFFIX))
        self._do("rename", lambda: self.world.rename(old.name, self.name))
    return DONE


def _demote_without_looking(self: _Act) -> Any:
    new = self.new()
    if new is None:
        return DONE
    self._do("remove", lambda: self.world.remove(new.name))
    return DONE


def _discard_everything(self: _Act) -> Any:
    for found in (self.new(), self.old()):
        if found is not None and found.name != self.name:
            self._do("remove", lambda name=found.name: self.world.remove(name))
    return DONE


def _nothing(self: _Act) -> Any:
    return DONE


def _telling_warning(*args: Any, **kwargs: Any) -> Any:
    backend, context = args[0], args[1]
    config = backend.world.containers.get(context.target_id.rpartition("/")[2])
    return PreflightPassed(warnings=(f"it runs with {config.config if config else ''}",))


def _telling_error(phase: Any, step: str, error: Exception) -> Any:
    from safeupdater.domain.operation import StepFailed, StepStatus

    return StepFailed(
        phase=phase, step=step, status=StepStatus.RETRY, code="x", message="failed with hunter2-planted"
    )


BUGS = (
    Bug(
        "effects do not wait for the journal",
        "I3",
        _replaced(executor.UpdateExecutor, "_make_sure", _act_before_saving),
    ),
    Bug(
        "nobody checks the lease",
        "I6",
        _both(
            _replaced(Flight, "save", _save_without_lease),
            _replaced(Flight, "keep_lease", _never_renew),
        ),
    ),
    Bug("the snapshot is not stored", "I2", _replaced(acting, "capture", _capture_unsaved)),
    Bug(
        "the end does not wait for the quarantine",
        "I9",
        _replaced(executor.UpdateExecutor, "_conclude", _conclude_nothing),
    ),
    Bug("recovery begins from the start", "I4", _replaced(opening, "replay", _start_over)),
    Bug("effects carry an old epoch", "I6", _replaced(Flight, "context_for", _old_epoch)),
    Bug(
        "another step is done than was intended",
        "I3",
        _replaced(executor.UpdateExecutor, "_perform", _other_intent),
    ),
    Bug("nobody is told", "I11", _replaced(Notifier, "alert_of", lambda self, result, blame: None)),
    Bug("no quarantine", "I9", _replaced(accounts, "put_in", lambda *args, **more: None)),
    Bug("silence is taken for health", "I10", _replaced(acting, "look", _silence_is_ready)),
    Bug(
        "every sample counts as good",
        "I10",
        _both(
            _replaced(transitions, "_window_sample", _all_samples_good),
            _replaced(transitions, "_decided_by_state", lambda operation, found: None),
        ),
    ),
    Bug("ready is good enough", "I10", _handled(Deciding, machine.BecameReady, _commit_when_ready)),
    Bug("a window without samples is healthy", "I10", _replaced(transitions, "Window", _EagerWindow)),
    Bug("a window never ends", "I11", _replaced(transitions, "Window", _EndlessWindow)),
    Bug("retries are not bounded", "I11", _endless_retries),
    Bug("a rollback is only said", "I1", _handled(Deciding, VerdictReached, _restored_by_saying_so)),
    Bug("what is held is committed", "I5", _handled(Deciding, VerdictReached, _held_is_committed)),
    Bug(
        "an interrupted switch is called aborted",
        "I1",
        _both(
            _handled(Switching, machine.Resumed, _interrupted_anywhere),
            _handled(Settling, machine.Resumed, _interrupted_anywhere),
        ),
    ),
    Bug(
        "an interrupted watch is called aborted",
        "I1",
        _handled(Watching, machine.Resumed, _interrupted_anywhere),
    ),
    Bug("an interrupted commit turns around", "I4", _handled(Committing, machine.Resumed, _turn_around)),
    Bug("an abort changes a verdict", "I4", _handled(Committing, machine.AbortRequested, _second_thoughts)),
    Bug("an abort is ignored while staging", "I4", _handled(Staging, machine.AbortRequested, _ignore)),
    Bug("an abort is ignored while switching", "I4", _handled(Switching, machine.AbortRequested, _ignore)),
    Bug(
        "an abort before the switch is an abort of nothing",
        "I4",
        _handled(Pending, machine.AbortRequested, _ignore),
    ),
    Bug(
        "restored without a look",
        "I1",
        _both(
            _handled(Restoring, machine.StepDone, _put_back_unseen),
            _replaced(_Act, "start_old", _nothing),
        ),
    ),
    Bug(
        "an interrupted rollback is called done",
        "I1",
        _handled(Restoring, machine.Resumed, _interrupted_anywhere),
    ),
    Bug("the candidate restarts by itself", "I1", _replaced(_Act, "create", _create(restart="always"))),
    Bug("the parked one restarts by itself", "I1", _replaced(_Act, "park", _park_keeping_restart)),
    Bug("stop, remove, create", "I5", _replaced(_Act, "park", _park_by_removing)),
    Bug("the restart policy is forgotten", "I1", _replaced(_Act, "start_old", _start_old_without_policy)),
    Bug("the configuration is forgotten", "I1", _replaced(_Act, "create", _create(config=lambda act: {}))),
    Bug("the old image is made again", "I7", _replaced(_Act, "create", _create(image=_old_image))),
    Bug("another image than was decided", "I7", _replaced(_Act, "create", _create(image=_third_image))),
    Bug("the new one starts before the old one stops", "I1", _replaced(_Act, "compare", _start_beside)),
    Bug("what others edited is parked", "I15", _replaced(_Act, "park", _park_without_looking)),
    Bug("what others edited is removed", "I15", _replaced(_Act, "demote", _demote_without_looking)),
    Bug("another container is stopped", "I13", _replaced(_Act, "park", _park_somebody)),
    Bug("a commit brings the old version back", "I8", _replaced(_Act, "remove_old", _commit_backwards)),
    Bug("the candidate is left behind", "I1", _replaced(_Act, "remove_candidate", _nothing)),
    Bug("the old version is left behind", "I1", _replaced(_Act, "remove_old", _nothing)),
    Bug(
        "the old version is cleared away too", "I5", _replaced(_Act, "remove_candidate", _discard_everything)
    ),
    Bug("a warning tells the configuration", "I14", _replaced(acting, "preflight", _telling_warning)),
    Bug("an error tells a secret", "I14", _replaced(acting, "failed", _telling_error)),
)


@contextlib.contextmanager
def planted(bug: Bug) -> Iterator[None]:
    """The time in which a bug is there."""
    with contextlib.ExitStack() as stack:
        bug.plant(stack)
        yield


@attrs.frozen
class Caught:
    """How a bug was noticed: after how many histories, and by which violation; None where it was not."""

    bug: Bug
    histories: int
    violation: str | None


def look_for(bug: Bug, *, limit: int = 1000, seed: int = 1) -> Caught:
    """Plays up to ``limit`` histories with a bug planted, until something is noticed."""
    with planted(bug):
        report = run_histories(limit, seed, stop_at=1)
    return Caught(bug, report.histories, report.violations[0] if report.violations else None)
