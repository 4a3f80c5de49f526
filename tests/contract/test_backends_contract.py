"""The backend contract, on the world in memory and on the real Docker backend over a daemon in memory."""

from __future__ import annotations

import copy

import attrs

from safeupdater.backends.docker import DockerBackend
from safeupdater.backends.memory import MemoryBackend, MemoryWorld
from safeupdater.domain.artifact import ImageReference
from safeupdater.protocols import Backend
from safeupdater.testing.backends import BackendContract
from safeupdater.testing.clock import FakeClock
from safeupdater.testing.fake_docker import FakeDocker

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

    def running(self) -> frozenset[str]:
        return frozenset(item.name for item in self.world.containers.values() if item.running)

    def somebody_removes(self) -> None:
        self.world.remove("web")

    def somebody_replaces(self) -> None:
        self.world.remove("web")
        self.world.run("web", f"{APP}:0.9.0", mode="mine")


class DockerStage:
    """One container of a Docker daemon in memory."""

    def __init__(self) -> None:
        self.daemon = FakeDocker()
        self.daemon.release(f"{APP}:0.9.0", pulled=True)
        self.daemon.release(f"{APP}:1.0.0", pulled=True)
        digest = self.daemon.release(f"{APP}:1.0.1")
        self.new = ImageReference.parse(f"{APP}:1.0.1").with_digest(digest)
        self.daemon.run("web", f"{APP}:1.0.0", Env=["MODE=prod"])
        self.backend: Backend = DockerBackend(self.daemon.client(), host="test", own_container=None)

    def state(self) -> object:
        return copy.deepcopy((self.daemon.containers, self.daemon.images, self.daemon.volumes))

    def running(self) -> frozenset[str]:
        return frozenset(self.daemon.running())

    def somebody_removes(self) -> None:
        self.daemon.remove("web", with_volumes=False, force=True)

    def somebody_replaces(self) -> None:
        self.somebody_removes()
        self.daemon.run("web", f"{APP}:0.9.0", Env=["MODE=mine"])


class TestMemoryBackend(BackendContract):
    def make_stage(self) -> MemoryStage:
        return MemoryStage()


class TestDockerBackend(BackendContract):
    def make_stage(self) -> DockerStage:
        return DockerStage()
