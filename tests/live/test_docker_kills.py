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

import pytest

from safeupdater.backends.docker.backend import STEPS
from safeupdater.domain.operation import Phase
from safeupdater.stores import open_store
from testbed.docker import Dockerd
from testbed.killed_updater import VARIABLE
from tests.support.releases import NEW, OLD, OneContainer, released

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


class Scene(OneContainer):
    """A host with one container and a store in a file, and processes that update it."""

    def __init__(self, daemon: Dockerd, repository: str, store: Path) -> None:
        super().__init__(daemon, repository)
        self.store = f"sqlite:///{store}"

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
        """As it says there; and no operation is open."""
        super().check(version)
        with closing(open_store(self.store)) as store:
            assert store.unfinished() == ()


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
