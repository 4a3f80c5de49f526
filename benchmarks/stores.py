"""What stores cost: one asset's change among many, loading them all, and appends to the journal.

Run: ``python -m benchmarks.stores [--assets 10000] [--postgresql URL]``. Stores are timed on the clock on the
wall, since what they wait for is the disk: a change is compared with a plain fsynced append of the same size,
made in turns with it in the same directory. Exit status 3 where a budget is missed.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import attrs

from benchmarks.report import Line, printed
from safeupdater.codec import dumps, encode
from safeupdater.domain.asset import Asset, AssetStatus
from safeupdater.domain.operation import Finished, Outcome
from safeupdater.protocols import StateStore
from safeupdater.stores import MemoryStore, open_store
from safeupdater.testing.stores import INTENDED, START, asset, planned

OF_ONE_APPEND = 2.0
CHANGES = 300
_FRAME_BYTES = 120


def all_lines(count: int, postgresql: str | None = None) -> Iterator[Line]:
    """The lines of every store, and of the journal in memory."""
    with tempfile.TemporaryDirectory(prefix="su-benchmark-") as directory:
        place = Path(directory)
        urls = {"memory": "memory:", "json": f"json:{place}/json", "sqlite": f"sqlite:///{place}/state.db"}
        if postgresql:
            urls["postgresql"] = postgresql
        for name, url in urls.items():
            yield from _lines(name, url, place, count)
    yield Line("memory: journal appends per second", _appends_per_second(), "/s")


def _lines(name: str, url: str, place: Path, count: int) -> Iterator[Line]:
    assets = [asset(f"a{number}") for number in range(count)]
    store = open_store(url)
    store.put_many("asset", {item.id: item for item in assets})
    plain = SyncedFile(place / f"plain-{name}", len(dumps(encode(assets[0]))) + _FRAME_BYTES)

    def change(number: int) -> None:
        chosen = assets[number * 7919 % count]
        status = AssetStatus.HEALTHY if number % 2 else AssetStatus.UNKNOWN
        store.put("asset", chosen.id, attrs.evolve(chosen, status=status))

    changed_s, appended_s = _medians_s(CHANGES, change, plain.append)
    plain.close()
    yield Line(f"{name}: one change among {count:,} assets", changed_s * 1000, "ms")
    yield Line(f"{name}: … in fsynced appends of a line", changed_s / appended_s, "x", OF_ONE_APPEND)
    if name == "memory":
        return
    store.close()
    yield Line(f"{name}: open and read {count:,} assets (CPU)", _loading_s(url, assets), "s")


def _loading_s(url: str, assets: list[Asset]) -> float:
    began_s = time.process_time()
    store: StateStore = open_store(url)
    found = sum(1 for _ in store.iterate("asset"))
    took_s = time.process_time() - began_s
    store.close()
    assert found == len(assets)
    return took_s


class SyncedFile:
    """The least that durability costs: bytes added to a file, synced."""

    def __init__(self, path: Path, size: int) -> None:
        self._handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self._data = b"x" * size

    def append(self, number: int) -> None:
        """Adds the bytes."""
        os.write(self._handle, self._data)
        os.fsync(self._handle)

    def close(self) -> None:
        """Gives back the handle."""
        os.close(self._handle)


def _medians_s(times: int, *acts: Callable[[int], object]) -> list[float]:
    """The median of each act, made in turns, so that a disk that is slow for a moment is slow for all."""
    taken: list[list[float]] = [[] for _ in acts]
    for number in range(times):
        for act, seconds in zip(acts, taken, strict=True):
            began_s = time.perf_counter()
            act(number)
            seconds.append(time.perf_counter() - began_s)
    return [statistics.median(seconds) for seconds in taken]


def _appends_per_second(operations: int = 1000, appends: int = 20) -> float:
    store = MemoryStore()
    lease = store.acquire("k", "me", 60)
    first = planned()
    begun = [attrs.evolve(first, operation_id=f"op-{number}") for number in range(operations)]
    end = Finished(outcome=Outcome.SUCCEEDED)
    began_s = time.perf_counter()
    for event in begun:
        version = store.append(event.operation_id, [event], expected_version=0, at=START, lease=lease)
        for _ in range(appends - 2):
            version = store.append(
                event.operation_id, [INTENDED], expected_version=version, at=START, lease=lease
            )
        store.append(event.operation_id, [end], expected_version=version, at=START, lease=lease)
    return operations * appends / (time.perf_counter() - began_s)


def main(arguments: list[str] | None = None) -> int:
    """Prints the table; 1 where a budget is missed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--assets", type=int, default=10_000)
    parser.add_argument("--postgresql", metavar="URL", help="an empty database to measure as well")
    options = parser.parse_args(arguments)
    return printed(all_lines(options.assets, options.postgresql))


if __name__ == "__main__":
    sys.exit(main())
