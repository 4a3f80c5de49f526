"""Updating and restoring containers on a real daemon, with images from a real registry."""

from __future__ import annotations

import itertools
import urllib.request
from collections.abc import Iterator
from typing import Any

import docker
import pytest

from safeupdater.backends.docker import DockerBackend
from safeupdater.domain.artifact import ImageReference
from safeupdater.domain.health import Condition
from safeupdater.domain.operation import Phase, StepStatus
from safeupdater.testing.driving import Drive, StepStopped, operation_for
from testbed import images
from testbed.images import Kind
from testbed.processes import wait_until

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
        own = [container["Names"][0].lstrip("/") for container in listed]
        return {name for name in own if name.rstrip(".suoldnew").endswith(str(self.number))}


@pytest.fixture
def host(docker_host: str, registry: str) -> Iterator[Host]:
    client = docker.APIClient(base_url=docker_host, version="1.41")
    client.trust_env = False
    world = Host(client, registry)
    yield world
    for name in world.names():
        client.remove_container(name, force=True)
    client.close()


def body(address: tuple[str, int] | None, path: str) -> str:
    assert address is not None
    with urllib.request.urlopen(f"http://{address[0]}:{address[1]}{path}", timeout=5) as answer:
        return str(answer.read().decode())


def serves(drive: Drive, *, old: bool = False) -> str:
    """What the version under watch serves as its own reference, once it serves at all."""
    target = drive.backend.probe_target(drive.operation, old=old)
    address = target.address(8080)
    assert address is not None
    assert wait_until(lambda: _reachable(address), timeout_s=5)
    return body(address, "/version")


def _reachable(address: tuple[str, int]) -> bool:
    try:
        body(address, "/version")
    except OSError:
        return False
    return True


def test_a_good_release_replaces_the_old_one(host: Host) -> None:
    host.release("1.0.0")
    new = host.release("1.0.1")
    old_id = host.run("web", "1.0.0", host={"restart_policy": {"Name": "unless-stopped"}})
    drive = host.drive("web", new)

    assert host.backend.preflight(drive.operation).refusal is None
    drive.update()

    found = host.inspect("web")
    assert found["Id"] != old_id
    assert found["Config"]["Image"] == f"{host.repository}:1.0.1"
    assert found["HostConfig"]["RestartPolicy"]["Name"] == "unless-stopped"
    assert host.backend.observe(drive.operation).condition is Condition.READY
    assert serves(drive) == f"{host.repository}:1.0.1"
    assert host.names() == {host.name("web")}


def test_a_bad_release_goes_back_to_the_very_old_container(host: Host) -> None:
    host.release("1.0.0")
    new = host.release("1.0.1", Kind.CRASH)
    old_id = host.run("web", "1.0.0", host={"restart_policy": {"Name": "always"}})
    before = host.inspect("web")
    drive = host.drive("web", new)

    drive.switch()
    assert wait_until(
        lambda: host.backend.observe(drive.operation).condition is Condition.FAILED, timeout_s=10
    )
    drive.restore()

    after = host.inspect("web")
    assert after["Id"] == old_id
    assert after["State"]["Running"]
    for part in ("Config", "HostConfig", "Name", "Image"):
        assert after[part] == before[part], part
    assert host.names() == {host.name("web")}
    assert serves(drive, old=True) == f"{host.repository}:1.0.0"
    assert not host.client.images(f"{host.repository}:1.0.1")


def test_what_cannot_be_pulled_never_stops_the_old_version(host: Host) -> None:
    host.release("1.0.0")
    host.run("web", "1.0.0")
    before = host.inspect("web")
    drive = host.drive("web", ImageReference.parse(f"{host.repository}:9.9.9@sha256:{'0' * 64}"))
    drive.capture()

    with pytest.raises(StepStopped) as stopped:
        drive.perform(Phase.STAGING)

    assert stopped.value.outcome.status is StepStatus.REFUSED
    assert stopped.value.outcome.code == "image_gone"
    drive.perform(Phase.DISCARDING)
    assert host.inspect("web") == before
    assert host.names() == {host.name("web")}
