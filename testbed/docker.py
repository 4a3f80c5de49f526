"""A private Docker daemon: its own data, socket, bridge and addresses, so that several run side by side.

``with Dockerd() as daemon: docker.APIClient(base_url=daemon.host)``. It needs root and the Debian packages
``docker.io`` and ``iproute2``. iptables is left alone (two daemons would fight over it): published ports
work on loopback through docker-proxy, containers answer on their addresses, none reaches further.
"""

from __future__ import annotations

import contextlib
import http.client
import ipaddress
import itertools
import json
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import attrs

from testbed.certificates import Certificates, issue_certificates
from testbed.processes import (
    LOOPBACK,
    Server,
    Unavailable,
    answers_unix_http,
    find_program,
    free_port,
    require_root,
    server_directory,
    wait_until,
)

_SUBNETS = itertools.count(os.getpid() % 100)


@attrs.define
class Dockerd:
    """A dockerd that lives as long as the context; ``tls=True`` also serves TCP with client certificates.

    ``disk_mib`` gives it a disk of its own of that size, which can be filled.
    """

    tls: bool = False
    disk_mib: int | None = None
    _stack: contextlib.ExitStack = attrs.field(factory=contextlib.ExitStack, init=False, repr=False)
    _directory: Path = attrs.field(default=Path(), init=False)
    _server: Server | None = attrs.field(default=None, init=False, repr=False)
    port: int | None = attrs.field(default=None, init=False)
    certificates: Certificates | None = attrs.field(default=None, init=False)

    @property
    def socket(self) -> Path:
        """Where it listens."""
        return self._directory / "docker.sock"

    @property
    def data(self) -> Path:
        """Where it keeps images, containers and volumes."""
        return self._directory / "data"

    @property
    def host(self) -> str:
        """Its URL over the unix socket, as ``DOCKER_HOST`` takes it."""
        return f"unix://{self.socket}"

    @property
    def tcp_host(self) -> str:
        """Its URL over TCP with TLS."""
        return f"tcp://{LOOPBACK}:{self.port}"

    @property
    def server(self) -> Server:
        """The process."""
        if self._server is None:
            raise RuntimeError("the daemon was not started")
        return self._server

    def __enter__(self) -> Self:
        require_root("dockerd")
        program = find_program("dockerd", package="docker.io")
        ip = find_program("ip", package="iproute2")
        with contextlib.ExitStack() as stack:
            self._directory = stack.enter_context(server_directory("docker"))
            stack.callback(self._unmount)
            self._mount_data()
            bridge, pool = stack.enter_context(_bridge(ip))
            arguments = self._arguments(bridge, pool)
            self._server = Server(
                argv=[program, *arguments],
                log=self._directory / "log",
                ready=lambda: answers_unix_http(self.socket),
                env={"DOCKER_CONFIG": str(self._directory / "config")},
            )
            stack.callback(self._end)
            self._server.start()
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stack.close()

    def restart(self) -> None:
        """An orderly restart, as a package upgrade does it: containers stop, restart policies apply."""
        self.server.stop()
        self.start()

    def stop(self) -> None:
        """Ends it in an orderly way; ``start()`` brings it back."""
        self.server.stop()

    def kill(self) -> None:
        """A crash of the daemon: its containers go on without it."""
        self.server.kill()

    def start(self) -> None:
        """Starts it again on the same data."""
        # A containerd that died with the daemon may linger as a zombie that counts as running.
        for stale in (self._directory / "pid", self._directory / "exec" / "containerd" / "containerd.pid"):
            stale.unlink(missing_ok=True)
        self.server.start()

    def _arguments(self, bridge: str, pool: str) -> list[str]:
        arguments = [
            "--data-root", str(self.data), "--exec-root", str(self._directory / "exec"),
            "--pidfile", str(self._directory / "pid"), "--config-file", str(self._directory / "none.json"),
            "--host", self.host, "--bridge", bridge, "--default-address-pool", f"base={pool},size=24",
            "--iptables=false", "--ip-masq=false", "--shutdown-timeout", "2",
        ]  # fmt: skip
        if self.tls:
            self.port = free_port()
            self.certificates = issue_certificates(self._directory / "tls")
            (self._directory / "none.json").write_text("{}")
            tls = self.certificates
            arguments += [
                "--host", self.tcp_host, "--tlsverify", "--tlscacert", str(tls.ca),
                "--tlscert", str(tls.server_cert), "--tlskey", str(tls.server_key),
            ]  # fmt: skip
        else:
            (self._directory / "none.json").write_text("{}")
        return arguments

    def _end(self) -> None:
        if self.server.is_running:
            with contextlib.suppress(OSError, http.client.HTTPException, ValueError):
                self._remove_everything()
            self.server.stop()
        self._kill_ours()

    def _remove_everything(self) -> None:
        # Containers first, with force: stopping the daemon would wait for each of them.
        for container in self._ask("GET", "/containers/json?all=1"):
            self._ask("DELETE", f"/containers/{container['Id']}?force=1&v=1")
        for network in self._ask("GET", "/networks"):
            if network["Name"] not in {"bridge", "host", "none"}:
                self._ask("DELETE", f"/networks/{network['Id']}")

    def _ask(self, method: str, path: str) -> list[dict[str, str]]:
        connection = _UnixConnection(self.socket)
        try:
            connection.request(method, path)
            body = connection.getresponse().read()
            return json.loads(body) if method == "GET" else []
        finally:
            connection.close()

    def _kill_ours(self) -> None:
        """Ends what the daemon started (containerd, shims), known by our directory in the command line."""
        for pid in _pids_of(str(self._directory / "exec")):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not list(_pids_of(str(self._directory / "exec"))), timeout_s=5)

    def _mount_data(self) -> None:
        if self.disk_mib is None:
            return
        self.data.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={self.disk_mib}m", "tmpfs", self.data]
        mounted = subprocess.run(command, check=False, capture_output=True, text=True)
        if mounted.returncode != 0:
            raise Unavailable(f"no file system can be mounted here: {mounted.stderr.strip()}")

    def _unmount(self) -> None:
        mounted = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
        for point in sorted((m for m in mounted if m.startswith(f"{self._directory}/")), reverse=True):
            subprocess.run(["umount", "--lazy", point], check=False, capture_output=True)
        shutil.rmtree(self._directory, ignore_errors=True)


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=30)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


