"""What an operation's end writes beside the journal: quarantine, the rollback ledger, the asset's history.

Everything here is idempotent and is written before the journal's last event, so that a crash in between
only writes it again.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta

import attrs

from safeupdater.domain.asset import STATUS_TRANSITIONS, Asset, AssetStatus, UpdateRecord
from safeupdater.domain.change import Change
from safeupdater.domain.operation import (
    Attempt,
    Blame,
    Finished,
    OperationPlanned,
    Outcome,
    Resolution,
    RollbackRecord,
    Verdict,
)
from safeupdater.domain.plan import Approval, situation_of
from safeupdater.domain.quick import evolved
from safeupdater.errors import VersionConflict
from safeupdater.protocols import StateStore
from safeupdater.update import breaker
from safeupdater.update.quarantine import bits_of, put_in
from safeupdater.update.states import Operation

_STATUS = {
    Outcome.SUCCEEDED: AssetStatus.HEALTHY,
    Outcome.ABORTED: AssetStatus.UPDATE_AVAILABLE,
    Outcome.ROLLED_BACK: AssetStatus.ROLLED_BACK,
    Outcome.ROLLBACK_FAILED: AssetStatus.FAILED,
    Outcome.HELD: AssetStatus.HELD,
    Outcome.SUPERSEDED: AssetStatus.UPDATE_AVAILABLE,
    Outcome.TARGET_GONE: AssetStatus.REMOVED,
}
_TAKEN_BACK = f"resolved_{Resolution.RESTORE}"
_WENT_BACK = frozenset({Outcome.ROLLED_BACK, Outcome.ROLLBACK_FAILED})
_MAX_AUTOMATIC_ATTEMPTS = 2
_Change = Callable[[Asset], Asset]


def settle(
    store: StateStore, operation: Operation, ending: Finished, *, started: datetime, now: datetime
) -> None:
    """Writes what follows from an ending."""
    verdict, opened = operation.verdict, operation.opened
    went_back = ending.outcome in _WENT_BACK
    if went_back and verdict is not None and verdict.verdict is Verdict.RESTORE:
        tried = tuple(change.new for change in opened.changes)
        is_taken_back = verdict.code == _TAKEN_BACK and not _is_remembered(store, opened)
        if is_taken_back:
            # Somebody took back what was held: it must not come, to be held again, by itself.
            put_in(store, opened, tried, reason=verdict.message, blame=Blame.REQUEST, now=now)
        _remember_rollback(store, opened, verdict.blame, now)
        if _is_to_be_quarantined(store, opened, verdict.blame):
            put_in(store, opened, tried, reason=verdict.message, blame=verdict.blame, now=now)
    elif opened.restores is not None and ending.outcome is Outcome.SUCCEEDED:
        # Somebody went back by hand: the version that they left must not come again by itself.
        left = tuple(change.current for change in opened.changes)
        reason = opened.planned.decision.reason
        put_in(store, opened, left, reason=reason, blame=Blame.REQUEST, now=now)
    if ending.outcome is Outcome.ABORTED and ending.code != "abort_requested":
        _give_back_approval(store, opened)
    if opened.restores is None:
        _tell_breaker(store, operation, ending, started=started, now=now)
    record_outcome(store, opened, ending, started=started, now=now)


def _give_back_approval(store: StateStore, opened: OperationPlanned) -> None:
    """What was approved did not happen and nothing was changed: the approval is good again, for its time."""
    key = opened.planned.hash
    stored = store.get("approval", key)
    if stored is None or not isinstance(stored.value, Approval):
        return
    if stored.value.used_by == opened.operation_id:
        # Somebody who approves again meanwhile has the last word.
        with contextlib.suppress(VersionConflict):
            store.put("approval", key, attrs.evolve(stored.value, used_by=None), expected=stored.version)


def _tell_breaker(
    store: StateStore, operation: Operation, ending: Finished, *, started: datetime, now: datetime
) -> None:
    verdict = operation.verdict
    by_itself = verdict is not None and verdict.blame is not Blame.REQUEST
    attempt = Attempt(
        operation_id=operation.opened.operation_id,
        started=started,
        ended=now,
        succeeded=ending.outcome is Outcome.SUCCEEDED,
        went_back=by_itself and ending.outcome in _WENT_BACK,
    )
    breaker.remember(store, attempt, now)


_REMEMBERED_FOR_S = 30 * 86_400.0
"""A second failure of the surroundings within that time counts with the first."""


def _rollback_key(opened: OperationPlanned) -> str:
    return f"{opened.target_id}#{opened.operation_id}"


def _is_remembered(store: StateStore, opened: OperationPlanned) -> bool:
    """Whether it went back before, by itself, and that failed."""
    return store.get("rollback", _rollback_key(opened)) is not None


def _remember_rollback(store: StateStore, opened: OperationPlanned, blame: Blame, now: datetime) -> None:
    key = _rollback_key(opened)
    if not _is_remembered(store, opened):
        bits = tuple(sorted(bits_of(change.new) for change in opened.changes))
        remembered_s = max(_REMEMBERED_FOR_S, opened.settings.rollback.cooldown_s)
        store.put(
            "rollback",
            key,
            RollbackRecord(
                operation_id=opened.operation_id,
                target_id=opened.target_id,
                at=now,
                digests=bits,
                blame=blame,
                until=now + timedelta(seconds=remembered_s),
            ),
        )


def rollbacks_of(store: StateStore, target_id: str) -> Iterable[RollbackRecord]:
    """The remembered rollbacks of one target."""
    for _, stored in store.iterate("rollback", f"{target_id}#"):
        if isinstance(stored.value, RollbackRecord):
            yield stored.value


def _is_to_be_quarantined(store: StateStore, opened: OperationPlanned, blame: Blame) -> bool:
    """A bad release at once; one that the surroundings failed twice as well; never for somebody's wish."""
    if blame is Blame.ENVIRONMENT:
        bits = {bits_of(change.new) for change in opened.changes}
        failed = [
            record
            for record in rollbacks_of(store, opened.target_id)
            if record.blame is Blame.ENVIRONMENT and bits & set(record.digests)
        ]
        return len(failed) >= _MAX_AUTOMATIC_ATTEMPTS
    return blame is Blame.RELEASE


