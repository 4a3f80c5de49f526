"""What observers are told that no journal holds."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType

import attrs

from safeupdater.domain.change import Change
from safeupdater.domain.decision import Decision
from safeupdater.domain.operation import Outcome


class Severity(enum.Enum):
    """How loudly an alert should be heard."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"

    def __str__(self) -> str:
        return self.value


SEVERITIES: Mapping[Outcome, Severity] = MappingProxyType(
    {
        Outcome.SUCCEEDED: Severity.INFO,
        Outcome.REFUSED: Severity.INFO,
        Outcome.INTERRUPTED: Severity.INFO,
        Outcome.ABORTED: Severity.WARNING,
        Outcome.ROLLED_BACK: Severity.WARNING,
        Outcome.HELD: Severity.WARNING,
        Outcome.SUPERSEDED: Severity.WARNING,
        Outcome.TARGET_GONE: Severity.WARNING,
        Outcome.ROLLBACK_FAILED: Severity.CRITICAL,
    }
)


def severity_of(outcome: Outcome) -> Severity:
    """How loudly it should be heard that an operation ended so, whoever tells of it."""
    return SEVERITIES[outcome]


@attrs.frozen(kw_only=True)
class UpdateEvaluated:
    """A candidate was decided on."""

    asset_id: str
    change: Change
    decision: Decision

    def to_dict(self) -> dict[str, object]:
        """The fields of the original ``update_decision`` log record."""
        deciding = self.decision.deciding
        return {
            "asset": self.asset_id,
            "decision": str(self.decision.verdict),
            "reason": deciding.code if deciding else "",
            "change_type": str(self.change.change_type),
            "policy_applied": self.decision.policy_applied,
        }


@attrs.frozen(kw_only=True)
class ScanFinished:
    """A scan was recorded: how many assets it saw, added, updated and found removed."""

    at: datetime
    seen: int
    added: int
    updated: int
    removed: int
    problems: tuple[str, ...] = ()


@attrs.frozen(kw_only=True)
class AlertRaised:
    """Something needs a person: what, how badly, and what to do."""

    severity: Severity
    code: str
    message: str
    remedy: str
    target_id: str | None = None
    operation_id: str | None = None


Notice = UpdateEvaluated | ScanFinished | AlertRaised
