"""The real engine, the real Docker backend and a store: killed at any call to the daemon, then recovered."""

from __future__ import annotations

from collections.abc import Mapping

import attrs
import pytest

from safeupdater.backends.docker import DockerBackend
from safeupdater.config import Policy
from safeupdater.domain.operation import Outcome
from safeupdater.registries.static import StaticTags
from safeupdater.stores.memory import MemoryStore
from safeupdater.testing.clock import FakeClock
from safeupdater.testing.fake_docker import CRASHES, FakeDocker
from safeupdater.testing.fake_docker_http import FakeTransport, Fault, Killed
from safeupdater.update.updater import Updater

APP = "registry.test/app"
POLICY = {"version": 1, "health": {"window": "30s", "interval": "10s", "ready_timeout": "30s"}}


@attrs.define
class World:
    """A host with one container, a registry with one newer release, and what outlives the updater."""

    daemon: FakeDocker
    tags: StaticTags
    old_id: str
    is_bad: bool
    clock: FakeClock = attrs.field(factory=FakeClock)
    store: MemoryStore = attrs.field()

    @store.default
    def _store(self) -> MemoryStore:
        # Each process here is this one, so a dead holder must be said to be dead.
        return MemoryStore(self.clock, is_dead=lambda holder: True)

    @classmethod
    def make(cls, *, is_bad: bool) -> World:
        daemon = FakeDocker()
        old = daemon.release(f"{APP}:1.0.0", pulled=True)
        new = daemon.release(f"{APP}:1.0.1", Labels={CRASHES: "yes"} if is_bad else {})
        old_id = daemon.run(
            "web", f"{APP}:1.0.0", Volumes={"/nameless": {}}, HostConfig={"RestartPolicy": {"Name": "always"}}
        )
        for volume in daemon.volumes.values():
            volume.content = "precious"
        tags = StaticTags({APP: ["1.0.0", "1.0.1"]}, digests={f"{APP}:1.0.0": old, f"{APP}:1.0.1": new})
        return cls(daemon=daemon, tags=tags, old_id=old_id, is_bad=is_bad)

    def process(self, faults: Mapping[int, Fault]) -> tuple[Updater, FakeTransport]:
        """A fresh updater process over the same daemon and store."""
        transport = FakeTransport(self.daemon, faults)
        client = self.daemon.client(lambda _: transport)
        updater = Updater(
            backends=[DockerBackend(client, host="test", own_container=None)],
            policy=Policy.from_dict(POLICY), store=self.store, tags=self.tags, clock=self.clock,
        )  # fmt: skip
        return updater, transport

    def live(self, faults: Mapping[int, Fault]) -> tuple[list[str], tuple[Outcome, ...]]:
        """One process: recover, scan, plan, apply. Its calls and outcomes, as far as it came."""
        updater, transport = self.process(faults)
        outcomes: tuple[Outcome, ...] = ()
        try:
            updater.scan()
            outcomes = tuple(result.outcome for result in updater.apply(updater.plan()))
        except Killed:
            self.clock.advance(3600)
        return transport.calls, outcomes

    def recover(self) -> None:
        updater, _ = self.process({})
        updater.recover(wait_s=3600)

    def check(self) -> None:
        """Exactly one of the two versions runs, nothing is left over or open, no volume is lost."""
        assert self.store.unfinished() == ()
        (main,) = self.daemon.containers.values()
        assert main["Name"] == "/web"
        assert main["State"]["Running"]
        assert main["HostConfig"]["RestartPolicy"]["Name"] == "always"
        is_new = main["Id"] != self.old_id
        assert main["Config"]["Image"] == f"{APP}:1.0.{int(is_new)}"
        assert not (is_new and self.is_bad)
        (name,) = [volume.name for volume in self.daemon.volumes.values() if volume.content]
        assert [mount["Name"] for mount in main["Mounts"]] == [name]


@pytest.mark.parametrize("is_bad", [False, True], ids=["good", "bad"])
def test_undisturbed_the_engine_does_the_right_thing(is_bad: bool) -> None:
    world = World.make(is_bad=is_bad)
    _, outcomes = world.live({})
    assert outcomes == (Outcome.ROLLED_BACK if is_bad else Outcome.SUCCEEDED,)
    world.check()


@pytest.mark.parametrize(
    "fault", [Fault.KILLED_AFTER, Fault.KILLED_AND_RESTART, Fault.RESTART_AFTER, Fault.TIMEOUT_AFTER]
)
@pytest.mark.parametrize("is_bad", [False, True], ids=["good", "bad"])
def test_a_fault_at_any_call_is_recovered_from(is_bad: bool, fault: Fault) -> None:
    calls, _ = World.make(is_bad=is_bad).live({})
    assert len(calls) > 40
    for number in range(1, len(calls) + 1):
        world = World.make(is_bad=is_bad)
        try:
            world.live({number: fault})
            world.recover()
            world.check()
        except Exception as error:
            raise AssertionError(f"{fault.value} at {number} ({calls[number - 1]}): {error}") from error
