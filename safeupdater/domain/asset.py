"""What runs: assets, their canonical ids, their life cycle and their history."""

from __future__ import annotations

import enum
import functools
import itertools
import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any

import attrs

from safeupdater.domain.artifact import Artifact
from safeupdater.domain.change import VersionChangeType
from safeupdater.domain.quick import evolved, quick
from safeupdater.errors import IllegalTransition, InvalidReference

# Host aliases may be daemon ids ("ABCD:EFGH:…"); every other part is a name of its runtime.
_HOST = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:\[\]-]{0,252}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,252}")
_PARTS = {"docker": 1, "k8s": 3, "helm": 2, "memory": 1}
_MAX_HISTORY = 20
_TELL_EVERY = timedelta(days=1)
"""How often people hear of a refusal that repeats."""


class AssetType(enum.Enum):
    """The kinds of things that can be kept up to date."""

    CONTAINER = "container"
    DEPLOYMENT = "deployment"
    STATEFULSET = "statefulset"
    DAEMONSET = "daemonset"
    CRONJOB = "cronjob"
    HELM_RELEASE = "helm_release"
    CUSTOM_RESOURCE = "custom_resource"

    def __str__(self) -> str:
        return self.value


class AssetStatus(enum.Enum):
    """Where an asset stands in its life cycle."""

    HEALTHY = "healthy"
    UPDATE_AVAILABLE = "update_available"
    UPDATING = "updating"
    FAILED = "failed"
    ROLLED_BACK = "rolled_back"
    HELD = "held"
    REMOVED = "removed"
    UNKNOWN = "unknown"

    def __str__(self) -> str:
        return self.value


_S = AssetStatus
_SEEN = frozenset({_S.HEALTHY, _S.UPDATE_AVAILABLE, _S.UNKNOWN})
STATUS_TRANSITIONS: Mapping[AssetStatus, frozenset[AssetStatus]] = MappingProxyType(
    {
        _S.UNKNOWN: _SEEN | {_S.UPDATING, _S.FAILED, _S.REMOVED},
        _S.HEALTHY: _SEEN | {_S.UPDATING, _S.FAILED, _S.REMOVED},
        _S.UPDATE_AVAILABLE: _SEEN | {_S.UPDATING, _S.FAILED, _S.REMOVED},
        _S.UPDATING: frozenset(
            {_S.HEALTHY, _S.UPDATE_AVAILABLE, _S.FAILED, _S.ROLLED_BACK, _S.HELD, _S.REMOVED}
        ),
        _S.FAILED: _SEEN | {_S.UPDATING, _S.ROLLED_BACK, _S.REMOVED},
        _S.ROLLED_BACK: _SEEN | {_S.UPDATING, _S.FAILED, _S.REMOVED},
        _S.HELD: _SEEN | {_S.UPDATING, _S.ROLLED_BACK, _S.FAILED, _S.REMOVED},
        _S.REMOVED: _SEEN | {_S.FAILED},
    }
)
"""Which status may follow which; staying the same is always allowed."""


@attrs.frozen(kw_only=True)
class AssetId:
    """The parts of a canonical asset id.

    ``docker://<host>/<name>``, ``k8s://<host>/<namespace>/<kind>/<name>[/<container>]`` or
    ``helm://<host>/<namespace>/<release>``; ``memory://<host>/<name>`` is the in-memory world's.
    ``str()`` gives the id, which parses back.
    """

    scheme: str
    host: str
    name: str
    namespace: str | None = None
    kind: str | None = None
    container: str | None = None

    def __attrs_post_init__(self) -> None:
        if self.scheme not in _PARTS:
            raise InvalidReference(f"{self.scheme!a} is not one of {', '.join(sorted(_PARTS))}")
        named = [self.namespace, self.kind, self.name, self.container]
        if _HOST.fullmatch(self.host) is None or not all(
            _NAME.fullmatch(part) for part in named if part is not None
        ):
            raise InvalidReference(
                f"{ascii(str(self))[:120]} is not an asset id: letters, digits and . _ - only"
            )

    @classmethod
    def parse(cls, text: str) -> AssetId:
        """The id that a text names.

        Raises:
            InvalidReference: the text is not a canonical asset id.
        """
        return _parsed(text)

    @property
    def target(self) -> str:
        """The id of what one operation touches as a whole: the same without a container."""
        return str(attrs.evolve(self, container=None)) if self.container else str(self)

    def __str__(self) -> str:
        parts = [self.host, self.namespace, self.kind, self.name, self.container]
        return f"{self.scheme}://" + "/".join(part for part in parts if part is not None)


@functools.lru_cache(maxsize=16_384)  # every copy of an asset checks its id
def _parsed(text: str) -> AssetId:
    scheme, separator, rest = text.partition("://")
    host, *parts = rest.split("/")
    wanted = _PARTS.get(scheme, 0)
    if not separator or not (len(parts) == wanted or (scheme == "k8s" and len(parts) == wanted + 1)):
        raise InvalidReference(f"{ascii(text)[:120]} is not an asset id such as docker://<host>/<name>")
    match scheme:
        case "k8s":
            namespace, kind, name, *container = parts
            return AssetId(
                scheme=scheme, host=host, namespace=namespace, kind=kind, name=name,
                container=container[0] if container else None,
            )  # fmt: skip
        case "helm":
            return AssetId(scheme=scheme, host=host, namespace=parts[0], name=parts[1])
        case _:
            return AssetId(scheme=scheme, host=host, name=parts[0])


