"""Updates the containers of a ``MemoryWorld`` by the same order of steps as a real container runtime.

The old version is parked (restart policy off, stopped, renamed) and lives until the new one is committed;
the new one is made stopped under a fixed name; what is ours is found again by label, never remembered.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import cast

import attrs

from safeupdater.backends.memory.world import Container, MemoryWorld
from safeupdater.domain.artifact import ImageReference
from safeupdater.domain.asset import Asset, AssetStatus, AssetType
from safeupdater.domain.health import Condition, Observation
from safeupdater.domain.operation import (
    DONE,
    OperationSettings,
    Phase,
    PreflightReport,
    Snapshot,
    StepOutcome,
    Steps,
    StepStatus,
)
from safeupdater.domain.plan import PlannedUpdate
from safeupdater.errors import BackendError
from safeupdater.protocols import ExecResult, OperationContext, Report, ScanReport

OPERATION_LABEL = "safeupdater.operation"
CANDIDATE_SUFFIX = ".su-new"
PARKED_SUFFIX = ".su-old"
FAILED_SUFFIX = ".su-bad"
_OURS = (CANDIDATE_SUFFIX, PARKED_SUFFIX, FAILED_SUFFIX)

_STEPS = Steps(
    staging=("keep_image", "pull", "create"),
    switching=("compare", "park", "promote", "start"),
    committing=("remove_old",),
    restoring=("demote", "unpark", "start_old"),
    discarding=("remove_candidate",),
    resuming=("start",),
)
_SUPERSEDED = StepOutcome(
    StepStatus.SUPERSEDED, "changed_by_others", "somebody else changed the container meanwhile"
)
_LEFT = StepOutcome(
    StepStatus.REFUSED, "changed_by_others", "somebody else changed it, so it is left where it is"
)
_NEW_GONE = StepOutcome(StepStatus.REFUSED, "candidate_gone", "somebody else removed the new container")
_GONE = StepOutcome(StepStatus.GONE, "removed_by_others", "somebody else removed the container")


class MemoryBackend:
    """The backend of a ``MemoryWorld``."""

    name = "memory"
    keeps_deadlines = True
    is_simulated = True

    def __init__(self, world: MemoryWorld, *, can_resume_switch: bool = False) -> None:
        self.world = world
        self.can_resume_switch = can_resume_switch
        self._prefix = f"memory://{world.host}/"
        self._latest: _Act | None = None

    @property
    def host(self) -> str:
        """The alias of the world."""
        return self.world.host

    def scan(self) -> ScanReport:
        """Every container that is not a leftover of ours."""
        containers = self.world.call("list", lambda: tuple(self.world.containers.values()))
        seen = (self._asset(item) for item in containers if not item.name.endswith(_OURS))
        return ScanReport(assets=tuple(seen), scope=self._prefix)

    def _asset(self, container: Container) -> Asset:
        return Asset(
            id=self._prefix + container.name,
            name=container.name,
            asset_type=AssetType.CONTAINER,
            image=container.image.with_digest(None),
            host=self.world.host,
            digests=frozenset((container.image.digest,)) if container.image.digest else frozenset(),
            running=container.running,
            status=AssetStatus.HEALTHY if container.running else AssetStatus.UNKNOWN,
            metadata={"container_id": container.id},  # not the configuration: it may hold secrets
            labels=dict(container.labels),
        )

    def owns(self, target_id: str) -> bool:
        """Whether a target is in this world."""
        return target_id.startswith(self._prefix)

    def steps(self, planned: PlannedUpdate, settings: OperationSettings) -> Steps:
        """The same steps for every update."""
        return _STEPS

    def preflight(self, operation: OperationContext) -> PreflightReport:
        """Whether the container is there, runs what the plan says, and its image is still at hand."""
        return self.world.call("inspect", lambda: self._preflight(operation))

    def _preflight(self, operation: OperationContext) -> PreflightReport:
        old = self.world.containers.get(self._name(operation))
        if old is None:
            return PreflightReport(refusal=_GONE)
        planned = operation.planned.changes[0].current
        if planned.digest is not None and planned.digest != old.image.digest:
            return PreflightReport(refusal=_SUPERSEDED)
        if old.image.digest not in self.world.images:
            message = "the image that runs is not at hand any more, so there would be no way back"
            return PreflightReport(refusal=StepOutcome(StepStatus.REFUSED, "no_way_back", message))
        return PreflightReport(running=old.running)

    def capture(self, operation: OperationContext) -> Snapshot:
        """Identity, image, configuration, restart policy and run state."""
        return self.world.call("inspect", lambda: self._capture(operation))

    def _capture(self, operation: OperationContext) -> Snapshot:
        old = self.world.containers.get(self._name(operation))
        if old is None:
            raise BackendError("the container is gone", code="removed_by_others")
        return Snapshot(
            operation_id=operation.operation_id,
            target_id=operation.target_id,
            format="memory/1",
            taken_at=self.world.clock.now(),
            data={
                "id": old.id,
                "image": str(old.image),
                "config": dict(old.config),
                "restart": old.restart,
                "running": old.running,
            },
            running=old.running,
        )

    def perform(self, operation: OperationContext, phase: Phase, step: str, report: Report) -> StepOutcome:
        """Makes one step true."""
        method: Callable[[], StepOutcome] = getattr(self._act(operation), step)
        return method()

    def observe(self, operation: OperationContext, *, old: bool = False) -> Observation:
        """What the world says about the new container, or about the old one."""
        act = self._latest
        if act is None or act.operation is not operation:
            act = self._act(operation)
        return self.world.call("observe", act.observe_old if old else act.observe_new)

    def _act(self, operation: OperationContext) -> _Act:
        """The steps of an operation; one that is watched asks again and again with the same context."""
        act = self._latest
        if act is None or act.operation is not operation:
            act = self._latest = _Act(self.world, operation, self._name(operation))
        return act

    def probe_target(self, operation: OperationContext, *, old: bool = False) -> MemoryTarget:
        """The container under watch."""
        return MemoryTarget(self.world, self._name(operation))

    def collect(self, expired: Sequence[Snapshot], kept: Sequence[Snapshot]) -> tuple[str, ...]:
        """Lets go of the images that were kept for expired snapshots."""
        return self.world.call("collect", lambda: self._collect(expired))

    def _collect(self, expired: Sequence[Snapshot]) -> tuple[str, ...]:
        removed = []
        for snapshot in expired:
            digest = self.world.kept.pop(snapshot.operation_id, None)
            if digest is not None:
                removed.append(f"kept image {digest[:19]}")
        return tuple(removed)

    def close(self) -> None:
        """Nothing to give back."""

    def _name(self, operation: OperationContext) -> str:
        return operation.target_id.removeprefix(self._prefix)


@attrs.frozen
class MemoryTarget:
    """A container of the world, as probes see it: it has no address, and commands answer by its condition."""

    world: MemoryWorld
    name: str

    def address(self, port: int | None) -> tuple[str, int] | None:
        """None: nothing here listens."""
        return None

    def execute(self, argv: Sequence[str], timeout_s: float) -> ExecResult:
        """Exit code 0 while the container is ready, 1 otherwise."""
        container = self.world.containers.get(self.name)
        if container is None:
            return ExecResult(exit_code=1, output="no such container")
        condition, code = self.world.condition(container)
        return ExecResult(exit_code=0 if condition is Condition.READY else 1, output=code)


class _Act:
    """The steps of one operation. Each observes, acts where needed, and can be done again.

    ``_wanted`` is what the new container is made like: the old one, or the one that is wanted back;
    ``_config`` is the user's configuration in it.
    """

    def __init__(self, world: MemoryWorld, operation: OperationContext, name: str) -> None:
        self.world = world
        self.operation = operation
        self.name = name
        self._image = cast("ImageReference", operation.planned.changes[0].new)
        self._wanted = operation.wanted or operation.snapshot
        self._config = cast("Mapping[str, object]", self._wanted.data["config"] if self._wanted else {})
        self._label = (OPERATION_LABEL, operation.operation_id)
        self._said: Observation | None = None

    # --- finding what is there ------------------------------------------------------------------------------

    def old(self) -> Container | None:
        """The old container: by identity, else the one that we recreated from the snapshot."""
        kept = self.world.identified(str(self._snapshot.data["id"]))
        return kept or self.world.labelled((OPERATION_LABEL, f"{self.operation.operation_id}/restored"))

    def new(self) -> Container | None:
        """The new container: by our label."""
        return self.world.labelled(self._label)

    @property
    def _snapshot(self) -> Snapshot:
        assert self.operation.snapshot is not None
        return self.operation.snapshot

    def _do(self, name: str, effect: Callable[[], object]) -> None:
        self.world.call(name, effect)

    # --- staging --------------------------------------------------------------------------------------------

    def keep_image(self) -> StepOutcome:
        """Protects the old image from being pruned."""
        digest = str(self._snapshot.data["image"]).partition("@")[2]
        self._do("tag", lambda: self.world.kept.__setitem__(self.operation.operation_id, digest))
        return DONE

    def pull(self) -> StepOutcome:
        """Fetches the new image by digest."""
        digest = self._image.digest
        if digest is None:
            return StepOutcome(StepStatus.REFUSED, "unpinned", "the plan names no digest to pull")
        served = self.world.tags.get(self._image.name, {})
        if digest not in self.world.images and digest not in served.values():
            return StepOutcome(
                StepStatus.REFUSED, "image_gone", f"the registry has no {digest[:19]} any more"
            )
        self._do("pull", lambda: self.world.images.add(digest))
        return DONE

    def create(self) -> StepOutcome:
        """Makes the new container, stopped, under a fixed name."""
        candidate = self.name + CANDIDATE_SUFFIX
        if self.new() is not None:
            return DONE
        if candidate in self.world.containers:
            message = f"{candidate} belongs to another operation"
            return StepOutcome(StepStatus.REFUSED, "candidate_taken", message)
        labels = {OPERATION_LABEL: self.operation.operation_id}
        self._do("create", lambda: self.world.create(candidate, self._image, self._config, labels=labels))
        return DONE

    # --- switching ------------------------------------------------------------------------------------------

    def compare(self) -> StepOutcome:
        """Whether what runs is still what was captured."""
        return self.world.call("inspect", self._compare)

    def _compare(self) -> StepOutcome:
        old, present = self.old(), self.world.containers.get(self.name)
        if old is None:
            return _GONE if present is None else _SUPERSEDED
        if self._is_changed(old) or (present not in (None, old, self.new())):
            return _SUPERSEDED
        return DONE

    def _is_changed(self, old: Container) -> bool:
        data = self._snapshot.data
        stopped_by_hand = (
            old.name == self.name
            and old.restart == data["restart"]
            and old.running is not data["running"]
            and old.exit_code in (None, 0)
        )
        return old.config != data["config"] or str(old.image) != data["image"] or stopped_by_hand

    def park(self) -> StepOutcome:
        """Turns the old container's restart policy off, stops it, and moves it out of its name."""
        old = self.old()
        if old is None:
            return _GONE
        if self._is_changed(old):
            return _SUPERSEDED
        if old.restart != "no":
            self._do("update", lambda: setattr(old, "restart", "no"))
        if old.running:
            self._do("stop", lambda: self.world.stop(old.name))
        if old.name == self.name:
            self._do("rename", lambda: self.world.rename(old.name, self.name + PARKED_SUFFIX))
        return DONE

    def promote(self) -> StepOutcome:
        """Gives the new container its name."""
        new = self.new()
        if new is None:
            return _NEW_GONE
        if new.name == self.name:
            return DONE
        if self.name in self.world.containers:
            return _SUPERSEDED
        self._do("rename", lambda: self.world.rename(new.name, self.name))
        return DONE

    def start(self) -> StepOutcome:
        """Starts the new container if the one it is made like ran; at once gives it that restart policy."""
        new = self.new()
        if new is None:
            return _NEW_GONE
        if new.name != self.name or new.config != self._config:
            return _SUPERSEDED
        wanted = (self._wanted or self._snapshot).data
        if wanted["running"] and not new.running and new.exit_code in (None, 137):
            self._do("start", lambda: self.world.start(new.name))
        restart = str(wanted["restart"])
        if new.restart != restart:
            self._do("update", lambda: setattr(new, "restart", restart))
        return DONE

    # --- committing -----------------------------------------------------------------------------------------

    def remove_old(self) -> StepOutcome:
        """Removes the parked old container."""
        old = self.old()
        if old is None or old.name != self.name + PARKED_SUFFIX:
            return DONE
        if old.config != self._snapshot.data["config"]:
            return _LEFT
        self._do("remove", lambda: self.world.remove(old.name))
        return DONE

    # --- restoring ------------------------------------------------------------------------------------------

    def demote(self) -> StepOutcome:
        """Stops the new container and moves it out of the name, unless somebody changed it."""
        new, present = self.new(), self.world.containers.get(self.name)
        if present is not None and present not in (new, self.old()):
            return _SUPERSEDED
        if new is None:
            return DONE
        if new.config != self._config:
            return _SUPERSEDED
        if new.restart != "no":
            self._do("update", lambda: setattr(new, "restart", "no"))
        if new.running:
            self._do("stop", lambda: self.world.stop(new.name))
        if new.name == self.name:
            self._do("rename", lambda: self.world.rename(new.name, self.name + FAILED_SUFFIX))
        return DONE

    def unpark(self) -> StepOutcome:
        """Gives the old container its name back; recreates it from the snapshot where it was removed."""
        old = self.old()
        if old is None:
            return self._recreate()
        if old.name == self.name:
            return DONE
        if old.name != self.name + PARKED_SUFFIX or self.name in self.world.containers:
            return _SUPERSEDED
        self._do("rename", lambda: self.world.rename(old.name, self.name))
        return DONE

    def _recreate(self) -> StepOutcome:
        data = self._snapshot.data
        image = ImageReference.parse(str(data["image"]))
        if self.new() is None:
            return _GONE  # both were removed: that is somebody's wish
        if image.digest not in self.world.images:
            return StepOutcome(StepStatus.REFUSED, "old_image_gone", "the old image was removed")
        config = data["config"]
        assert isinstance(config, dict)
        labels = {OPERATION_LABEL: f"{self.operation.operation_id}/restored"}
        self._do("create", lambda: self.world.create(self.name, image, config, labels=labels))
        return DONE

    def start_old(self) -> StepOutcome:
        """Gives the old container its restart policy back and then starts it, if it ran before."""
        old, restart = self.old(), str(self._snapshot.data["restart"])
        if old is None:
            return _GONE
        if old.restart != restart:
            self._do("update", lambda: setattr(old, "restart", restart))
        if self._snapshot.data["running"] and not old.running:
            self._do("start", lambda: self.world.start(old.name))
        return DONE

    # --- discarding -----------------------------------------------------------------------------------------

    def remove_candidate(self) -> StepOutcome:
        """Removes the new container where it is out of the way of the name."""
        new = self.new()
        if new is None or new.name not in (self.name + CANDIDATE_SUFFIX, self.name + FAILED_SUFFIX):
            return DONE
        if new.config != self._config:
            return _LEFT
        self._do("remove", lambda: self.world.remove(new.name))
        return DONE

    # --- observing ------------------------------------------------------------------------------------------

    def observe_new(self) -> Observation:
        """The new container under the name."""
        world = self.world
        new, present = world.labelled(self._label), world.containers.get(self.name)
        if new is None or present is not new:
            return _not_there(present)
        if new.config != self._config or new.image.digest != self._image.digest:
            return Observation(Condition.FOREIGN, "changed_by_others", "somebody else changed it", new.id)
        return self._said_of(new)

    def observe_old(self) -> Observation:
        """The old container under the name."""
        old, present = self.old(), self.world.containers.get(self.name)
        if old is None or present is not old:
            return _not_there(present)
        if not (old.running or self._snapshot.data["running"]):
            return Observation(Condition.STOPPED, "stopped", "it did not run before either", old.id)
        return self._said_of(old)

    def _said_of(self, container: Container) -> Observation:
        condition, code = self.world.condition(container)
        said = self._said
        if said is None or said.code != code or said.identity != container.id:
            said = Observation(condition, code, f"{container.name} is {code}", container.id)
            self._said = said
        return said


def _not_there(present: Container | None) -> Observation:
    if present is None:
        return Observation(Condition.ABSENT, "removed_by_others", "the container is gone")
    return Observation(Condition.FOREIGN, "replaced_by_others", "another container has the name", present.id)
