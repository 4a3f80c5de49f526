"""What tests of state stores begin with: small values to store, and a store that is opened for each."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from safeupdater.domain.artifact import ImageReference
from safeupdater.domain.asset import Asset, AssetStatus, AssetType
from safeupdater.domain.change import Change, VersionChangeType
from safeupdater.domain.decision import Decision, Verdict
from safeupdater.domain.operation import (
    Event,
    OperationPlanned,
    OperationSettings,
    Phase,
    Snapshot,
    StepDone,
    StepIntended,
    Steps,
)
from safeupdater.domain.plan import PlannedUpdate
from safeupdater.protocols import Clock, Lease, StateStore
from safeupdater.testing.clock import FakeClock

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def asset(name: str = "web", version: str = "1.2.3") -> Asset:
    """An asset in the in-memory world."""
    return Asset(
        id=f"memory://here/{name}",
        name=name,
        asset_type=AssetType.CONTAINER,
        image=ImageReference.parse(f"registry.example/{name}:{version}"),
        status=AssetStatus.HEALTHY,
        labels={"tier": "web"},
        metadata={"ports": [80, 443], "nested": {"a": None}},
        last_scan=START,
    )


def planned(operation_id: str = "op-1", target: str = "web") -> OperationPlanned:
    """The first event of an operation on a target in the in-memory world."""
    current = ImageReference.parse(f"registry.example/{target}:1.2.3")
    change = Change(
        asset_id=f"memory://here/{target}",
        current=current,
        new=current.with_tag("1.2.4"),
        change_type=VersionChangeType.PATCH,
    )
    return OperationPlanned(
        operation_id=operation_id,
        target_id=f"memory://here/{target}",
        planned=PlannedUpdate(
            target_id=f"memory://here/{target}",
            changes=(change,),
            decision=Decision(verdict=Verdict.APPROVE, change_type=VersionChangeType.PATCH),
            policy_hash="0" * 64,
        ),
        settings=OperationSettings(),
        steps=Steps(staging=("pull",), switching=("swap",)),
    )


def snapshot(operation_id: str = "op-1", **data: Any) -> Snapshot:
    """A snapshot with that content."""
    return Snapshot(
        operation_id=operation_id,
        target_id="memory://here/web",
        format="memory/1",
        taken_at=START,
        data=data or {"env": ["A=1"]},
    )


INTENDED = StepIntended(phase=Phase.STAGING, step="pull")
DONE = StepDone(phase=Phase.STAGING, step="pull")


class StoreTests:
    """What every group of tests needs: the store under test, and how it is opened again."""

    durable = True
    """Whether what was written is there when the store is opened again."""
    shared = True
    """Whether two objects may have the same place open at once."""
    own_clock = True
    """Whether leases run out by the clock that ``open`` was given, rather than by a server's."""

    def open(self, place: Path, clock: Clock) -> StateStore:
        """Opens the store at a place: an empty directory that is this test's own."""
        raise NotImplementedError

    @pytest.fixture
    def clock(self) -> FakeClock:
        """The clock of the store under test."""
        return FakeClock()

    @pytest.fixture
    def store(self, tmp_path: Path, clock: FakeClock) -> Iterator[StateStore]:
        """The store under test, empty."""
        store = self.open(tmp_path, clock)
        yield store
        store.close()

    def reopened(self, store: StateStore, place: Path, clock: Clock) -> StateStore:
        """The store after it was closed and opened again; the same object where nothing is durable."""
        if not self.durable:
            return store
        store.close()
        return self.open(place, clock)

    def append(
        self, store: StateStore, expected: int, *events: Event, lease: Lease | None = None, id: str = "op-1"
    ) -> int:
        """Appends at the start of time."""
        return store.append(id, events, expected_version=expected, at=START, lease=lease)
