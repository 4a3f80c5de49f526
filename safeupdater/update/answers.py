"""What foreign parts answer, looked through before it counts.

Nonsense that got into a journal would make it one that nobody can read any more.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import TypeGuard

import attrs

from safeupdater.domain.health import Condition, Observation, Sample, SampleStatus
from safeupdater.domain.operation import PreflightReport, Snapshot, StepOutcome, Steps, StepStatus
from safeupdater.domain.text import is_text
from safeupdater.errors import PluginError
from safeupdater.protocols import Admittance


def nonsense(answer: object, wanted: str) -> StepOutcome:
    """The refusal of an answer that is something else than what was wanted."""
    message = f"the backend answered a {type(answer).__name__} instead of a {wanted}"
    return StepOutcome(StepStatus.REFUSED, "backend_nonsense", message)


def outcome_in(answer: object) -> StepOutcome:
    """The outcome that was answered to a step; one that makes no sense is a refusal."""
    if not isinstance(answer, StepOutcome):
        return nonsense(answer, "StepOutcome")
    if not isinstance(answer.status, StepStatus):
        return nonsense(answer.status, "StepStatus")
    for text in (answer.code, answer.message):
        if not is_text(text):
            return nonsense(text, "text of Unicode, as code or message")
    return answer


def report_in(answer: object) -> PreflightReport:
    """The report of a preflight; one that makes no sense is a refusal."""
    if not isinstance(answer, PreflightReport):
        return PreflightReport(refusal=nonsense(answer, "PreflightReport"))
    if answer.refusal is not None:
        refusal = outcome_in(answer.refusal)
        if refusal.status is StepStatus.DONE:
            refusal = nonsense(refusal.status, "refusal")
        return PreflightReport(refusal=refusal)
    if not isinstance(answer.warnings, list | tuple) or not _is_texts(answer.warnings):
        return PreflightReport(refusal=nonsense(answer.warnings, "tuple of texts, as warnings"))
    if not isinstance(answer.running, bool):
        return PreflightReport(refusal=nonsense(answer.running, "bool, as running"))
    return answer


def steps_in(answer: object, backend: str) -> Steps:
    """The steps that a backend declares.

    Raises:
        PluginError: it declares none, or no way to switch or to restore.
    """
    if not isinstance(answer, Steps):
        raise PluginError(f"the backend {backend} answered a {type(answer).__name__} instead of Steps")
    phases: tuple[object, ...] = attrs.astuple(answer, recurse=False)
    if not all(isinstance(names, tuple) and _is_texts(names) for names in phases):
        raise PluginError(f"the backend {backend} declares steps that are no tuples of names")
    if not answer.switching or not answer.restoring:
        raise PluginError(f"the backend {backend} declares no way to switch or none to restore")
    return answer


def admittance_in(answer: object) -> Admittance:
    """What admission said.

    Raises:
        PluginError: it makes no sense, so nothing is admitted.
    """
    if not isinstance(answer, Admittance):
        raise PluginError(f"admission answered a {type(answer).__name__} instead of an Admittance")
    if not isinstance(answer.admitted, bool) or not _is_texts((answer.code, answer.message)):
        raise PluginError("admission answered an Admittance whose parts are of other types")
    if not isinstance(answer.until, datetime | None):
        raise PluginError(f"admission answered a {type(answer.until).__name__} as until")
    return answer


def is_snapshot(answer: object, operation_id: str, target_id: str) -> TypeGuard[Snapshot]:
    """Whether a snapshot of that operation was captured; what is in it is the backend's alone."""
    return (
        isinstance(answer, Snapshot)
        and (answer.operation_id, answer.target_id) == (operation_id, target_id)
        and is_text(answer.format)
        and isinstance(answer.taken_at, datetime)
        and answer.taken_at.tzinfo is not None
        and isinstance(answer.running, bool | None)
    )


def is_observation(answer: object) -> TypeGuard[Observation]:
    """Whether the runtime said something."""
    return (
        isinstance(answer, Observation)
        and isinstance(answer.condition, Condition)
        and is_text(answer.code)
        and is_text(answer.detail)
        and is_text(answer.identity)
    )


def is_sample(answer: object) -> TypeGuard[Sample]:
    """Whether a probe measured something, or said that it could not."""
    return isinstance(answer, Sample) and isinstance(answer.status, SampleStatus) and is_text(answer.detail)


def _is_texts(items: Iterable[object]) -> bool:
    return all(map(is_text, items))
