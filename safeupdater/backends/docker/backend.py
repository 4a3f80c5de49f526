"""The Docker backend: containers are recreated in an order in which every step can be undone."""

from __future__ import annotations

import socket
import urllib.parse
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Self

import attrs

from safeupdater.backends.docker import staging, switching
from safeupdater.backends.docker.client import DockerApi, Json, connect
from safeupdater.backends.docker.daemon import Daemon, stop_time_s
from safeupdater.backends.docker.glance import GlancingDaemon, Seen
from safeupdater.backends.docker.listing import ContainerFilter
from safeupdater.backends.docker.logins import Logins, MachineLogins
from safeupdater.backends.docker.observing import ContainerTarget, network_owner, observe_new, observe_old
from safeupdater.backends.docker.ourselves import own_container_id
from safeupdater.backends.docker.preflight import preflight
from safeupdater.backends.docker.retention import release
from safeupdater.backends.docker.room import free_bytes
from safeupdater.backends.docker.scanner import DockerScanner, api_of
from safeupdater.backends.docker.snapshot import FORMAT, Captured, Member, section
from safeupdater.backends.docker.subject import Subject, find_dependants
from safeupdater.backends.docker.target import tag_reference, wanted_image
from safeupdater.backends.docker.work import Work, refused, retry
from safeupdater.domain.asset import AssetId
from safeupdater.domain.health import Observation
from safeupdater.domain.operation import (
    OperationSettings,
    Phase,
    PreflightReport,
    Snapshot,
    StepOutcome,
    Steps,
    StepStatus,
)
from safeupdater.domain.plan import PlannedUpdate
from safeupdater.errors import BackendError, InvalidReference
from safeupdater.protocols import OperationContext, ProbeTarget, Report, ScanReport

if TYPE_CHECKING:
    import docker

_LOOK_UP = "look up"  # sentinel: find out whether we run in a container

STEPS = Steps(
    staging=("keep_old_image", "pull", "verify_image", "tag_image", "create_candidate", "compare_candidate"),
    switching=("compare_live", "park_old", "take_name", "start_new", "give_policy"),
    committing=("remove_old",),
    restoring=(
        "stop_new", "return_name", "restore_policy", "start_old", "remove_candidate", "restore_tag",
        "release_old_image",
    ),
    discarding=("remove_candidate", "restore_tag", "release_old_image"),
    resuming=("start_new", "give_policy"),
)  # fmt: skip
_STOPPING = frozenset({"park_old", "remove_old", "stop_new", "remove_candidate"})


