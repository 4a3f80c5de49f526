"""One request, one answer, within bounds: connections, deadlines and sizes."""

from __future__ import annotations

import http.client
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import attrs

from safeupdater._version import __version__
from safeupdater.domain.secret import Secret
from safeupdater.errors import MalformedResponse, RegistryError
from safeupdater.registries.oci import failures
from safeupdater.registries.oci.egress import Origin, Reach, Url
from safeupdater.registries.oci.network import Deadline, Dialer, Network, SystemNetwork, tls_context
from safeupdater.registries.oci.settings import Limits

if TYPE_CHECKING:
    import ssl

    from urllib3 import BaseHTTPResponse
    from urllib3.connection import HTTPConnection

_MAX_PEERS = 64
_MAX_IDLE = 16


@attrs.frozen
class Peer:
    """An origin with the rules for connecting to it; connections are shared by equal peers only."""

    origin: Origin
    allowed: frozenset[Reach]
    ca_file: str | None = None


@attrs.frozen
class Authorization:
    """The value of an ``Authorization`` header. Never shown: not in a repr, not in a traceback's locals."""

    value: Secret[str]


@attrs.frozen(kw_only=True)
class Request:
    """What is asked."""

    url: Url
    method: str = "GET"
    headers: Mapping[str, str] = attrs.field(factory=dict)
    authorization: Authorization | None = None
    body: bytes | None = attrs.field(default=None, repr=False)
    limit_bytes: int
    """The largest body that is taken; a longer one is an error."""


@attrs.frozen(kw_only=True)
class Response:
    """A whole answer: nothing of it is still on the wire."""

    url: Url
    status: int
    headers: Mapping[str, str] = attrs.field(repr=False)
    """By lower- or mixed-case name."""
    body: bytes = attrs.field(repr=False)


class Transport:
    """Exchanges requests for answers over pooled connections to checked addresses. Thread-safe."""

    def __init__(self, *, limits: Limits | None = None, network: Network | None = None) -> None:
        self.limits = limits or Limits()
        self._network = network or SystemNetwork()
        self._idle: OrderedDict[Peer, deque[HTTPConnection]] = OrderedDict()
        self._contexts: dict[str | None, ssl.SSLContext] = {}
        self._seen: dict[Origin, Reach] = {}
        self._lock = threading.Lock()

    def exchange(self, request: Request, peer: Peer, deadline: Deadline) -> Response:
        """The whole answer to one request; redirects are answers too.

        Raises:
            RegistryError: nobody answered properly within the bounds.
        """
        deadline = deadline.within(self.limits.total_s)
        try:
            return self._exchange(request, peer, deadline)
        except RegistryError:
            raise
        except _transport_errors() as error:
            ours = failures.from_exception(error, peer.origin.netloc)
            # What a log may print of a cause must hold no secret: its frames hold request headers, and
            # what http.client says of a bad answer repeats the answer.
            raise ours from error.with_traceback(None) if isinstance(error, OSError) else None

    def reach_of(self, origin: Origin) -> Reach:
        """What kind of place an origin was found at when it was last connected to."""
        return self._seen.get(origin, Reach.PUBLIC)

    def close(self) -> None:
        """Closes every idle connection."""
        with self._lock:
            idle = [connection for queue in self._idle.values() for connection in queue]
            self._idle.clear()
        for connection in idle:
            connection.close()

    def _exchange(self, request: Request, peer: Peer, deadline: Deadline) -> Response:
        kept = self._take(peer)
        if kept is not None:
            try:
                return self._converse(kept, request, peer, deadline)
            except (ConnectionError, http.client.BadStatusLine):
                pass  # The server closed a kept connection just now; GET and HEAD may be asked again.
        return self._converse(self._fresh(peer, deadline), request, peer, deadline)

    def _converse(
        self, connection: HTTPConnection, request: Request, peer: Peer, deadline: Deadline
    ) -> Response:
        try:
            socket: Any = connection.sock
            socket.arm(deadline, self.limits)
            connection.request(
                request.method, request.url.target, body=request.body, headers=_headers(request),
                preload_content=False, decode_content=False,
            )  # fmt: skip
            raw = connection.getresponse()
            response = Response(
                url=request.url, status=raw.status, headers=raw.headers, body=_body(raw, request, peer)
            )
        except BaseException:
            connection.close()
            raise
        self._give_back(connection, peer)
        return response

    def _take(self, peer: Peer) -> HTTPConnection | None:
        while True:
            with self._lock:
                queue = self._idle.get(peer)
                if not queue:
                    return None
                connection = queue.pop()
            if connection.is_connected:
                return connection
            connection.close()

    def _give_back(self, connection: HTTPConnection, peer: Peer) -> None:
        dropped: list[HTTPConnection] = []
        with self._lock:
            queue = self._idle.setdefault(peer, deque())
            self._idle.move_to_end(peer)
            if connection.sock is None or len(queue) >= _MAX_IDLE:
                dropped.append(connection)
            else:
                queue.append(connection)
            if len(self._idle) > _MAX_PEERS:
                dropped.extend(self._idle.popitem(last=False)[1])
        for old in dropped:
            old.close()

    def _fresh(self, peer: Peer, deadline: Deadline) -> HTTPConnection:
        dialer = Dialer(
            network=self._network, origin=peer.origin, allowed=peer.allowed,
            seen=lambda reach: self._remember(peer.origin, reach),
        )  # fmt: skip
        context = self._context(peer.ca_file) if peer.origin.scheme == "https" else None
        connection = _connection(
            peer.origin, context, self.limits, lambda: dialer.dial(deadline, self.limits.connect_s)
        )
        try:
            connection.connect()
        except BaseException:
            connection.close()
            raise
        return connection

    def _remember(self, origin: Origin, reach: Reach) -> None:
        with self._lock:
            if len(self._seen) > 10 * _MAX_PEERS:
                self._seen.clear()
            self._seen[origin] = reach

    def _context(self, ca_file: str | None) -> ssl.SSLContext:
        with self._lock:
            if ca_file not in self._contexts:
                try:
                    self._contexts[ca_file] = tls_context(ca_file)
                except OSError as error:
                    message = f"the authorities in {ca_file} cannot be loaded: expected a readable PEM file"
                    raise RegistryError(message, code="bad_ca_file", path=ca_file) from error
            return self._contexts[ca_file]


