"""Named incidents of other updaters that concern Docker, each with a live test, here or elsewhere.

- a pull fails after the old container was stopped: here, and in ``test_docker_update.py``
- a tag moves between plan and apply: here
- a release eats its memory and is killed: here
- a nameless volume is lost: here over a whole update, and with data in ``test_docker_update.py``
- the daemon restarts between stop and rename: ``test_docker_interrupted.py`` and ``test_docker_kills.py``
- an ``--rm`` container: ``test_docker_relations.py``
- containers that share its network or volumes, or link to it: ``test_docker_relations.py``
- two that update or recover at once: ``test_docker_two_updaters.py``
- the API floor rises by a daemon upgrade mid-life: ``test_docker_api_floor.py``
- two recover the same at once, or by a list from before: ``test_docker_left_alone.py``
- an update is aborted twice, or once it is decided: ``test_docker_left_alone.py``; while it is held, and in
  every other state: ``test_rollback_recovery.py``
- somebody else runs another version under the name meanwhile: ``test_docker_left_alone.py``
- traffic stops during the watch, and the window ends without a verdict: ``test_docker_no_data.py``
- the store goes away during recovery: ``test_engine_postgres.py``
- the host's disk is full: ``test_docker_disk_full.py``
- what swarm, Kubernetes or compose run manages, and what is stopped: ``test_docker_left_alone.py``
- our own container, what it stands on, its socket proxy: ``test_docker_self.py``
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import docker
import pytest

from safeupdater.backends.docker import DockerBackend
from safeupdater.config import Policy
from safeupdater.domain.operation import Outcome
from safeupdater.domain.plan import Plan
from safeupdater.update.updater import Updater
from testbed import images
from testbed.images import Kind
from testbed.registry import Registry

NAME = "incident"
POLICY = {"version": 1, "health": {"window": "0.6s", "interval": "0.2s", "ready_timeout": "10s"}}


class Scene:
    """A container of release 1.0.0 with data in a nameless volume, and a plan for 1.0.1."""

    def __init__(self, client: docker.APIClient, registry: Registry, repository: str) -> None:
        self.client, self.registry, self.name = client, registry, repository
        self.repository = f"{registry.host}/{repository}"
        images.release(client, f"{self.repository}:1.0.0", keep=True)
        made = client.create_container(f"{self.repository}:1.0.0", name=NAME, volumes=["/kept"])
        client.start(made["Id"])
        self.before = client.inspect_container(NAME)
        self.decided = images.release(client, f"{self.repository}:1.0.1")
        self.updater = Updater(backends=[DockerBackend(client, host="test")], policy=Policy.from_dict(POLICY))

    def plan(self) -> Plan:
        assets = [asset for asset in self.updater.scan().assets if asset.name == NAME]
        return self.updater.plan(assets)

    def environment(self) -> str:
        """The environment of what runs."""
        execution = self.client.exec_create(NAME, ["/bin/busybox", "env"])
        return str(self.client.exec_start(execution["Id"]).decode())


@pytest.fixture
def scene(docker_host: str, request: pytest.FixtureRequest) -> Iterator[Scene]:
    client = docker.APIClient(base_url=docker_host, version="1.41")
    client.trust_env = False
    with Registry() as registry:
        yield Scene(client, registry, "app")
        client.remove_container(NAME, force=True, v=True)
    client.close()


def test_a_tag_that_moves_between_plan_and_apply_changes_nothing_that_was_decided(scene: Scene) -> None:
    plan = scene.plan()
    moved = images.release(scene.client, f"{scene.repository}:1.0.1", Kind.CRASH, changes=("ENV MOVED=1",))
    assert moved != scene.decided

    (result,) = scene.updater.apply(plan)

    found = scene.client.inspect_container(NAME)
    assert found["State"]["Running"]
    assert "MOVED" not in scene.environment()
    if result.outcome is Outcome.SUCCEEDED:
        digests = scene.client.inspect_image(found["Image"])["RepoDigests"]
        assert digests == [f"{scene.repository}@{scene.decided}"]
    else:
        assert result.outcome in (Outcome.REFUSED, Outcome.ABORTED)
        assert found["Id"] == scene.before["Id"]


def test_an_image_whose_pull_breaks_off_leaves_the_old_version_untouched(scene: Scene) -> None:
    plan = scene.plan()
    scene.registry.delete_layers(scene.name, scene.decided)

    (result,) = scene.updater.apply(plan)

    assert (result.outcome, result.code) == (Outcome.ABORTED, "image_gone")
    found = scene.client.inspect_container(NAME)
    assert (found["Id"], found["State"]) == (scene.before["Id"], scene.before["State"])
    assert not scene.client.images(f"safeupdater/keep:{result.operation_id}")


def test_a_nameless_volume_is_there_after_a_whole_update(scene: Scene) -> None:
    (result,) = scene.updater.apply(scene.plan())

    assert result.outcome is Outcome.SUCCEEDED
    (mount,) = scene.client.inspect_container(NAME)["Mounts"]
    assert mount["Name"] == scene.before["Mounts"][0]["Name"]


@pytest.mark.parametrize("how", ["its process", "a child of it"])
def test_a_release_that_the_kernel_kills_for_its_memory_goes_back_and_says_so(
    docker_host: str, how: str
) -> None:
    eat = "/bin/busybox tail /dev/zero"
    command = {
        "its process": ["/bin/sh", "-c", f"exec {eat}"],
        "a child of it": ["/bin/sh", "-c", f"{eat}; exit 1"],
    }
    client = docker.APIClient(base_url=docker_host, version="1.41")
    client.trust_env = False
    with Registry() as registry:
        old, new = (f"{registry.host}/hungry:1.0.{patch}" for patch in (0, 1))
        images.release(client, old, keep=True)
        limits = client.create_host_config(mem_limit=16 * 2**20, memswap_limit=16 * 2**20)
        client.start(client.create_container(old, name=NAME, host_config=limits)["Id"])
        images.release(client, new, changes=[f"CMD {json.dumps(command[how])}"])
        before = client.inspect_container(NAME)
        updater = Updater(backends=[DockerBackend(client, host="test")], policy=Policy.from_dict(POLICY))
        try:
            (asset,) = [asset for asset in updater.scan().assets if asset.name == NAME]
            (result,) = updater.apply(updater.plan([asset]))
            found = client.inspect_container(NAME)
        finally:
            client.remove_container(NAME, force=True, v=True)
    assert (result.outcome, result.code) == (Outcome.ROLLED_BACK, "oom_killed"), result
    assert "memory" in result.message
    assert (found["Id"], found["Config"]["Image"]) == (before["Id"], old)
    assert found["State"]["Running"]
    assert found["HostConfig"]["Memory"] == 16 * 2**20
