"""One runtime by two names is noticed before anything is done twice."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from safeupdater.backends.docker import DockerBackend
from safeupdater.config.policy import Policy
from safeupdater.errors import ConfigurationError, ScanError
from safeupdater.protocols import Backend
from safeupdater.registries.static import StaticTags
from safeupdater.stores.jsonfile import JsonFileStore
from safeupdater.testing.clock import FakeClock
from safeupdater.testing.fake_docker import FakeDocker
from safeupdater.testing.fake_docker_http import FakeTransport
from safeupdater.update.guarded import GuardedBackend
from safeupdater.update.runtimes import Runtimes
from safeupdater.update.updater import Updater

APP = "registry.test/app"
POLICY = Policy.from_dict({"health": {"window": "30s", "interval": "10s", "ready_timeout": "30s"}})


class Scene:
    """An updater with backends ``a``, ``b`` … for these daemons."""

    def __init__(self, place: Path, *daemons: FakeDocker) -> None:
        for daemon in daemons:
            self.digest = daemon.release(f"{APP}:1.0.1")
        for daemon in {id(each): each for each in daemons}.values():
            daemon.release(f"{APP}:1.0.0", pulled=True)
            daemon.run("web", f"{APP}:1.0.0")
        self.transports = [FakeTransport(daemon) for daemon in daemons]
        self.backends = [
            DockerBackend(
                daemon.client(lambda _, transport=transport: transport), host=alias, own_container=None
            )
            for alias, daemon, transport in zip("abc", daemons, self.transports, strict=False)
        ]
        self.place, self.clock = place, FakeClock()
        self.updater = self.again()

    def again(self) -> Updater:
        """What another process would have."""
        tags = StaticTags({APP: ["1.0.0", "1.0.1"]}, digests={f"{APP}:1.0.1": self.digest})
        return Updater(
            backends=self.backends, policy=POLICY, tags=tags, clock=self.clock,
            store=JsonFileStore(self.place, self.clock),
        )  # fmt: skip

    def infos(self) -> list[int]:
        """How often each backend asked who the daemon is."""
        return [transport.calls.count("GET /info") for transport in self.transports]


def test_one_daemon_by_two_aliases_is_refused_and_both_are_named(tmp_path: Path) -> None:
    daemon = FakeDocker()
    scene = Scene(tmp_path, daemon, daemon)
    for act in (scene.updater.scan, scene.updater.apply):
        with pytest.raises(ConfigurationError, match="docker on a and docker on b are the same runtime"):
            act()
    scene.updater.close()
    # Not even where nothing was scanned in this process.
    with scene.again() as later, pytest.raises(ConfigurationError, match="on a and docker on b"):
        later.apply()
    assert daemon.running() == {"web"}
    assert daemon.find("web")["Config"]["Image"] == f"{APP}:1.0.0"


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ({}, {}),
        ({"daemon_id": "X", "host_name": "one"}, {"daemon_id": "X", "host_name": "its copy"}),
        ({"daemon_id": ""}, {"daemon_id": ""}),
    ],
    ids=["ids", "host names", "no ids"],
)
def test_others_are_different(tmp_path: Path, a: dict[str, str], b: dict[str, str]) -> None:
    scene = Scene(tmp_path, FakeDocker(**a), FakeDocker(**b))
    with scene.updater as updater:
        updater.scan()
        assert [result.target_id for result in updater.apply()] == ["docker://a/web", "docker://b/web"]
        updater.scan()
    assert scene.infos() == [1, 1]


def test_a_single_daemon_is_not_asked_who_it_is(tmp_path: Path) -> None:
    scene = Scene(tmp_path, FakeDocker())
    with scene.updater as updater:
        updater.scan()
    assert scene.infos() == [0]


def test_a_daemon_that_is_away_is_asked_when_it_is_back(tmp_path: Path) -> None:
    daemon = FakeDocker()
    scene = Scene(tmp_path, daemon, daemon)

    def away() -> None:
        raise ScanError("away", transient=True)

    with scene.updater as updater:
        scene.backends[1].scan = away  # type: ignore[method-assign, assignment]
        assert len(updater.scan().problems) == 1
        del scene.backends[1].scan
        with pytest.raises(ConfigurationError, match="docker on a and docker on b"):
            updater.scan()


class Plugin:
    """A foreign backend, which knows nothing of deadlines."""

    name = "acme"

    def __init__(self, host: str, runtime_id: object = None) -> None:
        self.host = host
        self._identity = runtime_id

    @property
    def runtime_id(self) -> object:
        if isinstance(self._identity, Exception):
            raise self._identity
        return self._identity


def guarded(*backends: object) -> Runtimes:
    runtimes = Runtimes()
    for backend in backends:
        runtimes.add(GuardedBackend(cast("Backend", backend)))
    return runtimes


def test_foreign_backends_are_told_apart_too() -> None:
    with pytest.raises(ConfigurationError, match="acme on a and acme on b are the same runtime"):
        guarded(Plugin("a", "x"), Plugin("b", "x"))


def test_a_foreign_backend_that_does_not_say_who_it_is_is_different() -> None:
    silent = SimpleNamespace(name="acme", host="c")  # has no such attribute
    guarded(
        Plugin("a", RuntimeError("a bug")), Plugin("b", RuntimeError("a bug")), Plugin("b"), silent, silent
    )


def test_one_name_for_one_runtime_is_no_second_one() -> None:
    """Two views of one daemon, as by different labels, see the same targets by the same ids."""
    runtimes = Runtimes()
    for host in ("a", "a"):
        runtimes.add(cast("Backend", SimpleNamespace(name="docker", host=host, runtime_id="same")))
    with pytest.raises(ConfigurationError, match="docker on a and docker on b"):
        runtimes.add(cast("Backend", SimpleNamespace(name="docker", host="b", runtime_id="same")))
