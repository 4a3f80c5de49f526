"""The logging observer: one structured record per happening, and nothing that breaks a log."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from safeupdater.backends.memory import Behaviour, MemoryBackend, MemoryWorld
from safeupdater.config import Policy
from safeupdater.domain.notice import AlertRaised, ScanFinished, Severity
from safeupdater.observers.logging import FieldsFormatter, LoggingObserver
from safeupdater.testing.clock import FakeClock
from safeupdater.update.updater import Updater

NOW = datetime(2026, 1, 5, tzinfo=UTC)


class Kept(logging.Handler):
    """Keeps records, and their lines as the formatter gives them."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []
        self.setFormatter(FieldsFormatter("%(levelname)s %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)

    @property
    def names(self) -> list[str]:
        return [record.getMessage() for record in self.records]

    @property
    def lines(self) -> list[str]:
        return [self.format(record) for record in self.records]


@pytest.fixture
def kept() -> Iterator[Kept]:
    handler = Kept()
    logger = logging.getLogger("safeupdater.test")
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    yield handler
    logger.removeHandler(handler)


@pytest.fixture
def observer(kept: Kept) -> LoggingObserver:
    return LoggingObserver(logging.getLogger("safeupdater.test"))


def play(observer: LoggingObserver, behaviour: Behaviour) -> None:
    """A scan, a plan and an update to a release that behaves as said."""
    clock = FakeClock()
    world = MemoryWorld(clock, host="prod-1")
    world.run("web", "example/web:1.0.0")
    world.publish("example/web:1.0.1", behaviour)
    backends = [MemoryBackend(world)]
    with Updater(
        backends=backends, policy=Policy.default(), tags=world, clock=clock, observers=[observer]
    ) as updater:
        updater.scan()
        updater.apply()


def test_every_decision_is_an_update_decision_with_the_five_fields(
    observer: LoggingObserver, kept: Kept
) -> None:
    play(observer, Behaviour())
    record = next(record for record in kept.records if record.getMessage() == "update_decision")
    assert {name: getattr(record, name) for name in record.fields} == {  # type: ignore[attr-defined]
        "asset": "memory://prod-1/web",
        "decision": "approve",
        "reason": "patch_update_auto_approved",
        "change_type": "patch",
        "policy_applied": "semver_gates.patch=auto",
    }


def test_a_good_update_is_told_from_plan_to_end_without_a_warning(
    observer: LoggingObserver, kept: Kept
) -> None:
    play(observer, Behaviour())
    assert kept.names[0] == "scan_finished"
    assert kept.names[-1] == "operation_finished"
    assert {"operation_planned", "snapshot_captured", "step_done", "became_ready"} <= set(kept.names)
    assert max(record.levelno for record in kept.records) == logging.INFO


def test_a_bad_release_ends_as_a_warning_with_its_outcome(observer: LoggingObserver, kept: Kept) -> None:
    play(observer, Behaviour(exits_after_s=20.0))
    last = next(record for record in reversed(kept.records) if record.getMessage() == "operation_finished")
    assert last.levelno == logging.WARNING
    assert last.outcome == "rolled_back"  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("severity", "level"),
    [
        (Severity.INFO, logging.INFO),
        (Severity.WARNING, logging.WARNING),
        (Severity.CRITICAL, logging.CRITICAL),
    ],
)
def test_an_alert_is_as_loud_as_it_is_severe(
    observer: LoggingObserver, kept: Kept, severity: Severity, level: int
) -> None:
    observer.notify(AlertRaised(severity=severity, code="c", message="m", remedy="r"))
    assert kept.records[0].levelno == level


def test_a_scan_with_problems_is_a_warning(observer: LoggingObserver, kept: Kept) -> None:
    observer.notify(ScanFinished(at=NOW, seen=1, added=0, updated=0, removed=0, problems=("no answer",)))
    assert kept.records[0].levelno == logging.WARNING
    assert 'problems="no answer"' in kept.lines[0]


def test_no_foreign_text_starts_a_line_of_its_own(observer: LoggingObserver, kept: Kept) -> None:
    forged = 'oops\nCRITICAL forged decision=approve \x1b[31m"'
    observer.notify(AlertRaised(severity=Severity.WARNING, code="c", message=forged, remedy="r"))
    (line,) = kept.lines
    assert "\n" not in line
    assert "\x1b" not in line
    assert line.startswith("WARNING alert severity=warning code=c detail=")


def test_without_a_logger_the_librarys_own_is_used(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "safeupdater"):
        LoggingObserver().notify(AlertRaised(severity=Severity.INFO, code="c", message="m", remedy="r"))
    assert [record.name for record in caplog.records] == ["safeupdater"]
