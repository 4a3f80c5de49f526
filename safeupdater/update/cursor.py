"""A reader's place in the journal, kept in the store: what it has done with is not read again."""

from __future__ import annotations

from safeupdater.domain.operation import JournalEntry
from safeupdater.errors import CorruptState, VersionConflict
from safeupdater.protocols import StateStore

CURSORS = "cursor/"
"""What the keys of such places begin with, among the records of kind ``setting``."""


class JournalCursor:
    """Reads the journal in commit order, and goes on after a crash where it last kept its place.

    One that is new begins at the present end: what happened before anybody wanted to know is not told. What
    was read and not yet kept is read again, so what is done with an entry must bear being done twice.

    Raises:
        StoreError: the store did not answer; making one and every method may raise it.
    """

    def __init__(self, store: StateStore, name: str) -> None:
        self._store = store
        self._key = f"{CURSORS}{name}"
        if store.get("setting", self._key) is None:
            self.keep(last_position(store))

    @property
    def position(self) -> int:
        """The position of the last entry that was done with."""
        return self._kept()[0]

    def read(self, limit: int = 200) -> tuple[JournalEntry, ...]:
        """The next entries; empty where there is nothing new."""
        return self._store.since(self.position, limit)

    def keep(self, position: int) -> None:
        """Remembers durably that everything up to a position is done with; it never goes back."""
        while True:
            kept, version = self._kept()
            if version and kept >= position:
                return
            try:
                self._store.put("setting", self._key, position, expected=version)
            except VersionConflict:
                continue  # another process with the same reader was faster: see how far it came
            return

    def _kept(self) -> tuple[int, int]:
        """The place and the version of its record; (0, 0) where there is none."""
        stored = self._store.get("setting", self._key)
        if stored is None:
            return 0, 0
        if type(stored.value) is not int:
            raise CorruptState(f"the setting {self._key} is no position in the journal: delete it")
        return stored.value, stored.version


def last_position(store: StateStore) -> int:
    """The position of the newest entry, 0 in an empty journal; found in O(log n) reads of one entry."""
    last, beyond = 0, 1
    while page := store.since(beyond, 1):
        last = page[0].position
        beyond = 2 * last
    while last < beyond:
        middle = (last + beyond) // 2
        page = store.since(middle, 1)
        last, beyond = (page[0].position, beyond) if page else (last, middle)
    return last
