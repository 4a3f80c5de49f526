"""What is looked at before anything is touched: refusals with their reason, and warnings."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import attrs

from safeupdater.backends.docker.client import Json
from safeupdater.backends.docker.daemon import Daemon
from safeupdater.backends.docker.dependants import Dependant, Tie, closure, references_of
from safeupdater.backends.docker.names import OPERATION_LABEL, candidate_name, parked_name
from safeupdater.backends.docker.scanner import owner_of
from safeupdater.backends.docker.snapshot import is_running, section
from safeupdater.backends.docker.target import image_text, tag_reference
from safeupdater.backends.docker.work import refused
from safeupdater.domain.artifact import ImageReference
from safeupdater.domain.change import Change
from safeupdater.domain.operation import PreflightReport, StepOutcome, StepStatus
from safeupdater.errors import BackendError, InvalidReference
from safeupdater.protocols import OperationContext

# Written by every running system and meant to be lost.
_FLEETING = ("/tmp", "/run", "/var/run", "/var/tmp", "/var/log", "/var/cache")  # noqa: S108 - in containers
_MODIFIED_OR_ADDED = (0, 1)
_NAMED_AT_MOST = 3


@attrs.frozen(kw_only=True)
class Subject:
    """A container under preflight, with everything that the checks look at."""

    name: str
    inspect: Json = attrs.field(repr=False)
    image: Json | None = attrs.field(repr=False)
    dependants: tuple[Dependant, ...]
    change: Change
    operation: OperationContext
    daemon: Daemon
    own_id: str | None
    is_podman: bool

    @property
    def config(self) -> Json:
        """The container's ``Config``."""
        return section(self.inspect, "Config")

    @property
    def host_config(self) -> Json:
        """The container's ``HostConfig``."""
        return section(self.inspect, "HostConfig")

    @property
    def labels(self) -> dict[str, str]:
        """The container's labels."""
        return section(self.config, "Labels")


def find_dependants(daemon: Daemon, inspect: Json) -> tuple[Dependant, ...]:
    """Who stands on a container. Costs one inspection per other container: lists don't say enough."""
    others = (daemon.inspect(listed.id) for listed in daemon.containers() if listed.id != inspect["Id"])
    return closure(inspect, [other for other in others if other is not None])


def preflight(subject: Subject) -> PreflightReport:
    """The first refusal, else all warnings."""
    for check in _REFUSALS:
        refusal = check(subject)
        if refusal is not None:
            return PreflightReport(refusal=refusal, running=is_running(subject.inspect))
    return PreflightReport(
        warnings=tuple(warning for look in _WARNINGS for warning in look(subject)),
        running=is_running(subject.inspect),
    )


# --- refusals ---------------------------------------------------------------------------------------------


def _is_owned(subject: Subject) -> StepOutcome | None:
    owner = owner_of(subject.labels)
    return refused("owned", f"{subject.name} is managed by {owner}: update it there") if owner else None


def _is_other_runtime(subject: Subject) -> StepOutcome | None:
    if subject.is_podman:
        return refused(
            "podman_unsupported", "Podman describes containers in its own way: not updated safely yet"
        )
    if subject.inspect.get("Platform", "linux") != "linux":
        return refused("platform_unsupported", f"{subject.name} is not a Linux container")
    return None


def _is_ourselves(subject: Subject) -> StepOutcome | None:
    if subject.own_id and str(subject.inspect["Id"]) == subject.own_id:
        return refused(
            "self", f"{subject.name} runs safeupdater itself and would stop its own update half-way"
        )
    if any(dependant.id == subject.own_id for dependant in subject.dependants if dependant.must_follow):
        return refused(
            "self", f"{subject.name} shares its namespaces with the container that runs safeupdater"
        )
    if _carries_our_connection(subject):
        return refused("self", f"{subject.name} is how safeupdater reaches the Docker daemon")
    return None


def _carries_our_connection(subject: Subject) -> bool:
    """Whether our URL goes to this very container: a socket proxy."""
    scheme, _, rest = subject.daemon.api.url.partition("://")
    if scheme == "unix":
        return False
    host = rest.partition("/")[0].rpartition(":")[0].strip("[]")
    networks = section(subject.inspect, "NetworkSettings").get("Networks") or {}
    known_as = {subject.name, str(subject.config.get("Hostname") or "")}
    for settings in networks.values():
        known_as |= {*((settings or {}).get("Aliases") or ()), str((settings or {}).get("IPAddress") or "")}
    return host in known_as - {""}


