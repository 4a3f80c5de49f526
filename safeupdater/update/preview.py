"""Looking ahead: what planned updates would meet, asked of their runtimes before anything is begun."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import assert_never

import attrs

from safeupdater.domain.operation import Phase, PreflightReport, StepFailed, StepStatus
from safeupdater.domain.plan import Approval, PlannedUpdate
from safeupdater.errors import SafeUpdaterError, border
from safeupdater.protocols import Backend, OperationContext
from safeupdater.update import acting
from safeupdater.update.acting import CALL_DEADLINE_S
from safeupdater.update.guarded import read_together
from safeupdater.update.opening import Opener, Ports
from safeupdater.update.result import OperationResult, refusal

LOOK_AHEAD_S = 120.0
"""How long after its beginning a look ahead still asks; somebody may be waiting for it."""
_Answer = PreflightReport | StepFailed | OperationResult


class Outlook(enum.Enum):
    """What can be said of an update before it is begun."""

    READY = "ready"
    """Nothing that was asked would keep it from being begun."""
    REFUSED = "refused"
    """It would be refused, and nothing be changed."""
    UNKNOWN = "unknown"
    """Nothing could be said, as of a runtime that does not answer."""

    def __str__(self) -> str:
        return self.value


@attrs.frozen(kw_only=True)
class Preview:
    """What a planned update would meet if it were begun now.

    ``code`` and ``message`` say why it is not ``ready``; ``until`` says when a refusal may change.
    ``warnings`` tell what it would lose or bring along.
    """

    planned: PlannedUpdate
    outlook: Outlook = Outlook.READY
    code: str = ""
    message: str = ""
    until: datetime | None = None
    warnings: tuple[str, ...] = ()

    @property
    def target_id(self) -> str:
        """What the update would touch."""
        return self.planned.target_id

    @property
    def refusal(self) -> OperationResult | None:
        """The result of not beginning what would be refused; None of anything else."""
        if self.outlook is not Outlook.REFUSED:
            return None
        return refusal(self.planned, self.code, self.message, self.until)


def look_ahead(
    ports: Ports,
    updates: Iterable[PlannedUpdate],
    approvals: Iterable[Approval] = (),
    *,
    is_stopping: Callable[[], bool],
    max_in_flight: int,
) -> tuple[Preview, ...]:
    """What each update would meet, in their order; one that cannot be asked about is ``unknown``.

    Opens no operation, takes no lease, writes nothing, and runs neither probes nor hooks. Admission is not
    asked either: whose turn it is then depends on what else runs. ``max_in_flight`` at once are asked about,
    each on a thread of its own; with one everything happens on the calling thread. After ``LOOK_AHEAD_S``
    seconds, as where a runtime hangs, no more are.
    """
    lookout = _Lookout(
        ports=attrs.evolve(ports, backends=tuple(map(_reading_once, ports.backends))),
        approvals={approval.update_hash: approval for approval in approvals},
        is_stopping=is_stopping,
        until_s=ports.clock.monotonic() + LOOK_AHEAD_S,
    )
    if max_in_flight == 1:
        return tuple(map(lookout.preview, updates))
    with ThreadPoolExecutor(max_in_flight, thread_name_prefix="safeupdater-preview") as threads:
        return tuple(threads.map(lookout.preview, updates))


@attrs.frozen(kw_only=True)
class _Lookout:
    ports: Ports
    approvals: dict[str, Approval]
    is_stopping: Callable[[], bool]
    until_s: float

    def preview(self, planned: PlannedUpdate) -> Preview:
        if self.is_stopping():
            return _unasked(planned, "stopped", "stopped before it was asked about")
        if self.ports.clock.monotonic() >= self.until_s:
            return _unasked(planned, "too_late", f"not asked about within {LOOK_AHEAD_S:g} s")
        try:
            answer = self._answer(planned)
        except Exception as error:  # noqa: BLE001  a border: policies, stores and backends are foreign code
            answer = acting.failed(Phase.PREFLIGHT, Phase.PREFLIGHT.value, error)
        return _preview(planned, answer)

    def _answer(self, planned: PlannedUpdate) -> _Answer:
        """What opening the operation, and then the backend, would say."""
        settings = self.ports.foresight(planned, self.ports.clock.now(), self.approvals.get(planned.hash))
        if isinstance(settings, OperationResult):
            return settings
        obstacle = Opener(self.ports).obstacle(planned) or acting.lacks_room(self.ports.store)
        if obstacle is not None:
            return obstacle
        backend = self.ports.backend_of(planned.target_id)
        assert backend is not None, "or that were an obstacle"
        context = OperationContext(
            # No operation has such an id, and each target has its own: one that hangs keeps no other waiting.
            operation_id=f"preview:{planned.target_id}",
            epoch=0,
            planned=planned,
            settings=settings,
            deadline_s=CALL_DEADLINE_S,
            store_endpoint=acting.endpoint_of(self.ports.store),
        )
        return acting.looked_over(backend, context)


def _unasked(planned: PlannedUpdate, code: str, message: str) -> Preview:
    return Preview(planned=planned, outlook=Outlook.UNKNOWN, code=code, message=message)


def _preview(planned: PlannedUpdate, answer: _Answer) -> Preview:
    match answer:
        case PreflightReport(warnings=warnings):
            return Preview(planned=planned, warnings=warnings)
        case OperationResult(code=code, message=message, until=until):
            return Preview(
                planned=planned, outlook=Outlook.REFUSED, code=code, message=message, until=until
            )  # fmt: skip
        case StepFailed(status=status, code=code, message=message):
            outlook = Outlook.UNKNOWN if status is StepStatus.RETRY else Outlook.REFUSED
            return Preview(planned=planned, outlook=outlook, code=code, message=message)
        case _:
            assert_never(answer)


def _reading_once(backend: Backend) -> Backend:
    """The backend for one look at many targets, where it can read for all of them together."""
    try:
        with border("a backend"):
            return read_together(backend) or backend
    except SafeUpdaterError:
        return backend  # asked as it is, it says itself what is wrong
