"""How much a registry is asked at once: parallel requests, pace, and silence where it asked for that."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from safeupdater.errors import RateLimited, RegistryError
from safeupdater.registries.oci.network import Deadline
from safeupdater.registries.oci.settings import RegistrySettings

_PATIENCE = 8
_ABSENCE_S = 60.0


class Budget:
    """The share of one registry's attention that we take. Thread-safe."""

    def __init__(
        self,
        registry: str,
        settings: RegistrySettings,
        *,
        monotonic: Callable[[], float],
        wait: Callable[[float], None],
    ) -> None:
        self._registry = registry
        self._failures = 0
        self._slots = threading.BoundedSemaphore(settings.max_parallel)
        self._interval_s = 0.0 if settings.requests_per_s is None else 1.0 / settings.requests_per_s
        self._monotonic, self._wait = monotonic, wait
        self._next_at = float("-inf")
        self._silent_until = self._absent_until = float("-inf")
        self._lock = threading.Lock()

    @contextmanager
    def slot(self, deadline: Deadline) -> Iterator[None]:
        """A place among the parallel requests, at the registry's pace.

        Raises:
            RateLimited: the registry asked for silence until later.
            RegistryError: no place became free by the deadline.
        """
        self._check_silence()
        self._check_absence()
        if not self._slots.acquire(timeout=deadline.left_s()):
            raise self._busy()
        try:
            if self._interval_s:
                self._keep_pace(deadline)
            yield
        finally:
            self._slots.release()

    def be_silent(self, seconds: float) -> None:
        """Takes note that the registry asked for silence: nobody asks it before that time."""
        with self._lock:
            self._silent_until = max(self._silent_until, self._monotonic() + seconds)

    def note(self, *, answered: bool) -> None:
        """Takes note that the registry gave some answer or none; after several times none, it is left alone.

        So a registry that hangs costs a check of hundreds of repositories a few time-outs and not hundreds.
        """
        with self._lock:
            self._failures = 0 if answered else self._failures + 1
            if self._failures >= _PATIENCE:
                self._failures = 0
                self._absent_until = self._monotonic() + _ABSENCE_S

    def _check_absence(self) -> None:
        if self._monotonic() < self._absent_until:
            raise RegistryError(
                f"{self._registry} did not answer several times in a row: try again in a minute",
                code="unreachable", transient=True, registry=self._registry,
            )  # fmt: skip

    def _check_silence(self) -> None:
        left = self._silent_until - self._monotonic()
        if left > 0:
            raise RateLimited(
                f"{self._registry} asked us to slow down: try again in {left:.0f} s",
                retry_after_s=left, registry=self._registry,
            )  # fmt: skip

    def _keep_pace(self, deadline: Deadline) -> None:
        with self._lock:
            now = self._monotonic()
            delay = max(0.0, self._next_at - now)
            if delay > deadline.left_s():
                raise self._busy()
            self._next_at = now + delay + self._interval_s
        if delay:
            self._wait(delay)

    def _busy(self) -> RegistryError:
        return RegistryError(
            f"{self._registry} is asked as fast as its settings allow: raise requests_per_s or max_parallel",
            code="timeout", transient=True, registry=self._registry,
        )  # fmt: skip
