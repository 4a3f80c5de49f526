"""What an operation runs under: the part of a policy that is fixed when it is opened."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from types import MappingProxyType

import attrs

from safeupdater.domain.health import HealthPolicy


class OnInconclusive(enum.Enum):
    """What to do when the monitoring window says neither yes nor no."""

    RESTORE = "restore"
    HOLD = "hold"

    def __str__(self) -> str:
        return self.value


class Unrunnable(enum.Enum):
    """What to do with a target that was not running: its new version cannot be verified."""

    DEFER = "defer"
    COMMIT = "commit"

    def __str__(self) -> str:
        return self.value


class HookPoint(enum.Enum):
    """When a hook runs: with the old version still untouched, or after the new one is kept."""

    BEFORE_SWITCH = "before_switch"
    AFTER_COMMIT = "after_commit"

    def __str__(self) -> str:
        return self.value


@attrs.frozen(kw_only=True)
class Hook:
    """A command that runs as a step of the operation: in the container, or beside the updater.

    In the container means in the old one before the switch, and in the new one after the commit.

    Its arguments may hold secrets: they stay out of ``repr``.
    """

    name: str
    point: HookPoint
    argv: tuple[str, ...] = attrs.field(repr=False)
    in_container: bool = True
    timeout_s: float = 300.0


@attrs.frozen(kw_only=True)
class RollbackPolicy:
    """How rollbacks are bounded, and how long the way back stays open. All times in seconds.

    ``quarantine_s`` is how long a release that failed is kept from the asset; None is for good.
    """

    cooldown_s: float = 3600.0
    max_per_day: int = 2
    on_inconclusive: OnInconclusive = OnInconclusive.RESTORE
    keep_previous: int = 1
    retain_s: float = 7 * 86_400.0
    quarantine_s: float | None = None


@attrs.frozen(kw_only=True)
class JournalRetention:
    """How long the journals of ended operations, and plans, are kept.

    A journal is forgotten ``keep_s`` seconds after its last entry, unless it is among the newest
    ``keep_per_target`` of its target, or its snapshot is kept: without it there would be no way back. A plan
    is forgotten ``plans_s`` seconds after it was made, unless it is the latest.
    """

    keep_s: float = 90 * 86_400.0
    keep_per_target: int = 20
    plans_s: float = 86_400.0


def frozen_mapping(value: Mapping[str, object]) -> Mapping[str, object]:
    """A copy that nobody can change."""
    return MappingProxyType(dict(value))


@attrs.frozen(kw_only=True)
class OperationSettings:
    """The part of the effective policy that an operation runs under, fixed when it is opened.

    ``policy`` is that policy in words, and ``policy_origin`` tells its source from any other: the path of its
    file, for one ("" where that is not known).
    """

    health: HealthPolicy = HealthPolicy()
    rollback: RollbackPolicy = RollbackPolicy()
    hooks: tuple[Hook, ...] = ()
    unrunnable: Unrunnable = Unrunnable.DEFER
    stop_timeout_s: float = 10.0
    policy: Mapping[str, object] = attrs.field(factory=dict, converter=frozen_mapping, hash=False, repr=False)
    policy_origin: str = ""
