"""What goes wrong at daemon, disk or registry: one sentence that says what to do, and nothing changed.

Whole updates by the facade over the fake daemon, so that what a person reads is what is tested.
"""

from __future__ import annotations

import copy
import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest
import requests

from safeupdater.backends.docker import DockerBackend
from safeupdater.backends.docker.room import free_bytes
from safeupdater.config.policy import Policy
from safeupdater.domain.operation import OperationSettings, Outcome, PreflightReport
from safeupdater.protocols import OperationContext
from safeupdater.registries.static import StaticTags
from safeupdater.testing.clock import FakeClock
from safeupdater.testing.fake_docker import FakeDocker
from safeupdater.testing.fake_docker_http import FakeTransport
from safeupdater.update.result import OperationResult
from safeupdater.update.updater import Updater

APP = "registry.test/app"
POLICY = {"health": {"window": "30s", "interval": "10s", "ready_timeout": "30s"}}
ALWAYS = {"RestartPolicy": {"Name": "always", "MaximumRetryCount": 0}}
Reply = tuple[int, bytes] | Exception


class Faulty(FakeTransport):
    """Answers calls whose method and path hold a text with something else, always or so many times."""

    def __init__(self, daemon: FakeDocker) -> None:
        super().__init__(daemon)
        self.where = "nowhere"
        self.reply: Callable[[], Reply] | None = None
        self.times = 10**9

    def answer(self, method: str, url: str, body: str | bytes | None) -> tuple[int, bytes]:
        if self.reply is None or self.where not in f"{method} {url}" or self.times <= 0:
            return super().answer(method, url, body)
        self.times -= 1
        reply = self.reply()
        if isinstance(reply, Exception):
            raise reply
        return reply


@attrs.define
class Scene:
    """A container on 1.0.0 whose update meets with a fault."""

    daemon: FakeDocker = attrs.field(factory=FakeDocker)
    clock: FakeClock = attrs.field(factory=FakeClock)
    transport: Faulty = attrs.field(init=False)
    updater: Updater = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.daemon.release(f"{APP}:1.0.0", pulled=True)
        digest = self.daemon.release(f"{APP}:1.0.1")
        self.daemon.run("web", f"{APP}:1.0.0", HostConfig=ALWAYS)
        self.transport = Faulty(self.daemon)
        self.updater = Updater(
            backends=[
                DockerBackend(self.daemon.client(lambda _: self.transport), host="h", own_container=None)
            ],
            policy=Policy.from_dict(POLICY),
            tags=StaticTags({APP: ["1.0.0", "1.0.1"]}, digests={f"{APP}:1.0.1": digest}),
            clock=self.clock,
        )
        self.updater.scan()

    def apply(self, where: str, reply: Callable[[], Reply], times: int = 10**9) -> OperationResult:
        self.transport.where, self.transport.reply, self.transport.times = where, reply, times
        (result,) = self.updater.apply()
        return result

    def shown(self) -> Any:
        """Everything on the host but when and how it was last stopped."""
        containers = copy.deepcopy(self.daemon.containers)
        for container in containers.values():
            container.pop("stopped_by_hand")
        return containers, {i: sorted(image["RepoTags"]) for i, image in self.daemon.images.items()}


def error(status: int, message: str) -> Callable[[], Reply]:
    return lambda: (status, json.dumps({"message": message}).encode())


def in_stream(message: str) -> Callable[[], Reply]:
    """A pull that begins well and says later that it failed."""
    lines = [{"status": "Pulling"}, {"errorDetail": {"message": message}, "error": message}]
    return lambda: (200, b"\r\n".join(json.dumps(line).encode() for line in lines))


HTTP = "error pulling image configuration: received unexpected HTTP status: "
PULLS = [
    ("write /var/lib/docker/tmp/x: no space left on device", "disk_full", "free space"),
    ("unauthorized: authentication required", "registry_denied", "docker login"),
    (f"{HTTP}401 Unauthorized", "registry_denied", "docker login"),
    ("denied: requested access to the resource is denied", "registry_denied", "docker login"),
    ("pull access denied for app, repository does not exist or may require 'docker login'",
     "registry_denied", "docker login"),
    (f"{HTTP}403 Forbidden", "registry_denied", "docker login"),
    (f"manifest for {APP} not found: manifest unknown: manifest unknown", "image_gone", "plan again"),
    (f"{HTTP}404 Not Found", "image_gone", "plan again"),
    ("toomanyrequests: You have reached your unauthenticated pull rate limit", "rate_limited", "later"),
    (f"{HTTP}429 Too Many Requests", "rate_limited", "later"),
    (f"{HTTP}500 Internal Server Error", "registry_failed", "try again later"),
    (f"{HTTP}503 Service Unavailable", "registry_failed", "try again later"),
    ("Get \"https://registry.test/v2/\": dial tcp 10.0.0.1:443: i/o timeout",
     "registry_unreachable", "network"),
    ("Get \"https://registry.test/v2/\": context deadline exceeded", "registry_unreachable", "network"),
    ("unexpected EOF", "registry_unreachable", "network"),
    ("Get \"https://registry.test/v2/\": x509: certificate signed by unknown authority",
     "registry_tls", "/etc/docker/certs.d"),
    ("Get \"https://registry.test/v2/\": http: server gave HTTP response to HTTPS client",
     "registry_tls", "insecure-registries"),
    ("manifest verification failed for digest sha256:abc", "digest_mismatch", "plan again"),
    ("filesystem layer verification failed for digest sha256:abc", "digest_mismatch", "plan again"),
    ("no matching manifest for linux/amd64 in the manifest list entries", "platform_mismatch", "platform"),
]  # fmt: skip


