"""Bounded caches in which one look-up serves everybody who waits for it."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

import attrs

from safeupdater.errors import RegistryError

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


@attrs.define
class _Entry(Generic[Value]):
    """A slot: its lock is held while one thread looks up, the others wait and take the answer."""

    lock: threading.Lock = attrs.field(factory=threading.Lock)
    expires_at: float = -1.0
    value: Value | None = None
    failure: RegistryError | None = None


class SharedCache(Generic[Key, Value]):
    """Answers by key, each good for a time, the least recently used forgotten first. Thread-safe.

    A refusal (an error that is not transient) is remembered too, for at most ``refusal_ttl_s``, so that a
    registry is not asked the same wrong question again and again. Transient errors are not.
    """

    def __init__(
        self, *, ttl_s: float, refusal_ttl_s: float = 0.0, max_entries: int, monotonic: Callable[[], float]
    ) -> None:
        self._ttl_s, self._refusal_ttl_s = ttl_s, min(refusal_ttl_s, ttl_s)
        self._max_entries, self._monotonic = max_entries, monotonic
        self._entries: OrderedDict[Key, _Entry[Value]] = OrderedDict()
        self._lock = threading.Lock()

    def get(
        self, key: Key, look_up: Callable[[], Value], *, ttl_s: Callable[[Value], float] | None = None
    ) -> Value:
        """The kept answer, else what ``look_up`` gives; equal keys are looked up once at a time.

        Raises:
            RegistryError: what ``look_up`` raised, now or a short while ago.
        """
        entry = self._entry(key)
        with entry.lock:
            if entry.expires_at <= self._monotonic():
                self._refresh(entry, look_up, ttl_s)
            if entry.failure is not None:
                raise entry.failure
            return entry.value  # type: ignore[return-value]

    def forget(self, key: Key | None = None) -> None:
        """Drops one answer, or all of them."""
        with self._lock:
            if key is None:
                self._entries.clear()
            else:
                self._entries.pop(key, None)

    def _entry(self, key: Key) -> _Entry[Value]:
        with self._lock:
            entry = self._entries.get(key)
            if entry is None:
                entry = self._entries[key] = _Entry()
                if len(self._entries) > self._max_entries:
                    self._entries.popitem(last=False)
            else:
                self._entries.move_to_end(key)
            return entry

    def _refresh(
        self, entry: _Entry[Value], look_up: Callable[[], Value], ttl_s: Callable[[Value], float] | None
    ) -> None:
        entry.value, entry.failure, entry.expires_at = None, None, -1.0
        try:
            value = look_up()
        except RegistryError as error:
            if error.transient:
                raise
            entry.failure, entry.expires_at = error, self._monotonic() + self._refusal_ttl_s
            # The frames of the failure hold request headers: they are not kept with it.
            error.__traceback__ = None
            return
        entry.value = value
        entry.expires_at = self._monotonic() + (self._ttl_s if ttl_s is None else ttl_s(value))

    def __len__(self) -> int:
        return len(self._entries)
