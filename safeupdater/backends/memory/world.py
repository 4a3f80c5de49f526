"""A little world in memory that behaves as a container runtime does.

It has identity, names, restart policies, slow starts, crashes and people who change things meanwhile, so
that everything above it can be tried, simulated and demonstrated without a server.
"""

from __future__ import annotations

import functools
import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

import attrs

from safeupdater.domain.artifact import Artifact, ImageReference, ResolvedImage
from safeupdater.domain.health import Condition
from safeupdater.errors import BackendError, RegistryError
from safeupdater.protocols import Clock


@attrs.frozen(kw_only=True)
class Behaviour:
    """How a release behaves once it is started. Times in seconds after the start.

    It is ready after ``ready_after_s`` (never, for None), exits after ``exits_after_s``, and while it runs
    it answers badly in every ``flaps_every``-th look. ``startable=False``: it cannot even be started.
    """

    ready_after_s: float | None = 0.0
    exits_after_s: float | None = None
    flaps_every: int = 0
    startable: bool = True


GOOD = Behaviour()
_RUNS = (Condition.READY, "running")
CRASHES = Behaviour(exits_after_s=0.0)
NEVER_READY = Behaviour(ready_after_s=None)


def digest_of(text: str) -> str:
    """A digest for a text: the world's stand-in for the hash of an image."""
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


@attrs.define(kw_only=True)
class Container:
    """One container of the world. ``id`` is its identity; ``name`` may change; ``config`` is the user's.

    Like those of a real runtime, its labels stay as they were when it was made.
    """

    id: str
    name: str
    image: ImageReference
    config: Mapping[str, object]
    restart: str = "always"
    running: bool = False
    paused: bool = False
    exit_code: int | None = None
    started_s: float = 0.0
    looks: int = 0
    labels: Mapping[str, str] = attrs.Factory(dict)


Result = TypeVar("Result")
Effect = Callable[[], object]
Interfere = Callable[[str, Effect], object]
"""Stands between the backend and the world: calls the effect, or fails before or after it."""


