"""What time a registry says it is, from the ``Date`` of its answers."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

import attrs


@attrs.define(eq=False)
class RegistryTime:
    """The time of one registry, carried on from its latest answer by the steady clock. Thread-safe."""

    _latest: tuple[datetime, float] | None = attrs.field(default=None, init=False)
    _lock: threading.Lock = attrs.field(factory=threading.Lock, init=False, repr=False)

    def note(self, headers: Mapping[str, str], monotonic_s: float) -> None:
        """Takes in an answer; one without a usable date changes nothing."""
        said = _time_of(headers)
        if said is not None:
            with self._lock:
                self._latest = (said, monotonic_s)

    def skew_s(self, now: datetime, monotonic_s: float) -> float | None:
        """How far the registry's clock is ahead of ours, in seconds; None where it never told the time."""
        latest = self._latest
        if latest is None:
            return None
        said, at_s = latest
        return (said - now).total_seconds() + (monotonic_s - at_s)


def _time_of(headers: Mapping[str, str]) -> datetime | None:
    """``Date`` and, where a cache answered, the ``Age`` of its answer (RFC 9110 §6.6.1, RFC 9111 §5.1)."""
    try:
        said = parsedate_to_datetime((headers.get("date") or "")[:64])
        age = (headers.get("age") or "0")[:10]
        passed = timedelta(seconds=int(age) if age.isascii() and age.isdigit() else 0)
        return (said if said.tzinfo else said.replace(tzinfo=UTC)).astimezone(UTC) + passed
    except (ValueError, OverflowError, TypeError, IndexError):
        return None
