"""Where a probe may connect to, decided on the very addresses that it then connects to.

A name is resolved once per measurement, every address it gives is checked, and the connection goes to one
of them: a name that resolves differently a moment later changes nothing (DNS rebinding).
"""

from __future__ import annotations

import contextlib
import ipaddress
import re
import socket
from collections.abc import Sequence

import attrs

from safeupdater.deadlines import call_with_deadline
from safeupdater.probes.measure import CannotMeasure, Deadline
from safeupdater.protocols import ProbeTarget

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

_NAME = re.compile(r"(?=.{1,253}\Z)[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?(\.[A-Za-z0-9_-]+)*\.?")
_METADATA = frozenset(
    ipaddress.ip_address(address)
    for address in (
        "169.254.169.254",  # the common one
        "fd00:ec2::254",  # AWS over IPv6
        "fd20:ce::254",  # Google over IPv6
        "100.100.100.200",  # Alibaba
        "168.63.129.16",  # Azure's host channel
        "192.0.0.192",  # Oracle
    )
)
_TRANSLATED = tuple(
    ipaddress.ip_network(network) for network in ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32")
)
"""IPv6 that stands for some IPv4 address (NAT64, 6to4, Teredo): a disguise that no container needs."""


@attrs.frozen
class Endpoint:
    """One address, already checked, and the name that it was reached under."""

    name: str
    address: IPAddress
    port: int

    def connect(self, timeout_s: float) -> socket.socket:
        """A connection to exactly this address.

        Raises:
            OSError: there is none within that many seconds (``TimeoutError`` is one of them).
        """
        family = socket.AF_INET if self.address.version == 4 else socket.AF_INET6
        connection = socket.socket(family, socket.SOCK_STREAM)
        try:
            connection.settimeout(timeout_s)
            connection.connect((str(self.address), self.port))
        except BaseException:
            connection.close()
            raise
        return connection


def denied(address: IPAddress) -> str:
    """Why a probe must never connect to this address; empty where it may.

    Private and loopback addresses are where containers live, so they are allowed.
    """
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return denied(address.ipv4_mapped)
        if any(address in network for network in _TRANSLATED):
            return "an IPv4 address in disguise"
    if address in _METADATA:
        return "a cloud metadata address"
    if address.is_link_local:
        return "a link-local address"
    if address.is_multicast:
        return "a multicast address"
    if address.is_unspecified or (address.version == 4 and (address.is_reserved or int(address) < 1 << 24)):
        return "not the address of one host"
    return ""


def endpoints(target: ProbeTarget, port: int | None, deadline: Deadline) -> tuple[Endpoint, ...]:
    """The checked addresses of a port of the target, in the order of the resolver; at least one.

    Raises:
        CannotMeasure: it has no address, the name cannot be resolved, or an address is denied.
    """
    reached = target.address(port)
    if reached is None:
        what = "no single published port" if port is None else f"no address for port {port}"
        raise CannotMeasure(f"the target has {what}")
    name, number = reached
    addresses = _resolve(name, number, deadline)
    for address in addresses:
        if why := denied(address):
            raise CannotMeasure(f"the target's address is {why}, which probes never connect to")
    return tuple(Endpoint(name, address, number) for address in addresses)


def connect(candidates: Sequence[Endpoint], deadline: Deadline) -> socket.socket:
    """A connection to the first endpoint that takes one; each gets its share of the time that is left.

    Raises:
        OSError: none did; the error of the last.
    """
    *others, last = candidates
    for tried, endpoint in enumerate(others):
        with contextlib.suppress(OSError):
            return endpoint.connect(deadline.remaining_s() / (len(candidates) - tried))
    return last.connect(deadline.remaining_s())


def _resolve(name: str, port: int, deadline: Deadline) -> tuple[IPAddress, ...]:
    try:
        return (ipaddress.ip_address(name),)
    except ValueError:
        if not _NAME.fullmatch(name):
            raise CannotMeasure("the target's address is neither an IP address nor a host name") from None
    try:
        found = call_with_deadline(
            lambda: socket.getaddrinfo(name, port, type=socket.SOCK_STREAM),
            deadline.remaining_s(),
            name="safeupdater-resolve",
        )
    except (OSError, UnicodeError) as error:
        raise CannotMeasure("the target's host name cannot be resolved") from error
    texts = dict.fromkeys(str(entry[4][0]) for entry in found)
    if not texts:
        raise CannotMeasure("the target's host name has no address")
    return tuple(ipaddress.ip_address(text) for text in texts)
