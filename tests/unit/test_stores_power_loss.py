"""The JSON store after a power cut: every legal combination of what reached the disk and what did not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import timedelta

import pytest

from safeupdater.domain.operation import Finished, Outcome, StepDone
from safeupdater.errors import CorruptState
from safeupdater.stores.jsonfile import JsonFileStore
from safeupdater.testing.clock import FakeClock
from safeupdater.testing.filesystem import MemoryFileSystem
from safeupdater.testing.power_loss import RecordingFileSystem, disks_after_power_cuts
from safeupdater.testing.stores import DONE, INTENDED, START, asset, planned, snapshot

ABORTED = Finished(outcome=Outcome.ABORTED)
EVENTS = [planned(), INTENDED, DONE, ABORTED]
BULK = StepDone(phase=INTENDED.phase, step="pull", detail="x" * 100_000)

Reached = list[tuple[int, int]]
"""How many calls were recorded when that many events of ``op-1`` had been acknowledged."""


def short_life(files: RecordingFileSystem, reached: Reached) -> None:
    """Snapshots written and deleted, a checkpoint, an operation from its begin to its end."""
    with JsonFileStore("s", FakeClock(), files=files) as store:
        for number in range(len(EVENTS)):
            store.append("op-1", EVENTS[number : number + 1], expected_version=number, at=START)
            reached.append((files.length, number + 1))
            store.put("snapshot", f"op-{number}", snapshot(env=[str(number)]))
            store.put("asset", "memory://here/web", asset())
            if number == 1:
                store.checkpoint()
                store.delete("snapshot", "op-0")


def compacting_life(files: RecordingFileSystem, reached: Reached) -> None:
    """A long journal that is pruned and compacted, and written to afterwards."""
    with JsonFileStore("s", FakeClock(), files=files) as store:
        for number in range(2, 8):
            events = [planned(f"op-{number}", f"t{number}"), BULK, ABORTED]
            store.append(f"op-{number}", events, expected_version=0, at=START)
        store.append("op-1", EVENTS[:2], expected_version=0, at=START)
        reached.append((files.length, 2))
        store.prune(START + timedelta(days=1), keep_per_target=0)
        store.checkpoint()
        store.append("op-1", EVENTS[2:], expected_version=2, at=START)
        reached.append((files.length, 4))


def second_life(files: RecordingFileSystem, reached: Reached) -> None:
    """A store that is opened over what another left."""
    short_life(files, reached)
    with JsonFileStore("s", FakeClock(), files=files) as store:
        store.append("op-9", [planned("op-9", "t9")], expected_version=0, at=START)


LIVES = [short_life, compacting_life, second_life]


def check(disk: MemoryFileSystem, acknowledged: int) -> None:
    """Opens what is left: everything acknowledged is there, nothing else is, and it can be written to."""
    with JsonFileStore("s", FakeClock(), files=disk) as store:
        events = [entry.event for entry in store.load("op-1")]
        assert events == EVENTS[: len(events)]
        assert len(events) >= acknowledged
        for key, stored in store.iterate("snapshot"):
            assert stored.value == snapshot(env=[key.removeprefix("op-")])
        store.put("setting", "k", 1)


@pytest.mark.parametrize("life", LIVES)
def test_no_power_cut_loses_what_was_acknowledged_or_leaves_what_cannot_be_read(
    life: Callable[[RecordingFileSystem, Reached], None],
) -> None:
    files = RecordingFileSystem()
    reached: Reached = []
    life(files, reached)
    tried: Counter[str] = Counter()
    for cut in disks_after_power_cuts(files):
        acknowledged = max((events for length, events in reached if length <= cut.after), default=0)
        try:
            check(cut.disk, acknowledged)
        except (AssertionError, CorruptState) as error:
            raise AssertionError(f"cut after {cut.after}, lost {cut.lost}") from error
        tried["cuts"] += 1
        tried.update(name.split()[0] for name in cut.lost)
    assert tried["cuts"] > 60
    for kind in ("write", "rename", "name", "content"):
        assert tried[kind] > 3, f"the loss of a {kind} was never tried: {tried}"


@pytest.mark.parametrize("of_a", ["directory", "file"])
def test_a_sync_that_is_forgotten_would_be_noticed(of_a: str) -> None:
    files = RecordingFileSystem()
    reached: Reached = []
    short_life(files, reached)
    files.forget_syncs(of_directories=of_a == "directory")
    broken = 0
    for cut in disks_after_power_cuts(files, most_lost=1):
        acknowledged = max((events for length, events in reached if length <= cut.after), default=0)
        try:
            check(cut.disk, acknowledged)
        except (AssertionError, CorruptState):
            broken += 1
    assert broken > 10
