"""What every backend promises, as tests: subclass ``BackendContract`` in pytest and say how to make one.

``make_stage()`` gives a fresh ``Stage``: a backend that reaches one running target, with a newer release
that it could fetch, and the few things that people do to a target.
"""

from __future__ import annotations

from typing import Protocol

import attrs
import pytest

from safeupdater.domain.artifact import ImageReference
from safeupdater.domain.asset import Asset
from safeupdater.domain.health import Condition
from safeupdater.domain.operation import Phase, StepStatus
from safeupdater.protocols import Backend
from safeupdater.testing.driving import Drive, StepStopped, operation_for

_PHASES = (Phase.STAGING, Phase.SWITCHING, Phase.COMMITTING, Phase.RESTORING, Phase.DISCARDING)
_READY = frozenset({Condition.READY, Condition.STARTING})


class Stage(Protocol):
    """One target on one runtime, and what people do to it."""

    backend: Backend
    new: ImageReference
    """The newer release, pinned to its digest."""

    def state(self) -> object:
        """Everything that runs or is kept there, to be compared: names, identities, configurations."""
        ...

    def running(self) -> frozenset[str]:
        """The names of what runs."""
        ...

    def somebody_removes(self) -> None:
        """Somebody removes what has the target's name."""
        ...

    def somebody_replaces(self) -> None:
        """Somebody puts another thing of their own under the target's name."""
        ...