class DockerBackend:
    """Updates containers on one Docker host.

    ``client`` is a ready-made ``docker.APIClient`` (or ``DockerClient``); without one, ``url`` or
    ``DOCKER_HOST`` says where the daemon is. ``host`` is the alias in asset ids, else the daemon's id.
    ``allow_gaining_root`` permits an image that runs as root where its predecessor did not.
    ``credentials`` are the logins for pulls, as of ``RegistryClient``; without them those of docker and
    podman on this machine are used. ``free_bytes`` says how much is free at a path of this machine, None
    where that cannot be told. Nothing is sent before the first call.
    """

    name = "docker"
    can_resume_switch = False
    keeps_deadlines = True

    def __init__(
        self,
        client: docker.APIClient | docker.DockerClient | None = None,
        *,
        url: str | None = None,
        host: str | None = None,
        where: ContainerFilter | None = None,
        allow_gaining_root: bool = False,
        credentials: Logins | None = None,
        free_bytes: Callable[[str], int | None] = free_bytes,
        own_container: str | None = _LOOK_UP,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        api = api_of(client, url, credentials)
        self.scanner = DockerScanner(api, host=host, where=where, clock=clock)
        self._clock = clock
        self._free_bytes = free_bytes
        self._own_id = own_container_id() if own_container == _LOOK_UP else own_container
        self._seen: Seen | None = None
        self._steps: Mapping[str, Callable[[Work], StepOutcome]] = {
            "keep_old_image": staging.keep_old_image,
            "pull": staging.pull,
            "verify_image": partial(staging.verify_image, allow_root=allow_gaining_root),
            "tag_image": staging.tag_image,
            "create_candidate": staging.create_candidate,
            "compare_candidate": staging.compare_candidate,
            "compare_live": switching.compare_live,
            "park_old": switching.park_old,
            "take_name": switching.take_name,
            "start_new": switching.start_new,
            "give_policy": switching.give_policy,
            "remove_old": switching.remove_old,
            "stop_new": switching.stop_new,
            "return_name": switching.return_name,
            "restore_policy": switching.restore_policy,
            "start_old": switching.start_old,
            "remove_candidate": staging.remove_candidate,
            "restore_tag": staging.restore_tag,
            "release_old_image": staging.release_old_image,
        }

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None, **options: Any) -> Self:
        """A backend for what ``DOCKER_HOST`` and its companions name, else for the local socket.

        ``options`` are those of the constructor.

        Raises:
            ConfigurationError: the environment names something that cannot be used.
        """
        return cls(connect(environment=environ), **{"credentials": MachineLogins(environ), **options})

    @property
    def api(self) -> DockerApi:
        """The connection."""
        return self.scanner.api

    @property
    def host(self) -> str:
        """The alias of the daemon, as in asset ids."""
        return self.scanner.host

    @property
    def runtime_id(self) -> str | None:
        """The daemon's id and its machine's name: a copy of a machine may have the same id.

        Raises:
            DockerConnectionError: the daemon did not answer.
        """
        info = self.scanner.info
        return f"{info.id} {info.name}" if info.id else None

    def scan(self) -> ScanReport:
        """Every container on this host.

        Raises:
            DockerConnectionError: the daemon did not answer.
        """
        return self.scanner.scan()

    def owns(self, target_id: str) -> bool:
        """Whether a target is a container on this host."""
        try:
            asset_id = AssetId.parse(target_id)
        except InvalidReference:
            return False
        return asset_id.scheme == "docker" and asset_id.host == self.host

    def steps(self, planned: PlannedUpdate, settings: OperationSettings) -> Steps:
        """The named steps of an update; every container takes the same."""
        return STEPS

    def step_time_s(self, operation: OperationContext, phase: Phase, step: str) -> float:
        """How long a step that stops containers may take: the times that these have to stop, together."""
        if step not in _STOPPING:
            return 0.0
        work = self._work(operation)
        return sum(stop_time_s(work.grace_s(member.config)) for member in work.members)

    def close(self) -> None:
        """Gives back connections."""
        self.api.close()

    # --- reading -----------------------------------------------------------------------------------------

    def preflight(self, operation: OperationContext) -> PreflightReport:
        """Whether the container exists, is unchanged since the plan, and could be put back.

        Raises:
            BackendError: the daemon did not answer.
        """
        daemon = self._daemon(operation)
        name = _name(operation)
        found = daemon.inspect(name)
        if found is None:
            outcome = StepOutcome(StepStatus.GONE, "gone", f"there is no container {name}: scan again")
            return PreflightReport(refusal=outcome, running=False)
        subject = Subject(
            name=name,
            inspect=found,
            image=daemon.inspect_image(str(found["Image"])),
            dependants=find_dependants(daemon, found),
            change=operation.planned.changes[0],
            operation=operation,
            daemon=daemon,
            own_id=self._own_id,
            is_podman=self.scanner.version.is_podman,
            free_bytes=self._room(),
        )
        return preflight(subject)

    def reading_once(self) -> Self:
        """The same backend for a look ahead: each container and image is read once for all preflights.

        A preflight alone costs an inspection per container of the host, so 300 would cost 90,000.
        """
        twin = copy(self)
        twin._seen = Seen()
        return twin

    def capture(self, operation: OperationContext) -> Snapshot:
        """The whole inspection of the container, of what must follow it, and of their images.

        Raises:
            BackendError: the daemon did not answer, or the container or its image is gone.
        """
        daemon = self._daemon(operation)
        main = daemon.inspect(_name(operation))
        if main is None:
            raise BackendError(f"there is no container {_name(operation)} any more: scan again", code="gone")
        following = [
            dependant.inspect for dependant in find_dependants(daemon, main) if dependant.must_follow
        ]
        members = tuple(self._member(daemon, inspect) for inspect in (main, *following))
        draft = self._snapshot(operation, Captured(members=members))
        wanted = wanted_image(_with_snapshot(operation, draft))
        tagged = None if wanted.is_pinned_text else daemon.inspect_image(tag_reference(wanted.text))
        return self._snapshot(
            operation, Captured(members=members, tag_image=str(tagged["Id"]) if tagged else None)
        )

    def observe(self, operation: OperationContext, *, old: bool = False) -> Observation:
        """What the daemon says about the new container, or about the old one.

        Raises:
            BackendError: the daemon did not answer.
        """
        work = self._work(operation)
        return observe_old(work, _name(operation)) if old or not work.members else observe_new(work)

    def probe_target(self, operation: OperationContext, *, old: bool = False) -> ProbeTarget:
        """Where probes reach the new container, or the old one.

        Raises:
            BackendError: the daemon did not answer, or the container is gone.
        """
        work = self._work(operation)
        is_captured = old and bool(work.members)
        found = work.find_old(work.content.main) if is_captured else work.daemon.inspect(_name(operation))
        if found is None:
            raise BackendError(
                f"there is no container {_name(operation)} to probe", code="gone", transient=True
            )
        return ContainerTarget(
            daemon=work.daemon,
            inspect=found,
            network_owner=network_owner(work.daemon, found),
            daemon_host=_host_of(self.api.url),
            inside=self._own_id is not None,
        )

    # --- acting ------------------------------------------------------------------------------------------

    def perform(self, operation: OperationContext, phase: Phase, step: str, report: Report) -> StepOutcome:
        """Makes one step true, whether or not it already was.

        Raises:
            BackendError: the daemon did not answer; whether the step took effect is unknown.
        """
        act = self._steps.get(step)
        if act is None:
            return refused("unknown_step", f"this version of safeupdater knows no Docker step {step!r}")
        try:
            return act(self._work(operation, report))
        except BackendError as error:
            if error.transient:
                raise
            is_retried = error.code == "conflict" or (
                error.code == "not_found" and phase is not Phase.SWITCHING
            )
            # Somebody was between the look and the call: another look tells what to do now. What vanished
            # from a switch is made again on the way back only.
            answer = retry if is_retried else refused
            return answer(error.code, error.message)

    def collect(self, expired: Sequence[Snapshot], kept: Sequence[Snapshot]) -> tuple[str, ...]:
        """Removes the images that were kept for these expired snapshots and for none that is still kept.

        Raises:
            BackendError: the daemon did not answer.
        """
        ours = [snapshot for snapshot in expired if self.owns(snapshot.target_id)]
        return release(Daemon(self.api), ours, kept)

    # --- parts -------------------------------------------------------------------------------------------

    def _room(self) -> int | None:
        """What is free for images: known of a daemon whose files are this machine's, and ours to see."""
        if self._own_id is not None or not self.api.url.startswith("unix://"):
            return None
        info = self.scanner.info
        # A socket may be forwarded from another machine, where the same path is another disk.
        if info.name != socket.gethostname() or info.leaves_images_to_containerd:
            return None
        return self._free_bytes(info.docker_root_dir)

    def _daemon(self, operation: OperationContext) -> Daemon:
        if self._seen is not None:
            return GlancingDaemon(self.api, operation.deadline_s, self._seen)
        return Daemon(self.api, operation.deadline_s)

    def _work(self, operation: OperationContext, report: Report = lambda progress: None) -> Work:
        return Work(self._daemon(operation), operation, report, lambda: self.scanner.machine)

    def _member(self, daemon: Daemon, inspect: Json) -> Member:
        image = daemon.inspect_image(str(inspect["Image"]))
        if image is None:
            name = str(inspect["Name"]).lstrip("/")
            raise BackendError(f"the image that {name} was created from is gone", code="image_gone")
        host_config = section(inspect, "HostConfig")
        inherited: list[str] = []
        for source in host_config.get("VolumesFrom") or ():
            lender = daemon.inspect(str(source).partition(":")[0]) or {}
            inherited += [str(mount["Destination"]) for mount in lender.get("Mounts") or ()]
        shares_host = host_config.get("NetworkMode") == "host"
        return Member(
            inspect=inspect,
            image=image,
            inherited=tuple(inherited),
            generated_hostnames=(self.scanner.info.name,) if shares_host else (),
        )

    def _snapshot(self, operation: OperationContext, content: Captured) -> Snapshot:
        return Snapshot(
            operation_id=operation.operation_id,
            target_id=operation.target_id,
            format=FORMAT,
            taken_at=self._clock(),
            data=content.to_data(),
            running=content.main.was_running,
        )


def _with_snapshot(operation: OperationContext, snapshot: Snapshot) -> OperationContext:
    return attrs.evolve(operation, snapshot=snapshot)


def _name(operation: OperationContext) -> str:
    return AssetId.parse(operation.target_id).name


def _host_of(url: str) -> str:
    """The host whose published ports are meant: the daemon's, which is ours for a socket."""
    parts = urllib.parse.urlsplit(url)
    return parts.hostname or "127.0.0.1" if parts.scheme in ("http", "https", "tcp", "ssh") else "127.0.0.1"
