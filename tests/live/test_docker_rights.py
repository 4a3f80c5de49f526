"""Through a proxy that allows just the documented calls, a whole update and a whole way back go through."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import pytest

from safeupdater.backends.docker import DockerBackend
from safeupdater.backends.docker.client import connect
from safeupdater.backends.docker.rights import FOR_COMMANDS, FOR_STOP_SIGNALS, NEEDED, look
from safeupdater.config import Policy
from safeupdater.domain.operation import Outcome
from safeupdater.registries.oci import RegistryClient
from safeupdater.update.updater import Updater
from testbed import images
from testbed.allowing_proxy import AllowingProxy
from testbed.docker import Dockerd
from testbed.images import Kind
from testbed.registry import Registry

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTED = ROOT / "docs" / "reference" / "docker.md"
POLICY: dict[str, Any] = {
    "version": 1,
    "health": {
        "window": "0.6s", "interval": "0.2s", "ready_timeout": "20s",
        "checks": [{"type": "exec", "argv": ["/bin/busybox", "true"]}],
    },
    "rollback": {"cooldown": "0s"},
}  # fmt: skip


def documented() -> list[str]:
    """Every call of the tables under Rights."""
    section = DOCUMENTED.read_text().partition("\n## Rights\n")[2].partition("\n## ")[0]
    return re.findall(r"^\| `([A-Z]+ /[^`]*)` \|", section, re.MULTILINE)


def test_the_documented_calls_are_those_that_doctor_asks_for() -> None:
    assert documented() == [str(right) for right in (*NEEDED, *FOR_COMMANDS, *FOR_STOP_SIGNALS)]


@pytest.fixture(scope="module")
def daemon() -> Iterator[Dockerd]:
    with Dockerd() as running:
        yield running


class Scene:
    """A container that left its first network for another, with a restart policy and a stop signal."""

    def __init__(self, daemon: Dockerd, registry: str) -> None:
        self.client = client = docker.APIClient(base_url=daemon.host, version="1.41")
        client.trust_env = False
        self.repository = f"{registry}/rights"
        images.release(client, f"{self.repository}:1.0.0", keep=True)
        for name, subnet in (("one", "10.97.1.0/24"), ("two", "10.97.2.0/24")):
            client.create_network(name, ipam={"Driver": "default", "Config": [{"Subnet": subnet}]})
        made = client.create_container(
            f"{self.repository}:1.0.0", name="web", volumes=["/kept"],
            labels={"safeupdater.stop-signal": "SIGTERM"},
            host_config=client.create_host_config(network_mode="one", restart_policy={"Name": "always"}),
        )  # fmt: skip
        client.connect_container_to_network(made["Id"], "two", ipv4_address="10.97.2.9")
        client.disconnect_container_from_network(made["Id"], "one")
        client.start(made["Id"])

    def version(self) -> str:
        return str(self.client.inspect_container("web")["Config"]["Image"]).rpartition(":")[2]

    def close(self) -> None:
        for container in self.client.containers(all=True):
            self.client.remove_container(container["Id"], force=True, v=True)
        for volume in self.client.volumes()["Volumes"] or ():
            self.client.remove_volume(volume["Name"])
        for name in ("one", "two"):
            self.client.remove_network(name)


@pytest.fixture
def scene(daemon: Dockerd) -> Iterator[Scene]:
    with Registry() as registry:
        found = Scene(daemon, registry.host)
        yield found
        found.close()


def updater(proxy: AllowingProxy) -> Updater:
    return Updater(
        backends=[DockerBackend(connect(proxy.host))],
        policy=Policy.from_dict(POLICY),
        tags=RegistryClient(ttl_s=0),
    )


def test_just_the_documented_calls_suffice_and_none_of_them_is_for_nothing(
    daemon: Dockerd, scene: Scene
) -> None:
    with AllowingProxy(daemon.socket, documented()) as proxy, updater(proxy) as through:
        images.release(scene.client, f"{scene.repository}:1.0.1")
        through.scan()
        (good,) = through.apply()
        assert (good.outcome, scene.version()) == (Outcome.SUCCEEDED, "1.0.1"), good
        back = through.rollback(good.target_id, by="me")
        assert (back.outcome, scene.version()) == (Outcome.SUCCEEDED, "1.0.0"), back
        images.release(scene.client, f"{scene.repository}:1.0.2", Kind.CRASH)
        through.scan()
        (bad,) = through.apply()
        assert (bad.outcome, scene.version()) == (Outcome.ROLLED_BACK, "1.0.0"), bad

    assert proxy.denied == []
    assert set(documented()) - set(proxy.used) == set()


@pytest.mark.parametrize(
    ("denied", "outcome"),
    [
        ("POST /images/create", Outcome.ABORTED),
        ("POST /containers/create", Outcome.ABORTED),
        ("POST /containers/{id}/rename", Outcome.ROLLED_BACK),
        ("POST /containers/{id}/exec", Outcome.ROLLED_BACK),
    ],
)
def test_without_one_of_them_the_old_version_stays_and_doctor_names_it(
    daemon: Dockerd, scene: Scene, denied: str, outcome: Outcome
) -> None:
    images.release(scene.client, f"{scene.repository}:1.0.1")
    before = scene.client.inspect_container("web")
    allowed = [call for call in documented() if call != denied]
    with AllowingProxy(daemon.socket, allowed) as proxy, updater(proxy) as through:
        through.scan()
        (result,) = through.apply()
        checks = doctor(proxy.host, code=0 if "exec" in denied else 1)

    assert result.outcome is outcome, result
    assert (scene.version(), scene.client.inspect_container("web")["Id"]) == ("1.0.0", before["Id"])
    assert scene.client.inspect_container("web")["State"]["Running"]
    (check,) = [check for check in checks if "not allowed" in check["detail"]]
    assert check["status"] == ("warning" if "exec" in denied else "failed")
    assert f"{denied} (" in check["detail"]
    assert check["detail"].count(" /") == 1, "more is named than is denied"
    assert "proxy" in check["remedy"]


def test_where_even_the_version_is_denied_doctor_says_it_once_and_names_just_that(
    daemon: Dockerd,
) -> None:
    allowed = [call for call in documented() if call != "GET /version"]
    with AllowingProxy(daemon.socket, allowed) as proxy:
        checks = [check for check in doctor(proxy.host, code=1) if check["status"] == "failed"]
    said, rights = checks
    assert said["detail"].startswith("Docker could not say which version it is")
    assert (
        rights["detail"]
        == "no update is possible, this is not allowed: GET /version (agree on an API version)"
    )
    assert all("proxy" in check["remedy"] for check in checks)


def test_where_nothing_is_allowed_doctor_names_every_call_once(daemon: Dockerd) -> None:
    with AllowingProxy(daemon.socket, []) as proxy:
        checks = [check for check in doctor(proxy.host, code=1) if check["subject"].endswith(proxy.host)]
    assert [check["status"] for check in checks] == ["failed", "failed", "warning", "warning"]
    named = [check["detail"] for check in checks[1:]]
    assert [" ".join(named).count(f"{call} (") for call in documented()] == [1] * len(documented())


def test_doctor_says_what_is_allowed_without_need_and_changes_nothing_by_asking(
    daemon: Dockerd, scene: Scene
) -> None:
    def inventory() -> list[Any]:
        listed = (scene.client.containers(all=True), scene.client.images(all=True), scene.client.networks())
        named = [sorted(item["Id"] for item in each) for each in listed]
        volumes = sorted(volume["Name"] for volume in scene.client.volumes()["Volumes"] or ())
        return [*named, volumes, scene.client.inspect_container("web")["State"]]

    before = inventory()
    with AllowingProxy(daemon.socket, documented()) as proxy:
        (right,) = [check for check in doctor(proxy.host, code=0) if check["subject"].startswith("rights")]
        assert right["status"] == "ok"
        assert "not all others" in right["detail"]
    with AllowingProxy(daemon.socket, [*documented(), "DELETE /volumes/{id}"]) as proxy:
        _, more = [check for check in doctor(proxy.host, code=0) if check["subject"].startswith("rights")]
        assert more["status"] == "ok", "a note: not every proxy can deny it"
        assert "by method and path" in more["remedy"]
        assert "DELETE /volumes/{id} (remove volumes)" in more["detail"]
        assert more["detail"].count(" /") == 1
    assert look(DockerBackend(connect(daemon.host)).api).is_full_control
    assert inventory() == before


def doctor(url: str, *, code: int) -> list[dict[str, str]]:
    """What the command line says of a daemon."""
    command = [sys.executable, "-m", "safeupdater", "doctor", "--no-registries", "--output", "json"]
    environment = {**os.environ, "DOCKER_HOST": url, "SAFEUPDATER_STORE": "memory:"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120, cwd=ROOT)
    assert done.returncode == code, done.stdout + done.stderr
    checks: list[dict[str, str]] = json.loads(done.stdout)["checks"]
    return checks
