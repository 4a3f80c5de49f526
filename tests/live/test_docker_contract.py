"""The backend contract on a real daemon and registry: the very suite that the daemon in memory passes."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator

import docker
import pytest

from safeupdater.backends.docker import DockerBackend
from safeupdater.domain.artifact import ImageReference
from safeupdater.protocols import Backend
from safeupdater.testing.backends import BackendContract, Thing
from testbed import images
from testbed.docker import Dockerd
from testbed.processes import Unavailable
from tests.support.docker_things import docker_thing

_TIMES = {"StartedAt", "FinishedAt", "Pid"}
_KEPT = ("0.9.0", "1.0.0")


class Ground:
    """A daemon with two releases on it and a third in the registry; cleared, it is as it was at first.

    ``newest`` is the digest of the third; without it, this daemon pushes all of them.
    """

    def __init__(self, daemon: Dockerd, app: str, newest: str = "") -> None:
        self.client = docker.APIClient(base_url=daemon.host, version="1.41")
        self.client.trust_env = False
        self.app = app
        for tag in _KEPT:
            if newest:
                self.client.pull(app, tag)
            else:
                images.release(self.client, f"{app}:{tag}", keep=True)
        self.newest = newest or images.release(self.client, f"{app}:1.0.1")
        self._first = self._tags()

    def clear(self) -> None:
        for container in self.client.containers(all=True):
            self.client.remove_container(container["Id"], force=True, v=True)
        for image in self.client.images():
            ours = set(image["RepoTags"] or ()) & set(self._first)
            for name in (set(image["RepoTags"]) - ours) if ours else {image["Id"]}:
                self.client.remove_image(name, force=True)
        assert self._tags() == self._first, "an update took what was not its own"

    def _tags(self) -> dict[str, str]:
        return {tag: image["Id"] for image in self.client.images() for tag in image["RepoTags"] or ()}


class RealStage:
    """One container of a daemon that has nothing else on it."""

    def __init__(self, ground: Ground) -> None:
        self._client, self._app = ground.client, ground.app
        ground.clear()
        self.new = ImageReference.parse(f"{self._app}:1.0.1").with_digest(ground.newest)
        self._run("1.0.0", "prod")
        self.backend: Backend = DockerBackend(self._client, host="test", own_container=None)

    def state(self) -> object:
        found = [self._client.inspect_container(listed["Id"]) for listed in self._client.containers(all=True)]
        for container in found:
            container["State"] = {k: v for k, v in container["State"].items() if k not in _TIMES}
        names = [
            (image["Id"], sorted(image["RepoTags"] or ()), sorted(image["RepoDigests"] or ()))
            for image in self._client.images()
        ]
        volumes = [volume["Name"] for volume in self._client.volumes()["Volumes"] or ()]
        return sorted(found, key=lambda each: str(each["Id"])), sorted(names), sorted(volumes)

    def things(self) -> list[Thing]:
        listed = self._client.containers(all=True)
        return [docker_thing(self._client.inspect_container(each["Id"])) for each in listed]

    def somebody_removes(self) -> None:
        self._client.remove_container("web", force=True)

    def somebody_replaces(self) -> None:
        self.somebody_removes()
        self._run("0.9.0", "mine")

    def somebody_edits(self) -> None:
        self.somebody_removes()
        self._run("1.0.0", "edited")

    def power_fails(self) -> None:
        self._client.kill("web")

    def _run(self, tag: str, mode: str) -> None:
        made = self._client.create_container(
            f"{self._app}:{tag}",
            name="web",
            environment={"MODE": mode},
            labels={"tier": "web"},
            host_config=self._client.create_host_config(restart_policy={"Name": "always"}),
        )
        self._client.start(made["Id"])


@pytest.fixture(scope="module")
def grounds(registry: str) -> Iterator[Iterator[Ground]]:
    """Two daemons in turns: some promises compare two stages."""
    with contextlib.ExitStack() as stack:
        try:
            daemons = [stack.enter_context(Dockerd()) for _ in range(2)]
        except Unavailable as reason:
            pytest.skip(str(reason))
        first = Ground(daemons[0], f"{registry}/contract")
        yield itertools.cycle([first, Ground(daemons[1], first.app, first.newest)])


class TestDockerBackendOnARealDaemon(BackendContract):
    @pytest.fixture(autouse=True)
    def _on_grounds(self, grounds: Iterator[Ground]) -> None:
        self._grounds = grounds

    def make_stage(self) -> RealStage:
        return RealStage(next(self._grounds))
