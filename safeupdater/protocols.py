"""The ports: what the core asks of the world, as small protocols, and the values that cross them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Generic, Protocol, TypeVar, runtime_checkable

import attrs

from safeupdater.domain.artifact import Artifact, ImageReference, ResolvedImage
from safeupdater.domain.asset import Asset
from safeupdater.domain.candidate import Candidate
from safeupdater.domain.decision import Decision
from safeupdater.domain.health import Observation, Sample
from safeupdater.domain.notice import Notice
from safeupdater.domain.operation import (
    Event,
    Hook,
    JournalEntry,
    OperationPlanned,
    OperationSettings,
    Phase,
    PreflightReport,
    Snapshot,
    StepOutcome,
    Steps,
)
from safeupdater.domain.plan import PlannedUpdate
from safeupdater.domain.quick import quick
from safeupdater.errors import RegistryError

Value = TypeVar("Value", covariant=True)

# --- time -------------------------------------------------------------------------------------------------


class Clock(Protocol):
    """Time as a port: nothing in the core reads a clock of its own."""

    def now(self) -> datetime:
        """The wall clock: an aware UTC time. It labels records and opens windows; it never measures."""
        ...

    def monotonic(self) -> float:
        """Seconds that never go back; only differences mean something."""
        ...

    def wait(self, delay_s: float, interrupted: Callable[[], bool]) -> None:
        """Lets that many seconds pass, or fewer when ``interrupted()`` becomes true."""
        ...


# --- deciding ---------------------------------------------------------------------------------------------


class Gate(Protocol):
    """A rule that decides on a candidate. Pure: the time is in the candidate, facts are in it too.

    ``needs`` names the facts that it looks at, so that only those are fetched.
    """

    @property
    def name(self) -> str:
        """What it is called in reasons."""
        ...

    @property
    def needs(self) -> frozenset[str]:
        """The facts that it reads: ``published_at``, ``first_seen`` …"""
        ...

    def __call__(self, candidate: Candidate) -> Decision:
        """The decision on one candidate."""
        ...


@attrs.frozen(kw_only=True)
class AssetPolicy:
    """What a policy says about one asset: how to choose, decide, run and watch.

    ``fingerprint`` is the hash of everything in it that matters; a plan item's hash covers it.
    ``approvers`` are globs for those who may approve, case-sensitive; none: everybody.
    """

    gate: Gate
    fingerprint: str
    settings: OperationSettings = OperationSettings()
    enabled: bool = True
    constraint: str | None = None
    allow_prerelease: bool = False
    family: str = "strict"
    max_major_step: int = 500
    max_concurrent: int = 1
    approval_ttl_s: float = 86_400.0
    approvers: tuple[str, ...] = ()

    def lets_approve(self, approver: str) -> bool:
        """Whether somebody may approve updates of the asset."""
        return not self.approvers or any(fnmatchcase(approver, pattern) for pattern in self.approvers)


class PolicySource(Protocol):
    """Anything that knows the policy of an asset; ``safeupdater.Policy`` is the usual one.

    One that has a ``retention`` as well (a ``JournalRetention``) says how long the past is kept.
    """

    def for_asset(self, asset: Asset) -> AssetPolicy:
        """The effective policy of one asset."""
        ...

    def defaults(self) -> AssetPolicy:
        """The policy without any rule of its own: what DiffGate's two-string form decides by."""
        ...


class TagSource(Protocol):
    """Where newer versions are found. Not getting an answer is an exception, never an empty list."""

    def get_available_tags(self, image: Artifact) -> tuple[str, ...]:
        """Every tag of the repository, all or nothing; cached.

        Raises:
            RegistryError: the registry gave no complete answer.
        """
        ...

    def resolve(self, image: ImageReference, platform: str | None = None) -> ResolvedImage:
        """The digests that a tag serves now, for a platform such as ``linux/amd64`` where one is given.

        Raises:
            RegistryError: the registry did not answer, or has no such tag or platform.
        """
        ...

    def lookup_many(self, images: Iterable[Artifact]) -> Mapping[str, tuple[str, ...] | RegistryError]:
        """The tags of many repositories by name (``ImageReference.name``), each asked for once."""
        ...

    def resolve_many(
        self, images: Iterable[ImageReference], platform: str | None = None
    ) -> Mapping[str, ResolvedImage | RegistryError]:
        """The digests of many references, by ``str(reference)``."""
        ...


class FactSource(Protocol):
    """Where facts about candidates come from; asked only for candidates whose gates need them."""

    @property
    def provides(self) -> frozenset[str]:
        """The names of the facts that it can give."""
        ...

    def facts(self, candidate: Candidate) -> Mapping[str, object]:
        """What is known; a fact that cannot be had is left out, which means unknown."""
        ...


