"""What a preflight looks at: one container with everything that the checks need."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from safeupdater.backends.docker.client import Json
from safeupdater.backends.docker.daemon import Daemon
from safeupdater.backends.docker.dependants import Dependant, closure
from safeupdater.backends.docker.snapshot import section
from safeupdater.domain.change import Change
from safeupdater.protocols import OperationContext


@attrs.frozen(kw_only=True)
class Subject:
    """A container under preflight, with everything that the checks look at.

    ``free_bytes`` is what is free where the daemon keeps images, None where that is not known.
    """

    name: str
    inspect: Json = attrs.field(repr=False)
    image: Json | None = attrs.field(repr=False)
    dependants: tuple[Dependant, ...]
    change: Change
    operation: OperationContext
    daemon: Daemon
    own_id: str | None
    is_podman: bool
    free_bytes: int | None = None

    @property
    def config(self) -> Json:
        """The container's ``Config``."""
        return section(self.inspect, "Config")

    @property
    def host_config(self) -> Json:
        """The container's ``HostConfig``."""
        return section(self.inspect, "HostConfig")

    @property
    def labels(self) -> dict[str, str]:
        """The container's labels."""
        return section(self.config, "Labels")


def find_dependants(daemon: Daemon, inspect: Json) -> tuple[Dependant, ...]:
    """Who stands on a container. Costs one inspection per other container: lists don't say enough."""
    others = (daemon.inspect(listed.id) for listed in daemon.containers() if listed.id != inspect["Id"])
    return closure(inspect, [other for other in others if other is not None])


def digests_of(image: Json | None) -> frozenset[str]:
    """The digests that registries know an image by."""
    return frozenset(str(entry).rpartition("@")[2] for entry in (image or {}).get("RepoDigests") or ())


_NAMED_AT_MOST = 3


def listed(names: Sequence[str]) -> str:
    """The first few names, and how many more there are."""
    more = len(names) - _NAMED_AT_MOST
    return ", ".join(names[:_NAMED_AT_MOST]) + (f" and {more} more" if more > 0 else "")