def _removes_itself(subject: Subject) -> StepOutcome | None:
    if not subject.host_config.get("AutoRemove"):
        return None
    return refused(
        "auto_remove",
        f"{subject.name} was started with --rm: it vanishes when it stops and could not be brought back; "
        "create it without --rm",
    )


def _is_unsettled(subject: Subject) -> StepOutcome | None:
    state = section(subject.inspect, "State")
    if state.get("Paused"):
        return refused("paused", f"{subject.name} is paused: unpause it first")
    if state.get("Dead"):
        return refused("dead", f"{subject.name} is dead to the daemon: remove it and create it again")
    return None


def _is_changed(subject: Subject) -> StepOutcome | None:
    """Whether the container runs something else than what the plan was made for."""
    current = subject.change.current
    if isinstance(current, ImageReference) and _runs(subject, current):
        return None
    return StepOutcome(
        StepStatus.SUPERSEDED,
        "changed_since_plan",
        f"{subject.name} runs {subject.config.get('Image')} now, the plan was made for {current}: plan again",
    )


def _runs(subject: Subject, planned: ImageReference) -> bool:
    try:
        present = ImageReference.parse(str(subject.config.get("Image")))
    except InvalidReference:
        return False
    known = _digests(subject.image)
    is_same_bits = planned.digest is None or not known or planned.digest in known
    return is_same_bits and present.with_digest(None) == planned.with_digest(None)


def _image_is_gone(subject: Subject) -> StepOutcome | None:
    if subject.image is not None:
        return None
    return refused(
        "image_gone",
        f"the image that {subject.name} was created from is gone from this host, so its defaults cannot be "
        "told from your settings: pull it again by its digest, or create the container again",
    )


def _is_built_here(subject: Subject) -> StepOutcome | None:
    if _digests(subject.image):
        return None
    return refused(
        "local_build",
        f"{subject.name} runs an image that was built on this host: an image of that name in a registry "
        "need not be yours; build and deploy it yourself",
    )


def _is_pinned(subject: Subject) -> StepOutcome | None:
    text = str(subject.config.get("Image"))
    if "@" in text and ":" not in text.partition("@")[0].rpartition("/")[2]:
        return refused(
            "digest_pin", f"{subject.name} is pinned to a digest without a tag: nothing newer to follow"
        )
    return None


def _names_are_taken(subject: Subject) -> StepOutcome | None:
    for name in (candidate_name(subject.name), parked_name(subject.name)):
        other = subject.daemon.inspect(name)
        ours = other is not None and _operation_of(other) == subject.operation.operation_id
        if other is not None and not ours:
            return refused(
                "leftover", f"{name} is there already, from an unfinished update: run recover first"
            )
    return None


def _is_linked(subject: Subject) -> StepOutcome | None:
    linked = [dependant.name for dependant in subject.dependants if dependant.tie is Tie.LINK]
    if not linked:
        return None
    return refused(
        "linked",
        f"{_listed(linked)} links to {subject.name} in the legacy way (--link), which cannot be moved "
        "to a new container: put both on a network of their own",
    )


def _cannot_follow(subject: Subject) -> StepOutcome | None:
    """Whether a dependant that must come along could itself not be brought back."""
    for dependant in subject.dependants:
        host_config = section(dependant.inspect, "HostConfig")
        labels = section(section(dependant.inspect, "Config"), "Labels")
        if dependant.must_follow and (host_config.get("AutoRemove") or owner_of(labels)):
            return refused(
                "dependant",
                f"{dependant.name} depends on {subject.name} and cannot be created anew with it "
                "(it was started with --rm, or something else manages it)",
            )
    return None


def _stands_on_nothing(subject: Subject) -> StepOutcome | None:
    for reference in references_of(subject.host_config):
        if subject.daemon.inspect(reference) is None:
            return refused(
                "dependency_gone",
                f"{subject.name} depends on the container {reference[:64]}, which is gone: it cannot start",
            )
    return None


