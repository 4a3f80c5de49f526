"""The store in a directory on a failing disk: full, not syncing, gone at any call."""

from __future__ import annotations

import errno
from datetime import timedelta
from pathlib import Path

import pytest

from safeupdater.domain.operation import (
    Event,
    Finished,
    Outcome,
    Phase,
    StepDone,
    StepFailed,
    StepIntended,
    StepStatus,
    Verdict,
    VerdictReached,
)
from safeupdater.errors import StoreError
from safeupdater.stores.jsonfile import JsonFileStore
from safeupdater.testing.clock import FakeClock
from safeupdater.testing.filesystem import Crash, Fault, FaultyFileSystem, MemoryFileSystem, Mishap
from safeupdater.testing.stores import DONE, INTENDED, START, planned, snapshot
from tests.support.jsonstore import JOURNAL, abandon, events_of, fill


def faulty_put(path: Path, *faults: Fault) -> tuple[JsonFileStore, FaultyFileSystem]:
    """A store whose next changing calls fail; calls count from the next one."""
    files = FaultyFileSystem()
    store = fill(path, files=files)
    base = len(files.calls)
    files.faults = tuple(
        Fault(call=base + fault.call, mishap=fault.mishap, errno=fault.errno) for fault in faults
    )
    return store, files


@pytest.mark.parametrize("mishap", [Mishap.ERROR, Mishap.PARTIAL])
@pytest.mark.parametrize("cause", [errno.ENOSPC, errno.EDQUOT], ids=["disk", "quota"])
def test_a_full_disk_loses_nothing_and_the_next_try_works(tmp_path: Path, mishap: Mishap, cause: int) -> None:
    store, _ = faulty_put(tmp_path / "s", Fault(call=1, mishap=mishap, errno=cause))
    before = (tmp_path / "s/journal.jsonl").read_bytes()
    with pytest.raises(StoreError) as refused:
        store.append("op-1", [INTENDED], expected_version=1, at=START)
    assert (refused.value.code, refused.value.transient) == ("disk_full", True)
    assert (tmp_path / "s/journal.jsonl").read_bytes() == before
    assert len(store.load("op-1")) == 1
    assert store.append("op-1", [DONE], expected_version=1, at=START) == 2
    abandon(store)
    with JsonFileStore(tmp_path / "s") as again:
        assert events_of(again.load("op-1")) == [planned(), DONE]


def test_after_a_failed_sync_nothing_is_written_until_the_store_is_opened_again(tmp_path: Path) -> None:
    store, files = faulty_put(tmp_path / "s", Fault(call=2, mishap=Mishap.ERROR, errno=errno.EIO))
    with pytest.raises(StoreError) as refused:
        store.append("op-1", [INTENDED], expected_version=1, at=START)
    assert refused.value.code == "sync_failed"
    calls = len(files.calls)
    for change in (
        lambda: store.append("op-1", [INTENDED], expected_version=1, at=START),
        lambda: store.put("setting", "k", 1),
        lambda: store.acquire("other", "me", 60),
        store.checkpoint,
    ):
        with pytest.raises(StoreError) as broken:
            change()
        assert broken.value.code == "store_broken"
    assert len(store.load("op-1")) == 1, "reading still works, and shows only what is durable"
    store.close()
    assert len(files.calls) == calls, "not a byte was written, nor a sync asked for again"
    with JsonFileStore(tmp_path / "s") as again:
        assert len(again.load("op-1")) in (1, 2)
        assert again.put("setting", "k", 1) == 1


def test_a_write_that_cannot_be_undone_stops_the_store(tmp_path: Path) -> None:
    store, _ = faulty_put(
        tmp_path / "s",
        Fault(call=1, mishap=Mishap.PARTIAL, errno=errno.ENOSPC),
        Fault(call=2, mishap=Mishap.ERROR),
    )
    with pytest.raises(StoreError):
        store.put("setting", "k", 1)
    with pytest.raises(StoreError) as broken:
        store.put("setting", "k", 1)
    assert broken.value.code == "store_broken"
    store.close()
    with JsonFileStore(tmp_path / "s") as again:
        assert again.get("setting", "k") is None
        assert len(again.load("op-1")) == 1