@pytest.mark.parametrize("how", ["in the stream", "at once"])
@pytest.mark.parametrize(("message", "code", "advice"), PULLS)
def test_a_pull_that_fails_changes_nothing_and_says_what_to_do(
    message: str, code: str, advice: str, how: str
) -> None:
    scene = Scene()
    before = scene.shown()
    reply = in_stream(message) if how == "in the stream" else error(500, message)
    result = scene.apply("POST http+docker://localhost/v1.41/images/create", reply)
    assert (result.outcome, result.code) == (Outcome.ABORTED, code)
    assert advice in result.message
    assert "\n" not in result.message
    assert scene.shown() == before
    assert scene.updater.store.get("quarantine", "docker://h/web") is None


@pytest.mark.parametrize("times", [1, 3])
def test_a_pull_that_fails_for_a_while_is_tried_again(times: int) -> None:
    scene = Scene()
    assert scene.apply("/images/create", in_stream(f"{HTTP}503 Service Unavailable"), times).succeeded


FULL = "mkdir /var/lib/docker/overlay2/x: no space left on device"


@pytest.mark.parametrize(
    ("where", "outcome"),
    [("/containers/create", Outcome.ABORTED), ("/start", Outcome.ROLLED_BACK)],
)
def test_a_full_disk_is_said_and_the_old_version_runs(where: str, outcome: Outcome) -> None:
    scene = Scene()
    before = scene.shown()
    # Of starts only the new version's meets with it: the old one's layer is there.
    result = scene.apply(where, error(500, FULL), 1 if where == "/start" else 10**9)
    assert result.outcome is outcome
    assert "free space" in result.message
    # It was stopped and started again, where the switch had begun; everything else is as it was.
    after = scene.shown()
    for containers, _ in (before, after):
        for container in containers.values():
            container["State"] = container["State"]["Running"]
    assert after[0] == before[0]


def test_a_start_that_fails_by_the_network_is_not_laid_on_the_registry() -> None:
    words = "failed to initialize logging driver: dial tcp 10.0.0.7:24224: i/o timeout"
    result = Scene().apply("/start", error(500, words), 1)
    assert (result.outcome, result.code) == (Outcome.ROLLED_BACK, "start_refused")
    assert words in result.message
    assert "registry" not in result.message


# --- the daemon itself -------------------------------------------------------------------------------------

GONE = requests.exceptions.ConnectionError(ConnectionRefusedError(111, "refused"))
DENIED = requests.exceptions.ConnectionError(PermissionError(13, "denied"))


@pytest.mark.parametrize(
    ("reply", "code", "advice"),
    [
        (lambda: GONE, "daemon_absent", "systemctl start docker"),
        (lambda: DENIED, "permission_denied", "member of the group"),
        (error(400, "client version 1.41 is too old. Minimum supported API version is 1.44"),
         "api_version", "upgrade safeupdater"),
        (error(400, "client version 1.41 is too new. Maximum supported API version is 1.40"),
         "api_version", "upgrade the daemon"),
        (error(403, "Forbidden by administrative rules"), "forbidden", "proxy"),
        (error(500, "something"), "daemon_error", "journalctl"),
    ],
    ids=["absent", "denied", "too new", "too old", "proxy", "failing"],
)  # fmt: skip
def test_a_daemon_that_cannot_be_used_is_said_and_nothing_is_changed(
    reply: Callable[[], Reply], code: str, advice: str
) -> None:
    scene = Scene()
    before = scene.shown()
    result = scene.apply("localhost", reply)
    assert result.outcome is not Outcome.SUCCEEDED
    assert result.code == code
    assert advice in result.message
    assert "\n" not in result.message
    assert scene.shown() == before


@pytest.mark.parametrize("version", ["1.24", "1.40"])
def test_a_daemon_that_is_too_old_is_told_so_before_anything_else(version: str) -> None:
    daemon = FakeDocker(api_version=version)
    updater = Updater(backends=[DockerBackend(daemon.client(), host="h")], clock=FakeClock())
    (problem,) = updater.scan().problems
    assert "upgrade the daemon: Docker 20.10 (API 1.41)" in problem


def test_a_daemon_that_wants_newer_calls_than_ours_is_told_so() -> None:
    scene = Scene()
    said = {"ApiVersion": "1.99", "MinAPIVersion": "1.60", "Os": "linux", "Arch": "amd64"}
    scene.transport.where, scene.transport.reply = "/version", lambda: (200, json.dumps(said).encode())
    backend = DockerBackend(scene.daemon.client(lambda _: scene.transport), host="h")
    (problem,) = Updater(backends=[backend], clock=scene.clock).scan().problems
    assert "upgrade safeupdater" in problem


