"""A release that cannot be measured any more is never committed, and is not blamed for it either."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import docker
import pytest

from safeupdater.backends.docker import DockerBackend
from safeupdater.config import Policy
from safeupdater.domain.asset import Asset
from safeupdater.domain.operation import Outcome
from safeupdater.update.executor import Progressed
from safeupdater.update.result import OperationResult
from safeupdater.update.updater import Updater
from testbed import images
from testbed.registry import Registry

NAME, NETWORK = "unmeasured", "unmeasured-net"
POLICY: dict[str, Any] = {
    "version": 1,
    "health": {
        "window": "1s", "interval": "0.25s", "ready_timeout": "10s", "check_timeout": "0.5s",
        "checks": [{"type": "http", "port": images.PORT, "path": "/health"}],
    },
    "rollback": {"cooldown": "0s"},
}  # fmt: skip


class Scene:
    """Release 1.0.0 runs on a network of its own, and 1.0.1, as good as it, is in the registry."""

    def __init__(self, client: docker.APIClient, registry: Registry) -> None:
        self.client = client
        self.old, self.new = (f"{registry.host}/{NAME}:1.0.{patch}" for patch in (0, 1))
        images.release(client, self.old, keep=True)
        images.release(client, self.new)
        client.create_network(NETWORK)
        host_config = client.create_host_config(network_mode=NETWORK)
        client.start(client.create_container(self.old, name=NAME, host_config=host_config)["Id"])
        self.before = client.inspect_container(NAME)
        self.updater = Updater(
            backends=[DockerBackend(client, host="test")], policy=Policy.from_dict(POLICY),
            progress=self._watch,
        )  # fmt: skip
        self.when_watched: Callable[[], None] | None = None

    def _watch(self, progress: Progressed) -> None:
        if progress.state == "watching" and self.when_watched is not None:
            happens, self.when_watched = self.when_watched, None
            happens()

    def asset(self) -> Asset:
        (asset,) = [asset for asset in self.updater.scan().assets if asset.name == NAME]
        return asset

    def apply(self) -> OperationResult:
        (result,) = self.updater.apply(self.updater.plan([self.asset()]))
        return result

    def lose_network(self) -> None:
        self.client.disconnect_container_from_network(NAME, NETWORK, force=True)


@pytest.fixture
def scene(docker_host: str) -> Iterator[Scene]:
    client = docker.APIClient(base_url=docker_host, version="1.41")
    client.trust_env = False
    with Registry() as registry:
        yield Scene(client, registry)
        client.remove_container(NAME, force=True, v=True)
        client.remove_network(NETWORK)
    client.close()


def test_a_release_that_no_probe_reaches_any_more_goes_back_and_may_be_tried_again(scene: Scene) -> None:
    scene.when_watched = scene.lose_network

    result = scene.apply()

    assert (result.outcome, result.code) == (Outcome.ROLLED_BACK, "no_data"), result
    assert result.tally.void > result.tally.valid, result.tally
    found = scene.client.inspect_container(NAME)
    assert (found["Id"], found["Config"]["Image"]) == (scene.before["Id"], scene.old)
    assert found["State"]["Running"]
    assert found["NetworkSettings"]["Networks"][NETWORK]["IPAddress"], "the old version is reached again"
    assert scene.updater.rollbacks.quarantined() == ()

    again = scene.apply()
    assert again.outcome is Outcome.SUCCEEDED, (again.code, again.message)
    assert scene.client.inspect_container(NAME)["Config"]["Image"] == scene.new


def test_the_second_time_without_data_is_the_last(scene: Scene) -> None:
    for _ in range(2):
        scene.when_watched = scene.lose_network
        assert (scene.apply().code, scene.when_watched) == ("no_data", None)

    (entry,) = scene.updater.rollbacks.quarantined()
    assert (entry.asset_id, entry.version) == (scene.asset().id, "1.0.1")
    assert scene.updater.plan([scene.asset()]).approved == ()
    assert scene.client.inspect_container(NAME)["Id"] == scene.before["Id"]
