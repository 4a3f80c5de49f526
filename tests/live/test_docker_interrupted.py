"""An updater that stops at every named step, and a real daemon that restarts or crashes there."""

from __future__ import annotations

from collections.abc import Iterator

import docker
import pytest

from safeupdater.backends.docker import DockerBackend
from safeupdater.backends.docker.backend import STEPS
from safeupdater.domain.artifact import ImageReference
from safeupdater.domain.health import Condition
from safeupdater.domain.operation import Phase
from safeupdater.testing.driving import Drive, operation_for
from testbed import images
from testbed.docker import Dockerd
from testbed.processes import wait_until

REPOSITORY_NAME = "interrupted"
STAGED = [(Phase.STAGING, step) for step in STEPS.staging]
SWITCHED = [(Phase.SWITCHING, step) for step in STEPS.switching]
COMMITTED = [(Phase.COMMITTING, step) for step in STEPS.committing]
RESTORED = [(Phase.RESTORING, step) for step in STEPS.restoring]


@pytest.fixture(scope="module")
def daemon() -> Iterator[Dockerd]:
    """A daemon of our own: it is restarted over and over."""
    with Dockerd() as running:
        yield running


@pytest.fixture(scope="module")
def release(daemon: Dockerd, registry: str) -> ImageReference:
    client = connect(daemon)
    images.release(client, f"{registry}/{REPOSITORY_NAME}:1", keep=True)
    digest = images.release(client, f"{registry}/{REPOSITORY_NAME}:2")
    # A built image gets its digest by the push, so the old one counts as pulled too.
    return ImageReference.parse(f"{registry}/{REPOSITORY_NAME}:2@{digest}")


def connect(daemon: Dockerd) -> docker.APIClient:
    client = docker.APIClient(base_url=daemon.host, version="1.41")
    client.trust_env = False
    return client


class Scene:
    """A container with data in a nameless volume, which daemon restarts must not lose either."""

    def __init__(self, daemon: Dockerd, release: ImageReference) -> None:
        self.daemon = daemon
        self.client = connect(daemon)
        for container in self.client.containers(all=True):
            self.client.remove_container(container["Id"], force=True, v=True)
        old = release.with_digest(None).with_tag("1")
        host_config = self.client.create_host_config(restart_policy={"Name": "always"})
        made = self.client.create_container(str(old), name="web", volumes=["/kept"], host_config=host_config)
        self.client.start(made["Id"])
        self.old = self.client.inspect_container("web")
        asset = next(asset for asset in self.fresh().scan().assets if asset.name == "web")
        self.drive = Drive(self.fresh(), operation_for(asset, release))
        self.drive.capture()

    def fresh(self) -> DockerBackend:
        return DockerBackend(connect(self.daemon), host="test")

    def reach(self, steps: list[tuple[Phase, str]], last: str) -> None:
        """Performs the steps up to and with one of them."""
        for phase, step in steps:
            self.drive.step(phase, step)
            if step == last:
                return

    def recover(self, phase: Phase) -> None:
        """Another process takes up: it knows the operation and nothing else."""
        self.drive = Drive(self.fresh(), self.drive.operation)
        self.drive.perform(phase)

    def check(self, *, is_new: bool) -> None:
        """Exactly one of the two runs, under the name, with the volume, and comes back by itself."""
        assert wait_until(lambda: self._runs("web"), timeout_s=10)
        found = self.client.inspect_container("web")
        assert (found["Id"] != self.old["Id"]) is is_new
        assert len(self.client.containers(all=True)) == 1
        assert found["HostConfig"]["RestartPolicy"]["Name"] == "always"
        assert found["Mounts"][0]["Name"] == self.old["Mounts"][0]["Name"]
        if is_new:
            assert self.drive.backend.observe(self.drive.operation).condition is Condition.READY

    def _runs(self, name: str) -> bool:
        return bool(self.client.inspect_container(name)["State"]["Running"])


DISTURBANCES = ["killed", "daemon restarts", "daemon crashes"]


def disturb(daemon: Dockerd, how: str) -> None:
    """The updater is gone in any case; the daemon may go with it."""
    if how == "daemon restarts":
        daemon.restart()
    elif how == "daemon crashes":
        daemon.kill()
        daemon.start()


@pytest.mark.parametrize("how", DISTURBANCES)
@pytest.mark.parametrize("step", STEPS.staging)
def test_interrupted_while_staging_the_old_version_goes_on(
    daemon: Dockerd, release: ImageReference, step: str, how: str
) -> None:
    scene = Scene(daemon, release)
    scene.reach(STAGED, step)
    disturb(daemon, how)
    scene.recover(Phase.DISCARDING)
    scene.check(is_new=False)


@pytest.mark.parametrize("how", DISTURBANCES)
@pytest.mark.parametrize("step", STEPS.switching)
def test_interrupted_while_switching_the_old_version_comes_back(
    daemon: Dockerd, release: ImageReference, step: str, how: str
) -> None:
    scene = Scene(daemon, release)
    scene.drive.perform(Phase.STAGING)
    scene.reach(SWITCHED, step)
    disturb(daemon, how)
    scene.recover(Phase.RESTORING)
    scene.check(is_new=False)


@pytest.mark.parametrize("how", DISTURBANCES)
@pytest.mark.parametrize("step", STEPS.restoring)
def test_interrupted_while_restoring_the_old_version_comes_back(
    daemon: Dockerd, release: ImageReference, step: str, how: str
) -> None:
    scene = Scene(daemon, release)
    scene.drive.switch()
    scene.reach(RESTORED, step)
    disturb(daemon, how)
    scene.recover(Phase.RESTORING)
    scene.check(is_new=False)


@pytest.mark.parametrize("how", DISTURBANCES)
@pytest.mark.parametrize("last", ["give_policy", "remove_old"])
def test_interrupted_once_it_is_decided_the_new_version_stays(
    daemon: Dockerd, release: ImageReference, last: str, how: str
) -> None:
    scene = Scene(daemon, release)
    scene.drive.perform(Phase.STAGING)
    scene.reach(SWITCHED + COMMITTED, last)
    disturb(daemon, how)
    scene.recover(Phase.COMMITTING)
    scene.check(is_new=True)
