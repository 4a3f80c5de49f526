"""Dependants, rollbacks by hand, retention, probes and connections on a real daemon."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import pytest

from safeupdater.backends.docker import DockerBackend, DockerScanner
from safeupdater.backends.docker.client import DockerApi, connect
from safeupdater.domain.artifact import ImageReference
from safeupdater.domain.health import Condition
from safeupdater.domain.operation import Phase, StepStatus
from safeupdater.errors import DockerConnectionError
from safeupdater.testing.driving import Drive, operation_for
from testbed import images
from testbed.docker import Dockerd
from testbed.images import Kind
from testbed.processes import wait_until


@pytest.fixture(scope="module")
def daemon() -> Iterator[Dockerd]:
    with Dockerd(tls=True) as running:
        yield running


class Scene:
    """One daemon, emptied, with releases of one repository."""

    def __init__(self, daemon: Dockerd, repository: str) -> None:
        self.client = docker.APIClient(base_url=daemon.host, version="1.41")
        self.client.trust_env = False
        self.repository = repository
        self.backend = DockerBackend(self.client, host="test")
        for container in self.client.containers(all=True):
            self.client.remove_container(container["Id"], force=True, v=True)

    def release(
        self, tag: str, kind: Kind = Kind.GOOD, *, keep: bool = False, **build: Any
    ) -> ImageReference:
        reference = f"{self.repository}:{tag}"
        digest = images.release(self.client, reference, kind, keep=keep, **build)
        return ImageReference.parse(f"{reference}@{digest}")

    def run(self, name: str, tag: str, *, host: dict[str, Any] | None = None, **options: Any) -> str:
        host_config = self.client.create_host_config(**(host or {}))
        made = self.client.create_container(
            f"{self.repository}:{tag}", name=name, host_config=host_config, **options
        )
        self.client.start(made["Id"])
        return str(made["Id"])

    def drive(self, name: str, new: ImageReference, operation_id: str = "op-1", **options: Any) -> Drive:
        asset = next(asset for asset in self.backend.scan().assets if asset.name == name)
        return Drive(self.backend, operation_for(asset, new, operation_id=operation_id, **options))

    def inspect(self, name: str) -> dict[str, Any]:
        return dict(self.client.inspect_container(name))

    def running(self) -> set[str]:
        return {container["Names"][0].lstrip("/") for container in self.client.containers()}

    def output(self, name: str, *argv: str) -> str:
        execution = self.client.exec_create(name, list(argv))
        return str(self.client.exec_start(execution["Id"]).decode())


@pytest.fixture
def scene(daemon: Dockerd, registry: str, request: pytest.FixtureRequest) -> Scene:
    return Scene(daemon, f"{registry}/{abs(hash(request.node.name)) % 10**8}")


def test_containers_in_its_network_come_along(scene: Scene) -> None:
    scene.release("1", keep=True)
    new = scene.release("2")
    main = scene.run("web", "1")
    shared = {"network_mode": f"container:{main}", "pid_mode": f"container:{main}"}
    scene.run("side", "1", host=shared, command=["/bin/busybox", "sleep", "1000"])
    scene.run("borrower", "1", host={"volumes_from": [main]}, command=["/bin/busybox", "sleep", "1000"])
    before = {name: scene.inspect(name) for name in ("side", "borrower")}
    drive = scene.drive("web", new)

    report = scene.backend.preflight(drive.operation)
    assert report.refusal is None
    assert any("borrower, side" in warning for warning in report.warnings)
    drive.switch()

    new_id = scene.inspect("web")["Id"]
    assert scene.inspect("side")["HostConfig"]["NetworkMode"] == f"container:{new_id}"
    assert scene.inspect("side")["HostConfig"]["PidMode"] == f"container:{new_id}"
    assert scene.inspect("borrower")["HostConfig"]["VolumesFrom"] == [new_id]
    assert scene.inspect("side")["Config"]["Image"] == before["side"]["Config"]["Image"]
    assert wait_until(
        lambda: scene.output(
            "side", "/bin/busybox", "wget", "-qO-", "http://127.0.0.1:8080/version"
        ).endswith(":2"),
        timeout_s=5,
    )
    drive.perform(Phase.COMMITTING)
    assert scene.running() == {"web", "side", "borrower"}


def test_containers_in_its_network_go_back_with_it(scene: Scene) -> None:
    scene.release("1", keep=True)
    new = scene.release("2", Kind.CRASH)
    main = scene.run("web", "1")
    side = scene.run(
        "side", "1", host={"network_mode": f"container:{main}"}, command=["/bin/busybox", "sleep", "99"]
    )
    drive = scene.drive("web", new)
    drive.capture()
    drive.perform(Phase.STAGING)
    for step in ("compare_live", "park_old", "take_name"):
        drive.step(Phase.SWITCHING, step)
    drive.restore()
    assert (scene.inspect("web")["Id"], scene.inspect("side")["Id"]) == (main, side)
    assert scene.running() == {"web", "side"}


def test_a_rollback_by_hand_brings_back_version_settings_and_volume(scene: Scene) -> None:
    old = scene.release("1", keep=True, changes=("VOLUME /data", "ENV A=old"))
    new = scene.release("2", changes=("ENV A=new",))
    scene.run("web", "1", environment={"MINE": "1"})
    scene.output("web", "/bin/busybox", "touch", "/data/precious")
    first = scene.drive("web", new)
    first.update()
    scene.client.prune_images({"dangling": True})

    back = scene.drive("web", old, "op-2", wanted=first.operation.snapshot)
    assert scene.backend.preflight(back.operation).refusal is None
    back.update()

    found = scene.inspect("web")
    assert found["Config"]["Image"] == f"{scene.repository}:1"
    assert sorted(found["Config"]["Env"]) == ["A=old", "MINE=1"]
    assert "precious" in scene.output("web", "/bin/busybox", "ls", "/data")


def test_prune_passes_by_what_a_rollback_needs_and_collecting_removes_it(scene: Scene) -> None:
    scene.release("1", keep=True)
    scene.run("web", "1")
    first = scene.drive("web", scene.release("2"))
    first.update()
    second = scene.drive("web", scene.release("3"), "op-2")
    second.update()
    scene.client.remove_image(f"{scene.repository}:1")
    scene.client.remove_image(f"{scene.repository}:2")
    scene.client.prune_images({"dangling": True})
    snapshots = first.operation.snapshot, second.operation.snapshot
    assert snapshots[0] is not None
    assert snapshots[1] is not None
    kept = [scene.client.images(f"safeupdater/keep:{name}") for name in ("op-1", "op-2")]
    assert all(kept)

    removed = scene.backend.collect([snapshots[0]], [snapshots[1]])

    assert len(removed) == 2, removed
    assert not scene.client.images("safeupdater/keep:op-1")
    assert scene.client.images("safeupdater/keep:op-2")


def test_a_same_tag_update_goes_back_to_the_same_bits(scene: Scene) -> None:
    scene.release("latest", keep=True)
    scene.run("web", "latest")
    before = scene.inspect("web")["Image"]
    scene.client.tag(f"{scene.repository}:latest", f"{scene.repository}", "old")
    scene.client.remove_image(f"{scene.repository}:latest")
    new = scene.release("latest", changes=("ENV NEWER=1",))
    scene.client.tag(f"{scene.repository}:old", scene.repository, "latest")
    drive = scene.drive("web", new)
    drive.switch()
    assert scene.inspect("web")["Image"] != before
    assert scene.client.inspect_image(f"{scene.repository}:latest")["Id"] != before
    drive.restore()
    assert scene.inspect("web")["Image"] == before
    assert scene.client.inspect_image(f"{scene.repository}:latest")["Id"] == before


@pytest.mark.parametrize(
    ("code", "host"),
    [("auto_remove", {"auto_remove": True}), ("linked", None)],
)
def test_what_cannot_be_put_back_is_refused(scene: Scene, code: str, host: dict[str, Any] | None) -> None:
    scene.release("1", keep=True)
    scene.run("web", "1", host=host)
    if code == "linked":
        scene.run("cli", "1", host={"links": {"web": "w"}})
    report = scene.backend.preflight(scene.drive("web", scene.release("2")).operation)
    assert report.refusal is not None
    assert (report.refusal.status, report.refusal.code) == (StepStatus.REFUSED, code)


def test_its_own_links_survive(scene: Scene) -> None:
    scene.release("1", keep=True)
    scene.run("db", "1")
    scene.run("web", "1", host={"links": {"db": "database"}})
    scene.drive("web", scene.release("2")).update()
    assert scene.inspect("web")["HostConfig"]["Links"] == ["/db:/web/database"]


def test_an_image_that_was_built_here_is_not_looked_for_elsewhere(scene: Scene) -> None:
    images.build(scene.client, f"{scene.repository}-local:1")
    made = scene.client.create_container(f"{scene.repository}-local:1", name="web")
    scene.client.start(made["Id"])
    new = ImageReference.parse(f"{scene.repository}-local:2@sha256:{'0' * 64}")
    report = scene.backend.preflight(scene.drive("web", new).operation)
    assert report.refusal is not None
    assert report.refusal.code == "local_build"
    (asset,) = scene.backend.scan().assets
    assert asset.metadata["local_build"] is True


def test_an_unhealthy_healthcheck_is_evidence_at_once(scene: Scene) -> None:
    scene.release("1", keep=True)
    scene.run("web", "1")
    bad = ('HEALTHCHECK --interval=200ms --retries=1 CMD ["/bin/busybox", "false"]',)
    drive = scene.drive("web", scene.release("2", changes=bad))
    drive.switch()
    assert wait_until(lambda: scene.backend.observe(drive.operation).code == "unhealthy", timeout_s=15)
    assert scene.backend.observe(drive.operation).condition is Condition.FAILED
    drive.restore()
    assert scene.backend.observe(drive.operation, old=True).condition is Condition.READY


def test_commands_run_in_the_container_and_end_in_time(scene: Scene) -> None:
    scene.release("1", keep=True)
    scene.run("web", "1")
    target = scene.backend.probe_target(scene.drive("web", scene.release("2")).operation, old=True)
    assert target.execute(["/bin/sh", "-c", "echo out; echo err >&2; exit 3"], 5).exit_code == 3
    assert target.execute(["/bin/busybox", "cat", "/www/version"], 5).output == f"{scene.repository}:1"
    began = time.monotonic()
    assert target.execute(["/bin/busybox", "sleep", "30"], 0.5).exit_code == 124
    assert time.monotonic() - began < 5
    assert len(target.execute(["/bin/sh", "-c", "busybox yes | busybox head -c 100000"], 5).output) == 8192


def test_tcp_with_client_certificates_and_without(daemon: Dockerd, scene: Scene) -> None:
    assert daemon.certificates is not None
    environment = {
        "DOCKER_HOST": daemon.tcp_host, "DOCKER_TLS_VERIFY": "1",
        "DOCKER_CERT_PATH": str(daemon.certificates.directory),
    }  # fmt: skip
    api = DockerApi(connect(environment=environment))
    assert DockerScanner(api, host="h").scan().complete
    plain = DockerScanner(url=daemon.tcp_host.replace("tcp://", "https://"), host="h")
    with pytest.raises(DockerConnectionError) as caught:
        plain.scan()
    assert "\n" not in str(caught.value)


def test_an_updater_killed_in_the_middle_of_a_stop_leaves_nothing_undone(
    scene: Scene, daemon: Dockerd
) -> None:
    """A real ``kill -9`` while the daemon waits for a container that takes its time to stop."""
    scene.release("1", keep=True)
    new = scene.release("2")
    scene.run(
        "web", "1", command=["/bin/sh", "-c", "trap '' TERM; sleep 100 & wait; sleep 100"], stop_signal="TERM"
    )
    drive = scene.drive("web", new)
    drive.capture()
    drive.perform(Phase.STAGING)
    script = (
        "import docker, sys\n"
        "from safeupdater.backends.docker import DockerBackend\n"
        "from safeupdater.backends.docker.daemon import Daemon\n"
        "client = docker.APIClient(base_url=sys.argv[1], version='1.41'); client.trust_env = False\n"
        "daemon = Daemon(DockerBackend(client).api)\n"
        "daemon.set_restart_policy(sys.argv[2], {'Name': 'no'})\n"
        "print('stopping', flush=True)\n"
        "daemon.stop(sys.argv[2], 10)\n"
    )
    updater = subprocess.Popen(
        [sys.executable, "-c", script, daemon.host, scene.inspect("web")["Id"]],
        stdout=subprocess.PIPE, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert updater.stdout is not None
    assert updater.stdout.readline() == b"stopping\n"
    updater.kill()
    updater.wait()
    drive.restore()
    assert wait_until(lambda: scene.running() == {"web"}, timeout_s=15)
    assert len(scene.client.containers(all=True)) == 1