class BackendContract:
    """The promises. Each test gets a stage of its own."""

    def make_stage(self) -> Stage:
        """A fresh stage; override it."""
        raise NotImplementedError

    def _drive(self, stage: Stage, operation_id: str = "op-1") -> Drive:
        (asset,) = stage.backend.scan().assets
        return Drive(stage.backend, operation_for(self._pinned(asset), stage.new, operation_id=operation_id))

    def _pinned(self, asset: Asset) -> Asset:
        assert isinstance(asset.image, ImageReference)
        return attrs.evolve(asset, image=asset.image.with_digest(min(asset.digests)))

    def test_a_scan_finds_the_target_and_owns_it(self) -> None:
        stage = self.make_stage()
        report = stage.backend.scan()
        (asset,) = report.assets
        assert report.complete
        assert asset.id.startswith(report.scope)
        assert asset.digests
        assert asset.running
        assert stage.backend.owns(asset.target_id)
        assert not stage.backend.owns("docker://somewhere-else/thing")

    def test_steps_are_declared_the_same_every_time_and_lead_both_ways(self) -> None:
        stage = self.make_stage()
        operation = self._drive(stage).operation
        steps = stage.backend.steps(operation.planned, operation.settings)
        assert steps == stage.backend.steps(operation.planned, operation.settings)
        assert steps.switching
        assert steps.restoring
        assert set(steps.resuming) <= set(steps.switching)
        for phase in _PHASES:
            assert len(set(steps.of(phase))) == len(steps.of(phase))

    def test_looking_changes_nothing(self) -> None:
        stage = self.make_stage()
        drive = self._drive(stage)
        before = stage.state()
        assert stage.backend.preflight(drive.operation).refusal is None
        first = stage.backend.capture(drive.operation)
        second = stage.backend.capture(drive.operation)
        assert first.sha256 == second.sha256
        assert stage.state() == before

    def test_an_update_ends_with_the_new_version_alone(self) -> None:
        stage = self.make_stage()
        names = stage.running()
        drive = self._drive(stage)
        drive.update()
        assert stage.backend.observe(drive.operation).condition in _READY
        assert stage.running() == names
        (asset,) = stage.backend.scan().assets
        assert stage.new.digest in asset.digests

    def test_staging_leaves_the_old_version_alone_and_discarding_takes_it_back(self) -> None:
        stage = self.make_stage()
        names, (before,) = stage.running(), stage.backend.scan().assets
        drive = self._drive(stage)
        drive.capture()
        drive.perform(Phase.STAGING)
        assert stage.running() == names
        drive.perform(Phase.DISCARDING)
        assert stage.running() == names
        (after,) = stage.backend.scan().assets
        assert (after.id, after.digests) == (before.id, before.digests)

    def test_restoring_brings_the_old_version_back_from_every_step_of_the_switch(self) -> None:
        count = len(self._switching(self.make_stage()))
        for reached in range(count + 1):
            stage = self.make_stage()
            names, (before,) = stage.running(), stage.backend.scan().assets
            drive = self._drive(stage)
            drive.capture()
            drive.perform(Phase.STAGING)
            for step in self._switching(stage)[:reached]:
                drive.step(Phase.SWITCHING, step)
            drive.restore()
            assert stage.backend.observe(drive.operation, old=True).condition in _READY
            drive.perform(Phase.DISCARDING)
            assert stage.running() == names
            (after,) = stage.backend.scan().assets
            assert (after.id, after.digests) == (before.id, before.digests)

    def _switching(self, stage: Stage) -> tuple[str, ...]:
        operation = self._drive(stage).operation
        return stage.backend.steps(operation.planned, operation.settings).switching

    def test_doing_a_step_twice_is_doing_it_once(self) -> None:
        once, twice = self.make_stage(), self.make_stage()
        for stage, times in ((once, 1), (twice, 2)):
            drive = self._drive(stage)
            drive.capture()
            for phase in (Phase.STAGING, Phase.SWITCHING, Phase.COMMITTING):
                steps = stage.backend.steps(drive.operation.planned, drive.operation.settings).of(phase)
                for step in steps:
                    for _ in range(times):
                        drive.step(phase, step)
        assert once.running() == twice.running()
        assert once.backend.scan().assets[0].digests == twice.backend.scan().assets[0].digests

    def test_going_back_twice_is_going_back_once(self) -> None:
        stage = self.make_stage()
        names = stage.running()
        drive = self._drive(stage)
        drive.switch()
        for _ in range(2):
            drive.restore()
            drive.perform(Phase.DISCARDING)
        assert stage.running() == names

    def test_a_target_that_is_gone_or_another_is_refused_before_anything(self) -> None:
        gone, replaced = self.make_stage(), self.make_stage()
        for stage, change in ((gone, gone.somebody_removes), (replaced, replaced.somebody_replaces)):
            drive = self._drive(stage)
            change()
            before = stage.state()
            assert stage.backend.preflight(drive.operation).refusal is not None
            assert stage.state() == before

    def test_what_somebody_changed_after_the_capture_is_never_switched(self) -> None:
        stage = self.make_stage()
        drive = self._drive(stage)
        drive.capture()
        drive.perform(Phase.STAGING)
        stage.somebody_replaces()
        names = stage.running()
        with pytest.raises(StepStopped) as stopped:
            drive.perform(Phase.SWITCHING)
        assert stopped.value.outcome.status in (StepStatus.SUPERSEDED, StepStatus.GONE, StepStatus.REFUSED)
        assert stage.running() == names

    def test_removed_and_replaced_are_seen_as_what_they_are(self) -> None:
        removed, replaced = self.make_stage(), self.make_stage()
        for stage, change, seen in (
            (removed, removed.somebody_removes, Condition.ABSENT),
            (replaced, replaced.somebody_replaces, Condition.FOREIGN),
        ):
            drive = self._drive(stage)
            drive.switch()
            change()
            assert stage.backend.observe(drive.operation).condition is seen

    def test_collecting_nothing_removes_nothing(self) -> None:
        stage = self.make_stage()
        drive = self._drive(stage)
        drive.update()
        assert drive.operation.snapshot is not None
        before = stage.state()
        assert stage.backend.collect([], [drive.operation.snapshot]) == ()
        assert stage.state() == before
        stage.backend.collect([drive.operation.snapshot], [])
        assert stage.backend.collect([drive.operation.snapshot], []) == ()

    def test_what_a_kept_snapshot_needs_outlives_others_and_brings_its_version_back(self) -> None:
        stage = self.make_stage()
        drive, names = self._drive(stage), stage.running()
        old = drive.operation.planned.changes[0].current
        assert isinstance(old, ImageReference)
        drive.update()
        snapshot = drive.operation.snapshot
        assert snapshot is not None
        before = stage.state()
        stage.backend.collect([attrs.evolve(snapshot, operation_id="op-0")], [snapshot])
        assert stage.state() == before
        (asset,) = stage.backend.scan().assets
        operation = operation_for(self._pinned(asset), old, operation_id="op-2", wanted=snapshot)
        assert stage.backend.preflight(operation).refusal is None
        Drive(stage.backend, operation).update()
        (back,) = stage.backend.scan().assets
        assert old.digest in back.digests
        assert stage.running() == names
