"""Health by HTTP: one request, one answer, and limits on everything that a hostile server could send.

Made on plain sockets, because the limits are the point: a total deadline rather than one per read, sizes
counted before they are parsed, no redirect followed, no proxy, cookie or ``.netrc`` ever consulted, and the
connection made to the very address that was checked.
"""

from __future__ import annotations

import http.client
import io
import json
import logging
import socket
import ssl
from collections.abc import Mapping
from typing import TYPE_CHECKING

import attrs

from safeupdater.domain.health import Sample, SampleStatus
from safeupdater.probes import options
from safeupdater.probes.addresses import Endpoint, connect, endpoints
from safeupdater.probes.closed import ClosedPort
from safeupdater.probes.measure import CannotMeasure, Deadline, Unhealthy, measured
from safeupdater.protocols import ProbeTarget

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

MAX_HEAD_BYTES = 64 * 1024
MAX_BODY_BYTES = 64 * 1024
_NOWHERE = "/.safeupdater/there-is-no-such-path-7f3c9a1e"
_CHUNKING_BYTES = 2 * MAX_BODY_BYTES
"""What chunk sizes and trailers may add to a body."""

_log = logging.getLogger("safeupdater.probes")


def _without_query(path: str) -> str:
    """The path for ``repr``: a query may hold a token."""
    return repr(path.partition("?")[0])


