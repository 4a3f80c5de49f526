"""Assets, tags and policies in few words, for tests that plan."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from safeupdater.config import Policy
from safeupdater.domain.artifact import ImageReference, ResolvedImage
from safeupdater.domain.asset import Asset, AssetType
from safeupdater.domain.notice import UpdateEvaluated
from safeupdater.domain.plan import Approval, Plan, PlannedUpdate
from safeupdater.errors import RegistryError
from safeupdater.registries.static import StaticFacts, StaticTags
from safeupdater.update.planning import plan_updates

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
DAY = timedelta(days=1)
WEB = "docker://prod-1/web"


def digest_of(text: str) -> str:
    """The digest that a ``name:tag`` serves in these tests."""
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def asset(image: str = "example/web:1.0.0", asset_id: str = WEB, **fields: Any) -> Asset:
    """A container that runs an image; by the digest that the tag serves, unless ``digests`` says else."""
    fields.setdefault("digests", frozenset({digest_of(image)}))
    fields.setdefault("asset_type", AssetType.CONTAINER)
    name = asset_id.rpartition("/")[2]
    return Asset(id=asset_id, name=name, image=ImageReference.parse(image), **fields)


def container(name: str, image: str, *, workload: str = "shop") -> Asset:
    """One container of a Kubernetes workload."""
    return asset(image, f"k8s://prod/web/deployment/{workload}/{name}", asset_type=AssetType.DEPLOYMENT)


def registry(tags: Mapping[str, Iterable[str]], **moved: str) -> StaticTags:
    """A registry in which every tag serves its own digest."""
    listed = {name: tuple(versions) for name, versions in tags.items()}
    served = {f"{name}:{tag}": digest_of(f"{name}:{tag}") for name, found in listed.items() for tag in found}
    return StaticTags(listed, digests={**served, **moved})


def ages(**days: float) -> StaticFacts:
    """How many days ago versions of ``example/web`` were published; ``_`` stands for a dot."""
    return StaticFacts(
        {
            f"example/web:{version.removeprefix('v').replace('_', '.')}": {"published_at": NOW - DAY * age}
            for version, age in days.items()
        }
    )


def plan(
    assets: Iterable[Asset] | Asset,
    tags: Any,
    policy: Mapping[str, Any] | Policy | None = None,
    *,
    now: datetime = NOW,
    approvals: Iterable[Approval] = (),
    facts: Any = (),
    notices: list[UpdateEvaluated] | None = None,
) -> Plan:
    """The plan for some assets under a policy given as a mapping."""
    return plan_updates(
        [assets] if isinstance(assets, Asset) else assets,
        tags if not isinstance(tags, Mapping) else registry(tags),
        policy if isinstance(policy, Policy) else Policy.from_dict(dict(policy or {})),
        now=now,
        approvals=approvals,
        facts=facts,
        notify=notices.append if notices is not None else None,
    )


def only(made: Plan) -> PlannedUpdate:
    """The one update of a plan."""
    (update,) = made.updates
    return update


def versions(update: PlannedUpdate) -> list[str]:
    """The versions that an update would move to."""
    return [change.new.version_text for change in update.changes]


def decided(update: PlannedUpdate) -> dict[str, str]:
    """Every version on offer with its verdict."""
    chosen = {change.new.version_text: str(update.decision.verdict) for change in update.changes}
    others = {option.change.new.version_text: str(option.decision.verdict) for option in update.alternatives}
    return {**others, **chosen}


def approval_of(update: PlannedUpdate, **fields: Any) -> Approval:
    """Somebody's consent to an update, good for a day."""
    return Approval(
        **{
            "update_hash": update.hash,
            "target_id": update.target_id,
            "changes": update.changes,
            "approver": "ada",
            "at": NOW,
            "expires_at": NOW + DAY,
            **fields,
        }
    )


class CountingTags:
    """A tag source that notes what it is asked, and fails where it is told to."""

    def __init__(self, inner: StaticTags, *, unresolvable: Mapping[str, RegistryError] | None = None) -> None:
        self._inner = inner
        self._unresolvable = unresolvable or {}
        self.batches: list[list[str]] = []
        self.listed: list[str] = []
        self.resolved: list[str] = []

    def get_available_tags(self, image: Any) -> tuple[str, ...]:
        self.listed.append(image.name)
        return self._inner.get_available_tags(image)

    def lookup_many(self, images: Iterable[Any]) -> Any:
        wanted = list(images)
        self.batches.append([image.name for image in wanted])
        self.listed += dict.fromkeys(image.name for image in wanted)
        return self._inner.lookup_many(wanted)

    def resolve(self, image: ImageReference, platform: str | None = None) -> ResolvedImage:
        self.resolved.append(image.tag or "")
        error = self._unresolvable.get(image.tag or "") or self._unresolvable.get("*")
        if error is not None:
            raise error
        return self._inner.resolve(image, platform)

    def resolve_many(self, images: Iterable[ImageReference], platform: str | None = None) -> Any:
        answers: dict[str, ResolvedImage | RegistryError] = {}
        for image in images:
            try:
                answers[str(image)] = self.resolve(image, platform)
            except RegistryError as error:
                answers[str(image)] = error
        return answers
