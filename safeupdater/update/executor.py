"""The imperative shell around the machine: ask, perform through a port, journal, evolve, notify."""

from __future__ import annotations

import contextlib
import heapq
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import assert_never

import attrs

from safeupdater.domain.asset import AssetStatus
from safeupdater.domain.change import Change
from safeupdater.domain.health import Condition, Observation, ProbeSpec, Tally
from safeupdater.domain.notice import Severity
from safeupdater.domain.operation import (
    Finished,
    HookPoint,
    JournalEntry,
    OperationPlanned,
    OperationSettings,
    Outcome,
    Phase,
    Resumed,
    Snapshot,
    StepDone,
    StepFailed,
    StepIntended,
    Steps,
    Woke,
)
from safeupdater.domain.plan import Approval, PlannedUpdate
from safeupdater.errors import LeaseLost, PluginError, SafeUpdaterError, StoreError, VersionConflict
from safeupdater.protocols import (
    Admission,
    Backend,
    Clock,
    HealthCheck,
    HealthChecks,
    Hooks,
    Lease,
    Observer,
    OperationContext,
    Progress,
    StateStore,
)
from safeupdater.update import accounts, acting
from safeupdater.update.admission import LocalAdmission
from safeupdater.update.flight import LEASE_MARGIN_S, Flight
from safeupdater.update.machine import is_ended, is_parked, next_command, replay
from safeupdater.update.notifier import Notifier
from safeupdater.update.result import Advance, Done, OperationResult, WakeAfter, refusal
from safeupdater.update.states import (
    Capture,
    Command,
    Held,
    Perform,
    Preflight,
    Probe,
    Record,
    Settling,
    State,
    Stepping,
    Switching,
    Wait,
)
from safeupdater.update.transitions import backoff_s

_DEADLINES_S: Mapping[Phase, float] = {Phase.STAGING: 1800.0}
_DEADLINE_S = 120.0
_STORE_RETRIES = 8
_POLL_REQUESTS_S = 5.0
_TURN_POLL_S = 1.0


@attrs.frozen(kw_only=True)
class Progressed:
    """How an operation is getting on: its state, the step where there is one, and the counts so far."""

    operation_id: str
    target_id: str
    state: str
    step: str = ""
    progress: Progress | None = None
    tally: Tally = Tally()


Review = Callable[[PlannedUpdate, datetime, Approval | None], OperationSettings | OperationResult]
"""Decides again at execution: the settings to run under, or the refusal."""


class _Resting(Exception):
    """Inside one ``advance``: control goes back with this answer."""

    def __init__(self, answer: Advance) -> None:
        super().__init__()
        self.answer = answer


