"""What is kept to put a container back: the whole inspection of it and of what must follow it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from safeupdater.backends.docker.client import Json
from safeupdater.backends.docker.names import candidate_name, parked_name
from safeupdater.domain.operation import Snapshot
from safeupdater.domain.platform import Platform
from safeupdater.errors import BackendError

FORMAT = "docker/1"


@attrs.frozen(kw_only=True)
class Member:
    """One container of a target as it was captured: the one that is updated, or one that depends on it.

    ``inherited`` holds the mount points that come from other containers by ``VolumesFrom``.
    """

    inspect: Json = attrs.field(repr=False)
    image: Json = attrs.field(repr=False)
    inherited: tuple[str, ...] = ()
    generated_hostnames: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """The container's id, which stays whatever its name becomes."""
        return str(self.inspect["Id"])

    @property
    def name(self) -> str:
        """The name that it had, and that its successor gets."""
        return str(self.inspect["Name"]).lstrip("/")

    @property
    def candidate(self) -> str:
        """What its successor is called until the switch."""
        return candidate_name(self.name)

    @property
    def parked(self) -> str:
        """What it is called after the switch."""
        return parked_name(self.name)

    @property
    def was_running(self) -> bool:
        """Whether it ran when it was captured."""
        return is_running(self.inspect)

    @property
    def restart_policy(self) -> Json:
        """What the daemon does when it ends."""
        return self.host_config.get("RestartPolicy") or {"Name": "no", "MaximumRetryCount": 0}

    @property
    def config(self) -> Json:
        """The container's ``Config``, with its image's defaults filled in."""
        return section(self.inspect, "Config")

    @property
    def host_config(self) -> Json:
        """The container's ``HostConfig``."""
        return section(self.inspect, "HostConfig")

    @property
    def image_config(self) -> Json:
        """The defaults that its image gave it."""
        return section(self.image, "Config")

    @property
    def mounts(self) -> Sequence[Json]:
        """Where what is mounted."""
        return self.inspect.get("Mounts") or ()

    @property
    def platform(self) -> Platform | None:
        """What it runs on; None where nobody says."""
        return platform_of(self.inspect, self.image)

    @property
    def says_platform(self) -> bool:
        """Whether it says itself what it runs on: then its successor will, once it is made."""
        return bool(section(self.inspect, "ImageManifestDescriptor"))

    def to_data(self) -> Json:
        """The member as a snapshot keeps it."""
        return {
            "inspect": self.inspect,
            "image": self.image,
            "inherited": list(self.inherited),
            "generated_hostnames": list(self.generated_hostnames),
        }


@attrs.frozen(kw_only=True)
class Captured:
    """A snapshot's content. ``tag_image`` is what the new version's tag named here before, None: nothing."""

    members: tuple[Member, ...]
    tag_image: str | None = None

    @property
    def main(self) -> Member:
        """The container that is updated."""
        return self.members[0]

    def to_data(self) -> Json:
        """The content as a snapshot keeps it."""
        return {"members": [member.to_data() for member in self.members], "tag_image": self.tag_image}


def captured(snapshot: Snapshot) -> Captured:
    """The content of a snapshot of ours.

    Raises:
        BackendError: it is in a format that this version does not know.
    """
    if snapshot.format != FORMAT:
        raise BackendError(
            f"the snapshot of {snapshot.target_id} is in the format {snapshot.format!r}, "
            f"this version reads {FORMAT!r}: use the version that wrote it",
            code="snapshot_format",
        )
    data: Mapping[str, Any] = snapshot.data
    members = tuple(
        Member(
            inspect=member["inspect"],
            image=member["image"],
            inherited=tuple(member["inherited"]),
            generated_hostnames=tuple(member["generated_hostnames"]),
        )
        for member in data["members"]
    )
    return Captured(members=members, tag_image=data.get("tag_image"))


def section(inspected: Json, name: str) -> Json:
    """A part of an inspection, empty where it has none."""
    part: Json = inspected.get(name) or {}
    return part


def platform_of(inspect: Json, image: Json) -> Platform | None:
    """The platform of a container, else of an image that it was made or is to be made of.

    An image of several platforms says only one of them; from API 1.48 on its container says which it has.
    """
    os, architecture, variant = said_platform(inspect, image)
    return Platform.of(os, architecture, variant) if os and architecture else None


def said_platform(inspect: Json, image: Json) -> tuple[str, str, str]:
    """The same word for word: system, architecture and variant; empty what is not said."""
    descriptor = section(section(inspect, "ImageManifestDescriptor"), "platform")
    said = {key.lower(): value for key, value in (descriptor or image).items()}
    return str(said.get("os") or ""), str(said.get("architecture") or ""), str(said.get("variant") or "")


def is_running(inspected: Json) -> bool:
    """Whether a container's process runs, or is just being restarted."""
    state = section(inspected, "State")
    return bool(state.get("Running") or state.get("Restarting"))


def endpoints(inspected: Json) -> dict[str, Json]:
    """The networks that a container is attached to, by name."""
    found: dict[str, Json] = section(section(inspected, "NetworkSettings"), "Networks")
    return found
