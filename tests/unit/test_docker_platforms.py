"""Releases for several platforms: what was decided on for the machine is what is pulled and runs."""

from __future__ import annotations

import json
import re
import urllib.parse
from collections.abc import Iterator
from typing import Any

import attrs
import pytest

from safeupdater.backends.docker import DockerBackend
from safeupdater.domain.artifact import ImageReference, ResolvedImage
from safeupdater.domain.operation import Phase
from safeupdater.errors import RegistryError
from safeupdater.testing.driving import Drive, StepStopped, operation_for
from safeupdater.testing.fake_docker import FakeDocker, Json, Refused
from safeupdater.testing.fake_docker_http import FakeTransport
from testbed.registry_world import World, image
from testbed.scripted_registry import Repository
from tests.support.indexes import add_index

APP = image("shop/app:1.0.1")
LADDER = {"v8": ("v8", "v7", "v6", "v5"), "v7": ("v7", "v6", "v5"), "v6": ("v6", "v5"), "v5": ("v5",)}
"""Which variants of 32-bit ARM containerd tries for one, in its order (platforms/compare.go)."""


@attrs.define
class ManyPlatforms(FakeDocker):
    """A daemon that takes the manifest of an index that fits the platform it is asked for."""

    index: str = ""
    """What of the registry is an index, as ``repository@digest``; the digests in it by platform."""
    offered: dict[str, str] = attrs.field(factory=dict)
    asked: list[tuple[str, str]] = attrs.field(factory=list)
    """What was created for which platform: ``image`` or ``container``, and the platform."""
    says_platform: bool = False
    takes_first: bool = False
    """Where no manifest is for that very platform: Docker 20.10 takes the first for the architecture."""
    tells_variant: bool = True
    """Whether configs of images name their variant: those of old builders do not."""

    def choose(self, wanted: str) -> None:
        """Serves for the index what it has for a platform."""
        os, architecture, *variant = wanted.split("/")
        tried = LADDER[variant[0] if variant else "v7"] if architecture == "arm" else ("",)
        fit = [f"{os}/{architecture}/{text}".rstrip("/") for text in tried]
        if self.takes_first:
            fit[1:] = [platform for platform in self.offered if platform.startswith(f"{os}/{architecture}/")]
        found = next((platform for platform in fit if platform in self.offered), None)
        if found is None:
            raise Refused(404, f"no matching manifest for {wanted} in the manifest list entries")
        said = found if self.tells_variant else f"{os}/{architecture}"
        self.registry[self.index] |= {**described(said), "Id": self.offered[found]}

    def create(self, name: str, body: Json) -> str:
        identity = super().create(name, body)
        found = self._existing_image(str(body["Image"]))
        if self.says_platform:
            keys = {"os": "Os", "architecture": "Architecture", "variant": "Variant"}
            platform = {key: found[said] for key, said in keys.items()}
            self.containers[identity]["ImageManifestDescriptor"] = {"digest": "d", "platform": platform}
        return identity


class Wire(FakeTransport):
    """Serves the platform that a call asks for, to the letter where a container is created."""

    daemon: ManyPlatforms

    def answer(self, method: str, url: str, body: str | bytes | None) -> tuple[int, bytes]:
        made = re.search(r"/(image|container)s/create\?", url)
        wanted = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(url).query)).get("platform", "")
        if made is not None:
            self.daemon.asked.append((made[1], wanted))
        try:
            if made is not None and made[1] == "image":
                self.daemon.choose(wanted)
        except Refused as refused:
            return refused.status, json.dumps({"message": refused.message}).encode()
        return super().answer(method, url, body)


def described(platform: str) -> dict[str, Any]:
    return dict(zip(("Os", "Architecture", "Variant"), [*platform.split("/"), ""], strict=False))


