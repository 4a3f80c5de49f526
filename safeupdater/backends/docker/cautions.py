"""What people should know before a container is updated, though nothing forbids it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from safeupdater.backends.docker.dependants import Tie
from safeupdater.backends.docker.recreate import keeps_macs, unkept_macs
from safeupdater.backends.docker.room import room_is_short
from safeupdater.backends.docker.snapshot import Member
from safeupdater.backends.docker.subject import Subject, listed
from safeupdater.backends.docker.target import image_text, tag_reference
from safeupdater.errors import BackendError

# Written by every running system and meant to be lost.
_FLEETING = ("/tmp", "/run", "/var/run", "/var/tmp", "/var/log", "/var/cache")  # noqa: S108 - in containers
_SECRETS = "/run/secrets"  # compose copies secrets and configs that are written in its file into a container
_MODIFIED_OR_ADDED = (0, 1)
_INIT = "/sbin/docker-init"  # the daemon makes it, as a mount point that is not among the mounts


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
    for other in subject.daemon.containers():
        labels = other.labels or {}
        needs = labels.get("com.docker.compose.depends_on", "").split(",")
        if labels.get("com.docker.compose.project") == project and any(
            need.startswith(f"{service}:") and need.endswith(":true") for need in needs
        ):
            yield (
                f"{other.name} wants to be restarted with {service} (depends_on, restart: true): "
                "nothing else is restarted; a hook after the commit can do it"
            )


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
    mounted += subject.host_config.get("Tmpfs") or ()  # what --tmpfs mounts is not among the mounts
    own = [
        path
        for path in paths
        # A directory is listed as changed whenever something in it is, and a mount point when it was made.
        if path not in parents and not _is_under(path, mounted) and not _is_fleeting(path) and path != _INIT
    ]
    if len(own) == 1:
        yield f"1 file that {subject.name} wrote outside of volumes gets lost: {own[0]}"
    elif own:
        yield (
            f"{len(own)} files that {subject.name} wrote outside of volumes get lost, such as {listed(own)}"
        )


def _is_fleeting(path: str) -> bool:
    return _is_under(path, _FLEETING) and not path.startswith(f"{_SECRETS}/")


def _is_under(path: str, places: Sequence[str]) -> bool:
    return any(
        path == place or path.startswith(f"{place}/") or place.startswith(f"{path}/") for place in places
    )


def _come_along(subject: Subject) -> Iterator[str]:
    names = [dependant.name for dependant in subject.dependants if dependant.must_follow]
    if names:
        yield f"{listed(names)} depends on {subject.name} and will be created anew with it"
    sharing = [d.name for d in subject.dependants if d.tie is Tie.VOLUMES_BY_NAME]
    if sharing:
        yield f"{listed(sharing)} mounts volumes of {subject.name} and keeps them as they are now"


def _macs_change(subject: Subject) -> Iterator[str]:
    member = Member(inspect=subject.inspect, image=subject.image or {})
    networks = unkept_macs(member, keeps_macs=keeps_macs(subject.daemon))
    if networks:
        yield f"{subject.name} gets another MAC address at {listed(networks)}, though you may have chosen it"


CAUTIONS: Sequence[Callable[[Subject], Iterator[str]]] = (
    _compose_says_otherwise,
    _others_restart_with_it,
    _ports_move,
    _layer_is_lost,
    _come_along,
    room_is_short,
    _macs_change,
)