def test_what_a_dead_writer_had_not_synced_is_written_and_synced_before_it_counts(tmp_path: Path) -> None:
    abandon(fill(tmp_path / "s"))
    files = FaultyFileSystem()
    with JsonFileStore(tmp_path / "s", files=files) as store:
        assert files.calls == ["make_directory", "write", "sync"]
        assert len(store.load("op-1")) == 1


# --- full at the k-th byte ----------------------------------------------------------------------------------


def nearly_full(room_bytes: int) -> tuple[MemoryFileSystem, JsonFileStore]:
    """A store without a reserve on a disk that has so many bytes left."""
    disk = MemoryFileSystem()
    store = JsonFileStore("s", FakeClock(), files=disk)
    store.append("op-1", [planned()], expected_version=0, at=START)
    disk.remove(Path("s/reserve"))
    disk.capacity_bytes = disk.used_bytes + room_bytes
    return disk, store


def length_of_an_append() -> int:
    disk, store = nearly_full(10_000)
    before = len(disk.files[JOURNAL])
    store.append("op-1", [INTENDED], expected_version=1, at=START)
    return len(disk.files[JOURNAL]) - before


def test_a_disk_that_is_full_at_any_byte_of_an_append_loses_nothing() -> None:
    length = length_of_an_append()
    assert length > 200
    for room in range(length):
        disk, store = nearly_full(room)
        before = bytes(disk.files[JOURNAL])
        with pytest.raises(StoreError) as refused:
            store.append("op-1", [INTENDED], expected_version=1, at=START)
        assert (refused.value.code, refused.value.transient) == ("disk_full", True)
        assert bytes(disk.files[JOURNAL]) == before, "what was written of it is cut off"
        disk.capacity_bytes = None
        assert store.append("op-1", [DONE], expected_version=1, at=START) == 2
        abandon(store)
        with JsonFileStore("s", FakeClock(), files=disk) as again:
            assert events_of(again.load("op-1")) == [planned(), DONE]


def test_a_crash_at_any_byte_of_an_append_on_a_full_disk_loses_nothing() -> None:
    for room in range(length_of_an_append()):
        disk, store = nearly_full(room)
        disk.truncate_fails = True
        with pytest.raises(StoreError):
            store.append("op-1", [INTENDED], expected_version=1, at=START)
        with pytest.raises(StoreError) as broken:
            store.append("op-1", [INTENDED], expected_version=1, at=START)
        assert broken.value.code == "store_broken"
        abandon(store)
        disk.capacity_bytes, disk.truncate_fails = None, False
        with JsonFileStore("s", FakeClock(), files=disk) as again:
            # All of it but the end of its line: that is complete, so it may count.
            assert events_of(again.load("op-1")) in ([planned()], [planned(), INTENDED])


WAY_BACK = (
    VerdictReached(verdict=Verdict.RESTORE, code="unhealthy", message="it fails"),
    StepIntended(phase=Phase.RESTORING, step="start_old"),
    StepDone(phase=Phase.RESTORING, step="start_old"),
    StepFailed(phase=Phase.DISCARDING, step="remove", status=StepStatus.RETRY, code="c", message="m"),
    Finished(outcome=Outcome.ROLLED_BACK),
)
FORWARD = (
    StepIntended(phase=Phase.SWITCHING, step="stop_old"),
    StepDone(phase=Phase.COMMITTING, step="remove_old"),
    VerdictReached(verdict=Verdict.COMMIT, code="healthy", message="it is well"),
)


def full() -> tuple[MemoryFileSystem, JsonFileStore]:
    """A store with its reserve on a disk that has not one byte left."""
    disk = MemoryFileSystem()
    store = JsonFileStore("s", FakeClock(), files=disk)
    store.append("op-1", [planned(), INTENDED], expected_version=0, at=START)
    disk.capacity_bytes = disk.used_bytes
    return disk, store


