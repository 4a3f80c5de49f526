"""Other people's backends, sources and hooks, called with deadlines: one that hangs delays nobody else.

What ends by its deadline by itself says so with ``keeps_deadlines = True``, as everything of our own does,
and is called directly.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import copy
from datetime import datetime
from functools import partial
from typing import TypeVar

import attrs

from safeupdater.deadlines import Patience
from safeupdater.domain.artifact import Artifact, ImageReference, ResolvedImage
from safeupdater.domain.candidate import Candidate
from safeupdater.domain.health import Observation
from safeupdater.domain.operation import (
    Hook,
    OperationSettings,
    Phase,
    PreflightReport,
    Snapshot,
    StepOutcome,
    Steps,
    StepStatus,
)
from safeupdater.domain.plan import PlannedUpdate
from safeupdater.errors import BackendError, PluginError, RegistryError, SafeUpdaterError, ScanError
from safeupdater.protocols import (
    Admission,
    Admittance,
    Backend,
    ExecResult,
    FactSource,
    Hooks,
    OperationContext,
    ProbeTarget,
    Report,
    ScanReport,
    TagSource,
)

_Port = TypeVar("_Port")
Result = TypeVar("Result")

SCAN_S = 600.0
LISTING_S = 600.0
QUESTION_S = 60.0
FACTS_S = 30.0
ADDRESS_S = 10.0
_MARGIN_S = 5.0
"""What a call that has a time-out of its own may take longer."""


def guarded(port: _Port, guard: Callable[[_Port], _Port]) -> _Port:
    """The same port, with deadlines around it where it does not keep them by itself."""
    return port if getattr(port, "keeps_deadlines", False) is True else guard(port)


def unguarded(port: _Port, guard: Callable[[_Port], _Port]) -> _Port:
    """The same port as it is: where everything happens on one thread there is nothing to wait with."""
    return port


def _asked(
    patience: Patience,
    call: Callable[[], Result],
    timeout_s: float,
    late: Callable[[str], SafeUpdaterError],
    *,
    key: str = "",
) -> Result:
    try:
        return patience.ask(call, timeout_s, key=key)
    except TimeoutError as error:
        raise late(str(error)) from error


def _unanswered(message: str) -> BackendError:
    """Whether the call took effect is unknown: the step is made sure of again."""
    return BackendError(message, code="backend_hangs", transient=True)


def _scan_late(message: str) -> ScanError:
    return ScanError(message, code="backend_hangs", transient=True)


def _registry_late(message: str) -> RegistryError:
    return RegistryError(message, code="registry_hangs", transient=True)


def _plugin_late(message: str) -> PluginError:
    return PluginError(message, code="plugin_hangs", transient=True)


def read_together(backend: Backend) -> Backend | None:
    """What a backend that ``ReadsOnce`` gives for a look ahead, None of any other.

    Of its class's own: one that hands on what it does not know to another would have that answer for it.
    """
    ask: Callable[[Backend], Backend] | None = getattr(type(backend), "reading_once", None)
    return ask(backend) if ask is not None else None


class GuardedBackend:
    """A backend whose calls end by ``deadline_s`` of the operation; each operation hangs by itself.

    What only reads hangs by itself too: a step waits for an earlier one that may yet act on the same target,
    and never for a look or a probe.
    """

    keeps_deadlines = True

    def __init__(self, inner: Backend) -> None:
        self.inner = inner
        what = f"the backend {type(inner).__name__}"
        # One per operation at most: what hangs elsewhere must not keep a target from its way back.
        self._effects, self._reads = Patience(what, most=math.inf), Patience(what, most=math.inf)
        self._probes = Patience(what)

    @property
    def name(self) -> str:
        """The runtime."""
        return self.inner.name

    @property
    def host(self) -> str:
        """The alias of the daemon or cluster."""
        return self.inner.host

    @property
    def runtime_id(self) -> str | None:
        """As the backend says, where it does."""
        ask: Callable[[], str | None] = partial(getattr, self.inner, "runtime_id", None)
        return _asked(self._reads, ask, QUESTION_S, _scan_late, key="runtime_id")

    @property
    def can_resume_switch(self) -> bool:
        """As the backend says."""
        return self.inner.can_resume_switch

    def owns(self, target_id: str) -> bool:
        """As the backend says: a pure function, so it is called directly."""
        return self.inner.owns(target_id)

    def steps(self, planned: PlannedUpdate, settings: OperationSettings) -> Steps:
        """As the backend says: a pure function, so it is called directly."""
        return self.inner.steps(planned, settings)

    def step_time_s(self, operation: OperationContext, phase: Phase, step: str) -> float:
        """As the backend says, where it does."""
        ask: Callable[[OperationContext, Phase, str], float] = getattr(
            self.inner, "step_time_s", lambda *_: 0.0
        )
        return ask(operation, phase, step)

    def scan(self) -> ScanReport:
        """Everything that it finds, within ten minutes."""
        return _asked(self._reads, self.inner.scan, SCAN_S, _scan_late, key="scan")

    def reading_once(self) -> Backend:
        """The same for a look ahead, guarded as well, where the backend has such."""
        inner = read_together(self.inner)
        if inner is None:
            return self
        twin = copy(self)
        twin.inner = inner
        return twin

    def preflight(self, operation: OperationContext) -> PreflightReport:
        """As the backend says."""
        return self._ask_read("preflight", operation, lambda: self.inner.preflight(operation))

    def capture(self, operation: OperationContext) -> Snapshot:
        """As the backend says."""
        return self._ask_effect(operation, lambda: self.inner.capture(operation))

    def perform(self, operation: OperationContext, phase: Phase, step: str, report: Report) -> StepOutcome:
        """As the backend says."""
        return self._ask_effect(operation, lambda: self.inner.perform(operation, phase, step, report))

    def observe(self, operation: OperationContext, *, old: bool = False) -> Observation:
        """As the backend says."""
        return self._ask_read(
            _side("observe", old), operation, lambda: self.inner.observe(operation, old=old)
        )

    def probe_target(self, operation: OperationContext, *, old: bool = False) -> ProbeTarget:
        """What the backend gives, guarded as well."""
        side = _side("probe", old)
        target = self._ask_read(side, operation, lambda: self.inner.probe_target(operation, old=old))
        return _GuardedTarget(target, self._probes, f"{side}:{operation.operation_id}")

    def collect(self, expired: Sequence[Snapshot], kept: Sequence[Snapshot]) -> tuple[str, ...]:
        """As the backend says."""
        collect = lambda: self.inner.collect(expired, kept)  # noqa: E731
        return _asked(self._effects, collect, SCAN_S, _unanswered, key="collect")

    def close(self) -> None:
        """Gives back connections, unless that takes longer than a minute."""
        _asked(self._effects, self.inner.close, QUESTION_S, _unanswered, key="close")

    def _ask_effect(self, operation: OperationContext, call: Callable[[], Result]) -> Result:
        """Under one key per operation: a call that still hangs may yet act on the same target."""
        return _asked(self._effects, call, operation.deadline_s, _unanswered, key=operation.operation_id)

    def _ask_read(self, what: str, operation: OperationContext, call: Callable[[], Result]) -> Result:
        """Under a key of its own: a look that hangs changes nothing, so nothing waits for it."""
        key = f"{what}:{operation.operation_id}"
        return _asked(self._reads, call, operation.deadline_s, _unanswered, key=key)


def _side(what: str, old: bool) -> str:
    return f"{what} old" if old else what


@attrs.frozen
class _GuardedTarget:
    """One version of a target; each address and each command hangs by itself."""

    inner: ProbeTarget
    patience: Patience
    key: str

    def address(self, port: int | None) -> tuple[str, int] | None:
        return self._ask(lambda: self.inner.address(port), ADDRESS_S, f"address {port}")

    def execute(self, argv: Sequence[str], timeout_s: float) -> ExecResult:
        within_s = timeout_s + _MARGIN_S
        return self._ask(lambda: self.inner.execute(argv, timeout_s), within_s, f"execute {tuple(argv)!r}")

    def _ask(self, call: Callable[[], Result], timeout_s: float, what: str) -> Result:
        return _asked(self.patience, call, timeout_s, _unanswered, key=f"{self.key}:{what}")


class GuardedTags:
    """A source of tags whose answers end in time; what does not is a ``RegistryError``."""

    keeps_deadlines = True

    def __init__(self, inner: TagSource) -> None:
        self.inner = inner
        self._patience = Patience(f"the source of tags {type(inner).__name__}")

    @property
    def provides(self) -> frozenset[str]:
        """The facts that it gives, where it is a source of facts too."""
        found: frozenset[str] = getattr(self.inner, "provides", frozenset())
        return found

    def facts(self, candidate: Candidate) -> Mapping[str, object]:
        """What it knows of a candidate."""
        facts: Callable[[Candidate], Mapping[str, object]] = self.inner.facts  # type: ignore[attr-defined]
        return self._ask(lambda: facts(candidate), FACTS_S, f"facts {candidate.asset.id}")

    def get_available_tags(self, image: Artifact) -> tuple[str, ...]:
        """Every tag of the repository."""
        return self._ask(lambda: self.inner.get_available_tags(image), QUESTION_S, f"tags {image.name}")

    def resolve(self, image: ImageReference, platform: str | None = None) -> ResolvedImage:
        """The digests that a tag serves now."""
        return self._ask(lambda: self.inner.resolve(image, platform), QUESTION_S, f"resolve {image.name}")

    def lookup_many(self, images: Iterable[Artifact]) -> Mapping[str, tuple[str, ...] | RegistryError]:
        """The tags of many repositories; what hangs makes those of its own registry unknown, no others."""
        found: dict[str, tuple[str, ...] | RegistryError] = {}
        for place, wanted in _by_place(images).items():
            look = partial(self.inner.lookup_many, wanted)
            try:
                found.update(self._ask(look, LISTING_S, f"tags of {place}"))
            except RegistryError as error:
                found.update({image.name: error for image in wanted})
        return found

    def resolve_many(
        self, images: Iterable[ImageReference], platform: str | None = None
    ) -> Mapping[str, ResolvedImage | RegistryError]:
        """The digests of many references; what hangs makes those of its own registry unknown, no others."""
        found: dict[str, ResolvedImage | RegistryError] = {}
        for place, wanted in _by_place(images).items():
            look = partial(self.inner.resolve_many, wanted, platform)
            try:
                found.update(self._ask(look, LISTING_S, f"digests of {place}"))
            except RegistryError as error:
                found.update({str(image): error for image in wanted})
        return found

    def _ask(self, call: Callable[[], Result], timeout_s: float, key: str) -> Result:
        return _asked(self._patience, call, timeout_s, _registry_late, key=key)


_Artifact = TypeVar("_Artifact", bound=Artifact)


def _by_place(images: Iterable[_Artifact]) -> Mapping[str, tuple[_Artifact, ...]]:
    """Artifacts by the registry or the chart repository that they come from."""
    found: defaultdict[str, list[_Artifact]] = defaultdict(list)
    for image in images:
        found[_place_of(image)].append(image)
    return {place: tuple(wanted) for place, wanted in found.items()}


def _place_of(image: Artifact) -> str:
    return image.registry if isinstance(image, ImageReference) else image.repository or ""


class GuardedFacts:
    """A source of facts whose answers end in time; what it does not say then is unknown."""

    keeps_deadlines = True

    def __init__(self, inner: FactSource) -> None:
        self.inner = inner
        self._patience = Patience(f"the source of facts {type(inner).__name__}")

    @property
    def provides(self) -> frozenset[str]:
        """As the source says."""
        return self.inner.provides

    def facts(self, candidate: Candidate) -> Mapping[str, object]:
        """What is known."""
        ask, key = partial(self.inner.facts, candidate), candidate.asset.id
        return _asked(self._patience, ask, FACTS_S, _plugin_late, key=key)


class GuardedAdmission:
    """An admission whose answers end in time; no answer admits nothing."""

    keeps_deadlines = True

    def __init__(self, inner: Admission) -> None:
        self.inner = inner
        self._patience = Patience(f"the admission {type(inner).__name__}")

    def admit(self, planned: PlannedUpdate, now: datetime) -> Admittance:
        """As the admission says."""
        return _asked(
            self._patience,
            lambda: self.inner.admit(planned, now),
            FACTS_S,
            _plugin_late,
            key=planned.target_id,
        )


class GuardedHooks:
    """Hooks that end in time; one that does not refuses its step."""

    keeps_deadlines = True

    def __init__(self, inner: Hooks) -> None:
        self.inner = inner
        self._patience = Patience(f"the hooks {type(inner).__name__}")

    def run(self, hook: Hook, operation: OperationContext, target: ProbeTarget | None) -> StepOutcome:
        """The outcome of one hook."""
        key, run = operation.operation_id, lambda: self.inner.run(hook, operation, target)
        try:
            return self._patience.ask(run, hook.timeout_s + _MARGIN_S, key=key)
        except TimeoutError as error:
            return StepOutcome(StepStatus.REFUSED, "hook_timeout", f"the hook {hook.name}: {error}")
