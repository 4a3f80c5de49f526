"""What every step works with: the daemon, the operation, and the old and new containers, found afresh."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cached_property

import attrs

from safeupdater.backends.docker.client import Json
from safeupdater.backends.docker.daemon import Daemon
from safeupdater.backends.docker.names import (
    OPERATION_LABEL,
    REMADE_LABEL,
    keep_reference,
)
from safeupdater.backends.docker.signals import asked_signal, parse_signal
from safeupdater.backends.docker.snapshot import (
    Captured,
    Member,
    captured,
    is_running,
    platform_of,
    said_platform,
    section,
)
from safeupdater.backends.docker.target import Wanted, wanted_image
from safeupdater.domain.operation import StepOutcome, StepStatus
from safeupdater.domain.platform import Platform
from safeupdater.errors import BackendError
from safeupdater.protocols import OperationContext, Report

_NO_RESTART: Json = {"Name": "no", "MaximumRetryCount": 0}
_NO_SUCH_SIGNAL = 400


@attrs.define(slots=False)
class Work:
    """One step's surroundings. Nothing is remembered between steps but what the snapshot holds."""

    daemon: Daemon
    operation: OperationContext
    report: Report
    machine: Callable[[], Platform]
    """The machine's own platform, where it is needed: the way back must not wait for it."""

    @cached_property
    def content(self) -> Captured:
        """The snapshot's content; without a snapshot there is nothing to work on."""
        if self.operation.snapshot is None:
            return Captured(members=())
        return captured(self.operation.snapshot)

    @property
    def members(self) -> tuple[Member, ...]:
        """The containers of the target: the updated one first, each after what it depends on."""
        return self.content.members

    @property
    def last_first(self) -> tuple[Member, ...]:
        """The members in the order of stopping."""
        return self.members[::-1]

    @cached_property
    def wanted(self) -> Wanted:
        """The image that is wanted."""
        return wanted_image(self.operation)

    def platform_for(self, member: Member) -> Platform | None:
        """For which platform a successor is wanted; None where nobody says what the member is for.

        What depends on the updated container keeps its image, so its platform too. In a rollback by hand
        it is the platform of back then, where it still may be: those were the bits.
        """
        running, wanted = member.platform, self.operation.wanted
        if running is None or member is not self.content.main:
            return running
        chosen = self.machine().in_place_of(running)
        before = captured(wanted).main.platform if wanted is not None else None
        return before if before is not None and chosen.runs(before) else chosen

    def may_run(self, member: Member, made: Json, image: Json) -> bool:
        """Whether a successor or its image may take a member's place; not where only one says for what.

        Images of old builders say just ``linux/arm`` where they are for an older variant than that means:
        one may follow another, since what runs is proof of itself.
        """
        if said_platform(made, image) == said_platform(member.inspect, member.image):
            return True
        wanted, said = self.platform_for(member), platform_of(made, image)
        return wanted is not None and said is not None and wanted.runs(said)

    def is_to_run(self, member: Member) -> bool:
        """Whether the successor is to run: as the old one did, or as the one did that is wanted back."""
        wanted = self.operation.wanted
        before = {item.name: item for item in captured(wanted).members} if wanted is not None else {}
        return before.get(member.name, member).was_running

    @property
    def keep_reference(self) -> str:
        """The tag that keeps the old image."""
        return keep_reference(self.operation.operation_id)

    def is_ours(self, inspect: Json | None) -> bool:
        """Whether a container was created by this operation."""
        return self._carries(OPERATION_LABEL, inspect)

    def is_remade(self, inspect: Json | None) -> bool:
        """Whether a container was made again by this operation, in the place of an old one."""
        return self._carries(REMADE_LABEL, inspect)

    def _carries(self, label: str, inspect: Json | None) -> bool:
        labels = section(section(inspect or {}, "Config"), "Labels")
        return labels.get(label) == self.operation.operation_id

    def find_new(self, member: Member) -> Json | None:
        """The successor, under either of its names; None where there is none of ours."""
        for name in (member.candidate, member.name):
            found = self.daemon.inspect(name)
            if self.is_ours(found):
                return found
        return None

    def find_old(self, member: Member) -> Json | None:
        """The old container, or the one that was made again in its place; None where there is neither."""
        found = self.daemon.inspect(member.id)
        if found is None:
            found = self.daemon.inspect(member.name)
            return found if self.is_remade(found) else None
        return found

    def halt(self, inspect: Json, member: Member) -> None:
        """Stops a container for good: the daemon must not start it again by itself.

        ``member`` is it as it was captured, or its predecessor, whose user says by which signal.
        """
        if self.set_policy(inspect, _NO_RESTART) and not is_running(inspect):
            # Until just now a daemon that restarts would have started it.
            inspect = self.daemon.inspect(str(inspect["Id"])) or inspect
        if is_running(inspect):
            # Without a label the daemon goes by the container's signal, then its image's, then SIGTERM.
            signal = parse_signal(asked_signal(member.config, member.image_config) or "") or ""
            self._stop(str(inspect["Id"]), self.grace_s(section(inspect, "Config")), signal)

    def _stop(self, container_id: str, grace_s: int, signal: str) -> None:
        try:
            self.daemon.stop(container_id, grace_s, signal)
        except BackendError as error:
            if not signal or error.evidence.get("status") != _NO_SUCH_SIGNAL:
                raise
            # The way back must not depend on a label.
            self.daemon.stop(container_id, grace_s)

    def grace_s(self, config: Json) -> int:
        """How long a container has to stop: as it says itself, else as the policy says; below 0: any time."""
        own = config.get("StopTimeout")
        return math.ceil(self.operation.settings.stop_timeout_s) if own is None else int(own)

    def set_policy(self, inspect: Json, policy: Json) -> bool:
        """Gives a container a restart policy; False where it had it already."""
        if _policy(section(inspect, "HostConfig").get("RestartPolicy") or {}) == _policy(policy):
            return False
        self.daemon.set_restart_policy(str(inspect["Id"]), policy)
        return True


def _policy(policy: Json) -> tuple[str, int]:
    return str(policy.get("Name") or "no"), int(policy.get("MaximumRetryCount") or 0)


def name_of(inspect: Json) -> str:
    """A container's name."""
    return str(inspect["Name"]).lstrip("/")


def refused(code: str, message: str) -> StepOutcome:
    """It will not work, however often it is tried."""
    return StepOutcome(StepStatus.REFUSED, code, message)


def retry(code: str, message: str) -> StepOutcome:
    """Not this time."""
    return StepOutcome(StepStatus.RETRY, code, message)


def superseded(message: str) -> StepOutcome:
    """Somebody else changed what we manage."""
    return StepOutcome(StepStatus.SUPERSEDED, "changed_by_others", message)


def gone(message: str) -> StepOutcome:
    """Somebody else removed the target."""
    return StepOutcome(StepStatus.GONE, "removed_by_others", message)
