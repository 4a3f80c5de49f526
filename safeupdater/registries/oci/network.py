"""Connections to checked addresses: names are resolved once, checked, and the checked address is used."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Protocol

import attrs

from safeupdater.registries.oci.egress import Origin, Reach, check_addresses, kind_of
from safeupdater.registries.oci.settings import Limits


class Network(Protocol):
    """The two system calls that decide where a byte goes; tests put their own in the place of it."""

    def resolve(self, host: str, port: int) -> list[str]:
        """The addresses of a host, best first.

        Raises:
            OSError: the name does not resolve.
        """
        ...

    def connect(self, address: str, port: int, timeout_s: float) -> socket.socket:
        """A connected TCP socket.

        Raises:
            OSError: nobody answers there.
        """
        ...


class SystemNetwork:
    """The operating system's resolver and sockets. Proxies of the environment are deliberately not used."""

    def resolve(self, host: str, port: int) -> list[str]:
        """The addresses of a host, in the order of the system's preference."""
        found = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)
        return list(dict.fromkeys(str(entry[4][0]) for entry in found))

    def connect(self, address: str, port: int, timeout_s: float) -> socket.socket:
        """A connected TCP socket without Nagle's delay."""
        connected = socket.create_connection((address, port), timeout_s)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connected


@attrs.frozen
class Deadline:
    """A point in time that nothing in a conversation outlives, on the system's steady clock.

    Sockets wait in real time whatever clock the caller has, so this one is always the real one.
    """

    at: float

    @classmethod
    def after(cls, seconds: float) -> Deadline:
        """The deadline that many seconds from now."""
        return cls(time.monotonic() + seconds)

    def left_s(self) -> float:
        """Seconds left.

        Raises:
            TimeoutError: none.
        """
        left = self.at - time.monotonic()
        if left <= 0:
            raise TimeoutError("the deadline has passed")
        return left

    def left_or_zero_s(self) -> float:
        """Seconds left; 0 when the deadline has passed."""
        return max(0.0, self.at - time.monotonic())

    def within(self, seconds: float) -> Deadline:
        """This deadline, or an earlier one that many seconds from now."""
        return Deadline(min(self.at, time.monotonic() + seconds))


class _Guarded:
    """A socket whose every read ends by the deadline: a drip of single bytes cannot outlive it."""

    _deadline: Deadline | None = None
    _limits = Limits()
    _first_at = 0.0
    _received = 0

    def arm(self, deadline: Deadline, limits: Limits) -> None:
        """Begins a new exchange that ends by the deadline."""
        self._deadline, self._limits, self._first_at, self._received = deadline, limits, 0.0, 0

    def recv_into(self, *arguments: Any, **options: Any) -> int:
        if self._deadline is None:
            return super().recv_into(*arguments, **options)  # type: ignore[misc,no-any-return]
        self.settimeout(min(self._limits.read_s, self._deadline.left_s()))  # type: ignore[attr-defined]
        count: int = super().recv_into(*arguments, **options)  # type: ignore[misc]
        self._received += count
        self._check_pace()
        return count

    def _check_pace(self) -> None:
        now = time.monotonic()
        self._first_at = self._first_at or now
        late_s = now - self._first_at - self._limits.slow_after_s
        if late_s > 0 and self._received < late_s * self._limits.min_bytes_per_s:
            raise TimeoutError("the answer comes too slowly")


class GuardedSocket(_Guarded, socket.socket):
    """A plain socket under a deadline."""


class GuardedTlsSocket(_Guarded, ssl.SSLSocket):
    """A TLS socket under a deadline."""


@attrs.frozen(kw_only=True)
class Dialer:
    """Connects to one origin under its address rules, telling what kind of place it found there."""

    network: Network
    origin: Origin
    allowed: frozenset[Reach]
    seen: Callable[[Reach], None]

    def dial(self, deadline: Deadline, connect_s: float) -> GuardedSocket:
        """A connection to a checked address; a name that moves in between cannot redirect it.

        Raises:
            EgressDenied: the name resolves to an address that is not allowed.
            OSError: it does not resolve, or nobody answers.
        """
        host, port = self.origin.host, self.origin.port
        addresses = self.network.resolve(host, port)
        check_addresses(host, addresses, self.allowed)
        last: OSError = OSError(f"{host} has no address")
        for address in addresses:
            try:
                raw = self.network.connect(address, port, min(connect_s, deadline.left_s()))
            except OSError as error:
                last = error
                continue
            self.seen(kind_of(address))
            return _guarded(raw)
        raise last


def _guarded(raw: socket.socket) -> GuardedSocket:
    timeout = raw.gettimeout()
    guarded = GuardedSocket(fileno=raw.detach())
    guarded.settimeout(timeout)
    return guarded


def tls_context(ca_file: str | None) -> ssl.SSLContext:
    """TLS 1.2 or newer with the system's authorities and, where given, those of a PEM file.

    Raises:
        OSError: the file cannot be read, or holds no certificate.
    """
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if ca_file is not None:
        context.load_verify_locations(cafile=ca_file)
    context.sslsocket_class = GuardedTlsSocket
    return context


class SystemClock:
    """The real time, for callers who bring no clock of their own."""

    def now(self) -> datetime:
        """The wall clock in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds that never go back."""
        return time.monotonic()

    def wait(self, delay_s: float, interrupted: Callable[[], bool]) -> None:
        """Lets that many seconds pass; these waits are short and are not interrupted."""
        time.sleep(delay_s)
