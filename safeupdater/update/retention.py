"""How long the past is kept: snapshots and what runtimes hold for them, journals, plans, approvals."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

from safeupdater.domain.operation import OperationPlanned, Snapshot
from safeupdater.domain.plan import Approval, Plan
from safeupdater.domain.settings import JournalRetention as JournalRetention
from safeupdater.domain.sighting import TagHistory
from safeupdater.errors import CorruptState, IllegalTransition, SafeUpdaterError, StoreError, border
from safeupdater.protocols import Backend, StateStore
from safeupdater.update.forgetting import count_quarantine, forget_brakes, forget_first_sights
from safeupdater.update.listings import forget_listings
from safeupdater.update.machine import is_ended, replay
from safeupdater.update.quarantine import why_quarantined
from safeupdater.update.states import Succeeded
from safeupdater.update.steadiness import is_steady

_FACTS_FOR = timedelta(days=90)
"""What gates and brakes judge by stays so long at least. Of versions that are on offer it is noted every 30
days that they still are."""


def collect_snapshots(
    store: StateStore,
    backends: tuple[Backend, ...],
    now: datetime,
    failed: Callable[[Backend, SafeUpdaterError], None] = lambda backend, error: None,
) -> tuple[str, ...]:
    """Lets go of snapshots, and of what backends kept for them; what was removed, in words.

    Where a backend does not do its part, ``failed`` is told, and its snapshots stay for the next time.
    """
    expired, kept = _sorted_snapshots(store, now)
    removed: list[str] = []
    for backend in backends:
        try:
            with border(f"the backend {type(getattr(backend, 'inner', backend)).__name__}"):
                mine = [item for item in expired if backend.owns(item.target_id)]
                others = [item for item in kept if backend.owns(item.target_id)]
                removed += backend.collect(mine, others) if mine else ()
        except StoreError:
            raise
        except SafeUpdaterError as error:
            failed(backend, error)
            continue
        for snapshot in mine:
            store.delete("snapshot", snapshot.operation_id)
    return tuple(removed)


def forget_the_past(store: StateStore, retention: JournalRetention, now: datetime) -> None:
    """Forgets journals, approvals and plans that are too old to matter."""
    before = now - timedelta(seconds=retention.keep_s)
    wanted = {snapshot.operation_id for snapshot in snapshots(store)}
    store.prune(before, keep_per_target=retention.keep_per_target, keep=wanted)
    for key, stored in store.iterate("approval"):
        if isinstance(stored.value, Approval) and stored.value.expires_at < before:
            store.delete("approval", key)
    _forget_plans(store, now - timedelta(seconds=retention.plans_s))
    before = min(before, now - _FACTS_FOR)
    forget_listings(store, before)
    _forget_tags(store, before)
    count_quarantine(store, now)
    if is_steady(store, now):
        forget_brakes(store, before, now)
    forget_first_sights(store, before)


def _forget_tags(store: StateStore, before: datetime) -> None:
    for key, stored in store.iterate("tag"):
        if isinstance(stored.value, TagHistory) and all(item.at < before for item in stored.value.served):
            store.delete("tag", key)


def _forget_plans(store: StateStore, before: datetime) -> None:
    """Plans are there to be approved and applied by name: the latest, and those made since then."""
    made = {
        key: stored.value.created_at or datetime.min.replace(tzinfo=before.tzinfo)
        for key, stored in store.iterate("plan")
        if isinstance(stored.value, Plan)
    }
    latest = max(made.values(), default=before)
    for key, at in made.items():
        if at < min(latest, before):
            store.delete("plan", key)


def snapshots(store: StateStore, target_id: str | None = None) -> Iterator[Snapshot]:
    """The snapshots that are kept, of one target or of all."""
    for _, stored in store.iterate("snapshot"):
        snapshot = stored.value
        if isinstance(snapshot, Snapshot) and target_id in (None, snapshot.target_id):
            yield snapshot


def _sorted_snapshots(store: StateStore, now: datetime) -> tuple[list[Snapshot], list[Snapshot]]:
    """Those that may go, and those that are kept."""
    by_target: defaultdict[str, list[Snapshot]] = defaultdict(list)
    wanted = {opened.restores for opened in store.unfinished()}
    expired: list[Snapshot] = []
    kept: list[Snapshot] = []
    for snapshot in snapshots(store):
        by_target[snapshot.target_id].append(snapshot)
    for of_target in by_target.values():
        previous = 0
        for snapshot in sorted(of_target, key=lambda item: item.taken_at, reverse=True):
            is_kept, is_previous = _is_kept(store, snapshot, previous, now)
            is_kept = is_kept or snapshot.operation_id in wanted
            previous += is_previous
            (kept if is_kept else expired).append(snapshot)
    return expired, kept


def _is_kept(store: StateStore, snapshot: Snapshot, newer: int, now: datetime) -> tuple[bool, bool]:
    """Whether a snapshot is kept, and whether it counts as a previous version."""
    try:
        entries = store.load(snapshot.operation_id)
    except CorruptState:
        entries = ()
    opened = entries[0].event if entries else None
    if not isinstance(opened, OperationPlanned):
        return True, False  # the state was lost or cannot be read: evidence is never thrown away
    try:
        state = replay(entry.event for entry in entries)
    except IllegalTransition:
        return True, False
    if not is_ended(state):
        return True, False
    policy = opened.settings.rollback
    is_young = now - snapshot.taken_at < timedelta(seconds=policy.retain_s)
    if not isinstance(state, Succeeded) or opened.restores is not None:
        return False, False  # what a way back left is nothing to go back to
    is_kept = is_young and newer < policy.keep_previous
    return is_kept, not _is_quarantined(store, opened, now)


def _is_quarantined(store: StateStore, opened: OperationPlanned, now: datetime) -> bool:
    """Whether nobody would want to go back to what an update replaced."""
    return any(
        why_quarantined(store, change.asset_id, change.current, now) is not None for change in opened.changes
    )
