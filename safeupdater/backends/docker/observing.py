"""What the daemon says about a version, and where probes reach it."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Sequence

import attrs

from safeupdater.backends.docker.client import Json
from safeupdater.backends.docker.daemon import Daemon
from safeupdater.backends.docker.snapshot import endpoints, is_running, section
from safeupdater.backends.docker.work import Work
from safeupdater.domain.health import Condition, Observation
from safeupdater.protocols import ExecResult

_TIMED_OUT = 124
"""As timeout(1) says it."""
_EVERYWHERE = ("", "0.0.0.0", "::")  # noqa: S104 - what Docker says, nothing that we bind to


def observe_new(work: Work) -> Observation:
    """The new version, which must be the container under the name and ours."""
    main = work.content.main
    found = work.daemon.inspect(main.name)
    if found is None and work.find_old(main) is None:
        # Whoever wanted to be without it would not have looked for the parked one.
        detail = f"{main.name} was removed together with what it replaced"
        return Observation(Condition.ABSENT, "pruned", detail)
    if found is None:
        return Observation(Condition.ABSENT, "absent", f"there is no container {main.name}")
    if not work.is_ours(found):
        detail = f"{main.name} is not the container that was created"
        return Observation(Condition.FOREIGN, "foreign", detail, str(found["Id"]))
    own = condition_of(found, was_running=work.is_to_run(main), may_restart=False)
    return own if own.condition is not Condition.READY else _with_dependants(work, own)


def _with_dependants(work: Work, own: Observation) -> Observation:
    """The dependants' state counts too: what was created anew for the new version must run with it."""
    for member in work.members[1:]:
        new = work.find_new(member)
        if new is None:
            # Not foreign: what is here of the new version must go back, or nothing would be left.
            return Observation(Condition.FAILED, "dependant_gone", f"{member.name} is gone", own.identity)
        theirs = condition_of(new, was_running=work.is_to_run(member), may_restart=False)
        if theirs.condition is Condition.FAILED:
            code = f"dependant_{theirs.code}"
            return Observation(Condition.FAILED, code, f"{member.name}: {theirs.detail}", own.identity)
    return own


def observe_old(work: Work, name: str) -> Observation:
    """The old version: by its id once it was captured, by its name before."""
    if not work.members:
        found = work.daemon.inspect(name)
        was_running = True if found is None else is_running(found)
    else:
        found = work.find_old(work.content.main)
        was_running = work.content.main.was_running
    if found is None:
        return Observation(Condition.ABSENT, "absent", f"there is no container {name}")
    return condition_of(found, was_running=was_running, may_restart=True)


def condition_of(inspect: Json, *, was_running: bool, may_restart: bool) -> Observation:
    """What a container's state says.

    ``may_restart`` is for a container with a history: one that was just created and has been restarted
    by the daemon crashed, even if it happens to run at this moment.
    """
    identity = str(inspect["Id"])
    state = section(inspect, "State")
    condition, code, detail = _judged(state, was_running=was_running)
    restarts = int(inspect.get("RestartCount") or 0)
    if restarts and not may_restart and condition in (Condition.READY, Condition.STARTING):
        condition, code = Condition.FAILED, "restarted"
        # Its exit code is not known any more: starting a container sets it back to 0.
        detail = f"it ended by itself and was restarted {f'{restarts} times' if restarts > 1 else 'once'}"
    return Observation(condition, code, detail, identity)


def _judged(state: Json, *, was_running: bool) -> tuple[Condition, str, str]:
    if state.get("Restarting"):
        return Condition.FAILED, "restarting", f"it ends again and again; exit code {state.get('ExitCode')}"
    if state.get("Paused"):
        return Condition.PAUSED, "paused", "somebody paused it"
    if state.get("Running"):
        return _health(state.get("Health") or {})
    if not was_running:
        return Condition.STOPPED, "stopped", "it was not running before either"
    if state.get("OOMKilled"):
        return Condition.FAILED, "oom_killed", "the kernel killed it for using too much memory"
    if state.get("Status") == "created":
        return Condition.STARTING, "created", "it was not started yet"
    return Condition.FAILED, "exited", f"it ended with exit code {state.get('ExitCode')}"


