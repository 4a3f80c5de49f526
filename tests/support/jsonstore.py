"""A JSON store with something in it, and what a kill does to it."""

from __future__ import annotations

from pathlib import Path

from safeupdater.domain.operation import JournalEntry, StepDone
from safeupdater.stores.jsonfile import JsonFileStore
from safeupdater.testing.clock import FakeClock
from safeupdater.testing.filesystem import FaultyFileSystem
from safeupdater.testing.stores import INTENDED, START, asset, planned

JOURNAL = Path("s/journal.jsonl")


def fill(path: Path, bytes_wanted: int = 0, files: FaultyFileSystem | None = None) -> JsonFileStore:
    """A store with an operation under way, and as many events as make the journal that long."""
    store = JsonFileStore(path, FakeClock(), files=files)
    store.put("asset", "memory://here/web", asset())
    store.acquire("memory://here/web", "me", 60)
    version = store.append("op-1", [planned()], expected_version=0, at=START)
    while (path / "journal.jsonl").stat().st_size < bytes_wanted:
        event = StepDone(phase=INTENDED.phase, step="pull", detail="x" * 40 + str(version))
        version = store.append("op-1", [event], expected_version=version, at=START)
    return store


def abandon(store: JsonFileStore) -> None:
    """What a kill does: nothing is written any more, and the system takes the lock back."""
    assert store._lock is not None
    store._lock.release()
    store._lock = store._log = None


def events_of(entries: tuple[JournalEntry, ...]) -> list[object]:
    return [entry.event for entry in entries]
