"""What safeupdater stands on may run in a container of its own: the way to the daemon, or to the store."""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import urllib.parse
from collections.abc import Iterator

from safeupdater.backends.docker.client import Json
from safeupdater.backends.docker.snapshot import endpoints, section
from safeupdater.backends.docker.subject import Subject

_LOCAL_SCHEMES = ("unix", "npipe")
_ADDRESSES = (
    ("IPAddress", "IPPrefixLen", "Gateway"),
    ("GlobalIPv6Address", "GlobalIPv6PrefixLen", "IPv6Gateway"),
)


def network_chain(subject: Subject, inspect: Json) -> Iterator[Json]:
    """A container, the one whose network it is in, the one whose network that is in, and so on."""
    current: Json | None = inspect
    seen: set[str] = set()
    while current is not None and current["Id"] not in seen:
        yield current
        seen.add(str(current["Id"]))
        kind, _, reference = str(section(current, "HostConfig").get("NetworkMode")).partition(":")
        current = subject.daemon.inspect(reference) if kind == "container" else None


# --- the connection to the daemon ---------------------------------------------------------------------------


def carries_connection(subject: Subject) -> bool:
    """Whether our URL goes to this very container, a socket proxy, or to one that stops with it.

    Every URL of ours leads to the daemon that this container runs on, so a container that publishes the
    port that we talk to is what we talk through.
    """
    url = urllib.parse.urlsplit(subject.daemon.api.url)
    if url.scheme == "unix" or url.hostname is None:
        return False
    is_near = any(
        url.hostname in _known_as(inspect) or str(url.port) in _published_ports(inspect)
        for inspect in _stopping(subject)
    )
    return is_near or (url.scheme == "http" and any(map(_hands_on_the_socket, _stopping(subject))))


def _stopping(subject: Subject) -> Iterator[Json]:
    """What an update stops, each with what it has its network from: there it has its ports and addresses."""
    for stopped in (subject.inspect, *(each.inspect for each in subject.dependants if each.must_follow)):
        yield from network_chain(subject, stopped)


def _known_as(inspect: Json) -> set[str]:
    """The names and addresses that others reach it by, in lower case as in a URL."""
    known_as = {str(inspect["Name"]).lstrip("/")}
    if not _is_on_the_host(inspect):  # there it is the machine's own
        known_as.add(str(section(inspect, "Config").get("Hostname") or ""))
    for settings in endpoints(inspect).values():
        known_as |= {str(alias) for alias in (settings or {}).get("Aliases") or ()}
        known_as |= {str((settings or {}).get(at) or "") for at, _, _ in _ADDRESSES}
    return {known.lower() for known in known_as - {""}}


def _published_ports(inspect: Json) -> set[str]:
    """The ports of the host that lead to it; on the host's own network, every port that it exposes."""
    if _is_on_the_host(inspect):
        return _exposed_ports(inspect)
    ports = section(section(inspect, "NetworkSettings"), "Ports")
    return {str(binding["HostPort"]) for bindings in ports.values() for binding in bindings or ()}


def _exposed_ports(inspect: Json) -> set[str]:
    return {port.partition("/")[0] for port in section(section(inspect, "Config"), "ExposedPorts")}


def _is_on_the_host(inspect: Json) -> bool:
    return section(inspect, "HostConfig").get("NetworkMode") == "host"


def _hands_on_the_socket(inspect: Json) -> bool:
    """Whether it has the daemon's socket on the host's network, where any port may be its own."""
    sources = {str(mount.get("Source")) for mount in inspect.get("Mounts") or ()}
    return _is_on_the_host(inspect) and any(source.endswith("docker.sock") for source in sources)


# --- the connection to the store ----------------------------------------------------------------------------


def carries_store(subject: Subject) -> bool:
    """Whether the store is reached at this container, or at one that stops with it.

    Unlike our URL, the store's may lead to another machine: a published port counts where its address may be
    one of the machine that the daemon runs on.
    """
    endpoint = subject.operation.store_endpoint
    if endpoint is None:
        return False
    return any(_answers_at(subject, inspect, *endpoint) for inspect in _stopping(subject))


def _answers_at(subject: Subject, inspect: Json, host: str, port: int) -> bool:
    if host.lower() in _known_as(inspect):
        # Containers on other machines have the same private addresses as those here.
        return _is_near(subject) or str(port) in _exposed_ports(inspect)
    return str(port) in _published_ports(inspect) and _is_of_the_host(subject, host)


def _is_near(subject: Subject) -> bool:
    """Whether the daemon runs on this machine, as far as we know."""
    url = urllib.parse.urlsplit(subject.daemon.api.url)
    if url.scheme in _LOCAL_SCHEMES or _own_container(subject) is not None:
        return True
    return any(_is_ours(address) for address in _addresses_of(url.hostname))


def _is_of_the_host(subject: Subject, host: str) -> bool:
    """Whether an address may be one of the machine that the daemon runs on."""
    if not _is_near(subject):
        addresses = _addresses_of(urllib.parse.urlsplit(subject.daemon.api.url).hostname)
        # A name that only ssh knows says nothing of where the daemon is.
        return host in addresses if addresses else not _is_ours(host)
    me = _own_container(subject)
    if me is None or _is_on_the_host(me):
        return _is_ours(host)
    address = _parsed(host)
    if address is None:
        return True
    # From within, the machine's addresses are not known: only neighbours and ourselves are surely not it.
    return not address.is_loopback and not _is_neighbour(me, address)


def _own_container(subject: Subject) -> Json | None:
    """The container in whose network we are, where this daemon runs it."""
    own = subject.daemon.inspect(subject.own_id) if subject.own_id else None
    return None if own is None else list(network_chain(subject, own))[-1]


def _is_neighbour(me: Json, address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Whether an address is that of a container in one of our networks; their gateways are the host."""
    for settings in endpoints(me).values():
        for at, length, gateway in _ADDRESSES:
            if not (settings and settings.get(at) and settings.get(length)):
                continue
            network = ipaddress.ip_network(f"{settings[at]}/{settings[length]}", strict=False)
            if address in network:
                return str(address) != settings.get(gateway)
    return False


def _is_ours(address: str) -> bool:
    """Whether this machine has an address. Sends nothing."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((address, 0))
    except OSError:
        return False
    return True


def _addresses_of(host: str | None) -> frozenset[str]:
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM) if host else ()
    except OSError:
        return frozenset()
    return frozenset(str(address[0]) for *_, address in found)


def _parsed(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host)
    return None
