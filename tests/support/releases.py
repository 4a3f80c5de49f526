"""What the tests that end processes and daemons update, and from where: a container, and a registry with one
release of each kind."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import docker

from testbed import images
from testbed.docker import Dockerd
from testbed.images import Kind
from testbed.processes import wait_until
from testbed.registry import Registry

OLD, NEW = "1.0.0", "1.0.1"


def connect(daemon: Dockerd) -> docker.APIClient:
    """A client of a daemon of the testbed's."""
    client = docker.APIClient(base_url=daemon.host, version="1.41")
    client.trust_env = False
    return client


@contextlib.contextmanager
def released(daemon: Dockerd) -> Iterator[str]:
    """A registry with a good release, a crashing one, and one whose layers are gone: ``host:port``."""
    with Registry() as server:
        with contextlib.closing(connect(daemon)) as client:
            for name, kind in {"good": Kind.GOOD, "crash": Kind.CRASH, "gone": Kind.GOOD}.items():
                images.release(client, f"{server.host}/{name}:{OLD}", keep=True)
                digest = images.release(client, f"{server.host}/{name}:{NEW}", kind)
                if name == "gone":
                    server.delete_layers(name, digest)
        yield server.host


class OneContainer:
    """A daemon with one container, ``web``, of the old release; it keeps data in a nameless volume."""

    def __init__(self, daemon: Dockerd, repository: str) -> None:
        self.daemon, self.repository = daemon, repository
        self.client = connect(daemon)
        for container in self.client.containers(all=True):
            self.client.remove_container(container["Id"], force=True, v=True)
        for left in ("safeupdater/keep", f"{repository}:{NEW}"):
            for image in self.client.images(left):
                self.client.remove_image(image["Id"], force=True)
        if not self.client.images(f"{repository}:{OLD}"):
            self.client.pull(f"{repository}:{OLD}")
        host_config = self.client.create_host_config(restart_policy={"Name": "always"})
        made = self.client.create_container(
            f"{repository}:{OLD}", name="web", volumes=["/kept"], host_config=host_config
        )
        self.client.start(made["Id"])
        self.before = self.client.inspect_container("web")

    def check(self, version: str) -> None:
        """That version runs under the name, alone, with its volume and its policy, and nothing is left."""
        assert wait_until(self._runs, timeout_s=15), "nothing runs"
        found = self.client.inspect_container("web")
        assert found["Config"]["Image"] == f"{self.repository}:{version}"
        assert (found["Id"] == self.before["Id"]) is (version == OLD)
        assert len(self.client.containers(all=True)) == 1, "leftovers"
        assert found["HostConfig"]["RestartPolicy"]["Name"] == "always"
        assert found["Mounts"][0]["Name"] == self.before["Mounts"][0]["Name"]
        if version == OLD:
            assert not self.client.images("safeupdater/keep"), "the old image is kept for nothing"

    def _runs(self) -> bool:
        try:
            return bool(self.client.inspect_container("web")["State"]["Running"])
        except docker.errors.NotFound:
            return False
