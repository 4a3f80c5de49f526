"""How an executor comes by an operation: it opens a new one, or takes over one that nobody works on."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import cast

import attrs

from safeupdater.domain.asset import AssetStatus
from safeupdater.domain.health import Condition, Observation, ProbeSpec
from safeupdater.domain.operation import (
    HookPoint,
    JournalEntry,
    OperationPlanned,
    OperationSettings,
    Resumed,
    Snapshot,
    Steps,
)
from safeupdater.domain.plan import Approval, PlannedUpdate
from safeupdater.errors import (
    CorruptState,
    PluginError,
    SafeUpdaterError,
    StoreError,
    VersionConflict,
    border,
)
from safeupdater.protocols import (
    Admission,
    Admittance,
    Backend,
    Clock,
    HealthCheck,
    HealthChecks,
    Lease,
    OperationContext,
    StateStore,
)
from safeupdater.update import accounts, acting
from safeupdater.update.acting import CALL_DEADLINE_S
from safeupdater.update.answers import admittance_in, steps_in
from safeupdater.update.flight import LEASE_S, Flight
from safeupdater.update.journaled import journaled
from safeupdater.update.machine import is_ended, is_parked, replay
from safeupdater.update.notifier import Notifier
from safeupdater.update.result import OperationResult, refusal, rests, unknown
from safeupdater.update.states import Settling, State, Switching

Review = Callable[[PlannedUpdate, datetime, Approval | None], OperationSettings | OperationResult]
"""Decides again at execution: the settings to run under, or the refusal."""

Objection = Callable[[OperationPlanned, datetime], str | None]
"""Asked again while an update is under way: why it may not go on, or None."""


@attrs.define(kw_only=True, eq=False)
class Ports:
    """Everything that an executor reaches outwards through."""

    backends: tuple[Backend, ...]
    store: StateStore
    clock: Clock
    checks: HealthChecks
    review: Review
    holder: str
    new_id: Callable[[], str]
    admission: Admission
    notifier: Notifier
    foresight: Review
    objection: Objection | None = None

    def backend_of(self, target_id: str) -> Backend | None:
        """The backend that reaches a target; one that cannot say whether it does reaches nothing."""
        return next((backend for backend in self.backends if _owns(backend, target_id)), None)

    def admit(self, planned: PlannedUpdate, now: datetime) -> Admittance:
        """Whether an update may begin now.

        Raises:
            PluginError: admission raised, or answered something else.
        """
        with border("admission"):
            return admittance_in(self.admission.admit(planned, now))

    def release(self, lease: Lease) -> None:
        """Gives a lease back; one that the store does not take now expires by itself."""
        with contextlib.suppress(StoreError):
            self.store.release(lease)


def _owns(backend: Backend, target_id: str) -> bool:
    try:
        with border("a backend"):
            return bool(backend.owns(target_id))
    except SafeUpdaterError:
        return False


class Opener:
    """Opens operations and takes them over. Touches nothing but the store."""

    def __init__(self, ports: Ports) -> None:
        self._ports = ports
        self._store = ports.store

    # --- a new one ------------------------------------------------------------------------------------------

    def open(self, planned: PlannedUpdate, approval: Approval | None) -> Flight | OperationResult:
        """A new operation for a planned update that may begin now, or the reason why it may not."""
        now = self._ports.clock.now()
        settings = self._ports.review(planned, now, approval)
        if isinstance(settings, OperationResult):
            return settings
        admitted = self._ports.admit(planned, now)
        if not admitted.admitted:
            return refusal(planned, admitted.code, admitted.message, admitted.until)
        return self._begin(planned, settings, approval=approval)

    def open_return(
        self, planned: PlannedUpdate, settings: OperationSettings, restores: str
    ) -> Flight | OperationResult:
        """A new operation that brings back the snapshot of an earlier one.

        It runs no hooks: they belong to the way on, and one that needs the broken version would forbid
        the way back.
        """
        return self._begin(planned, attrs.evolve(settings, hooks=()), restores=restores)

    def _begin(
        self,
        planned: PlannedUpdate,
        settings: OperationSettings,
        *,
        approval: Approval | None = None,
        restores: str | None = None,
    ) -> Flight | OperationResult:
        backend = self._ports.backend_of(planned.target_id)
        if backend is None:
            return _unreached(planned)
        if (under_way := self._under_way(planned)) is not None:
            return under_way
        lease = self._store.acquire(planned.target_id, self._ports.holder, LEASE_S)
        if lease is None:
            return refusal(planned, *self._busy(planned.target_id))
        try:
            return self._opened(self._planned(planned, settings, backend, restores), approval, backend, lease)
        except VersionConflict as conflict:
            self._store.release(lease)
            return refusal(planned, conflict.code, conflict.message)
        except BaseException:
            self._ports.release(lease)
            raise

    def obstacle(self, planned: PlannedUpdate) -> OperationResult | None:
        """Why no operation could be opened for a target now, whatever is planned; nothing is taken for it."""
        if self._ports.backend_of(planned.target_id) is None:
            return _unreached(planned)
        if (under_way := self._under_way(planned)) is not None:
            return under_way
        if self._store.lease_on(planned.target_id) is None:
            return None
        return refusal(planned, *self._busy(planned.target_id))

    def _under_way(self, planned: PlannedUpdate) -> OperationResult | None:
        # Asked before the lease: we may be the one who holds it, for an operation under way.
        if all(opened.target_id != planned.target_id for opened in self._store.unfinished()):
            return None
        message = f"an update of {planned.target_id} is under way or waits for a person"
        return refusal(planned, "operation_open", message)

    def _planned(
        self, planned: PlannedUpdate, settings: OperationSettings, backend: Backend, restores: str | None
    ) -> OperationPlanned:
        with border(f"the backend {backend.name}"):
            steps = steps_in(backend.steps(planned, settings), backend.name)
            can_resume = backend.can_resume_switch is True
        return OperationPlanned(
            operation_id=self._ports.new_id(),
            target_id=planned.target_id,
            planned=planned,
            settings=journaled(settings),
            steps=_with_hooks(steps, settings),
            restores=restores,
            can_resume=can_resume,
        )

    def _opened(
        self, opened: OperationPlanned, approval: Approval | None, backend: Backend, lease: Lease
    ) -> Flight:
        now = self._ports.clock.now()
        flight = self._flight(opened, replay([opened]), backend, lease, now, is_new=True)
        if approval is not None:
            # Spent first: a crash in between costs an approval, never lends it twice.
            self._spend(approval, opened.operation_id)
        flight.version = self._store.append(
            opened.operation_id, [opened], expected_version=0, at=now, lease=lease
        )
        if self._ports.notifier:
            self._ports.notifier.tell(flight.entry(opened, 1, now))
        accounts.mark(self._store, (change.asset_id for change in opened.changes), AssetStatus.UPDATING)
        return flight

    def _spend(self, approval: Approval, operation_id: str) -> None:
        key = approval.update_hash
        stored = self._store.get("approval", key)
        if stored is None or stored.value != approval:
            raise VersionConflict("this approval was used, withdrawn or replaced", code="approval_used")
        spent = attrs.evolve(approval, used_by=operation_id)
        self._store.put("approval", key, spent, expected=stored.version)

    # --- one that is there ----------------------------------------------------------------------------------

    def take_up(self, operation_id: str) -> Flight | OperationResult:
        """An operation that nobody works on, or the reason why it is not ours.

        A holder that is provably dead is replaced at once, any other when its lease has expired
        (``target_busy`` until then).
        """
        entries = self._store.load(operation_id)
        if not entries:
            return unknown(operation_id)
        opened, state = _read(entries)
        backend = self._ports.backend_of(opened.target_id)
        if is_ended(state) or (backend is not None and is_parked(state)):
            return self._at_rest(opened, entries, backend)
        if backend is None:
            return self._out_of_reach(opened)
        lease = self._store.acquire(opened.target_id, self._ports.holder, LEASE_S)
        if lease is None:
            return rests(opened, *self._busy(opened.target_id))
        try:
            # Read again: what was journaled before the lease was ours counts too.
            return self._taken_up(opened, self._store.load(operation_id), backend, lease)
        except Exception:
            self._ports.release(lease)
            raise

    def _busy(self, target_id: str) -> tuple[str, str, datetime | None]:
        """That another updater is at a target: the code, who it is, and until when the target is its."""
        held = self._store.lease_on(target_id)
        message = f"another updater works on {target_id}"
        if held is None:  # it has just let go
            return "target_busy", message, None
        return "target_busy", f"{message}: {held.host}", held.until

    def _out_of_reach(self, opened: OperationPlanned) -> Flight | OperationResult:
        """An operation on a host that is not ours: at work elsewhere, or abandoned half-way."""
        if self._store.lease_on(opened.target_id) is not None:
            return rests(opened, *self._busy(opened.target_id))
        entries = self._store.load(opened.operation_id)
        if is_ended(_read(entries)[1]):  # just now
            return self._at_rest(opened, entries, None)
        return rests(opened, "no_backend", f"no backend reaches {opened.target_id}")

    def _taken_up(
        self, opened: OperationPlanned, entries: Sequence[JournalEntry], backend: Backend, lease: Lease
    ) -> Flight:
        state = replay(entry.event for entry in entries)
        flight = self._flight(opened, state, backend, lease, entries[0].at)
        _require_captured(flight)
        flight.version = len(entries)
        if not (is_ended(state) or is_parked(state)):
            flight.happened(Resumed(by=self._ports.holder, epoch=lease.epoch, proved=self._is_proved(flight)))
        return flight

    def _at_rest(
        self, opened: OperationPlanned, entries: Sequence[JournalEntry], backend: Backend | None
    ) -> Flight:
        """An operation that is over or waits for a person: only to be told of, so no lease is needed."""
        lease = Lease(key=opened.target_id, holder="", epoch=entries[-1].epoch, ttl_s=0.0)
        state = replay(entry.event for entry in entries)
        # One that is over asks nothing of a backend any more.
        flight = self._flight(opened, state, backend, lease, entries[0].at)  # type: ignore[arg-type]
        flight.version = len(entries)
        return flight

    def _is_proved(self, flight: Flight) -> bool:
        """Whether an interrupted switch is observed complete and ours, where the runtime can prove that."""
        if not flight.opened.can_resume or not isinstance(flight.state, Switching | Settling):
            return False
        seen = acting.look(flight.backend, flight.context, (), self._ports.clock)
        alive = {Condition.READY, Condition.UNREADY, Condition.STARTING}
        return seen.observation is not None and seen.observation.condition in alive

    def observe(self, operation_id: str, *, old: bool) -> Observation | None:
        """What the runtime says now about an operation's new version, or the old; None: it does not say."""
        entries = self._store.load(operation_id)
        if not entries:
            return None
        opened, _ = _read(entries)
        backend = self._ports.backend_of(opened.target_id)
        if backend is None:
            return None
        flight = self._at_rest(opened, entries, backend)
        return acting.look(backend, flight.context, (), self._ports.clock, old=old).observation

    # --- the flight itself ----------------------------------------------------------------------------------

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
        settings, now_s = opened.settings, self._ports.clock.monotonic()
        checks = tuple(self._check(spec, is_needed=is_new) for spec in settings.health.checks)
        context = OperationContext(
            operation_id=opened.operation_id,
            epoch=lease.epoch,
            planned=opened.planned,
            settings=settings,
            snapshot=self._snapshot(opened.operation_id) if state.operation.snapshot_sha256 else None,
            wanted=self._snapshot(opened.restores) if opened.restores else None,
            deadline_s=CALL_DEADLINE_S,
            store_endpoint=acting.endpoint_of(self._store),
        )
        return Flight(
            opened=opened, state=state, version=0, lease=lease, backend=backend, context=context,
            started=started, checks=checks, boarded_s=now_s, lease_until_s=now_s + lease.ttl_s,
        )  # fmt: skip

    def _check(self, spec: ProbeSpec, *, is_needed: bool) -> HealthCheck:
        """A check; where an operation is under way one that cannot be made measures nothing.

        It must end all the same, and without a measurement nothing is committed.
        """
        try:
            with border("a health check"):
                made: object = self._ports.checks.create(spec.type, **spec.options)
                return _require_check(made, spec.type)
        except SafeUpdaterError as error:
            if is_needed:
                raise
            return acting.Unmeasurable(error.message)

    def _snapshot(self, operation_id: str) -> Snapshot | None:
        stored = self._store.get("snapshot", operation_id)
        return stored.value if stored and isinstance(stored.value, Snapshot) else None


