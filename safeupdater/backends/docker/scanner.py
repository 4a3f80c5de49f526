"""What runs on a Docker host: two lists, decoded once, whatever the number of containers."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from functools import cache, cached_property
from typing import TYPE_CHECKING, TypeAlias

from safeupdater.backends.docker.client import DockerApi, connect, decode, quoted
from safeupdater.backends.docker.faults import as_scan_error
from safeupdater.backends.docker.listing import (
    ContainerFilter,
    ContainerMetadata,
    ImageInfo,
    LabelChange,
    label_change,
    owner_of,
)
from safeupdater.backends.docker.logins import Logins
from safeupdater.backends.docker.names import OPERATION_LABEL, base_name
from safeupdater.backends.docker.wire import (
    CONTAINERS,
    IMAGES,
    INFO,
    VERSION,
    DaemonInfo,
    DaemonVersion,
    ListedContainer,
    ListedImage,
)
from safeupdater.domain.artifact import ImageReference
from safeupdater.domain.asset import Asset, AssetId, AssetStatus, AssetType
from safeupdater.domain.platform import Platform
from safeupdater.errors import InvalidReference
from safeupdater.protocols import ScanReport

if TYPE_CHECKING:
    import docker

_MAX_REMEMBERED = 4096
_ImageOf: TypeAlias = Callable[[str, str], ImageInfo]


class DockerScanner:
    """Finds containers on one Docker host.

    ``client`` is a ready-made ``docker.APIClient`` (or ``DockerClient``); without one, ``url`` or
    ``DOCKER_HOST`` says where the daemon is. ``host`` is the alias in asset ids, else the daemon's id.
    Nothing is sent before the first scan. Thread-safe.
    """

    def __init__(
        self,
        client: docker.APIClient | docker.DockerClient | DockerApi | None = None,
        *,
        url: str | None = None,
        host: str | None = None,
        where: ContainerFilter | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.api = client if isinstance(client, DockerApi) else api_of(client, url)
        self._alias = host
        self._filter = where or ContainerFilter()
        self._clock = clock
        # A container's image reference never changes; the list shows the bare id once the tag has moved on.
        self._references: dict[str, str] = {}
        self._lock = threading.Lock()
        self._last: tuple[Asset, ...] = ()
        self._before_last: tuple[Asset, ...] = ()

    @cached_property
    def info(self) -> DaemonInfo:
        """What the daemon says of itself."""
        doing = "describe itself"
        with as_scan_error():
            return decode(INFO, self.api.raw("/info", doing), doing)

    @cached_property
    def version(self) -> DaemonVersion:
        """The daemon's version and platform."""
        doing = "say which version it is"
        with as_scan_error():
            return decode(VERSION, self.api.raw("/version", doing), doing)

    @cached_property
    def machine(self) -> Platform:
        """The machine's own platform.

        A daemon's version says ``arm`` of all 32-bit ones; which of them the machine is, its info says.
        """
        said = Platform.of(self.version.os, self.version.arch)
        machine = said if said.architecture != "arm" else Platform.of(said.os, self.info.architecture)
        return machine if machine.architecture == said.architecture else said

    @cached_property
    def platform(self) -> str:
        """The platform of images for this daemon, such as ``linux/amd64`` or ``linux/arm/v6``."""
        return str(self.machine)

    @property
    def host(self) -> str:
        """The alias of the daemon, as in asset ids."""
        return self._alias or self.info.id or "local"

    def asset_id(self, name: str) -> str:
        """The canonical id of a container."""
        return str(AssetId(scheme="docker", host=self.host, name=name))

    # --- scanning ----------------------------------------------------------------------------------------

    def scan(self) -> ScanReport:
        """Every container, stopped ones too; a filter makes the scan incomplete.

        Raises:
            DockerConnectionError: the daemon did not answer.
        """
        containers, hidden = self._listed(include_stopped=True)
        assets, problems = self._assets(containers)
        names = {container.name for container in containers}
        problems += [
            f"{name} is left from an interrupted update and {base_name(name)} is missing: run recover"
            for name in hidden
            if base_name(name) not in names
        ]
        with self._lock:
            self._before_last, self._last = self._last, assets
        return ScanReport(
            assets=assets,
            scope=f"docker://{self.host}/",
            complete=self._filter.is_open,
            problems=tuple(problems),
        )

    def scan_containers(self, include_stopped: bool = False) -> tuple[Asset, ...]:
        """The containers as assets: running ones, or all.

        Raises:
            DockerConnectionError: the daemon did not answer.
        """
        containers, _ = self._listed(include_stopped=include_stopped)
        return self._assets(containers)[0]

    def get_container_metadata(self, name: str) -> ContainerMetadata | None:
        """One container by name or full id; None where there is none.

        Raises:
            DockerConnectionError: the daemon did not answer.
        """
        listed = self._list_containers(include_stopped=True)
        images = self._image_of(self._list_images())
        found = [container for container in listed if name in (container.name, container.id)]
        return self._metadata(found[0], found[0].name, images) if found else None

    def extract_image_info(self, name: str) -> ImageInfo | None:
        """The image of one container, by name or full id; None where there is no such container.

        Raises:
            DockerConnectionError: the daemon did not answer.
        """
        found = self.get_container_metadata(name)
        return found.image if found else None

    def get_image_digest(self, image_name: str) -> str | None:
        """The digest that registries know a local image by, preferably in its own repository.

        None where there is no such image here, or it was built here.

        Raises:
            DockerConnectionError: the daemon did not answer.
        """
        with as_scan_error():
            image = self.api.get(f"/images/{quoted(image_name)}/json", f"inspect image {image_name}")
        entries = [str(entry) for entry in (image or {}).get("RepoDigests") or ()]
        own = [entry for entry in entries if _repository(entry) == _repository(image_name)]
        return (own or entries)[0].rpartition("@")[2] if entries else None

    def track_labels(self, before: Iterable[Asset] | None = None) -> tuple[LabelChange, ...]:
        """How labels changed from ``before`` (else the last scan but one) to the last scan, by asset id."""
        with self._lock:
            old = {asset.id: asset for asset in (self._before_last if before is None else before)}
            new = self._last
        changes = (label_change(old[asset.id], asset) for asset in new if asset.id in old)
        return tuple(change for change in changes if change is not None)

    # --- from lists to assets ----------------------------------------------------------------------------

    def _listed(self, *, include_stopped: bool) -> tuple[list[ContainerMetadata], list[str]]:
        """The containers that pass the filter, and the names of our own leftovers."""
        listed = self._list_containers(include_stopped=include_stopped)
        images = self._image_of(self._list_images())
        named = [(container.name, container) for container in listed]
        hidden = [name for name, _ in named if base_name(name) is not None]
        visible = (
            self._metadata(container, name, images)
            for name, container in named
            if name and base_name(name) is None
        )
        if self._filter.is_open:
            return list(visible), hidden
        return [container for container in visible if self._filter.matches(container)], hidden

    def _list_containers(self, *, include_stopped: bool) -> list[ListedContainer]:
        doing = "list containers"
        with as_scan_error():
            body = self.api.raw("/containers/json", doing, all=int(include_stopped))
            return decode(CONTAINERS, body, doing)

    def _list_images(self) -> Mapping[str, ListedImage]:
        doing = "list images"
        with as_scan_error():
            images = decode(IMAGES, self.api.raw("/images/json", doing, digests=1), doing)
        return {image.id: image for image in images}

    def _metadata(self, container: ListedContainer, name: str, image_of: _ImageOf) -> ContainerMetadata:
        labels = {key: text for key, text in (container.labels or {}).items() if key != OPERATION_LABEL}
        return ContainerMetadata(
            id=container.id,
            name=name,
            image=image_of(container.image_id, self._reference_text(container)),
            state=container.state,
            health=_health(container.status),
            created=datetime.fromtimestamp(container.created, UTC),
            network_mode=container.host_config.network_mode,
            owner=owner_of(labels),
            labels=labels,
        )

    def _image_of(self, images: Mapping[str, ListedImage]) -> _ImageOf:
        """From an image's id and what a container calls it to its value, made once for all containers."""

        @cache
        def image_of(image_id: str, text: str) -> ImageInfo:
            image = images.get(image_id)
            digests = image.digests if image else frozenset()
            return ImageInfo(
                reference=_reference(text),
                text=text,
                id=image_id,
                digests=digests,
                is_local_build=image is not None and not digests,
                is_gone=image is None,
            )

        return image_of

    def _reference_text(self, container: ListedContainer) -> str:
        if not _is_bare_id(container.image):
            return container.image
        known = self._references.get(container.id)
        if known is None:
            with as_scan_error():
                inspected = self.api.get(f"/containers/{container.id}/json", f"inspect {container.name}")
            known = str(((inspected or {}).get("Config") or {}).get("Image") or container.image)
            with self._lock:
                if len(self._references) >= _MAX_REMEMBERED:
                    self._references.clear()
                self._references[container.id] = known
        return known

    def _assets(self, containers: Iterable[ContainerMetadata]) -> tuple[tuple[Asset, ...], list[str]]:
        now = self._clock()
        assets: list[Asset] = []
        problems: list[str] = []
        for container in containers:
            if container.image.reference is None:
                problems.append(
                    f"{container.name} runs an image by its bare id, so nothing says which tag to follow: "
                    "create it again from a tag"
                )
                continue
            try:
                assets.append(self._asset(container, container.image.reference, now))
            except InvalidReference as error:
                problems.append(f"{container.name[:80]} cannot be an asset: {error.message}")
        return tuple(assets), problems

    def _asset(self, container: ContainerMetadata, reference: ImageReference, now: datetime) -> Asset:
        image = container.image
        metadata = {
            "container_id": container.id,
            "image_id": image.id,
            "state": container.state,
            "health": container.health,
            "network_mode": container.network_mode,
            "local_build": image.is_local_build,
            "image_gone": image.is_gone,
            "compose_project": container.compose_project,
            "compose_service": container.compose_service,
            "replica_of": container.replica_of,
        }
        return Asset(
            id=f"docker://{self.host}/{container.name}",  # an asset makes sure that this is an id
            name=container.name,
            asset_type=AssetType.CONTAINER,
            image=reference,
            host=self.host,
            digests=image.digests,
            platform=self.platform,
            running=container.is_running,
            owner=container.owner,
            status=_status(container),
            last_scan=now,
            metadata={key: value for key, value in metadata.items() if value not in (None, "", False)},
            labels=container.labels,
        )


