"""Which assets a rule is for."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Mapping
from functools import lru_cache

import attrs

from safeupdater.config.nodes import Plain
from safeupdater.config.schema import MATCH
from safeupdater.domain.artifact import Artifact, ChartReference
from safeupdater.domain.asset import Asset

Glob = Callable[[str], object]


@attrs.frozen
class Matcher:
    """The criteria of one rule, compiled: an asset has to meet all of them.

    An asset that has no namespace, or not the label, does not match; not even ``*``.
    """

    _criteria: tuple[Callable[[Asset], bool], ...]

    def matches(self, asset: Asset) -> bool:
        """Whether the rule is for this asset."""
        return all(criterion(asset) for criterion in self._criteria)


def matcher(plain: dict[str, Plain]) -> Matcher:
    """The matcher of a rule's ``match`` in canonical plain form."""
    wanted = MATCH.value(plain)
    criteria: list[Callable[[Asset], bool]] = []
    if wanted.host is not None:
        criteria.append(_on(lambda asset: asset.host, wanted.host))
    if wanted.namespace is not None:
        criteria.append(_on(lambda asset: asset.namespace, wanted.namespace))
    if wanted.name is not None:
        criteria.append(_on(lambda asset: asset.name, wanted.name))
    if wanted.type is not None:
        criteria.append(_on(lambda asset: str(asset.asset_type), wanted.type))
    if wanted.image is not None:
        criteria.append(_on_image(wanted.image))
    criteria += [_on_label(key, pattern) for key, pattern in wanted.labels.items()]
    return Matcher(tuple(criteria))


def words(plain: Mapping[str, Plain]) -> str:
    """A rule's ``match`` in one line: ``host: prod-*, labels.tier: db``."""
    parts = []
    for key, value in plain.items():
        if isinstance(value, dict):
            parts += [f"{key}.{name}: {pattern}" for name, pattern in value.items()]
        else:
            parts.append(f"{key}: {value}")
    return ", ".join(parts)


@lru_cache(maxsize=1024)
def _glob(pattern: str) -> Glob:
    # fnmatch's own patterns take no exponential time: every ``*`` but the last is atomic since 3.11.
    return re.compile(fnmatch.translate(pattern)).match


def _on(part: Callable[[Asset], str | None], pattern: str) -> Callable[[Asset], bool]:
    glob = _glob(pattern)

    def criterion(asset: Asset) -> bool:
        text = part(asset)
        return text is not None and glob(text) is not None

    return criterion


def _on_image(pattern: str) -> Callable[[Asset], bool]:
    glob = _glob(pattern)
    return lambda asset: any(glob(name) is not None for name in image_names(asset.image))


def _on_label(key: str, pattern: str) -> Callable[[Asset], bool]:
    return _on(lambda asset: asset.labels.get(key), pattern)


@lru_cache(maxsize=4096)
def image_names(image: Artifact) -> tuple[str, ...]:
    """The names of an image or chart without its version: the canonical one and the familiar one."""
    if isinstance(image, ChartReference):
        return (image.name, f"{image.repository}/{image.name}") if image.repository else (image.name,)
    familiar = attrs.evolve(image, tag=None, digest=None).familiar
    return (image.name,) if familiar == image.name else (image.name, familiar)
