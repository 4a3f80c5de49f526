"""The breaker's one record, written by several processes at once."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from safeupdater.domain.operation import Attempt, Breaker
from safeupdater.errors import VersionConflict
from safeupdater.stores.memory import MemoryStore
from safeupdater.update import breaker

NOW = datetime(2026, 1, 5, tzinfo=UTC)


def went_back(name: str, at: datetime = NOW) -> Attempt:
    return Attempt(operation_id=name, started=at, ended=at, went_back=True)


class Contended:
    """A store in which somebody else writes between the reading and the writing, ``times`` times."""

    def __init__(self, store: MemoryStore, times: int) -> None:
        self.store = store
        self.left = times

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)

    def put(self, kind: str, key: str, value: object, *, expected: int | None = None) -> int:
        if self.left:
            self.left -= 1
            breaker.remember(self.store, went_back(f"other-{self.left}"), NOW)
        return self.store.put(kind, key, value, expected=expected)


def test_what_others_say_meanwhile_is_not_overwritten() -> None:
    store = MemoryStore()
    breaker.remember(Contended(store, 2), went_back("ours"), NOW)  # type: ignore[arg-type]
    known = breaker.look(store, NOW)
    assert {item.operation_id for item in known.attempts} == {"ours", "other-0", "other-1"}
    assert known.opened == NOW


def test_the_clocks_correction_gives_way_to_others_too() -> None:
    store = MemoryStore()
    future = NOW + timedelta(days=3650)
    breaker.remember(store, went_back("early", future), future)
    known = breaker.look(Contended(store, 1), NOW)  # type: ignore[arg-type]
    assert {(item.operation_id, item.ended) for item in known.attempts} == {("early", NOW), ("other-0", NOW)}


def test_who_never_gets_a_word_in_says_so_and_has_written_nothing() -> None:
    store = MemoryStore()
    with pytest.raises(VersionConflict, match="try again"):
        breaker.remember(Contended(store, 10_000), went_back("ours"), NOW)  # type: ignore[arg-type]
    stored = store.get("breaker", "all")
    assert stored is not None
    assert isinstance(stored.value, Breaker)
    assert "ours" not in {item.operation_id for item in stored.value.attempts}


def test_eight_threads_lose_no_rollback() -> None:
    store = MemoryStore()
    names = [f"op-{number}" for number in range(8)]
    threads = [
        threading.Thread(target=breaker.remember, args=(store, went_back(name), NOW)) for name in names
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {item.operation_id for item in breaker.look(store, NOW).attempts} == set(names)
