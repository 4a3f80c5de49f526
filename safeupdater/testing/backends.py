"""What every backend promises, as tests: subclass ``BackendContract`` in pytest and say how to make one.

``make_stage()`` gives a fresh ``Stage``: a backend that reaches one running target, with a newer release
that it could fetch, and the few things that people do to a target.
"""

from __future__ import annotations

import contextlib

import attrs
import pytest

from safeupdater.domain.artifact import ImageReference
from safeupdater.domain.asset import Asset
from safeupdater.domain.health import Condition
from safeupdater.domain.operation import Phase, StepStatus
from safeupdater.testing.backend_stage import Stage, Thing
from safeupdater.testing.driving import Drive, StepStopped, operation_for

__all__ = ["BackendContract", "Stage", "Thing"]

_PHASES = (Phase.STAGING, Phase.SWITCHING, Phase.COMMITTING, Phase.RESTORING, Phase.DISCARDING)
_READY = frozenset({Condition.READY, Condition.STARTING})


def _things(stage: Stage) -> dict[str, Thing]:
    """What exists, by identity."""
    return {thing.id: thing for thing in stage.things()}


def _target(stage: Stage) -> Thing:
    """The target at first."""
    things = tuple(stage.things())
    assert len(things) == 1, f"a stage begins with its target and nothing else, not with {things}"
    assert things[0].running, "the target of a stage runs at first"
    assert things[0].config, "the target of a stage has a configuration that could get lost"
    return things[0]


def _named(stage: Stage, name: str) -> Thing | None:
    return next((thing for thing in stage.things() if thing.name == name), None)


def _check_successor(stage: Stage, old: Thing, where: str) -> None:
    """What has the target's name is as the old version was, apart from what it is."""
    new = _named(stage, old.name)
    assert new is not None, f"{where}: nothing has the name {old.name}"
    assert new.running, f"{where}: {new.name} does not run, the old version did"
    assert new.config == old.config, f"{where}: the configuration of {new.name} is not the old version's"
    assert new.restart == old.restart, (
        f"{where}: the restart policy of {new.name} is {new.restart!r}, the old version's is {old.restart!r}"
    )


def _check_seen(drive: Drive, *, old: bool = False) -> None:
    """The backend itself says that a version is there and well."""
    seen = drive.backend.observe(drive.operation, old=old)
    version = "old" if old else "new"
    assert seen.condition in _READY, f"the {version} version is {seen.condition.value}: {seen.detail}"


def _check_release(stage: Stage, wanted: ImageReference) -> None:
    (asset,) = stage.backend.scan().assets
    assert wanted.digest in asset.digests, (
        f"{asset.id} runs {', '.join(sorted(asset.digests))}, not {wanted} as was decided"
    )


def _check_only(stage: Stage, old: Thing, where: str) -> None:
    """The old version is there as it was at first, and nothing besides."""
    things = _things(stage)
    assert old.id in things, f"{where}: the old version does not exist any more, only {list(things.values())}"
    now = things.pop(old.id)
    assert now.config == old.config, f"{where}: the configuration of the old version is not as it was"
    assert now == old, f"{where}: the old version is {now}, it was {old}"
    assert not things, f"{where}: something of ours is left behind: {list(things.values())}"


