"""Stores and updates on a real disk that has not one byte left."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from safeupdater.backends.memory import CRASHES, GOOD
from safeupdater.domain.operation import Outcome, StepDone
from safeupdater.errors import StoreError
from safeupdater.protocols import MeasuredStore
from safeupdater.stores import open_store
from safeupdater.testing.stores import INTENDED, START, planned
from testbed.small_disk import SmallDisk
from tests.support.engine import Bench, Recorder, outcomes

URLS = ["json:{}/s", "sqlite:///{}/s.db"]


@pytest.fixture
def disk() -> Iterator[SmallDisk]:
    with SmallDisk(24 * 1024 * 1024) as mounted:
        yield mounted


@pytest.mark.parametrize("url", URLS)
def test_a_full_disk_loses_nothing_and_the_next_try_works(disk: SmallDisk, url: str) -> None:
    url = url.format(disk.path)
    with contextlib.closing(open_store(url)) as store:
        version = store.append("op-1", [planned()], expected_version=0, at=START)
        disk.fill()
        assert isinstance(store, MeasuredStore)
        assert (store.free_bytes() or 0) < 65_536
        refused = None
        while refused is None:
            step = StepDone(phase=INTENDED.phase, step="pull", detail="x" * 2000 + str(version))
            try:
                version = store.append("op-1", [step], expected_version=version, at=START)
            except StoreError as error:
                refused = error
        assert (refused.code, refused.transient) == ("disk_full", True)
        assert [entry.version for entry in store.load("op-1")] == list(range(1, version + 1))
        disk.free()
        assert store.append("op-1", [step], expected_version=version, at=START) == version + 1
    with contextlib.closing(open_store(url)) as store:
        assert len(store.load("op-1")) == version + 1


def bench_on(url: str) -> Bench:
    bench = Bench()
    bench.store = open_store(url, bench.clock)
    bench.recorder = Recorder()
    bench.updater = bench.process()
    return bench


@pytest.mark.parametrize("url", URLS)
def test_a_good_release_is_not_committed_while_the_disk_is_full(disk: SmallDisk, url: str) -> None:
    bench = bench_on(url.format(disk.path))
    operation_id = bench.open(behaviour=GOOD)
    bench.steps_until(operation_id, "Settling")
    _fill_up(disk, bench)
    result = bench.run(operation_id)
    assert (result.outcome, result.code) == (Outcome.INTERRUPTED, "disk_full")
    assert sorted(str(item.image.tag) for item in bench.world.containers.values()) == ["1.0.0", "1.1.0"]
    disk.free()
    assert outcomes(bench.updater.recover())[0] in (Outcome.SUCCEEDED, Outcome.ROLLED_BACK)
    assert len(bench.running) == 1
    bench.store.close()


def test_a_bad_release_is_taken_back_while_the_disk_is_full(disk: SmallDisk) -> None:
    bench = bench_on(f"json:{disk.path}/s")
    operation_id = bench.open(behaviour=CRASHES)
    bench.steps_until(operation_id, "Settling")
    disk.fill()
    assert bench.run(operation_id).outcome is Outcome.ROLLED_BACK
    assert bench.running == {"web": "1.0.0"}
    disk.free()
    bench.store.close()


def test_an_update_is_not_begun_on_a_disk_that_is_nearly_full(disk: SmallDisk) -> None:
    bench = bench_on(f"sqlite:///{disk.path}/s.db")
    update = bench.plan()
    (disk.path / "other").write_bytes(bytes(10 * 1024 * 1024))
    result = bench.run(update)
    assert (result.outcome, result.code) == (Outcome.ABORTED, "store_full")
    assert bench.running == {"web": "1.0.0"}
    bench.store.close()


def _fill_up(disk: SmallDisk, bench: Bench) -> None:
    """Fills the disk, and what the store's files have left inside of their last blocks."""
    disk.fill()
    number = 0
    with contextlib.suppress(StoreError):
        while True:
            number += 1
            bench.store.put("setting", f"filler-{number}", "x" * 500)
