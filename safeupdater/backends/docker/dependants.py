"""Who stands on a container: shares its namespaces, mounts its volumes or links to it."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator, Sequence

import attrs

from safeupdater.backends.docker.client import Json
from safeupdater.backends.docker.snapshot import section


class Tie(enum.Enum):
    """How one container depends on another."""

    NAMESPACE = "namespace"
    """Shares its network, IPC or PID namespace: must be created anew on the successor."""
    VOLUMES_BY_ID = "volumes_by_id"
    """Mounts its volumes by its id: works on, but must name the successor."""
    VOLUMES_BY_NAME = "volumes_by_name"
    """Mounts its volumes by its name, which the successor gets: nothing to do."""
    LINK = "link"
    """Linked to it in the legacy way, which is wired at creation and cannot be moved."""


@attrs.frozen
class Dependant:
    """A container that depends on another, and how."""

    inspect: Json = attrs.field(repr=False)
    tie: Tie = Tie.NAMESPACE

    @property
    def id(self) -> str:
        """Its id."""
        return str(self.inspect["Id"])

    @property
    def name(self) -> str:
        """Its name."""
        return str(self.inspect["Name"]).lstrip("/")

    @property
    def must_follow(self) -> bool:
        """Whether it has to be created anew with what it depends on."""
        return self.tie in (Tie.NAMESPACE, Tie.VOLUMES_BY_ID)


def dependants_of(inspect: Json, others: Iterable[Json]) -> tuple[Dependant, ...]:
    """The containers among the others that depend on one, by name, with the strongest tie of each."""
    identity, name = str(inspect["Id"]), str(inspect["Name"]).lstrip("/")
    found = []
    for other in others:
        ties = set(_ties(section(other, "HostConfig"), identity, name)) if other["Id"] != identity else set()
        strongest = next((tie for tie in (Tie.LINK, *Tie) if tie in ties), None)
        if strongest is not None:
            found.append(Dependant(other, strongest))
    return tuple(sorted(found, key=lambda dependant: dependant.name))


def closure(inspect: Json, others: Sequence[Json]) -> tuple[Dependant, ...]:
    """The dependants, theirs, and so on; each after what it depends on."""
    found: dict[str, Dependant] = {}
    waiting = [inspect]
    while waiting:
        for dependant in dependants_of(waiting.pop(0), others):
            if dependant.id not in found:
                found[dependant.id] = dependant
                if dependant.must_follow:
                    waiting.append(dependant.inspect)
    return tuple(found.values())


def _ties(host_config: Json, identity: str, name: str) -> Iterator[Tie]:
    for mode in ("NetworkMode", "IpcMode", "PidMode"):
        kind, _, reference = str(host_config.get(mode) or "").partition(":")
        if kind == "container" and _means(reference, identity, name):
            yield Tie.NAMESPACE
    for source in host_config.get("VolumesFrom") or ():
        reference = str(source).partition(":")[0]
        if reference.lstrip("/") == name:
            yield Tie.VOLUMES_BY_NAME
        elif _means(reference, identity, name):
            yield Tie.VOLUMES_BY_ID
    for link in host_config.get("Links") or ():
        if _means(str(link).partition(":")[0].lstrip("/"), identity, name):
            yield Tie.LINK


def _means(reference: str, identity: str, name: str) -> bool:
    is_id = len(reference) >= 12 and identity.startswith(reference)
    return is_id or reference.lstrip("/") == name


def references_of(host_config: Json) -> tuple[str, ...]:
    """The containers, by name or id, that a container itself depends on."""
    found = [
        reference
        for mode in ("NetworkMode", "IpcMode", "PidMode")
        for kind, _, reference in [str(host_config.get(mode) or "").partition(":")]
        if kind == "container"
    ]
    found += [str(source).partition(":")[0] for source in host_config.get("VolumesFrom") or ()]
    found += [str(link).partition(":")[0].lstrip("/") for link in host_config.get("Links") or ()]
    return tuple(found)