def _check_border(stage: Stage, old: Thing, phase: Phase, step: str) -> None:
    """What holds behind every step before the commit, whatever comes next: a crash, a reboot, a way back."""
    where, things = f"after {phase.value} {step}", _things(stage)
    now = things.get(old.id)
    assert now is not None, (
        f"{where}: the old version is removed before the commit, so that there is no way back"
    )
    assert now.config == old.config, f"{where}: the old version has another configuration"
    if phase in (Phase.RESTORING, Phase.DISCARDING):
        del things[old.id]  # it gets its policy back before it runs
        assert not now.running or now.restart == old.restart, (
            f"{where}: the old version runs with the restart policy {now.restart!r}, it had {old.restart!r}:"
            " it has to come before the start, as a crash between the two would lose it"
        )
    for thing in things.values():
        assert thing.running or not thing.restart, (
            f"{where}: {thing.name} is stopped, but its restart policy {thing.restart!r} would start it"
            " beside the other version when the runtime restarts"
        )


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

    def _walk(self, stage: Stage, drive: Drive, old: Thing, phase: Phase, *, upto: int | None = None) -> None:
        """Performs the first steps of a phase, all of them by default, and looks behind each."""
        for step in drive.steps.of(phase)[:upto]:
            drive.step(phase, step)
            _check_border(stage, old, phase, step)

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

    def test_an_update_ends_with_the_new_version_alone_configured_as_the_old_one(self) -> None:
        stage = self.make_stage()
        old, drive = _target(stage), self._drive(stage)
        drive.update()
        _check_release(stage, stage.new)
        _check_seen(drive)
        _check_successor(stage, old, "after the commit")
        others = [thing for thing in stage.things() if thing.name != old.name]
        assert not others, f"after the commit something is left behind: {others}"

    def test_the_old_version_stands_by_until_the_commit_and_comes_up_only_when_told(self) -> None:
        stage = self.make_stage()
        old, drive = _target(stage), self._drive(stage)
        drive.capture()
        self._walk(stage, drive, old, Phase.STAGING)
        self._walk(stage, drive, old, Phase.SWITCHING)
        _check_successor(stage, old, "after the switch")

    def test_staging_leaves_the_old_version_alone_and_discarding_takes_it_back(self) -> None:
        stage = self.make_stage()
        old, (before,) = _target(stage), stage.backend.scan().assets
        drive = self._drive(stage)
        drive.capture()
        self._walk(stage, drive, old, Phase.STAGING)
        assert _things(stage)[old.id] == old, "staging changed the old version"
        drive.perform(Phase.DISCARDING)
        _check_only(stage, old, "after discarding what was staged")
        (after,) = stage.backend.scan().assets
        assert (after.id, after.digests) == (before.id, before.digests)

    def test_restoring_brings_the_old_version_back_from_every_step_of_the_switch(self) -> None:
        count = self._switch_length()
        for reached in range(count + 1):
            stage = self.make_stage()
            old, (before,) = _target(stage), stage.backend.scan().assets
            drive = self._drive(stage)
            drive.capture()
            drive.perform(Phase.STAGING)
            self._walk(stage, drive, old, Phase.SWITCHING, upto=reached)
            self._walk(stage, drive, old, Phase.RESTORING)
            _check_seen(drive, old=True)
            self._walk(stage, drive, old, Phase.DISCARDING)
            _check_only(stage, old, f"back from a switch of {reached} of {count} steps")
            (after,) = stage.backend.scan().assets
            assert (after.id, after.digests) == (before.id, before.digests)

    def _switch_length(self) -> int:
        return len(self._drive(self.make_stage()).steps.switching)

    def test_what_was_cut_off_under_watch_runs_again_when_watching_is_resumed(self) -> None:
        stage = self.make_stage()
        old, drive = _target(stage), self._drive(stage)
        drive.switch()
        before = _things(stage)
        drive.resume()
        assert _things(stage) == before, "the steps of resuming changed a new version that was all right"
        stage.power_fails()
        drive.resume()
        _check_successor(stage, old, "after a power failure and the steps of resuming")
        _check_seen(drive)

    def test_doing_a_step_twice_is_doing_it_once(self) -> None:
        once, twice = self.make_stage(), self.make_stage()
        for stage, times in ((once, 1), (twice, 2)):
            drive = self._drive(stage)
            drive.capture()
            for phase in (Phase.STAGING, Phase.SWITCHING, Phase.COMMITTING):
                for step in drive.steps.of(phase):
                    for _ in range(times):
                        drive.step(phase, step)
        mine, theirs = ([attrs.evolve(thing, id="") for thing in stage.things()] for stage in (once, twice))
        assert mine == theirs
        assert once.backend.scan().assets[0].digests == twice.backend.scan().assets[0].digests

    def test_going_back_twice_is_going_back_once(self) -> None:
        stage = self.make_stage()
        old, drive = _target(stage), self._drive(stage)
        drive.switch()
        for times in ("once", "twice"):
            drive.restore()
            drive.perform(Phase.DISCARDING)
            _check_only(stage, old, f"back {times}")

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
        before = _things(stage)
        with pytest.raises(StepStopped) as stopped:
            drive.perform(Phase.SWITCHING)
        assert stopped.value.outcome.status in (StepStatus.SUPERSEDED, StepStatus.GONE, StepStatus.REFUSED)
        assert _things(stage) == before, "a switch that was not to be changed something"

    def test_what_somebody_edits_during_the_switch_stays_theirs_both_ways(self) -> None:
        for reached in range(self._switch_length() + 1):
            stage = self.make_stage()
            old, drive = _target(stage), self._drive(stage)
            drive.capture()
            drive.perform(Phase.STAGING)
            steps = drive.steps.switching
            for step in steps[:reached]:
                drive.step(Phase.SWITCHING, step)
            if _named(stage, old.name) is None:
                continue  # between two names: there is nothing to edit
            stage.somebody_edits()
            theirs, has_old = _named(stage, old.name), old.id in _things(stage)
            where = f"edited after {reached} steps of the switch, then"
            with contextlib.suppress(StepStopped):
                for step in steps[reached:]:
                    drive.step(Phase.SWITCHING, step)
            self._check_theirs(stage, theirs, f"{where} switched on")
            for phase in (Phase.RESTORING, Phase.DISCARDING):
                with contextlib.suppress(StepStopped):
                    drive.perform(phase)
                self._check_theirs(stage, theirs, f"{where} {phase.value}")
                assert not has_old or old.id in _things(stage), (
                    f"{where} {phase.value}: the old version is removed, though nothing is committed"
                )

    def test_what_somebody_edits_under_watch_outlives_the_commit(self) -> None:
        stage = self.make_stage()
        name, drive = _target(stage).name, self._drive(stage)
        drive.switch()
        stage.somebody_edits()
        theirs = _named(stage, name)
        with contextlib.suppress(StepStopped):
            drive.perform(Phase.COMMITTING)
        self._check_theirs(stage, theirs, "edited under watch, then committed")

    def _check_theirs(self, stage: Stage, theirs: Thing | None, where: str) -> None:
        assert theirs is not None, "what somebody edits has the target's name afterwards"
        now = _things(stage).get(theirs.id)
        assert now is not None, f"{where}: what somebody else edited is removed"
        assert now.config == theirs.config, f"{where}: what somebody else configured is overwritten"
        assert now == theirs, f"{where}: what somebody else edited is stopped, started or renamed"

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
        first, drive = _target(stage), self._drive(stage)
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
        _check_release(stage, old)
        _check_successor(stage, first, "back by a kept snapshot")
