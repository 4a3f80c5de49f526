"""Starting a server, knowing when it answers, stopping it by process id, leaving nothing behind."""

from __future__ import annotations

import atexit
import contextlib
import http.client
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import attrs

LOOPBACK = "127.0.0.1"


class Unavailable(Exception):
    """A server cannot run on this machine; the message says what is missing. Tests skip with it."""


class StartFailed(Exception):
    """A server that should run here did not come up; the message ends with its log. Tests fail with it."""


def find_program(name: str, *, package: str, also_in: Sequence[str] = ()) -> Path:
    """The program's path, looked for on PATH, in the sbin directories and in ``also_in``.

    Raises:
        Unavailable: it is not installed; names the Debian package that has it.
    """
    search_path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin", *also_in])
    found = shutil.which(name, path=search_path)
    if found is None:
        raise Unavailable(f"{name} is not installed (Debian package {package})")
    return Path(found)


def require_root(what: str) -> None:
    """Raises ``Unavailable`` unless we run as root, for servers that need it."""
    if os.geteuid() != 0:
        raise Unavailable(f"{what} needs root")


def free_ports(count: int) -> tuple[int, ...]:
    """That many distinct TCP ports on loopback that nobody listens on at this moment."""
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind((LOOPBACK, 0))
        return tuple(each.getsockname()[1] for each in sockets)


def free_port() -> int:
    """One TCP port on loopback that nobody listens on at this moment."""
    return free_ports(1)[0]


@contextlib.contextmanager
def server_directory(name: str) -> Iterator[Path]:
    """A directory for one server's data, removed afterwards.

    Its path is short, because a unix socket's path may have 107 bytes only.
    """
    path = Path(tempfile.mkdtemp(prefix=f"su-{name}-", dir="/tmp" if Path("/tmp").is_dir() else None))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def wait_until(condition: Callable[[], bool], *, timeout_s: float, every_s: float = 0.05) -> bool:
    """Whether the condition came true within the time; asked at least once."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() >= deadline:
            return False
        time.sleep(every_s)
    return True


def answers_tcp(port: int, host: str = LOOPBACK) -> bool:
    """Whether somebody accepts connections there."""
    with contextlib.suppress(OSError), socket.create_connection((host, port), timeout=1):
        return True
    return False


def answers_http(port: int, path: str = "/", host: str = LOOPBACK) -> bool:
    """Whether a plain HTTP request gets any answer below 500."""
    connection = http.client.HTTPConnection(host, port, timeout=2)
    try:
        connection.request("GET", path)
        return connection.getresponse().status < 500
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def answers_unix_http(path: Path, request: str = "/_ping") -> bool:
    """Whether an HTTP request over a unix socket gets 200, as the Docker daemon's ``/_ping`` does."""
    try:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(2)
            client.connect(str(path))
            client.sendall(f"GET {request} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
            return b" 200 " in client.recv(64)
    except OSError:
        return False


@attrs.define(kw_only=True)
class Server:
    """One server process: started by ``start()``, answering when that returns, gone after ``stop()``.

    ``ready`` is asked until it says yes. Output goes to ``log``, whose end is in every failure message.
    ``user`` runs the process as that user, which needs root.
    """

    argv: Sequence[str | Path]
    log: Path
    ready: Callable[[], bool]
    env: Mapping[str, str] = attrs.field(factory=dict)
    cwd: Path | None = None
    user: str | None = None
    ready_timeout_s: float = 30.0
    stop_timeout_s: float = 20.0
    _process: subprocess.Popen[bytes] | None = attrs.field(default=None, init=False, repr=False)

    @property
    def name(self) -> str:
        """The program's name."""
        return Path(self.argv[0]).name

    @property
    def pid(self) -> int:
        """The process id of the running server."""
        if self._process is None:
            raise RuntimeError(f"{self.name} is not running")
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether the process lives."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> Self:
        """Starts it and waits until it answers.

        Raises:
            StartFailed: it exited, or did not answer in time.
        """
        with self.log.open("ab") as log:
            # A session of its own, so that Ctrl-C in the terminal reaches the tests and not the server.
            self._process = subprocess.Popen(
                [str(word) for word in self.argv],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **self.env},
                cwd=self.cwd,
                user=self.user,
                group=self.user,
                extra_groups=[] if self.user else None,
                start_new_session=True,
            )
        atexit.register(self.kill)
        wait_until(lambda: not self.is_running or self.ready(), timeout_s=self.ready_timeout_s)
        if not (self.is_running and self.ready()):
            state = "did not answer in time" if self.is_running else f"exited with {self._process.returncode}"
            self.kill()
            raise StartFailed(f"{self.name} {state}; its log ends:\n{self.log_tail()}")
        return self

    def stop(self) -> None:
        """Asks it to end and waits; kills it when it does not. Stopping twice is stopping once."""
        if self.is_running and self._process is not None:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(self.stop_timeout_s)
        self.kill()

    def kill(self) -> None:
        """Ends it at once, as a power cut would."""
        if self._process is not None:
            if self._process.poll() is None:
                self._process.kill()
            self._process.wait()
        atexit.unregister(self.kill)

    def signal(self, number: signal.Signals) -> None:
        """Sends a signal to it, such as SIGSTOP to make it hang."""
        os.kill(self.pid, number)

    def log_tail(self, size_bytes: int = 4000) -> str:
        """The end of what it wrote."""
        return self.log.read_bytes()[-size_bytes:].decode(errors="replace") if self.log.exists() else ""

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()
