"""A reader's place in the journal: it begins at the end, never goes back, and is found quickly."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safeupdater.domain.operation import JournalEntry, Resumed
from safeupdater.errors import CorruptState
from safeupdater.stores import MemoryStore, copy_state
from safeupdater.update.cursor import JournalCursor, last_position

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)


class Journal(MemoryStore):
    """A store with entries at some positions, that counts how often it is read."""

    def __init__(self, positions: list[int]) -> None:
        super().__init__()
        self.positions = positions
        self.reads = 0

    def since(self, cursor: int, limit: int = 1000) -> tuple[JournalEntry, ...]:
        self.reads += 1
        after = [position for position in self.positions if position > cursor][:limit]
        return tuple(
            JournalEntry(
                operation_id="op", target_id="t", version=1, position=position, at=NOW, epoch=1,
                event=Resumed(by="x", epoch=1),
            )
            for position in after
        )  # fmt: skip


@given(st.sets(st.integers(1, 10_000), max_size=30))
def test_the_last_position_is_found_wherever_it_is(positions: set[int]) -> None:
    assert last_position(Journal(sorted(positions))) == max(positions, default=0)


def test_it_is_found_in_few_reads() -> None:
    journal = Journal(list(range(1, 100_001)))
    assert last_position(journal) == 100_000
    assert journal.reads <= 40


def test_a_reader_begins_at_the_end_and_goes_on_where_it_was() -> None:
    journal = Journal([1, 2, 3])
    first = JournalCursor(journal, "audit")
    assert first.read() == ()
    journal.positions += [4, 5, 6]
    assert [entry.position for entry in first.read(2)] == [4, 5]
    first.keep(4)
    again = JournalCursor(journal, "audit")
    assert [entry.position for entry in again.read()] == [5, 6]
    assert JournalCursor(journal, "other").read() == ()


def test_a_reader_that_was_overtaken_does_not_take_the_place_back() -> None:
    journal = Journal([])
    slow, fast = JournalCursor(journal, "audit"), JournalCursor(journal, "audit")
    fast.keep(9)
    slow.keep(5)
    assert (slow.position, fast.position) == (9, 9)


def test_two_that_write_at_once_leave_the_farther_place() -> None:
    class Racing(Journal):
        def put(self, kind: str, key: str, value: object, *, expected: int | None = None) -> int:
            if value == 5 and self.positions:
                self.positions = []
                super().put(kind, key, 9)  # another process, between the look and the write
            return super().put(kind, key, value, expected=expected)

    journal = Racing([1])
    cursor = JournalCursor(journal, "audit")
    cursor.keep(5)
    assert cursor.position == 9


def test_a_place_that_is_none_is_said() -> None:
    journal = Journal([])
    journal.put("setting", "cursor/audit", "nine")
    with pytest.raises(CorruptState, match="cursor/audit is no position"):
        JournalCursor(journal, "audit").read()


def test_a_place_is_not_carried_to_another_store_where_positions_begin_anew() -> None:
    source, target = MemoryStore(), MemoryStore()
    source.put("setting", "greeting", "hello")
    JournalCursor(source, "audit").keep(900)
    copy_state(source, target)
    assert [key for key, _ in target.iterate("setting")] == ["greeting"]