class UpdateExecutor:
    """Carries out approved updates, one machine per target.

    ``advance`` goes on with one operation until it must wait, and never sleeps itself; ``run`` drives
    many. An executor belongs to one thread at a time; ``stop`` may be called from any.
    """

    def __init__(
        self,
        backends: Iterable[Backend],
        store: StateStore,
        *,
        clock: Clock,
        checks: HealthChecks,
        review: Review,
        holder: str,
        new_id: Callable[[], str],
        admission: Admission | None = None,
        hooks: Hooks | None = None,
        observers: Iterable[Observer] = (),
        progress: Callable[[Progressed], None] | None = None,
    ) -> None:
        self._backends = tuple(backends)
        self._store = store
        self._clock = clock
        self._checks = checks
        self._review = review
        self._holder = holder
        self._new_id = new_id
        self._admission = admission or LocalAdmission(store)
        self._hooks = hooks
        self._notifier = Notifier(observers)
        self._progress = progress
        self._flights: dict[str, Flight] = {}
        self._stopping = False

    # --- many operations ------------------------------------------------------------------------------------

    def run(
        self,
        updates: Iterable[PlannedUpdate | str],
        *,
        max_in_flight: int = 8,
        approvals: Iterable[Approval] = (),
        turn_timeout_s: float = 3600.0,
    ) -> tuple[OperationResult, ...]:
        """Carries out planned updates, and goes on with operations given by id; the results in their order.

        Updates that must wait for their turn are kept until others have ended; where only other updaters
        are at work, for ``turn_timeout_s`` seconds, since one of them may be gone. Ends early, with
        ``interrupted`` for what is unfinished, when ``stop`` is called.
        """
        queue = _Queue(updates, {approval.update_hash: approval for approval in approvals})
        idle_since_s = self._clock.monotonic()
        while queue.waiting or queue.flying:
            if self._stopping and not queue.flying:
                queue.give_up()
                break
            self._launch(queue, max_in_flight)
            if queue.flying:
                self._advance_first(queue)
                idle_since_s = self._clock.monotonic()
            elif self._clock.monotonic() - idle_since_s >= turn_timeout_s:
                queue.refuse_waiting(turn_timeout_s)
            elif queue.waiting:
                self._clock.wait(_TURN_POLL_S, self._is_stopping)
        return tuple(queue.results[index] for index in sorted(queue.results))

    def _launch(self, queue: _Queue, max_in_flight: int) -> None:
        """Opens as many as may fly; those that must wait for their turn stay in the queue."""
        waiting, queue.waiting = queue.waiting, []
        for index, item in waiting:
            if len(queue.flying) >= max_in_flight or self._stopping:
                queue.waiting.append((index, item))
                continue
            opened = item if isinstance(item, str) else self._try_open(item, queue.approvals.get(item.hash))
            if isinstance(opened, str):
                heapq.heappush(queue.flying, (self._clock.monotonic(), index, opened))
            elif opened.code == "concurrency":
                queue.waiting.append((index, item))
            else:
                queue.results[index] = opened

    def _try_open(self, planned: PlannedUpdate, approval: Approval | None) -> str | OperationResult:
        """``open``, where an error is this update's alone: the others go on."""
        try:
            return self.open(planned, approval)
        except SafeUpdaterError as error:
            return refusal(planned, error.code, error.message)

    def _advance_first(self, queue: _Queue) -> None:
        due_s, index, operation_id = queue.flying[0]
        delay_s = due_s - self._clock.monotonic()
        if delay_s > 0 and not self._stopping:
            self._clock.wait(delay_s, self._is_stopping)
        heapq.heappop(queue.flying)
        match self.advance(operation_id):
            case Done(result):
                queue.results[index] = result
            case WakeAfter(wait_s):
                heapq.heappush(queue.flying, (self._clock.monotonic() + wait_s, index, operation_id))

    def on_progress(self, progress: Callable[[Progressed], None] | None) -> None:
        """Calls this with how every operation is getting on, from now on; None stops it."""
        self._progress = progress

    def stop(self) -> None:
        """Drains: lets the effect under way finish, journals it, begins nothing new. Thread-safe."""
        self._stopping = True

    def _is_stopping(self) -> bool:
        return self._stopping

    # --- opening --------------------------------------------------------------------------------------------

    def open(self, planned: PlannedUpdate, approval: Approval | None = None) -> str | OperationResult:
        """Opens an operation and gives its id, or says why it may not begin. Touches nothing but the store.

        Raises:
            StoreError: the store did not answer; nothing was begun.
            ConfigurationError: a health check of the policy cannot be made.
        """
        now = self._clock.now()
        settings = self._review(planned, now, approval)
        if isinstance(settings, OperationResult):
            return settings
        with _border("admission"):
            admitted = self._admission.admit(planned, now)
        if not admitted.admitted:
            return refusal(planned, admitted.code, admitted.message, admitted.until)
        return self._begin(planned, settings, now, approval=approval)

    def open_return(
        self, planned: PlannedUpdate, settings: OperationSettings, restores: str
    ) -> str | OperationResult:
        """Opens an operation that brings back the snapshot of an earlier one.

        A person asked for it, so neither gates nor budgets are asked.
        """
        return self._begin(planned, settings, self._clock.now(), restores=restores)

    def _begin(
        self,
        planned: PlannedUpdate,
        settings: OperationSettings,
        now: datetime,
        *,
        approval: Approval | None = None,
        restores: str | None = None,
    ) -> str | OperationResult:
        backend = self._backend_of(planned.target_id)
        if backend is None:
            return refusal(planned, "no_backend", f"no backend reaches {planned.target_id}")
        # Asked before the lease is taken: we may be the one who holds it, for an operation under way.
        if any(opened.target_id == planned.target_id for opened in self._store.unfinished()):
            message = f"an update of {planned.target_id} is under way or waits for a person"
            return refusal(planned, "operation_open", message)
        lease = self._store.acquire(planned.target_id, self._holder, _DEADLINE_S + LEASE_MARGIN_S)
        if lease is None:
            return refusal(planned, "target_busy", f"another updater works on {planned.target_id}")
        try:
            return self._open(planned, approval, restores, backend, settings, lease, now)
        except VersionConflict as conflict:
            self._store.release(lease)
            return refusal(planned, conflict.code, conflict.message)
        except BaseException:
            self._release(lease)
            raise

    def _open(
        self,
        planned: PlannedUpdate,
        approval: Approval | None,
        restores: str | None,
        backend: Backend,
        settings: OperationSettings,
        lease: Lease,
        now: datetime,
    ) -> str:
        with _border(f"the backend {backend.name}"):
            steps = _checked(backend.steps(planned, settings), backend)
        opened = OperationPlanned(
            operation_id=self._new_id(),
            target_id=planned.target_id,
            planned=planned,
            settings=settings,
            steps=_with_hooks(steps, settings),
            restores=restores,
            can_resume=backend.can_resume_switch,
        )
        flight = self._flight(opened, replay([opened]), backend, lease, now, is_new=True)
        if approval is not None:
            # Spent first: a crash in between costs an approval, never lends it twice.
            self._spend(approval, opened.operation_id)
        flight.version = self._store.append(
            opened.operation_id, [opened], expected_version=0, at=now, lease=lease
        )
        self._flights[opened.operation_id] = flight
        if self._notifier:
            self._notifier.tell(flight.entry(opened, 1, now))
        accounts.mark(self._store, (change.asset_id for change in planned.changes), AssetStatus.UPDATING)
        return opened.operation_id

    def _spend(self, approval: Approval, operation_id: str) -> None:
        key = approval.update_hash
        stored = self._store.get("approval", key)
        if stored is None or stored.value != approval:
            raise VersionConflict("this approval was used, withdrawn or replaced", code="approval_used")
        spent = attrs.evolve(approval, used_by=operation_id)
        self._store.put("approval", key, spent, expected=stored.version)

    def _backend_of(self, target_id: str) -> Backend | None:
        return next((backend for backend in self._backends if backend.owns(target_id)), None)

    def _flight(
        self,
        opened: OperationPlanned,
        state: State,
        backend: Backend,
        lease: Lease,
        started: datetime,
        *,
        is_new: bool = False,
    ) -> Flight:
        settings = opened.settings
        checks = tuple(self._check(spec, is_needed=is_new) for spec in settings.health.checks)
        context = OperationContext(
            operation_id=opened.operation_id,
            epoch=lease.epoch,
            planned=opened.planned,
            settings=settings,
            snapshot=self._snapshot(opened.operation_id) if state.operation.snapshot_sha256 else None,
            wanted=self._snapshot(opened.restores) if opened.restores else None,
            deadline_s=_DEADLINE_S,
        )
        return Flight(
            opened=opened, state=state, version=0, lease=lease, backend=backend, context=context,
            started=started, checks=checks, lease_until_s=self._clock.monotonic() + lease.ttl_s,
        )  # fmt: skip

    def _check(self, spec: ProbeSpec, *, is_needed: bool) -> HealthCheck:
        """A check; where an operation is under way one that cannot be made measures nothing.

        It must end all the same, and without a measurement nothing is committed.
        """
        try:
            with _border("a health check"):
                return self._checks.create(spec.type, **spec.options)
        except SafeUpdaterError as error:
            if is_needed:
                raise
            return acting.Unmeasurable(error.message)

    def _snapshot(self, operation_id: str) -> Snapshot | None:
        stored = self._store.get("snapshot", operation_id)
        return stored.value if stored and isinstance(stored.value, Snapshot) else None

    # --- taking up ------------------------------------------------------------------------------------------

    def take_up(self, operation_id: str) -> OperationResult | None:
        """Takes over an operation that nobody works on; None when it is ours now, else why it is not.

        A holder that is provably dead is replaced at once, any other when its lease has expired
        (``target_busy`` until then).
        """
        if operation_id in self._flights:
            return None
        entries = self._store.load(operation_id)
        if not entries:
            return _unknown(operation_id)
        opened = entries[0].event
        assert isinstance(opened, OperationPlanned)
        state = replay(entry.event for entry in entries)
        backend = self._backend_of(opened.target_id)
        if backend is None and not is_ended(state):
            return _rests(opened, "no_backend", f"no backend reaches {opened.target_id}")
        lease = None
        if not (is_ended(state) or is_parked(state)):
            lease = self._store.acquire(opened.target_id, self._holder, _DEADLINE_S + LEASE_MARGIN_S)
            if lease is None:
                return _rests(opened, "target_busy", f"another updater works on {opened.target_id}")
        try:
            self._flights[operation_id] = self._taken_up(opened, entries, backend, lease)
        except Exception:
            if lease is not None:
                self._release(lease)
            raise
        return None

    def _taken_up(
        self,
        opened: OperationPlanned,
        entries: Sequence[JournalEntry],
        backend: Backend | None,
        lease: Lease | None,
    ) -> Flight:
        if lease is not None:
            # What was journaled before the lease was ours counts too.
            entries = self._store.load(opened.operation_id)
        state = replay(entry.event for entry in entries)
        is_at_rest = is_ended(state) or is_parked(state)
        lease = lease or Lease(key=opened.target_id, holder="", epoch=entries[-1].epoch, ttl_s=0.0)
        assert backend is not None or is_ended(state)
        flight = self._flight(opened, state, backend, lease, entries[0].at)  # type: ignore[arg-type]
        flight.version = len(entries)
        if not is_at_rest:
            flight.happened(Resumed(by=self._holder, epoch=lease.epoch, proved=self._is_proved(flight)))
        return flight

    def _is_proved(self, flight: Flight) -> bool:
        """Whether an interrupted switch is observed complete and ours, where the runtime can prove that."""
        if not flight.opened.can_resume or not isinstance(flight.state, Switching | Settling):
            return False
        seen = acting.look(flight.backend, flight.context, (), self._clock)
        alive = {Condition.READY, Condition.UNREADY, Condition.STARTING}
        return seen.observation is not None and seen.observation.condition in alive

    def observe(self, operation_id: str, *, old: bool = False) -> Observation | None:
        """What the runtime says now about an operation's new version, or the old; None: it does not say."""
        entries = self._store.load(operation_id)
        opened = entries[0].event if entries else None
        backend = self._backend_of(opened.target_id) if isinstance(opened, OperationPlanned) else None
        if not isinstance(opened, OperationPlanned) or backend is None:
            return None
        state = replay(entry.event for entry in entries)
        lease = Lease(key=opened.target_id, holder="", epoch=entries[-1].epoch, ttl_s=0.0)
        flight = self._flight(opened, state, backend, lease, entries[0].at)
        return acting.look(backend, flight.context, (), self._clock, old=old).observation

    # --- one operation --------------------------------------------------------------------------------------

    def advance(self, operation_id: str) -> Advance:
        """Goes on with an operation until it must wait, ends, or needs a person.

        ``Done`` with the outcome ``interrupted`` means that this executor let go of it: somebody else
        works on it, the store does not answer, or ``stop`` was called; ``recover`` goes on from there.
        """
        try:
            refused = self.take_up(operation_id)
        except SafeUpdaterError as error:
            return Done(_untouched(operation_id, error))
        if refused is not None:
            return Done(refused)
        flight = self._flights[operation_id]
        try:
            while True:
                self._step(flight)
        except _Resting as resting:
            return resting.answer
        except LeaseLost:
            return self._let_go(flight, "lease_lost", "another updater took over")
        except StoreError as error:
            return self._store_failed(flight, error)

    def _step(self, flight: Flight) -> None:
        now_s = self._clock.monotonic()
        if flight.wake_s > now_s and not self._stopping:
            raise _Resting(WakeAfter(flight.wake_s - now_s))
        if flight.wake_s and flight.wake_s <= now_s:
            flight.wake_s = 0.0
            if isinstance(next_command(flight.state), Wait):
                flight.saw(Woke(now_s))
        if self._stopping:
            flight.save(self._store, self._clock, self._notifier)
            if next_command(flight.state) is not None:
                raise _Resting(self._let_go(flight, "stopped", "stopped; recover goes on with it"))
        self._carry_out(flight)

    def _carry_out(self, flight: Flight) -> None:
        command = next_command(flight.state)
        if self._progress is not None:
            self._show(flight, command.step if isinstance(command, Perform) else "")
        match command:
            case Perform():
                self._perform(flight, command)
            case Probe():
                self._look(flight, command)
            case Record(event):
                if not isinstance(event, Finished) or self._conclude(flight, command, event):
                    flight.happened(event)
            case Preflight():
                if self._is_still_wanted(flight, command):
                    flight.happened(
                        acting.preflight(flight.backend, flight.context, flight.checks, self._clock)
                    )
                    self._warn(flight)
            case Capture():
                if self._is_still_wanted(flight, command):
                    flight.context, event = acting.capture(flight.backend, flight.context, self._store)
                    flight.happened(event)
            case Wait(delay_s):
                self._rest(flight, delay_s)
            case None:
                flight.save(self._store, self._clock, self._notifier)
                raise _Resting(self._end(flight))
            case _:
                assert_never(command)

    def _before(self, flight: Flight, deadline_s: float = _DEADLINE_S) -> None:
        """What precedes every call to a runtime: all is durable, and the lease lasts long enough."""
        flight.save(self._store, self._clock, self._notifier)
        self._keep_lease(flight, deadline_s)

    def _is_still_wanted(self, flight: Flight, command: Command) -> bool:
        """Whether a command stands after saving, which takes in that somebody asked to stop."""
        self._before(flight)
        return next_command(flight.state) == command

    def _keep_lease(self, flight: Flight, for_s: float) -> None:
        now_s = self._clock.monotonic()
        if flight.lease_until_s - now_s >= for_s + LEASE_MARGIN_S:
            return
        ttl_s = 2 * (for_s + LEASE_MARGIN_S)
        flight.lease = self._store.renew(flight.lease, ttl_s)
        flight.lease_until_s = now_s + ttl_s

    def _perform(self, flight: Flight, command: Perform) -> None:
        assert isinstance(flight.state, Stepping)
        key = (command, flight.state.index, flight.state.tries, flight.state.operation.resumptions)
        if flight.intended != key:
            flight.happened(StepIntended(phase=command.phase, step=command.step))
            flight.intended = key
        deadline_s = _DEADLINES_S.get(command.phase, _DEADLINE_S)
        self._before(flight, deadline_s)
        if flight.intended != key:
            return  # somebody asked to stop meanwhile: decide again
        context = flight.context_for(deadline_s)
        report = self._reporter(flight, command.step)
        event: StepDone | StepFailed = acting.perform(flight.backend, context, self._hooks, command, report)
        flight.intended = None
        flight.happened(event)

    def _look(self, flight: Flight, command: Probe) -> None:
        asked_in = flight.state
        self._before(flight)
        self._take_in_requests(flight)
        if flight.state is asked_in:
            look = acting.look(flight.backend, flight.context, flight.checks, self._clock, old=command.old)
            flight.saw(look)

    def _take_in_requests(self, flight: Flight) -> None:
        """Looks now and then whether somebody asked to stop, while nothing is being journaled anyway."""
        now_s = self._clock.monotonic()
        if now_s - flight.polled_s >= _POLL_REQUESTS_S:
            flight.polled_s = now_s
            entries = self._store.load(flight.operation_id)
            if len(entries) > flight.version:
                flight.take_in_requests([entry.event for entry in entries[flight.version :]])

    def _rest(self, flight: Flight, delay_s: float) -> None:
        if flight.unsaved:
            flight.save(self._store, self._clock, self._notifier)
            if not isinstance(next_command(flight.state), Wait):
                return
        self._keep_lease(flight, delay_s)
        flight.wake_s = self._clock.monotonic() + delay_s
        raise _Resting(WakeAfter(delay_s))

    # --- ends -----------------------------------------------------------------------------------------------

    def _conclude(self, flight: Flight, command: Command, event: Finished) -> bool:
        """Writes what follows from the end before the end itself, so that a crash between loses nothing."""
        if not self._is_still_wanted(flight, command):
            return False
        accounts.settle(
            self._store, flight.state.operation, event, started=flight.started, now=self._clock.now()
        )
        return True

    def _end(self, flight: Flight) -> Done:
        if isinstance(flight.state, Held):
            held = Finished(outcome=Outcome.HELD, code=flight.state.code, message=flight.state.message)
            accounts.record_outcome(
                self._store, flight.opened, held, started=flight.started, now=self._clock.now()
            )
        result = flight.result(self._clock.now())
        self._flights.pop(flight.operation_id, None)
        self._release(flight.lease)
        self._alert(result)
        return Done(result)

    def _alert(self, result: OperationResult) -> None:
        alarm = _ALARMS.get(result.outcome)
        if alarm is None:
            return
        severity, remedy = alarm
        self._notifier.alert(
            severity, result.code or str(result.outcome), f"{result.outcome}: {result.message}", remedy,
            target_id=result.target_id, operation_id=result.operation_id,
        )  # fmt: skip

    def _let_go(self, flight: Flight, code: str, message: str) -> Done:
        self._flights.pop(flight.operation_id, None)
        if flight.unsaved and (is_ended(flight.state) or is_parked(flight.state)):
            # It may be durable all the same, and then nobody takes it up to tell of it.
            self._alert(flight.result_of(flight.state, self._clock.now()))
        if code != "lease_lost":
            self._release(flight.lease)
        return Done(flight.result(self._clock.now(), code=code, message=message))

    def _release(self, lease: Lease) -> None:
        try:
            self._store.release(lease)
        except StoreError:
            return  # it expires by itself

    def _store_failed(self, flight: Flight, error: StoreError) -> Advance:
        """No forward effect without the store: keep what is unsaved and try again, at last let go."""
        flight.store_failures += 1
        if error.code == "lease_lost":
            return self._let_go(flight, "lease_lost", error.message)
        if not error.transient or flight.store_failures > _STORE_RETRIES or self._stopping:
            return self._let_go(flight, error.code, error.message)
        flight.wake_s = self._clock.monotonic() + backoff_s(flight.store_failures)
        return WakeAfter(flight.wake_s - self._clock.monotonic())

    # --- telling --------------------------------------------------------------------------------------------

    def _warn(self, flight: Flight) -> None:
        last = flight.unsaved[-1]
        flight.warnings = getattr(last, "warnings", ())

    def _show(self, flight: Flight, step: str, progress: Progress | None = None) -> None:
        if self._progress is None:
            return
        progressed = Progressed(
            operation_id=flight.operation_id, target_id=flight.opened.target_id,
            state=type(flight.state).__name__.lower(), step=step, progress=progress, tally=flight.tally,
        )  # fmt: skip
        with contextlib.suppress(Exception):  # a border: who is only shown something stops no update
            self._progress(progressed)

    def _reporter(self, flight: Flight, step: str) -> Callable[[Progress], None]:
        return lambda progress: self._show(flight, step, progress)


