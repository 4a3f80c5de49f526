"""The states of one operation, and what each may ask for: one frozen class per state, one per command."""

from __future__ import annotations

import math
from typing import ClassVar, NamedTuple, Self

import attrs

from safeupdater.domain.health import Baseline
from safeupdater.domain.operation import (
    BecameReady,
    Event,
    Finished,
    OperationPlanned,
    Outcome,
    Phase,
    StepFailed,
    VerdictReached,
)
from safeupdater.domain.quick import evolved, quick
from safeupdater.health import Window


@quick
@attrs.frozen(kw_only=True)
class Operation:
    """What is known of an operation whatever its state: how it was opened, and what it has learned."""

    opened: OperationPlanned
    running: bool = True
    """Whether the old version ran when the operation began."""
    baseline: Baseline | None = None
    snapshot_sha256: str | None = None
    verdict: VerdictReached | None = None
    resumptions: int = 0
    leftovers: tuple[str, ...] = ()


# --- commands: what a state asks the executor for -----------------------------------------------------------


@attrs.frozen
class Preflight:
    """Look whether the update may begin at all. Reads only."""


@attrs.frozen
class Capture:
    """Read everything that restoring needs, and store it durably."""


class Perform(NamedTuple):
    """Make one step true; its intent is journaled first."""

    phase: Phase
    step: str


class Probe(NamedTuple):
    """Look at the new version, or at the ``old`` one, once, and not before ``due_s``."""

    due_s: float
    old: bool = False


@attrs.frozen
class Wait:
    """Let that many seconds pass before the phase is begun again."""

    delay_s: float


@quick
@attrs.frozen
class Record:
    """Journal an event that the machine itself decided."""

    event: Event


Command = Preflight | Capture | Perform | Probe | Wait | Record

# --- states -------------------------------------------------------------------------------------------------


@attrs.frozen
class Stepping:
    """A state that takes named steps in order.

    ``tries`` counts how often the phase was begun again after a step failed; ``pause_s`` is the wait
    before that, 0 when it is over.
    """

    phase: ClassVar[Phase]

    operation: Operation
    index: int = 0
    tries: int = 0
    pause_s: float = 0.0

    @property
    def steps(self) -> tuple[str, ...]:
        """The names of the steps of this phase; preflight and capture are single steps of their own name."""
        return (self.phase.value,)

    @property
    def step(self) -> str | None:
        """The name of the step that is due; None after the last."""
        steps, index = self.steps, self.index
        return steps[index] if index < len(steps) else None

    def at(self, index: int) -> Self:
        """The same state at another of its steps."""
        return type(self)(self.operation, index, self.tries, self.pause_s)


@quick
@attrs.frozen
class Pending(Stepping):
    """Opened; nothing was looked at yet."""

    phase = Phase.PREFLIGHT


@quick
@attrs.frozen
class Capturing(Stepping):
    """The way back is being read and stored."""

    phase = Phase.CAPTURING


@quick
@attrs.frozen
class Staging(Stepping):
    """The new version is being prepared beside the untouched old one."""

    phase = Phase.STAGING

    @property
    def steps(self) -> tuple[str, ...]:
        """The staging steps."""
        return self.operation.opened.steps.staging


@quick
@attrs.frozen
class Switching(Stepping):
    """The new version takes the old one's place. ``touched`` once the first step was intended.

    ``resuming``: after an interruption while watching, only the steps that keep the new version in place
    are made sure of.
    """

    phase = Phase.SWITCHING

    touched: bool = False
    resuming: bool = False

    @property
    def steps(self) -> tuple[str, ...]:
        """The switching steps, or those that are made sure of again."""
        steps = self.operation.opened.steps
        return steps.resuming if self.resuming else steps.switching

    def at(self, index: int) -> Self:
        """The same state at another of its steps."""
        return type(self)(self.operation, index, self.tries, self.pause_s, self.touched, self.resuming)


