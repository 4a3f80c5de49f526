"""Which earlier version a target can go back to: what finished updates left behind, newest first."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

import attrs

from safeupdater.domain.artifact import Artifact, ChartReference
from safeupdater.domain.asset import Asset
from safeupdater.domain.change import Change, VersionChangeType
from safeupdater.domain.decision import Decision, Reason, Verdict
from safeupdater.domain.operation import OperationPlanned, Snapshot
from safeupdater.domain.plan import PlannedUpdate
from safeupdater.errors import RollbackError
from safeupdater.protocols import StateStore
from safeupdater.update.machine import replay
from safeupdater.update.quarantine import why_quarantined
from safeupdater.update.retention import snapshots
from safeupdater.update.states import Succeeded


def earlier_version(
    store: StateStore, target_id: str, now: datetime, to: str | None = None
) -> tuple[OperationPlanned, Snapshot]:
    """The snapshot to go back to, and the update that it was taken for.

    That is the newest of a finished update, passing over ways back (their snapshots hold what somebody
    left), what runs already and what is in quarantine. ``to`` names a version or digest instead, and
    finds it even in quarantine.

    Raises:
        RollbackError: there is none.
    """
    passed: list[str] = []
    for opened, snapshot in _finished(store, target_id):
        why = _unfit(store, opened, now) if to is None else _other_than(opened, to)
        if not why:
            return opened, snapshot
        passed.append(why)
    why = "; ".join(dict.fromkeys(passed)) or "no snapshot of a finished update is kept"
    raise RollbackError(
        f"{target_id} has no earlier version to go back to: {why}", code="no_snapshot", target_id=target_id
    )


def _finished(store: StateStore, target_id: str) -> Iterator[tuple[OperationPlanned, Snapshot]]:
    """The updates that succeeded, with their snapshots, newest first."""
    for snapshot in sorted(snapshots(store, target_id), key=lambda item: item.taken_at, reverse=True):
        entries = store.load(snapshot.operation_id)
        opened = entries[0].event if entries else None
        if isinstance(opened, OperationPlanned) and isinstance(
            replay(entry.event for entry in entries), Succeeded
        ):
            yield opened, snapshot


def _unfit(store: StateStore, opened: OperationPlanned, now: datetime) -> str:
    """Why nobody would want to go back to what an update replaced; "" where they may."""
    if opened.restores is not None:
        return f"{_shown(opened)} was left by hand"
    for change in opened.changes:
        why = why_quarantined(store, change.asset_id, change.current, now)
        if why is not None:
            return f"{change.current.version_text} is in quarantine ({why})"
    if all(_runs(_asset(store, change.asset_id), change.current) for change in opened.changes):
        return f"{_shown(opened)} runs already"
    return ""


def _other_than(opened: OperationPlanned, to: str) -> str:
    is_it = any(to in (change.current.version_text, change.current.digest) for change in opened.changes)
    return "" if is_it else f"{_shown(opened)} is not {to}"


def _shown(opened: OperationPlanned) -> str:
    return ", ".join(change.current.version_text for change in opened.changes)


def _asset(store: StateStore, asset_id: str) -> Asset | None:
    stored = store.get("asset", asset_id)
    return stored.value if stored is not None and isinstance(stored.value, Asset) else None


def _runs(asset: Asset | None, version: Artifact) -> bool:
    """Whether a version is what was last seen of an asset, by its name and its bits."""
    if asset is None or asset.image.version_text != version.version_text:
        return False
    return version.digest is None or version.digest in (*asset.digests, asset.image.digest)


def reversed_update(store: StateStore, opened: OperationPlanned, by: str) -> PlannedUpdate:
    """The way back from what runs to what an update replaced."""
    reason = Reason(
        code="rollback_requested", message=f"{by} asked for the version before", verdict=Verdict.APPROVE
    )
    changes = tuple(
        Change(
            asset_id=change.asset_id,
            current=_running(_asset(store, change.asset_id), change.new),
            new=change.current,
            change_type=VersionChangeType.UNKNOWN,
        )
        for change in opened.changes
    )
    return attrs.evolve(opened.planned, changes=changes, decision=Decision.because(reason), alternatives=())


def _running(asset: Asset | None, updated_to: Artifact) -> Artifact:
    """What runs, as it was last recorded: a later update may have come since."""
    if asset is None or _runs(asset, updated_to):
        return updated_to
    if isinstance(asset.image, ChartReference):
        return asset.image
    return asset.image.with_digest(min(asset.digests, default=asset.image.digest))