@attrs.define
class Scene:
    """A machine, a container on it, and a registry that has a next release for some platforms."""

    daemon: ManyPlatforms
    repository: Repository
    world: World
    new: ImageReference = APP

    @property
    def backend(self) -> DockerBackend:
        return DockerBackend(self.daemon.client(Wire), host="test", own_container=None)

    def run(self, platform: str) -> None:
        """Starts the old release, which is for that platform."""
        self.daemon.release(f"{APP.name}:1.0.0", pulled=True)
        found = self.daemon.find_image(f"{APP.name}:1.0.0")
        assert found is not None
        found |= described(platform)
        self.daemon.run("web", f"{APP.name}:1.0.0")

    def offer(self, *platforms: str) -> None:
        """Puts the next release for these platforms into the registry."""
        digests = add_index(self.repository, "1.0.1", *platforms)
        self.new = APP.with_digest(digests.pop("1.0.1"))
        self.daemon.index, self.daemon.offered = f"{APP.name}@{self.new.digest}", digests
        self.daemon.registry[self.daemon.index] = {"Config": {"Cmd": ["serve"]}}

    def decide(self) -> ResolvedImage:
        (asset,) = self.backend.scan().assets
        return self.world.client().resolve(APP, asset.platform)

    def drive(self, new: ImageReference, **options: Any) -> Drive:
        backend = self.backend
        (asset,) = backend.scan().assets
        return Drive(backend, operation_for(asset, new, **options))

    def refusal(self) -> str:
        """Why the next release is not taken, where somebody plans it all the same."""
        drive = self.drive(self.new)
        with pytest.raises(StepStopped) as stopped:
            drive.update()
        drive.perform(Phase.DISCARDING)
        return stopped.value.outcome.code

    @property
    def runs(self) -> str:
        return str(self.daemon.find("web")["Image"])


@pytest.fixture
def world() -> Iterator[World]:
    with World() as made:
        yield made


@pytest.fixture(params=[False, True], ids=["image says it", "container says it"])
def scene(world: World, request: pytest.FixtureRequest) -> Scene:
    says_platform = bool(request.param)
    daemon = ManyPlatforms(says_platform=says_platform, api_version="1.48" if says_platform else "1.41")
    daemon.architecture, daemon.machine = "arm", "armv7l"
    return Scene(daemon=daemon, repository=world.serve().repository("shop/app"), world=world)


ARM = ("linux/arm/v5", "linux/arm/v6", "linux/arm/v7", "linux/arm64", "linux/amd64")


@pytest.mark.parametrize(
    ("machine", "running", "offered", "chosen"),
    [
        ("armv7l", "linux/arm/v6", ("linux/arm/v7",), "linux/arm/v7"),
        ("armv7l", "linux/arm/v6", ("linux/arm/v6",), "linux/arm/v6"),
        ("armv7l", "linux/arm/v6", ARM, "linux/arm/v7"),
        ("armv7l", "linux/arm/v7", ("linux/arm/v5", "linux/arm/v6"), "linux/arm/v6"),
        ("armv7l", "linux/arm", ARM, "linux/arm/v7"),
        ("armv8l", "linux/arm/v6", ARM, "linux/arm/v7"),
        ("armv6l", "linux/arm/v5", ARM, "linux/arm/v6"),
        ("aarch64", "linux/arm/v6", ("linux/arm/v7",), "linux/arm/v7"),
    ],
)  # fmt: skip
def test_what_was_decided_on_for_the_machine_is_what_runs(
    scene: Scene, machine: str, running: str, offered: tuple[str, ...], chosen: str
) -> None:
    scene.daemon.machine = machine
    scene.run(running)
    scene.offer(*offered)
    decided = scene.decide()
    scene.drive(decided.reference).update()
    assert scene.runs == decided.platform_digest == scene.daemon.offered[chosen]
    assert scene.daemon.asked[-1] == ("container", chosen.replace("arm/v7", "arm"))


