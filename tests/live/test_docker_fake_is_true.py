"""The daemon in memory behaves as a real one: each scenario runs on both and must show the same.

What crash tests prove over the one in memory is worth as much as this table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import docker
import pytest

from safeupdater.backends.docker.client import DockerApi
from safeupdater.backends.docker.daemon import Daemon
from safeupdater.errors import BackendError
from safeupdater.testing.fake_docker import FakeDocker
from testbed import images
from testbed.docker import Dockerd

IMAGE = "twin.test/app:1"
OTHER = "twin.test/app:2"
SLEEP = ["/bin/busybox", "sleep", "1000"]
CHANGES = ["ENV A=image B=image", "LABEL l=image m=image", "VOLUME /image", "USER 1:1", "WORKDIR /www"]
CONFIG: dict[str, Any] = {
    "Env": ["A=image", "B=image"], "Labels": {"l": "image", "m": "image"}, "Volumes": {"/image": {}},
    "User": "1:1", "WorkingDir": "/www", "Cmd": images.SERVE, "ExposedPorts": {"8080/tcp": {}},
}  # fmt: skip


class Twin:
    """One daemon of either kind, through the same calls."""

    def __init__(self, client: docker.APIClient, restart: Callable[[], None]) -> None:
        self.daemon = Daemon(DockerApi(client))
        self.restart = restart

    def run(self, name: str, *, start: bool = True, policy: str = "no", **body: Any) -> str:
        host_config = {**body.pop("HostConfig", {}), "RestartPolicy": {"Name": policy}}
        self.daemon.create(name, {"Image": IMAGE, "Cmd": SLEEP, "HostConfig": host_config, **body})
        identity = str(self.inspect(name)["Id"])
        if start:
            self.daemon.start(identity)
        return identity

    def inspect(self, name: str) -> dict[str, Any]:
        found = self.daemon.inspect(name)
        assert found is not None
        return found

    def runs(self, name: str) -> bool:
        return bool(self.inspect(name)["State"]["Running"])

    def code(self, act: Callable[[], Any]) -> str:
        """The code of the error that an act gives; empty for none."""
        try:
            act()
        except BackendError as error:
            return error.code
        return ""


@pytest.fixture(scope="module")
def server() -> Iterator[Dockerd]:
    with Dockerd() as running:
        yield running


@pytest.fixture
def real(server: Dockerd) -> Twin:
    client = docker.APIClient(base_url=server.host, version="1.41")
    client.trust_env = False
    for container in client.containers(all=True):
        client.remove_container(container["Id"], force=True, v=True)
    for image in client.images(all=True):
        client.remove_image(image["Id"], force=True)
    images.build(client, IMAGE, changes=CHANGES)
    return Twin(client, server.restart)


@pytest.fixture
def fake() -> Twin:
    daemon = FakeDocker()
    daemon.build(IMAGE, **CONFIG)
    return Twin(daemon.client(), daemon.restart)


def merging(twin: Twin) -> object:
    bodies: list[dict[str, Any]] = [
        {"Cmd": None}, {"Env": ["A=mine", "C=mine"], "Labels": {"l": "mine"}},
        {"Entrypoint": ["/e"], "Cmd": None},
        {"Entrypoint": [""], "Cmd": ["/c"]}, {"User": "2", "WorkingDir": "/tmp", "Volumes": {"/mine": {}}},
    ]  # fmt: skip
    shown = []
    for number, body in enumerate(bodies):
        twin.run(f"m{number}", start=False, **body)
        config = twin.inspect(f"m{number}")["Config"]
        shown.append(
            [
                sorted(config["Env"]), config["Labels"], sorted(config["Volumes"]), config["User"],
                config["WorkingDir"], config["Cmd"] or None, config["Entrypoint"] or None,
                sorted(config["ExposedPorts"]),
            ]
        )  # fmt: skip
    return shown


def names(twin: Twin) -> object:
    first, second = twin.run("aa"), twin.run("bb")
    return [
        twin.code(lambda: twin.run("aa")),
        twin.code(lambda: twin.daemon.rename(second, "aa")),
        twin.code(lambda: twin.daemon.rename(first, "cc")),
        twin.inspect("cc")["Id"] == first,
        twin.daemon.inspect("aa") is None,
        twin.code(lambda: twin.daemon.remove(first)),
        twin.code(lambda: twin.daemon.start(first)),
    ]


def restarts(twin: Twin) -> object:
    for policy in ("no", "always", "unless-stopped", "on-failure"):
        twin.run(f"{policy}-runs", policy=policy)
        stopped = twin.run(f"{policy}-stopped", policy=policy)
        twin.daemon.stop(stopped, 0)
    twin.run("no-created", start=False)
    twin.restart()
    listed = [
        f"{policy}-{state}" for policy in ("no", "always", "unless-stopped") for state in ("runs", "stopped")
    ]
    return {name: twin.runs(name) for name in [*listed, "on-failure-runs", "no-created"]}


def volumes(twin: Twin) -> object:
    first = twin.run("vv", Volumes={"/nameless": {}}, HostConfig={"Binds": ["named:/named"]})
    found = {mount["Destination"]: mount["Name"] for mount in twin.inspect("vv")["Mounts"]}
    mounts = [{"Type": "volume", "Source": found["/nameless"], "Target": "/nameless"}]
    second = twin.run(
        "ww", Volumes={"/nameless": {}}, HostConfig={"Mounts": mounts, "Binds": ["named:/named"]}
    )
    again = {mount["Destination"]: mount["Name"] for mount in twin.inspect("ww")["Mounts"]}
    twin.daemon.stop(second, 0)
    twin.daemon.remove(second, with_volumes=True)
    twin.run("xx", HostConfig={"VolumesFrom": [first]})
    borrowed = {mount["Destination"]: mount["Name"] for mount in twin.inspect("xx")["Mounts"]}
    return [
        sorted(found),
        again["/nameless"] == found["/nameless"],
        again["/image"] != found["/image"],
        borrowed == found,
    ]


def namespaces(twin: Twin) -> object:
    first = twin.run("nn")
    twin.run("oo", HostConfig={"NetworkMode": "container:nn", "PidMode": "container:nn"})
    host_config = twin.inspect("oo")["HostConfig"]
    twin.daemon.stop(twin.inspect("oo")["Id"], 0)
    twin.daemon.stop(first, 0)
    return [
        host_config["NetworkMode"] == f"container:{first}",
        host_config["PidMode"] == f"container:{first}",
        twin.code(lambda: twin.daemon.start(twin.inspect("oo")["Id"])),
    ]


def tags(twin: Twin) -> object:
    image = twin.daemon.inspect_image(IMAGE)
    assert image is not None
    twin.daemon.tag(image["Id"], OTHER)
    twin.run("tt")
    both = sorted(twin.daemon.inspect_image(OTHER)["RepoTags"])  # type: ignore[index]
    untagged = twin.daemon.remove_image(IMAGE)
    last = twin.daemon.remove_image(OTHER)
    return [
        both,
        untagged,
        last,
        twin.daemon.inspect_image(OTHER) is not None,
        twin.daemon.inspect_image("x:1") is None,
    ]


def policies(twin: Twin) -> object:
    identity = twin.run("pp", policy="always")
    twin.daemon.set_restart_policy(identity, {"Name": "no", "MaximumRetryCount": 0})
    shown = twin.inspect("pp")["HostConfig"]["RestartPolicy"]
    twin.daemon.stop(identity, 0)
    twin.daemon.set_restart_policy(identity, {"Name": "on-failure", "MaximumRetryCount": 3})
    return [shown, twin.inspect("pp")["HostConfig"]["RestartPolicy"], twin.runs("pp")]


SCENARIOS = [merging, names, restarts, volumes, namespaces, tags, policies]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_both_daemons_show_the_same(scenario: Callable[[Twin], object], real: Twin, fake: Twin) -> None:
    assert scenario(fake) == scenario(real)
