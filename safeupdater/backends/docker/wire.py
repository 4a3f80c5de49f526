"""The parts of the daemon's lists that we read. Decoding straight into these is what makes a scan cheap."""

from __future__ import annotations

import msgspec

Labels = dict[str, str]
_CONTAINERD_STORE = "io.containerd.snapshotter"


class ListedHostConfig(msgspec.Struct, rename="pascal"):
    """What a list says of a container's host configuration."""

    network_mode: str = ""


class ListedContainer(msgspec.Struct, rename="pascal"):
    """One entry of ``GET /containers/json``."""

    id: str
    image: str = ""
    image_id: str = msgspec.field(name="ImageID", default="")
    names: list[str] | None = None
    labels: Labels | None = None
    state: str = ""
    status: str = ""
    created: int = 0
    host_config: ListedHostConfig = msgspec.field(default_factory=ListedHostConfig)

    @property
    def name(self) -> str:
        """The container's own name; further ones are those that links gave it."""
        own = [name for name in self.names or () if name.count("/") == 1]
        return own[0].lstrip("/") if own else ""


class ListedImage(msgspec.Struct, rename="pascal"):
    """One entry of ``GET /images/json``."""

    id: str
    repo_tags: list[str] | None = None
    repo_digests: list[str] | None = None

    @property
    def digests(self) -> frozenset[str]:
        """Every digest that registries know these bits by, whatever the repository."""
        return frozenset(
            digest
            for entry in self.repo_digests or ()
            if (digest := entry.rpartition("@")[2]).startswith("sha")
        )


class DaemonInfo(msgspec.Struct, rename="pascal"):
    """What of ``GET /info`` we need."""

    id: str = msgspec.field(name="ID", default="")
    name: str = ""
    os_type: str = msgspec.field(name="OSType", default="linux")
    architecture: str = ""
    docker_root_dir: str = ""
    driver_status: list[list[str]] | None = None

    @property
    def leaves_images_to_containerd(self) -> bool:
        """Whether images are in containerd's store, which is not under the daemon's root."""
        return any(text.startswith(_CONTAINERD_STORE) for pair in self.driver_status or () for text in pair)


class DaemonComponent(msgspec.Struct, rename="pascal"):
    """One part of a daemon, by name."""

    name: str = ""


class DaemonVersion(msgspec.Struct, rename="pascal"):
    """What of ``GET /version`` we need; ``arch`` is in Go's words, as image platforms are."""

    version: str = ""
    os: str = "linux"
    arch: str = ""
    components: list[DaemonComponent] | None = None

    @property
    def is_podman(self) -> bool:
        """Whether it is Podman, which speaks this API with other shapes."""
        return any("podman" in part.name.lower() for part in self.components or ())


CONTAINERS = msgspec.json.Decoder(list[ListedContainer])
IMAGES = msgspec.json.Decoder(list[ListedImage])
INFO = msgspec.json.Decoder(DaemonInfo)
VERSION = msgspec.json.Decoder(DaemonVersion)
