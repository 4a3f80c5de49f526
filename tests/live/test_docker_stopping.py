"""How a real daemon stops what it runs: which signal arrives, and how long is waited for the end."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import attrs
import docker
import pytest

from safeupdater.backends.docker import DockerBackend
from safeupdater.backends.docker.signals import parse_signal
from safeupdater.domain.artifact import ImageReference
from safeupdater.domain.operation import OperationSettings, Phase
from safeupdater.testing.driving import Drive, operation_for
from testbed import images
from tests.support.docker_host import Host

LABEL = "safeupdater.stop-signal"
NOTES = "trap 'echo {0} >> /notes/got; exit 0' {0};"
TELLING = ["/bin/sh", "-c", "".join(NOTES.format(name) for name in ("TERM", "QUIT", "INT", "HUP"))
           + "while :; do /bin/busybox sleep 0.05; done"]  # fmt: skip
DEAF = ["/bin/sh", "-c", "trap '' TERM QUIT INT HUP; while :; do /bin/busybox sleep 0.05; done"]


@pytest.fixture
def drive(docker_host: str, registry: str, tmp_path: Path) -> Iterator[Stopping]:
    client = docker.APIClient(base_url=docker_host, version="1.41")
    client.trust_env = False
    scene = Stopping(client, f"{registry}/stopping", tmp_path)
    yield scene
    for name in ("stopping", "stopping.su-new", "stopping.su-old"):
        try:
            client.remove_container(name, force=True, v=True)
        except docker.errors.NotFound:
            continue
    client.close()


@attrs.define
class Stopping:
    """A container that notes the signals it gets, and its update up to the end of the old one."""

    client: docker.APIClient
    repository: str
    notes: Path

    def park(self, command: list[str], *, grace_s: float = 10.0, **options: object) -> tuple[str, float, int]:
        """What signals came, how long the stop took, and the exit code."""
        images.release(self.client, f"{self.repository}:1", keep=True)
        digest = images.release(self.client, f"{self.repository}:2")
        host_config = self.client.create_host_config(binds=[f"{self.notes}:/notes"])
        made = self.client.create_container(
            f"{self.repository}:1", name="stopping", command=command, host_config=host_config, **options
        )
        self.client.start(made["Id"])
        time.sleep(0.5)
        backend = DockerBackend(self.client, host="test", own_container=None)
        asset = next(asset for asset in backend.scan().assets if asset.name == "stopping")
        operation = operation_for(asset, ImageReference.parse(f"{self.repository}:2@{digest}"))
        settings = OperationSettings(stop_timeout_s=grace_s)
        drive = Drive(backend, attrs.evolve(operation, settings=settings))
        drive.capture()
        drive.perform(Phase.STAGING)
        drive.step(Phase.SWITCHING, "compare_live")
        began = time.monotonic()
        drive.step(Phase.SWITCHING, "park_old")
        took_s = time.monotonic() - began
        exit_code = int(self.client.inspect_container(made["Id"])["State"]["ExitCode"])
        drive.restore()
        noted = self.notes / "got"
        return noted.read_text().split()[0] if noted.exists() else "", took_s, exit_code


@pytest.mark.parametrize(
    ("label", "own", "signal"),
    [("SIGQUIT", "SIGINT", "QUIT"), ("1", None, "HUP"), (None, "SIGINT", "INT"), (None, None, "TERM")],
)
def test_the_signal_of_the_label_arrives_else_the_containers_own(
    drive: Stopping, label: str | None, own: str | None, signal: str
) -> None:
    labels = {LABEL: label} if label else {}
    noted, took_s, exit_code = drive.park(TELLING, labels=labels, **({"stop_signal": own} if own else {}))
    assert (noted, exit_code) == (signal, 0)
    assert took_s < 5


def test_what_we_take_for_a_signal_is_one_for_the_daemon_and_nothing_else_is(host: Host) -> None:
    host.release("1.0.0")
    container = host.run("web", "1.0.0", start=False)
    names = [f"RT{end}{number}" for end in ("MIN+", "MAX-") for number in range(20)]
    names += [*signal.Signals.__members__, "RTMIN", "rtmax", "quit", "NOPE", "SIG9", "SIGSIGINT"]
    differing = [
        text
        for text in [*names, *map(str, range(70))]
        # It does not run: a signal is answered by a conflict, and what is none by another refusal.
        if (parse_signal(text) is not None) != (_status_of_a_kill(host, container, text) == 409)
    ]
    assert differing == []


def _status_of_a_kill(host: Host, container: str, text: str) -> int:
    url = f"{host.client.base_url}/v1.41/containers/{container}/kill"
    return int(host.client.post(url, params={"signal": text}).status_code)


@pytest.mark.parametrize("given_by", ["image", "user"])
def test_a_label_that_no_daemon_understands_does_not_bar_the_way_back(host: Host, given_by: str) -> None:
    host.release("1.0.0")
    labels = {LABEL: "SIGNOPE"} if given_by == "user" else {}
    old = host.run("web", "1.0.0", stop_timeout=1, labels=labels)
    changes = (f"LABEL {LABEL}=SIGNOPE",) if given_by == "image" else ()
    drive = host.drive("web", host.release("1.0.1", changes=changes))
    drive.switch()
    assert host.inspect("web")["State"]["Running"]
    assert host.inspect("web")["Config"]["Labels"][LABEL] == "SIGNOPE"
    drive.restore()
    assert (host.inspect("web")["Id"], host.inspect("web")["State"]["Running"]) == (old, True)
    assert host.names() == {host.name("web")}


@pytest.mark.parametrize("label", [None, "SIGQUIT"])
def test_what_does_not_end_is_killed_after_the_policys_time(drive: Stopping, label: str | None) -> None:
    noted, took_s, exit_code = drive.park(DEAF, grace_s=1.0, labels={LABEL: label} if label else {})
    assert (noted, exit_code) == ("", 137)
    assert 0.9 < took_s < 6
