"""Every code with which the Docker backend stops has a case here: one that has none fails the first test.

Whatever stops an update, the old version runs afterwards: that is asked of every case.
"""

from __future__ import annotations

import ast
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
import requests

from safeupdater.backends.docker import DockerBackend
from safeupdater.backends.docker import backend as backend_module
from safeupdater.domain.artifact import ImageReference
from safeupdater.domain.operation import Phase, StepOutcome, StepStatus
from safeupdater.errors import BackendError
from safeupdater.testing.driving import Drive, operation_for
from safeupdater.testing.fake_docker import FakeDocker, Refused
from safeupdater.testing.fake_docker_http import FakeTransport

APP = "registry.test/app"
SOURCES = Path(backend_module.__file__).parent
MODULES = ("backend", "refusals", "room", "staging", "switching", "work", "remaking", "target", "snapshot")
SYSCTLS = {"HostConfig": {"Sysctls": {"net.core.somaxconn": "1"}}}


def codes_in(module: str) -> Iterator[str]:
    """The codes of outcomes and errors that a module makes, as they stand in it."""
    for call in ast.walk(ast.parse((SOURCES / f"{module}.py").read_text())):
        if not isinstance(call, ast.Call):
            continue
        name = getattr(call.func, "id", "")
        places = {"refused": 0, "retry": 0, "StepOutcome": 1}
        given = call.args[places[name]] if name in places and len(call.args) > places[name] else None
        if name == "BackendError":
            given = next((each.value for each in call.keywords if each.arg == "code"), None)
        if isinstance(given, ast.Constant):
            yield f"{module}:{given.value}"


class Meddling(FakeTransport):
    """Does something once a call was answered."""

    after: Callable[[str], None] = staticmethod(lambda call: None)

    def send(self, request: requests.PreparedRequest, *args: Any, **options: Any) -> requests.Response:
        answer = super().send(request, *args, **options)
        self.after(f"{request.method} {request.url}")
        return answer


class Lying(FakeDocker):
    """Says that it pulled, and did not."""

    def pull(self, repository: str, digest: str) -> None:
        if self.containers:
            return
        super().pull(repository, digest)


class Unable(FakeDocker):
    """Cannot run the command of the new version."""

    def start(self, reference: str) -> bool:
        if any(container["Name"].endswith(".su-old") for container in self.containers.values()):
            raise Refused(400, "OCI runtime create failed: exec: no such file or directory")
        return super().start(reference)


@attrs.define
class Scene:
    """A container on 1.0.0, and an update to 1.0.1 that does not get far."""

    daemon: FakeDocker = attrs.field(factory=FakeDocker)
    body: dict[str, Any] = attrs.field(factory=dict)
    new: dict[str, Any] = attrs.field(factory=dict)
    options: dict[str, Any] = attrs.field(factory=dict)
    digest: str = attrs.field(init=False)
    transport: Meddling = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.daemon.release(f"{APP}:1.0.0", pulled=True, User="app")
        self.digest = self.daemon.release(f"{APP}:1.0.1", **{"User": "app", **self.new})
        self.transport = Meddling(self.daemon)
        self.daemon.run("web", f"{APP}:1.0.0", **self.body)

    @property
    def web(self) -> dict[str, Any]:
        return self.daemon.find("web")

    def drive(self, *, pinned: bool = True) -> Drive:
        client = self.daemon.client(lambda _: self.transport)
        backend = DockerBackend(client, host="h", **{"own_container": None, **self.options})
        asset = next(asset for asset in backend.scan().assets if asset.name == "web")
        new = ImageReference.parse(f"{APP}:1.0.1")
        return Drive(backend, operation_for(asset, new.with_digest(self.digest if pinned else None)))

    def remove(self, name: str) -> None:
        self.daemon.remove(name, with_volumes=False, force=True)

    def forget_image(self, tag: str) -> None:
        """Takes an image away by force, whoever needs it."""
        wanted = self.digest if tag == "1.0.1" else None
        for identity, image in list(self.daemon.images.items()):
            is_new = any(self.digest in entry for entry in image["RepoDigests"])
            if is_new == (wanted is not None):
                del self.daemon.images[identity]