@pytest.mark.parametrize("event", FORWARD)
def test_nothing_new_gets_the_room_that_is_kept_for_the_way_back(event: Event) -> None:
    disk, store = full()
    with pytest.raises(StoreError) as refused:
        store.append("op-1", [event], expected_version=2, at=START)
    assert refused.value.code == "disk_full"
    assert len(disk.files[Path("s/reserve")]) == 65_536


@pytest.mark.parametrize("event", WAY_BACK)
def test_the_way_back_is_journaled_on_a_full_disk(event: Event) -> None:
    disk, store = full()
    assert store.append("op-1", [event], expected_version=2, at=START) == 3
    store.put("setting", "what follows", 1)
    abandon(store)
    with JsonFileStore("s", FakeClock(), files=disk) as again:
        assert again.load("op-1")[-1].event == event


@pytest.mark.parametrize("is_reopened", [False, True])
def test_what_a_way_back_needs_besides_its_events_gets_the_room_too(is_reopened: bool) -> None:
    disk, store = full()
    disk.capacity_bytes = None
    lease = store.acquire("web", "me", 60)
    assert lease is not None
    store.append("op-1", WAY_BACK[:2], expected_version=2, at=START)
    if is_reopened:
        abandon(store)
        store = JsonFileStore("s", FakeClock(), files=disk)
    disk.capacity_bytes = disk.used_bytes
    store.renew(lease, 60)
    store.put("setting", "quarantined", 1)
    store.append("op-1", [WAY_BACK[-1]], expected_version=4, at=START)
    disk.capacity_bytes = disk.used_bytes
    with pytest.raises(StoreError):
        store.put("setting", "what has nothing to do with it", 1)


def test_room_that_was_used_is_kept_again_when_there_is_some() -> None:
    disk, store = full()
    store.append("op-1", [WAY_BACK[-1]], expected_version=2, at=START)
    assert Path("s/reserve") not in disk.files
    store.checkpoint()
    assert len(disk.files.get(Path("s/reserve"), b"")) < 65_536, "there is no room for it yet"
    disk.capacity_bytes = None
    store.checkpoint()
    assert len(disk.files[Path("s/reserve")]) == 65_536


def test_a_store_opens_on_a_disk_without_room_for_a_reserve() -> None:
    disk = MemoryFileSystem(capacity_bytes=5_000)
    with JsonFileStore("s", FakeClock(), files=disk) as store:
        assert store.free_bytes() is not None
        store.put("setting", "k", 1)


def test_a_store_says_how_much_room_its_disk_has(tmp_path: Path) -> None:
    with JsonFileStore(tmp_path / "s") as store:
        free = store.free_bytes()
    assert free is not None
    assert free > 0


def life(path: Path, files: FaultyFileSystem) -> list[int]:
    """A whole life of a store; gives, per finished call, how many events the journal had."""
    acknowledged: list[int] = []
    with JsonFileStore(path, FakeClock(), files=files) as store:
        store.append("op-1", [planned()], expected_version=0, at=START)
        acknowledged.append(1)
        store.put("snapshot", "op-1", snapshot())
        store.append("op-1", [INTENDED, DONE], expected_version=1, at=START)
        acknowledged.append(3)
        store.checkpoint()
        store.delete("snapshot", "op-1")
        store.append("op-1", [Finished(outcome=Outcome.ABORTED)], expected_version=3, at=START)
        acknowledged.append(4)
    return acknowledged


CALLS_OF_A_LIFE = 25


def test_the_number_of_calls_of_a_life_is_known(tmp_path: Path) -> None:
    files = FaultyFileSystem()
    assert life(tmp_path / "s", files) == [1, 3, 4]
    assert len(files.calls) == CALLS_OF_A_LIFE, files.calls


