"""What became of an operation, as a value; ``raise_for_outcome`` for those who prefer exceptions."""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

import attrs

from safeupdater.domain.change import Change
from safeupdater.domain.health import Tally
from safeupdater.domain.operation import OperationPlanned, Outcome
from safeupdater.domain.plan import PlannedUpdate
from safeupdater.domain.quick import quick
from safeupdater.errors import HealthCheckError, RollbackError, SafeUpdaterError, UpdateError


@quick
@attrs.frozen(kw_only=True)
class AbortAnswer:
    """What comes of asking an update to stop: true where it does; ``code`` and ``message`` say the rest."""

    stops: bool
    code: str
    message: str

    def __bool__(self) -> bool:
        return self.stops


@quick
@attrs.frozen(kw_only=True)
class OperationResult:
    """How an operation ended, or why none was opened (``refused``) or it rests (``interrupted``, ``held``).

    ``code`` is stable; ``message`` is a sentence for people; ``until`` says when a refusal may change.
    ``leftovers`` could not be cleared away and are harmless.
    """

    operation_id: str | None
    target_id: str
    outcome: Outcome
    code: str = ""
    message: str = ""
    changes: tuple[Change, ...] = ()
    started: datetime | None = None
    finished: datetime | None = None
    until: datetime | None = None
    warnings: tuple[str, ...] = ()
    leftovers: tuple[str, ...] = ()
    tally: Tally = Tally()

    @property
    def succeeded(self) -> bool:
        """Whether the new version runs, verified."""
        return self.outcome is Outcome.SUCCEEDED

    def raise_for_outcome(self) -> None:
        """Does nothing for a success.

        Raises:
            HealthCheckError: the new version was bad and the old one is back.
            RollbackError: the old version could not be put back.
            UpdateError: any other outcome.
        """
        message = f"{self.target_id}: {self.outcome}: {self.message or self.code}"
        evidence: dict[str, Any] = {"operation_id": self.operation_id, "target_id": self.target_id}
        match self.outcome:
            case Outcome.SUCCEEDED:
                return
            case Outcome.ROLLED_BACK:
                raise HealthCheckError(message, code=self.code or None, **evidence)
            case Outcome.ROLLBACK_FAILED:
                raise RollbackError(message, code=self.code or None, **evidence)
            case _:
                raise UpdateError(message, code=self.code or None, **evidence)


def refusal(
    planned: PlannedUpdate, code: str, message: str, until: datetime | None = None
) -> OperationResult:
    """The result of an update that was not begun."""
    return OperationResult(
        operation_id=None, target_id=planned.target_id, outcome=Outcome.REFUSED, code=code, message=message,
        changes=planned.changes, until=until,
    )  # fmt: skip


def rests(
    opened: OperationPlanned, code: str, message: str, until: datetime | None = None
) -> OperationResult:
    """The result of an operation that is open and not ours to go on with."""
    return OperationResult(
        operation_id=opened.operation_id, target_id=opened.target_id, outcome=Outcome.INTERRUPTED,
        code=code, message=message, changes=opened.changes, until=until,
    )  # fmt: skip


def untouched(operation_id: str, error: SafeUpdaterError) -> OperationResult:
    """The result of an operation that could not even be taken up: it is as it was, and so are all others."""
    return OperationResult(
        operation_id=operation_id, target_id="", outcome=Outcome.INTERRUPTED, code=error.code,
        message=error.message,
    )  # fmt: skip


def unexpected(error: Exception) -> tuple[str, str]:
    """The code and the message of what nobody expected; foreign text may hold anything, so it is not kept."""
    if isinstance(error, SafeUpdaterError):
        return error.code, error.message
    place = error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    where = "" if place is None else f" in {place.tb_frame.f_code.co_qualname}, line {place.tb_lineno}"
    return "unexpected_error", f"{type(error).__name__} was raised{where}"


def unknown(operation_id: str) -> OperationResult:
    """The result for an id that no operation has."""
    return OperationResult(
        operation_id=operation_id, target_id="", outcome=Outcome.REFUSED, code="unknown_operation",
        message=f"the store has no operation {operation_id}",
    )  # fmt: skip


@attrs.frozen
class Done:
    """The executor has nothing more to do for this operation."""

    result: OperationResult


class WakeAfter(NamedTuple):
    """Nothing to do for that many seconds; then ``advance`` again."""

    delay_s: float


Advance = Done | WakeAfter
