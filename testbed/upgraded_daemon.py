"""A Docker daemon that is upgraded while clients talk to it: from one moment on it refuses old API versions.

``with UpgradedDaemon(socket) as daemon: docker.APIClient(base_url=daemon.host)`` stands in front of the
socket of a real daemon and hands every call on. After ``upgrade(oldest, newest)`` it answers as a newer
daemon does: other versions in ``/version``, and 400 to calls of a version below the floor.
"""

from __future__ import annotations

import contextlib
import http.client
import http.server
import json
import re
import socket
import socketserver
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from testbed.processes import server_directory

_OF_THE_DAEMON = "1.41"
_BLOCK_BYTES = 65536
_NOT_HANDED_ON = {"transfer-encoding", "connection", "content-length"}


class UpgradedDaemon:
    """The socket in front of a daemon's; ``calls`` are those that came since the upgrade.

    ``before`` is a pattern: the upgrade waits for the first call (``METHOD /path``) that matches it.
    """

    def __init__(self, behind: Path) -> None:
        self.behind = behind
        self.calls: list[str] = []
        self._versions: tuple[str, str] | None = None
        self._waiting: tuple[re.Pattern[str], tuple[str, str]] | None = None
        self._stack = contextlib.ExitStack()
        self._socket = Path()

    @property
    def host(self) -> str:
        """Its URL, as ``DOCKER_HOST`` takes it."""
        return f"unix://{self._socket}"

    def upgrade(self, oldest: str, newest: str, *, before: str = "") -> None:
        """From now on, or from the first call that matches, only these API versions are spoken."""
        self._waiting = (re.compile(before), (oldest, newest))
        if not before:
            self._look_at("")

    def downgrade(self) -> None:
        """The daemon is as it was."""
        self._versions = self._waiting = None

    def __enter__(self) -> Self:
        directory = self._stack.enter_context(server_directory("upgraded"))
        self._socket = directory / "docker.sock"
        server = _Server(str(self._socket), _Handler)
        server.front = self
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        self._stack.callback(server.server_close)
        self._stack.callback(server.shutdown)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def answer(self, call: str, version: str | None) -> dict[str, str] | None:
        """What the upgraded daemon says to a call by itself, as an error; None where it hands it on."""
        self._look_at(call)
        if self._versions is None:
            return None
        self.calls.append(f"v{version} {call}")
        oldest, newest = self._versions
        if version is not None and _number(version) < _number(oldest):
            return {
                "message": f"client version {version} is too old. Minimum supported API version is {oldest}, "
                "please upgrade your client to a newer version"
            }
        if version is not None and _number(version) > _number(newest):
            return {
                "message": f"client version {version} is too new. Maximum supported API version is {newest}"
            }
        return None

    def versions_in(self, body: bytes) -> bytes:
        """The body of ``/version`` as the upgraded daemon has it."""
        if self._versions is None:
            return body
        oldest, newest = self._versions
        said: dict[str, Any] = {**json.loads(body), "MinAPIVersion": oldest, "ApiVersion": newest}
        return json.dumps(said).encode()

    def _look_at(self, call: str) -> None:
        if self._waiting and self._waiting[0].search(call):
            self._versions, self._waiting = self._waiting[1], None


class _Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    front: UpgradedDaemon


class _Handler(http.server.BaseHTTPRequestHandler):
    server: _Server

    def handle_any(self) -> None:
        """One call: answered here, or handed on piece by piece."""
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        found = re.match(r"/v(\d+\.\d+)(/.*)", self.path)
        version, path = (found[1], found[2]) if found else (None, self.path)
        refusal = self.server.front.answer(f"{self.command} {path}", version)
        if refusal is not None:
            self._send(400, json.dumps(refusal).encode())
            return
        connection = http.client.HTTPConnection("localhost")
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(str(self.server.front.behind))
        with contextlib.closing(connection):
            headers = {key: text for key, text in self.headers.items() if key.lower() != "connection"}
            connection.request(self.command, f"/v{_OF_THE_DAEMON}{path}" if version else path, body, headers)
            self._hand_back(connection.getresponse(), path)

    do_GET = do_POST = do_DELETE = do_HEAD = handle_any

    def _hand_back(self, answer: http.client.HTTPResponse, path: str) -> None:
        if path == "/version":
            self._send(answer.status, self.server.front.versions_in(answer.read()))
            return
        self._begin(answer.status, {k: v for k, v in answer.getheaders() if k.lower() not in _NOT_HANDED_ON})
        while piece := answer.read1(_BLOCK_BYTES):
            self.wfile.write(piece)
            self.wfile.flush()

    def _send(self, status: int, body: bytes) -> None:
        self._begin(status, {"Content-Type": "application/json"})
        self.wfile.write(body)

    def _begin(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for key, text in headers.items():
            self.send_header(key, text)
        self.send_header("Connection", "close")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Nothing is printed."""

    def address_string(self) -> str:
        """A unix socket's clients have no address."""
        return "unix"


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))