class Redirecting(FakeTransport):
    """Sends every look at the containers elsewhere, as a proxy that wants a login does."""

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        response = super().send(request)
        if "/containers/json" in str(request.url):
            response.status_code = 307
            response.headers["Location"] = "http+docker://localhost/v1.41/elsewhere"
        return response


def test_a_daemon_that_sends_us_elsewhere_is_not_followed() -> None:
    """The body and the login of a call are meant for the daemon alone."""
    daemon = FakeDocker()
    transport = Redirecting(daemon)
    backend = DockerBackend(daemon.client(lambda _: transport), host="h", own_container=None)
    assert Updater(backends=[backend], clock=FakeClock()).scan().problems
    assert not [call for call in transport.calls if "elsewhere" in call]


@pytest.mark.parametrize("call", ["/images/create", "/containers/create", "/stop", "/start", "/update"])
def test_a_daemon_that_restarts_half_way_costs_nothing(call: str) -> None:
    scene = Scene()

    def restarting() -> Reply:
        scene.daemon.restart()
        return requests.exceptions.ConnectionError("connection reset by peer")

    result = scene.apply(call, restarting, 1)
    assert result.outcome in (Outcome.SUCCEEDED, Outcome.ROLLED_BACK, Outcome.ABORTED)
    assert scene.daemon.running() == {"web"}
    assert scene.daemon.find("web")["HostConfig"]["RestartPolicy"]["Name"] == "always"
    assert [c["Name"] for c in scene.daemon.containers.values()] == ["/web"]


# --- room --------------------------------------------------------------------------------------------------


MIB, LARGE = 1 << 20, 8 << 30
CONTAINERD = [["driver-type", "io.containerd.snapshotter.v1"]]


@attrs.define
class Room:
    """A host with so much free, where a container is about to be updated from an image of a size."""

    free: int | None
    size: int = LARGE
    scene: Scene = attrs.field(factory=Scene)
    asked: list[str] = attrs.field(factory=list)
    host_name: str = attrs.field(factory=socket.gethostname)

    def preflight(self, *, is_here: bool = False, **options: Any) -> PreflightReport:
        daemon = self.scene.daemon
        daemon.host_name = self.host_name
        for image in daemon.images.values():
            image["Size"] = self.size
        if is_here:
            (entry,) = (key for key, image in daemon.registry.items() if image["Id"] not in daemon.images)
            daemon.pull(*entry.split("@"))
        backend = DockerBackend(
            daemon.client(), host="h", free_bytes=lambda path: self.asked.append(path) or self.free,
            **{"own_container": None, **options},
        )  # fmt: skip
        (update,) = self.scene.updater.plan().updates
        return backend.preflight(
            OperationContext(operation_id="op", epoch=1, planned=update, settings=OperationSettings())
        )


@pytest.mark.parametrize(
    ("free", "size", "code", "warns"),
    [
        (64 * MIB - 1, LARGE, "disk_full", False),
        (64 * MIB, LARGE, "", True),
        (2 * LARGE - 1, LARGE, "", True),
        (2 * LARGE, LARGE, "", False),
        (9 * MIB, 5 * MIB, "disk_full", False),
        (10 * MIB, 5 * MIB, "", False),
        (0, 0, "", False),
        (None, LARGE, "", False),
    ],
)
def test_only_where_next_to_nothing_is_free_a_pull_is_refused_else_it_is_warned(
    free: int | None, size: int, code: str, warns: bool
) -> None:
    room = Room(free, size)
    report = room.preflight()
    assert (report.refusal.code if report.refusal else "") == code
    warnings = [warning for warning in report.warnings if "free" in warning]
    assert bool(warnings) is warns
    assert room.asked == ["/fake/docker"]
    if warns:
        assert f"{(free or 0) >> 20} MiB" in warnings[0]
        assert f"{size >> 20} MiB" in warnings[0]


@pytest.mark.parametrize("free", [0, LARGE])
def test_what_was_pulled_already_needs_no_room(free: int) -> None:
    report = Room(free).preflight(is_here=True)
    assert (report.refusal, report.warnings) == (None, ())


def test_room_is_not_looked_for_where_images_are_elsewhere() -> None:
    rooms = [Room(0), Room(0), Room(0, host_name="where the socket is forwarded from")]
    rooms[0].scene.daemon.driver_status = CONTAINERD
    reports = [rooms[0].preflight(), rooms[1].preflight(own_container="c" * 64), rooms[2].preflight()]
    assert [(report.refusal, report.warnings) for report in reports] == [(None, ())] * 3
    assert [room.asked for room in rooms] == [[], [], []]


def test_what_is_free_is_asked_of_the_file_system(tmp_path: Path) -> None:
    assert (free_bytes(str(tmp_path)) or 0) > 0
    assert free_bytes(str(tmp_path / "nothing")) is None
    assert free_bytes("") is None