@attrs.frozen
class Looking:
    """A state that looks at a version again and again. All times in seconds of the monotonic clock.

    ``began_s`` is the time of the first look, None before it; the next one is due at ``due_s``.
    """

    operation: Operation
    began_s: float | None = None
    due_s: float = -math.inf


@quick
@attrs.frozen
class Settling(Looking):
    """The new version is in place and has until ``ready_timeout`` to become ready."""


@quick
@attrs.frozen
class Watching(Looking):
    """The new version became ready and is being monitored; ``identity`` is the very thing that was ready."""

    identity: str = ""
    window: Window | None = None


@quick
@attrs.frozen
class Deciding:
    """Something was decided and is yet to be journaled."""

    operation: Operation
    event: VerdictReached | StepFailed | BecameReady | Finished


@quick
@attrs.frozen
class Committing(Stepping):
    """The new version stays; the old one is cleared away."""

    phase = Phase.COMMITTING

    @property
    def steps(self) -> tuple[str, ...]:
        """The committing steps."""
        return self.operation.opened.steps.committing


@attrs.frozen
class Restoring(Stepping):
    """The old version is being put back."""

    phase = Phase.RESTORING

    @property
    def steps(self) -> tuple[str, ...]:
        """The restoring steps."""
        return self.operation.opened.steps.restoring


@attrs.frozen
class Verifying(Looking):
    """The old version is back and must be seen stable. ``tries`` counts how often it was put back."""

    tries: int = 0
    stable_since_s: float | None = None


@quick
@attrs.frozen
class Discarding(Stepping):
    """What was prepared and is not needed is being removed; then the operation ends as ``outcome`` says."""

    phase = Phase.DISCARDING

    outcome: Outcome = Outcome.ABORTED
    code: str = ""
    message: str = ""
    staged: bool = True

    @property
    def steps(self) -> tuple[str, ...]:
        """The discarding steps; none where nothing had been staged."""
        return self.operation.opened.steps.discarding if self.staged else ()

    def at(self, index: int) -> Self:
        """The same state at another of its steps."""
        return evolved(self, index=index)


@attrs.frozen
class Parked:
    """Open, and waiting for a person."""

    operation: Operation
    code: str = ""
    message: str = ""


@attrs.frozen
class Held(Parked):
    """The new version runs, unproven; the old one can still be put back."""


@attrs.frozen
class RollbackFailed(Parked):
    """The old version could not be put back."""


@attrs.frozen
class Ended:
    """The end of an operation."""

    outcome: ClassVar[Outcome]

    operation: Operation
    code: str = ""
    message: str = ""


@quick
@attrs.frozen
class Succeeded(Ended):
    """The new version was verified healthy and stays."""

    outcome = Outcome.SUCCEEDED


@attrs.frozen
class Aborted(Ended):
    """Nothing was changed."""

    outcome = Outcome.ABORTED


@attrs.frozen
class RolledBack(Ended):
    """The old version is back and was seen stable."""

    outcome = Outcome.ROLLED_BACK


@attrs.frozen
class Superseded(Ended):
    """Somebody else changed the target meanwhile; theirs stands."""

    outcome = Outcome.SUPERSEDED


@attrs.frozen
class TargetGone(Ended):
    """Somebody else removed the target meanwhile."""

    outcome = Outcome.TARGET_GONE


State = (
    Pending
    | Capturing
    | Staging
    | Switching
    | Settling
    | Watching
    | Deciding
    | Committing
    | Restoring
    | Verifying
    | Discarding
    | Held
    | RollbackFailed
    | Succeeded
    | Aborted
    | RolledBack
    | Superseded
    | TargetGone
)

ENDINGS: dict[Outcome, type[Succeeded | Aborted | RolledBack | Superseded | TargetGone]] = {
    state.outcome: state for state in (Succeeded, Aborted, RolledBack, Superseded, TargetGone)
}
