"""The imperative shell around the machine: ask, perform through a port, journal, evolve, notify."""

from __future__ import annotations

import contextlib
import math
import threading
from collections.abc import Callable, Iterable
from typing import assert_never

import attrs

from safeupdater.domain.health import Observation, Tally
from safeupdater.domain.notice import Severity
from safeupdater.domain.operation import (
    AbortRequested,
    Finished,
    OperationSettings,
    Outcome,
    Phase,
    PreflightPassed,
    StepDone,
    StepFailed,
    StepIntended,
    StepOutcome,
    StepStatus,
    Woke,
)
from safeupdater.domain.plan import Approval, PlannedUpdate
from safeupdater.domain.quick import made
from safeupdater.errors import LeaseLost, SafeUpdaterError, StoreError, border
from safeupdater.protocols import (
    Admission,
    Backend,
    Clock,
    HealthChecks,
    Hooks,
    Observer,
    Progress,
    StateStore,
)
from safeupdater.update import accounts, acting
from safeupdater.update.acting import CALL_DEADLINE_S
from safeupdater.update.admission import LocalAdmission
from safeupdater.update.driving import Drive, Pilot
from safeupdater.update.flight import LONG_LEASE_S, SHORT_LEASE_S, Flight
from safeupdater.update.machine import evolve, is_ended, is_parked, next_command
from safeupdater.update.notifier import Notifier
from safeupdater.update.opening import Objection, Opener, Ports, Review
from safeupdater.update.preview import Preview, look_ahead
from safeupdater.update.result import (
    Advance,
    Done,
    OperationResult,
    WakeAfter,
    unexpected,
    untouched,
)
from safeupdater.update.states import (
    Capture,
    Command,
    Held,
    Looking,
    Perform,
    Preflight,
    Probe,
    Record,
    Settling,
    Verifying,
    Wait,
    Watching,
)
from safeupdater.update.transitions import backoff_s

_STORE_RETRIES = 8
_WOKE = Woke()
_POLL_REQUESTS_S = 5.0
_TOUCHING = (Phase.SWITCHING, Phase.RESTORING, Phase.COMMITTING)
_SILENT_S = 300.0
"""How long nothing may be heard of a target that was touched before a person hears of that."""
_OBJECTIONS_S = 30.0
"""How often the policy is asked whether an update that is being watched may go on."""
_TURN_POLL_S = 1.0
_TURN_TIMEOUT_S = 3600.0
_SLACK_S = 1e-6
"""How far a clock may fall short of an instant that was waited for."""


@attrs.frozen(kw_only=True)
class Progressed:
    """How an operation is getting on: its state, the step where there is one, and the counts so far."""

    operation_id: str
    target_id: str
    state: str
    step: str = ""
    progress: Progress | None = None
    tally: Tally = Tally()


