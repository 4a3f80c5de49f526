"""A real daemon that restarts or crashes after every named step, under an updater that goes on.

The ordinary engine drives the update and ends it; the test only takes the daemon away. What follows is
exactly one of the old and the new version, under its name, and it is the one that the outcome says. Where
the updater dies along with the daemon, and ``recover`` takes up: ``test_docker_kills.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import docker
import pytest

from safeupdater.backends.docker import DockerBackend
from safeupdater.backends.docker.backend import STEPS
from safeupdater.config import Policy
from safeupdater.domain.operation import Outcome, Phase, StepOutcome
from safeupdater.protocols import OperationContext, Report
from safeupdater.update.result import OperationResult
from safeupdater.update.updater import Updater
from testbed.docker import Dockerd
from tests.support.releases import NEW, OLD, OneContainer, connect, released

POLICY = {"version": 1, "health": {"window": "0.6s", "interval": "0.2s", "ready_timeout": "30s"}}


def restart(daemon: Dockerd) -> None:
    """As a package upgrade does it: the containers stop with it."""
    daemon.restart()


def crash(daemon: Dockerd) -> None:
    """It dies, and its containers go on until it is back."""
    daemon.kill()
    daemon.start()


DISTURBANCES = pytest.mark.parametrize("disturb", [restart, crash])


class DisturbedBackend(DockerBackend):
    """The Docker backend; something happens once, right after one step took effect."""

    def __init__(self, client: docker.APIClient, at: tuple[Phase, str], happens: Callable[[], None]) -> None:
        super().__init__(client, host="test")
        self._at, self._happens = at, happens
        self.has_happened = False

    def perform(self, operation: OperationContext, phase: Phase, step: str, report: Report) -> StepOutcome:
        outcome = super().perform(operation, phase, step, report)
        if (phase, step) == self._at and not self.has_happened:
            self.has_happened = True
            self._happens()
        return outcome


def left_by(outcome: Outcome) -> str:
    """The version that an outcome says is there."""
    return NEW if outcome is Outcome.SUCCEEDED else OLD


@pytest.fixture(scope="module")
def daemon() -> Iterator[Dockerd]:
    """A daemon of our own: it is restarted over and over."""
    with Dockerd() as running:
        yield running


@pytest.fixture(scope="module")
def registry_host(daemon: Dockerd) -> Iterator[str]:
    """A registry with a good release, a crashing one, and one whose layers are gone: ``host:port``."""
    with released(daemon) as host:
        yield host


class Scene(OneContainer):
    """One container, whose data daemon restarts must not lose either."""

    def update(self, at: tuple[Phase, str], disturb: Callable[[Dockerd], None]) -> OperationResult:
        """One whole update by the engine, with the daemon taken away after a step."""
        backend = DisturbedBackend(connect(self.daemon), at, lambda: disturb(self.daemon))
        with Updater(backends=[backend], policy=Policy.from_dict(POLICY)) as updater:
            updater.scan()
            (result,) = updater.apply()
        assert backend.has_happened, "it never came to that step"
        return result


@DISTURBANCES
@pytest.mark.parametrize("step", STEPS.staging)
def test_a_daemon_that_goes_while_staging(
    daemon: Dockerd, registry_host: str, step: str, disturb: Callable[[Dockerd], None]
) -> None:
    scene = Scene(daemon, f"{registry_host}/good")
    result = scene.update((Phase.STAGING, step), disturb)
    assert result.outcome in (Outcome.SUCCEEDED, Outcome.ABORTED), result
    scene.check(left_by(result.outcome))


@DISTURBANCES
@pytest.mark.parametrize("step", STEPS.switching)
def test_a_daemon_that_goes_while_switching(
    daemon: Dockerd, registry_host: str, step: str, disturb: Callable[[Dockerd], None]
) -> None:
    scene = Scene(daemon, f"{registry_host}/good")
    result = scene.update((Phase.SWITCHING, step), disturb)
    assert result.outcome in (Outcome.SUCCEEDED, Outcome.ROLLED_BACK), result
    scene.check(left_by(result.outcome))


@DISTURBANCES
@pytest.mark.parametrize("step", STEPS.committing)
def test_a_daemon_that_goes_while_committing(
    daemon: Dockerd, registry_host: str, step: str, disturb: Callable[[Dockerd], None]
) -> None:
    scene = Scene(daemon, f"{registry_host}/good")
    result = scene.update((Phase.COMMITTING, step), disturb)
    assert result.outcome is Outcome.SUCCEEDED, result
    scene.check(left_by(result.outcome))


@DISTURBANCES
@pytest.mark.parametrize("step", STEPS.restoring)
def test_a_daemon_that_goes_while_restoring(
    daemon: Dockerd, registry_host: str, step: str, disturb: Callable[[Dockerd], None]
) -> None:
    scene = Scene(daemon, f"{registry_host}/crash")
    result = scene.update((Phase.RESTORING, step), disturb)
    assert result.outcome is Outcome.ROLLED_BACK, result
    scene.check(left_by(result.outcome))


@pytest.mark.parametrize("step", STEPS.discarding)
def test_a_daemon_that_goes_while_discarding(daemon: Dockerd, registry_host: str, step: str) -> None:
    scene = Scene(daemon, f"{registry_host}/gone")
    result = scene.update((Phase.DISCARDING, step), restart)
    assert result.outcome is Outcome.ABORTED, result
    scene.check(left_by(result.outcome))
