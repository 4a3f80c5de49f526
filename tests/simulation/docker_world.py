"""The daemons that the Docker enumeration begins with: a container that serves, and what it is to become."""

from __future__ import annotations

import copy
from typing import Any

import attrs

from safeupdater.backends.docker import DockerBackend
from safeupdater.domain.artifact import ImageReference
from safeupdater.domain.health import HealthPolicy
from safeupdater.domain.operation import OperationSettings, Outcome, Unrunnable
from safeupdater.domain.plan import PlannedUpdate
from safeupdater.testing.driving import operation_for
from safeupdater.testing.fake_docker import CRASHES, FakeDocker

REPOSITORY = "registry.test/app"
SIDE = "registry.test/side:1"
TARGET = "docker://test/web"
SETTINGS = OperationSettings(
    health=HealthPolicy(ready_timeout_s=30.0, window_s=10.0, interval_s=10.0), unrunnable=Unrunnable.COMMIT
)
Json = dict[str, Any]


@attrs.frozen(kw_only=True)
class Scenario:
    """One update to disturb.

    ``sidecar``: the state of a container that shares the target's network. ``earlier``: an update that has
    succeeded before. ``by_hand``: somebody takes that one back instead of updating further.
    """

    name: str
    is_bad: bool = False
    policy: str = "always"
    is_running: bool = True
    sidecar: str = ""
    is_same_tag: bool = False
    earlier: bool = False
    by_hand: bool = False

    @property
    def expected(self) -> Outcome:
        """How it ends undisturbed."""
        return Outcome.ROLLED_BACK if self.is_bad else Outcome.SUCCEEDED

    @property
    def old_tag(self) -> str:
        """The tag that serves when the operation begins."""
        return "1.0.1" if self.earlier else "1.0.0"

    @property
    def new_tag(self) -> str:
        """The tag that is to serve."""
        if self.by_hand:
            return "1.0.0"
        if self.is_same_tag:
            return self.old_tag
        return "1.0.2" if self.earlier else "1.0.1"


SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario(name="good"),
        Scenario(name="bad", is_bad=True),
        Scenario(name="unless-stopped", policy="unless-stopped"),
        Scenario(name="not restarted", policy="no"),
        Scenario(name="stopped", policy="unless-stopped", is_running=False),
        Scenario(name="with a sidecar", sidecar="running"),
        Scenario(name="bad with a sidecar", sidecar="running", is_bad=True),
        Scenario(name="with a stopped sidecar", sidecar="stopped", policy="unless-stopped"),
        Scenario(name="same tag", is_same_tag=True),
        Scenario(name="bad under the same tag", is_same_tag=True, is_bad=True),
        Scenario(name="bad after a good one", earlier=True, is_bad=True),
        Scenario(name="back by hand", earlier=True, by_hand=True),
    )
}


@attrs.frozen(kw_only=True)
class Stage:
    """A daemon as it is before anything begins, and what a check must know of it.

    ``body`` is what the user asked for when creating the target. ``planned`` holds the updates to carry out,
    the last of which is the one to disturb.
    """

    scenario: Scenario
    daemon: FakeDocker
    planned: tuple[PlannedUpdate, ...]
    body: Json


def make_stage(scenario: Scenario) -> Stage:
    """Sets the scene: ``web`` and what stands on it, beside a container that is nobody's business."""
    daemon = FakeDocker()
    daemon.networks |= {"front": "3" * 64, "back": "4" * 64}
    digests = {
        "1.0.0": daemon.release(f"{REPOSITORY}:1.0.0", pulled=True, Env=["A=1"], Volumes={"/image": {}})
    }
    daemon.release(SIDE, pulled=True, Volumes={"/side": {}})
    body: Json = {
        "Env": ["MINE=1"], "Volumes": {"/nameless": {}}, "Labels": {"mine": "yes"},
        "Healthcheck": {"Test": ["NONE"]}, "StopTimeout": 3,
        "HostConfig": {
            "RestartPolicy": {"Name": scenario.policy, "MaximumRetryCount": 0}, "Binds": ["named:/data"],
            "PortBindings": {"80/tcp": [{"HostIp": "", "HostPort": "8080"}]}, "NetworkMode": "front",
        },
        "NetworkingConfig": {"EndpointsConfig": {"front": {"IPAMConfig": {"IPv4Address": "10.1.0.9"}}}},
    }  # fmt: skip
    # The names of volumes are told from the ids, so every daemon that is made here is the same.
    main = daemon.run("web", f"{REPOSITORY}:1.0.0", start=False, **copy.deepcopy(body))
    daemon.connect("back", main, {"Aliases": ["deep"]})
    daemon.run("bystander", SIDE, HostConfig={"NetworkMode": "back", "RestartPolicy": {"Name": "always"}})
    daemon.start(main)
    if scenario.sidecar:
        host_config = {"NetworkMode": f"container:{main}", "RestartPolicy": {"Name": scenario.policy}}
        side = daemon.run("side", SIDE, HostConfig=host_config)
        if scenario.sidecar == "stopped":
            daemon.stop(side)
    if not scenario.is_running:
        daemon.stop(main)
    for volume in daemon.volumes.values():
        volume.content = f"precious {volume.name}"
    return Stage(
        scenario=scenario, daemon=daemon, planned=tuple(_updates(scenario, daemon, digests)), body=body
    )


def _updates(scenario: Scenario, daemon: FakeDocker, digests: dict[str, str]) -> list[PlannedUpdate]:
    wanted = [("1.0.1", False)] if scenario.earlier else []
    if not scenario.by_hand:
        wanted.append((scenario.new_tag, scenario.is_bad))
    asset = next(
        item for item in DockerBackend(daemon.client(), host="test").scan().assets if item.id == TARGET
    )
    assert isinstance(asset.image, ImageReference)
    updates = []
    present = asset.image
    for tag, is_bad in wanted:
        labels = {CRASHES: "yes"} if is_bad else {}
        digest = daemon.release(
            f"{REPOSITORY}:{tag}", Env=["A=2", "B=2"], Volumes={"/image": {}, "/more": {}}, Labels=labels
        )
        reference = ImageReference.parse(f"{REPOSITORY}:{tag}@{digest}")
        updates.append(operation_for(attrs.evolve(asset, image=present), reference).planned)
        present = reference
    return updates
