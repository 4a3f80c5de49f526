"""One attempt to bring one target from A to B: its journal's events and its outcomes.

What it runs under is in ``settings``, what is remembered of it in ``remembered``; both can be had here too.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

import attrs

from safeupdater.domain.change import Change
from safeupdater.domain.health import Baseline, Observation, Sample, Tally
from safeupdater.domain.plan import PlannedUpdate, fingerprint
from safeupdater.domain.quick import quick

# One block for each home; "as" hands the names on.
# isort: off
from safeupdater.domain.remembered import (
    Attempt as Attempt,
    Blame as Blame,
    Breaker as Breaker,
    FirstSeen as FirstSeen,
    Quarantine as Quarantine,
    RollbackRecord as RollbackRecord,
)
from safeupdater.domain.settings import (
    Hook as Hook,
    HookPoint as HookPoint,
    OnInconclusive as OnInconclusive,
    OperationSettings as OperationSettings,
    RollbackPolicy as RollbackPolicy,
    Unrunnable as Unrunnable,
    frozen_mapping,
)
# isort: on


class Phase(enum.Enum):
    """The parts of an operation in which steps are performed."""

    PREFLIGHT = "preflight"
    CAPTURING = "capturing"
    STAGING = "staging"
    SWITCHING = "switching"
    COMMITTING = "committing"
    RESTORING = "restoring"
    DISCARDING = "discarding"

    def __str__(self) -> str:
        return self.value


class Outcome(enum.Enum):
    """How an operation ends. ``refused`` means that none was opened; ``held``, ``rollback_failed`` and
    ``interrupted`` are stops rather than ends: a person resolves the first two, ``recover`` the last."""

    SUCCEEDED = "succeeded"
    ABORTED = "aborted"
    ROLLED_BACK = "rolled_back"
    ROLLBACK_FAILED = "rollback_failed"
    HELD = "held"
    SUPERSEDED = "superseded"
    TARGET_GONE = "target_gone"
    REFUSED = "refused"
    INTERRUPTED = "interrupted"

    def __str__(self) -> str:
        return self.value


@attrs.frozen(kw_only=True)
class Steps:
    """The named steps that a backend declares for one operation, per phase, in order.

    Every step is convergent: doing it twice is doing it once. ``resuming`` lists the switching steps
    that are made sure of again when an operation is taken up after an interruption.
    """

    staging: tuple[str, ...] = ()
    switching: tuple[str, ...] = ()
    committing: tuple[str, ...] = ()
    restoring: tuple[str, ...] = ()
    discarding: tuple[str, ...] = ()
    resuming: tuple[str, ...] = ()

    def of(self, phase: Phase) -> tuple[str, ...]:
        """The steps of a phase; preflight and capture are single steps of their own name."""
        match phase:
            case Phase.STAGING:
                return self.staging
            case Phase.SWITCHING:
                return self.switching
            case Phase.COMMITTING:
                return self.committing
            case Phase.RESTORING:
                return self.restoring
            case Phase.DISCARDING:
                return self.discarding
            case Phase.PREFLIGHT | Phase.CAPTURING:
                return (phase.value,)


class StepStatus(enum.Enum):
    """How a step came out."""

    DONE = "done"
    RETRY = "retry"
    """Not this time; the same step may work later."""
    REFUSED = "refused"
    """It will not work, however often it is tried."""
    SUPERSEDED = "superseded"
    """Somebody else changed what we manage."""
    GONE = "gone"
    """Somebody else removed the target."""


@attrs.frozen
class StepOutcome:
    """What a backend answers to a step: status, a stable code, and a sentence for people."""

    status: StepStatus = StepStatus.DONE
    code: str = ""
    message: str = ""


DONE = StepOutcome()


@quick
@attrs.frozen(kw_only=True)
class PreflightReport:
    """What was found before anything is touched: a refusal, or warnings and whether the target runs."""

    refusal: StepOutcome | None = None
    warnings: tuple[str, ...] = ()
    running: bool = True


@attrs.frozen(kw_only=True)
class Snapshot:
    """Everything needed to put A back. It holds secrets (environment, values), so its repr shows none.

    ``running`` says whether A ran at that very moment; None: as the preflight found it.
    """

    operation_id: str
    target_id: str
    format: str
    taken_at: datetime
    data: Mapping[str, object] = attrs.field(converter=frozen_mapping, hash=False, repr=False)
    running: bool | None = None

    @property
    def sha256(self) -> str:
        """The hash of what was captured: all that the journal keeps of it."""
        return fingerprint({"format": self.format, "target": self.target_id, "data": _plain(self.data)})


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


class Verdict(enum.Enum):
    """Which way an operation goes once the new version has been in place. Decided once."""

    COMMIT = "commit"
    RESTORE = "restore"
    HOLD = "hold"

    def __str__(self) -> str:
        return self.value


class Resolution(enum.Enum):
    """What a person decides about a held operation or a failed rollback."""

    KEEP_NEW = "keep_new"
    RESTORE = "restore"
    ABANDON = "abandon"

    def __str__(self) -> str:
        return self.value


# --- events: what the journal holds, in order -------------------------------------------------------------


@quick
@attrs.frozen(kw_only=True)
class OperationPlanned:
    """The first record: the whole planned update and everything it runs under.

    ``restores`` names an earlier operation whose snapshot is the wanted state: a rollback by hand.
    """

    operation_id: str
    target_id: str
    planned: PlannedUpdate
    settings: OperationSettings
    steps: Steps
    restores: str | None = None
    can_resume: bool = False

    @property
    def changes(self) -> tuple[Change, ...]:
        """What changes, one per asset."""
        return self.planned.changes


@quick
@attrs.frozen(kw_only=True)
class PreflightPassed:
    """The target exists, is unchanged, and can be put back."""

    warnings: tuple[str, ...] = ()
    running: bool = True
    baseline: Baseline | None = None


@quick
@attrs.frozen(kw_only=True)
class SnapshotCaptured:
    """The snapshot is stored durably; the journal keeps its hash, and whether A ran when it was taken."""

    sha256: str
    running: bool | None = None


@quick
@attrs.frozen(kw_only=True)
class StepIntended:
    """A step is about to be performed: written before the effect."""

    phase: Phase
    step: str


@quick
@attrs.frozen(kw_only=True)
class StepDone:
    """A step was performed and observed: written after the effect."""

    phase: Phase
    step: str
    detail: str = ""


@attrs.frozen(kw_only=True)
class StepFailed:
    """A step did not come out; ``status`` says whether it may later.

    ``unanswered``: the runtime did not answer, so that nothing speaks against trying for a long time.
    """

    phase: Phase
    step: str
    status: StepStatus
    code: str
    message: str
    unanswered: bool = False


@quick
@attrs.frozen(kw_only=True)
class BecameReady:
    """The new version is ready; monitoring begins."""

    identity: str
    evidence: str


@quick
@attrs.frozen(kw_only=True)
class VerdictReached:
    """The direction is decided, with the evidence for it. There is one per operation."""

    verdict: Verdict
    code: str
    message: str
    blame: Blame = Blame.NOBODY
    tally: Tally = Tally()


@attrs.frozen(kw_only=True)
class AbortRequested:
    """Somebody asked to stop. Before the verdict it leads back to the old version, after it nowhere."""

    by: str
    reason: str = ""


@attrs.frozen(kw_only=True)
class Resumed:
    """An executor took the operation up after an interruption.

    ``proved`` says that the switch was observed complete and ours, so that it need not be undone.
    """

    by: str
    epoch: int
    proved: bool = False


@attrs.frozen(kw_only=True)
class Resolved:
    """A person decided about a held operation or a failed rollback."""

    resolution: Resolution
    by: str
    reason: str = ""


@quick
@attrs.frozen(kw_only=True)
class Finished:
    """The last record (or, for held and rollback_failed, the last before a person decides).

    ``leftovers`` names what could not be cleaned up; it is harmless and listed for people.
    """

    outcome: Outcome
    code: str = ""
    message: str = ""
    leftovers: tuple[str, ...] = ()


Event = (
    OperationPlanned
    | PreflightPassed
    | SnapshotCaptured
    | StepIntended
    | StepDone
    | StepFailed
    | BecameReady
    | VerdictReached
    | AbortRequested
    | Resumed
    | Resolved
    | Finished
)


# --- what is never journaled: measurements and the passing of time ----------------------------------------


class Observed(NamedTuple):  # made anew for every sample: a tuple is twice as fast as attrs
    """One look at a version: what the runtime says and what the probes measured, at a monotonic time.

    Measurements are not journaled: an operation that is taken up again gets a fresh window.
    ``observation`` is None where the runtime could not be asked.
    """

    now_s: float
    observation: Observation | None
    sample: Sample


@attrs.frozen
class Woke:
    """The wait that was asked for is over."""


Happening = Event | Observed | Woke


@quick
@attrs.frozen(kw_only=True)
class JournalEntry:
    """One event in the journal: of which operation, which in its order, when, and under which epoch.

    ``version`` counts the events of the operation from 1; ``position`` is the store's own cursor in
    commit order.
    """

    operation_id: str
    target_id: str
    version: int
    position: int
    at: datetime
    epoch: int
    event: Event