@quick
@attrs.frozen(kw_only=True)
class UpdateRecord:
    """One finished attempt to update an asset, or several in a row that ended alike before any change.

    ``code`` says how it ended; ``attempts`` counts those in a row (``started`` is the first's, the rest the
    latest's), and people were told of the one that finished at ``told``. ``situation`` is the hash of what
    it was refused in: while nothing of that changes, another attempt would end the same.
    """

    operation_id: str
    from_version: str
    to_version: str
    from_digest: str | None
    to_digest: str | None
    change_type: VersionChangeType
    decision: str
    outcome: str
    reason: str
    started: datetime
    finished: datetime
    code: str = ""
    attempts: int = 1
    told: datetime | None = None
    situation: str = ""

    def after(self, before: UpdateRecord | None) -> UpdateRecord:
        """The same, counted together with the entry before it where both were refused alike."""
        if before is None:
            return attrs.evolve(self, told=self.finished) if self.is_refusal else self
        told = before.told if before.told and self.finished - before.told < _TELL_EVERY else self.finished
        again = before.operation_id == self.operation_id
        return attrs.evolve(
            self, attempts=before.attempts + (not again), started=min(before.started, self.started), told=told
        )

    @property
    def is_refusal(self) -> bool:
        """Whether it ended before anything was touched, and nobody had asked for that."""
        return self.outcome == "aborted" and self.code != "abort_requested"

    @property
    def _way(self) -> tuple[object, ...]:
        versions = (self.from_version, self.from_digest, self.to_version, self.to_digest)
        return (*versions, self.outcome, self.code)


def _frozen_text_map(value: Mapping[str, str]) -> Mapping[str, str]:
    return MappingProxyType(dict(value))


def _frozen_map(value: Mapping[str, object]) -> Mapping[str, object]:
    return MappingProxyType(dict(value))


def _version_of_image(asset: Asset) -> str:
    return asset.image.version_text


@attrs.frozen(kw_only=True)
class Asset:
    """One versioned thing that runs, as the last scan saw it.

    ``digests`` holds every digest by which the running bits are known (index and platform manifest,
    ``sha256:…``); it is empty where the runtime does not know. ``owner`` names the tool that manages the
    asset (``argocd``, ``helm/shop``, ``swarm`` …), ``""`` where nobody does, None where that is unknown.
    ``available_version`` is None where no newer one is known; ``unknown_cause`` then says whether a check
    failed. ``metadata`` is type-specific and JSON-like; ``labels`` are the user's.
    """

    id: str
    name: str
    asset_type: AssetType
    image: Artifact
    host: str = "local"
    namespace: str | None = None
    current_version: str = attrs.field(default=attrs.Factory(_version_of_image, takes_self=True))
    available_version: str | None = None
    unknown_cause: str | None = None
    digests: frozenset[str] = frozenset()
    platform: str | None = None
    running: bool = True
    owner: str | None = ""
    status: AssetStatus = AssetStatus.UNKNOWN
    last_scan: datetime | None = None
    last_update: datetime | None = None
    # People put secrets into labels: both stay out of repr.
    metadata: Mapping[str, object] = attrs.field(factory=dict, converter=_frozen_map, hash=False, repr=False)
    labels: Mapping[str, str] = attrs.field(factory=dict, converter=_frozen_text_map, hash=False, repr=False)
    update_history: tuple[UpdateRecord, ...] = ()

    def __attrs_post_init__(self) -> None:
        AssetId.parse(self.id)

    @property
    def target_id(self) -> str:
        """The id of the target that an operation on this asset touches."""
        return AssetId.parse(self.id).target

    @property
    def legacy_id(self) -> str:
        """The id form of the first state files: ``deployment-my-app-default``."""
        return "-".join(part for part in (str(self.asset_type), self.name, self.namespace) if part)

    def with_status(self, status: AssetStatus) -> Asset:
        """The asset in another status.

        Raises:
            IllegalTransition: the life cycle does not allow this step.
        """
        if status is self.status:
            return self
        if status not in STATUS_TRANSITIONS[self.status]:
            raise IllegalTransition(f"{self.id}: {self.status} cannot become {status}")
        return attrs.evolve(self, status=status)

    @property
    def refusals(self) -> tuple[UpdateRecord, ...]:
        """What was refused since anything else happened, newest first."""
        return tuple(itertools.takewhile(lambda record: record.is_refusal, reversed(self.update_history)))

    def with_record(self, record: UpdateRecord, **changes: Any) -> Asset:
        """The asset with one more entry in its history, of which the newest 20 are kept, and other changes,
        which are taken as they are.

        An operation that is recorded again replaces its earlier entry, and so does one that was refused
        like one before it, with nothing else in between: a refusal that repeats must not push the successes
        out.
        """
        before = next((kept for kept in self.refusals if kept._way == record._way), None)
        counted = record.after(before)
        replaced = (record.operation_id, before.operation_id if before else "")
        others = tuple(kept for kept in self.update_history if kept.operation_id not in replaced)
        return evolved(
            self, update_history=(*others, counted)[-_MAX_HISTORY:], last_update=record.finished, **changes
        )
