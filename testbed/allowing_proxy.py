"""A proxy before a Docker socket that lets some calls through and answers 403 to all others.

``with AllowingProxy(daemon.socket, ["GET /version", "POST /containers/{id}/start"]) as proxy:`` serves
``proxy.host``. What was let through is counted by its entry, what was denied is listed.
"""

from __future__ import annotations

import contextlib
import re
import socket
import socketserver
import threading
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

from testbed.processes import server_directory

_DENIAL = b'{"message":"denied by the proxy"}\n'
_ANSWER = (
    b"HTTP/1.1 403 Forbidden\r\nContent-Type: application/json\r\nConnection: close\r\n"
    b"Content-Length: %d\r\n\r\n%s" % (len(_DENIAL), _DENIAL)
)


class AllowingProxy:
    """One proxy on a unix socket of its own; each connection carries one call."""

    def __init__(self, daemon: Path, allowed: Iterable[str]) -> None:
        self.daemon = daemon
        self._patterns = {entry: _pattern(entry) for entry in allowed}
        self.used: Counter[str] = Counter()
        self.denied: list[str] = []
        self._stack = contextlib.ExitStack()
        self._socket = Path()

    @property
    def host(self) -> str:
        """Its URL, as ``DOCKER_HOST`` takes it."""
        return f"unix://{self._socket}"

    def allows(self, call: str) -> bool:
        """Whether a call (method and path) is let through; it is noted either way."""
        for entry, pattern in self._patterns.items():
            if pattern.fullmatch(call):
                self.used[entry] += 1
                return True
        self.denied.append(call)
        return False

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            self._socket = stack.enter_context(server_directory("proxy")) / "docker.sock"
            server = stack.enter_context(_Server(str(self._socket), _handler(self)))
            threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
            stack.callback(server.shutdown)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()


def _pattern(entry: str) -> re.Pattern[str]:
    return re.compile(re.escape(entry).replace(r"\{id\}", ".+"))


class _Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up is none of a proxy's business."""


def _handler(proxy: AllowingProxy) -> type[socketserver.BaseRequestHandler]:
    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            head = _head(self.request)
            if not head:
                return
            method, target, *_ = head.split(b"\r\n", 1)[0].decode().split(" ")
            path = re.sub(r"^/v[0-9.]+", "", target.partition("?")[0])
            if not proxy.allows(f"{method} {path}"):
                self.request.sendall(_ANSWER)
                return
            with socket.socket(socket.AF_UNIX) as daemon:
                daemon.connect(str(proxy.daemon))
                daemon.sendall(head.replace(b"\r\n", b"\r\nConnection: close\r\n", 1))
                threading.Thread(target=_copy, args=(self.request, daemon), daemon=True).start()
                _copy(daemon, self.request)

    return Handler


def _head(client: socket.socket) -> bytes:
    """What comes up to the end of the headers, and the beginning of a body with it."""
    read = b""
    while b"\r\n\r\n" not in read:
        piece = client.recv(65536)
        if not piece:
            return b""
        read += piece
    return re.sub(rb"(?i)\r\nconnection: [^\r]*", b"", read, count=1)


def _copy(source: socket.socket, to: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while piece := source.recv(65536):
            to.sendall(piece)
    with contextlib.suppress(OSError):
        to.shutdown(socket.SHUT_WR)