Meddle = Callable[[Scene], object]


def looked(meddle: Meddle, **scene: Any) -> Callable[[], tuple[Scene, StepOutcome]]:
    """The refusal of a preflight after something was done to the host."""

    def case() -> tuple[Scene, StepOutcome]:
        made = Scene(**scene)
        drive = made.drive()
        meddle(made)
        refusal = drive.backend.preflight(drive.operation).refusal
        assert refusal is not None, "nothing was refused"
        return made, refusal

    return case


def at(
    step: str, meddle: Meddle, last: Phase = Phase.COMMITTING, **scene: Any
) -> Callable[[], tuple[Scene, StepOutcome]]:
    """The outcome of a step when something was done just before it."""

    def case() -> tuple[Scene, StepOutcome]:
        made = Scene(**scene)
        drive = made.drive()
        drive.capture()
        for phase in (Phase.STAGING, Phase.SWITCHING, last):
            for name in drive.backend.steps(drive.operation.planned, drive.operation.settings).of(phase):
                if name == step:
                    meddle(made)
                    return made, drive.backend.perform(drive.operation, phase, name, drive.progress.append)
                drive.step(phase, name)
        raise AssertionError(f"there is no step {step}")

    return case


def raised(act: Callable[[Scene], object], **scene: Any) -> Callable[[], tuple[Scene, StepOutcome]]:
    """An error, as the outcome that it stands for."""

    def case() -> tuple[Scene, StepOutcome]:
        made = Scene(**scene)
        with pytest.raises(BackendError) as caught:
            act(made)
        return made, StepOutcome(StepStatus.REFUSED, caught.value.code, caught.value.message)

    return case


# --- what is done to the host ------------------------------------------------------------------------------


def set_state(key: str) -> Meddle:
    return lambda scene: scene.web["State"].update({key: True})


def label(**labels: str) -> dict[str, Any]:
    return {"Labels": {key.replace("__", ".").replace("_", "-"): text for key, text in labels.items()}}


def _podman() -> tuple[Scene, StepOutcome]:
    made = Scene()
    made.daemon.components = ("Podman Engine",)
    drive = made.drive()
    refusal = drive.backend.preflight(drive.operation).refusal
    assert refusal is not None
    return made, refusal


def _ourselves() -> tuple[Scene, StepOutcome]:
    made = Scene()
    made.options["own_container"] = made.web["Id"]
    drive = made.drive()
    refusal = drive.backend.preflight(drive.operation).refusal
    assert refusal is not None
    return made, refusal


def _lose_image(scene: Scene) -> None:
    scene.forget_image("1.0.0")


def _built_here(scene: Scene) -> None:
    image = scene.daemon.find_image(f"{APP}:1.0.0")
    assert image is not None
    image["RepoDigests"] = []


def _pinned() -> tuple[Scene, StepOutcome]:
    made = Scene()
    digest = made.web["Image"]
    image = made.daemon.images[digest]
    made.remove("web")
    made.daemon.run("web", image["RepoDigests"][0])
    drive = made.drive()
    refusal = drive.backend.preflight(drive.operation).refusal
    assert refusal is not None
    return made, refusal


SIZE = 300 << 20


def _large(scene: Scene) -> None:
    scene.daemon.host_name = socket.gethostname()
    scene.daemon.images[scene.web["Image"]]["Size"] = SIZE


def _another_image(scene: Scene) -> None:
    scene.remove("web")
    scene.daemon.release(f"{APP}:2.0.0", pulled=True)
    scene.daemon.run("web", f"{APP}:2.0.0")