class UpdateExecutor:
    """Carries out approved updates, one machine per target.

    ``advance`` goes on with one operation until it must wait, and never sleeps itself; ``run`` drives
    many. ``preview`` asks ``foresight`` where ``run`` asks ``review``, which may remember what it saw. An
    executor belongs to one thread at a time, and an operation too where ``threads`` lets ``run``
    use several; ``stop`` may be called from any.
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
        objection: Objection | None = None,
        foresight: Review | None = None,
        admission: Admission | None = None,
        hooks: Hooks | None = None,
        observers: Iterable[Observer] | Notifier = (),
        progress: Callable[[Progressed], None] | None = None,
        threads: bool = False,
    ) -> None:
        self._store = store
        self._clock = clock
        self._hooks = hooks
        self._notifier = (
            observers if isinstance(observers, Notifier) else Notifier(observers, threads=threads)
        )
        self._ports = Ports(
            backends=tuple(backends), store=store, clock=clock, checks=checks, review=review, holder=holder,
            new_id=new_id, admission=admission or LocalAdmission(store), notifier=self._notifier,
            objection=objection, foresight=foresight or review,
        )  # fmt: skip
        self._opener = Opener(self._ports)
        self._progress = progress
        self._showing = threading.Lock()
        self._threads = threads
        self._flights: dict[str, Flight] = {}
        self._stopping = False
        self._giving_up = False

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
        pilot = Pilot(
            open=self.open, advance=self.advance, is_stopping=self._is_stopping, drain=self._give_up,
            clock=self._clock,
        )  # fmt: skip
        drive = Drive(pilot, updates, approvals, max_in_flight=max_in_flight, turn_timeout_s=turn_timeout_s)
        if not self._threads:
            return drive.in_turns()
        try:
            return drive.side_by_side()
        finally:
            self._giving_up = False

    def preview(
        self, updates: Iterable[PlannedUpdate], *, max_in_flight: int = 8, approvals: Iterable[Approval] = ()
    ) -> tuple[Preview, ...]:
        """What planned updates would meet if they were run now, in their order. Reads only."""
        return look_ahead(
            self._ports, updates, approvals, is_stopping=self._is_stopping,
            max_in_flight=max_in_flight if self._threads else 1,
        )  # fmt: skip

    def on_progress(self, progress: Callable[[Progressed], None] | None) -> None:
        """Calls this with how every operation is getting on, from now on; None stops it."""
        self._progress = progress

    def stop(self) -> None:
        """Drains: lets the effect under way finish, journals it, begins nothing new. Thread-safe.

        That holds for later runs too, until ``resume``: a stop that comes between two runs, as of recovery
        and of what follows it, must not be lost.
        """
        self._stopping = True

    def resume(self) -> None:
        """Lets new work begin again after ``stop``. Thread-safe."""
        self._stopping = False

    def _give_up(self) -> None:
        """Drains for the rest of this run: its own thread was interrupted."""
        self._giving_up = True

    def _is_stopping(self) -> bool:
        return self._stopping or self._giving_up

    # --- coming by them -------------------------------------------------------------------------------------

    def open(self, planned: PlannedUpdate, approval: Approval | None = None) -> str | OperationResult:
        """Opens an operation and gives its id, or says why it may not begin. Touches nothing but the store.

        Raises:
            StoreError: the store did not answer; nothing was begun.
            ConfigurationError: a health check of the policy cannot be made.
        """
        return self._board(self._opener.open(planned, approval))

    def open_return(
        self, planned: PlannedUpdate, settings: OperationSettings, restores: str
    ) -> str | OperationResult:
        """Opens an operation that brings back the snapshot of an earlier one.

        A person asked for it, so neither gates nor budgets are asked.
        """
        return self._board(self._opener.open_return(planned, settings, restores))

    def take_up(self, operation_id: str) -> OperationResult | None:
        """Takes over an operation that nobody works on; None when it is ours now, else why it is not.

        A holder that is provably dead is replaced at once, any other when its lease has expired
        (``target_busy`` until then).
        """
        if operation_id in self._flights:
            return None
        taken = self._board(self._opener.take_up(operation_id))
        return None if isinstance(taken, str) else taken

    def _board(self, found: Flight | OperationResult) -> str | OperationResult:
        if isinstance(found, OperationResult):
            return found
        self._flights[found.operation_id] = found
        return found.operation_id

    def observe(self, operation_id: str, *, old: bool = False) -> Observation | None:
        """What the runtime says now about an operation's new version, or the old; None: it does not say."""
        return self._opener.observe(operation_id, old=old)

    # --- one operation --------------------------------------------------------------------------------------

    def advance(self, operation_id: str) -> Advance:
        """Goes on with an operation until it must wait, ends, or needs a person.

        ``Done`` with the outcome ``interrupted`` means that this executor let go of it: somebody else
        works on it, the store does not answer, something raised that nobody expected, or ``stop`` was
        called; ``recover`` goes on from there.
        """
        flight = self._flights.get(operation_id) or self._boarded(operation_id)
        if isinstance(flight, Done):
            return flight
        try:
            while (answer := self._step(flight)) is None:
                pass
            return answer
        except LeaseLost:
            return self._let_go(flight, "lease_lost", "another updater took over")
        except StoreError as error:
            return self._store_failed(flight, error)
        except Exception as error:  # noqa: BLE001  the last border: it is this operation's alone
            return self._interrupted(flight, error)

    def _boarded(self, operation_id: str) -> Flight | Done:
        """An operation that is not ours yet, taken up; or what became of trying."""
        try:
            with border("taking the operation up"):
                refused = self.take_up(operation_id)
        except SafeUpdaterError as error:
            self._notifier.alert_if_permanent(
                error, "see what runs, mend the state, then recover", operation_id=operation_id
            )
            return Done(untouched(operation_id, error))
        return self._flights[operation_id] if refused is None else Done(refused)

    def _step(self, flight: Flight) -> Advance | None:
        """Does what the operation asks for next; the answer is None where it can go on at once."""
        if self._stopping or self._giving_up:
            flight.save(self._store, self._clock, self._notifier)
            if next_command(flight.state) is not None:
                return self._let_go(flight, "stopped", "stopped; recover goes on with it")
        elif flight.wake_s is not None:
            left_s = flight.wake_s - self._clock.monotonic()
            if left_s > _SLACK_S:
                return WakeAfter(left_s)
            flight.wake_s = None
            if isinstance(next_command(flight.state), Wait):
                flight.state = evolve(flight.state, _WOKE)
        if isinstance(flight.state, Looking):
            return self._look(flight, flight.state)
        command = next_command(flight.state)
        if self._progress is not None:
            self._show(flight, command.step if isinstance(command, Perform) else "")
        return self._carry_out(flight, command)

    def _carry_out(self, flight: Flight, command: Command | None) -> Advance | None:
        match command:
            case Perform():
                self._perform(flight, command)
            case Record(event):
                if not isinstance(event, Finished) or self._conclude(flight, command, event):
                    flight.happened(event)
            case Preflight():
                return self._preflight(flight, command)
            case Capture():
                self._capture(flight, command)
            case Wait(delay_s):
                return self._pause(flight, command, delay_s)
            case None:
                flight.save(self._store, self._clock, self._notifier)
                return self._end(flight)
            case Probe():
                raise AssertionError("only states that look ask for it, and those are looked at before")
            case _:
                assert_never(command)
        return None

    def _make_sure(self, flight: Flight, deadline_s: float = CALL_DEADLINE_S) -> None:
        """What precedes every call to a runtime: all is durable, and the lease lasts long enough."""
        flight.save(self._store, self._clock, self._notifier)
        flight.keep_lease(self._store, self._clock.monotonic(), deadline_s)

    def _is_still_wanted(self, flight: Flight, command: Command) -> bool:
        """Whether a command stands after saving, which takes in that somebody asked to stop."""
        asked_in = flight.state
        self._make_sure(flight)
        return flight.state is asked_in or next_command(flight.state) == command

    def _preflight(self, flight: Flight, command: Preflight) -> WakeAfter | None:
        if not self._is_still_wanted(flight, command):
            return None
        refused = self._refused_now(flight)
        if refused is not None:
            now_s = self._clock.monotonic()
            if refused.code == "concurrency" and now_s - flight.boarded_s < _TURN_TIMEOUT_S:
                return self._rest(flight, command, now_s, _TURN_POLL_S)
            flight.happened(refused)
            return None
        event = acting.preflight(flight.backend, flight.context, flight.checks, self._clock)
        flight.happened(event)
        if isinstance(event, PreflightPassed):
            flight.warnings = event.warnings
        return None

    def _refused_now(self, flight: Flight) -> StepFailed | None:
        """What admission says against it, asked again now that others see it (two may open at once), or
        the store, where it is nearly full."""
        phase, step = Phase.PREFLIGHT, Phase.PREFLIGHT.value
        if flight.opened.restores is not None:
            return None
        try:
            admitted = self._ports.admit(flight.opened.planned, self._clock.now())
        except StoreError:
            raise
        except SafeUpdaterError as error:
            return acting.failed(phase, step, error)
        if admitted.admitted:
            return acting.lacks_room(self._store)
        return acting.refused(phase, step, StepOutcome(StepStatus.REFUSED, admitted.code, admitted.message))

    def _capture(self, flight: Flight, command: Capture) -> None:
        if self._is_still_wanted(flight, command):
            flight.context, event = acting.capture(flight.backend, flight.context, self._store)
            flight.happened(event)

    def _perform(self, flight: Flight, command: Perform) -> None:
        if flight.is_about_to_switch and self._objects(flight):
            return
        if flight.intended is not flight.state:
            flight.happened(StepIntended(phase=command.phase, step=command.step))
            flight.intended = flight.state
        deadline_s = acting.deadline_s(flight.backend, flight.context, command)
        self._make_sure(flight, deadline_s)
        if flight.intended is not flight.state:
            return  # somebody asked to stop meanwhile: decide again
        event: StepDone | StepFailed = acting.perform(
            flight.backend, flight.context_for(deadline_s), self._hooks, command,
            self._reporter(flight, command.step),
        )  # fmt: skip
        flight.intended = None
        flight.happened(event)
        if command.phase in _TOUCHING:
            is_silent = isinstance(event, StepFailed) and event.status is StepStatus.RETRY
            self._note_silence(flight, is_silent=is_silent)

    def _look(self, flight: Flight, asked_in: Settling | Watching | Verifying) -> WakeAfter | None:
        """One look and the rest until the next: what is done most often, so it makes no command."""
        if self._progress is not None:
            self._show(flight)
        now_s, is_old = self._clock.monotonic(), isinstance(asked_in, Verifying)
        if asked_in.due_s - now_s > _SLACK_S:
            return self._rest(flight, Probe(asked_in.due_s, is_old), now_s, asked_in.due_s - now_s)
        if flight.unsaved:
            flight.save(self._store, self._clock, self._notifier)
        if not SHORT_LEASE_S <= flight.lease_until_s - now_s <= LONG_LEASE_S:
            flight.keep_lease(self._store, now_s)
        if now_s - flight.heard_s >= _POLL_REQUESTS_S:
            self._take_in_requests(flight, now_s)
        if now_s - flight.reviewed_s >= _OBJECTIONS_S and not is_old:
            flight.reviewed_s = now_s
            self._objects(flight)
        if flight.state is asked_in:
            seen = acting.look(flight.backend, flight.context, flight.checks, self._clock, old=is_old)
            flight.state = state = evolve(asked_in, seen)
            if seen.observation is None or flight.silent_since_s is not None:
                self._note_silence(flight, is_silent=seen.observation is None)
            if self._progress is None and isinstance(state, Looking):
                # Rests until the next look, as asking for the next command would, at less cost.
                now_s = seen.now_s
                delay_s = state.due_s - now_s
                if _SLACK_S < delay_s <= CALL_DEADLINE_S and now_s + SHORT_LEASE_S <= flight.lease_until_s:
                    return made(WakeAfter, (delay_s,))
        return None

    def _note_silence(self, flight: Flight, *, is_silent: bool) -> None:
        """Tells a person, once, of a target that was touched and of which nothing is heard for minutes."""
        now_s = self._clock.monotonic()
        if not is_silent:
            flight.silent_since_s = None
        elif flight.silent_since_s is None:
            flight.silent_since_s = now_s
        elif now_s - flight.silent_since_s >= _SILENT_S:
            flight.silent_since_s = math.inf  # told: it is heard of again, or it is the same silence
            state = type(flight.state).__name__.lower()
            self._notifier.alert(
                Severity.CRITICAL, "runtime_silent",
                f"nothing is heard of {flight.opened.target_id} for {_SILENT_S / 60:g} minutes ({state})",
                "see whether its host and runtime can be reached; it is gone on with by itself when they can",
                target_id=flight.opened.target_id, operation_id=flight.operation_id,
            )  # fmt: skip

    def _objects(self, flight: Flight) -> bool:
        """Whether the policy of now forbids what began under an earlier one: then it stops, or goes back."""
        objection = self._ports.objection
        if objection is None or flight.opened.restores is not None:
            return False
        reason = objection(flight.opened, self._clock.now())
        if reason is None:
            return False
        flight.happened(AbortRequested(by="the policy", reason=reason))
        return True

    def _take_in_requests(self, flight: Flight, now_s: float) -> None:
        """Looks whether somebody asked to stop, where nothing was journaled for a while."""
        flight.heard_s = now_s
        entries = self._store.load(flight.opened.operation_id, flight.version)
        if entries:
            flight.take_in_requests([entry.event for entry in entries])

    def _pause(self, flight: Flight, command: Wait, delay_s: float) -> WakeAfter | None:
        now_s = self._clock.monotonic()
        answer = self._rest(flight, command, now_s, delay_s)
        if answer is not None:
            flight.wake_s = now_s + delay_s
        return answer

    def _rest(self, flight: Flight, command: Command, now_s: float, delay_s: float) -> WakeAfter | None:
        """Lets control go back until there is something to do; not with anything unsaved."""
        if flight.unsaved:
            flight.save(self._store, self._clock, self._notifier)
            if next_command(flight.state) != command:
                return None
        flight.keep_lease(self._store, now_s, delay_s)
        return WakeAfter(delay_s)

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
        self._ports.release(flight.lease)
        self._notifier.alert_of(result, flight.blame)
        return Done(result)

    def _let_go(self, flight: Flight, code: str, message: str, *, is_store: bool = False) -> Done:
        self._flights.pop(flight.operation_id, None)
        is_told = False
        if is_ended(flight.state) or is_parked(flight.state):
            # It may be durable, or is, and then nobody takes it up to tell of it.
            is_told = self._notifier.alert_of(flight.result_of(flight.state, self._clock.now()), flight.blame)
        if code != "lease_lost":
            self._ports.release(flight.lease)
        result = flight.result(self._clock.now(), code=code, message=message)
        if is_store and not is_told and result.outcome is Outcome.INTERRUPTED:
            self._notifier.alert_of_store(result)
        return Done(result)

    def _interrupted(self, flight: Flight, error: Exception) -> Done:
        """Something raised that nobody expected: this operation rests where it is, all others go on."""
        code, message = unexpected(error)
        done = self._let_go(flight, code, message)
        self._notifier.alert(
            Severity.CRITICAL, code, f"the update rests where it is: {message}",
            "remove the cause, or report it; recover goes on with the update",
            target_id=flight.opened.target_id, operation_id=flight.operation_id,
        )  # fmt: skip
        return done

    def _store_failed(self, flight: Flight, error: StoreError) -> Advance:
        """No forward effect without the store: keep what is unsaved and try again, at last let go."""
        flight.store_failures += 1
        if error.code == "lease_lost":
            return self._let_go(flight, "lease_lost", error.message)
        if not error.transient or flight.store_failures > _STORE_RETRIES or self._is_stopping():
            return self._let_go(flight, error.code, error.message, is_store=True)
        delay_s = backoff_s(flight.store_failures)
        flight.wake_s = self._clock.monotonic() + delay_s
        return WakeAfter(delay_s)

    # --- showing --------------------------------------------------------------------------------------------

    def _show(self, flight: Flight, step: str = "", progress: Progress | None = None) -> None:
        if self._progress is None:
            return
        progressed = Progressed(
            operation_id=flight.operation_id, target_id=flight.opened.target_id,
            state=type(flight.state).__name__.lower(), step=step, progress=progress, tally=flight.tally,
        )  # fmt: skip
        # A border: who is only shown something stops no update.
        with self._showing, contextlib.suppress(Exception):
            self._progress(progressed)

    def _reporter(self, flight: Flight, step: str) -> Callable[[Progress], None]:
        return lambda progress: self._show(flight, step, progress)
