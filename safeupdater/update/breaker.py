"""The breaker over all targets: where many updates go wrong at once, the next one is not begun.

It opens at three rollbacks within an hour, or where at least five operations were started within an hour
and a fifth of them went back. Rollbacks that people asked for do not count. It stays open for an hour
after it opened or after the latest rollback. Then it is half open: one update at a time, until one that
was begun since then succeeds; if that one goes back too, the hour begins anew.

All it knows is one record, so every process over the same store sees the same breaker. Times that lie in
the future, which a wrong clock left behind, count as now: a clock that jumps costs an hour, never years.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

import attrs

from safeupdater.domain.operation import Attempt, Breaker
from safeupdater.errors import VersionConflict
from safeupdater.protocols import StateStore

HOUR = timedelta(hours=1)
KIND, KEY = "breaker", "all"
Starts = Callable[[], Mapping[str, datetime]]
"""Gives the start of every operation under way, by id; it is asked only where that can decide."""

_ROLLBACKS = 3
_STARTED = 5
_ONE_IN = 5
_ENOUGH = _ROLLBACKS * _ONE_IN
"""Among so many starts, fewer than three rollbacks are less than a fifth: older ones need not be kept."""

_TRIES = 100


def after(known: Breaker, attempt: Attempt, under_way: Starts, now: datetime) -> Breaker:
    """What the breaker knows once an operation has ended; telling it twice is telling it once."""
    before = [item for item in known.attempts if item.operation_id == attempt.operation_id]
    if before and _is_same(attempt, before[-1]):
        return known
    if _proves_health(attempt, known.opened):
        return Breaker()
    known = not_after(known, now)
    following = Breaker(attempts=_kept((*_others(known, attempt), attempt), now), opened=known.opened)
    if attempt.went_back and known.opened is not None:
        return attrs.evolve(following, opened=now)
    return tripped(following, under_way, now)


def tripped(known: Breaker, under_way: Starts, now: datetime) -> Breaker:
    """The breaker, opened where too much went back within the last hour."""
    if known.opened is not None or not _is_too_much(known.attempts, under_way, now):
        return known
    return attrs.evolve(known, opened=now)


def not_after(known: Breaker, now: datetime) -> Breaker:
    """The same with what ended or opened in the future drawn to now."""
    latest = max([item.ended for item in known.attempts], default=now)
    if latest <= now and (known.opened is None or known.opened <= now):
        return known
    attempts = tuple(attrs.evolve(item, ended=min(item.ended, now)) for item in known.attempts)
    return Breaker(attempts=attempts, opened=min(known.opened, now) if known.opened else None)


def _is_too_much(attempts: tuple[Attempt, ...], under_way: Starts, now: datetime) -> bool:
    since = now - HOUR
    count = len([item for item in attempts if item.went_back and item.ended > since])
    if count == 0 or count >= _ROLLBACKS:
        return count > 0
    starts = {**under_way(), **{item.operation_id: item.started for item in attempts}}
    started = len([start for start in starts.values() if start > since])
    return started >= _STARTED and count * _ONE_IN >= started


def _proves_health(attempt: Attempt, opened: datetime | None) -> bool:
    return attempt.succeeded and opened is not None and attempt.started >= opened + HOUR


def _is_same(attempt: Attempt, other: Attempt) -> bool:
    ended = (attempt.operation_id, attempt.succeeded, attempt.went_back)
    return ended == (other.operation_id, other.succeeded, other.went_back)


def _others(known: Breaker, attempt: Attempt) -> tuple[Attempt, ...]:
    return tuple(item for item in known.attempts if item.operation_id != attempt.operation_id)


def _kept(attempts: tuple[Attempt, ...], now: datetime) -> tuple[Attempt, ...]:
    """Those that can still matter, newest last: the rollbacks of an hour, and enough of the others."""
    recent = [item for item in attempts if item.ended > now - HOUR]
    return tuple(item for item in recent[:-_ENOUGH] if item.went_back) + tuple(recent[-_ENOUGH:])


# --- the record -------------------------------------------------------------------------------------------


def remember(store: StateStore, attempt: Attempt, now: datetime) -> None:
    """Takes the end of an operation into the record."""
    under_way = functools.partial(starts_in, store)
    for _ in range(_TRIES):
        known, version = _read(store)
        if _written(store, version, known, after(known, attempt, under_way, now)):
            return
    raise VersionConflict("the breaker is being written by others all the time: try again")


def look(store: StateStore, now: datetime, *, asking: str = "") -> Breaker:
    """The breaker as it is now; what the time and the starts since its last change made of it is kept.

    An operation on the target that is ``asking`` whether it may go on does not count as a start itself.
    """
    under_way = functools.partial(starts_in, store, but=asking)
    for _ in range(_TRIES):
        known, version = _read(store)
        present = tripped(not_after(known, now), under_way, now)
        if _written(store, version, known, present):
            return present
    raise VersionConflict("the breaker is being written by others all the time: try again")


def starts_in(store: StateStore, *, but: str = "") -> Mapping[str, datetime]:
    """When each update that has not ended was begun, by operation id; ways back by hand are no updates."""
    return {
        opened.operation_id: store.load(opened.operation_id)[0].at
        for opened in store.unfinished()
        if opened.restores is None and opened.target_id != but
    }


def _read(store: StateStore) -> tuple[Breaker, int]:
    stored = store.get(KIND, KEY)
    if stored is None or not isinstance(stored.value, Breaker):
        return Breaker(), 0
    return stored.value, stored.version


def _written(store: StateStore, version: int, known: Breaker, present: Breaker) -> bool:
    """Whether the record says this now; False where somebody else wrote first."""
    if present == known:
        return True
    try:
        store.put(KIND, KEY, present, expected=version)
    except VersionConflict:
        return False
    return True