def _link(scene: Scene) -> None:
    scene.daemon.run("cli", f"{APP}:1.0.0", HostConfig={"Links": ["/web:/cli/w"]})


def share_network(auto_remove: bool = False) -> Meddle:
    return lambda scene: scene.daemon.run(
        "side", f"{APP}:1.0.0",
        HostConfig={"NetworkMode": f"container:{scene.web['Id']}", "AutoRemove": auto_remove},
    )  # fmt: skip


def _on_nothing(scene: Scene) -> None:
    other = scene.daemon.run("vpn", f"{APP}:1.0.0")
    scene.web["HostConfig"]["NetworkMode"] = f"container:{other}"
    scene.remove("vpn")


def _drop_sysctls(scene: Scene) -> None:
    scene.daemon.find("web.su-new")["HostConfig"].pop("Sysctls")


def _port_taken(scene: Scene) -> None:
    ports = {"80/tcp": [{"HostIp": "", "HostPort": "8080"}]}
    scene.daemon.find("web.su-old")["HostConfig"]["PortBindings"] = {}
    for name in ("web", "thief"):
        if name == "thief":
            scene.daemon.run(name, f"{APP}:1.0.0", HostConfig={"PortBindings": ports})
        else:
            scene.web["HostConfig"]["PortBindings"] = ports


def _dependants_namesake() -> tuple[Scene, StepOutcome]:
    made = Scene()
    share_network()(made)
    drive = made.drive()
    drive.capture()
    drive.perform(Phase.STAGING)
    drive.step(Phase.SWITCHING, "compare_live")
    drive.step(Phase.SWITCHING, "park_old")
    made.daemon.create("side", {"Image": f"{APP}:1.0.0"})
    return made, drive.backend.perform(drive.operation, Phase.SWITCHING, "take_name", print)


def remade(after: Callable[[Scene, str], None]) -> Meddle:
    """Removes the old container while it is parked, and meddles with every call that follows."""

    def meddle(scene: Scene) -> None:
        scene.remove("web.su-old")
        scene.transport.after = lambda call: after(scene, call)

    return meddle


def _vanish(scene: Scene, call: str) -> None:
    if "/containers/create?name=web&" in call or call.endswith("/containers/create?name=web"):
        scene.remove("web")


def _forget(scene: Scene, call: str) -> None:
    if "/containers/create?name=web" in call:
        scene.web["HostConfig"].pop("Sysctls", None)


def _pruned_with_its_image(scene: Scene) -> None:
    scene.remove("web.su-old")
    scene.forget_image("1.0.0")


def _capture_without(what: str) -> Callable[[Scene], object]:
    def act(scene: Scene) -> object:
        drive = scene.drive()
        if what == "container":
            scene.remove("web")
        else:
            scene.forget_image("1.0.0")
        return drive.backend.capture(drive.operation)

    return act


def _foreign_snapshot(scene: Scene) -> object:
    drive = scene.drive()
    drive.capture()
    assert drive.operation.snapshot is not None
    strange = attrs.evolve(drive.operation.snapshot, format="docker/99")
    return drive.backend.observe(attrs.evolve(drive.operation, snapshot=strange))


def _unknown_step() -> tuple[Scene, StepOutcome]:
    made = Scene()
    drive = made.drive()
    return made, drive.backend.perform(drive.operation, Phase.STAGING, "dance", print)