# --- running ----------------------------------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class ScanReport:
    """What a scan saw. Only a complete scan of a scope can tell that something in it was removed."""

    assets: tuple[Asset, ...]
    scope: str
    """The id prefix that was looked at, such as ``docker://prod-1/``."""
    complete: bool = True
    problems: tuple[str, ...] = ()


class Scanner(Protocol):
    """Finds what runs."""

    def scan(self) -> ScanReport:
        """Every asset in reach.

        Raises:
            ScanError: the runtime did not answer.
        """
        ...


@attrs.frozen(kw_only=True)
class Progress:
    """How far a long step is: ``done`` of ``total`` (0: unknown) of a unit such as ``bytes``."""

    step: str
    done: int = 0
    total: int = 0
    unit: str = ""
    message: str = ""


Report = Callable[[Progress], None]


@quick
@attrs.frozen(kw_only=True)
class OperationContext:
    """What a backend is told about the operation that it serves.

    ``snapshot`` is None until it was captured. ``wanted`` is the snapshot to bring back in a rollback by
    hand, else None: then the wanted state is A with the new images. ``deadline_s`` bounds the call.
    ``store_endpoint`` is the address and port of the server that keeps our state, None where there is none
    on a network: whatever runs it must be refused.
    """

    operation_id: str
    epoch: int
    planned: PlannedUpdate
    settings: OperationSettings
    snapshot: Snapshot | None = None
    wanted: Snapshot | None = None
    deadline_s: float = 60.0
    store_endpoint: tuple[str, int] | None = None

    @property
    def target_id(self) -> str:
        """What the operation touches."""
        return self.planned.target_id


@attrs.frozen(kw_only=True)
class ExecResult:
    """What a command in a container gave back; ``output`` is cut to 8 KiB."""

    exit_code: int
    output: str = ""


class ProbeTarget(Protocol):
    """The version under watch, as probes see it."""

    def address(self, port: int | None) -> tuple[str, int] | None:
        """Where a port of it is reached (host, port); the only one for None; None where it is not."""
        ...

    def execute(self, argv: Sequence[str], timeout_s: float) -> ExecResult:
        """Runs a command inside it, without a shell.

        Raises:
            BackendError: the runtime did not run it.
        """
        ...


class HealthCheck(Protocol):
    """One way to measure health."""

    def check(self, target: ProbeTarget, timeout_s: float) -> Sample:
        """One measurement; ``void`` where the probe itself could not measure. Never raises for health."""
        ...

    def self_test(self, timeout_s: float) -> Sample:
        """The same measurement against a closed port: anything but ``failed`` means it cannot fail."""
        ...


@runtime_checkable
class PathCheck(Protocol):
    """A health check that asks for a path, and can say whether it would notice a wrong one."""

    def ignores_path(self, target: ProbeTarget, timeout_s: float) -> bool:
        """Whether a path that cannot exist passes as well: then something answers anything as well."""
        ...


class HealthChecks(Protocol):
    """Makes health checks by type name."""

    def create(self, type: str, **options: object) -> HealthCheck:
        """The check of that type.

        Raises:
            ConfigurationError: unknown type or option.
            PluginError: a plugin gave something that is not a check.
        """
        ...


class Backend(Protocol):
    """One runtime on one host: finds what runs there, and performs the steps of operations.

    Every step observes, acts, and observes again. A call that did not answer raises ``BackendError``:
    whether it took effect is then unknown, and the step is performed again. Operations that are under way
    together call it from threads of their own.

    A backend is called on a further thread and given up after ``deadline_s`` of the operation, unless it has
    an attribute ``keeps_deadlines`` that is true: then its calls end in time by themselves. The same holds
    for sources of tags and facts, for hooks and for an admission. One that is also ``SlowSteps`` says which
    steps need more time than usual; one that ``ReadsOnce`` answers many preflights at less cost.
    """

    @property
    def name(self) -> str:
        """The runtime: ``docker``, ``kubernetes``, ``helm``, ``memory``."""
        ...

    @property
    def host(self) -> str:
        """The alias of the daemon or cluster, as in asset ids."""
        ...

    def scan(self) -> ScanReport:
        """Every asset of this runtime on this host.

        Raises:
            ScanError: the runtime did not answer.
        """
        ...

    def owns(self, target_id: str) -> bool:
        """Whether a target is this backend's."""
        ...

    def steps(self, planned: PlannedUpdate, settings: OperationSettings) -> Steps:
        """The named steps that an operation will take. A pure function of its arguments."""
        ...

    @property
    def can_resume_switch(self) -> bool:
        """Whether an interrupted switch that is observed complete and ours may go on."""
        ...

    def preflight(self, operation: OperationContext) -> PreflightReport:
        """Whether the target exists, is unchanged since the plan, and could be put back. Reads only."""
        ...

    def capture(self, operation: OperationContext) -> Snapshot:
        """Everything needed to put the present version back. Reads only."""
        ...

    def perform(self, operation: OperationContext, phase: Phase, step: str, report: Report) -> StepOutcome:
        """Makes one step true, whether or not it already was.

        A refused switch blames the surroundings, unless its code is ``start_failed``: then the release
        cannot be started at all, and goes into quarantine.

        Raises:
            BackendError: the runtime did not answer.
        """
        ...

    def observe(self, operation: OperationContext, *, old: bool = False) -> Observation:
        """What the runtime says about the new version, or about the old one.

        Raises:
            BackendError: the runtime did not answer.
        """
        ...

    def probe_target(self, operation: OperationContext, *, old: bool = False) -> ProbeTarget:
        """Where probes reach the new version, or the old one.

        Raises:
            BackendError: the runtime did not answer.
        """
        ...

    def collect(self, expired: Sequence[Snapshot], kept: Sequence[Snapshot]) -> tuple[str, ...]:
        """Removes what was kept for these expired snapshots and for none that is still kept.

        Returns what was removed, in words.
        """
        ...

    def close(self) -> None:
        """Gives back connections."""
        ...


