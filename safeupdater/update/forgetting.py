"""Records beside the journal that would never go away: rollbacks, first sights, quarantine."""

from __future__ import annotations

import contextlib
from datetime import datetime, timedelta

from safeupdater.domain.operation import FirstSeen, Quarantine, RollbackRecord
from safeupdater.errors import VersionConflict
from safeupdater.protocols import StateStore

_YEAR = timedelta(days=365)


def forget_brakes(store: StateStore, before: datetime, now: datetime) -> None:
    """Forgets rollbacks that hold nothing back any more, and quarantine of what is over since ``before``.

    Quarantine that still holds stays, and so does what somebody lifted where the repository as a whole is
    kept from that release: without the entry that would hold again.
    """
    for key, stored in store.iterate("rollback"):
        if isinstance(stored.value, RollbackRecord) and _is_spent(stored.value, now):
            store.delete("rollback", key)
    entries = {key: stored.value for key, stored in store.iterate("quarantine")}
    known = {key: item for key, item in entries.items() if isinstance(item, Quarantine)}
    shared = {(item.repository, item.digest) for item in known.values() if item.is_shared}
    for key, item in known.items():
        if _is_over(item, before) and (item.is_shared or (item.repository, item.digest) not in shared):
            store.delete("quarantine", key)


def count_quarantine(store: StateStore, now: datetime) -> None:
    """Notes from when quarantine for a time counts that a wrong clock, then or now, puts in the future."""
    for key, stored in store.iterate("quarantine"):
        entry = stored.value
        if isinstance(entry, Quarantine) and entry.until is not None and entry.by_clock(now) != entry:
            with contextlib.suppress(VersionConflict):
                store.put("quarantine", key, entry.by_clock(now), expected=stored.version)


def _is_spent(record: RollbackRecord, now: datetime) -> bool:
    return now > (record.at + _YEAR if record.until is None else record.until)


def _is_over(item: Quarantine, before: datetime) -> bool:
    """Whether it ended before that time; for good is for good, also where nobody knows the asset now."""
    is_ended = item.lifted_by is not None or (item.until is not None and item.until < before)
    return is_ended and item.since < before


def forget_first_sights(store: StateStore, before: datetime) -> None:
    """Forgets when versions were first seen that nobody has seen since ``before``."""
    for key, stored in store.iterate("first_seen"):
        seen = stored.value
        if isinstance(seen, FirstSeen) and (seen.last or seen.at) < before:
            store.delete("first_seen", key, expected=stored.version)
