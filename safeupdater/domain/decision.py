"""What a gate says: ordered verdicts and the reasons for them, as values."""

from __future__ import annotations

import enum
import functools
from collections.abc import Iterable
from datetime import datetime

import attrs

from safeupdater.domain.change import VersionChangeType


@functools.total_ordering
class Verdict(enum.Enum):
    """What may happen to a candidate, mildest first: ``approve < defer < … < reject``."""

    APPROVE = "approve"
    DEFER = "defer"
    """Not now; time alone may change it."""
    REVIEW_REQUIRED = "review_required"
    """One approval by anyone allowed."""
    MANUAL_APPROVAL = "manual_approval"
    """One approval, never in bulk."""
    REJECT = "reject"

    def __lt__(self, other: object) -> bool:
        if not isinstance(other, Verdict):
            return NotImplemented
        return _STRICTNESS[self] < _STRICTNESS[other]

    def __str__(self) -> str:
        return self.value


_STRICTNESS = {verdict: rank for rank, verdict in enumerate(Verdict)}


@attrs.frozen(kw_only=True, cache_hash=True)
class Reason:
    """Why: a stable code, a sentence for people, and, where time decides, until when.

    ``gate`` names who says so and ``policy`` the setting behind it (``semver_gates.patch=auto``).
    A ``fatal`` reason (a gate that raised) cannot be outvoted by a milder gate.
    """

    code: str
    message: str
    verdict: Verdict
    gate: str = ""
    policy: str = ""
    until: datetime | None = None
    fatal: bool = False

    @functools.cached_property
    def rank(self) -> tuple[bool, int, str, str, str, str, str]:
        """The canonical order of reasons: strictest first, then by name."""
        until = self.until.isoformat() if self.until else ""
        return (
            not self.fatal,
            -_STRICTNESS[self.verdict],
            self.gate,
            self.code,
            self.policy,
            self.message,
            until,
        )


def _canonical(reasons: Iterable[Reason]) -> tuple[Reason, ...]:
    different = set(reasons)
    return tuple(sorted(different, key=lambda reason: reason.rank) if len(different) > 1 else different)


@attrs.frozen(kw_only=True)
class Decision:
    """A verdict with every reason that led to it, in canonical order and without repetition."""

    verdict: Verdict
    reasons: tuple[Reason, ...] = attrs.field(default=(), converter=_canonical)
    change_type: VersionChangeType = VersionChangeType.UNKNOWN

    @classmethod
    def because(
        cls, reason: Reason, *, change_type: VersionChangeType = VersionChangeType.UNKNOWN
    ) -> Decision:
        """The decision that follows from one reason."""
        return cls(verdict=reason.verdict, reasons=(reason,), change_type=change_type)

    @property
    def is_fatal(self) -> bool:
        """Whether a gate raised: then nothing can make this decision milder."""
        return any(reason.fatal for reason in self.reasons)

    @property
    def safe(self) -> bool:
        """Whether the update may go ahead by itself."""
        return self.verdict is Verdict.APPROVE

    @property
    def auto_update(self) -> bool:
        """The same as ``safe``, under the name of the decision matrix."""
        return self.safe

    @property
    def deciding(self) -> Reason | None:
        """The reason that gave the verdict; None only for a decision without reasons.

        Where all approve, the decision matrix speaks for them: the others only did not object.
        """
        given = [reason for reason in self.reasons if reason.verdict is self.verdict]
        if self.verdict is Verdict.APPROVE:
            given.sort(key=lambda reason: not reason.policy.startswith("semver_gates."))
        return given[0] if given else None

    @property
    def reason(self) -> str:
        """The sentence of the deciding reason."""
        return self.deciding.message if self.deciding else str(self.verdict)

    @property
    def policy_applied(self) -> str:
        """The policy setting behind the verdict, such as ``semver_gates.patch=auto``; "" where none."""
        return self.deciding.policy if self.deciding else ""

    @property
    def until(self) -> datetime | None:
        """When a deferred decision may change; None where that is not known."""
        times = [reason.until for reason in self.reasons if reason.verdict is Verdict.DEFER and reason.until]
        return max(times) if times and self.verdict is Verdict.DEFER else None

    def to_dict(self) -> dict[str, object]:
        """The decision under the key names of the original decision record."""
        return {
            "decision": str(self.verdict),
            "safe": self.safe,
            "reason": self.reason,
            "auto_update": self.auto_update,
            "change_type": str(self.change_type),
            "policy_applied": self.policy_applied,
        }