@attrs.frozen(kw_only=True)
class HttpCheck:
    """Asks for a path and judges the status, and the body where ``contains`` or ``fields`` say how.

    ``ok`` is 200–299 unless ``expect`` says otherwise. A redirect is *failed*: it says that health is
    answered elsewhere, most often by a login page, which is well even when the service is not. A body is
    read up to 64 KiB and a longer one is *failed*; ``method: HEAD`` asks for none.
    """

    port: int | None = attrs.field(default=None, converter=options.http_port)
    path: str = attrs.field(default="/health", converter=options.path, repr=_without_query)
    scheme: str = attrs.field(default="http", converter=options.scheme)
    method: str = attrs.field(default="GET", converter=options.method)
    host: str = attrs.field(default="", converter=options.host)
    headers: Mapping[str, str] = attrs.field(factory=dict, converter=options.headers, repr=False, hash=False)
    expect: tuple[tuple[int, int], ...] = attrs.field(default=((200, 299),), converter=options.statuses)
    contains: str = attrs.field(default="", converter=options.text, repr=False)
    fields: Mapping[str, object] = attrs.field(factory=dict, converter=options.fields, hash=False, repr=False)
    timeout_s: float | None = attrs.field(default=None, converter=options.timeout, alias="timeout")
    verify: bool = attrs.field(default=True, converter=options.flag)
    ca_file: str = attrs.field(default="", converter=options.text)
    _tls: ssl.SSLContext | None = attrs.field(init=False, repr=False, eq=False)

    def __attrs_post_init__(self) -> None:
        if self.method == "HEAD" and (self.contains or self.fields):
            raise ValueError("method HEAD gives no body for contains or fields to look at")
        object.__setattr__(self, "_tls", self._context() if self.scheme == "https" else None)

    def check(self, target: ProbeTarget, timeout_s: float) -> Sample:
        """One request. Refused, reset, late, malformed, oversized and unexpected answers are *failed*."""
        deadline = Deadline.after(min(timeout_s, self.timeout_s or timeout_s))
        return measured(lambda: self._measure(target, deadline))

    def self_test(self, timeout_s: float) -> Sample:
        """The same request to a port on loopback that is surely closed."""
        with ClosedPort() as closed:
            return self.check(closed, timeout_s)

    def ignores_path(self, target: ProbeTarget, timeout_s: float) -> bool:
        """Whether the same request passes for a path that cannot exist."""
        elsewhere = attrs.evolve(self, path=_NOWHERE)
        return elsewhere.check(target, timeout_s).status is SampleStatus.OK

    def _measure(self, target: ProbeTarget, deadline: Deadline) -> str:
        candidates = endpoints(target, self.port, deadline)
        if candidates[0].port in options.LINE_PROTOCOL_PORTS:
            raise CannotMeasure(f"port {candidates[0].port} belongs to a protocol other than HTTP")
        with self._connected(candidates, deadline) as connection:
            connection.settimeout(deadline.remaining_s())
            connection.sendall(self._request(candidates[0]))
            try:
                return self._judge(_Answer(connection, deadline, self.method))
            except (http.client.HTTPException, ValueError) as error:
                raise Unhealthy(f"the answer is not proper HTTP ({type(error).__name__})") from error

    def _connected(self, candidates: tuple[Endpoint, ...], deadline: Deadline) -> socket.socket:
        connection = connect(candidates, deadline)
        if self._tls is None:
            return connection
        try:
            connection.settimeout(deadline.remaining_s())
            name = self.host.partition(":")[0] or candidates[0].name
            return self._tls.wrap_socket(connection, server_hostname=name)
        except BaseException:
            connection.close()
            raise

    def _request(self, endpoint: Endpoint) -> bytes:
        name = f"[{endpoint.name}]" if ":" in endpoint.name else endpoint.name
        sent = {
            "Host": self.host or f"{name}:{endpoint.port}",
            "User-Agent": "safeupdater-probe",
            "Accept": "*/*",
            "Accept-Encoding": "identity",
            "Cache-Control": "no-cache",
            "Connection": "close",
        }
        given = {name.lower() for name in self.headers}
        sent = {name: value for name, value in sent.items() if name.lower() not in given}
        lines = [f"{self.method} {self.path} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in (sent | dict(self.headers)).items()]
        return "\r\n".join([*lines, "", ""]).encode("ascii")

    def _judge(self, answer: _Answer) -> str:
        status = answer.status
        if not any(first <= status <= last for first, last in self.expect):
            moved = ": redirects are not followed, name the final path" if 300 <= status < 400 else ""
            raise Unhealthy(f"HTTP {status}{moved}")
        body = answer.body()
        if self.contains and self.contains.encode() not in body:
            raise Unhealthy(f"HTTP {status}, without the text that must be in the body")
        if self.fields:
            _compare(body, self.fields)
        return f"HTTP {status}"

    def _context(self) -> ssl.SSLContext:
        try:
            context = ssl.create_default_context(cafile=self.ca_file or None)
        except (OSError, ssl.SSLError) as error:
            raise ValueError(f"ca_file cannot be used ({type(error).__name__})") from error
        if not self.verify:
            _log.warning("a health check on %s does not verify the server's certificate", self.path)
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context


class _Answer:
    """An HTTP answer of which no more is read than the limits allow."""

    def __init__(self, connection: socket.socket, deadline: Deadline, method: str) -> None:
        self._reader = _Reader(connection, deadline)
        self._response = http.client.HTTPResponse(self._reader, method=method)  # type: ignore[arg-type]
        self._response.begin()

    @property
    def status(self) -> int:
        return self._response.status

    def body(self) -> bytes:
        """The whole body.

        Raises:
            Unhealthy: it is too large, encoded, or ends early.
        """
        announced = self._response.length or 0
        if announced > MAX_BODY_BYTES:
            raise Unhealthy(_TOO_LARGE)
        if self._response.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise Unhealthy("the body is encoded, which was not asked for")
        self._reader.allow(MAX_BODY_BYTES + _CHUNKING_BYTES)
        body = self._response.read(MAX_BODY_BYTES + 1)
        if len(body) > MAX_BODY_BYTES:
            raise Unhealthy(_TOO_LARGE)
        if len(body) < announced:
            raise Unhealthy("the body ends before its announced length")
        return body


_TOO_LARGE = "the answer is larger than 64 KiB: name a smaller path, or use method: HEAD"


class _Reader(io.RawIOBase):
    """Reads from a socket until a deadline and a number of bytes. ``http.client`` takes it for a socket."""

    def __init__(self, connection: socket.socket, deadline: Deadline) -> None:
        super().__init__()
        self._connection = connection
        self._deadline = deadline
        self._allowed = MAX_HEAD_BYTES

    def allow(self, count: int) -> None:
        """Lets that many further bytes be read."""
        self._allowed = count

    def makefile(self, mode: str) -> io.BufferedReader:
        """What ``http.client`` reads from."""
        return io.BufferedReader(self)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        if self._allowed <= 0:
            raise Unhealthy(_TOO_LARGE)
        view = memoryview(buffer)[: self._allowed]
        self._connection.settimeout(self._deadline.remaining_s())
        count = self._connection.recv_into(view)
        self._allowed -= count
        return count


def _compare(body: bytes, fields: Mapping[str, object]) -> None:
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        raise Unhealthy("the body is not JSON") from None
    for name, wanted in fields.items():
        value = _field(answer, name)
        if type(value) is not type(wanted) or value != wanted:
            raise Unhealthy(f"the field {name} of the body is not what it must be")


def _field(answer: object, dotted: str) -> object:
    for name in dotted.split("."):
        if not isinstance(answer, dict) or name not in answer:
            raise Unhealthy(f"the body has no field {dotted}")
        answer = answer[name]
    return answer