class MemoryWorld:
    """Containers, images and a registry, with the time of a clock.

    ``interfere`` sees every call that the backend makes (its name and the effect), so that faults can be
    put before and after each. People's own changes are made directly with the methods.
    """

    def __init__(self, clock: Clock, *, host: str = "local", interfere: Interfere | None = None) -> None:
        self.clock = clock
        self.host = host
        self.interfere = interfere
        self.containers: dict[str, Container] = {}
        self.images: set[str] = set()
        self.kept: dict[str, str] = {}
        self.tags: dict[str, dict[str, str]] = {}
        self.behaviours: dict[str, Behaviour] = {}
        self.down = False
        self._made = 0
        self._by_id: dict[str, Container] = {}
        self._by_label: defaultdict[tuple[str, str], list[Container]] = defaultdict(list)

    # --- the registry ---------------------------------------------------------------------------------------

    def publish(self, image: str, behaviour: Behaviour = GOOD, *, digest: str | None = None) -> str:
        """Makes a tag available in the world's registry and gives its digest."""
        reference = ImageReference.parse(image)
        made = digest or digest_of(str(reference))
        self.tags.setdefault(reference.name, {})[reference.version_text] = made
        self.behaviours.setdefault(made, behaviour)
        return made

    def get_available_tags(self, image: Artifact) -> tuple[str, ...]:
        """The tags of a repository."""
        name = image.name
        if name not in self.tags:
            raise RegistryError(f"{name} is not in the registry", code="name_unknown")
        return tuple(self.tags[name])

    def resolve(self, image: ImageReference, platform: str | None = None) -> ResolvedImage:
        """The digest of a tag."""
        digest = self.tags.get(image.name, {}).get(image.tag or "")
        if digest is None:
            raise RegistryError(f"{image.familiar} is not in the registry", code="manifest_unknown")
        return ResolvedImage(reference=image.with_digest(digest))

    def lookup_many(self, images: Iterable[Artifact]) -> dict[str, tuple[str, ...] | RegistryError]:
        """The tags of many repositories."""
        return {image.name: _or_error(functools.partial(self.get_available_tags, image)) for image in images}

    def resolve_many(
        self, images: Iterable[ImageReference], platform: str | None = None
    ) -> dict[str, ResolvedImage | RegistryError]:
        """The digests of many tags."""
        return {str(image): _or_error(functools.partial(self.resolve, image)) for image in images}

    # --- what people do -------------------------------------------------------------------------------------

    def run(self, name: str, image: str, *, running: bool = True, **config: object) -> Container:
        """Starts a container, publishing and pulling its image first where needed."""
        reference = ImageReference.parse(image)
        digest = self.tags.get(reference.name, {}).get(reference.version_text) or self.publish(image)
        self.images.add(digest)
        container = self.create(name, reference.with_digest(digest), config, restart="always")
        if running:
            self.start(name)
        return container

    def create(
        self,
        name: str,
        image: ImageReference,
        config: Mapping[str, object],
        *,
        restart: str = "no",
        labels: Mapping[str, str] | None = None,
    ) -> Container:
        """Makes a stopped container; a name can be taken only once."""
        if name in self.containers:
            raise BackendError(f"the name {name} is taken", code="conflict")
        if image.digest not in self.images:
            raise BackendError(f"no such image: {image}", code="image_missing")
        self._made += 1
        container = Container(
            id=f"c{self._made}", name=name, image=image, config=dict(config), restart=restart,
            labels=dict(labels or {}),
        )  # fmt: skip
        self.containers[name] = self._by_id[container.id] = container
        for label in container.labels.items():
            self._by_label[label].append(container)
        return container

    def start(self, name: str) -> None:
        """Starts a container; starting a running one is fine."""
        container = self.containers[name]
        if container.running:
            return
        if not self.behaviour_of(container).startable:
            raise BackendError(f"{name}: exec format error", code="start_failed")
        container.running, container.exit_code = True, None
        container.started_s, container.looks = self.clock.monotonic(), 0

    def stop(self, name: str) -> None:
        """Stops a container."""
        container = self.containers[name]
        if container.running:
            container.running, container.exit_code = False, 0

    def rename(self, name: str, new: str) -> None:
        """Renames a container; the new name must be free."""
        if new in self.containers:
            raise BackendError(f"the name {new} is taken", code="conflict")
        container = self.containers.pop(name)
        container.name = new
        self.containers[new] = container

    def remove(self, name: str) -> None:
        """Removes a container."""
        container = self.containers.pop(name, None)
        if container is None:
            return
        del self._by_id[container.id]
        for label in container.labels.items():
            self._by_label[label].remove(container)

    def prune(self) -> None:
        """Removes every image that no container uses and nothing keeps, as people do on full disks."""
        used = {container.image.digest for container in self.containers.values()}
        self.images = {digest for digest in self.images if digest in used or digest in self.kept.values()}

    def restart_daemon(self) -> None:
        """Everything stops; what has the restart policy ``always`` comes up again."""
        for container in self.containers.values():
            if container.running:
                container.running, container.exit_code = False, 137
            if container.restart == "always" and self.behaviour_of(container).startable:
                self.start(container.name)

    # --- what is there --------------------------------------------------------------------------------------

    def identified(self, container_id: str) -> Container | None:
        """The container with that identity, whatever its name is now."""
        return self._by_id.get(container_id)

    def labelled(self, label: tuple[str, str]) -> Container | None:
        """The first container that was made with a label, a key and its value."""
        found = self._by_label.get(label)
        return found[0] if found else None

    def behaviour_of(self, container: Container) -> Behaviour:
        """How its release behaves."""
        return self.behaviours.get(container.image.digest or "", GOOD)

    def condition(self, container: Container) -> tuple[Condition, str]:
        """What the runtime says of a container now, with a code."""
        behaviour = self.behaviours.get(container.image.digest or "", GOOD)
        if behaviour is GOOD and container.running and not container.paused:
            container.looks += 1
            return _RUNS  # what the following comes to for it, and what is asked most
        up_s = self.clock.monotonic() - container.started_s
        if container.running and behaviour.exits_after_s is not None and up_s >= behaviour.exits_after_s:
            container.running, container.exit_code = False, 1
        if not container.running:
            if container.exit_code in (None, 0):
                return Condition.STOPPED, "stopped"
            return Condition.FAILED, "exited"
        if container.paused:
            return Condition.PAUSED, "paused"
        if behaviour.ready_after_s is None or up_s < behaviour.ready_after_s:
            return Condition.STARTING, "starting"
        container.looks += 1
        if behaviour.flaps_every and container.looks % behaviour.flaps_every == 0:
            return Condition.UNREADY, "unready"
        return _RUNS

    def call(self, name: str, effect: Callable[[], Result]) -> Result:
        """One call of the backend, where faults may stand in between."""
        if self.interfere is not None:
            return self.interfere(name, effect)  # type: ignore[return-value]
        if self.down:
            raise BackendError("the world does not answer", code="unreachable", transient=True)
        return effect()


def _or_error(ask: Callable[[], Result]) -> Result | RegistryError:
    try:
        return ask()
    except RegistryError as error:
        return error
