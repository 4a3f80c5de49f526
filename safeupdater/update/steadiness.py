"""Whether our clock has gone steadily for a while: brakes are forgotten by no clock that has just leapt."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from datetime import datetime, timedelta

from safeupdater.errors import VersionConflict
from safeupdater.protocols import StateStore

_KEY = "clock/steady"
_AWAY_AT_MOST = timedelta(days=7)
"""After a longer time in which nobody looked, or a step back, it must prove itself anew."""
_PROVEN_AFTER = timedelta(days=1)
_NOTED_EVERY = timedelta(hours=1)
_Span = tuple[datetime, datetime]


def is_steady(store: StateStore, now: datetime) -> bool:
    """Whether the clock went on for a day without a leap, as far as those who asked this saw; takes note.

    Whoever asks less often than once a week never hears yes.

    Raises:
        StoreError: the store did not answer.
    """
    stored = store.get("setting", _KEY)
    known = _span(stored.value) if stored is not None else None
    since, last = known or (now, now)
    if not last - _NOTED_EVERY <= now <= last + _AWAY_AT_MOST:
        since, last, known = now, now, None
    if known is None or now - last >= _NOTED_EVERY:
        span = {"since": since.isoformat(), "last": now.isoformat()}
        with contextlib.suppress(VersionConflict):
            store.put("setting", _KEY, span, expected=stored.version if stored is not None else 0)
    return now - since >= _PROVEN_AFTER


def _span(value: object) -> _Span | None:
    """The span that a record holds; None where it is no such thing."""
    if not isinstance(value, Mapping):
        return None
    try:
        since, last = (datetime.fromisoformat(str(value[name])) for name in ("since", "last"))
    except (KeyError, ValueError):
        return None
    return (since, last) if since.utcoffset() is not None and last.utcoffset() is not None else None