def test_a_release_that_the_machine_cannot_run_is_none(scene: Scene) -> None:
    scene.daemon.machine = "armv6l"
    scene.run("linux/arm/v6")
    before = scene.runs
    scene.offer("linux/arm/v7", "linux/arm64")
    with pytest.raises(RegistryError, match="not built for linux/arm/v6"):
        scene.decide()
    assert scene.refusal() == "platform_mismatch"
    assert scene.runs == before


@pytest.mark.parametrize(
    ("running", "offered", "is_taken"),
    [
        ("linux/amd64", ("linux/amd64", "linux/arm64"), True),
        ("linux/amd64", ("linux/arm64",), False),
        ("linux/arm/v6", ("linux/arm/v6", "linux/arm/v7", "linux/arm64"), True),
        ("linux/arm/v6", ("linux/arm/v7", "linux/arm64"), False),
    ],
)
def test_what_a_machine_emulates_keeps_its_platform(
    scene: Scene, running: str, offered: tuple[str, ...], is_taken: bool
) -> None:
    scene.daemon.architecture, scene.daemon.machine = "arm64", "aarch64"
    scene.run(running)
    before = scene.runs
    scene.offer(*offered)
    if is_taken:
        scene.drive(scene.decide().reference).update()
        assert scene.runs == scene.daemon.offered[running]
        assert [wanted for _, wanted in scene.daemon.asked] == [running] * 2
    else:
        assert scene.refusal() == "platform_mismatch"
        assert scene.runs == before


@pytest.mark.parametrize(
    ("machine", "running", "offered", "taken"),
    [
        ("armv7l", "linux/arm/v7", ("linux/arm/v5", "linux/arm/v6"), "linux/arm/v5"),
        ("armv7l", "linux/arm/v6", ARM, "linux/arm/v7"),
        ("armv6l", "linux/arm/v6", ("linux/arm/v7", "linux/arm/v5"), None),
        ("armv6l", "linux/arm", ("linux/arm/v7", "linux/arm/v5"), None),
    ],
)
def test_what_a_daemon_takes_that_knows_no_order_runs_only_where_the_machine_can(
    scene: Scene, machine: str, running: str, offered: tuple[str, ...], taken: str | None
) -> None:
    scene.daemon.takes_first, scene.daemon.machine = True, machine
    scene.run(running)
    before = scene.runs
    scene.offer(*offered)
    new = scene.decide().reference
    if taken is None:
        assert scene.refusal() == "platform_mismatch"
        assert scene.runs == before
    else:
        scene.drive(new).update()
        assert scene.runs == scene.daemon.offered[taken]


def test_an_image_without_a_variant_may_follow_one_that_has_none_either(world: World) -> None:
    scene = Scene(ManyPlatforms(tells_variant=False), world.serve().repository("shop/app"), world)
    scene.daemon.architecture, scene.daemon.machine = "arm", "armv6l"
    scene.run("linux/arm")
    scene.offer("linux/arm/v6", "linux/arm/v7")
    scene.drive(scene.decide().reference).update()
    assert scene.runs == scene.daemon.offered["linux/arm/v6"]


def test_a_rollback_by_hand_fetches_the_variant_that_ran(scene: Scene) -> None:
    scene.run("linux/arm/v6")
    old, pinned = scene.runs, next(iter(scene.daemon.registry))
    scene.offer("linux/arm/v7")
    first = scene.drive(scene.new)
    first.update()
    scene.daemon.remove_image(f"safeupdater/keep:{first.operation.operation_id}")
    scene.daemon.images.pop(old, None)
    scene.daemon.index = pinned
    scene.daemon.offered = {"linux/arm/v7": "sha256:never ran here", "linux/arm/v6": old}
    back = ImageReference.parse(f"{APP.name}:1.0.0@{pinned.rpartition('@')[2]}")
    scene.drive(back, operation_id="op-2", wanted=first.operation.snapshot).update()
    assert scene.runs == old
