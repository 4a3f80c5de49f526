"""A real updater process killed by SIGKILL before and after every named step; a new process recovers.

The first process scans, plans and applies with the engine, an SQLite store, a registry and a daemon, and
kills itself. What a second one leaves is exactly one of the old and the new version, under its name. After
every step that took effect the daemon restarts too, before anybody recovers; an updater that lives through
the daemon's restarts is in ``test_docker_interrupted.py``.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import docker
import pytest

from safeupdater.backends.docker.backend import STEPS
from safeupdater.domain.operation import Phase
from safeupdater.stores import open_store
from testbed.docker import Dockerd
from testbed.killed_updater import VARIABLE
from testbed.processes import wait_until
from tests.support.releases import NEW, OLD, connect, released

ROOT = Path(__file__).resolve().parents[2]
MOMENTS = ("before", "after")


def points(phase: Phase) -> list[str]:
    """Every moment at which a process can be killed around the steps of a phase."""
    return [f"{moment} {phase} {step}" for step in STEPS.of(phase) for moment in MOMENTS]


def killed_at(points: Sequence[str]) -> pytest.MarkDecorator:
    """Each of the points, and the daemon restarts after those at which a step took effect."""
    restarted = [point for point in points if not point.startswith("before ")]
    cases = [*((point, False) for point in points), *((point, True) for point in restarted)]
    ids = [f"{point}, daemon restarts" if restarts else point for point, restarts in cases]
    return pytest.mark.parametrize(("point", "restarts"), cases, ids=ids)


RESUMING = [f"{moment} {Phase.SWITCHING} {step}" for step in STEPS.resuming for moment in MOMENTS]


@pytest.fixture(scope="module")
def daemon() -> Iterator[Dockerd]:
    """A daemon of our own: there must be no other container, and it is restarted."""
    with Dockerd() as running:
        yield running


@pytest.fixture(scope="module")
def releases(daemon: Dockerd) -> Iterator[str]:
    """A registry with a good release, a crashing one, and one whose layers are gone: ``host:port``."""
    with released(daemon) as host:
        yield host


class Scene:
    """A host with one container, which keeps data in a nameless volume, and a store in a file."""

    def __init__(self, daemon: Dockerd, repository: str, store: Path) -> None:
        self.daemon, self.repository = daemon, repository
        self.store = f"sqlite:///{store}"
        self.client = connect(daemon)
        for container in self.client.containers(all=True):
            self.client.remove_container(container["Id"], force=True, v=True)
        for image in self.client.images("safeupdater/keep"):
            self.client.remove_image(image["Id"], force=True)
        if not self.client.images(f"{repository}:{OLD}"):
            self.client.pull(f"{repository}:{OLD}")
        for image in self.client.images(f"{repository}:{NEW}"):
            self.client.remove_image(image["Id"], force=True)
        host_config = self.client.create_host_config(restart_policy={"Name": "always"})
        made = self.client.create_container(
            f"{repository}:{OLD}", name="web", volumes=["/kept"], host_config=host_config
        )
        self.client.start(made["Id"])
        self.before = self.client.inspect_container("web")

    def killed(self, job: str, point: str, *, restarts: bool = False) -> None:
        """A process that dies at that point, and nowhere else; the daemon restarts then, where it does."""
        done = self._process(job, point)
        assert done.returncode == -signal.SIGKILL, f"it did not die {point}: {done.stdout} {done.stderr}"
        if restarts:
            self.daemon.restart()

    def recovered(self) -> list[str]:
        """A process that takes up what was left; the outcomes."""
        done = self._process("recover")
        assert done.returncode == 0, done.stderr
        return [outcome for _, outcome, _, _ in json.loads(done.stdout)]

    def _process(self, job: str, point: str = "") -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "testbed.killed_updater", job, self.daemon.host, self.store]
        return subprocess.run(
            command, cwd=ROOT, env={**os.environ, VARIABLE: point},
            capture_output=True, text=True, timeout=90,
        )  # fmt: skip

    def check(self, version: str) -> None:
        """That version runs under the name, alone, with its volume; nothing else is left or open."""
        assert wait_until(self._runs, timeout_s=15), "nothing runs"
        found = self.client.inspect_container("web")
        assert found["Config"]["Image"] == f"{self.repository}:{version}"
        assert (found["Id"] == self.before["Id"]) is (version == OLD)
        assert len(self.client.containers(all=True)) == 1, "leftovers"
        assert found["HostConfig"]["RestartPolicy"]["Name"] == "always"
        assert found["Mounts"][0]["Name"] == self.before["Mounts"][0]["Name"]
        if version == OLD:
            assert not self.client.images("safeupdater/keep"), "the old image is kept for nothing"
        with closing(open_store(self.store)) as store:
            assert store.unfinished() == ()

    def _runs(self) -> bool:
        try:
            return bool(self.client.inspect_container("web")["State"]["Running"])
        except docker.errors.NotFound:
            return False


@killed_at(points(Phase.STAGING))
def test_killed_while_staging_the_old_version_goes_on(
    daemon: Dockerd, releases: str, tmp_path: Path, point: str, restarts: bool
) -> None:
    scene = Scene(daemon, f"{releases}/good", tmp_path / "store.db")
    scene.killed("apply", point, restarts=restarts)
    if not restarts:
        assert scene.client.inspect_container("web")["State"] == scene.before["State"]
    assert scene.recovered() == ["aborted"]
    scene.check(OLD)


@killed_at([*points(Phase.SWITCHING), "in settling"])
def test_killed_while_switching_the_old_version_comes_back(
    daemon: Dockerd, releases: str, tmp_path: Path, point: str, restarts: bool
) -> None:
    scene = Scene(daemon, f"{releases}/good", tmp_path / "store.db")
    scene.killed("apply", point, restarts=restarts)
    assert scene.recovered() == ["rolled_back"]
    scene.check(OLD)


@killed_at(["journaled BecameReady", *points(Phase.COMMITTING)])
def test_killed_once_it_was_ready_the_new_version_stays(
    daemon: Dockerd, releases: str, tmp_path: Path, point: str, restarts: bool
) -> None:
    scene = Scene(daemon, f"{releases}/good", tmp_path / "store.db")
    scene.killed("apply", point, restarts=restarts)
    assert scene.recovered() == ["succeeded"]
    scene.check(NEW)


@killed_at(points(Phase.RESTORING))
def test_killed_while_restoring_the_old_version_comes_back(
    daemon: Dockerd, releases: str, tmp_path: Path, point: str, restarts: bool
) -> None:
    scene = Scene(daemon, f"{releases}/crash", tmp_path / "store.db")
    scene.killed("apply", point, restarts=restarts)
    assert scene.recovered() == ["rolled_back"]
    scene.check(OLD)


@killed_at(points(Phase.DISCARDING))
def test_killed_while_discarding_the_old_version_goes_on(
    daemon: Dockerd, releases: str, tmp_path: Path, point: str, restarts: bool
) -> None:
    scene = Scene(daemon, f"{releases}/gone", tmp_path / "store.db")
    scene.killed("apply", point, restarts=restarts)
    assert scene.recovered() == ["aborted"]
    scene.check(OLD)


@killed_at(RESUMING)
def test_killed_while_watching_and_again_while_resuming_the_new_version_stays(
    daemon: Dockerd, releases: str, tmp_path: Path, point: str, restarts: bool
) -> None:
    scene = Scene(daemon, f"{releases}/good", tmp_path / "store.db")
    scene.killed("apply", "journaled BecameReady")
    scene.killed("recover", point, restarts=restarts)
    assert scene.recovered() == ["succeeded"]
    scene.check(NEW)