@pytest.mark.parametrize("power_cut", [False, True])
@pytest.mark.parametrize("mishap", [Mishap.CRASH_BEFORE, Mishap.TORN, Mishap.CRASH_AFTER])
@pytest.mark.parametrize("call", range(1, CALLS_OF_A_LIFE + 1))
def test_a_crash_at_any_call_leaves_a_store_that_opens_and_holds_what_was_acknowledged(
    call: int, mishap: Mishap, power_cut: bool
) -> None:
    disk = MemoryFileSystem()
    files = FaultyFileSystem((Fault(call=call, mishap=mishap),), power_cut=power_cut, inner=disk)
    with pytest.raises(Crash):
        life(Path("s"), files)
    acknowledged = _acknowledged_before(files.calls)
    with JsonFileStore("s", FakeClock(), files=disk) as store:
        found = events_of(store.load("op-1"))
        assert found == [planned(), INTENDED, DONE, Finished(outcome=Outcome.ABORTED)][: len(found)]
        assert len(found) in {0, 1, 3, 4}
        assert len(found) >= acknowledged
        for _, stored in store.iterate("snapshot"):
            assert stored.value == snapshot()
        store.put("setting", "k", 1)


BULK = StepDone(phase=INTENDED.phase, step="pull", detail="x" * 200_000)


def old_age(path: Path, files: FaultyFileSystem) -> int:
    """Prunes a long journal and compacts it; gives the position that the next operation gets."""
    with JsonFileStore(path, FakeClock(), files=files) as store:
        store.prune(START + timedelta(days=1), keep_per_target=0, keep={"op-1"})
        store.checkpoint()
        store.append("op-9", [planned("op-9", "t9")], expected_version=0, at=START)
        return store.load("op-9")[0].position


def aged() -> tuple[MemoryFileSystem, int]:
    """A disk with three ended operations of 200 kB each, and the last position that was given."""
    disk = MemoryFileSystem()
    store = JsonFileStore("s", FakeClock(), files=disk)
    for number in range(3):
        events = [planned(f"op-{number}", f"t{number}"), BULK, Finished(outcome=Outcome.ABORTED)]
        store.append(f"op-{number}", events, expected_version=0, at=START)
    last = store.since(0)[-1].position
    abandon(store)  # closing would compact the journal already
    return disk, last


def calls_of_an_old_age() -> int:
    disk, last = aged()
    files = FaultyFileSystem(inner=disk)
    assert old_age(Path("s"), files) == last + 1
    assert len(disk.files[JOURNAL]) < 300_000, "the space came back"
    assert "create journal.jsonl.new" in files.calls
    return len(files.calls)


@pytest.mark.parametrize("mishap", [Mishap.CRASH_BEFORE, Mishap.TORN, Mishap.CRASH_AFTER])
@pytest.mark.parametrize("power_cut", [False, True])
def test_a_crash_while_pruning_loses_whole_operations_or_none_and_no_position_comes_back(
    mishap: Mishap, power_cut: bool
) -> None:
    for call in range(1, calls_of_an_old_age() + 1):
        disk, last = aged()
        files = FaultyFileSystem((Fault(call=call, mishap=mishap),), power_cut=power_cut, inner=disk)
        with pytest.raises(Crash):
            old_age(Path("s"), files)
        with JsonFileStore("s", FakeClock(), files=disk) as store:
            lengths = [len(store.load(f"op-{number}")) for number in range(3)]
            assert lengths in ([3, 3, 3], [0, 3, 0]), f"call {call}"
            begun = store.load("op-9")
            assert [entry.position for entry in begun] == [last + 1] * len(begun)
            store.append("op-8", [planned("op-8", "t8")], expected_version=0, at=START)
            assert store.load("op-8")[0].position == last + 1 + len(begun)


def test_a_pruned_journal_does_not_grow_for_ever() -> None:
    disk = MemoryFileSystem()
    sizes = []
    with JsonFileStore("s", FakeClock(), files=disk) as store:
        for number in range(60):
            at = START + timedelta(days=number)
            events = [planned(f"op-{number}"), BULK, Finished(outcome=Outcome.ABORTED)]
            store.append(f"op-{number}", events, expected_version=0, at=at)
            store.prune(at - timedelta(days=2), keep_per_target=1)
            store.checkpoint()
            sizes.append(len(disk.files[JOURNAL]))
    assert max(sizes) < 1_500_000, "twice what is kept, and a little"


def _acknowledged_before(calls: list[str]) -> int:
    # An append is acknowledged when the call after its sync was made.
    syncs = calls[:-1].count("sync")
    return [0, 1, 1, 3, 3, 4, 4, 4][syncs]
