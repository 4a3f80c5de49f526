"""The ways back: recovery after an interruption, rollback by hand, and what people decide."""

from __future__ import annotations

from collections.abc import Iterable

import attrs

from safeupdater.domain.asset import Asset
from safeupdater.domain.health import Condition
from safeupdater.domain.operation import (
    AbortRequested,
    Event,
    OperationPlanned,
    Outcome,
    Quarantine,
    Resolution,
    Resolved,
)
from safeupdater.errors import IllegalTransition, RollbackError, SafeUpdaterError, VersionConflict, border
from safeupdater.protocols import Backend, Clock, StateStore
from safeupdater.update.executor import UpdateExecutor
from safeupdater.update.machine import evolve, is_parked, replay
from safeupdater.update.notifier import Notifier
from safeupdater.update.quarantine import lifted, quarantine_key
from safeupdater.update.result import AbortAnswer, OperationResult
from safeupdater.update.retention import (
    JournalRetention,
    collect_snapshots,
    forget_the_past,
)
from safeupdater.update.states import (
    Committing,
    Discarding,
    Ended,
    Held,
    Restoring,
    RollbackFailed,
    State,
    Verifying,
)
from safeupdater.update.versions import earlier_version, reversed_update

_READY = frozenset({Condition.READY})
_ALIVE = frozenset({Condition.READY, Condition.UNREADY, Condition.STARTING})
"""What is enough to keep a version that is held: nobody ever said that it is well."""

_APPEND_TRIES = 5
_BUSY_POLL_S = 2.0


