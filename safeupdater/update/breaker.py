"""The breaker over all targets: where many updates go wrong at once, the next one is not begun.

It opens at three rollbacks within an hour, or where at least five operations were started within an hour
and a fifth of them went back. Rollbacks that people asked for do not count. It stays open for an hour
after it opened or after the latest rollback. Then it is half open: one update at a time, until one that
was begun since then succeeds; if that one goes back too, the hour begins anew.

All it knows is one record, so every process over the same store sees the same breaker. No clock's word is
final: times that lie in the future, which a wrong clock left behind or a wrong clock finds there, are kept
and count as now, so a clock that jumps costs an hour, never years; and a breaker that was closed by what
lies in the future is open again.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

import attrs

from safeupdater.domain.operation import Attempt, Breaker
from safeupdater.errors import CorruptState, VersionConflict
from safeupdater.protocols import StateStore

HOUR = timedelta(hours=1)
KIND, KEY = "breaker", "all"
Starts = Callable[[], Mapping[str, datetime | None]]
"""Gives the start of every operation under way, by id, None where it cannot be read; it is asked only where
that can decide."""

_ROLLBACKS = 3
_STARTED = 5
_ONE_IN = 5
_ENOUGH = _ROLLBACKS * _ONE_IN
"""Among so many starts, fewer than three rollbacks are less than a fifth: older ones need not be kept."""

_TRIES = 100
_LONG = timedelta(days=36_500)
"""Nothing is drawn back further than that: the calendar begins somewhere."""


def after(known: Breaker, attempt: Attempt, under_way: Starts, now: datetime) -> Breaker:
    """What the breaker knows once an operation has ended; telling it twice is telling it once."""
    before = [item for item in known.attempts if item.operation_id == attempt.operation_id]
    if before and _is_same(attempt, before[-1]):
        return known
    was_open = counted(known, now).opened is not None
    if was_open and attempt.succeeded:
        closed = attrs.evolve(known, attempts=(), proven=attempt.started).by_clock(now)
        if counted(closed, now).opened is None:
            return closed
    following = attrs.evolve(known, attempts=_kept((*_others(known, attempt), attempt)))
    if was_open and attempt.went_back:
        return _opened(following, now)
    return tripped(following, under_way, now)


def tripped(known: Breaker, under_way: Starts, now: datetime) -> Breaker:
    """The breaker, opened where too much went back within the last hour."""
    known = known.by_clock(now)
    present = _counted(known, now)
    if present.opened is not None or not _is_too_much(present.attempts, under_way, now):
        return known
    return _opened(known, now)


def counted(known: Breaker, now: datetime) -> Breaker:
    """What it comes to by this clock: nothing lies in the future, and ``opened`` is None while closed."""
    return _counted(known.by_clock(now), now)


def _counted(known: Breaker, now: datetime) -> Breaker:
    """The same of one that is by this clock already."""
    known = _drawn(known, now)
    opened, proven = known.opened, known.proven
    if opened is None and proven is None:
        return known
    is_closed = opened is None or (proven is not None and proven >= opened + HOUR)
    return Breaker(attempts=known.attempts, opened=None if is_closed else opened)


def _drawn(known: Breaker, now: datetime) -> Breaker:
    """The same with what lies in the future drawn to where it counts.

    That is ``counted_from`` for the latest of it, and for the rest as much earlier as it is.
    """
    counted_from = known.counted_from
    if counted_from is None:
        return known
    latest = known.latest or now

    def at(time: datetime) -> datetime:
        return time if time <= now else counted_from - min(latest - time, _LONG)

    return Breaker(
        attempts=tuple(
            attrs.evolve(item, started=at(item.started), ended=at(item.ended)) for item in known.attempts
        ),
        opened=known.opened and at(known.opened),
        proven=known.proven and at(known.proven),
    )


def _opened(known: Breaker, now: datetime) -> Breaker:
    """The breaker, opened now: no earlier than what it knows, which a clock that dips would put behind it."""
    opened = max(known.latest or now, now)
    return attrs.evolve(known, opened=opened, proven=None, counted_from=None).by_clock(now)


def _is_too_much(attempts: tuple[Attempt, ...], under_way: Starts, now: datetime) -> bool:
    since = now - HOUR
    count = len([item for item in attempts if item.went_back and item.ended > since])
    if count == 0 or count >= _ROLLBACKS:
        return count > 0
    starts = {**under_way(), **{item.operation_id: item.started for item in attempts}}
    started = len([start for start in starts.values() if start is not None and start > since])
    unknown = len([start for start in starts.values() if start is None])
    return started + unknown >= _STARTED and count * _ONE_IN >= started


def _is_same(attempt: Attempt, other: Attempt) -> bool:
    ended = (attempt.operation_id, attempt.succeeded, attempt.went_back)
    return ended == (other.operation_id, other.succeeded, other.went_back)


def _others(known: Breaker, attempt: Attempt) -> tuple[Attempt, ...]:
    return tuple(item for item in known.attempts if item.operation_id != attempt.operation_id)


def _kept(attempts: tuple[Attempt, ...]) -> tuple[Attempt, ...]:
    """Those that can still matter, newest last: as many rollbacks as open it, and enough of the others.

    What is too old by this clock may not be so by the right one, so it is their number that decides.
    """
    older = [item for item in attempts[:-_ENOUGH] if item.went_back]
    return (*older[-_ROLLBACKS:], *attempts[-_ENOUGH:])


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
    """The breaker by this clock; what the time and the starts since its last change made of it is kept.

    An operation on the target that is ``asking`` whether it may go on does not count as a start itself.
    """
    under_way = functools.partial(starts_in, store, but=asking)
    for _ in range(_TRIES):
        known, version = _read(store)
        present = tripped(known, under_way, now)
        if _written(store, version, known, present):
            return _counted(present, now)
    raise VersionConflict("the breaker is being written by others all the time: try again")


def starts_in(store: StateStore, *, but: str = "") -> Mapping[str, datetime | None]:
    """When each update that has not ended was begun, by operation id; ways back by hand are no updates.

    One whose journal cannot be read must not keep others from their ends: when it was begun is not known,
    and it counts where that opens the breaker sooner.
    """
    starts: dict[str, datetime | None] = {}
    for opened in store.unfinished():
        if opened.restores is None and opened.target_id != but:
            try:
                starts |= {first.operation_id: first.at for first in store.load(opened.operation_id)[:1]}
            except CorruptState:
                starts[opened.operation_id] = None
    return starts


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