def _pids_of(directory: str) -> Iterator[int]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                command = (entry / "cmdline").read_bytes().decode(errors="replace")
                if directory in command and int(entry.name) != os.getpid():
                    yield int(entry.name)


@contextlib.contextmanager
def _bridge(ip: Path) -> Iterator[tuple[str, str]]:
    """A bridge of our own and a pool of addresses for further networks, on a subnet that nobody uses."""
    name = f"su{os.getpid() % 10**6}n{next(_SUBNETS) % 1000}"
    block = _free_block(ip)
    first = next(block.subnets(new_prefix=24))
    # With an address of its own: else it takes one from its ports, and connections stall as containers go.
    mac = f"02:42:{':'.join(f'{byte:02x}' for byte in first[1].packed)}"
    subprocess.run(
        [ip, "link", "add", name, "address", mac, "type", "bridge"], check=True, capture_output=True
    )
    try:
        subprocess.run([ip, "addr", "add", f"{first[1]}/24", "dev", name], check=True, capture_output=True)
        subprocess.run([ip, "link", "set", name, "up"], check=True, capture_output=True)
        yield name, str(ipaddress.ip_network(f"{block[128 * 256]}/17"))
    finally:
        subprocess.run([ip, "link", "delete", name], check=False, capture_output=True)


def _free_block(ip: Path) -> ipaddress.IPv4Network:
    routes = subprocess.run([ip, "-4", "route"], check=True, capture_output=True, text=True).stdout
    used = [
        ipaddress.ip_network(word, strict=False)
        for word in routes.split()
        if word.count(".") == 3 and word.count("/") == 1
    ]
    for _ in range(120):
        block = ipaddress.IPv4Network(f"10.{120 + next(_SUBNETS) % 120}.0.0/16")
        if not any(block.overlaps(route) for route in used):
            return block
    raise RuntimeError("no free 10.x.0.0/16 for the daemon's networks")
