"""The breaker's one record, written by several processes at once."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from safeupdater.domain.operation import Attempt, Breaker, JournalEntry
from safeupdater.errors import CorruptState, VersionConflict
from safeupdater.stores.memory import MemoryStore
from safeupdater.testing.store_samples import planned
from safeupdater.update import breaker
from safeupdater.update.breaker import HOUR

NOW = datetime(2026, 1, 5, tzinfo=UTC)
YEARS = timedelta(days=3650)


def record(store: MemoryStore) -> Breaker:
    stored = store.get("breaker", "all")
    assert stored is not None
    assert isinstance(stored.value, Breaker)
    return stored.value


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
    future = NOW + YEARS
    breaker.remember(store, went_back("early", future), future)
    known = breaker.look(Contended(store, 1), NOW)  # type: ignore[arg-type]
    assert {(item.operation_id, item.ended) for item in known.attempts} == {("early", NOW), ("other-0", NOW)}
    assert {item.ended for item in record(store).attempts} == {future, NOW}


def test_rollbacks_of_days_are_none_of_an_hour_where_the_clock_dips_behind_all_of_them() -> None:
    store = MemoryStore()
    for day in range(3):
        at = NOW + timedelta(days=day)
        breaker.remember(store, went_back(f"op-{day}", at), at)
    assert breaker.look(store, NOW - YEARS).opened is None


def test_what_happens_in_a_dip_ahead_drops_no_rollback_of_the_present() -> None:
    store = MemoryStore()
    breaker.remember(store, went_back("first"), NOW)
    breaker.remember(store, went_back("second"), NOW)
    dip = NOW + YEARS
    breaker.remember(store, Attempt(operation_id="good", started=dip, ended=dip, succeeded=True), dip)
    breaker.remember(store, went_back("third"), NOW)
    assert breaker.look(store, NOW).opened == NOW


@pytest.mark.parametrize("dip", [YEARS, -YEARS])
def test_a_dip_leaves_an_open_breaker_with_the_time_at_which_it_opened(dip: timedelta) -> None:
    store = MemoryStore()
    for number in range(3):
        breaker.remember(store, went_back(f"op-{number}"), NOW)
    before = record(store)
    breaker.look(store, NOW + dip)
    good = Attempt(operation_id="good", started=NOW + dip, ended=NOW + dip, succeeded=True)
    breaker.remember(store, good, NOW + dip)
    assert breaker.look(store, NOW + HOUR / 2).opened in (NOW, NOW + HOUR / 2)
    assert record(store).opened == before.opened == NOW
    assert breaker.look(store, NOW + 2 * HOUR).opened is not None
    later = NOW + 2 * HOUR
    breaker.remember(store, Attempt(operation_id="better", started=later, ended=later, succeeded=True), later)
    assert breaker.look(store, later).opened is None


def test_who_never_gets_a_word_in_says_so_and_has_written_nothing() -> None:
    store = MemoryStore()
    with pytest.raises(VersionConflict, match="try again"):
        breaker.remember(Contended(store, 10_000), went_back("ours"), NOW)  # type: ignore[arg-type]
    assert "ours" not in {item.operation_id for item in record(store).attempts}


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


class PartlyNewer:
    """A store in which the journal of one operation is of a newer safeupdater."""

    def __init__(self, store: MemoryStore, operation_id: str) -> None:
        self.store = store
        self.operation_id = operation_id

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)

    def load(self, operation_id: str, after: int = 0) -> tuple[JournalEntry, ...]:
        if operation_id == self.operation_id:
            raise CorruptState("it was written by a newer safeupdater")
        return self.store.load(operation_id, after)


def test_a_journal_that_cannot_be_read_keeps_no_other_operation_from_its_end() -> None:
    store = MemoryStore()
    for name in ("newer", "readable"):
        store.append(name, [planned(name, name)], expected_version=0, at=NOW)
    partly = PartlyNewer(store, "newer")
    assert breaker.starts_in(partly) == {"readable": NOW, "newer": None}  # type: ignore[arg-type]
    breaker.remember(partly, went_back("ours"), NOW)  # type: ignore[arg-type]
    assert [item.operation_id for item in record(store).attempts] == ["ours"]


def test_what_cannot_be_read_opens_it_no_later() -> None:
    ended = [Attempt(operation_id=f"good-{number}", started=NOW, ended=NOW) for number in range(3)]
    known = Breaker(attempts=(*ended, went_back("bad")))
    assert breaker.tripped(known, dict, NOW).opened is None
    for start in (NOW, None):
        opened = breaker.tripped(known, lambda start=start: {"under way": start}, NOW)  # type: ignore[misc]
        assert opened.opened == NOW