def _health(health: Json) -> tuple[Condition, str, str]:
    match health.get("Status"):
        case "starting":
            return Condition.STARTING, "health_starting", "its HEALTHCHECK has not passed yet"
        case "unhealthy":
            streak = health.get("FailingStreak")
            return Condition.FAILED, "unhealthy", f"its HEALTHCHECK failed {streak} times in a row"
        case "healthy":
            return Condition.READY, "healthy", "its HEALTHCHECK passes"
        case _:
            return Condition.READY, "running", "it runs"


# --- probes -----------------------------------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class ContainerTarget:
    """One container as probes see it: its published ports and addresses as they were when it was asked.

    ``daemon_host`` is where published ports are; ``inside`` says that we run in a container of this daemon
    and reach others by their addresses only.
    """

    daemon: Daemon
    inspect: Json = attrs.field(repr=False)
    network_owner: Json = attrs.field(repr=False)
    daemon_host: str
    inside: bool

    def address(self, port: int | None) -> tuple[str, int] | None:
        """Where a port is reached: as published, else by a network address that this machine can reach."""
        chosen = self._only_port() if port is None else port
        if chosen is None:
            return None
        if section(self.network_owner, "HostConfig").get("NetworkMode") == "host":
            return self.daemon_host, chosen
        published = None if self.inside else self._published(chosen)
        return published or self._internal(chosen)

    def execute(self, argv: Sequence[str], timeout_s: float) -> ExecResult:
        """Runs a command in the container; one that takes too long counts as failed (exit code 124).

        Docker cannot end a command that it was asked to run: give it a time limit of its own.
        """
        exit_code, output = self.daemon.execute(str(self.inspect["Id"]), list(argv), timeout_s)
        text = output.decode(errors="replace")
        return ExecResult(exit_code=_TIMED_OUT if exit_code is None else exit_code, output=text)

    def _only_port(self) -> int | None:
        ports = section(self.network_owner, "NetworkSettings").get("Ports") or {}
        published = {key for key, hosts in ports.items() if hosts}
        candidates = {_number(key) for key in published or ports if key.endswith("/tcp")}
        return candidates.pop() if len(candidates) == 1 else None

    def _published(self, port: int) -> tuple[str, int] | None:
        ports = section(self.network_owner, "NetworkSettings").get("Ports") or {}
        for host in ports.get(f"{port}/tcp") or ():
            address = str(host.get("HostIp") or "")
            if address in _EVERYWHERE:
                return self.daemon_host, int(host["HostPort"])
            # The loopback of another machine is not ours: what answers here is something else.
            if self._is_near or not is_loopback(address):
                return address, int(host["HostPort"])
        return None

    def _internal(self, port: int) -> tuple[str, int] | None:
        address = next(_addresses(self.network_owner), None)
        return (address, port) if address and (self.inside or self._is_near) else None

    @property
    def _is_near(self) -> bool:
        """Whether the daemon is on this machine, as far as its URL says."""
        return is_loopback(self.daemon_host)


def is_loopback(host: str) -> bool:
    """Whether a host, by name or address, is this machine itself."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _addresses(inspect: Json) -> Iterator[str]:
    for settings in endpoints(inspect).values():
        if (settings or {}).get("IPAddress"):
            yield str(settings["IPAddress"])


def _number(port: str) -> int:
    return int(port.partition("/")[0])


def network_owner(daemon: Daemon, inspect: Json) -> Json:
    """The container whose network a container is on: itself, or the one that it shares with."""
    kind, _, reference = str(section(inspect, "HostConfig").get("NetworkMode") or "").partition(":")
    if kind != "container":
        return inspect
    return daemon.inspect(reference) or inspect
