"""The update engine and its stores: updates per second, the cost of one change, the time to load.

Run: ``python -m benchmarks.engine [--updates 1500] [--assets 10000] [--rounds 5]``. The engine is timed in
CPU time of this process; stores on the clock on the wall, since what they wait for is the disk: they are
compared with plain fsynced appends, made in turns with them in the same directory. Exit status 1 where a
budget is missed.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs

from safeupdater.backends.memory import MemoryBackend, MemoryWorld
from safeupdater.domain.artifact import ImageReference
from safeupdater.domain.asset import Asset, AssetStatus
from safeupdater.domain.candidate import Candidate
from safeupdater.domain.change import Change, VersionChangeType
from safeupdater.domain.decision import Decision, Reason, Verdict
from safeupdater.domain.health import HealthPolicy
from safeupdater.domain.operation import OperationSettings, Outcome
from safeupdater.domain.plan import PlannedUpdate
from safeupdater.gates import gate
from safeupdater.protocols import AssetPolicy, StateStore
from safeupdater.stores.memory import MemoryStore
from safeupdater.stores.open import open_store
from safeupdater.testing.clock import FakeClock
from safeupdater.update.executor import UpdateExecutor
from safeupdater.update.review import PolicyReview

UPDATES_PER_S = 2000
OF_ONE_APPEND = 2.0
SAMPLES = 30


@attrs.frozen
class Line:
    """One line of the table: what was measured, in which unit, and the budget it has to keep, if any."""

    what: str
    value: float
    unit: str
    budget: float | None = None

    @property
    def is_kept(self) -> bool:
        """Whether the value is within its budget."""
        return self.budget is None or self.value <= self.budget

    def __str__(self) -> str:
        verdict = "" if self.budget is None else f"<= {self.budget:g}   {'ok' if self.is_kept else 'MISSED'}"
        return f"{self.what:<62}{self.value:>10.2f} {self.unit:<8}{verdict}".rstrip()


# --- updates ------------------------------------------------------------------------------------------------


@gate
def _approve(candidate: Candidate) -> Decision:
    """Approves everything that the hard gates let through."""
    reason = Reason(code="benchmark", message="approved", verdict=Verdict.APPROVE)
    return Decision.because(reason, change_type=candidate.change.change_type)


class _OnePolicy:
    """The same settings for everything: a window of 30 samples."""

    def __init__(self) -> None:
        health = HealthPolicy(window_s=SAMPLES * 10.0, interval_s=10.0, ready_timeout_s=60.0)
        settings = OperationSettings(health=health)
        self._policy = AssetPolicy(gate=_approve, fingerprint="benchmark", settings=settings)

    def for_asset(self, asset: Asset) -> AssetPolicy:
        return self._policy

    def defaults(self) -> AssetPolicy:
        return self._policy


class _NoChecks:
    """The world's own word is the sample."""

    def create(self, type: str, **options: object) -> Any:
        raise AssertionError("no probes are configured")


class Fleet:
    """Containers ``app0 …`` in a world in memory, each with an update on offer, and an executor for them."""

    def __init__(self, size: int) -> None:
        self.clock = FakeClock()
        self.world = MemoryWorld(self.clock)
        self.store = MemoryStore(self.clock)
        self.backend = MemoryBackend(self.world)
        policy = _OnePolicy()
        ids = iter(range(size))
        self.executor = UpdateExecutor(
            [self.backend], self.store, clock=self.clock, checks=_NoChecks(),
            review=PolicyReview(policy, self.store), holder="benchmark", new_id=lambda: f"op{next(ids)}",
        )  # fmt: skip
        for number in range(size):
            self.world.run(f"app{number}", f"app{number}:1.0.0")
        self.planned = [self._plan(asset) for asset in self.backend.scan().assets]

    def _plan(self, asset: Asset) -> PlannedUpdate:
        self.store.put("asset", asset.id, asset)
        image = f"{asset.name}:1.1.0"
        new = ImageReference.parse(image).with_digest(self.world.publish(image))
        (digest,) = asset.digests
        change = Change(
            asset_id=asset.id, current=asset.image.with_digest(digest), new=new,
            change_type=VersionChangeType.MINOR,
        )  # fmt: skip
        reason = Reason(code="benchmark", message="approved", verdict=Verdict.APPROVE)
        return PlannedUpdate(
            target_id=asset.id, changes=(change,), decision=Decision.because(reason), policy_hash="benchmark"
        )

    def update(self) -> None:
        """Carries out every update, one after the other."""
        for planned in self.planned:
            (result,) = self.executor.run([planned])
            assert result.outcome is Outcome.SUCCEEDED, result
            assert result.tally.ok >= SAMPLES, result.tally