def record_outcome(
    store: StateStore, opened: OperationPlanned, ending: Finished, *, started: datetime, now: datetime
) -> None:
    """Adds the attempt to the history of every asset that it concerned, where the asset is known."""
    for change in opened.changes:
        record = UpdateRecord(
            operation_id=opened.operation_id,
            from_version=change.current.version_text,
            to_version=change.new.version_text,
            from_digest=change.current.digest,
            to_digest=change.new.digest,
            change_type=change.change_type,
            decision=str(opened.planned.decision.verdict),
            outcome=str(ending.outcome),
            reason=ending.message or ending.code,
            started=started,
            finished=now,
            code=ending.code,
        )
        policy_hash = opened.planned.policy_hash if len(opened.changes) == 1 else ""
        noted = functools.partial(_after, change, ending.outcome, record, policy_hash)
        update_asset(store, change.asset_id, noted)


def mark(store: StateStore, asset_ids: Iterable[str], status: AssetStatus) -> None:
    """Moves assets to a status, where they are known and their life cycle allows it."""
    for asset_id in asset_ids:
        update_asset(store, asset_id, functools.partial(_moved, status=status))


def update_asset(store: StateStore, asset_id: str, change: _Change) -> None:
    """Changes one asset record by compare-and-set; an asset that is not recorded is left alone."""
    for _ in range(10):
        stored = store.get("asset", asset_id)
        if stored is None or not isinstance(stored.value, Asset):
            return
        changed = change(stored.value)
        if changed == stored.value:
            return
        try:
            store.put("asset", asset_id, changed, expected=stored.version)
        except VersionConflict:
            continue
        return
    raise VersionConflict(f"{asset_id} is being written by others all the time")


def _after(change: Change, outcome: Outcome, record: UpdateRecord, policy_hash: str, asset: Asset) -> Asset:
    status = _reachable(asset.status, _STATUS.get(outcome, AssetStatus.UNKNOWN))
    if outcome is Outcome.ABORTED:
        record = attrs.evolve(record, situation=situation_of(asset, policy_hash))
    if outcome is not Outcome.SUCCEEDED:
        return asset.with_record(record, status=status)
    digests = frozenset((change.new.digest,)) if change.new.digest else frozenset[str]()
    return asset.with_record(
        record,
        status=status,
        image=change.new,
        current_version=change.new.version_text,
        digests=digests,
        available_version=None,
        unknown_cause=None,
    )


def _moved(asset: Asset, status: AssetStatus) -> Asset:
    reached = _reachable(asset.status, status)
    return asset if reached is asset.status else evolved(asset, status=reached)


def _reachable(present: AssetStatus, wanted: AssetStatus) -> AssetStatus:
    """The status that is wanted, reached directly or by way of "updating", which a scan may have overwritten.

    What a scan found removed stays so until a scan finds it again.
    """
    following = STATUS_TRANSITIONS[present]
    if wanted in following:
        return wanted
    by_updating = AssetStatus.UPDATING in following and wanted in STATUS_TRANSITIONS[AssetStatus.UPDATING]
    return wanted if by_updating else present


def cooldown_until(records: Iterable[RollbackRecord], cooldown_s: float, now: datetime) -> datetime | None:
    """When the next attempt may be made after the latest rollback; None where that is now."""
    latest = max((record.at for record in records), default=None)
    if latest is None:
        return None
    until = latest + timedelta(seconds=cooldown_s)
    return until if until > now else None
