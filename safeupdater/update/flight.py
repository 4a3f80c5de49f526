"""One operation in the hands of an executor: its state, what is not yet durable, and its lease."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime
from itertools import takewhile

import attrs

from safeupdater.domain.health import Tally
from safeupdater.domain.operation import (
    AbortRequested,
    Blame,
    Event,
    JournalEntry,
    OperationPlanned,
    Outcome,
)
from safeupdater.domain.quick import evolved
from safeupdater.errors import StoreError, VersionConflict
from safeupdater.protocols import Backend, Clock, HealthCheck, Lease, OperationContext, StateStore
from safeupdater.update.acting import CALL_DEADLINE_S
from safeupdater.update.machine import evolve
from safeupdater.update.notifier import Notifier
from safeupdater.update.result import OperationResult
from safeupdater.update.states import Ended, Held, RollbackFailed, State, Switching, Watching

_LEASE_MARGIN_S = 30.0
SHORT_LEASE_S = CALL_DEADLINE_S + _LEASE_MARGIN_S
"""What must be left of a lease before a call, or before a wait that is no longer than one."""
LONG_LEASE_S = 4 * SHORT_LEASE_S
"""What may be left of it then: nobody should wait longer for the lease of one who is gone."""
LEASE_S = 2 * SHORT_LEASE_S
"""How long a lease lasts where no call needs longer."""


@attrs.define(kw_only=True, eq=False)
class Flight:
    """An operation under way.

    Events are journaled in batches: what happened is kept in ``unsaved`` until the next effect, look or
    wait, and always written before it. ``base`` is the state before the first unsaved event; ``intended``
    is the state in which the intent of its step is journaled or unsaved. Until
    ``heard_s`` nobody else had journaled anything; at ``boarded_s`` the executor came by it; at
    ``reviewed_s`` the policy was asked last. The runtime has not answered since ``silent_since_s``, None
    where it has (infinite once a person was told).
    """

    opened: OperationPlanned
    state: State
    version: int
    lease: Lease
    lease_until_s: float
    backend: Backend
    context: OperationContext
    started: datetime
    checks: tuple[HealthCheck, ...] = ()
    unsaved: list[Event] = attrs.Factory(list)
    base: State | None = None
    intended: State | None = None
    wake_s: float | None = None
    heard_s: float = -math.inf
    boarded_s: float = 0.0
    reviewed_s: float = -math.inf
    silent_since_s: float | None = None
    store_failures: int = 0
    warnings: tuple[str, ...] = ()

    @property
    def operation_id(self) -> str:
        """The id of the operation."""
        return self.opened.operation_id

    @property
    def is_about_to_switch(self) -> bool:
        """Whether the next step is the first that touches the old version."""
        return isinstance(self.state, Switching) and not self.state.touched

    def context_for(self, deadline_s: float) -> OperationContext:
        """What the backend is told, with the time that this call may take."""
        if deadline_s != self.context.deadline_s:
            self.context = evolved(self.context, deadline_s=deadline_s)
        return self.context

    def happened(self, event: Event) -> None:
        """Takes an event into the state; it becomes durable with the next ``save``."""
        following = evolve(self.state, event)
        if not self.unsaved:
            self.base = self.state
        self.unsaved.append(event)
        self.state = following

    def save(self, store: StateStore, clock: Clock, notifier: Notifier) -> None:
        """Makes everything that happened durable, or takes in what somebody else journaled meanwhile.

        Raises:
            StoreError: it is not durable (or that is not known); nothing may follow until it is.
        """
        if not self.unsaved:
            return
        now = clock.now()
        try:
            version = store.append(
                self.operation_id, self.unsaved, expected_version=self.version, at=now, lease=self.lease
            )
        except VersionConflict:
            self._take_in(store, notifier)
            self.save(store, clock, notifier)  # what is left of it, where the answer to the first got lost
            return
        saved, self.unsaved = self.unsaved, []
        if notifier:
            for number, event in enumerate(saved, start=self.version + 1):
                notifier.tell(self.entry(event, number, now))
        self.version = version
        self.heard_s = clock.monotonic()
        self.store_failures = 0

    def keep_lease(self, store: StateStore, now_s: float, for_s: float = CALL_DEADLINE_S) -> None:
        """Sees to it that the lease outlives a call or wait of so many seconds, but not by far.

        Raises:
            StoreError: it is lost, or the store did not answer; nothing may follow.
        """
        needed_s = (for_s if for_s > CALL_DEADLINE_S else CALL_DEADLINE_S) + _LEASE_MARGIN_S
        if needed_s <= self.lease_until_s - now_s <= 4 * needed_s:
            return
        # The usual calls after it are covered too; a long one keeps others waiting no longer than it must.
        ttl_s = needed_s + LEASE_S / 2
        self.lease = store.renew(self.lease, ttl_s)
        self.lease_until_s = now_s + ttl_s

    def entry(self, event: Event, number: int, at: datetime) -> JournalEntry:
        """The journal entry as observers are told of it; its position is only known to the store."""
        return JournalEntry(
            operation_id=self.operation_id, target_id=self.opened.target_id, version=number, position=0,
            at=at, epoch=self.lease.epoch, event=event,
        )  # fmt: skip

    def _take_in(self, store: StateStore, notifier: Notifier) -> None:
        """Somebody wrote first: a person who asks to stop, or we ourselves without having heard of it."""
        assert self.base is not None
        journaled = store.load(self.operation_id, self.version)
        if not journaled:
            raise StoreError("the journal is shorter than it was", code="lease_lost")
        ours = list(takewhile(self._is_ours, zip(journaled, self.unsaved, strict=False)))
        for entry, event in ours:
            self.base = evolve(self.base, event)
            if notifier:
                notifier.tell(entry)
        self.version += len(ours)
        del self.unsaved[: len(ours)]
        others = [entry.event for entry in journaled[len(ours) :]]
        if others and self.unsaved:
            # What we did meanwhile stays done: steps are convergent, and the next one looks again.
            self.state, self.unsaved, self.intended = self.base, [], None
        self.take_in_requests(others)

    def _is_ours(self, pair: tuple[JournalEntry, Event]) -> bool:
        entry, event = pair
        return entry.epoch == self.lease.epoch and entry.event == event

    def take_in_requests(self, events: Sequence[Event]) -> None:
        """Takes in what others journaled: requests to abort, and nothing else.

        Raises:
            StoreError: somebody else acts on this operation.
        """
        for event in events:
            if not isinstance(event, AbortRequested):
                raise StoreError(f"somebody else journaled {type(event).__name__}", code="lease_lost")
            self.state = evolve(self.state, event)
            self.version += 1

    @property
    def blame(self) -> Blame:
        """Whose fault it is that it goes back, where it does."""
        verdict = self.state.operation.verdict
        return verdict.blame if verdict else Blame.NOBODY

    @property
    def tally(self) -> Tally:
        """The counts of the monitoring window so far."""
        if isinstance(self.state, Watching) and self.state.window is not None:
            return self.state.window.tally
        verdict = self.state.operation.verdict
        return verdict.tally if verdict else Tally()

    def result(self, finished: datetime, *, code: str = "", message: str = "") -> OperationResult:
        """What became of it; what is not known to be ended or parked durably is ``interrupted``."""
        durable = self.base if self.unsaved and self.base is not None else self.state
        return self.result_of(durable, finished, code=code, message=message)

    def result_of(
        self, state: State, finished: datetime, *, code: str = "", message: str = ""
    ) -> OperationResult:
        """The result that a state stands for; one that is neither ended nor parked is ``interrupted``."""
        match state:
            case Ended() as ended:
                outcome, code, message = ended.outcome, ended.code, ended.message
            case Held() as held:
                outcome, code, message = Outcome.HELD, held.code, held.message
            case RollbackFailed() as failed:
                outcome, code, message = Outcome.ROLLBACK_FAILED, failed.code, failed.message
            case _:
                outcome = Outcome.INTERRUPTED
        return OperationResult(
            operation_id=self.operation_id, target_id=self.opened.target_id, outcome=outcome, code=code,
            message=message, changes=self.opened.changes, started=self.started, finished=finished,
            warnings=self.warnings, leftovers=state.operation.leftovers, tally=self.tally,
        )  # fmt: skip
