"""How a container is stopped: with which signal, and how long it may take."""

from __future__ import annotations

import signal
from typing import Any

import attrs
import pytest
import requests

from safeupdater.backends.docker import DockerBackend
from safeupdater.backends.docker.signals import parse_signal
from safeupdater.domain.artifact import ImageReference
from safeupdater.domain.operation import OperationSettings, Phase
from safeupdater.testing.driving import Drive, operation_for
from safeupdater.testing.fake_docker import FakeDocker, Refused
from safeupdater.testing.fake_docker_http import FakeTransport

APP, LABEL = "registry.test/app", "safeupdater.stop-signal"


class Timing(FakeTransport):
    """Keeps how long each call was allowed to take."""

    def __init__(self, daemon: FakeDocker) -> None:
        super().__init__(daemon)
        self.allowed: list[tuple[str, float]] = []

    def send(self, request: requests.PreparedRequest, *args: Any, **options: Any) -> requests.Response:
        self.allowed.append((str(request.url).partition("?")[0].rpartition("/")[2], options["timeout"]))
        return super().send(request, *args, **options)


@attrs.define
class Scene:
    """A daemon and a container that is to be stopped by an update."""

    daemon: FakeDocker = attrs.field(factory=lambda: FakeDocker(api_version="1.47"))
    image: dict[str, Any] = attrs.field(factory=dict)
    new: dict[str, Any] = attrs.field(factory=dict)
    """What the new version's image has otherwise."""
    old_image: str = attrs.field(init=False)
    transport: Timing = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.transport = Timing(self.daemon)
        self.daemon.release(f"{APP}:1.0.0", pulled=True, **self.image)

    def update(self, stop_timeout_s: float = 10.0, **config: Any) -> None:
        self.drive(stop_timeout_s, **config).update()

    def drive(self, stop_timeout_s: float = 10.0, **config: Any) -> Drive:
        settings = OperationSettings(stop_timeout_s=stop_timeout_s)
        self.daemon.run("web", f"{APP}:1.0.0", **config)
        self.old_image = self.daemon.find("web")["Image"]
        digest = self.daemon.release(f"{APP}:1.0.1", **{**self.image, **self.new})
        backend = DockerBackend(self.daemon.client(lambda _: self.transport), host="h", own_container=None)
        (asset,) = backend.scan().assets
        operation = operation_for(asset, ImageReference.parse(f"{APP}:1.0.1@{digest}"))
        return Drive(backend, attrs.evolve(operation, settings=settings, deadline_s=5.0))

    def step_time_s(self, step: str, stop_timeout_s: float = 10.0, **config: Any) -> float:
        self.daemon.run("web", f"{APP}:1.0.0", **config)
        self.daemon.run("log", f"{APP}:1.0.0", HostConfig={"NetworkMode": "container:web"}, StopTimeout=7)
        digest = self.daemon.release(f"{APP}:1.0.1", **self.image)
        backend = DockerBackend(self.daemon.client(lambda _: self.transport), host="h", own_container=None)
        asset = next(asset for asset in backend.scan().assets if asset.name == "web")
        drive = Drive(backend, operation_for(asset, ImageReference.parse(f"{APP}:1.0.1@{digest}")))
        drive.capture()
        settings = OperationSettings(stop_timeout_s=stop_timeout_s)
        calls = len(self.transport.allowed)
        found = backend.step_time_s(attrs.evolve(drive.operation, settings=settings), Phase.SWITCHING, step)
        assert len(self.transport.allowed) == calls, "it asks nobody"
        return found

    def allowed_s(self, call: str) -> float:
        (found,) = [timeout_s for name, timeout_s in self.transport.allowed if name == call]
        return found


@pytest.mark.parametrize(
    ("label", "own", "image", "signal"),
    [
        ("SIGQUIT", "SIGINT", "SIGHUP", "SIGQUIT"),
        (None, "SIGINT", "SIGHUP", "SIGINT"),
        (None, None, "SIGHUP", "SIGHUP"),
        (None, None, None, "SIGTERM"),
        ("RTMIN+3", None, None, "RTMIN+3"),
    ],
)
def test_the_label_goes_before_the_container_and_that_before_its_image(
    label: str | None, own: str | None, image: str | None, signal: str
) -> None:
    scene = Scene(image={"StopSignal": image} if image else {})
    config = {"StopSignal": own} if own else {}
    scene.update(**config, Labels={LABEL: label} if label else {})
    assert scene.daemon.stopped_by == [("web", signal, 10)]


@pytest.mark.parametrize(
    ("own", "policy", "grace_s"),
    [(0, 30.0, 0), (120, 30.0, 120), (None, 30.0, 30), (None, 0.0, 0), (-1, 30.0, -1)],
)
def test_a_containers_own_time_goes_before_the_policys_and_a_call_waits_that_long(
    own: int | None, policy: float, grace_s: int
) -> None:
    scene = Scene()
    config = {} if own is None else {"StopTimeout": own}
    scene.update(policy, **config)
    assert scene.daemon.stopped_by == [("web", "SIGTERM", grace_s)]
    # The answer comes when the container has ended: waiting for it must outlast the grace.
    assert scene.allowed_s("stop") > (grace_s if grace_s >= 0 else 600)


@pytest.mark.parametrize("is_deaf", [False, True])
def test_before_the_api_knew_signals_one_is_sent_and_waited_for(is_deaf: bool) -> None:
    scene = Scene(FakeDocker(api_version="1.41", deaf={"web"} if is_deaf else set()))
    scene.update(StopTimeout=40, Labels={LABEL: "SIGQUIT"})
    killed = [("web", "SIGTERM", 0)] if is_deaf else []
    assert scene.daemon.stopped_by == [("web", "SIGQUIT", -1), *killed]
    assert scene.allowed_s("wait") == 40
    assert scene.daemon.running() == {"web"}


