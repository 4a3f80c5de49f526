"""The same tag serves other bits: found, applied and, where they are bad, taken back, by digest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import docker
import pytest

from safeupdater.backends.docker import DockerBackend
from safeupdater.config import Policy
from safeupdater.domain.change import VersionChangeType
from safeupdater.domain.operation import Outcome
from safeupdater.domain.plan import Plan
from safeupdater.protocols import StateStore
from safeupdater.stores import open_store
from safeupdater.stores.clock import SystemClock
from safeupdater.update.result import OperationResult
from safeupdater.update.updater import Updater
from testbed import images
from testbed.images import Kind
from testbed.registry import Registry

NAME = "same-tag"
POLICY: dict[str, Any] = {
    "version": 1,
    "semver_gates": {"digest": "auto"},
    "health": {
        "window": "1s", "interval": "0.25s", "ready_timeout": "5s",
        "checks": [{"type": "http", "port": images.PORT, "path": "/health"}],
    },
    "rollback": {"cooldown": "0s"},
}  # fmt: skip


class Scene:
    """A container of a tag that is pushed again and again."""

    def __init__(self, client: docker.APIClient, registry: Registry) -> None:
        self.client, self.tag = client, f"{registry.host}/{NAME}:stable"
        self.first = self.push("first", keep=True)
        client.start(client.create_container(self.tag, name=NAME)["Id"])

    def push(self, mark: str, kind: Kind = Kind.GOOD, *, keep: bool = False) -> str:
        """Pushes bits that no other push has, under the one tag, as a build server would: not from here.

        The tag stays on the host where it is: what is removed here is put back under it.
        """
        here = self.client.images(self.tag, quiet=True)
        digest = images.release(self.client, self.tag, kind, changes=[f"ENV MARK={mark}"], keep=keep)
        if here:
            repository, _, tag = self.tag.rpartition(":")
            self.client.tag(here[0], repository, tag)
        return digest

    def updater(self, policy: Mapping[str, Any] = POLICY, *, store: StateStore | None = None) -> Updater:
        """As a process that has just begun: it has no answer of the registry in its cache."""
        backends = [DockerBackend(self.client, host="test")]
        return Updater(backends=backends, policy=Policy.from_dict(dict(policy)), store=store)

    def plan(self, updater: Updater) -> Plan:
        return updater.plan([asset for asset in updater.scan().assets if asset.name == NAME])

    def apply(self) -> OperationResult:
        updater = self.updater()
        (result,) = updater.apply(self.plan(updater))
        return result

    def runs(self) -> tuple[str, str, list[str]]:
        """What the container says that it is of, the mark of its bits, and their digests."""
        found = self.client.inspect_container(NAME)
        assert found["State"]["Running"]
        (mark,) = [line.removeprefix("MARK=") for line in found["Config"]["Env"] if "MARK=" in line]
        digests = self.client.inspect_image(found["Image"])["RepoDigests"]
        return found["Config"]["Image"], mark, [digest.rpartition("@")[2] for digest in digests]

    def tagged(self) -> str:
        """The image that the host has under the tag."""
        return str(self.client.inspect_image(self.tag)["Id"])


@pytest.fixture
def scene(docker_host: str) -> Iterator[Scene]:
    client = docker.APIClient(base_url=docker_host, version="1.41")
    client.trust_env = False
    with Registry() as registry:
        yield Scene(client, registry)
        client.remove_container(NAME, force=True, v=True)
    client.close()


def test_other_bits_under_the_same_tag_are_applied_and_bad_ones_taken_back(scene: Scene) -> None:
    assert scene.runs() == (scene.tag, "first", [scene.first])
    assert scene.plan(scene.updater()).updates == (), "nothing was pushed since"

    second = scene.push("second")
    (offered,) = scene.plan(scene.updater()).updates
    (change,) = offered.changes
    assert (change.change_type, change.new.digest) == (VersionChangeType.DIGEST, second)

    assert scene.apply().outcome is Outcome.SUCCEEDED
    assert scene.runs() == (scene.tag, "second", [second])
    good = scene.client.inspect_container(NAME)
    assert scene.tagged() == good["Image"], "whoever starts it by hand gets the same"
    assert scene.plan(scene.updater()).updates == ()

    bad = scene.push("third", Kind.BAD)
    assert bad != second
    result = scene.apply()
    assert (result.outcome, result.changes[0].new.digest) == (Outcome.ROLLED_BACK, bad), result
    assert scene.runs() == (scene.tag, "second", [second])
    assert scene.client.inspect_container(NAME)["Id"] == good["Id"]
    assert scene.tagged() == good["Image"], "the tag on this host is of the good bits again"


def test_bad_bits_stay_away_and_the_next_good_ones_under_the_tag_come(scene: Scene, tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path / 'state.db'}", SystemClock())
    scene.push("second", Kind.CRASH)
    updater = scene.updater(store=store)
    (result,) = updater.apply(scene.plan(updater))
    assert result.outcome is Outcome.ROLLED_BACK, result
    assert scene.plan(scene.updater(store=store)).approved == ()

    third = scene.push("third")
    updater = scene.updater(store=store)
    (result,) = updater.apply(scene.plan(updater))
    assert result.outcome is Outcome.SUCCEEDED, result
    assert scene.runs() == (scene.tag, "third", [third])
    store.close()


def test_by_default_other_bits_under_the_same_tag_wait_for_a_person(scene: Scene) -> None:
    second = scene.push("second")
    updater = scene.updater(policy={name: part for name, part in POLICY.items() if name != "semver_gates"})
    plan = scene.plan(updater)
    assert updater.apply(plan) == ()
    assert scene.runs() == (scene.tag, "first", [scene.first])

    updater.approve(plan.updates[0], approver="ann")
    (result,) = updater.apply(plan)
    assert result.outcome is Outcome.SUCCEEDED, result
    assert scene.runs() == (scene.tag, "second", [second])
