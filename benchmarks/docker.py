"""A real Docker daemon: downtime of an update, the way back from a bad release, a scan of many containers.

Run: ``python -m benchmarks.docker [--pairs 6] [--containers 300] [--rounds 5]``. It starts a daemon and a
registry of its own on loopback (root and the packages of ``tests/live``), and prints ratios of what was
measured alternately in this run. Exit status 3 where a budget is missed. The promise of the downtime is
about ``--pairs 20``.
"""

from __future__ import annotations

import argparse
import http.client
import statistics
import sys
import threading
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

import docker

from benchmarks.report import Line, printed
from safeupdater.backends.docker import DockerBackend, DockerScanner
from safeupdater.config import Policy
from safeupdater.domain.operation import Outcome
from safeupdater.update.result import OperationResult
from safeupdater.update.updater import Updater
from testbed import images
from testbed.docker import Dockerd
from testbed.images import Kind
from testbed.processes import LOOPBACK, free_port, wait_until
from testbed.registry import Registry

PROBE_EVERY_S = 0.02
OF_PLAIN_DOWNTIME = 1.0
OF_DOCKER_PY = 0.1
BACK_WITHIN_S = 3.0
POLICY = {
    "version": 1,
    "rollback": {"cooldown": "0s", "max_per_day": 1000},
    "health": {
        "window": "3s", "interval": "1s", "ready_timeout": "20s",
        "checks": [{"type": "http", "port": images.PORT, "path": "/health"}],
    },
}  # fmt: skip


# --- the host -----------------------------------------------------------------------------------------------


class Host:
    """A daemon, a registry with releases ``1.0.0``, ``1.0.1`` … of some applications, and an updater."""

    def __init__(self, daemon: Dockerd, registry: Registry) -> None:
        self.registry = registry
        self.url = daemon.host
        self.client = docker.APIClient(base_url=self.url, version="1.41")
        self.client.trust_env = False
        self._newest: dict[str, int] = {}

    def reference(self, app: str) -> str:
        """The newest release of an application."""
        return f"{self.registry.host}/{app}:1.0.{self._newest[app]}"

    def release(self, app: str, kind: Kind = Kind.GOOD, *, keep: bool = False) -> str:
        """Pushes the next release; gives its digest."""
        self._newest[app] = self._newest.get(app, -1) + 1
        return images.release(self.client, self.reference(app), kind, keep=keep)

    def run(self, app: str, port: int) -> None:
        """Creates and starts a container of the newest release, as a script would."""
        host_config = self.client.create_host_config(
            port_bindings={images.PORT: (LOOPBACK, port)}, restart_policy={"Name": "always"}
        )
        made = self.client.create_container(
            self.reference(app), name=app, ports=[images.PORT], host_config=host_config
        )
        self.client.start(made["Id"])

    def recreate_plainly(self, app: str, port: int) -> None:
        """What people do by hand: stop, remove, run."""
        self.client.stop(app)
        self.client.remove_container(app)
        self.run(app, port)

    def update(self, app: str) -> OperationResult:
        """Scan, plan and apply by the engine."""
        updater = Updater(
            backends=[DockerBackend(self.client, host="bench")], policy=Policy.from_dict(POLICY)
        )
        scan = updater.scan()
        (result,) = updater.apply(updater.plan([asset for asset in scan.assets if asset.name == app]))
        return result