class _Queue:
    """What ``run`` has still to begin, what is under way, and what has come of the rest."""

    def __init__(self, updates: Iterable[PlannedUpdate | str], approvals: Mapping[str, Approval]) -> None:
        self.waiting = list(enumerate(updates))
        self.flying: list[tuple[float, int, str]] = []
        self.results: dict[int, OperationResult] = {}
        self.approvals = approvals

    def give_up(self) -> None:
        """Says of everything that was not begun that it was not, because of ``stop``."""
        for index, item in self.waiting:
            self.results[index] = OperationResult(
                operation_id=item if isinstance(item, str) else None,
                target_id="" if isinstance(item, str) else item.target_id,
                outcome=Outcome.INTERRUPTED,
                code="stopped",
                message="stopped before it began",
            )
        self.waiting = []

    def refuse_waiting(self, waited_s: float) -> None:
        """Says of everything that waits for its turn that it did not come."""
        for index, item in self.waiting:
            assert not isinstance(item, str), "what is open already never waits"
            message = f"no turn within {waited_s:g} s: finish what others began (recover), then apply again"
            self.results[index] = refusal(item, "concurrency", message)
        self.waiting = []


_ALARMS = {
    Outcome.ROLLBACK_FAILED: (
        Severity.CRITICAL,
        "see what runs, then resolve it: keep_new, restore or abandon",
    ),
    Outcome.HELD: (Severity.WARNING, "look at the new version, then resolve it: keep_new or restore"),
    Outcome.ROLLED_BACK: (Severity.WARNING, "the release is in quarantine if it was to blame; see history"),
    Outcome.SUPERSEDED: (Severity.WARNING, "somebody else changed the target; scan and plan again"),
    Outcome.TARGET_GONE: (Severity.WARNING, "somebody else removed the target; scan again"),
}


