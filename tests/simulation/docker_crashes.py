"""The real Docker backend over a fake daemon, disturbed at every call and then at every call of the recovery.

A small driver stands for the engine: it keeps which phase was begun (that is what a journal knows), and
takes up again from there. Whatever happens, in the end exactly one of the old and the new version runs under
the name, nothing is left over, and no volume is lost.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import attrs
import requests

from safeupdater.backends.docker import DockerBackend
from safeupdater.backends.docker.names import base_name
from safeupdater.domain.artifact import ImageReference
from safeupdater.domain.health import Condition
from safeupdater.domain.operation import Phase
from safeupdater.errors import BackendError
from safeupdater.protocols import OperationContext
from safeupdater.testing.driving import Drive, StepStopped, operation_for
from safeupdater.testing.fake_docker import CRASHES, FakeDocker
from safeupdater.testing.fake_docker_http import FakeTransport, Fault, Killed

REPOSITORY = "registry.test/app"


class TwoAtOnce(BaseException):
    """Two versions of one container ran at the same time. Not an ``Exception``: nobody may catch it."""


class Watched(FakeTransport):
    """A transport that never lets two versions of one container run at the same time."""

    def send(self, *args: Any, **options: Any) -> requests.Response:
        try:
            return super().send(*args, **options)
        finally:
            versions = [base_name(name) or name for name in self.daemon.running()]
            if len(versions) > len(set(versions)):
                raise TwoAtOnce(self.daemon.running())


@attrs.define
class World:
    """A daemon with a container that serves, what it was like, and what it is to become."""

    daemon: FakeDocker
    operation: OperationContext
    names: frozenset[str]
    running: frozenset[str]
    ids: Mapping[str, str]
    volumes: Mapping[str, str]
    policy: str
    is_bad: bool

    begun: Phase | None = None
    watching: bool = False
    verdict: str | None = None
    ended: str | None = None
    transport: FakeTransport | None = None

    def drive(self, faults: Mapping[int, Fault]) -> Drive:
        """A fresh process: a new client and backend, the same operation."""
        self.transport = Watched(self.daemon, faults)
        client = self.daemon.client(lambda _: self.transport)
        return Drive(DockerBackend(client, host="test", own_container=None), self.operation)


def make_world(
    *, is_bad: bool = False, policy: str = "always", start: bool = True, sidecar: bool = False
) -> World:
    daemon = FakeDocker()
    daemon.networks["front"] = "3" * 64
    daemon.networks["back"] = "4" * 64
    daemon.release(f"{REPOSITORY}:1.0.0", pulled=True, Env=["A=1"], Volumes={"/image": {}})
    labels = {CRASHES: "yes"} if is_bad else {}
    digest = daemon.release(
        f"{REPOSITORY}:1.0.1", Env=["A=2"], Volumes={"/image": {}, "/more": {}}, Labels=labels
    )
    daemon.release("registry.test/side:1", pulled=True)
    main = daemon.run(
        "web", f"{REPOSITORY}:1.0.0", start=False, Env=["MINE=1"], Volumes={"/nameless": {}},
        HostConfig={
            "RestartPolicy": {"Name": policy, "MaximumRetryCount": 0}, "Binds": ["named:/data"],
            "PortBindings": {"80/tcp": [{"HostIp": "", "HostPort": "8080"}]}, "NetworkMode": "front",
        },
        NetworkingConfig={"EndpointsConfig": {"front": {"IPAMConfig": {"IPv4Address": "10.1.0.9"}}}},
    )  # fmt: skip
    daemon.connect("back", main, {"Aliases": ["deep"]})
    if start:
        daemon.start(main)
    if sidecar:
        daemon.run(
            "side", "registry.test/side:1", start=start,
            HostConfig={"NetworkMode": f"container:{main}", "RestartPolicy": {"Name": policy}},
        )  # fmt: skip
    for volume in daemon.volumes.values():
        volume.content = f"precious {volume.name}"
    backend = DockerBackend(daemon.client(), host="test", own_container=None)
    asset = next(asset for asset in backend.scan().assets if asset.name == "web")
    operation = operation_for(asset, ImageReference.parse(f"{REPOSITORY}:1.0.1@{digest}"))
    assert backend.preflight(operation).refusal is None
    drive = Drive(backend, operation)
    drive.capture()
    return World(
        daemon=daemon,
        operation=drive.operation,
        names=frozenset(c["Name"].lstrip("/") for c in daemon.containers.values()),
        running=frozenset(daemon.running()),
        ids={c["Name"].lstrip("/"): identity for identity, c in daemon.containers.items()},
        volumes={volume.name: volume.content for volume in daemon.volumes.values()},
        policy=policy,
        is_bad=is_bad,
    )


# --- an engine in miniature --------------------------------------------------------------------------------


def go_on(world: World, faults: Mapping[int, Fault]) -> list[str]:
    """One process's life: takes the operation up where the journal says and goes on to its end.

    Gives the calls that it made.
    """
    drive = world.drive(faults)
    try:
        if world.begun is None and world.ended is None:
            begin(world, drive, Phase.STAGING)
            begin(world, drive, Phase.SWITCHING)
            world.watching = True
        elif world.begun is Phase.STAGING:
            begin(world, drive, Phase.DISCARDING)
        elif world.begun is Phase.SWITCHING and not world.watching:
            world.verdict = "restore"
        elif world.watching and world.verdict is None:
            resume(drive)
        finish(world, drive)
    except Killed:
        pass
    assert world.transport is not None
    return world.transport.calls


def begin(world: World, drive: Drive, phase: Phase) -> None:
    world.begun = phase
    try:
        drive.perform(phase)
    except (StepStopped, BackendError):
        if phase is Phase.STAGING:
            begin(world, drive, Phase.DISCARDING)
        elif phase is Phase.SWITCHING:
            world.verdict = "restore"
        else:
            raise
    if phase is Phase.DISCARDING:
        world.ended = "aborted"


def resume(drive: Drive) -> None:
    for attempt in range(3):
        try:
            for step in ("start_new", "give_policy"):
                drive.step(Phase.SWITCHING, step)
        except BackendError:
            assert attempt < 2
        else:
            return


def finish(world: World, drive: Drive) -> None:
    if world.ended is not None:
        return
    if world.verdict is None:
        world.verdict = watch(drive)
    phase = Phase.COMMITTING if world.verdict == "commit" else Phase.RESTORING
    world.begun = phase
    drive.perform(phase)
    world.ended = "committed" if phase is Phase.COMMITTING else "restored"


def watch(drive: Drive) -> str:
    """A window of one look, repeated where there is no answer."""
    for _ in range(3):
        try:
            seen = drive.backend.observe(drive.operation).condition
        except BackendError:
            continue
        return "commit" if seen in (Condition.READY, Condition.STOPPED) else "restore"
    raise AssertionError("no answer three times")


def check(world: World) -> None:
    """Exactly one of two, under the right name, with everything it had."""
    daemon = world.daemon
    by_name = {c["Name"].lstrip("/"): c for c in daemon.containers.values()}
    assert set(by_name) == world.names, "leftovers"
    main = by_name["web"]
    is_new = world.ended == "committed"
    assert (main["Id"] != world.ids["web"]) is is_new
    assert main["Config"]["Image"] == f"{REPOSITORY}:1.0.{int(is_new)}"
    assert not (is_new and world.is_bad), "a bad release was kept"
    assert daemon.running() == world.running
    assert {v.name: v.content for v in daemon.volumes.values() if v.content} == world.volumes
    mounts = {mount["Destination"]: mount["Name"] for mount in main["Mounts"]}
    assert set(world.volumes) <= set(mounts.values())
    assert main["NetworkSettings"]["Networks"].keys() == {"front", "back"}
    policies = {c["HostConfig"]["RestartPolicy"]["Name"] for c in daemon.containers.values()}
    assert policies == {world.policy}
    daemon.restart()
    if world.policy == "always":
        assert daemon.running() == world.running, "restart policies are wrong"


def live_through(make: Callable[[], World], *lives: Mapping[int, Fault]) -> World:
    """Lives through faults, one process after another, and then without faults to the end."""
    world = make()
    for faults in lives:
        go_on(world, faults)
    while world.ended is None:
        go_on(world, {})
    check(world)
    return world


def calls_of(make: Callable[[], World]) -> list[str]:
    return go_on(make(), {})


def differs(fault: Fault, call: str) -> bool:
    """Whether a fault at a call is another case than one that is tried anyway: reading has no effect."""
    return not call.startswith("GET") or fault not in _SAME_FOR_READING


_SAME_FOR_READING = (Fault.KILLED_BEFORE, Fault.TIMEOUT_AFTER, Fault.RESTART_BEFORE)


def again(make: Callable[[], World]) -> Callable[[], World]:
    """The same world each time, made once: most of the work of a run would be making it."""
    made = make()
    return lambda: attrs.evolve(made, daemon=copy.deepcopy(made.daemon))


SCENARIOS = {
    "good": lambda: make_world(),
    "bad": lambda: make_world(is_bad=True),
    "unless-stopped": lambda: make_world(policy="unless-stopped"),
    "stopped": lambda: make_world(policy="no", start=False),
    "with a sidecar": lambda: make_world(sidecar=True),
    "bad with a sidecar": lambda: make_world(sidecar=True, is_bad=True),
}


# --- enumeration -------------------------------------------------------------------------------------------

KILLERS = (Fault.KILLED_BEFORE, Fault.KILLED_AFTER, Fault.KILLED_AND_RESTART)
VIOLATIONS = (AssertionError, StepStopped, BackendError, TwoAtOnce)


@attrs.define
class Tally:
    """How many runs there were, and what was wrong in which."""

    runs: int = 0
    violations: list[str] = attrs.Factory(list)

    def live(self, name: str, make: Callable[[], World], *lives: Mapping[int, Fault]) -> None:
        """One run through some faults."""
        self.runs += 1
        try:
            live_through(make, *lives)
        except VIOLATIONS as error:
            faults = ", then ".join(f"{f.value} at {n}" for life in lives for n, f in life.items())
            self.violations.append(f"{name}: {faults}: {type(error).__name__} {error}")


def one_fault(name: str) -> Tally:
    """Every fault at every call of one update."""
    make, tally = again(SCENARIOS[name]), Tally()
    for number, call in enumerate(calls_of(make), start=1):
        for fault in Fault:
            if differs(fault, call):
                tally.live(name, make, {number: fault})
    return tally


def two_faults(name: str, *, every: int = 1, first: int = 0) -> Tally:
    """Killed at every call, and then every fault at every call of the process that recovers.

    Of all these runs each ``every``-th is tried, beginning with number ``first``.
    """
    make, tally, number = again(SCENARIOS[name]), Tally(), 0
    for killed_at, call in enumerate(calls_of(make), start=1):
        for killer in KILLERS:
            if not differs(killer, call):
                continue
            life = {killed_at: killer}
            for second in _faults_of_recovery(make, life):
                if number % every == first:
                    tally.live(name, make, life, second)
                number += 1
    return tally


def _faults_of_recovery(
    make: Callable[[], World], life: Mapping[int, Fault]
) -> Iterator[Mapping[int, Fault]]:
    """Every fault at every call that a recovery makes."""
    world = make()
    go_on(world, life)
    for at, call in enumerate(go_on(world, {}), start=1):
        for fault in Fault:
            if differs(fault, call):
                yield {at: fault}