LATER = Phase.RESTORING
CASES: dict[str, Callable[[], tuple[Scene, StepOutcome]]] = {
    "refusals:owned": looked(lambda s: None, body=label(com__docker__swarm__task__id="t")),
    "refusals:owned, a pod": looked(lambda s: None, body=label(io__kubernetes__pod__name="p")),
    "refusals:owned, a run": looked(lambda s: None, body=label(com__docker__compose__oneoff="True")),
    "refusals:podman_unsupported": _podman,
    "refusals:platform_unsupported": looked(lambda s: s.web.update(Platform="windows")),
    "refusals:self": _ourselves,
    "refusals:auto_remove": looked(lambda s: None, body={"HostConfig": {"AutoRemove": True}}),
    "refusals:paused": looked(set_state("Paused")),
    "refusals:dead": looked(set_state("Dead")),
    "refusals:bad_label": looked(lambda s: None, body=label(safeupdater__stop_signal="now")),
    "refusals:changed_since_plan": looked(_another_image),
    "refusals:image_gone": looked(_lose_image),
    "refusals:local_build": looked(_built_here),
    "refusals:digest_pin": _pinned,
    "refusals:leftover": looked(lambda s: s.daemon.run("web.su-old", f"{APP}:1.0.0")),
    "refusals:linked": looked(_link),
    "refusals:dependant": looked(share_network(auto_remove=True)),
    "refusals:dependency_gone": looked(_on_nothing),
    "room:disk_full": looked(_large, options={"free_bytes": lambda path: (64 << 20) - 1}),
    "staging:image_gone": at("verify_image", lambda s: s.forget_image("1.0.1")),
    "staging:image_gone, tagging": at("tag_image", lambda s: s.forget_image("1.0.1")),
    "staging:image_gone, creating": at("create_candidate", lambda s: s.forget_image("1.0.1")),
    "staging:digest_mismatch": at("pull", lambda s: None, daemon=Lying()),
    "staging:platform_mismatch": at(
        "verify_image", lambda s: s.daemon.find_image(f"{APP}@{s.digest}").update(Architecture="s390x")
    ),
    "staging:gains_root": at("verify_image", lambda s: None, new={"User": "root"}),
    "staging:image_changes": at("verify_image", lambda s: None, new={"Volumes": {"/v": {}}}),
    "staging:leftover": at("create_candidate", lambda s: s.daemon.run("web.su-new", f"{APP}:1.0.0")),
    "staging:candidate_gone": at("compare_candidate", lambda s: s.remove("web.su-new")),
    "staging:image_moved": at(
        "compare_candidate", lambda s: s.daemon.find("web.su-new").update(Image=s.web["Image"])
    ),
    "staging:lossy": at("compare_candidate", _drop_sysctls, body=SYSCTLS),
    "switching:previous_gone": at("park_old", lambda s: s.remove("web")),
    "switching:candidate_gone": at("take_name", lambda s: s.remove("web.su-new")),
    "switching:candidate_gone, starting": at("start_new", lambda s: s.remove("web")),
    "switching:candidate_gone, policy": at("give_policy", lambda s: s.remove("web")),
    "switching:not_parked": at("take_name", lambda s: s.daemon.rename("web.su-old", "web")),
    "switching:changed_by_others": _dependants_namesake,
    "switching:start_refused": at("start_new", _port_taken),
    "switching:start_failed": at("start_new", lambda s: None, daemon=Unable()),
    "work:changed_by_others": at("compare_live", lambda s: s.web["HostConfig"].update(Memory=9)),
    "work:removed_by_others": at("compare_live", lambda s: s.remove("web")),
    "remaking:previous_gone": at("return_name", _pruned_with_its_image, LATER),
    "remaking:vanished": at("return_name", remade(_vanish), LATER),
    "remaking:lossy": at("return_name", remade(_forget), LATER, body=SYSCTLS),
    "backend:gone": looked(lambda s: s.remove("web")),
    "backend:gone, capturing": raised(_capture_without("container")),
    "backend:image_gone": raised(_capture_without("image")),
    "backend:unknown_step": _unknown_step,
    "target:not_pinned": raised(lambda s: s.drive(pinned=False).capture()),
    "snapshot:snapshot_format": raised(_foreign_snapshot),
}


