"""The machine's own clock, for stores that are made without one."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime

_STEP_S = 0.05


class SystemClock:
    """Wall clock, monotonic clock and waiting as the operating system gives them."""

    def now(self) -> datetime:
        """The wall clock in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds since an arbitrary moment."""
        return time.monotonic()

    def wait(self, delay_s: float, interrupted: Callable[[], bool]) -> None:
        """Sleeps in short steps, so that an interruption is noticed within a twentieth of a second."""
        end = time.monotonic() + delay_s
        while not interrupted():
            left = end - time.monotonic()
            if left <= 0:
                return
            time.sleep(min(left, _STEP_S))