class RollbackManager:
    """Finishes what was interrupted, and takes targets back on request.

    It acts through an ``UpdateExecutor`` only, by the same claim on an operation as any new work.
    """

    def __init__(
        self,
        executor: UpdateExecutor,
        store: StateStore,
        backends: Iterable[Backend],
        *,
        clock: Clock,
        journal: JournalRetention | None = None,
        notifier: Notifier | None = None,
    ) -> None:
        self._executor = executor
        self._store = store
        self._backends = tuple(backends)
        self._clock = clock
        self._journal_retention = journal or JournalRetention()
        self._notifier = notifier or Notifier()

    # --- recovery -------------------------------------------------------------------------------------------

    def recover(self, *, wait_s: float = 0.0) -> tuple[OperationResult, ...]:
        """Finishes every operation that nobody works on; safe to call at any time, as often as one likes.

        The operations of a dead process are taken over at once. Where a holder may still live, its lease
        must expire: that is waited for up to ``wait_s`` seconds, else the operation is left to the next
        call and its result says ``target_busy``. What waits for a person is left alone.
        """
        results: dict[str, OperationResult] = {}
        until_s = self._clock.monotonic() + wait_s
        while True:
            # What was busy is asked for again: it may have ended elsewhere.
            known = dict.fromkeys((*results, *self._interrupted()))
            ids = [item for item in known if item not in results or _is_busy(results[item])]
            results.update(zip(ids, self._executor.run(ids), strict=True))
            if not any(_is_busy(result) for result in results.values()):
                break
            if self._clock.monotonic() >= until_s:
                break
            self._clock.wait(_BUSY_POLL_S, lambda: False)
        return tuple(results.values())

    def _interrupted(self) -> list[str]:
        return [
            opened.operation_id for opened in self._store.unfinished() if not self._waits_for_a_person(opened)
        ]

    def _waits_for_a_person(self, opened: OperationPlanned) -> bool:
        try:
            with border("reading the operation"):
                state = self._state(opened.operation_id)
                return is_parked(state) and not (isinstance(state, Held) and self._is_untold(opened))
        except SafeUpdaterError:
            return False  # the executor says of this one what is wrong with it, and goes on with the others

    def _is_untold(self, opened: OperationPlanned) -> bool:
        """Whether a held update is in no history: who held it came to nothing before anybody was told."""
        known = (self._store.get("asset", change.asset_id) for change in opened.changes)
        assets = [found.value for found in known if found is not None and isinstance(found.value, Asset)]
        return any(
            all(record.operation_id != opened.operation_id for record in asset.update_history)
            for asset in assets
        )

    def _state(self, operation_id: str) -> State:
        return replay(entry.event for entry in self._store.load(operation_id))

    # --- rollback by hand -----------------------------------------------------------------------------------

    def rollback(self, target_id: str, *, by: str, to: str | None = None) -> OperationResult:
        """Brings back the last good version of a target, watching it like any update.

        Passed over is what somebody left by hand, what is in quarantine, and what runs already; ``to``
        names an earlier version or digest instead, even one in quarantine. An update of the target that is
        still under way is turned back instead.

        Raises:
            RollbackError: there is no snapshot to go back to.
        """
        open_id = self._open_operation(target_id)
        if open_id is not None:
            turned = self._turn_back(open_id, target_id, by)
            if turned.outcome is not Outcome.SUCCEEDED:
                return turned  # what was too late to stop is left once it is done
        opened, snapshot = earlier_version(self._store, target_id, self._clock.now(), to)
        planned = reversed_update(self._store, opened, by)
        opened_id = self._executor.open_return(planned, opened.settings, restores=snapshot.operation_id)
        if isinstance(opened_id, OperationResult):
            return opened_id
        return self._executor.run([opened_id])[0]

    def _turn_back(self, operation_id: str, target_id: str, by: str) -> OperationResult:
        if is_parked(self._state(operation_id)):
            return self.resolve(target_id, Resolution.RESTORE, by=by)
        self.abort(target_id, by=by, reason="rollback")
        return self._executor.run([operation_id])[0]

    # --- what people decide ---------------------------------------------------------------------------------

    def abort(self, target_id: str, *, by: str, reason: str = "") -> AbortAnswer:
        """Asks the update of a target to stop; the answer is true where it does.

        Before the switch it ends as aborted, before the verdict it goes back, after it nothing changes.
        Whoever works on the operation notices within seconds; ``recover`` finishes one that nobody
        works on.
        """
        operation_id = self._open_operation(target_id)
        asked_in = None
        if operation_id is not None:
            asked_in = self._journal(operation_id, AbortRequested(by=by, reason=reason))
        return _answer(asked_in)

    def resolve(
        self, target_id: str, resolution: Resolution, *, by: str, reason: str = ""
    ) -> OperationResult:
        """Decides a held operation or a failed rollback: keep the new version, restore the old, or let be.

        Raises:
            RollbackError: nothing of this target waits for a person, or the new version is not there to
                keep.
        """
        operation_id = self.decide(target_id, resolution, by=by, reason=reason)
        return self._executor.run([operation_id])[0]

    def decide(self, target_id: str, resolution: Resolution, *, by: str, reason: str = "") -> str:
        """Journals a decision without acting on it, and gives the operation's id; ``recover`` acts.

        Raises:
            RollbackError: as ``resolve``.
        """
        operation_id = self._open_operation(target_id)
        state = self._state(operation_id) if operation_id is not None else None
        if operation_id is None or state is None or not is_parked(state):
            raise RollbackError(f"nothing of {target_id} waits for a person", code="nothing_to_resolve")
        if resolution is Resolution.KEEP_NEW:
            enough = _READY if isinstance(state, RollbackFailed) else _ALIVE
            self._require_new_version(operation_id, target_id, enough)
        if self._journal(operation_id, Resolved(resolution=resolution, by=by, reason=reason)) is None:
            raise RollbackError(f"somebody else decided about {target_id} first", code="nothing_to_resolve")
        return operation_id

    def _require_new_version(self, operation_id: str, target_id: str, enough: frozenset[Condition]) -> None:
        seen = self._executor.observe(operation_id)
        if seen is None or seen.condition not in enough:
            said = seen.detail or seen.code if seen else "the runtime did not answer"
            raise RollbackError(
                f"the new version of {target_id} does not run, so it cannot be kept: {said}",
                code="new_version_not_ready",
            )

    def _open_operation(self, target_id: str) -> str | None:
        opened = [item for item in self._store.unfinished() if item.target_id == target_id]
        return opened[0].operation_id if opened else None

    def _journal(self, operation_id: str, event: Event) -> State | None:
        """Journals a person's word, beside whoever works on the operation; the state that it was said in.

        None: it came too late, since the state does not allow it any more.
        """
        for _ in range(_APPEND_TRIES):
            entries = self._store.load(operation_id)
            try:
                state = replay(entry.event for entry in entries)
                evolve(state, event)
            except IllegalTransition:
                return None
            try:
                self._store.append(operation_id, [event], expected_version=len(entries), at=self._clock.now())
            except VersionConflict:
                continue
            return state
        raise VersionConflict(f"{operation_id} is being written by others all the time: try again")

    # --- quarantine -----------------------------------------------------------------------------------------

    def quarantined(self, *, include_lifted: bool = False) -> tuple[Quarantine, ...]:
        """What is not tried again by itself, and until when as our clock counts it."""
        now = self._clock.now()
        entries = (stored.value for _, stored in self._store.iterate("quarantine"))
        return tuple(
            attrs.evolve(entry, until=entry.ends(now))
            for entry in entries
            if isinstance(entry, Quarantine) and (include_lifted or entry.is_active(now))
        )

    def allow_again(self, asset_id: str, digest: str, *, by: str) -> Quarantine:
        """Lets an (asset, digest) be tried again, or a (repository, digest) on all its assets.

        Raises:
            RollbackError: it is not in quarantine.
        """
        key = quarantine_key(asset_id, digest)
        stored = self._store.get("quarantine", key)
        if stored is None or not isinstance(stored.value, Quarantine):
            raise RollbackError(f"{digest} of {asset_id} is not in quarantine", code="not_quarantined")
        allowed = lifted(stored.value, by)
        self._store.put("quarantine", key, allowed, expected=stored.version)
        return allowed

    # --- retention ------------------------------------------------------------------------------------------

    def collect(self) -> tuple[str, ...]:
        """Lets go of snapshots, and of what backends kept for them, that no way back needs any more.

        Kept are those of open operations, those that these bring back and, of finished updates, the
        newest ``keep_previous`` per target for ``retain`` seconds. Returns what was removed, in words.
        Journals, approvals and plans that are too old to matter are forgotten, too. What a backend that
        does not answer keeps stays until it does.
        """
        now = self._clock.now()
        removed = collect_snapshots(self._store, self._backends, now, self._not_collected)
        forget_the_past(self._store, self._journal_retention, now)
        return removed

    def _not_collected(self, backend: Backend, error: SafeUpdaterError) -> None:
        where = f"what the backend {type(getattr(backend, 'inner', backend)).__name__} keeps for old versions"
        self._notifier.alert_if_permanent(error, "see safeupdater doctor", where=where)


