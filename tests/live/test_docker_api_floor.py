"""A daemon upgrade in the middle of our life raises the API floor: the next call negotiates anew.

Where nothing can be negotiated there is one sentence that says so, and everything stays as it is until a
newer safeupdater comes, which finishes what was under way.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import docker
import pytest

from safeupdater.backends.docker import DockerBackend
from safeupdater.backends.docker.client import connect
from safeupdater.config import Policy
from safeupdater.domain.operation import Outcome, Resolution
from safeupdater.errors import DockerConnectionError
from safeupdater.stores import open_store
from safeupdater.stores.clock import SystemClock
from safeupdater.update.updater import Updater
from testbed import images
from testbed.docker import Dockerd
from testbed.upgraded_daemon import UpgradedDaemon

NAME = "floor"
POLICY = {"version": 1, "health": {"window": "0.6s", "interval": "0.2s", "ready_timeout": "10s"}}
REACHABLE, UNREACHABLE = ("1.44", "1.54"), ("1.90", "1.99")
CALLS = [
    r"GET /containers/json", r"POST /images/create", r"POST /containers/create", r"POST /containers/\w+/stop",
    r"POST /containers/\w+/start", r"DELETE /containers",
]  # fmt: skip
SWITCHING = [r"POST /containers/\w+/rename", r"POST /containers/\w+/start"]


class Scene:
    """A container of release 1.0.0 behind a daemon that can be upgraded, and release 1.0.1 to update to."""

    def __init__(self, direct: docker.APIClient, front: UpgradedDaemon, repository: str, store: str) -> None:
        self.direct, self.front, self.store = direct, front, store
        self.old, self.new = f"{repository}:1.0.0", f"{repository}:1.0.1"
        images.release(direct, self.old, keep=True)
        direct.start(direct.create_container(self.old, name=NAME)["Id"])
        images.release(direct, self.new)

    def updater(self) -> Updater:
        """One process that runs on while the daemon is upgraded."""
        clock = SystemClock()
        return Updater(
            backends=[DockerBackend(connect(self.front.host), host="test")],
            policy=Policy.from_dict(POLICY), clock=clock, store=open_store(self.store, clock),
        )  # fmt: skip

    def inspect(self) -> dict[str, Any]:
        return dict(self.direct.inspect_container(NAME))

    def names(self) -> list[str]:
        return [container["Names"][0] for container in self.direct.containers(all=True)]


@pytest.fixture(scope="module")
def server() -> Iterator[Dockerd]:
    with Dockerd() as running:
        yield running


@pytest.fixture
def scene(
    server: Dockerd, registry: str, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Scene]:
    client = docker.APIClient(base_url=server.host, version="1.41")
    client.trust_env = False
    store = tmp_path_factory.mktemp("floor") / "state.db"
    with UpgradedDaemon(server.socket) as front:
        yield Scene(client, front, f"{registry}/floor{abs(hash(request.node.name))}", f"sqlite:///{store}")
    for container in client.containers(all=True):
        client.remove_container(container["Id"], force=True, v=True)
    client.close()


def test_the_round_after_an_upgrade_speaks_the_newer_version(scene: Scene) -> None:
    with scene.updater() as updater:
        assert len(updater.scan().assets) == 1
        scene.front.upgrade(*REACHABLE)
        assert len(updater.scan().assets) == 1
        (result,) = updater.apply()
    assert result.outcome is Outcome.SUCCEEDED
    assert scene.inspect()["Config"]["Image"] == scene.new
    refused = [call for call in scene.front.calls if call.startswith("v1.41 ")]
    assert len(refused) == 1
    assert scene.front.calls[2].startswith("v1.51 ")


@pytest.mark.parametrize("call", CALLS)
def test_an_upgrade_at_any_call_of_an_update_does_not_disturb_it(scene: Scene, call: str) -> None:
    with scene.updater() as updater:
        updater.scan()
        scene.front.upgrade(*REACHABLE, before=call)
        (result,) = updater.apply()
    assert scene.front.calls, "the upgrade never came"
    assert result.outcome is Outcome.SUCCEEDED, result
    assert scene.inspect()["Config"]["Image"] == scene.new
    assert scene.names() == [f"/{NAME}"]


def test_a_floor_above_all_that_we_speak_is_one_sentence_and_changes_nothing(scene: Scene) -> None:
    before = scene.inspect()
    with scene.updater() as updater:
        updater.scan()
        plan = updater.plan()
        scene.front.upgrade(*UNREACHABLE)
        for _ in range(3):
            with pytest.raises(DockerConnectionError) as caught:
                updater.backends[0].scan()
            assert caught.value.code == "api_version"
            assert not caught.value.transient
            assert "upgrade safeupdater" in str(caught.value)
            assert "\n" not in str(caught.value)
        asked = len(scene.front.calls)
        (result,) = updater.apply(plan)
    assert asked <= 7, "each round asks for the version once"
    assert (result.outcome, result.code) == (Outcome.ABORTED, "api_version")
    assert len(scene.front.calls) - asked < 10, scene.front.calls
    assert scene.inspect() == before
    assert scene.names() == [f"/{NAME}"]


@pytest.mark.parametrize("call", SWITCHING)
def test_a_floor_that_rises_out_of_reach_half_way_is_a_persons_turn_and_a_newer_release_restores(
    scene: Scene, call: str
) -> None:
    with scene.updater() as updater:
        updater.scan()
        scene.front.upgrade(*UNREACHABLE, before=call)
        (stuck,) = updater.apply()
    assert (stuck.outcome, stuck.code) == (Outcome.ROLLBACK_FAILED, "api_version")
    assert "upgrade safeupdater" in stuck.message
    assert len(scene.front.calls) < 20, "no loop"

    scene.front.upgrade(*REACHABLE)
    with scene.updater() as updater:
        result = updater.resolve(stuck.target_id, Resolution.RESTORE, by="me")
    found = scene.inspect()
    assert result.outcome is Outcome.ROLLED_BACK
    assert found["State"]["Running"]
    assert found["Config"]["Image"] == scene.old
    assert scene.names() == [f"/{NAME}"]
