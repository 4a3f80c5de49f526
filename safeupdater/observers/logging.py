"""What happens, as records of the standard library's ``logging`` with structured fields."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping

from safeupdater.domain.notice import AlertRaised, Notice, ScanFinished, Severity, UpdateEvaluated
from safeupdater.domain.operation import (
    AbortRequested,
    BecameReady,
    Event,
    Finished,
    JournalEntry,
    OperationPlanned,
    Outcome,
    PreflightPassed,
    Resolved,
    Resumed,
    SnapshotCaptured,
    StepDone,
    StepFailed,
    StepIntended,
    VerdictReached,
)
from safeupdater.observers.scrubbing import Scrubber

Fields = Mapping[str, object]

_LEVELS = {
    Severity.INFO: logging.INFO,
    Severity.WARNING: logging.WARNING,
    Severity.CRITICAL: logging.CRITICAL,
}
_QUIET_ENDS = frozenset({Outcome.SUCCEEDED, Outcome.REFUSED, Outcome.INTERRUPTED, Outcome.SUPERSEDED})


class LoggingObserver:
    """Writes one record per happening; its message is the event's name, its fields are attributes.

    Every decision is ``update_decision`` with ``asset``, ``decision``, ``reason``, ``change_type`` and
    ``policy_applied``. ``fields`` on each record names which attributes are ours. Without a logger,
    ``safeupdater`` is used, which prints nothing until an application configures it.
    """

    def __init__(self, logger: logging.Logger | None = None) -> None:
        self._logger = logger or logging.getLogger("safeupdater")

    def notify(self, happening: JournalEntry | Notice) -> None:
        """Writes the record of one happening."""
        level, name, fields = _record(happening)
        if self._logger.isEnabledFor(level):
            self._logger.log(level, name, extra={**fields, "fields": tuple(fields)})


class FieldsFormatter(logging.Formatter):
    """Lines such as ``update_decision asset=… decision=approve``: one line per record, whatever is in it."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the library's name
        """The usual line with the record's own fields after it."""
        names: tuple[str, ...] = getattr(record, "fields", ())
        pairs = [f"{name}={_value(getattr(record, name, ''))}" for name in names]
        return " ".join([super().formatMessage(record), *pairs])


class ScrubbingFilter(logging.Filter):
    """Takes secrets out of every record that passes: message, arguments, fields and traceback.

    Put it on handlers (``handler.addFilter``): a filter on a logger does not see what its children log. What
    it passes on is text already, so a handler behind it gets no exception object, and no arguments.
    """

    def __init__(self, scrubber: Scrubber) -> None:
        super().__init__()
        self._scrubber = scrubber

    def filter(self, record: logging.LogRecord) -> bool:
        """Cleans the record and lets it pass; one that cannot be cleaned passes as its level and place."""
        try:
            self._clean(record)
        except Exception as error:  # noqa: BLE001 - logging never ends what it tells of
            record.msg, record.args = f"a record that cannot be shown ({type(error).__name__})", ()
            record.exc_info = record.exc_text = record.stack_info = None
        return True

    def _clean(self, record: logging.LogRecord) -> None:
        scrub = self._scrubber
        record.msg, record.args = scrub.text(record.getMessage()), ()
        if record.exc_info and not record.exc_text:
            record.exc_text = logging.Formatter().formatException(record.exc_info)
        record.exc_info = None
        record.exc_text = scrub.text(record.exc_text) if record.exc_text else None
        record.stack_info = scrub.text(record.stack_info) if record.stack_info else None
        for name in vars(record).keys() - _OF_EVERY_RECORD:
            setattr(record, name, scrub.value(getattr(record, name), name=name))


_OF_EVERY_RECORD = vars(logging.makeLogRecord({})).keys()


def _value(value: object) -> str:
    """A field in one word: quoted and escaped as JSON where it holds anything but plain characters."""
    text = str(value)
    is_word = text.isascii() and text.isprintable() and not set(text) & set(' "=\\')
    return text if is_word and text else json.dumps(text)


def _record(happening: JournalEntry | Notice) -> tuple[int, str, Fields]:
    match happening:
        case UpdateEvaluated():
            return logging.INFO, "update_decision", happening.to_dict()
        case ScanFinished():
            level = logging.WARNING if happening.problems else logging.INFO
            return level, "scan_finished", _scan(happening)
        case AlertRaised():
            return _LEVELS[happening.severity], "alert", _alert(happening)
        case JournalEntry():
            level, name, fields = _event(happening.event)
            operation = {"operation": happening.operation_id, "target": happening.target_id}
            return level, name, {**operation, **fields}


def _scan(scan: ScanFinished) -> Fields:
    return {
        "seen": scan.seen,
        "added": scan.added,
        "updated": scan.updated,
        "removed": scan.removed,
        "problems": "; ".join(scan.problems),
    }


def _alert(alert: AlertRaised) -> Fields:
    return {
        "severity": str(alert.severity),
        "code": alert.code,
        "detail": alert.message,
        "remedy": alert.remedy,
        "target": alert.target_id or "",
        "operation": alert.operation_id or "",
    }


def _event(event: Event) -> tuple[int, str, Fields]:
    """Level, name and fields of what a journal holds. Free text goes into ``detail``."""
    match event:
        case OperationPlanned(changes=changes):
            return logging.INFO, "operation_planned", {"changes": ", ".join(map(str, changes))}
        case PreflightPassed(warnings=warnings):
            level = logging.WARNING if warnings else logging.INFO
            return level, "preflight_passed", {"detail": "; ".join(warnings)}
        case SnapshotCaptured(sha256=sha256):
            return logging.INFO, "snapshot_captured", {"sha256": sha256}
        case StepIntended(phase=phase, step=step):
            return logging.DEBUG, "step_intended", {"phase": str(phase), "step": step}
        case StepDone(phase=phase, step=step, detail=detail):
            return logging.INFO, "step_done", {"phase": str(phase), "step": step, "detail": detail}
        case StepFailed():
            fields = {"phase": str(event.phase), "step": event.step, "code": event.code}
            return logging.WARNING, "step_failed", {**fields, "detail": event.message}
        case BecameReady(evidence=evidence):
            return logging.INFO, "became_ready", {"detail": evidence}
        case VerdictReached():
            fields = {"verdict": str(event.verdict), "code": event.code, "blame": str(event.blame)}
            return logging.INFO, "verdict_reached", {**fields, "detail": event.message}
        case AbortRequested(by=by, reason=reason):
            return logging.INFO, "abort_requested", {"by": by, "detail": reason}
        case Resumed(by=by, epoch=epoch):
            return logging.WARNING, "operation_resumed", {"by": by, "epoch": epoch}
        case Resolved():
            fields = {"resolution": str(event.resolution), "by": event.by}
            return logging.INFO, "operation_resolved", {**fields, "detail": event.reason}
        case Finished():
            level = logging.INFO if event.outcome in _QUIET_ENDS else logging.WARNING
            level = logging.CRITICAL if event.outcome is Outcome.ROLLBACK_FAILED else level
            fields = {"outcome": str(event.outcome), "code": event.code}
            return level, "operation_finished", {**fields, "detail": event.message}
