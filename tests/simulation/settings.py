"""What every simulated updater is given: a policy, settings, checks, hooks, and targets to update."""

from __future__ import annotations

from typing import Any

import attrs

from safeupdater.backends.memory import Behaviour, Container, MemoryBackend, MemoryWorld
from safeupdater.domain.artifact import ImageReference
from safeupdater.domain.asset import Asset
from safeupdater.domain.candidate import Candidate
from safeupdater.domain.change import Change, VersionChangeType
from safeupdater.domain.decision import Decision, Reason, Verdict
from safeupdater.domain.health import HealthPolicy, ProbeSpec
from safeupdater.domain.operation import Hook, HookPoint, OnInconclusive, OperationSettings, RollbackPolicy
from safeupdater.domain.plan import PlannedUpdate
from safeupdater.gates import gate
from safeupdater.protocols import Admittance, AssetPolicy

SECRET = "hunter2-planted"
SETTINGS = OperationSettings(
    health=HealthPolicy(ready_timeout_s=60.0, window_s=30.0, interval_s=10.0), rollback=RollbackPolicy()
)
HURRIED = attrs.evolve(SETTINGS, health=attrs.evolve(SETTINGS.health, ready_timeout_s=2.0))
HOLDING = attrs.evolve(SETTINGS, rollback=RollbackPolicy(on_inconclusive=OnInconclusive.HOLD))
PROBED = attrs.evolve(
    SETTINGS,
    health=attrs.evolve(SETTINGS.health, checks=(ProbeSpec(type="simulated"),), baseline_s=0.5),
    hooks=(
        Hook(name="dump", point=HookPoint.BEFORE_SWITCH, argv=("dump", SECRET)),
        Hook(name="announce", point=HookPoint.AFTER_COMMIT, argv=("announce",), in_container=False),
    ),
)
"""With a probe beside the runtime's own word, and hooks on both sides of the switch."""


@gate
def everything(candidate: Candidate) -> Decision:
    """Approves whatever the hard gates let through."""
    reason = Reason(code="simulated", message="the simulation approves", verdict=Verdict.APPROVE)
    return Decision.because(reason, change_type=candidate.change.change_type)


@gate
def nothing(candidate: Candidate) -> Decision:
    """Rejects everything."""
    reason = Reason(code="simulated", message="the simulation forbids", verdict=Verdict.REJECT)
    return Decision.because(reason, change_type=candidate.change.change_type)


class SimulatedPolicy:
    """One policy for everything; it can be made to forbid everything, under the same fingerprint."""

    def __init__(self, settings: OperationSettings = SETTINGS) -> None:
        self._policy = AssetPolicy(gate=everything, fingerprint="simulated", settings=settings)
        self.forbids_since: int | None = None

    def forbid(self, point: int = 0) -> None:
        """From this point on nothing is approved."""
        self._policy = attrs.evolve(self._policy, gate=nothing)
        if self.forbids_since is None:
            self.forbids_since = point

    def for_asset(self, asset: Asset) -> AssetPolicy:
        return self._policy

    def defaults(self) -> AssetPolicy:
        return self._policy


class NoChecks:
    """The world's own word is the only evidence."""

    def create(self, type: str, **options: object) -> Any:
        raise AssertionError("the simulation has no probes")


class AdmitAll:
    """Lets everything begin."""

    def admit(self, planned: PlannedUpdate, now: object) -> Admittance:
        return Admittance(admitted=True)


def plan_for(world: MemoryWorld, name: str, version: str, digest: str) -> PlannedUpdate:
    """The planned update of a container from what it runs now to a version."""
    current = world.containers[name].image
    new = ImageReference.parse(f"{name}:{version}").with_digest(digest)
    asset_id = f"memory://{world.host}/{name}"
    change = Change(asset_id=asset_id, current=current, new=new, change_type=VersionChangeType.MINOR)
    reason = Reason(code="simulated", message="the simulation approves", verdict=Verdict.APPROVE)
    return PlannedUpdate(
        target_id=asset_id, changes=(change,), decision=Decision.because(reason), policy_hash="simulated"
    )


def add_target(
    world: MemoryWorld, store: Any, name: str, behaviour: Behaviour, *, running: bool = True
) -> tuple[PlannedUpdate, Container]:
    """Adds a container that runs 1.0.0, with 1.1.0 on offer: the planned update, and what it is now."""
    old = world.run(name, f"{name}:1.0.0", running=running, password=SECRET)
    digest = world.publish(f"{name}:1.1.0", behaviour)
    planned = plan_for(world, name, "1.1.0", digest)
    for asset in MemoryBackend(world).scan().assets:
        if asset.id == planned.target_id:
            store.put("asset", asset.id, asset)
    return planned, attrs.evolve(old)