@pytest.mark.parametrize(
    ("text", "sent"),
    [
        ("sigquit", "SIGQUIT"), ("quit", "QUIT"), ("Usr1", "USR1"), ("9", "9"), ("64", "64"), ("31", "31"),
        ("rtmin", "RTMIN"), ("SIGRTMIN+15", "SIGRTMIN+15"), ("sigrtmax-14", "SIGRTMAX-14"), ("CLD", "CLD"),
        ("vtalrm", "VTALRM"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("api_version", ["1.41", "1.47"])
def test_a_signal_may_be_written_as_docker_lets_it(api_version: str, text: str, sent: str) -> None:
    scene = Scene(FakeDocker(api_version=api_version))
    drive = scene.drive(Labels={LABEL: text})
    assert drive.backend.preflight(drive.operation).refusal is None
    drive.switch()
    assert scene.daemon.stopped_by == [("web", sent, 10 if api_version == "1.47" else -1)]


def test_every_signal_of_the_daemon_is_one_for_us_and_no_other() -> None:
    names = [f"RT{end}{number}" for end in ("MIN+", "MAX-") for number in range(20)]
    names += [name.removeprefix("SIG") for name in signal.Signals.__members__] + ["RTMIN", "RTMAX", "NOPE"]
    for text in [*names, *map(str, range(-1, 70))]:
        assert (parse_signal(text) is not None) == (not _is_refused(text)), text


def _is_refused(text: str) -> bool:
    daemon = FakeDocker()
    daemon.build("app:1")
    daemon.run("web", "app:1")
    try:
        daemon.kill("web", text)
    except Refused:
        return True
    return False


@pytest.mark.parametrize("api_version", ["1.41", "1.47"])
@pytest.mark.parametrize("text", ["SIGNOPE", "SIGKILL"])
def test_a_label_that_an_image_brings_asks_for_nothing(api_version: str, text: str) -> None:
    scene = Scene(FakeDocker(api_version=api_version), new={"Labels": {LABEL: text}})
    drive = scene.drive()
    drive.switch()
    drive.restore()
    assert scene.daemon.stopped_by == [("web", "SIGTERM", 10), ("web", "SIGTERM", 10)]
    assert scene.daemon.running() == {"web"}
    assert scene.daemon.find("web")["Image"] == scene.old_image


def test_the_label_of_the_old_image_asks_for_nothing_either() -> None:
    scene = Scene(image={"Labels": {LABEL: "SIGNOPE"}})
    drive = scene.drive()
    assert drive.backend.preflight(drive.operation).refusal is None
    drive.switch()
    assert scene.daemon.stopped_by == [("web", "SIGTERM", 10)]


def test_the_label_that_a_user_gave_counts_on_the_way_back_too() -> None:
    scene = Scene(new={"Labels": {LABEL: "SIGHUP"}})
    drive = scene.drive(Labels={LABEL: "SIGQUIT"})
    drive.switch()
    drive.restore()
    assert scene.daemon.stopped_by == [("web", "SIGQUIT", 10), ("web", "SIGQUIT", 10)]


@pytest.mark.parametrize("api_version", ["1.41", "1.47"])
def test_a_signal_that_the_daemon_does_not_know_stops_neither_the_way_there_nor_back(
    api_version: str,
) -> None:
    scene = Scene(FakeDocker(api_version=api_version))
    drive = scene.drive(Labels={LABEL: "SIGNOPE"})
    drive.switch()
    drive.restore()
    assert scene.daemon.stopped_by == [("web", "SIGTERM", 10), ("web", "SIGTERM", 10)]
    assert scene.daemon.running() == {"web"}
    assert scene.daemon.find("web")["Image"] == scene.old_image


NO_SIGNALS = [
    "", "sigterm; reboot", "SIGTERM\n", "0", "100", "9" * 50, "SIGNOPE", "QUITX", "SIG9", "SIGSIGINT", "-9",
    "+9", "9.0", "٩", "32", "33", "65", "RTMIN+0", "RTMIN+16", "RTMAX-15", "RTMAX+1", "RTMIN-1", "SIGSIG",
    "sıgint",
]  # fmt: skip


@pytest.mark.parametrize("text", NO_SIGNALS)
def test_a_label_that_is_no_signal_is_refused_before_anything_is_done(text: str) -> None:
    daemon = FakeDocker()
    daemon.release(f"{APP}:1.0.0", pulled=True)
    daemon.run("web", f"{APP}:1.0.0", Labels={LABEL: text})
    backend = DockerBackend(daemon.client(), host="h", own_container=None)
    (asset,) = backend.scan().assets
    report = backend.preflight(operation_for(asset, ImageReference.parse(f"{APP}:1.0.1@sha256:{'0' * 64}")))
    assert report.refusal is not None
    assert (report.refusal.code, LABEL in report.refusal.message) == ("bad_label", True)


@pytest.mark.parametrize(
    ("step", "config", "policy_s", "expected_s"),
    [
        ("park_old", {"StopTimeout": 600}, 10.0, 600 + 7 + 2 * 15),
        ("stop_new", {}, 90.0, 90 + 7 + 2 * 15),
        ("remove_old", {"StopTimeout": -1}, 10.0, 3600 + 7 + 2 * 15),
        ("take_name", {"StopTimeout": 600}, 10.0, 0.0),
    ],
)
def test_a_step_that_stops_containers_may_take_the_time_that_all_of_them_have(
    step: str, config: dict[str, Any], policy_s: float, expected_s: float
) -> None:
    assert Scene().step_time_s(step, policy_s, **config) == expected_s
