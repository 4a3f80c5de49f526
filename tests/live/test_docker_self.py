"""safeupdater in a container on the host that it updates: never itself, nor what it stands on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import docker
import pytest

from safeupdater.backends.docker import DockerBackend
from safeupdater.backends.docker.client import connect
from safeupdater.config import Policy
from safeupdater.domain.operation import Outcome
from safeupdater.protocols import StateStore
from safeupdater.stores.sql import SqlStore
from safeupdater.update.result import OperationResult
from safeupdater.update.updater import Updater
from testbed import contained, images
from testbed.docker import Dockerd
from testbed.postgres import Postgres
from testbed.processes import LOOPBACK, answers_tcp, free_port, wait_until

POLICY = {"version": 1, "health": {"window": "0.6s", "interval": "0.2s", "ready_timeout": "10s"}}
PROXY_PORT = 2375


class Scene:
    """A daemon, emptied, with release 1.0.0 of one application in use and 1.0.1 in the registry."""

    def __init__(self, daemon: Dockerd, repository: str) -> None:
        self.daemon = daemon
        self.client = docker.APIClient(base_url=daemon.host, version="1.41")
        self.client.trust_env = False
        for container in self.client.containers(all=True):
            self.client.remove_container(container["Id"], force=True, v=True)
        self.old, self.new = f"{repository}:1.0.0", f"{repository}:1.0.1"
        images.release(self.client, self.old, keep=True)
        images.release(self.client, self.new)

    def run(self, name: str, **host: Any) -> None:
        host_config = self.client.create_host_config(**host)
        self.client.start(self.client.create_container(self.old, name=name, host_config=host_config)["Id"])

    def contained(self, name: str, *argv: str, **host: Any) -> str:
        identity = contained.create(
            self.client, self.old, name, argv, socket=self.daemon.socket, **host
        )  # fmt: skip
        self.client.start(identity)
        return identity

    def image(self, name: str) -> str:
        return str(self.client.inspect_container(name)["Config"]["Image"])

    def identity(self, name: str) -> str:
        return str(self.client.inspect_container(name)["Id"])


@pytest.fixture(scope="module")
def daemon() -> Iterator[Dockerd]:
    with Dockerd() as running:
        yield running


@pytest.fixture
def scene(daemon: Dockerd, registry: str, request: pytest.FixtureRequest) -> Scene:
    return Scene(daemon, f"{registry}/self{abs(hash(request.node.name))}")


@pytest.mark.parametrize("groups", ["host", "private"])
def test_an_updater_in_a_container_updates_others_but_not_itself_nor_the_network_it_is_in(
    scene: Scene, groups: str
) -> None:
    scene.run("web")
    # The host's network, because the registry is on its loopback.
    scene.run("vpn", network_mode="host")
    me = scene.contained(
        "me", "-m", "testbed.killed_updater", "apply", f"unix://{contained.SOCKET}", "memory:",
        network_mode="container:vpn", cgroupns=groups,
    )  # fmt: skip
    vpn = scene.identity("vpn")

    code = scene.client.wait(me, timeout=120)["StatusCode"]

    said = scene.client.logs(me).decode()
    assert code == 0, said
    results = {target.rpartition("/")[2]: rest for target, *rest in json.loads(said)}
    assert results["me"][:2] == ["aborted", "self"]
    assert results["vpn"][:2] == ["aborted", "self"]
    # With control groups of its own, it looks from the inside as if it were the owner of its network.
    me_and_vpn = ("runs safeupdater itself", "the container that runs safeupdater")
    if groups == "private":
        me_and_vpn = ("may be what runs it", "runs safeupdater itself")
    for name, words in zip(("me", "vpn"), me_and_vpn, strict=True):
        assert words in results[name][2]
    assert results["web"][0] == "succeeded"
    assert (scene.identity("me"), scene.identity("vpn")) == (me, vpn)
    assert scene.image("web") == scene.new


@pytest.mark.parametrize("way", ["published port", "its address", "the host's network"])
def test_the_socket_proxy_that_carries_us_is_not_updated_through_itself(scene: Scene, way: str) -> None:
    port = PROXY_PORT if way == "its address" else free_port()
    host: dict[str, Any] = {}
    if way == "published port":
        host = {"port_bindings": {PROXY_PORT: (LOOPBACK, port)}, "ports": [PROXY_PORT]}
    elif way == "the host's network":
        host = {"network_mode": "host"}
    inside = port if way == "the host's network" else PROXY_PORT
    proxy = scene.contained("proxy", "-m", "testbed.socket_proxy", str(inside), **host)
    scene.run("web")
    address = scene.client.inspect_container(proxy)["NetworkSettings"]["IPAddress"] or LOOPBACK
    where = address if way == "its address" else LOOPBACK
    assert wait_until(lambda: answers_tcp(port, where), timeout_s=20), scene.client.logs(proxy).decode()

    results = update_through(f"tcp://{where}:{port}")

    assert (results["proxy"].outcome, results["proxy"].code) == (Outcome.ABORTED, "self")
    assert "how safeupdater reaches the Docker daemon" in results["proxy"].message
    assert results["web"].outcome is Outcome.SUCCEEDED
    assert scene.identity("proxy") == proxy
    assert scene.image("web") == scene.new


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    with Postgres() as server:
        yield server


@pytest.mark.parametrize("way", ["published port", "its address", "the host's network"])
def test_what_our_own_database_is_reached_through_is_not_updated(
    scene: Scene, postgres: Postgres, way: str
) -> None:
    inside = free_port()
    port, host = inside, dict[str, Any]()
    if way == "published port":
        port = free_port()
        host = {"port_bindings": {inside: (LOOPBACK, port)}}
    elif way == "the host's network":
        host = {"network_mode": "host"}
    # It copies to what is mounted in place of the daemon's socket: here, that of PostgreSQL.
    argv = ("-m", "testbed.socket_proxy", str(inside))
    door = contained.create(
        scene.client, scene.old, "db", argv, socket=postgres.socket, ports=[inside], **host
    )  # fmt: skip
    scene.client.start(door)
    scene.run("web")
    where = scene.client.inspect_container(door)["NetworkSettings"]["IPAddress"] or LOOPBACK
    where = where if way == "its address" else LOOPBACK
    assert wait_until(lambda: answers_tcp(port, where), timeout_s=20), scene.client.logs(door).decode()
    url = postgres.url.replace(f"{LOOPBACK}:{postgres.port}", f"{where}:{port}")

    with SqlStore(url, allow_plain_snapshots=True) as store:
        assert store.server_endpoint() == (where, port)
        results = update_through(scene.daemon.host, store)

    assert (results["db"].outcome, results["db"].code) == (Outcome.ABORTED, "self")
    assert "its own database" in results["db"].message
    assert results["web"].outcome is Outcome.SUCCEEDED
    assert scene.identity("db") == door
    assert scene.image("web") == scene.new


def test_a_database_over_a_unix_socket_has_no_endpoint(postgres: Postgres) -> None:
    where = f"?host={postgres.socket.parent}&port={postgres.port}"
    with SqlStore(f"postgresql://safeupdater@/safeupdater{where}") as store:
        assert store.server_endpoint() is None


def update_through(url: str, store: StateStore | None = None) -> dict[str, OperationResult]:
    """Updates everything on a daemon; gives the results by the containers' names."""
    backend = DockerBackend(connect(url), host="test")
    with Updater(backends=[backend], policy=Policy.from_dict(POLICY), store=store) as updater:
        updater.scan()
        return {result.target_id.rpartition("/")[2]: result for result in updater.apply()}