_REFUSALS: Sequence[Callable[[Subject], StepOutcome | None]] = (
    _is_owned,
    _is_other_runtime,
    _is_ourselves,
    _removes_itself,
    _is_unsettled,
    _image_is_gone,
    _is_changed,
    _is_built_here,
    _is_pinned,
    _names_are_taken,
    _is_linked,
    _cannot_follow,
    _stands_on_nothing,
)


# --- warnings ---------------------------------------------------------------------------------------------


def _compose_says_otherwise(subject: Subject) -> Iterator[str]:
    project = subject.labels.get("com.docker.compose.project")
    text, new = str(subject.config.get("Image")), image_text(str(subject.config.get("Image")), subject.change)
    if project and tag_reference(text) != tag_reference(new):
        files = subject.labels.get("com.docker.compose.project.config_files") or f"the project {project}"
        yield f"{files} still says {text}: the next `compose up` goes back to it unless you write {new} there"


def _others_restart_with_it(subject: Subject) -> Iterator[str]:
    project = subject.labels.get("com.docker.compose.project")
    service = subject.labels.get("com.docker.compose.service")
    if not project or not service:
        return
    for listed in subject.daemon.containers():
        labels = listed.labels or {}
        needs = labels.get("com.docker.compose.depends_on", "").split(",")
        if labels.get("com.docker.compose.project") == project and any(
            need.startswith(f"{service}:") and need.endswith(":true") for need in needs
        ):
            yield f"{listed.name} wants to be restarted with {service} (depends_on, restart: true): not done"


def _ports_move(subject: Subject) -> Iterator[str]:
    bindings = subject.host_config.get("PortBindings") or {}
    chosen = [
        port for port, hosts in bindings.items() if any(not (b or {}).get("HostPort") for b in hosts or ())
    ]
    if chosen or subject.host_config.get("PublishAllPorts"):
        yield f"{subject.name} has ports that Docker chooses: they will be others afterwards"


def _layer_is_lost(subject: Subject) -> Iterator[str]:
    try:
        changed = subject.daemon.changed_files(str(subject.inspect["Id"]))
    except BackendError as error:
        # A large layer can take longer than a call may; that is no reason to refuse.
        yield f"which files {subject.name} wrote outside of volumes is unknown ({error.code}): they get lost"
        return
    paths = [str(entry.get("Path")) for entry in changed if entry.get("Kind") in _MODIFIED_OR_ADDED]
    parents = {path.rpartition("/")[0] for path in paths}
    mounted = [str(mount["Destination"]) for mount in subject.inspect.get("Mounts") or ()]
    own = [
        path
        for path in paths
        # A directory is listed as changed whenever something in it is, and a mount point when it was made.
        if path not in parents and not _is_under(path, (*_FLEETING, *mounted))
    ]
    if own:
        yield (
            f"{len(own)} files that {subject.name} wrote outside of volumes get lost, such as {_listed(own)}"
        )


def _is_under(path: str, places: Sequence[str]) -> bool:
    return any(
        path == place or path.startswith(f"{place}/") or place.startswith(f"{path}/") for place in places
    )


def _come_along(subject: Subject) -> Iterator[str]:
    names = [dependant.name for dependant in subject.dependants if dependant.must_follow]
    if names:
        yield f"{_listed(names)} depends on {subject.name} and will be created anew with it"
    sharing = [d.name for d in subject.dependants if d.tie is Tie.VOLUMES_BY_NAME]
    if sharing:
        yield f"{_listed(sharing)} mounts volumes of {subject.name} and keeps them as they are now"


_WARNINGS: Sequence[Callable[[Subject], Iterator[str]]] = (
    _compose_says_otherwise,
    _others_restart_with_it,
    _ports_move,
    _layer_is_lost,
    _come_along,
)


def _digests(image: Json | None) -> frozenset[str]:
    return frozenset(str(entry).rpartition("@")[2] for entry in (image or {}).get("RepoDigests") or ())


def _operation_of(inspect: Json) -> str | None:
    label: str | None = section(section(inspect, "Config"), "Labels").get(OPERATION_LABEL)
    return label


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _NAMED_AT_MOST
    return ", ".join(names[:_NAMED_AT_MOST]) + (f" and {more} more" if more > 0 else "")