def updates_per_second(count: int, rounds: int) -> float:
    """The best of several rounds, in CPU time: what else the machine does is not the engine's."""
    best = 0.0
    for _ in range(rounds):
        fleet = Fleet(count)
        began_s = time.process_time()
        fleet.update()
        best = max(best, count / (time.process_time() - began_s))
    return best


# --- stores -------------------------------------------------------------------------------------------------


def _assets(count: int) -> list[Asset]:
    world = MemoryWorld(FakeClock())
    for number in range(count):
        world.run(f"app{number}", f"app{number}:1.0.0", port=8080 + number, environment={"TIER": "web"})
    return list(MemoryBackend(world).scan().assets)


def _median_s(acts: list[Callable[[int], object]], times: int) -> list[float]:
    """The median of each act, made in turns."""
    taken: list[list[float]] = [[] for _ in acts]
    for number in range(times):
        for act, seconds in zip(acts, taken, strict=True):
            began_s = time.perf_counter()
            act(number)
            seconds.append(time.perf_counter() - began_s)
    return [statistics.median(seconds) for seconds in taken]


def store_lines(kind: str, count: int, directory: Path) -> list[Line]:
    """One change among many assets, and opening a store that holds them."""
    url = {
        "memory": "memory:",
        "json": f"json:{directory}/json",
        "sqlite": f"sqlite:///{directory}/state.db",
    }[kind]
    assets = _assets(count)
    store = open_store(url)
    for asset in assets:
        store.put("asset", asset.id, asset)
    line = b"x" * 700 + b"\n"
    handle = os.open(directory / f"plain-{kind}", os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def change(number: int) -> None:
        asset = assets[number * 7919 % count]
        status = AssetStatus.HEALTHY if number % 2 else AssetStatus.UNKNOWN
        store.put("asset", asset.id, attrs.evolve(asset, status=status))

    def append(number: int) -> None:
        os.write(handle, line)
        os.fsync(handle)

    changed_s, appended_s = _median_s([change, append], 200)
    os.close(handle)
    lines = [
        Line(f"{kind}: one change among {count:,} assets", changed_s * 1000, "ms"),
        Line(f"{kind}: … in fsynced appends of a line", changed_s / appended_s, "x", OF_ONE_APPEND),
    ]
    if kind != "memory":
        store.close()
        lines += _loading(url, count)
    return lines


def _loading(url: str, count: int) -> list[Line]:
    began_s = time.process_time()
    store: StateStore = open_store(url)
    found = sum(1 for _ in store.iterate("asset"))
    took_s = time.process_time() - began_s
    store.close()
    assert found == count
    return [Line(f"{url.partition(':')[0]}: open and read {count:,} assets (CPU)", took_s, "s")]


def main(arguments: list[str] | None = None) -> int:
    """Prints the table; 1 where a budget is missed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--updates", type=int, default=1500)
    parser.add_argument("--assets", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args(arguments)
    per_s = updates_per_second(options.updates, options.rounds)
    lines = [
        Line(f"an update of {SAMPLES} samples in memory (CPU)", 1e6 / per_s, "us", 1e6 / UPDATES_PER_S),
        Line("… per second", per_s, "/s"),
    ]
    with tempfile.TemporaryDirectory(prefix="su-benchmark-") as directory:
        for kind in ("memory", "json", "sqlite"):
            lines += store_lines(kind, options.assets, Path(directory))
    print(*lines, sep="\n")
    return 0 if all(line.is_kept for line in lines) else 1


if __name__ == "__main__":
    sys.exit(main())