def _answer(asked_in: State | None) -> AbortAnswer:
    """What a request to stop means in the state that it was made in."""
    match asked_in:
        case None | Ended():
            return AbortAnswer(stops=False, code="nothing_open", message="nothing is under way")
        case Held() | RollbackFailed():
            message = (
                "it waits for a person, so there is nothing to stop: resolve it (keep_new, restore, abandon)"
            )
            return AbortAnswer(stops=False, code="waits_for_resolve", message=message)
        case Committing():
            message = "too late: the new version was found healthy and is kept; roll back to leave it"
            return AbortAnswer(stops=False, code="too_late", message=message)
        case Restoring() | Verifying() | Discarding() if _why(asked_in) != "abort_requested":
            message = f"it is going back already, by itself ({_why(asked_in)})"
            return AbortAnswer(stops=False, code="going_back", message=message)
        case _:
            message = "it was asked to stop; if nobody works on it: safeupdater recover"
            return AbortAnswer(stops=True, code="asked", message=message)


def _why(state: Restoring | Verifying | Discarding) -> str:
    if isinstance(state, Discarding):
        return state.code
    return state.operation.verdict.code if state.operation.verdict else ""


def _is_busy(result: OperationResult) -> bool:
    return result.outcome is Outcome.INTERRUPTED and result.code == "target_busy"