class Prober:
    """Asks a port every 20 ms which version serves there; the longest silence between two answers counts."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._probe, daemon=True)
        self.answers: list[float] = []

    @property
    def silence_s(self) -> float:
        """The longest time between two answers that follow one another."""
        return max(after - before for before, after in zip(self.answers, self.answers[1:], strict=False))

    def __enter__(self) -> Self:
        self._thread.start()
        self._wait_for_more(5)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._wait_for_more(5)
        self._ends.set()
        self._thread.join()

    def _wait_for_more(self, count: int) -> None:
        wanted = len(self.answers) + count
        if not wait_until(lambda: len(self.answers) >= wanted, timeout_s=20, every_s=0.01):
            raise RuntimeError(f"nothing answers on port {self._port}")

    def _probe(self) -> None:
        due = time.monotonic()
        while not self._ends.wait(max(0.0, due - time.monotonic())):
            if self._is_answered():
                self.answers.append(time.monotonic())
            due = max(due + PROBE_EVERY_S, time.monotonic())

    def _is_answered(self) -> bool:
        connection = http.client.HTTPConnection(LOOPBACK, self._port, timeout=1)
        try:
            connection.request("GET", "/version")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()


# --- what is measured ---------------------------------------------------------------------------------------


def measure_downtime(host: Host, pairs: int) -> list[Line]:
    """Updates and plain recreations in turns, of two containers alike."""
    ports = {"ours": free_port(), "plain": free_port()}
    for app, port in ports.items():
        host.release(app, keep=True)
        host.run(app, port)
    silences: dict[str, list[float]] = {"ours": [], "plain": []}
    for _ in range(pairs):
        host.release("plain", keep=True)
        with Prober(ports["plain"]) as prober:
            host.recreate_plainly("plain", ports["plain"])
        silences["plain"].append(prober.silence_s)

        host.release("ours")
        with Prober(ports["ours"]) as prober:
            result = host.update("ours")
        expect(result, Outcome.SUCCEEDED)
        silences["ours"].append(prober.silence_s)
    plain, ours = (statistics.median(silences[app]) for app in ("plain", "ours"))
    seen = f"(median of {pairs})"
    return [
        Line(f"downtime, plain stop, remove, run {seen}", plain * 1e3, "ms"),
        Line(f"downtime, update by safeupdater {seen}", ours * 1e3, "ms"),
        Line("downtime, ours / plain", ours / plain, "x", OF_PLAIN_DOWNTIME),
    ]


def measure_way_back(host: Host, rounds: int) -> list[Line]:
    """From the beginning of an update to a bad release until the old version was seen stable again."""
    host.release("back", keep=True)
    host.run("back", free_port())
    stops, crashes, unpullable = [], [], []
    for _ in range(rounds):
        stops.append(timed(lambda: host.client.stop("back")))
        host.client.start("back")

        host.release("back", Kind.CRASH)
        crashes.append(timed(lambda: expect(host.update("back"), Outcome.ROLLED_BACK)))

        host.registry.delete_layers("back", host.release("back"))
        unpullable.append(timed(lambda: expect(host.update("back"), Outcome.ABORTED)))
    stop = statistics.median(stops)
    budget = BACK_WITHIN_S + stop
    seen = f"(median of {rounds})"
    return [
        Line(f"stopping the old version {seen}", stop, "s"),
        Line(f"crash loop to old version verified {seen}", statistics.median(crashes), "s", budget),
        Line(f"image that cannot be pulled, same {seen}", statistics.median(unpullable), "s", budget),
    ]


def measure_scan(host: Host, containers: int, rounds: int) -> list[Line]:
    """A scan of created containers, in turns with docker-py's list of the same."""
    host.release("many", keep=True)
    for number in range(containers):
        host.client.create_container(host.reference("many"), name=f"many{number}", labels={"n": str(number)})
    scanner = DockerScanner(host.client, host="bench")
    theirs = docker.DockerClient(base_url=host.url, version="1.41")
    list_s, scan_s = [], []
    for _ in range(rounds):
        list_s.append(timed(lambda: at_least(theirs.containers.list(all=True), containers)))
        scan_s.append(timed(lambda: at_least(scanner.scan().assets, containers)))
    theirs_s, ours_s = statistics.median(list_s), statistics.median(scan_s)
    seen = f"(median of {rounds})"
    return [
        Line(f"docker-py containers.list(), {containers} containers {seen}", theirs_s * 1e3, "ms"),
        Line(f"scan, {containers} containers {seen}", ours_s * 1e3, "ms"),
        Line("scan / containers.list()", ours_s / theirs_s, "x", OF_DOCKER_PY),
    ]


def expect(result: OperationResult, outcome: Outcome) -> None:
    """What was measured has to be what was meant."""
    if result.outcome is not outcome:
        raise RuntimeError(f"{result.outcome} instead of {outcome}: {result.code} {result.message}")


def at_least(found: Sequence[object], count: int) -> None:
    """A list that is shorter than what there is would be fast for nothing."""
    if len(found) < count:
        raise RuntimeError(f"{len(found)} of {count} containers listed")


def timed(action: Callable[[], object]) -> float:
    """Seconds on the clock on the wall."""
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def main() -> int:
    """Prints the table; 1 where a budget is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=6, help="recreations of each kind, in turns")
    parser.add_argument("--containers", type=int, default=300, help="how many are scanned")
    parser.add_argument("--rounds", type=int, default=5, help="bad releases, and scans")
    options = parser.parse_args()
    with Dockerd() as daemon, Registry() as registry:
        host = Host(daemon, registry)
        measured = (
            lambda: measure_downtime(host, options.pairs),
            lambda: measure_way_back(host, options.rounds),
            lambda: measure_scan(host, options.containers, options.rounds),
        )
        return printed(line for measure in measured for line in measure())


if __name__ == "__main__":
    sys.exit(main())
