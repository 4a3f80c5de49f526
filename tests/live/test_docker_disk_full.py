"""A host whose disk is full: nothing is touched, and it is said so; with room again, the update goes through.

The daemon has a small disk of its own; releases are built and pushed by another one.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import docker
import pytest

from safeupdater.backends.docker import DockerBackend
from safeupdater.config import Policy
from safeupdater.domain.operation import Outcome
from safeupdater.update.updater import Updater
from testbed import images
from testbed.docker import Dockerd
from testbed.registry import Registry

DISK_MIB, LARGE_MIB = 48, 12  # which are some 7 on their way
POLICY = {"version": 1, "health": {"window": "0.6s", "interval": "0.2s", "ready_timeout": "20s"}}


def connect(url: str) -> docker.APIClient:
    client = docker.APIClient(base_url=url, version="1.41")
    client.trust_env = False
    return client


class Scene:
    """Release 1.0.0 runs on the small host; 1.0.1, which is large, is in the registry."""

    def __init__(self, daemon: Dockerd, builder: docker.APIClient, registry: str) -> None:
        self.daemon, self.client = daemon, connect(daemon.host)
        self.old, self.new = (f"{registry}/large:1.0.{patch}" for patch in (0, 1))
        images.release(builder, self.old)
        # Of no pattern, or it would be small on its way.
        images.release(builder, self.new, files={"large": secrets.token_hex(LARGE_MIB << 19)})
        self.client.pull(self.old)
        made = self.client.create_container(self.old, name="web", volumes=["/kept"])
        self.client.start(made["Id"])
        self.before = self.client.inspect_container("web")
        self.updater = Updater(
            backends=[DockerBackend(self.client, host="test")], policy=Policy.from_dict(POLICY)
        )
        self.updater.scan()

    @property
    def filler(self) -> Path:
        return self.daemon.data / "filler"

    def fill(self, *, leave_mib: int) -> None:
        """Takes the room of the disk but for so much."""
        free = os.statvfs(self.daemon.data)
        size = free.f_bavail * free.f_frsize - (leave_mib << 20)
        with self.filler.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, size)


@pytest.fixture
def scene(docker_host: str) -> Iterator[Scene]:
    with (
        Registry() as registry,
        Dockerd(disk_mib=DISK_MIB) as daemon,
        closing(connect(docker_host)) as builder,
    ):
        yield Scene(daemon, builder, registry.host)


@pytest.mark.parametrize("leave_mib", [0, 4, 12], ids=["at once", "while it downloads", "while it unpacks"])
def test_a_pull_that_finds_the_disk_full_leaves_the_old_version_untouched(
    scene: Scene, leave_mib: int
) -> None:
    scene.fill(leave_mib=leave_mib)

    (result,) = scene.updater.apply()

    assert (result.outcome, result.code) == (Outcome.ABORTED, "disk_full"), result
    assert "disk" in result.message
    found = scene.client.inspect_container("web")
    assert (found["Id"], found["State"]) == (scene.before["Id"], scene.before["State"])
    assert len(scene.client.containers(all=True)) == 1
    assert not scene.client.images("safeupdater/keep"), "the old image is kept for nothing"
    assert scene.updater.rollbacks.quarantined() == ()

    scene.filler.unlink()
    (result,) = scene.updater.apply()
    assert result.outcome is Outcome.SUCCEEDED, result
    assert scene.client.inspect_container("web")["Config"]["Image"] == scene.new
