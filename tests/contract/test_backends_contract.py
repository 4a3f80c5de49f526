"""The backend contract, on the world in memory and on the real Docker backend over a daemon in memory."""

from __future__ import annotations

import copy

import attrs

from safeupdater.backends.docker import DockerBackend
from safeupdater.backends.memory import MemoryBackend, MemoryWorld
from safeupdater.domain.artifact import ImageReference
from safeupdater.protocols import Backend
from safeupdater.testing.backends import BackendContract, Thing
from safeupdater.testing.clock import FakeClock
from safeupdater.testing.fake_docker import FakeDocker
from tests.support.docker_things import docker_thing

APP = "registry.test/app"


class MemoryStage:
    """One container of a world in memory."""

    def __init__(self) -> None:
        self.world = MemoryWorld(FakeClock())
        self.world.run("web", f"{APP}:1.0.0", mode="prod")
        self.new = ImageReference.parse(f"{APP}:1.0.1").with_digest(self.world.publish(f"{APP}:1.0.1"))
        self.backend: Backend = MemoryBackend(self.world)

    def state(self) -> object:
        containers = [attrs.asdict(item) for item in self.world.containers.values()]
        for container in containers:
            container.pop("looks")
        return copy.deepcopy((containers, self.world.images, self.world.kept))

    def things(self) -> list[Thing]:
        return [
            Thing(
                id=item.id,
                name=item.name,
                running=item.running,
                config=dict(item.config),
                restart="" if item.restart == "no" else item.restart,
            )
            for item in self.world.containers.values()
        ]

    def somebody_removes(self) -> None:
        self.world.remove("web")

    def somebody_replaces(self) -> None:
        self.world.remove("web")
        self.world.run("web", f"{APP}:0.9.0", mode="mine")

    def somebody_edits(self) -> None:
        self.world.containers["web"].config = {"mode": "edited"}

    def power_fails(self) -> None:
        self.world.containers["web"].running = False
        self.world.containers["web"].exit_code = 137


class DockerStage:
    """One container of a Docker daemon in memory."""

    def __init__(self) -> None:
        self.daemon = FakeDocker()
        self.daemon.release(f"{APP}:0.9.0", pulled=True)
        self.daemon.release(f"{APP}:1.0.0", pulled=True)
        digest = self.daemon.release(f"{APP}:1.0.1")
        self.new = ImageReference.parse(f"{APP}:1.0.1").with_digest(digest)
        self._run("1.0.0", "prod")
        self.backend: Backend = DockerBackend(self.daemon.client(), host="test", own_container=None)

    def state(self) -> object:
        return copy.deepcopy((self.daemon.containers, self.daemon.images, self.daemon.volumes))

    def things(self) -> list[Thing]:
        return [docker_thing(container) for container in self.daemon.containers.values()]

    def somebody_removes(self) -> None:
        self.daemon.remove("web", with_volumes=False, force=True)

    def somebody_replaces(self) -> None:
        self.somebody_removes()
        self._run("0.9.0", "mine")

    def somebody_edits(self) -> None:
        self.somebody_removes()
        self._run("1.0.0", "edited")

    def power_fails(self) -> None:
        self.daemon.kill("web", "SIGKILL")

    def _run(self, tag: str, mode: str) -> None:
        always = {"RestartPolicy": {"Name": "always", "MaximumRetryCount": 0}}
        self.daemon.run(
            "web", f"{APP}:{tag}", Env=[f"MODE={mode}"], Labels={"tier": "web"}, HostConfig=always
        )


class TestMemoryBackend(BackendContract):
    def make_stage(self) -> MemoryStage:
        return MemoryStage()


class TestDockerBackend(BackendContract):
    def make_stage(self) -> DockerStage:
        return DockerStage()
