"""Time under a test's control."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta


class FakeClock:
    """A clock that moves only when told to, or when somebody waits on it.

    The wall clock can be made to jump without the monotonic one noticing, as real ones do.
    """

    is_for_one_thread = True
    """Several threads that wait on it would each move it: an updater then uses only the calling one."""

    def __init__(self, start: datetime = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)) -> None:
        self._zero = start
        self._now: datetime | None = None
        self._monotonic_s = 0.0
        self.waits: list[float] = []

    def now(self) -> datetime:
        """The wall clock."""
        if self._now is None:
            self._now = self._zero + timedelta(seconds=self._monotonic_s)
        return self._now

    def monotonic(self) -> float:
        """Seconds that never go back."""
        return self._monotonic_s

    def wait(self, delay_s: float, interrupted: Callable[[], bool]) -> None:
        """Lets the time pass at once, unless interrupted already."""
        if not interrupted():
            self.waits.append(delay_s)
            self._monotonic_s += delay_s
            self._now = None

    def advance(self, seconds: float) -> None:
        """Lets time pass on both clocks."""
        self._monotonic_s += seconds
        self._now = None

    def jump(self, step: timedelta) -> None:
        """Sets the wall clock forward or back."""
        self._zero += step
        self._now = None