def _low_level(client: docker.APIClient | docker.DockerClient | None) -> docker.APIClient | None:
    if client is None:
        return None
    import docker

    return client.api if isinstance(client, docker.DockerClient) else client


def api_of(
    client: docker.APIClient | docker.DockerClient | None, url: str | None, logins: Logins | None = None
) -> DockerApi:
    """The API by a ready-made client, else by one of our own for a URL or ``DOCKER_HOST``."""
    return DockerApi(_low_level(client) or connect(url), logins=logins)


def _is_bare_id(text: str) -> bool:
    hexadecimal = text.removeprefix("sha256:")
    return len(hexadecimal) in (12, 64) and all(char in "0123456789abcdef" for char in hexadecimal)


def _reference(text: str) -> ImageReference | None:
    if _is_bare_id(text):
        return None
    try:
        return ImageReference.parse(text)
    except InvalidReference:
        return None


def _repository(text: str) -> str | None:
    reference = _reference(text)
    return reference.name if reference else None


def _status(container: ContainerMetadata) -> AssetStatus:
    """Healthy while it runs and no HEALTHCHECK says otherwise; of what is stopped nothing is known."""
    if not container.is_running or container.health == "starting":
        return AssetStatus.UNKNOWN
    return AssetStatus.FAILED if container.health == "unhealthy" else AssetStatus.HEALTHY


def _health(status: str) -> str:
    """The health in a status such as ``Up 3 hours (healthy)``; ``""`` where there is no HEALTHCHECK."""
    for word in ("(healthy)", "(unhealthy)", "(health: starting)"):
        if status.endswith(word):
            return word.strip("()").removeprefix("health: ")
    return ""
