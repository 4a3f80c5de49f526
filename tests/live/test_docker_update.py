"""Updating and restoring containers on a real daemon, with images from a real registry."""

from __future__ import annotations

import urllib.request

import pytest

from safeupdater.domain.artifact import ImageReference
from safeupdater.domain.health import Condition
from safeupdater.domain.operation import Phase, StepStatus
from safeupdater.testing.driving import Drive, StepStopped
from testbed.images import Kind
from testbed.processes import wait_until
from tests.support.docker_host import Host


def body(address: tuple[str, int] | None, path: str) -> str:
    assert address is not None
    with urllib.request.urlopen(f"http://{address[0]}:{address[1]}{path}", timeout=5) as answer:
        return str(answer.read().decode())


def serves(drive: Drive, *, old: bool = False) -> str:
    """What the version under watch serves as its own reference, once it serves at all."""
    target = drive.backend.probe_target(drive.operation, old=old)
    address = target.address(8080)
    assert address is not None
    assert wait_until(lambda: _reachable(address), timeout_s=5)
    return body(address, "/version")


def _reachable(address: tuple[str, int]) -> bool:
    try:
        body(address, "/version")
    except OSError:
        return False
    return True


def test_a_good_release_replaces_the_old_one(host: Host) -> None:
    host.release("1.0.0")
    new = host.release("1.0.1")
    old_id = host.run("web", "1.0.0", host={"restart_policy": {"Name": "unless-stopped"}})
    drive = host.drive("web", new)

    assert host.backend.preflight(drive.operation).refusal is None
    drive.update()

    found = host.inspect("web")
    assert found["Id"] != old_id
    assert found["Config"]["Image"] == f"{host.repository}:1.0.1"
    assert found["HostConfig"]["RestartPolicy"]["Name"] == "unless-stopped"
    assert host.backend.observe(drive.operation).condition is Condition.READY
    assert serves(drive) == f"{host.repository}:1.0.1"
    assert host.names() == {host.name("web")}


def test_a_port_stays_published_though_the_new_image_no_longer_exposes_it(host: Host) -> None:
    host.release("1.0.0", changes=("EXPOSE 9999",))
    new = host.release("1.0.1")
    host.run("web", "1.0.0", host={"port_bindings": {9999: ("127.0.0.1", None)}})
    assert host.inspect("web")["NetworkSettings"]["Ports"]["9999/tcp"]

    host.drive("web", new).update()

    assert host.inspect("web")["NetworkSettings"]["Ports"]["9999/tcp"]


def test_a_bad_release_goes_back_to_the_very_old_container(host: Host) -> None:
    host.release("1.0.0")
    new = host.release("1.0.1", Kind.CRASH)
    old_id = host.run("web", "1.0.0", host={"restart_policy": {"Name": "always"}})
    before = host.inspect("web")
    drive = host.drive("web", new)

    drive.switch()
    assert wait_until(
        lambda: host.backend.observe(drive.operation).condition is Condition.FAILED, timeout_s=10
    )
    drive.restore()

    after = host.inspect("web")
    assert after["Id"] == old_id
    assert after["State"]["Running"]
    for part in ("Config", "HostConfig", "Name", "Image"):
        assert after[part] == before[part], part
    assert host.names() == {host.name("web")}
    assert serves(drive, old=True) == f"{host.repository}:1.0.0"
    assert not host.client.images(f"{host.repository}:1.0.1")


def test_what_cannot_be_pulled_never_stops_the_old_version(host: Host) -> None:
    host.release("1.0.0")
    host.run("web", "1.0.0")
    before = host.inspect("web")
    drive = host.drive("web", ImageReference.parse(f"{host.repository}:9.9.9@sha256:{'0' * 64}"))
    drive.capture()

    with pytest.raises(StepStopped) as stopped:
        drive.perform(Phase.STAGING)

    assert stopped.value.outcome.status is StepStatus.REFUSED
    assert stopped.value.outcome.code == "image_gone"
    drive.perform(Phase.DISCARDING)
    assert host.inspect("web") == before
    assert host.names() == {host.name("web")}


def test_only_what_is_written_outside_of_mounts_is_said_to_get_lost(host: Host) -> None:
    host.release("1.0.0")
    new = host.release("1.0.1")
    container = host.run("web", "1.0.0", host={"tmpfs": {"/fast/scratch": ""}}, volumes=["/kept"])
    host.shell(container, "echo of no worth > /fast/scratch/file; echo safe > /kept/file")
    assert host.backend.preflight(host.drive("web", new).operation).warnings == ()

    host.shell(container, "echo lost > /own")
    (warning,) = host.backend.preflight(host.drive("web", new).operation).warnings
    assert "1 file that" in warning
    assert "/own" in warning
