"""The update engine and its stores: updates per second, the cost of one change, the time to load.

Run: ``python -m benchmarks.engine [--updates 1500] [--assets 10000] [--rounds 5]``. The engine is timed in
CPU time of this process; stores on the clock on the wall, since what they wait for is the disk: they are
compared with plain fsynced appends, made in turns with them in the same directory. Exit status 3 where a
budget is missed.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from typing import Any

from benchmarks import stores
from benchmarks.report import Line, printed
from safeupdater.backends.memory import MemoryBackend, MemoryWorld
from safeupdater.domain.artifact import ImageReference
from safeupdater.domain.asset import Asset
from safeupdater.domain.candidate import Candidate
from safeupdater.domain.change import Change, VersionChangeType
from safeupdater.domain.decision import Decision, Reason, Verdict
from safeupdater.domain.health import HealthPolicy
from safeupdater.domain.operation import OperationSettings, Outcome
from safeupdater.domain.plan import PlannedUpdate
from safeupdater.gates import gate
from safeupdater.protocols import AssetPolicy
from safeupdater.stores.memory import MemoryStore
from safeupdater.testing.clock import FakeClock
from safeupdater.update.executor import UpdateExecutor
from safeupdater.update.review import PolicyReview

UPDATES_PER_S = 2000
SAMPLES = 30


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


def all_lines(updates: int, assets: int, rounds: int = 5) -> Iterator[Line]:
    """The lines of the engine, then those of the stores."""
    per_s = updates_per_second(updates, rounds)
    yield Line(f"an update of {SAMPLES} samples in memory (CPU)", 1e6 / per_s, "us", 1e6 / UPDATES_PER_S)
    yield Line("… per second", per_s, "/s")
    yield from stores.all_lines(assets)


def main(arguments: list[str] | None = None) -> int:
    """Prints the table; 1 where a budget is missed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--updates", type=int, default=1500)
    parser.add_argument("--assets", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args(arguments)
    return printed(all_lines(options.updates, options.assets, options.rounds))


if __name__ == "__main__":
    sys.exit(main())