def _headers(request: Request) -> dict[str, str]:
    # No compression: what a body may grow to is then what was sent, and a bomb cannot be one.
    headers = {"User-Agent": f"safeupdater/{__version__}", "Accept-Encoding": "identity", **request.headers}
    if request.authorization is not None:
        headers["Authorization"] = request.authorization.value.reveal()
    return headers


def _body(raw: BaseHTTPResponse, request: Request, peer: Peer) -> bytes:
    if request.method == "HEAD":
        return raw.read()
    if raw.headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise MalformedResponse(f"{peer.origin} sent a compressed body, which was not asked for: refused")
    chunks: list[bytes] = []
    left = request.limit_bytes
    while chunk := raw.read(min(left + 1, 1 << 18)):
        chunks.append(chunk)
        left -= len(chunk)
        if left < 0:
            raise MalformedResponse(
                f"{peer.origin} sent more than {request.limit_bytes} bytes for {request.url.path}: refused",
                code="too_large", limit_bytes=request.limit_bytes,
            )  # fmt: skip
    return b"".join(chunks)


def _transport_errors() -> tuple[type[Exception], ...]:
    from urllib3.exceptions import HTTPError

    return (OSError, http.client.HTTPException, ValueError, HTTPError)


def _connection(
    origin: Origin, context: ssl.SSLContext | None, limits: Limits, dial: Callable[[], Any]
) -> HTTPConnection:
    from urllib3.connection import HTTPConnection, HTTPSConnection

    # Both classes ask `_new_conn` for the socket: the one hook through which every byte leaves.
    host = origin.host.strip("[]")
    if context is None:
        connection = HTTPConnection(host, origin.port, timeout=limits.read_s)
    else:
        connection = HTTPSConnection(host, origin.port, timeout=limits.read_s, ssl_context=context)
    connection._new_conn = dial  # type: ignore[method-assign]
    return connection