class SlowSteps(Protocol):
    """A backend with steps that may take longer than two minutes, or half an hour while staging."""

    def step_time_s(self, operation: OperationContext, phase: Phase, step: str) -> float:
        """How long that step may take at most; 0 for the usual time. Asks nobody.

        ``deadline_s`` and the lease on the target follow it, up to 7 days. What is no time to come counts
        as 0, and so does raising.
        """
        ...


class ReadsOnce(Protocol):
    """A backend that can look at many targets together, where what it reads for one serves the others."""

    def reading_once(self) -> Backend:
        """The same backend for one look ahead: what was read is not read again. Asks nobody.

        Only what it owns and preflights are asked of it, several at a time; it is not closed.
        """
        ...


class IdentifiedRuntime(Protocol):
    """A backend that can tell its runtime from every other one, whatever alias it was given."""

    @property
    def runtime_id(self) -> str | None:
        """What the runtime calls itself, wherever it is reached from; None where it does not say.

        Raises:
            ScanError: it did not answer.
        """
        ...


class Hooks(Protocol):
    """Runs hooks."""

    def run(self, hook: Hook, operation: OperationContext, target: ProbeTarget | None) -> StepOutcome:
        """The outcome of one hook; an unwelcome one refuses the step."""
        ...


@attrs.frozen(kw_only=True)
class Admittance:
    """Whether an operation may begin now; where not, why and, where known, until when."""

    admitted: bool
    code: str = ""
    message: str = ""
    until: datetime | None = None


class Admission(Protocol):
    """Who is asked before a first mutation: limits, budgets and breakers live behind it."""

    def admit(self, planned: PlannedUpdate, now: datetime) -> Admittance:
        """Whether this update may begin now.

        Asked before its operation is opened, and again when it is open and about to have its first effect:
        ``concurrency`` then lets it wait, any other refusal ends it with nothing changed.
        """
        ...


# --- remembering ------------------------------------------------------------------------------------------


@quick
@attrs.frozen(kw_only=True)
class Lease:
    """The right to act on a target until it expires. ``epoch`` grows with each new holder: the fence."""

    key: str
    holder: str
    epoch: int
    ttl_s: float


@quick
@attrs.frozen(kw_only=True)
class LeaseSeen:
    """Who holds a lease, and until when by the store's clock; it gives no right to act."""

    holder: str
    until: datetime

    @property
    def host(self) -> str:
        """The machine in a holder text as ``holder_identity`` writes them; all of any other text."""
        machine, *rest = self.holder.rsplit(":", 4)
        return machine if len(rest) == 4 else self.holder


@quick
@attrs.frozen
class Stored(Generic[Value]):
    """A record's value and the version to compare with when it is written again."""

    value: Value
    version: int


