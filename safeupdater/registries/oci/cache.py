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


@attrs.define(eq=False)
class _Entry(Generic[Value]):
    """A slot: its lock is held while one thread looks up, the others wait and take the answer."""

    lock: threading.Lock = attrs.field(factory=threading.Lock)
    expires_at: float = -1.0
    value: Value | None = None
    failure: RegistryError | None = None
    weight: int = 0


class SharedCache(Generic[Key, Value]):
    """Answers by key, each good for a time, the least recently used forgotten first. Thread-safe.

    A refusal (an error that is not transient) is remembered too, for at most ``refusal_ttl_s``, so that a
    registry is not asked the same wrong question again and again. Transient errors are not. ``weigh`` says
    how much an answer counts against ``max_weight``, by default one.
    """

    def __init__(
        self,
        *,
        ttl_s: float,
        refusal_ttl_s: float = 0.0,
        max_entries: int,
        monotonic: Callable[[], float],
        weigh: Callable[[Value], int] = lambda value: 1,
        max_weight: int | None = None,
    ) -> None:
        self._ttl_s, self._refusal_ttl_s = ttl_s, min(refusal_ttl_s, ttl_s)
        self._max_entries, self._monotonic = max_entries, monotonic
        self._weigh, self._max_weight = weigh, max_entries if max_weight is None else max_weight
        self._weight = 0
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
                self._refresh(key, entry, look_up, ttl_s)
            if entry.failure is not None:
                # Without the frames of whoever raised it before, which would pile up and hold headers.
                raise entry.failure.with_traceback(None)
            return entry.value  # type: ignore[return-value]

    def forget(self, key: Key | None = None) -> None:
        """Drops one answer, or all of them."""
        with self._lock:
            if key is None:
                self._entries.clear()
                self._weight = 0
            elif (dropped := self._entries.pop(key, None)) is not None:
                self._weight -= dropped.weight

    def _entry(self, key: Key) -> _Entry[Value]:
        with self._lock:
            entry = self._entries.get(key)
            if entry is None:
                entry = self._entries[key] = _Entry()
                self._make_room()
            else:
                self._entries.move_to_end(key)
            return entry

    def _make_room(self) -> None:
        """Forgets the least recently used; the last one stays, however heavy: somebody waits for it."""
        while len(self._entries) > self._max_entries or (
            self._weight > self._max_weight and len(self._entries) > 1
        ):
            self._weight -= self._entries.popitem(last=False)[1].weight

    def _refresh(
        self,
        key: Key,
        entry: _Entry[Value],
        look_up: Callable[[], Value],
        ttl_s: Callable[[Value], float] | None,
    ) -> None:
        self._reweigh(key, entry, 0)
        entry.value, entry.failure, entry.expires_at = None, None, -1.0
        try:
            value = look_up()
        except RegistryError as error:
            if error.transient:
                raise
            entry.failure, entry.expires_at = error, self._monotonic() + self._refusal_ttl_s
            return
        entry.value = value
        self._reweigh(key, entry, self._weigh(value))
        entry.expires_at = self._monotonic() + (self._ttl_s if ttl_s is None else ttl_s(value))

    def _reweigh(self, key: Key, entry: _Entry[Value], weight: int) -> None:
        with self._lock:
            if self._entries.get(key) is entry:
                self._weight += weight - entry.weight
                entry.weight = weight
                self._make_room()

    def __len__(self) -> int:
        return len(self._entries)
