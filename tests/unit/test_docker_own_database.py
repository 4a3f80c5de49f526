"""The container that the store, or the daemon, is reached at is never updated; every other one is."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import attrs
import docker
import pytest
from sqlalchemy import make_url

from safeupdater.backends.docker import DockerBackend
from safeupdater.config.policy import Policy
from safeupdater.domain.artifact import ImageReference
from safeupdater.domain.operation import Outcome
from safeupdater.registries.static import StaticTags
from safeupdater.stores.jsonfile import JsonFileStore
from safeupdater.stores.sql import SqlStore
from safeupdater.stores.sqlsession import server_endpoint
from safeupdater.testing.clock import FakeClock
from safeupdater.testing.driving import operation_for
from safeupdater.testing.fake_docker import FakeDocker
from safeupdater.testing.fake_docker_http import FakeTransport
from safeupdater.update.updater import Updater

APP = "registry.test/app"
HERE, ELSEWHERE = "127.0.0.1", "192.0.2.7"
HOST = {"NetworkMode": "host"}


def near(daemon: FakeDocker) -> docker.APIClient:
    """The daemon over its socket."""
    transport: Any = FakeTransport(daemon)
    transport.socket_path = "/var/run/docker.sock"
    client = docker.APIClient(base_url="tcp://daemon:1", version="1.41")
    client.base_url = "http+docker://unix"
    client.mount("http+docker://", transport)
    return client


def at(url: str) -> Callable[[FakeDocker], docker.APIClient]:
    """The daemon over TCP."""

    def connect(daemon: FakeDocker) -> docker.APIClient:
        client = docker.APIClient(base_url=url, version="1.41")
        client.mount("http://", FakeTransport(daemon))
        return client

    return connect


@attrs.define
class Scene:
    """A daemon with containers on 1.0.0, and what a preflight of an update to 1.0.1 says."""

    connect: Callable[[FakeDocker], docker.APIClient] = near
    daemon: FakeDocker = attrs.field(factory=FakeDocker)
    own: str | None = None
    digest: str = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.daemon.release(f"{APP}:1.0.0", pulled=True)
        self.digest = self.daemon.release(f"{APP}:1.0.1")

    def run(self, name: str, *, published: int = 0, exposed: int = 0, **body: Any) -> str:
        ports = {"ExposedPorts": {f"{exposed}/tcp": {}}} if exposed else {}
        identity = self.daemon.run(name, f"{APP}:1.0.0", **ports, **body)
        if published:
            settings = self.daemon.find(name)["NetworkSettings"]
            settings["Ports"] = {"5432/tcp": [{"HostIp": "", "HostPort": str(published)}], "1/tcp": None}
        return identity

    def on_network(self, name: str, address: str, gateway: str = "172.18.0.1") -> None:
        (endpoint,) = self.daemon.find(name)["NetworkSettings"]["Networks"].values()
        endpoint |= {"IPAddress": address, "IPPrefixLen": 16, "Gateway": gateway}

    def refuses(self, name: str, store: tuple[str, int] | None, why: str = "its own database") -> bool:
        backend = DockerBackend(self.connect(self.daemon), host="h", own_container=self.own)
        asset = next(asset for asset in backend.scan().assets if asset.name == name)
        operation = operation_for(asset, ImageReference.parse(f"{APP}:1.0.1@{self.digest}"))
        refusal = backend.preflight(attrs.evolve(operation, store_endpoint=store)).refusal
        if refusal is None:
            return False
        assert (refusal.code, why in refusal.message) == ("self", True)
        return True

    def is_the_way(self, name: str) -> bool:
        """Whether it is refused as what the daemon is reached through."""
        return self.refuses(name, None, "how safeupdater reaches the Docker daemon")


# --- safeupdater beside the daemon ---


@pytest.mark.parametrize(
    ("store", "refused"),
    [
        ((HERE, 6543), True),
        (("localhost", 6543), True),
        ((HERE, 5432), False),  # what it has inside leads nowhere from here
        ((ELSEWHERE, 6543), False),
        (None, False),
    ],
)
def test_a_port_that_it_publishes_counts_where_the_store_is_on_this_machine(
    store: tuple[str, int] | None, refused: bool
) -> None:
    scene = Scene()
    scene.run("db", published=6543)
    scene.run("web", published=8080)
    assert (scene.refuses("db", store), scene.refuses("web", store)) == (refused, False)


@pytest.mark.parametrize("host", ["172.18.0.9", "db"])
def test_its_own_address_counts_whatever_it_exposes(host: str) -> None:
    scene = Scene()
    for name in ("db", "web"):
        scene.run(name)
    scene.on_network("db", "172.18.0.9")
    assert (scene.refuses("db", (host, 5432)), scene.refuses("web", (host, 5432))) == (True, False)


def test_on_the_network_of_the_host_the_ports_that_it_exposes_count() -> None:
    scene = Scene()
    scene.run("db", exposed=5432, HostConfig=HOST)
    scene.run("other", exposed=5432)
    assert scene.refuses("db", (HERE, 5432))
    assert not scene.refuses("db", (HERE, 5433))
    assert not scene.refuses("other", (HERE, 5432))


def test_the_network_that_it_is_in_and_what_takes_it_along_are_refused_too() -> None:
    scene = Scene()
    vpn = scene.run("vpn", published=5432)
    scene.run("db", HostConfig={"NetworkMode": f"container:{vpn}"})
    assert scene.refuses("vpn", (HERE, 5432))
    assert scene.refuses("db", (HERE, 5432))
    base = scene.run("base")
    scene.run("second", published=5433, HostConfig={"IpcMode": f"container:{base}"})
    assert scene.refuses("base", (HERE, 5433))


def test_addresses_may_be_ipv6() -> None:
    scene = Scene()
    scene.run("db", published=5432)
    assert not scene.refuses("db", ("2001:db8::1", 5432))
    if speaks_ipv6():
        assert scene.refuses("db", ("::1", 5432))


def speaks_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as server:
            server.bind(("::1", 0))
    except OSError:
        return False
    return True


# --- a daemon on another machine ---


def test_ports_of_another_machine_are_told_from_ours() -> None:
    scene = Scene(at(f"tcp://{ELSEWHERE}:2375"))
    scene.run("db", published=5432)
    assert scene.refuses("db", (ELSEWHERE, 5432))
    assert not scene.refuses("db", (HERE, 5432))
    assert not scene.refuses("db", ("192.0.2.8", 5432))


def test_containers_of_another_machine_have_our_private_addresses_too() -> None:
    scene = Scene(at(f"tcp://{ELSEWHERE}:2375"))
    for name, port in (("web", 80), ("db", 5432)):
        scene.run(name, exposed=port)
        scene.on_network(name, "172.18.0.9")
    assert not scene.refuses("web", ("172.18.0.9", 5432))
    assert scene.refuses("db", ("172.18.0.9", 5432)), "it may be routed: better not touched"


def test_a_daemon_over_tcp_on_this_machine_is_near() -> None:
    scene = Scene(at("tcp://127.0.0.1:2375"))
    scene.run("db", published=5432)
    scene.run("inside")
    scene.on_network("inside", "172.18.0.9")
    assert scene.refuses("db", ("127.0.0.2", 5432))
    assert scene.refuses("inside", ("172.18.0.9", 1))
    assert not scene.refuses("db", (ELSEWHERE, 5432))


def test_a_daemon_whose_name_is_not_found_is_far() -> None:
    scene = Scene(at("tcp://nowhere.invalid:2375"))
    scene.run("db", published=5432)
    assert not scene.refuses("db", (HERE, 5432))
    assert scene.refuses("db", (ELSEWHERE, 5432)), "for all that we know it is there"


# --- the way to the daemon ---


def test_a_proxy_is_found_by_the_network_that_it_is_in_and_with_what_takes_it_along() -> None:
    scene = Scene(at("tcp://127.0.0.1:2375"))
    vpn = scene.run("vpn", published=2375)
    scene.run("proxy", HostConfig={"NetworkMode": f"container:{vpn}"})
    scene.run("web", published=8080)
    assert [scene.is_the_way(name) for name in ("vpn", "proxy", "web")] == [True, True, False]


def test_what_stops_a_proxy_with_it_is_refused() -> None:
    scene = Scene(at("tcp://127.0.0.1:2375"))
    base = scene.run("base")
    scene.run("proxy", published=2375, HostConfig={"IpcMode": f"container:{base}"})
    assert scene.is_the_way("base")


def test_the_name_of_the_machine_is_no_container_on_its_network() -> None:
    scene = Scene(at("tcp://web1:2376"))
    scene.run("agent", exposed=9100, HostConfig=HOST, Hostname="web1")
    scene.run("proxy", exposed=2376, HostConfig=HOST, Hostname="web1")
    assert (scene.is_the_way("agent"), scene.is_the_way("proxy")) == (False, True)


# --- safeupdater in a container ---


@pytest.mark.parametrize(
    ("host", "refused"),
    [
        ("172.18.0.1", True),  # the gateway is the host
        (ELSEWHERE, True),  # may be the host for all that we know
        ("name.example", True),
        ("172.18.0.30", False),  # a neighbour: nothing published is between
        (HERE, False),  # ourselves
    ],
)
def test_from_within_all_but_neighbours_may_be_the_host(host: str, refused: bool) -> None:
    scene = Scene()
    scene.own = scene.run("me")
    scene.on_network("me", "172.18.0.2")
    scene.run("db", published=5432)
    scene.on_network("db", "172.19.0.2")
    assert scene.refuses("db", (host, 5432)) is refused


def test_from_within_the_network_of_another_container_that_ones_neighbours_are_ours() -> None:
    scene = Scene(at("tcp://proxy:2375"))
    vpn = scene.run("vpn")
    scene.on_network("vpn", "172.18.0.2")
    scene.own = scene.run("me", HostConfig={"NetworkMode": f"container:{vpn}"})
    scene.run("db", published=5432)
    assert not scene.refuses("db", ("172.18.0.30", 5432))
    assert scene.refuses("db", ("172.18.0.1", 5432))


def test_from_within_the_network_of_the_host_its_addresses_are_ours() -> None:
    scene = Scene()
    scene.own = scene.run("me", HostConfig=HOST)
    scene.run("db", published=5432)
    assert scene.refuses("db", (HERE, 5432))
    assert not scene.refuses("db", (ELSEWHERE, 5432))


# --- the whole way from the store ---


class Served(JsonFileStore):
    """A store that is said to have a server."""

    def server_endpoint(self) -> tuple[str, int]:
        return HERE, 5432


def test_an_updater_tells_the_backend_where_its_store_is(tmp_path: Path) -> None:
    scene, clock = Scene(), FakeClock()
    scene.run("db", published=5432)
    scene.run("web")
    backend = DockerBackend(near(scene.daemon), host="h", own_container=None)
    policy = Policy.from_dict({"health": {"window": "30s", "interval": "10s", "ready_timeout": "30s"}})
    tags = StaticTags({APP: ["1.0.0", "1.0.1"]}, digests={f"{APP}:1.0.1": scene.digest})
    store = Served(tmp_path, clock)
    with Updater(backends=[backend], policy=policy, tags=tags, store=store, clock=clock) as updater:
        updater.scan()
        plan = updater.plan()
        ahead = {item.planned.target_id.rpartition("/")[2]: item.code for item in updater.preview(plan)}
        results = {result.target_id.rpartition("/")[2]: result for result in updater.apply(plan)}
    assert ahead == {"db": "self", "web": ""}
    assert (results["db"].outcome, results["db"].code) == (Outcome.ABORTED, "self")
    assert results["web"].outcome is Outcome.SUCCEEDED


# --- what a store says ---


class _TooOld(Exception):
    """As of a libpq that does not know addresses."""


class _OldInfo:
    @property
    def hostaddr(self) -> str:
        raise _TooOld


@pytest.mark.parametrize("info", [_OldInfo(), None], ids=["old driver", "other driver"])
@pytest.mark.parametrize(
    ("url", "endpoint"),
    [
        ("postgresql://u@db.example:6543/x", ("db.example", 6543)),
        ("postgresql://u@db.example/x", ("db.example", 5432)),
        ("postgresql://u@/x?host=/run/postgresql", None),
    ],
)
def test_a_driver_without_addresses_leaves_the_name(
    info: _OldInfo | None, url: str, endpoint: tuple[str, int] | None
) -> None:
    connection: Any = SimpleNamespace(
        engine=SimpleNamespace(url=make_url(url)),
        connection=SimpleNamespace(driver_connection=SimpleNamespace(info=info)),
        dialect=SimpleNamespace(loaded_dbapi=SimpleNamespace(Error=_TooOld)),
    )
    assert server_endpoint(connection) == endpoint


def test_a_file_has_no_endpoint(tmp_path: Path) -> None:
    with SqlStore(f"sqlite:///{tmp_path}/s.db") as store:
        assert store.server_endpoint() is None
