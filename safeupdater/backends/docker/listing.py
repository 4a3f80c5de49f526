"""Containers, images and labels as a scan sees them: values, and who owns what."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Mapping
from datetime import datetime

import attrs

from safeupdater.domain.artifact import ImageReference
from safeupdater.domain.asset import Asset


@attrs.frozen(kw_only=True)
class ImageInfo:
    """The image that a container runs, as the daemon knows it.

    ``reference`` is None for a container that was made from a bare image id. ``digests`` holds every digest
    that registries know the bits by; it is empty for an image that was built here.
    """

    reference: ImageReference | None
    text: str
    id: str
    digests: frozenset[str]
    is_local_build: bool
    is_gone: bool


@attrs.frozen(kw_only=True)
class ContainerMetadata:
    """One container as a list shows it; ``owner`` as in ``Asset.owner``, ``health`` as Docker words it."""

    id: str
    name: str
    image: ImageInfo
    state: str
    health: str
    created: datetime
    network_mode: str
    owner: str
    labels: Mapping[str, str] = attrs.field(repr=False)

    @property
    def is_running(self) -> bool:
        """Whether its process runs."""
        return self.state in {"running", "paused", "restarting"}

    @property
    def compose_project(self) -> str | None:
        """The compose project that it is part of."""
        return self.labels.get("com.docker.compose.project")

    @property
    def compose_service(self) -> str | None:
        """Its service in that project."""
        return self.labels.get("com.docker.compose.service")

    @property
    def replica_of(self) -> str | None:
        """The compose service that it is a replica of, such as ``shop/web``; a scaled one has several."""
        parts = (self.compose_project, self.compose_service)
        return "/".join(part for part in parts if part) if all(parts) else None


@attrs.frozen(kw_only=True)
class LabelChange:
    """How the labels of an asset differ between two scans."""

    asset_id: str
    added: Mapping[str, str] = attrs.field(repr=False)
    removed: Mapping[str, str] = attrs.field(repr=False)
    changed: Mapping[str, tuple[str, str]] = attrs.field(repr=False)


def owner_of(labels: Mapping[str, str]) -> str:
    """Who else manages a container, ``""`` for nobody. A compose project is no owner: it starts by hand."""
    if "com.docker.swarm.task.id" in labels or "com.docker.swarm.service.id" in labels:
        return f"swarm/{labels.get('com.docker.swarm.service.name', '')}".rstrip("/")
    if any(key.startswith("io.kubernetes.") for key in labels):
        pod = (labels.get("io.kubernetes.pod.namespace", ""), labels.get("io.kubernetes.pod.name", ""))
        return "/".join(part for part in ("kubernetes", *pod) if part)
    if labels.get("com.docker.compose.oneoff", "").lower() == "true":
        return "compose run"
    return ""


def _texts(value: Iterable[str]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)


@attrs.frozen(kw_only=True)
class ContainerFilter:
    """Which containers to look at: every given kind must match. Labels are ``key`` or ``key=value``."""

    labels: tuple[str, ...] = attrs.field(default=(), converter=_texts)
    names: tuple[str, ...] = attrs.field(default=(), converter=_texts)
    images: tuple[str, ...] = attrs.field(default=(), converter=_texts)

    @property
    def is_open(self) -> bool:
        """Whether it lets everything through."""
        return not (self.labels or self.names or self.images)

    def matches(self, container: ContainerMetadata) -> bool:
        """Whether a container passes; names and images are globs, images in full or familiar form."""
        image = container.image
        known_as = [image.text] + (
            [str(image.reference), image.reference.familiar] if image.reference else []
        )
        return (
            all(_has_label(container.labels, wanted) for wanted in self.labels)
            and (not self.names or _any_matches([container.name], self.names))
            and (not self.images or _any_matches(known_as, self.images))
        )


def _has_label(labels: Mapping[str, str], wanted: str) -> bool:
    key, separator, value = wanted.partition("=")
    return key in labels and (not separator or labels[key] == value)


def _any_matches(texts: Iterable[str], patterns: Iterable[str]) -> bool:
    patterns = tuple(patterns)
    return any(fnmatch.fnmatchcase(text, pattern) for text in texts for pattern in patterns)


def label_change(before: Asset, after: Asset) -> LabelChange | None:
    """How an asset's labels changed; None where they did not."""
    old, new = before.labels, after.labels
    if old == new:
        return None
    return LabelChange(
        asset_id=after.id,
        added={key: text for key, text in new.items() if key not in old},
        removed={key: text for key, text in old.items() if key not in new},
        changed={key: (old[key], text) for key, text in new.items() if key in old and old[key] != text},
    )
