"""Driving a backend through the phases of one operation, without an engine, a store or a clock.

It is what tests of backends stand on: ``Drive(backend, operation).update()`` performs what an engine would,
and whatever a test does in between happens to a real order of steps.
"""

from __future__ import annotations

import attrs

from safeupdater.domain.artifact import ImageReference
from safeupdater.domain.asset import Asset
from safeupdater.domain.change import Change, VersionChangeType
from safeupdater.domain.decision import Decision, Verdict
from safeupdater.domain.operation import OperationSettings, Phase, Snapshot, StepOutcome, Steps, StepStatus
from safeupdater.domain.plan import PlannedUpdate
from safeupdater.errors import BackendError
from safeupdater.protocols import Backend, OperationContext, Progress

_ATTEMPTS = 5


class StepStopped(Exception):
    """A step did not come out as done; ``outcome`` says how."""

    def __init__(self, phase: Phase, step: str, outcome: StepOutcome) -> None:
        super().__init__(f"{phase} {step}: {outcome.status.value} {outcome.code}: {outcome.message}")
        self.phase = phase
        self.step = step
        self.outcome = outcome


def operation_for(
    asset: Asset,
    new: ImageReference,
    *,
    operation_id: str = "op-1",
    change_type: VersionChangeType = VersionChangeType.PATCH,
    wanted: Snapshot | None = None,
) -> OperationContext:
    """What a backend is told about an approved update of one asset."""
    change = Change(asset_id=asset.id, current=asset.image, new=new, change_type=change_type)
    decision = Decision(verdict=Verdict.APPROVE, change_type=change_type)
    planned = PlannedUpdate(
        target_id=asset.target_id, changes=(change,), decision=decision, policy_hash="0" * 64
    )
    return OperationContext(
        operation_id=operation_id, epoch=1, planned=planned, settings=OperationSettings(), wanted=wanted
    )


@attrs.define
class Drive:
    """One operation on one backend, phase by phase; the snapshot is taken along."""

    backend: Backend
    operation: OperationContext
    progress: list[Progress] = attrs.field(factory=list)

    def capture(self) -> None:
        """Takes the snapshot, unless there is one."""
        if self.operation.snapshot is None:
            snapshot = self.backend.capture(self.operation)
            self.operation = attrs.evolve(self.operation, snapshot=snapshot)

    def perform(self, phase: Phase) -> None:
        """Every step of a phase; from the first one again when a call gets no answer.

        Raises:
            StepStopped: a step came out otherwise than done.
            BackendError: there was no answer several times in a row.
        """
        self._perform(phase, self.steps.of(phase))

    @property
    def steps(self) -> Steps:
        """The steps of every phase."""
        return self.backend.steps(self.operation.planned, self.operation.settings)

    def _perform(self, phase: Phase, steps: tuple[str, ...]) -> None:
        for attempt in range(_ATTEMPTS):
            try:
                for step in steps:
                    self.step(phase, step)
            except BackendError as error:
                if not error.transient or attempt == _ATTEMPTS - 1:
                    raise
            else:
                return

    def step(self, phase: Phase, step: str) -> None:
        """One step.

        Raises:
            StepStopped: it came out otherwise than done.
        """
        outcome = self.backend.perform(self.operation, phase, step, self.progress.append)
        if outcome.status is not StepStatus.DONE:
            raise StepStopped(phase, step, outcome)

    def switch(self) -> None:
        """Everything up to the new version running."""
        self.capture()
        self.perform(Phase.STAGING)
        self.perform(Phase.SWITCHING)

    def update(self) -> None:
        """A whole update, the good way."""
        self.switch()
        self.perform(Phase.COMMITTING)

    def resume(self) -> None:
        """What is done after an interruption before the new version is watched again."""
        self._perform(Phase.SWITCHING, self.steps.resuming)

    def restore(self) -> None:
        """The way back."""
        self.perform(Phase.RESTORING)