def _unreached(planned: PlannedUpdate) -> OperationResult:
    return refusal(planned, "no_backend", f"no backend reaches {planned.target_id}")


def _read(entries: Sequence[JournalEntry]) -> tuple[OperationPlanned, State]:
    opened = entries[0].event
    assert isinstance(opened, OperationPlanned), "the store keeps it first"
    return opened, replay(entry.event for entry in entries)


def _require_captured(flight: Flight) -> None:
    """That the snapshot at hand is the one that was captured: going back to another is worse than nothing."""
    captured, snapshot = flight.state.operation.snapshot_sha256, flight.context.snapshot
    if captured is not None and snapshot is not None and snapshot.sha256 != captured:
        raise CorruptState(
            f"the snapshot of {flight.opened.target_id} is not what was captured (sha256 {captured}): "
            "nothing is done with it; put the old version back by hand, or restore the state from a backup",
            code="snapshot_damaged",
        )


def _require_check(made: object, type: str) -> HealthCheck:
    if not callable(getattr(made, "check", None)) or not callable(getattr(made, "self_test", None)):
        what = f"{made.__class__.__name__}, without check and self_test"
        raise PluginError(f"the health checks made of {type!r} a {what}")
    return cast("HealthCheck", made)


def _with_hooks(steps: Steps, settings: OperationSettings) -> Steps:
    if not settings.hooks:
        return steps

    def named(point: HookPoint) -> tuple[str, ...]:
        return tuple(acting.HOOK_PREFIX + hook.name for hook in settings.hooks if hook.point is point)

    return attrs.evolve(
        steps,
        staging=(*steps.staging, *named(HookPoint.BEFORE_SWITCH)),
        committing=(*named(HookPoint.AFTER_COMMIT), *steps.committing),
    )
