"""What image configs say about candidates, looked up only when somebody reads it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from functools import cache

import attrs

from safeupdater.domain.artifact import ChartReference, ImageReference
from safeupdater.domain.candidate import Candidate
from safeupdater.domain.image import ImageChange, image_changes
from safeupdater.errors import RegistryError
from safeupdater.registries.oci.manifests import ImageConfig

_LOG = logging.getLogger(__name__)
ConfigOf = Callable[[ImageReference, str | None], ImageConfig]
SkewOf = Callable[[str], float | None]


def image_facts(config_of: ConfigOf, skew_of: SkewOf, candidate: Candidate) -> Mapping[str, object]:
    """The facts that a registry has of a candidate; nothing of a chart."""
    new = candidate.change.new
    if isinstance(new, ChartReference):
        return {}
    return _Lazy(
        {
            "published_at": lambda: _published_at(config_of, candidate),
            "image_changes": lambda: _image_changes(config_of, candidate),
            "clock_skew_s": lambda: skew_of(new.registry),
        }
    )


class _Lazy(Mapping[str, object]):
    """A mapping whose values are found when they are asked for; one that is None is not in it."""

    def __init__(self, finders: Mapping[str, Callable[[], object]]) -> None:
        self._finders = {name: cache(find) for name, find in finders.items()}

    def __getitem__(self, name: str) -> object:
        found = self._finders[name]()
        if found is None:
            raise KeyError(name)
        return found

    def __iter__(self) -> Iterator[str]:
        return (name for name, find in self._finders.items() if find() is not None)

    def __len__(self) -> int:
        return sum(1 for _ in self)


def _published_at(config_of: ConfigOf, candidate: Candidate) -> datetime | None:
    new = candidate.change.new
    assert isinstance(new, ImageReference)
    config = _known("the age", config_of, new, candidate.asset.platform)
    return None if config is None else config.created


def _image_changes(config_of: ConfigOf, candidate: Candidate) -> tuple[ImageChange, ...] | None:
    """How the defaults differ between the bits that run and those that were decided on."""
    configs = []
    for image in (candidate.change.current, candidate.change.new):
        if isinstance(image, ChartReference) or image.digest is None:
            return None
        # By its digest alone: the tag may serve other bits by now.
        pinned = attrs.evolve(image, tag=None)
        config = _known("the config", config_of, pinned, candidate.asset.platform)
        if config is None:
            return None
        configs.append(config)
    before, after = configs
    return image_changes(before.defaults, after.defaults)


def _known(what: str, config_of: ConfigOf, image: ImageReference, platform: str | None) -> ImageConfig | None:
    try:
        return config_of(image, platform)
    except RegistryError as error:
        # By the port's contract a fact that cannot be had is unknown, and unknown is never good.
        _LOG.info("%s of %s is unknown: %s", what, image, error)
        return None