def test_every_code_has_a_case() -> None:
    made = {code for module in MODULES for code in codes_in(module)}
    # Two stand in helpers that others call with their message only, two in a choice.
    made |= {"work:changed_by_others", "work:removed_by_others"}
    made |= {"switching:start_failed", "switching:start_refused"}
    assert len(made) > 30, "the codes are no longer found where they are made"
    assert {case.partition(",")[0] for case in CASES} == made


@pytest.mark.parametrize("case", CASES)
def test_a_case_gives_its_code_and_says_what_is_the_matter(case: str) -> None:
    scene, outcome = CASES[case]()
    assert outcome.code == case.partition(":")[2].partition(",")[0]
    assert "\n" not in outcome.message
    assert len(outcome.message.split()) >= 4
    if case.startswith(("refusals:", "staging:", "target:", "snapshot:")) and "changed_since" not in case:
        # Nothing was begun: what ran is what runs.
        assert "web" in scene.daemon.running()


def test_every_refusal_of_a_preflight_is_in_the_reference() -> None:
    page = (Path(__file__).parents[2] / "docs" / "reference" / "docker.md").read_text()
    table = page.partition("## What is refused, and why")[2].partition("\n## ")[0]
    codes = {code.partition(":")[2] for code in codes_in("refusals")} - {"changed_since_plan"}
    codes |= {code.partition(":")[2] for code in codes_in("staging")} - {"candidate_gone", "image_changes"}
    assert {code for code in codes if f"`{code}`" not in table} == set()


# --- privileges --------------------------------------------------------------------------------------------

GAINS: dict[str, object] = {
    "Privileged": True,
    "CapAdd": ["SYS_ADMIN"],
    "CapDrop": None,
    "Devices": [{"PathOnHost": "/dev/sda", "PathInContainer": "/dev/sda", "CgroupPermissions": "rwm"}],
    "DeviceRequests": [{"Driver": "", "Count": -1, "Capabilities": [["gpu"]]}],
    "Binds": ["/:/host"],
    "Mounts": [{"Type": "bind", "Source": "/", "Target": "/host"}],
    "SecurityOpt": ["seccomp=unconfined"],
    "PidMode": "host",
    "IpcMode": "host",
    "UTSMode": "host",
    "UsernsMode": "host",
    "CgroupnsMode": "host",
    "GroupAdd": ["0"],
    "ReadonlyRootfs": False,
    "MaskedPaths": [],
}
GUARDED = {"HostConfig": {"CapDrop": ["ALL"], "ReadonlyRootfs": True, "MaskedPaths": ["/proc/kcore"]}}


@pytest.mark.parametrize("key", GAINS)
def test_a_successor_that_would_gain_a_privilege_is_refused_and_named(key: str) -> None:
    def gain(scene: Scene) -> None:
        scene.daemon.find("web.su-new")["HostConfig"][key] = GAINS[key]

    scene, outcome = at("compare_candidate", gain, body=GUARDED)()
    assert outcome.code == "lossy"
    assert f"HostConfig.{key}" in outcome.message
    assert scene.daemon.running() == {"web"}


def test_a_successor_in_the_hosts_network_or_as_another_user_is_refused() -> None:
    def gain(scene: Scene) -> None:
        new = scene.daemon.find("web.su-new")
        new["HostConfig"]["NetworkMode"] = "host"
        new["Config"]["User"] = "root"

    _, outcome = at("compare_candidate", gain)()
    assert "HostConfig.NetworkMode" in outcome.message
    assert "Config.User" in outcome.message


def test_labels_of_an_image_ask_for_nothing() -> None:
    asking = {"privileged": "true", "safeupdater.privileged": "true", "com.docker.compose.project": "evil"}
    scene, outcome = at("compare_candidate", lambda s: None, new={"Labels": asking})()
    assert outcome.status is StepStatus.DONE
    before, after = scene.web["HostConfig"], scene.daemon.find("web.su-new")["HostConfig"]
    assert {key: after[key] for key in before if key != "RestartPolicy"} == {
        key: before[key] for key in before if key != "RestartPolicy"
    }