class StateStore(Protocol):
    """Records, the journal of operations, and leases: durable when a call returns.

    Record kinds and the classes of their values are listed in ``safeupdater.codec.KINDS``. Thread-safe.
    Every method may raise ``StoreError``; after one, nothing may be assumed to be durable.
    """

    # records

    def get(self, kind: str, key: str) -> Stored[object] | None:
        """The record, or None where there is none."""
        ...

    def put(self, kind: str, key: str, value: object, *, expected: int | None = None) -> int:
        """Writes a record and gives its new version.

        ``expected`` is the version that it must have now (0: it must not exist); None overwrites.

        Raises:
            VersionConflict: somebody else wrote first.
        """
        ...

    def put_many(
        self, kind: str, values: Mapping[str, object], *, expected: Mapping[str, int] | None = None
    ) -> None:
        """Writes many records of a kind in one durable write, where they are at the ``expected`` versions.

        All of them or none; only snapshots may be written one by one, after all were found fit to be.
        What ``expected`` does not name is written whatever its version is; 0 means that it is not there.

        Raises:
            VersionConflict: somebody else wrote one of them first.
        """
        ...

    def delete(self, kind: str, key: str, *, expected: int | None = None) -> None:
        """Removes a record; removing what is not there is fine, unless a version was expected."""
        ...

    def iterate(self, kind: str, prefix: str = "") -> Iterator[tuple[str, Stored[object]]]:
        """The records of a kind whose key begins with the prefix, in key order, as they are at the call."""
        ...

    # journal

    def append(
        self,
        operation_id: str,
        events: Sequence[Event],
        *,
        expected_version: int,
        at: datetime,
        lease: Lease | None = None,
    ) -> int:
        """Adds events to an operation's journal, all or none, and gives the new version.

        The first event of an operation is ``OperationPlanned`` with ``expected_version`` 0. With a
        lease, the store refuses when the lease is no longer current.

        Raises:
            VersionConflict: the journal is at another version, or the target has an open operation.
            LeaseLost: somebody else holds the lease.
        """
        ...

    def load(self, operation_id: str, after: int = 0) -> tuple[JournalEntry, ...]:
        """The journal of one operation, in order, from behind a version on; empty where there is none."""
        ...

    def unfinished(self) -> tuple[OperationPlanned, ...]:
        """The operations without an end, oldest first; held and failed ones are among them."""
        ...

    def since(self, cursor: int, limit: int = 1000) -> tuple[JournalEntry, ...]:
        """The entries after a position, in commit order: none is ever skipped by a reader that goes on."""
        ...

    def prune(self, before: datetime, *, keep_per_target: int, keep: Collection[str] = ()) -> int:
        """Forgets the journals of operations that ended before a time; how many there were.

        Each goes as a whole. The newest ``keep_per_target`` ended operations of every target stay, and
        those that ``keep`` names by id. No position is ever given again; a reader by cursor that had
        not come that far never sees what is gone.
        """
        ...

    # leases

    def acquire(self, key: str, holder: str, ttl_s: float) -> Lease | None:
        """A lease with a new epoch; None while somebody else, not provably dead, holds it."""
        ...

    def lease_on(self, key: str) -> LeaseSeen | None:
        """Who holds the lease; None where anybody would be given it. Nothing is taken or written."""
        ...

    def renew(self, lease: Lease, ttl_s: float) -> Lease:
        """The same lease, good for that many seconds from now.

        Raises:
            LeaseLost: somebody else has taken it.
        """
        ...

    def release(self, lease: Lease) -> None:
        """Gives the lease back; one that is no longer ours is left alone."""
        ...

    def close(self) -> None:
        """Gives back locks and connections."""
        ...


@runtime_checkable
class MeasuredStore(Protocol):
    """What a ``StateStore`` may offer besides: it says how much room it has left.

    An update is not begun in a store that has less than 16 MiB.
    """

    def free_bytes(self) -> int | None:
        """How much more it can take up, in bytes; None where that is not known.

        Raises:
            StoreError: it did not answer.
        """
        ...


@runtime_checkable
class RemoteStore(Protocol):
    """What a ``StateStore`` may offer besides: it says where its server is.

    A backend that finds this server among what it updates leaves it alone.
    """

    def server_endpoint(self) -> tuple[str, int] | None:
        """The address (where that is not known, the name) and the port of the server; None without a port.

        Raises:
            StoreError: it did not answer.
        """
        ...


# --- telling ----------------------------------------------------------------------------------------------


@runtime_checkable
class Observer(Protocol):
    """Told what happened, after it is durable. What it raises never stops an update.

    Each is told on a thread of its own. One that takes longer than a few seconds is left behind: nothing
    waits for it any more, and the other observers get the alert ``observer_hangs``.
    """

    def notify(self, happening: JournalEntry | Notice) -> None:
        """Takes one journal entry or notice."""
        ...


@runtime_checkable
class JournalReader(Protocol):
    """An observer that reads the journal itself, at its own pace, so that a crash loses it nothing.

    An ``Updater`` tells its observers of this kind which store to read, and when that is about to close.
    """

    def follow(self, store: StateStore) -> None:
        """Takes the store to read; one before it is left."""
        ...

    def leave(self) -> None:
        """Does what is left to do, within a bounded time, and reads no more."""
        ...
