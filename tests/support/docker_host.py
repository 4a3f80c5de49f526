"""A Docker daemon as a test sees it: releases in a registry, containers under names of the test's own."""

from __future__ import annotations

import itertools
import re
from typing import Any

import docker

from safeupdater.backends.docker import DockerBackend
from safeupdater.backends.docker.names import base_name
from safeupdater.domain.artifact import ImageReference
from safeupdater.testing.driving import Drive, operation_for
from testbed import images
from testbed.images import Kind

_NUMBERS = itertools.count(1)


class Host:
    """A daemon with a registry and names that no other test uses."""

    def __init__(self, client: docker.APIClient, registry: str) -> None:
        self.client = client
        self.number = next(_NUMBERS)
        self.repository = f"{registry}/app{self.number}"
        self.backend = DockerBackend(client, host="test")
        self.digests: dict[str, str] = {}

    def release(self, tag: str, kind: Kind = Kind.GOOD, *, changes: tuple[str, ...] = ()) -> ImageReference:
        """Pushes a release; it is not on the host afterwards."""
        digest = images.release(self.client, f"{self.repository}:{tag}", kind, changes=changes)
        self.digests[tag] = digest
        return ImageReference.parse(f"{self.repository}:{tag}@{digest}")

    def run(self, name: str, tag: str, *, start: bool = True, **options: Any) -> str:
        """Pulls a release and runs it, as a user would; ``host`` holds the HostConfig's arguments."""
        name = self.name(name)
        reference = f"{self.repository}:{tag}"
        self.client.pull(reference)
        host_config = self.client.create_host_config(**options.pop("host", {}))
        made = self.client.create_container(reference, name=name, host_config=host_config, **options)
        if start:
            self.client.start(made["Id"])
        return str(made["Id"])

    def name(self, name: str) -> str:
        """The name on the daemon."""
        return f"{name}{self.number}"

    def inspect(self, name: str) -> dict[str, Any]:
        """A container as the daemon sees it."""
        return dict(self.client.inspect_container(self.name(name)))

    def drive(self, name: str, new: ImageReference, **options: Any) -> Drive:
        """An operation on a container."""
        found = [asset for asset in self.backend.scan().assets if asset.name == self.name(name)]
        return Drive(self.backend, operation_for(found[0], new, operation_id=f"op-{self.number}", **options))

    def names(self) -> set[str]:
        """Every container of this test."""
        listed = self.client.containers(all=True)
        # One that others link to is listed under its names at those too: /other/alias.
        own = [min(container["Names"], key=lambda name: name.count("/")).lstrip("/") for container in listed]
        return {name for name in own if re.fullmatch(rf"[a-z]+{self.number}", base_name(name) or name)}

    def shell(self, container: str, script: str) -> str:
        """What a script prints that ends well inside of a container."""
        execution = self.client.exec_create(container, ["/bin/sh", "-c", script])
        output = self.client.exec_start(execution["Id"]).decode()
        assert self.client.exec_inspect(execution["Id"])["ExitCode"] == 0, output
        return str(output)
