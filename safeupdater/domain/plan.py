"""What would be done: decided updates per target, what is current, and what is unknown."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from datetime import datetime

import attrs

from safeupdater.domain.artifact import Artifact
from safeupdater.domain.asset import Asset
from safeupdater.domain.change import Change
from safeupdater.domain.decision import Decision, Verdict
from safeupdater.domain.explain import explain_plan

_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def fingerprint(value: object) -> str:
    """The sha256 of a JSON-like value in canonical form: 64 hex characters."""
    return hashlib.sha256(_CANONICAL.encode(value).encode()).hexdigest()


def situation_of(asset: Asset, policy_hash: str) -> str:
    """The hash of what a refusal depends on, as far as scan and policy show it."""
    seen = {name: str(value) for name, value in asset.metadata.items() if name not in _PASSING}
    labels = dict(asset.labels)
    bits = sorted(asset.digests)
    return fingerprint([str(asset.image), bits, asset.running, asset.owner, labels, seen, policy_hash])


_PASSING = frozenset({"health", "label_changes", "labels_changed_at"})
"""Metadata that changes by itself, or tells of the scan before."""


def _artifact_key(artifact: Artifact) -> list[str]:
    # The tag is display text: what counts is the bits where they are known.
    return [str(artifact), artifact.digest or ""]


def update_hash(target_id: str, changes: Iterable[Change], policy_hash: str) -> str:
    """What an approval is bound to: target, changes with their digests, and the effective policy."""
    parts = sorted(
        [change.asset_id, *_artifact_key(change.current), *_artifact_key(change.new)] for change in changes
    )
    return fingerprint([target_id, parts, policy_hash])


@attrs.frozen(kw_only=True)
class Option:
    """One change of one asset, decided. ``hash`` is that of the planned update it would be by itself."""

    change: Change
    decision: Decision
    hash: str


@attrs.frozen(kw_only=True)
class PlannedUpdate:
    """What one operation would do to one target: the changes chosen, and the alternatives.

    ``changes`` holds one change per asset of the target that moves; ``decision`` is the strictest of
    theirs. ``alternatives`` lists the other versions on offer with their own decisions.
    """

    target_id: str
    changes: tuple[Change, ...]
    decision: Decision
    policy_hash: str
    alternatives: tuple[Option, ...] = ()
    hash: str = attrs.field(init=False)

    @hash.default  # pyright: ignore[reportAttributeAccessIssue] - attrs' own decorator
    def _hash_of_parts(self) -> str:
        return update_hash(self.target_id, self.changes, self.policy_hash)

    def __attrs_post_init__(self) -> None:
        if not self.changes:
            raise ValueError(f"a planned update of {self.target_id} needs a change")

    @property
    def is_approved(self) -> bool:
        """Whether it may be applied without asking anybody."""
        return self.decision.verdict is Verdict.APPROVE


@attrs.frozen(kw_only=True)
class UnknownAsset:
    """An asset about which nothing can be said, and why. It is not "up to date"."""

    asset_id: str
    code: str
    message: str


@attrs.frozen(kw_only=True)
class Plan:
    """Every scanned asset, once: in a planned update, current, or unknown. Printing it is the dry run."""

    updates: tuple[PlannedUpdate, ...] = ()
    current: tuple[str, ...] = ()
    unknown: tuple[UnknownAsset, ...] = ()
    created_at: datetime | None = None
    hash: str = attrs.field(init=False)

    @hash.default  # pyright: ignore[reportAttributeAccessIssue] - attrs' own decorator
    def _hash_of_updates(self) -> str:
        return fingerprint(sorted(update.hash for update in self.updates))

    @property
    def approved(self) -> tuple[PlannedUpdate, ...]:
        """The updates that may be applied now."""
        return tuple(update for update in self.updates if update.is_approved)

    def explain(self) -> str:
        """The plan as a table for people, at most 80 columns wide."""
        return explain_plan(self)

    @property
    def waiting(self) -> tuple[PlannedUpdate, ...]:
        """The updates that wait for time or for a person."""
        waits = {Verdict.DEFER, Verdict.REVIEW_REQUIRED, Verdict.MANUAL_APPROVAL}
        return tuple(update for update in self.updates if update.decision.verdict in waits)


@attrs.frozen(kw_only=True)
class Approval:
    """Somebody's consent to one planned update, bound to its hash; good once and until ``expires_at``.

    An update that ends before anything was changed gives it back, unless somebody asked to stop it.

    ``changes`` keeps what was approved, so that it stays the choice when newer versions appear. ``bulk``
    marks consent given to many at once, which never covers ``manual_approval``. ``used_by`` is the
    operation that took it, None while it is unused.
    """

    update_hash: str
    target_id: str
    changes: tuple[Change, ...]
    approver: str
    at: datetime
    expires_at: datetime
    bulk: bool = False
    used_by: str | None = None

    @property
    def consent(self) -> Verdict:
        """The strictest verdict that it lifts."""
        return Verdict.REVIEW_REQUIRED if self.bulk else Verdict.MANUAL_APPROVAL

    def is_good(self, now: datetime) -> bool:
        """Whether it is unused and within its time."""
        return self.used_by is None and self.at <= now < self.expires_at
