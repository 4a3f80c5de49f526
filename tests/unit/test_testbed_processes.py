"""The testbed's own promises: a server answers when start returns, and is gone when stop returns."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from testbed.processes import (
    Server,
    StartFailed,
    Unavailable,
    answers_http,
    answers_tcp,
    find_program,
    free_port,
    free_ports,
    server_directory,
    wait_until,
)


def http_server(directory: Path, port: int) -> Server:
    argv = [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1"]
    return Server(argv=argv, log=directory / "log", cwd=directory, ready=lambda: answers_http(port))


def test_a_server_answers_when_start_returns_and_is_gone_after_stop(tmp_path: Path) -> None:
    port = free_port()
    with http_server(tmp_path, port) as server:
        pid = server.pid
        assert answers_http(port)
    assert not answers_tcp(port)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_stopping_twice_is_stopping_once(tmp_path: Path) -> None:
    server = http_server(tmp_path, free_port()).start()
    server.stop()
    server.stop()
    assert not server.is_running


def test_a_server_that_exits_is_reported_with_its_log(tmp_path: Path) -> None:
    argv = [sys.executable, "-c", "raise SystemExit('no licence to run')"]
    server = Server(argv=argv, log=tmp_path / "log", ready=lambda: False)
    with pytest.raises(StartFailed, match="exited with 1") as failure:
        server.start()
    assert "no licence to run" in str(failure.value)


def test_a_server_that_never_answers_is_ended_and_reported(tmp_path: Path) -> None:
    argv = [sys.executable, "-c", "import signal; signal.pause()"]
    server = Server(argv=argv, log=tmp_path / "log", ready=lambda: False, ready_timeout_s=0.2)
    with pytest.raises(StartFailed, match="did not answer"):
        server.start()
    assert not server.is_running


def test_a_missing_program_is_named_with_its_package() -> None:
    with pytest.raises(Unavailable, match="Debian package no-such-package"):
        find_program("no-such-program", package="no-such-package")


def test_free_ports_are_distinct() -> None:
    assert len(set(free_ports(20))) == 20


def test_a_server_directory_fits_a_unix_socket_and_leaves_nothing() -> None:
    with server_directory("docker") as directory:
        assert len(str(directory / "containerd" / "containerd.sock.ttrpc")) < 100
        (directory / "data").write_text("x")
    assert not directory.exists()


def test_waiting_ends_at_the_deadline() -> None:
    assert not wait_until(lambda: False, timeout_s=0.1)
    assert wait_until(lambda: True, timeout_s=0)
