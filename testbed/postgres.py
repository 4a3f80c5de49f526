"""A private PostgreSQL cluster on loopback, gone with its data when the block ends."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Self

from testbed.processes import (
    LOOPBACK,
    Server,
    StartFailed,
    Unavailable,
    find_program,
    free_port,
    server_directory,
    wait_until,
)

_DATABASE = "safeupdater"
_USER = "safeupdater"


class Postgres:
    """A server of its own with one empty database, reached without a password at ``url``.

    It does everything that a real one does to keep data (fsync is on). PostgreSQL refuses to run as root:
    then it runs as the user ``postgres``.
    """

    def __init__(self) -> None:
        self._stack = contextlib.ExitStack()
        self._server: Server | None = None
        self.port = 0
        self._directory = Path()

    @property
    def socket(self) -> Path:
        """The Unix socket that it listens on, too."""
        return self._directory / f".s.PGSQL.{self.port}"

    @property
    def url(self) -> str:
        """The URL of its database."""
        return f"postgresql://{_USER}@{LOOPBACK}:{self.port}/{_DATABASE}"

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            user = _unprivileged_user()
            programs = _programs()
            directory = stack.enter_context(server_directory("postgres"))
            if user is not None:
                shutil.chown(directory, user)
            self.port, self._directory = free_port(), directory
            data = directory / "data"
            _run(
                [programs / "initdb", "-D", data, "-U", _USER, "-A", "trust", "-E", "UTF8", "--no-sync"], user
            )
            self._server = Server(
                argv=[
                    programs / "postgres", "-D", data, "-h", LOOPBACK, "-p", str(self.port),
                    "-k", directory, "-c", "max_connections=100",
                ],
                log=directory / "log",
                ready=lambda: self._is_ready(programs),
                user=user,
            )  # fmt: skip
            stack.callback(self.stop)
            self.start()
            _run([programs / "createdb", *self._connection, _DATABASE], user)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def start(self) -> None:
        """Starts it on the same port and data."""
        self._running.start()

    def stop(self) -> None:
        """Ends every connection and stops it; what was committed stays."""
        if self._running.is_running:
            self._running.signal(signal.SIGINT)  # SIGTERM would wait for its clients to leave
            wait_until(lambda: not self._running.is_running, timeout_s=20)
        self._running.stop()

    def restart(self) -> None:
        """Stops it and starts it again, as an upgrade does."""
        self.stop()
        self.start()

    def crash(self) -> None:
        """Kills it and starts it again, as a power cut does; what was committed stays."""
        self._running.kill()
        # Its children notice a moment later; until then the data directory is still taken.
        started = wait_until(self._starts, timeout_s=30, every_s=0.2)
        if not started:
            raise StartFailed(f"PostgreSQL did not come back; its log ends:\n{self._running.log_tail()}")

    def _starts(self) -> bool:
        try:
            self.start()
        except StartFailed:
            return False
        return True

    @property
    def _running(self) -> Server:
        if self._server is None:
            raise RuntimeError("PostgreSQL was not started")
        return self._server

    @property
    def _connection(self) -> list[str]:
        return ["-h", LOOPBACK, "-p", str(self.port), "-U", _USER]

    def _is_ready(self, programs: Path) -> bool:
        asked = subprocess.run(
            [programs / "pg_isready", *self._connection, "-d", "postgres"], capture_output=True, check=False
        )
        return asked.returncode == 0


def _programs() -> Path:
    # Debian keeps the server's programs off PATH, in one directory per major version.
    versions = Path("/usr/lib/postgresql").glob("*/bin/postgres")
    newest = max(versions, key=lambda path: int(path.parts[-3]), default=None)
    found = newest or find_program("postgres", package="postgresql")
    return found.resolve().parent


def _unprivileged_user() -> str | None:
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam("postgres").pw_name
    except KeyError:
        raise Unavailable("PostgreSQL does not run as root, and there is no user postgres") from None


def _run(argv: list[str | Path], user: str | None) -> None:
    done = subprocess.run(
        [str(word) for word in argv],
        capture_output=True,
        text=True,
        check=False,
        user=user,
        group=user,
        extra_groups=[] if user else None,
        cwd="/",
    )
    if done.returncode != 0:
        raise StartFailed(f"{argv[0]} failed: {done.stderr[-2000:]}")