def _rests(opened: OperationPlanned, code: str, message: str) -> OperationResult:
    changes: tuple[Change, ...] = opened.changes
    return OperationResult(
        operation_id=opened.operation_id, target_id=opened.target_id, outcome=Outcome.INTERRUPTED,
        code=code, message=message, changes=changes,
    )  # fmt: skip


def _untouched(operation_id: str, error: SafeUpdaterError) -> OperationResult:
    """An operation that could not even be taken up: it is as it was, and so are all others."""
    return OperationResult(
        operation_id=operation_id, target_id="", outcome=Outcome.INTERRUPTED, code=error.code,
        message=error.message,
    )  # fmt: skip


def _unknown(operation_id: str) -> OperationResult:
    return OperationResult(
        operation_id=operation_id, target_id="", outcome=Outcome.REFUSED, code="unknown_operation",
        message=f"the store has no operation {operation_id}",
    )  # fmt: skip


@contextlib.contextmanager
def _border(what: str) -> Iterator[None]:
    """Foreign code is called here: what it raises is said without its text, which may hold anything."""
    try:
        yield
    except SafeUpdaterError:
        raise
    except Exception as error:
        raise PluginError(f"{what} raised {type(error).__name__}") from error


def _checked(steps: Steps, backend: Backend) -> Steps:
    if not isinstance(steps, Steps):
        raise PluginError(f"the backend {backend.name} answered a {type(steps).__name__} instead of Steps")
    if not steps.switching or not steps.restoring:
        raise PluginError(f"the backend {backend.name} declares no way to switch or none to restore")
    return steps


def _with_hooks(steps: Steps, settings: OperationSettings) -> Steps:
    def named(point: HookPoint) -> tuple[str, ...]:
        return tuple(acting.HOOK_PREFIX + hook.name for hook in settings.hooks if hook.point is point)

    return attrs.evolve(
        steps,
        staging=(*steps.staging, *named(HookPoint.BEFORE_SWITCH)),
        committing=(*named(HookPoint.AFTER_COMMIT), *steps.committing),
    )
