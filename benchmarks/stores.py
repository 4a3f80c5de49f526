"""What stores cost: one asset's change among 10,000, and loading 10,000 assets.

The budget is a ratio in one run: one change costs at most twice one append of the same size to a file,
synced. ``python -m benchmarks.stores [URL of a PostgreSQL database]``
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import attrs

from safeupdater.codec import dumps, encode
from safeupdater.domain.asset import Asset
from safeupdater.domain.operation import Finished, Outcome
from safeupdater.protocols import StateStore
from safeupdater.stores import MemoryStore, open_store
from safeupdater.stores.transfer import import_state
from safeupdater.testing.stores import INTENDED, START, asset, planned

ASSETS = 10_000
CHANGES = 300


def main() -> None:
    """Prints one table."""
    with tempfile.TemporaryDirectory(dir=".") as place:
        urls = {
            "memory": "memory:",
            "json": f"json:{place}/json",
            "sqlite": f"sqlite:///{place}/state.db",
        }
        if len(sys.argv) > 1:
            urls["postgresql"] = sys.argv[1]
        print(f"{'store':12}{'one change':>14}{'× synced append':>18}{'load 10,000':>14}")
        for name, url in urls.items():
            _row(name, url, Path(place))
    print(f"memory: {_appends_per_second():,.0f} appends per second")


def _row(name: str, url: str, place: Path) -> None:
    store = open_store(url)
    _fill(store)
    assets = [asset(f"a{number}", "2.0.0") for number in range(CHANGES)]
    # Alternately, so that a disk that is slow for a moment is slow for both.
    appended = SyncedFile(place / "plain", len(dumps(encode(assets[0]))) + 120)
    ours, plain = [], []
    for changed in assets:
        plain.append(_timed(appended.append))
        ours.append(_timed(lambda changed=changed: store.put("asset", changed.id, changed)))
    median, base = statistics.median(ours), statistics.median(plain)
    store.close()
    load_s = _timed(lambda: list((store if name == "memory" else open_store(url)).iterate("asset")))
    print(f"{name:12}{median * 1e3:11.3f} ms{median / base:18.2f}{load_s:12.2f} s")


def _fill(store: StateStore) -> None:
    records = [_record(asset(f"a{number}")) for number in range(ASSETS)]
    import_state({"format": "safeupdater-state", "v": 1, "records": records, "journal": []}, store)


def _record(value: Asset) -> dict[str, object]:
    return {"kind": "asset", "key": value.id, "value": encode(value)}


class SyncedFile:
    """The least that durability costs: bytes added to a file, synced."""

    def __init__(self, path: Path, size: int) -> None:
        self._handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self._data = b"x" * size

    def append(self) -> None:
        """Adds the bytes."""
        os.write(self._handle, self._data)
        os.fsync(self._handle)


def _timed(call: Callable[[], object]) -> float:
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


def _appends_per_second(operations: int = 1000, appends: int = 20) -> float:
    store = MemoryStore()
    lease = store.acquire("k", "me", 60)
    first = planned()
    begun = [attrs.evolve(first, operation_id=f"op-{number}") for number in range(operations)]
    end = Finished(outcome=Outcome.SUCCEEDED)

    def run() -> None:
        for event in begun:
            version = store.append(event.operation_id, [event], expected_version=0, at=START, lease=lease)
            for _ in range(appends - 2):
                version = store.append(
                    event.operation_id, [INTENDED], expected_version=version, at=START, lease=lease
                )
            store.append(event.operation_id, [end], expected_version=version, at=START, lease=lease)

    return operations * appends / _timed(run)


if __name__ == "__main__":
    main()
