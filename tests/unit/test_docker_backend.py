"""The Docker backend over a daemon in memory: scanning, refusing, staging, observing, collecting."""

from __future__ import annotations

import json
import socket
import ssl
from pathlib import Path
from typing import Any

import docker
import pytest
import requests

from safeupdater.backends.docker import ContainerFilter, DockerBackend, DockerScanner
from safeupdater.backends.docker.client import connect
from safeupdater.backends.docker.faults import fault_of_message, fault_of_pull, refusal
from safeupdater.backends.docker.names import REMADE_LABEL
from safeupdater.backends.docker.ourselves import own_container_id
from safeupdater.domain.artifact import ImageReference
from safeupdater.domain.health import Condition
from safeupdater.domain.operation import Phase, Snapshot, StepStatus
from safeupdater.domain.platform import Platform
from safeupdater.errors import BackendError, ConfigurationError, DockerConnectionError
from safeupdater.registries.oci.manifests import Index
from safeupdater.testing.driving import Drive, StepStopped, operation_for
from safeupdater.testing.fake_docker import CRASHES, FakeDocker, Refused
from safeupdater.testing.fake_docker_http import FakeTransport, Fault

APP = "registry.test/app"


class Bench:
    """A daemon with release 1.0.0 on it and 1.0.1 in the registry."""

    def __init__(self, daemon: FakeDocker | None = None, **new: Any) -> None:
        self.daemon = daemon or FakeDocker()
        self.old_digest = self.daemon.release(f"{APP}:1.0.0", pulled=True, User="app")
        self.digest = self.daemon.release(f"{APP}:1.0.1", **{"User": "app", **new})
        self.transport = FakeTransport(self.daemon)
        self.backend = self.make_backend()

    def make_backend(self, **options: Any) -> DockerBackend:
        client = self.daemon.client(lambda _: self.transport)
        return DockerBackend(client, host="test", **{"own_container": None, **options})

    def reach_over(self, url: str) -> None:
        """Reaches the daemon under another URL, as docker-py's adapters would say it."""
        scheme, _, place = url.partition("://")
        transport = FakeTransport(self.daemon)
        client = docker.APIClient(base_url=url if scheme == "tcp" else "tcp://daemon:1", version="1.41")
        if scheme == "tcp":
            client.mount("http://", transport)
        else:
            setattr(transport, {"ssh": "ssh_host", "unix": "socket_path"}[scheme], place)
            client.base_url = f"http+docker://{scheme}"
            client.mount("http+docker://", transport)
        self.backend = DockerBackend(client, host="test", own_container=None)

    def drive(
        self, name: str = "web", to: str = "1.0.1", *, operation_id: str = "op-1", **options: Any
    ) -> Drive:
        asset = next(asset for asset in self.backend.scan().assets if asset.name == name)
        digest = options.pop("digest", self.digest)
        new = ImageReference.parse(f"{APP}:{to}@{digest}")
        return Drive(self.backend, operation_for(asset, new, operation_id=operation_id, **options))

    def refusal(self, name: str = "web") -> tuple[StepStatus, str]:
        report = self.backend.preflight(self.drive(name).operation)
        assert report.refusal is not None, "nothing was refused"
        assert report.refusal.message
        return report.refusal.status, report.refusal.code


# --- scanning ----------------------------------------------------------------------------------------------


def test_a_scan_costs_the_same_number_of_calls_for_any_number_of_containers() -> None:
    bench = Bench()
    counts = []
    for upto in (3, 30):
        for number in range(upto):
            if f"/web{number}" not in {c["Name"] for c in bench.daemon.containers.values()}:
                bench.daemon.run(f"web{number}", f"{APP}:1.0.0")
        before = len(bench.transport.calls)
        assert len(bench.backend.scan().assets) == upto
        counts.append(len(bench.transport.calls) - before)
    assert counts[1] <= counts[0]


def test_the_reference_of_a_container_whose_tag_moved_on_is_found_once() -> None:
    bench = Bench()
    bench.daemon.run("web", f"{APP}:1.0.0")
    other = bench.daemon.build("scratch:1")
    bench.daemon.tag(other, f"{APP}:1.0.0")
    for expected in (1, 0):
        before = len(bench.transport.calls)
        (asset,) = bench.backend.scan().assets
        assert str(asset.image) == f"{APP}:1.0.0"
        assert asset.digests == {bench.old_digest}
        assert sum("/json" in c and "/containers/" in c and c != "GET /containers/json"
                   for c in bench.transport.calls[before:]) == expected  # fmt: skip


def test_swarm_kubernetes_and_one_off_containers_have_an_owner() -> None:
    bench = Bench()
    labels = {
        "task": {"com.docker.swarm.task.id": "t", "com.docker.swarm.service.name": "shop"},
        "pod": {"io.kubernetes.pod.name": "p", "io.kubernetes.pod.namespace": "n"},
        "oneoff": {"com.docker.compose.oneoff": "True", "com.docker.compose.project": "x"},
        "compose": {"com.docker.compose.project": "x", "com.docker.compose.service": "web"},
    }
    for name, own in labels.items():
        bench.daemon.run(name, f"{APP}:1.0.0", Labels=own)
    owners = {asset.name: asset.owner for asset in bench.backend.scan().assets}
    assert owners == {"task": "swarm/shop", "pod": "kubernetes/n/p", "oneoff": "compose run", "compose": ""}
    assert bench.refusal("task") == (StepStatus.REFUSED, "owned")


def test_our_own_leftovers_are_hidden_and_a_lost_container_is_named() -> None:
    bench = Bench()
    for name in ("web", "web.su-new", "db.su-old"):
        bench.daemon.run(name, f"{APP}:1.0.0")
    report = bench.backend.scan()
    assert [asset.name for asset in report.assets] == ["web"]
    assert len(report.problems) == 1
    assert "db.su-old" in report.problems[0]


def test_a_container_made_from_a_bare_id_is_a_problem_not_an_asset() -> None:
    bench = Bench()
    image = bench.daemon.find_image(f"{APP}:1.0.0")
    assert image is not None
    bench.daemon.run("web", image["Id"])
    report = bench.backend.scan()
    assert report.assets == ()
    assert "bare id" in report.problems[0]


def test_filters_match_names_labels_and_images() -> None:
    bench = Bench()
    bench.daemon.run("web", f"{APP}:1.0.0", Labels={"tier": "front"})
    bench.daemon.run("db", f"{APP}:1.0.0", Labels={"tier": "back"})

    def names(**where: Any) -> list[str]:
        scanner = DockerScanner(bench.daemon.client(), where=ContainerFilter(**where))
        report = scanner.scan()
        assert not report.complete
        return sorted(asset.name for asset in report.assets)

    assert names(names=["w*"]) == ["web"]
    assert names(labels=["tier=back"]) == ["db"]
    assert names(labels=["tier"], images=["registry.test/*"]) == ["db", "web"]
    assert names(images=["other/*"]) == []


def test_stopped_containers_are_scanned_but_listed_only_when_asked() -> None:
    bench = Bench()
    bench.daemon.run("web", f"{APP}:1.0.0")
    bench.daemon.run("job", f"{APP}:1.0.0", start=False)
    scanner = bench.backend.scanner
    assert {asset.name for asset in scanner.scan().assets} == {"web", "job"}
    assert {asset.name for asset in scanner.scan_containers()} == {"web"}
    assert {asset.name for asset in scanner.scan_containers(include_stopped=True)} == {"web", "job"}


def test_metadata_image_and_digest_of_one_container() -> None:
    bench = Bench()
    identity = bench.daemon.run("web", f"{APP}:1.0.0")
    scanner = bench.backend.scanner
    metadata = scanner.get_container_metadata("web")
    assert metadata is not None
    assert (metadata.id, metadata.is_running) == (identity, True)
    image = scanner.extract_image_info("web")
    assert image is not None
    assert image.digests == {bench.old_digest}
    assert scanner.get_image_digest(f"{APP}:1.0.0") == bench.old_digest
    assert scanner.get_image_digest("nothing:1") is None
    assert scanner.extract_image_info("nobody") is None


def test_label_changes_between_scans_are_told() -> None:
    bench = Bench()
    bench.daemon.run("web", f"{APP}:1.0.0", Labels={"a": "1", "b": "1"})
    bench.backend.scan()
    bench.daemon.find("web")["Config"]["Labels"] = {"a": "2", "c": "1"}
    bench.backend.scan()
    (change,) = bench.backend.scanner.track_labels()
    assert (change.added, change.removed, change.changed) == ({"c": "1"}, {"b": "1"}, {"a": ("1", "2")})


# --- refusing ----------------------------------------------------------------------------------------------


def _paused(daemon: FakeDocker) -> None:
    daemon.run("web", f"{APP}:1.0.0")
    daemon.find("web")["State"]["Paused"] = True


def _linked(daemon: FakeDocker) -> None:
    daemon.run("web", f"{APP}:1.0.0")
    daemon.run("cli", f"{APP}:1.0.0", HostConfig={"Links": ["/web:/cli/w"]})


def _left_over(daemon: FakeDocker) -> None:
    daemon.run("web", f"{APP}:1.0.0")
    daemon.run("web.su-old", f"{APP}:1.0.0")


def _without_image(daemon: FakeDocker) -> None:
    daemon.run("web", f"{APP}:1.0.0")
    daemon.images.clear()


def _on_nothing(daemon: FakeDocker) -> None:
    other = daemon.run("vpn", f"{APP}:1.0.0")
    daemon.run("web", f"{APP}:1.0.0", HostConfig={"NetworkMode": f"container:{other}"})
    daemon.remove("vpn", with_volumes=False, force=True)


def _fleeting_dependant(daemon: FakeDocker) -> None:
    identity = daemon.run("web", f"{APP}:1.0.0")
    daemon.run(
        "side", f"{APP}:1.0.0", HostConfig={"NetworkMode": f"container:{identity}", "AutoRemove": True}
    )


@pytest.mark.parametrize("owner", ["com.docker.swarm.task.id", "io.kubernetes.pod.uid"])
def test_a_dependant_that_somebody_else_manages_cannot_follow(owner: str) -> None:
    bench = Bench()
    identity = bench.daemon.run("web", f"{APP}:1.0.0")
    bench.daemon.run(
        "side", f"{APP}:1.0.0", Labels={owner: "x"}, HostConfig={"NetworkMode": f"container:{identity}"}
    )
    assert bench.refusal() == (StepStatus.REFUSED, "dependant")


def _built_here(daemon: FakeDocker) -> None:
    daemon.build(f"{APP}:dev")
    daemon.run("web", f"{APP}:dev")


REFUSALS = {
    "auto_remove": lambda daemon: daemon.run("web", f"{APP}:1.0.0", HostConfig={"AutoRemove": True}),
    "paused": _paused,
    "linked": _linked,
    "leftover": _left_over,
    "dependency_gone": _on_nothing,
    "dependant": _fleeting_dependant,
    "local_build": _built_here,
    "image_gone": _without_image,
}


@pytest.mark.parametrize("code", REFUSALS)
def test_what_could_not_be_put_back_is_refused_with_its_reason(code: str) -> None:
    bench = Bench()
    REFUSALS[code](bench.daemon)
    calls = len(bench.transport.calls)
    assert bench.refusal() == (StepStatus.REFUSED, code)
    assert all(call.startswith("GET") for call in bench.transport.calls[calls:])


def test_a_digest_without_a_tag_is_not_updated() -> None:
    bench = Bench()
    bench.daemon.run("web", f"{APP}@{bench.old_digest}")
    assert bench.refusal() == (StepStatus.REFUSED, "digest_pin")


def test_the_container_that_runs_us_and_what_carries_it_are_refused() -> None:
    bench = Bench()
    identity = bench.daemon.run("web", f"{APP}:1.0.0")
    side = bench.daemon.run("me", f"{APP}:1.0.0", HostConfig={"NetworkMode": f"container:{identity}"})
    for own in (identity, side):
        bench.backend = bench.make_backend(own_container=own)
        assert bench.refusal() == (StepStatus.REFUSED, "self")


def test_whatever_is_in_our_network_may_be_us_and_is_refused() -> None:
    bench = Bench()
    owner = bench.daemon.run("vpn", f"{APP}:1.0.0")
    between = bench.daemon.run("one", f"{APP}:1.0.0", HostConfig={"NetworkMode": f"container:{owner}"})
    bench.daemon.run("web", f"{APP}:1.0.0", HostConfig={"NetworkMode": f"container:{between}"})
    bench.daemon.run("other", f"{APP}:1.0.0")
    bench.backend = bench.make_backend(own_container=owner)
    assert bench.refusal() == (StepStatus.REFUSED, "self")
    bench.backend = bench.make_backend(own_container=bench.daemon.find("other")["Id"])
    assert bench.backend.preflight(bench.drive().operation).refusal is None


_MOUNTED = f"1 2 8:1 /var/lib/docker/containers/{'a' * 64}/hostname /etc/hostname rw - ext4 x rw"


@pytest.mark.parametrize(
    ("mounted", "group", "found"),
    [
        (_MOUNTED, "0::/", "a"),
        (_MOUNTED, f"4:memory:/docker/{'b' * 64}", "b"),
        ("", f"0::/system.slice/docker-{'c' * 64}.scope", "c"),
        ("1 2 8:1 / / rw - ext4 x rw", "0::/user.slice", None),
    ],
    ids=["files", "files of another", "group", "no container"],
)  # fmt: skip
def test_the_container_that_we_run_in_is_known(
    tmp_path: Path, mounted: str, group: str, found: str | None
) -> None:
    (tmp_path / "mountinfo").write_text(mounted)
    (tmp_path / "cgroup").write_text(group)
    assert own_container_id(tmp_path) == (found and found * 64)
    assert own_container_id(tmp_path / "nowhere") is None


@pytest.mark.parametrize(
    ("url", "settings"),
    [
        ("tcp://127.0.0.1:2375", {"ports": "2375"}),
        ("tcp://web:9999", {}),
        ("tcp://10.0.0.1:2375", {"host": "exposed"}),
        ("tcp://127.0.0.1:2375", {"host": "socket"}),
    ],
    ids=["published port", "name", "exposed on the host", "socket on the host"],
)  # fmt: skip
def test_a_socket_proxy_that_carries_us_is_refused(url: str, settings: dict[str, str]) -> None:
    bench = Bench()
    body: dict[str, Any] = {"HostConfig": {"NetworkMode": "host" if "host" in settings else "bridge"}}
    if settings.get("host") == "exposed":
        body["ExposedPorts"] = {"2375/tcp": {}}
    if settings.get("host") == "socket":
        body["HostConfig"]["Binds"] = ["/var/run/docker.sock:/var/run/docker.sock"]
    bench.daemon.run("web", f"{APP}:1.0.0", **body)
    if "ports" in settings:
        ports = {"80/tcp": [{"HostIp": "", "HostPort": settings["ports"]}], "81/tcp": None}
        bench.daemon.find("web")["NetworkSettings"]["Ports"] = ports
    bench.reach_over(url)
    assert bench.refusal() == (StepStatus.REFUSED, "self")


def test_a_container_that_is_not_what_the_plan_was_made_for_is_superseded() -> None:
    bench = Bench()
    bench.daemon.run("web", f"{APP}:1.0.0")
    drive = bench.drive()
    bench.daemon.remove("web", with_volumes=False, force=True)
    gone = bench.backend.preflight(drive.operation).refusal
    bench.daemon.release(f"{APP}:2.0.0", pulled=True)
    bench.daemon.run("web", f"{APP}:2.0.0")
    other = bench.backend.preflight(drive.operation).refusal
    assert gone is not None
    assert other is not None
    assert (gone.status, other.status) == (StepStatus.GONE, StepStatus.SUPERSEDED)


def test_warnings_say_what_will_be_different_or_lost() -> None:
    bench = Bench()
    labels = {
        "com.docker.compose.project": "shop", "com.docker.compose.service": "web",
        "com.docker.compose.project.config_files": "/srv/compose.yaml",
    }  # fmt: skip
    bench.daemon.run(
        "web", f"{APP}:1.0.0", Labels=labels,
        HostConfig={"PortBindings": {"80/tcp": [{"HostIp": "", "HostPort": ""}]}},
    )  # fmt: skip
    needs = {
        **labels,
        "com.docker.compose.service": "api",
        "com.docker.compose.depends_on": "web:service_started:true",
    }
    bench.daemon.run("api", f"{APP}:1.0.0", Labels=needs)
    identity = bench.daemon.find("web")["Id"]
    bench.daemon.run("side", f"{APP}:1.0.0", HostConfig={"PidMode": f"container:{identity}"})
    bench.daemon.find("web")["changes"] = [
        {"Path": "/etc", "Kind": 0}, {"Path": "/etc/app.conf", "Kind": 1}, {"Path": "/tmp/x", "Kind": 1},
        {"Path": "/run/app.pid", "Kind": 1}, {"Path": "/run/secrets/token", "Kind": 1},
    ]  # fmt: skip
    report = bench.backend.preflight(bench.drive().operation)
    assert report.refusal is None
    text = "\n".join(report.warnings)
    for piece in (
        "/srv/compose.yaml still says",
        "ports that Docker chooses",
        "2 files",
        "/etc/app.conf",
        "/run/secrets/token",
        "side",
        "api",
    ):
        assert piece in text, piece
    assert "/tmp/x" not in text
    assert "/run/app.pid" not in text


def test_one_file_that_gets_lost_is_one_file() -> None:
    bench = Bench()
    bench.daemon.run("web", f"{APP}:1.0.0")
    bench.daemon.find("web")["changes"] = [{"Path": "/etc/app.conf", "Kind": 1}]
    warnings = bench.backend.preflight(bench.drive().operation).warnings
    assert "1 file that web wrote outside of volumes gets lost: /etc/app.conf" in warnings


@pytest.mark.parametrize("restart", [True, False])
def test_only_who_wants_to_be_restarted_with_it_is_named(restart: bool) -> None:
    bench = Bench()
    labels = {"com.docker.compose.project": "shop", "com.docker.compose.service": "web"}
    needs = f"db:service_healthy:true,web:service_started:{restart}".lower()
    bench.daemon.run("web", f"{APP}:1.0.0", Labels=labels, HostConfig={"PublishAllPorts": True})
    others = {"com.docker.compose.service": "api", "com.docker.compose.depends_on": needs}
    bench.daemon.run("api", f"{APP}:1.0.0", Labels={**labels, **others})
    text = "\n".join(bench.backend.preflight(bench.drive().operation).warnings)
    assert ("api wants to be restarted" in text) is restart
    assert "ports that Docker chooses" in text


# --- staging -----------------------------------------------------------------------------------------------


def stopped_in_staging(bench: Bench, drive: Drive) -> str:
    """The code with which staging stops; nothing of the old version may be touched by it."""
    before = {name: dict(c["State"]) for name, c in bench.daemon.containers.items()}
    drive.capture()
    with pytest.raises(StepStopped) as stopped:
        drive.perform(Phase.STAGING)
    drive.perform(Phase.DISCARDING)
    assert {name: dict(c["State"]) for name, c in bench.daemon.containers.items()} == before
    return stopped.value.outcome.code


def test_an_image_of_another_platform_is_refused() -> None:
    bench = Bench()
    bench.daemon.registry[f"{APP}@{bench.digest}"]["Architecture"] = "s390x"
    bench.daemon.run("web", f"{APP}:1.0.0")
    assert stopped_in_staging(bench, bench.drive()) == "platform_mismatch"


@pytest.mark.parametrize(
    ("architecture", "old", "new", "works"),
    [
        ("arm", "v6", "v7", False), ("arm", "v6", "v6", True), ("arm", "v7", "v6", True),
        ("arm", "v7", "v7", True), ("arm", "", "v7", True), ("arm", "v6", "", False),
        ("arm64", "", "v8", True), ("amd64", "", "v1", True), ("amd64", "", "v3", False),
    ],
)  # fmt: skip
def test_a_variant_that_the_machine_may_not_run_is_another_platform(
    architecture: str, old: str, new: str, works: bool
) -> None:
    bench = Bench()
    image = bench.daemon.find_image(f"{APP}:1.0.0")
    assert image is not None
    image |= {"Architecture": architecture, "Variant": old}
    bench.daemon.registry[f"{APP}@{bench.digest}"] |= {"Architecture": architecture, "Variant": new}
    bench.daemon.run("web", f"{APP}:1.0.0")
    drive = bench.drive()
    if works:
        drive.update()
    else:
        assert stopped_in_staging(bench, drive) == "platform_mismatch"
    (pull,) = [url for url in bench.transport.urls if "/images/create?" in url]
    wanted = str(Platform.of("linux", architecture, old)).replace("/", "%2F")
    assert pull.endswith(f"&platform={wanted}")


class Emulating(FakeDocker):
    """A machine for arm64 whose images are for several platforms: its containers say which one they run."""

    made: str = "linux/amd64"

    def create(self, name: str, body: dict[str, Any]) -> str:
        identity = super().create(name, body)
        os, architecture = self.made.split("/")
        platform = {"os": os, "architecture": architecture}
        self.containers[identity]["ImageManifestDescriptor"] = {"digest": "d", "platform": platform}
        return identity


@pytest.mark.parametrize("made", ["linux/amd64", "linux/arm64"])
def test_a_container_says_which_of_its_images_platforms_it_runs(made: str) -> None:
    daemon = Emulating(api_version="1.48")
    bench = Bench(daemon)
    for image in (*daemon.images.values(), *daemon.registry.values()):
        image["Architecture"] = "arm64"
    daemon.run("web", f"{APP}:1.0.0")
    daemon.made = made
    drive = bench.drive()
    if made == "linux/amd64":
        drive.update()
    else:
        assert stopped_in_staging(bench, drive) == "platform_mismatch"
    asked = [url for url in bench.transport.urls if "/images/create?" in url or "/containers/create?" in url]
    assert len(asked) == 2
    assert all("platform=linux%2Famd64" in url for url in asked)


@pytest.mark.parametrize(
    ("machine", "platform"),
    [
        ("armv6l", "linux/arm/v6"),
        ("armv7l", "linux/arm"),
        ("armv8l", "linux/arm/v8"),
        ("aarch64", "linux/arm"),
    ],
)
def test_which_32_bit_arm_a_machine_is_goes_to_the_registry(machine: str, platform: str) -> None:
    bench = Bench()
    bench.daemon.architecture, bench.daemon.machine = "arm", machine
    bench.daemon.run("web", f"{APP}:1.0.0")
    (asset,) = bench.backend.scan().assets
    assert asset.platform == platform
    index = Index(digest="d", platforms=((Platform.parse("linux/arm/v7"), "seven"),))
    assert index.digest_for(Platform.parse(platform)) == (None if machine == "armv6l" else "seven")


def test_an_image_that_brings_root_is_refused_unless_allowed() -> None:
    bench = Bench(User="root")
    bench.daemon.run("web", f"{APP}:1.0.0")
    assert stopped_in_staging(bench, bench.drive()) == "gains_root"
    bench.backend = bench.make_backend(allow_gaining_root=True)
    bench.drive().update()
    assert bench.daemon.find("web")["Config"]["User"] == "root"


def test_a_moved_tag_does_not_change_what_was_decided() -> None:
    bench = Bench()
    bench.daemon.run("web", f"{APP}:1.0.0")
    stray = bench.daemon.build(f"{APP}:1.0.1")
    drive = bench.drive()
    drive.update()
    found = bench.daemon.find("web")
    assert found["Image"] != stray
    assert bench.digest in bench.daemon.images[found["Image"]]["RepoDigests"][0]


def test_an_update_without_a_digest_is_refused() -> None:
    bench = Bench()
    bench.daemon.run("web", f"{APP}:1.0.0")
    asset = bench.backend.scan().assets[0]
    drive = Drive(bench.backend, operation_for(asset, ImageReference.parse(f"{APP}:1.0.1")))
    with pytest.raises(BackendError, match="names no digest"):
        drive.capture()


class Losing(FakeTransport):
    """A daemon that quietly drops a setting when it creates a container."""

    def send(self, request: requests.PreparedRequest, *args: Any, **options: Any) -> requests.Response:
        answer = super().send(request, *args, **options)
        for container in self.daemon.containers.values():
            if container["Name"].endswith(".su-new"):
                container["HostConfig"].pop("Sysctls", None)
        return answer


def test_a_lossy_recreate_is_refused_with_what_would_be_lost() -> None:
    bench = Bench()
    bench.daemon.run("web", f"{APP}:1.0.0", HostConfig={"Sysctls": {"net.core.somaxconn": "1"}})
    bench.transport = Losing(bench.daemon)
    bench.backend = bench.make_backend()
    drive = bench.drive()
    drive.capture()
    with pytest.raises(StepStopped, match=r"HostConfig\.Sysctls"):
        drive.perform(Phase.STAGING)


ENDPOINT = {
    "IPAMConfig": {
        "IPv4Address": "10.9.0.9", "IPv6Address": "fd00::9", "LinkLocalIPs": ["169.254.34.68", "fe80::34"],
    },
    "Aliases": ["db"], "Links": ["other:alias"], "DriverOpts": {"com.example/speed": "9"},
    "GwPriority": 7, "MacAddress": "00:16:3e:aa:bb:cc",
}  # fmt: skip


def _on_two_networks(bench: Bench, api_version: str) -> None:
    bench.daemon.api_version = api_version
    bench.daemon.networks |= {"front": "f" * 64, "back": "b" * 64}
    bench.daemon.run("web", f"{APP}:1.0.0", HostConfig={"NetworkMode": "front"})
    bench.daemon.connect("back", "web", ENDPOINT)


@pytest.mark.parametrize("api_version", ["1.41", "1.43", "1.44"])
def test_a_mac_of_a_network_plugins_own_is_no_loss_where_none_can_be_asked_for(api_version: str) -> None:
    bench = Bench()
    _on_two_networks(bench, api_version)
    bench.daemon.find("web")["NetworkSettings"]["Networks"]["back"]["MacAddress"] = "ee:ee:ee:ee:ee:01"
    bench.drive().update()
    assert bench.daemon.running() == {"web"}


@pytest.mark.parametrize(
    ("api_version", "address", "warns"),
    [
        ("1.41", "ee:ee:ee:ee:ee:01", True), ("1.44", "ee:ee:ee:ee:ee:01", False),
        ("1.48", "ee:ee:ee:ee:ee:01", True), ("1.48", "00:16:3e:aa:bb:cc", False),
        ("1.41", "02:42:0a:00:00:02", False), ("1.48", "", False),
    ],
)  # fmt: skip
def test_a_mac_that_may_get_lost_is_warned_of(api_version: str, address: str, warns: bool) -> None:
    bench = Bench()
    _on_two_networks(bench, api_version)
    bench.daemon.find("web")["NetworkSettings"]["Networks"]["back"]["MacAddress"] = address
    report = bench.backend.preflight(bench.drive().operation)
    assert [" at back," in warning for warning in report.warnings if "MAC address" in warning] == [
        True
    ] * warns


@pytest.mark.parametrize("api_version", ["1.41", "1.44", "1.48", "1.51"])
def test_everything_about_every_endpoint_is_kept(api_version: str) -> None:
    bench = Bench()
    _on_two_networks(bench, api_version)
    before = bench.daemon.find("web")["NetworkSettings"]["Networks"]
    bench.drive().update()
    after = bench.daemon.find("web")["NetworkSettings"]["Networks"]
    kept = set(ENDPOINT) - {"Aliases"}
    for network in ("front", "back"):
        assert {key: after[network].get(key) for key in kept} == {
            key: before[network].get(key) for key in kept
        }
    assert after["back"]["Aliases"][0] == "db"
    assert after["back"].get("MacAddress") == (None if api_version == "1.41" else "00:16:3e:aa:bb:cc")


@pytest.mark.parametrize("key", ["DriverOpts", "GwPriority", "MacAddress", "Links", "IPAMConfig"])
def test_an_endpoint_that_the_daemon_did_not_make_as_asked_is_lossy(key: str) -> None:
    class Forgetful(FakeTransport):
        def send(self, request: requests.PreparedRequest, *args: Any, **options: Any) -> requests.Response:
            answer = super().send(request, *args, **options)
            for container in self.daemon.containers.values():
                if (
                    container["Name"].endswith(".su-new")
                    and "back" in container["NetworkSettings"]["Networks"]
                ):
                    container["NetworkSettings"]["Networks"]["back"][key] = None
            return answer

    bench = Bench()
    _on_two_networks(bench, "1.48")
    bench.transport = Forgetful(bench.daemon)
    bench.backend = bench.make_backend()
    drive = bench.drive()
    drive.capture()
    with pytest.raises(StepStopped, match=r"Networks\[back\] settings"):
        drive.perform(Phase.STAGING)


def test_a_network_that_is_gone_fails_the_update_and_not_only_warns() -> None:
    bench = Bench()
    _on_two_networks(bench, "1.41")
    drive = bench.drive()
    drive.capture()
    del bench.daemon.networks["back"]
    for step in ("keep_old_image", "pull", "verify_image", "tag_image"):
        drive.step(Phase.STAGING, step)
    outcome = bench.backend.perform(drive.operation, Phase.STAGING, "create_candidate", print)
    assert outcome.status is not StepStatus.DONE
    assert "network back" in outcome.message
    drive.perform(Phase.DISCARDING)
    assert set(bench.daemon.running()) == {"web"}
    assert len(bench.daemon.containers) == 1


def test_removing_the_old_container_never_asks_for_its_volumes() -> None:
    bench = Bench()
    identity = bench.daemon.run("web", f"{APP}:1.0.0", Volumes={"/nameless": {}})
    bench.drive().update()
    (removal,) = [
        url
        for call, url in zip(bench.transport.calls, bench.transport.urls, strict=True)
        if call.startswith("DELETE /containers/")
    ]
    assert removal.endswith(f"/containers/{identity}?v=0")


def test_pull_progress_is_reported_in_bytes() -> None:
    bench = Bench()
    bench.daemon.run("web", f"{APP}:1.0.0")
    drive = bench.drive()
    drive.update()
    assert [(p.step, p.done, p.total, p.unit) for p in drive.progress] == [
        ("pull", 0, 0, "bytes"),
        ("pull", 50, 100, "bytes"),
    ]


# --- switching, observing, going back ----------------------------------------------------------------------


def test_a_change_by_somebody_else_before_the_switch_wins() -> None:
    bench = Bench()
    bench.daemon.run("web", f"{APP}:1.0.0", HostConfig={"RestartPolicy": {"Name": "always"}})
    drive = bench.drive()
    drive.capture()
    drive.perform(Phase.STAGING)
    bench.daemon.find("web")["HostConfig"]["Memory"] = 1
    with pytest.raises(StepStopped) as stopped:
        drive.perform(Phase.SWITCHING)
    assert stopped.value.outcome.status is StepStatus.SUPERSEDED
    assert "HostConfig.Memory" in stopped.value.outcome.message
    assert "web" in bench.daemon.running()


def test_a_container_that_joined_its_network_meanwhile_is_not_cut_off() -> None:
    bench = Bench()
    identity = bench.daemon.run("web", f"{APP}:1.0.0")
    drive = bench.drive()
    drive.capture()
    drive.perform(Phase.STAGING)
    bench.daemon.run("side", f"{APP}:1.0.0", HostConfig={"NetworkMode": f"container:{identity}"})
    with pytest.raises(StepStopped, match="side began to share a network") as stopped:
        drive.perform(Phase.SWITCHING)
    assert stopped.value.outcome.status is StepStatus.SUPERSEDED
    assert {"web", "side"} <= set(bench.daemon.running())


@pytest.mark.parametrize(("recreated", "status"), [(False, StepStatus.GONE), (True, StepStatus.SUPERSEDED)])
def test_a_target_that_somebody_removed_is_left_alone(recreated: bool, status: StepStatus) -> None:
    bench = Bench()
    bench.daemon.run("web", f"{APP}:1.0.0")
    drive = bench.drive()
    drive.capture()
    drive.perform(Phase.STAGING)
    bench.daemon.remove("web", with_volumes=False, force=True)
    if recreated:
        bench.daemon.run("web", f"{APP}:1.0.0")
    with pytest.raises(StepStopped) as stopped:
        drive.perform(Phase.SWITCHING)
    assert stopped.value.outcome.status is status


def test_restoring_does_not_take_a_name_from_somebody_else() -> None:
    bench = Bench()
    bench.daemon.run("web", f"{APP}:1.0.0")
    drive = bench.drive()
    drive.switch()
    bench.daemon.remove("web", with_volumes=False, force=True)
    theirs = bench.daemon.run("web", f"{APP}:1.0.0")
    with pytest.raises(StepStopped) as stopped:
        drive.restore()
    assert stopped.value.outcome.status is StepStatus.SUPERSEDED
    assert bench.daemon.find("web")["Id"] == theirs
    assert bench.backend.observe(drive.operation).condition is Condition.FOREIGN


def test_a_port_that_is_taken_fails_the_start_at_once() -> None:
    bench = Bench()
    ports = {"80/tcp": [{"HostIp": "", "HostPort": "80"}]}
    bench.daemon.run("web", f"{APP}:1.0.0", HostConfig={"PortBindings": ports})
    drive = bench.drive()
    drive.capture()
    drive.perform(Phase.STAGING)
    for step in ("compare_live", "park_old", "take_name"):
        drive.step(Phase.SWITCHING, step)
    bench.daemon.run("thief", f"{APP}:1.0.0", HostConfig={"PortBindings": ports})
    with pytest.raises(StepStopped, match="port is already allocated") as stopped:
        drive.step(Phase.SWITCHING, "start_new")
    assert stopped.value.outcome.code == "start_refused"  # it is not the release that has the port


class Stubborn(FakeDocker):
    """A daemon that starts nothing any more, once it is told what to answer."""

    answer: int | None = None

    def start(self, reference: str) -> bool:
        if self.answer is not None:
            raise Refused(self.answer, "it does not start")
        return super().start(reference)


@pytest.mark.parametrize(("status", "code"), [(400, "start_failed"), (500, "start_refused")])
def test_a_container_whose_command_cannot_be_run_is_to_blame_itself(status: int, code: str) -> None:
    daemon = Stubborn()
    bench = Bench(daemon)
    daemon.run("web", f"{APP}:1.0.0")
    drive = bench.drive()
    drive.capture()
    drive.perform(Phase.STAGING)
    for step in ("compare_live", "park_old", "take_name"):
        drive.step(Phase.SWITCHING, step)
    daemon.answer = status
    with pytest.raises(StepStopped) as stopped:
        drive.step(Phase.SWITCHING, "start_new")
    assert stopped.value.outcome.code == code


STATES = [
    ({"Running": True}, Condition.READY, "running"),
    ({"Running": True, "Health": {"Status": "starting"}}, Condition.STARTING, "health_starting"),
    ({"Running": True, "Health": {"Status": "healthy"}}, Condition.READY, "healthy"),
    ({"Running": True, "Health": {"Status": "unhealthy"}}, Condition.FAILED, "unhealthy"),
    ({"Running": True, "Restarting": True}, Condition.FAILED, "restarting"),
    ({"Running": True, "Paused": True}, Condition.PAUSED, "paused"),
    ({"Running": False, "OOMKilled": True}, Condition.FAILED, "oom_killed"),
    ({"Running": False, "ExitCode": 3}, Condition.FAILED, "exited"),
]


@pytest.mark.parametrize(("state", "condition", "code"), STATES, ids=[code for *_, code in STATES])
def test_the_state_of_the_new_version_is_evidence(state: Any, condition: Condition, code: str) -> None:
    bench = Bench()
    bench.daemon.run("web", f"{APP}:1.0.0")
    drive = bench.drive()
    drive.switch()
    found = bench.daemon.find("web")
    found["State"] = {"Status": "?", **state}
    seen = bench.backend.observe(drive.operation)
    assert (seen.condition, seen.code, seen.identity) == (condition, code, found["Id"])


def test_a_new_version_that_was_restarted_has_failed_even_while_it_runs() -> None:
    bench = Bench()
    bench.daemon.run("web", f"{APP}:1.0.0")
    drive = bench.drive()
    drive.switch()
    bench.daemon.find("web")["RestartCount"] = 1
    once = bench.backend.observe(drive.operation)
    assert (once.condition, once.detail) == (Condition.FAILED, "it ended by itself and was restarted once")
    bench.daemon.find("web")["RestartCount"] = 3
    assert bench.backend.observe(drive.operation).detail.endswith("restarted 3 times")


def test_what_was_stopped_stays_stopped() -> None:
    bench = Bench()
    bench.daemon.run("web", f"{APP}:1.0.0", start=False)
    drive = bench.drive()
    drive.switch()
    assert bench.backend.observe(drive.operation).condition is Condition.STOPPED
    drive.perform(Phase.COMMITTING)
    assert bench.daemon.running() == set()


def test_probes_reach_published_ports_and_run_commands() -> None:
    bench = Bench()
    bench.daemon.run("web", f"{APP}:1.0.0")
    found = bench.daemon.find("web")
    found["NetworkSettings"]["Ports"] = {
        "80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}],
        "81/tcp": None,
    }
    found["NetworkSettings"]["Networks"]["bridge"]["IPAddress"] = "10.0.0.9"
    bench.daemon.exit_codes["false"] = 1
    target = bench.backend.probe_target(bench.drive().operation, old=True)
    assert target.address(None) == ("127.0.0.1", 8080)
    assert target.address(80) == ("127.0.0.1", 8080)
    assert target.address(81) == ("10.0.0.9", 81)
    assert target.execute(["echo", "a", "b"], 1).output == "echo\na\nb"
    assert target.execute(["false"], 1).exit_code == 1


@pytest.mark.parametrize(
    ("url", "published_on", "expected"),
    [
        ("tcp://10.0.0.5:2376", ["127.0.0.1"], None),
        ("tcp://10.0.0.5:2376", ["::1"], None),
        ("ssh://docker@web1", ["127.0.0.53", "0.0.0.0"], ("web1", 8080)),
        ("tcp://10.0.0.5:2376", ["192.168.7.1"], ("192.168.7.1", 8080)),
        ("tcp://localhost:2375", ["127.0.0.1"], ("127.0.0.1", 8080)),
        ("tcp://[::1]:2375", ["127.0.0.1"], ("127.0.0.1", 8080)),
        ("unix:///var/run/docker.sock", ["127.0.0.1"], ("127.0.0.1", 8080)),
    ],
)
def test_what_another_machine_publishes_on_its_loopback_is_never_looked_for_on_ours(
    url: str, published_on: list[str], expected: tuple[str, int] | None
) -> None:
    bench = Bench()
    bench.daemon.run("web", f"{APP}:1.0.0")
    found = bench.daemon.find("web")
    bindings = [{"HostIp": address, "HostPort": "8080"} for address in published_on]
    found["NetworkSettings"]["Ports"] = {"80/tcp": bindings}
    found["NetworkSettings"]["Networks"]["bridge"]["IPAddress"] = "10.0.0.9"
    bench.reach_over(url)
    assert bench.backend.probe_target(bench.drive().operation, old=True).address(80) == expected


@pytest.mark.parametrize("url", ["tcp://10.0.0.5:2376", "ssh://docker@web1", "unix:///run/docker.sock"])
def test_where_a_daemon_is_is_shown_as_people_write_it(url: str) -> None:
    bench = Bench()
    bench.reach_over(url)
    assert bench.backend.api.written_url == url.replace("docker@", "")


@pytest.mark.parametrize("tls", [False, True])
def test_a_daemon_that_is_not_there_is_named_as_it_was_written(tls: bool) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and nobody listens
        url = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        scanner = DockerScanner(docker.APIClient(base_url=url, version="1.41", tls=tls))
        assert scanner.api.url == url.replace("tcp", "https" if tls else "http")
        with pytest.raises(DockerConnectionError, match=f"no Docker daemon at {url}: "):
            scanner.scan()


@pytest.mark.parametrize("page", [b"<html>It works!</html>", b"[]", b'"hello"', b"{}", b"null"])
def test_a_web_server_that_is_no_docker_daemon_is_told_apart_in_one_sentence(page: bytes) -> None:
    bench = Bench()
    bench.transport.answer = lambda method, url, body: (200, page)
    with pytest.raises(BackendError, match=r"not a Docker daemon.*DOCKER_HOST") as raised:
        bench.make_backend().api.version
    assert raised.value.code == "malformed_answer"


def test_a_daemon_is_no_web_site_for_which_a_proxy_or_netrc_is_asked() -> None:
    assert connect("tcp://127.0.0.1:1", environment={}).trust_env is False


# --- keeping and collecting --------------------------------------------------------------------------------


def collected(bench: Bench, expired: list[Snapshot], kept: list[Snapshot]) -> tuple[str, ...]:
    return bench.backend.collect(expired, kept)


def test_the_old_image_is_kept_until_its_snapshot_expires() -> None:
    bench = Bench()
    bench.daemon.run("web", f"{APP}:1.0.0")
    drive = bench.drive()
    drive.update()
    old = bench.daemon.find_image(f"{APP}:1.0.0")
    assert old is not None
    assert "safeupdater/keep:op-1" in old["RepoTags"]
    snapshot = drive.operation.snapshot
    assert snapshot is not None
    assert bench.backend.collect([], [snapshot]) == ()
    assert bench.backend.collect([snapshot], []) == ("the keep-tag safeupdater/keep:op-1",)
    # Its tag is the user's own, who pulled it.
    assert bench.daemon.find_image(f"{APP}:1.0.0") is not None
    assert bench.backend.collect([snapshot], []) == ()


def test_images_that_we_brought_go_with_their_snapshot() -> None:
    bench = Bench()
    bench.daemon.run("web", f"{APP}:1.0.0")
    bench.drive().update()
    digest = bench.daemon.release(f"{APP}:1.0.2", User="app")
    second = bench.drive(to="1.0.2", digest=digest, operation_id="op-2")
    second.update()
    snapshot = second.operation.snapshot
    assert snapshot is not None
    assert bench.daemon.find_image(f"{APP}:1.0.1") is not None
    bench.backend.collect([snapshot], [])
    assert bench.daemon.find_image(f"{APP}:1.0.1") is None


def test_what_the_daemon_starts_while_it_is_being_stopped_is_stopped() -> None:
    bench = Bench()
    bench.daemon.run("web", f"{APP}:1.0.0", HostConfig={"RestartPolicy": {"Name": "always"}})
    drive = bench.drive()
    drive.switch()
    bench.daemon.stop("web")
    # It is looked up under both of its names; then its policy, which still brings it back, is taken away.
    bench.transport.faults = {len(bench.transport.calls) + 3: Fault.RESTART_BEFORE}
    drive.step(Phase.RESTORING, "stop_new")
    assert bench.transport.calls[-1].endswith("/stop")
    assert bench.daemon.running() == set()


class Pruning(FakeTransport):
    """Before a certain call somebody removes all stopped containers."""

    def __init__(self, daemon: FakeDocker, before: str) -> None:
        super().__init__(daemon)
        self.before = before

    def send(self, request: Any, *args: Any, **options: Any) -> Any:
        if self.before and self.before in f"{request.method} {request.url}":
            self.before = ""
            for container in list(self.daemon.containers.values()):
                if not container["State"]["Running"]:
                    self.daemon.remove(container["Id"], with_volumes=False)
        return super().send(request, *args, **options)


def test_an_old_container_that_was_pruned_is_made_again_as_it_was() -> None:
    bench = Bench()
    bench.daemon.networks["front"] = "3" * 64
    bench.daemon.run(
        "web", f"{APP}:1.0.0", Env=["MINE=1"], Volumes={"/nameless": {}}, Labels={"mine": "yes"},
        HostConfig={"RestartPolicy": {"Name": "always"}, "NetworkMode": "front"},
        NetworkingConfig={"EndpointsConfig": {"front": {"Aliases": ["deep"]}}},
    )  # fmt: skip
    was = bench.daemon.find("web")
    drive = bench.drive()
    drive.switch()
    bench.transport.daemon.remove("web.su-old", with_volumes=False)
    drive.restore()
    now = bench.daemon.find("web")
    assert bench.daemon.running() == {"web"}
    assert now["Image"] == was["Image"]
    assert now["HostConfig"]["RestartPolicy"]["Name"] == "always"
    assert now["Config"]["Env"] == was["Config"]["Env"]
    assert now["Config"]["Labels"] == {"mine": "yes", REMADE_LABEL: "op-1"}
    assert [mount["Name"] for mount in now["Mounts"]] == [mount["Name"] for mount in was["Mounts"]]
    assert now["NetworkSettings"]["Networks"]["front"]["Aliases"] == ["deep", now["Id"][:12]]
    assert bench.backend.observe(drive.operation, old=True).condition is Condition.READY


def test_pruned_in_the_middle_of_going_back_it_is_looked_at_again() -> None:
    bench = Bench()
    bench.daemon.run("web", f"{APP}:1.0.0")
    drive = bench.drive()
    drive.switch()
    bench.transport = Pruning(bench.daemon, before="/rename?name=web")
    drive = Drive(bench.make_backend(), drive.operation)
    drive.step(Phase.RESTORING, "stop_new")
    with pytest.raises(StepStopped) as stopped:
        drive.step(Phase.RESTORING, "return_name")
    assert stopped.value.outcome.status is StepStatus.RETRY
    drive.restore()
    assert bench.daemon.running() == {"web"}
    assert bench.daemon.find("web")["Config"]["Image"] == f"{APP}:1.0.0"


def test_a_dependant_that_was_pruned_while_it_was_parked_does_not_keep_the_service_down() -> None:
    bench = Bench()
    owner = bench.daemon.run("web", f"{APP}:1.0.0")
    bench.daemon.run("side", f"{APP}:1.0.0", HostConfig={"NetworkMode": f"container:{owner}"})
    drive = bench.drive()
    drive.capture()
    drive.perform(Phase.STAGING)
    bench.transport = Pruning(
        bench.daemon, before=f"POST http+docker://localhost/v1.41/containers/{owner}/stop"
    )
    drive = Drive(bench.make_backend(), drive.operation)
    with pytest.raises(StepStopped) as stopped:
        drive.perform(Phase.SWITCHING)
    assert stopped.value.outcome.status is StepStatus.REFUSED
    drive.restore()
    assert bench.daemon.running() == {"web", "side"}


def test_a_second_try_after_a_prune_does_not_take_our_own_new_container_for_a_foreign_one() -> None:
    bench = Bench()
    bench.daemon.run("web", f"{APP}:1.0.0")
    drive = bench.drive()
    drive.switch()
    bench.daemon.remove("web.su-old", with_volumes=False)
    with pytest.raises(StepStopped) as stopped:
        drive.step(Phase.SWITCHING, "compare_live")
    assert stopped.value.outcome.status is StepStatus.REFUSED


def test_what_went_together_with_the_parked_one_was_pruned_what_went_alone_was_removed() -> None:
    bench = Bench()
    bench.daemon.run("web", f"{APP}:1.0.0")
    drive = bench.drive()
    drive.switch()
    bench.daemon.remove("web", with_volumes=False, force=True)
    assert bench.backend.observe(drive.operation).code == "absent"
    bench.daemon.remove("web.su-old", with_volumes=False)
    seen = bench.backend.observe(drive.operation)
    assert (seen.condition, seen.code) == (Condition.ABSENT, "pruned")
    drive.restore()
    assert bench.daemon.running() == {"web"}


def test_a_dependant_that_somebody_removes_takes_the_new_version_back_not_away() -> None:
    bench = Bench()
    owner = bench.daemon.run("web", f"{APP}:1.0.0")
    host_config = {"NetworkMode": f"container:{owner}"}
    bench.daemon.run("side", f"{APP}:1.0.0", start=False, HostConfig=host_config)
    drive = bench.drive()
    drive.switch()
    bench.daemon.remove("side", with_volumes=False)
    assert bench.backend.observe(drive.operation).condition is Condition.FAILED
    drive.restore()
    assert bench.daemon.running() == {"web"}
    assert bench.daemon.find("side")["HostConfig"]["NetworkMode"] == f"container:{owner}"


def test_whose_dependant_has_a_namesake_now_goes_back() -> None:
    bench = Bench()
    owner = bench.daemon.run("web", f"{APP}:1.0.0")
    bench.daemon.run("side", f"{APP}:1.0.0", HostConfig={"NetworkMode": f"container:{owner}"})
    drive = bench.drive()
    drive.capture()
    drive.perform(Phase.STAGING)
    drive.step(Phase.SWITCHING, "compare_live")
    drive.step(Phase.SWITCHING, "park_old")
    bench.daemon.run("side", f"{APP}:1.0.0", start=False)
    with pytest.raises(StepStopped) as stopped:
        drive.step(Phase.SWITCHING, "take_name")
    assert stopped.value.outcome.status is StepStatus.REFUSED


def test_what_was_begun_is_undone_where_somebody_changed_something_meanwhile() -> None:
    bench = Bench()
    bench.daemon.run("web", f"{APP}:1.0.0")
    drive = bench.drive()
    drive.capture()
    drive.perform(Phase.STAGING)
    drive.step(Phase.SWITCHING, "compare_live")
    drive.step(Phase.SWITCHING, "park_old")
    bench.daemon.find("web.su-old")["HostConfig"]["Memory"] = 1
    with pytest.raises(StepStopped) as stopped:
        drive.step(Phase.SWITCHING, "compare_live")
    assert stopped.value.outcome.status is StepStatus.REFUSED
    drive.restore()
    assert bench.daemon.running() == {"web"}


def test_what_a_container_runs_keeps_its_names_though_a_snapshot_of_it_goes() -> None:
    bench = Bench()
    bench.daemon.run("web", f"{APP}:1.0.0")
    bench.drive().update()
    bench.daemon.tag(f"{APP}:1.0.1", f"{APP}:stable")
    digest = bench.daemon.release(f"{APP}:1.0.2", User="app", Labels={CRASHES: "yes"})
    failed = bench.drive(to="1.0.2", digest=digest, operation_id="op-2")
    failed.switch()
    failed.restore()
    snapshot = failed.operation.snapshot
    assert snapshot is not None
    bench.backend.collect([snapshot], [])
    assert bench.daemon.find_image(f"{APP}:1.0.1") is not None


def test_a_rollback_by_hand_brings_the_snapshot_back() -> None:
    bench = Bench()
    bench.daemon.run("web", f"{APP}:1.0.0", Env=["A=1"], HostConfig={"RestartPolicy": {"Name": "always"}})
    first = bench.drive()
    first.update()
    back = bench.drive(
        to="1.0.0", digest=bench.old_digest, operation_id="op-2", wanted=first.operation.snapshot
    )
    assert bench.backend.preflight(back.operation).refusal is None
    back.update()
    found = bench.daemon.find("web")
    assert found["Config"]["Image"] == f"{APP}:1.0.0"
    assert found["Config"]["Env"] == ["A=1"]
    assert found["HostConfig"]["RestartPolicy"]["Name"] == "always"
    assert bench.daemon.running() == {"web"}


def test_a_rollback_by_hand_starts_the_version_that_ran_though_the_one_it_replaces_does_not() -> None:
    bench = Bench()
    bench.daemon.run("web", f"{APP}:1.0.0")
    first = bench.drive()
    first.update()
    bench.daemon.stop("web")
    back = bench.drive(
        to="1.0.0", digest=bench.old_digest, operation_id="op-2", wanted=first.operation.snapshot
    )
    back.switch()
    assert bench.backend.observe(back.operation).condition is Condition.READY
    back.perform(Phase.COMMITTING)
    assert bench.daemon.running() == {"web"}


def test_a_same_tag_update_moves_the_tag_and_a_restore_moves_it_back() -> None:
    bench = Bench()
    bench.daemon.release(f"{APP}:latest", pulled=True, User="app")
    bench.daemon.run("web", f"{APP}:latest")
    before = bench.daemon.find_image(f"{APP}:latest")
    newer = bench.daemon.release(f"{APP}:latest", User="app", Env=["NEW=1"])
    drive = bench.drive(to="latest", digest=newer)
    drive.switch()
    assert bench.daemon.find_image(f"{APP}:latest") is not before
    assert bench.daemon.find("web")["Config"]["Image"] == f"{APP}:latest"
    drive.restore()
    assert bench.daemon.find_image(f"{APP}:latest") is before


# --- what goes wrong on the way ----------------------------------------------------------------------------


class Broken(FakeTransport):
    """A way to the daemon that breaks with the given error."""

    error: Exception = requests.exceptions.ConnectionError("gone")

    def send(self, *_: Any, **__: Any) -> requests.Response:
        raise self.error


BROKEN = [
    (requests.exceptions.ConnectionError(PermissionError(13, "denied")), "permission_denied", False),
    (requests.exceptions.ConnectionError(FileNotFoundError(2, "no socket")), "daemon_absent", True),
    (requests.exceptions.ConnectionError(ConnectionRefusedError(111, "refused")), "daemon_absent", True),
    (requests.exceptions.ReadTimeout("slow"), "daemon_timeout", True),
    (requests.exceptions.SSLError(ssl.SSLError(1, "bad certificate")), "tls_failed", False),
    (requests.exceptions.ConnectionError("reset"), "daemon_unreachable", True),
]


@pytest.mark.parametrize(("error", "code", "transient"), BROKEN, ids=[code for _, code, _ in BROKEN])
def test_no_answer_is_one_sentence_that_says_what_to_do(error: Exception, code: str, transient: bool) -> None:
    transport = Broken(FakeDocker())
    transport.error = error
    scanner = DockerScanner(FakeDocker().client(lambda _: transport), host="h")
    with pytest.raises(DockerConnectionError) as caught:
        scanner.scan()
    assert (caught.value.code, caught.value.transient) == (code, transient)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("version", "works"), [("1.24", False), ("1.41", True), ("1.47", True), ("1.99", True)]
)
def test_daemons_that_are_too_old_are_told_so(version: str, works: bool) -> None:
    daemon = FakeDocker(api_version=version)
    scanner = DockerScanner(daemon.client(), host="h")
    if works:
        assert scanner.scan().complete
        return
    with pytest.raises(DockerConnectionError, match=r"upgrade the daemon"):
        scanner.scan()


MESSAGES = [
    ("write /var/lib/docker/x: no space left on device", "disk_full"),
    ("unauthorized: authentication required", "registry_denied"),
    ("manifest for a:1 not found: manifest unknown", "image_gone"),
    ("toomanyrequests: You have reached your pull rate limit", "rate_limited"),
    ("dial tcp 1.2.3.4:443: i/o timeout", "registry_unreachable"),
    ("client version 1.22 is too old. Minimum supported API version is 1.44", "api_version"),
    ("something else", "daemon_error"),
]


@pytest.mark.parametrize(("message", "code"), MESSAGES)
def test_what_the_daemon_says_of_a_pull_has_a_code(message: str, code: str) -> None:
    assert fault_of_pull(message).code == code


NO_REGISTRYS = [
    ("OCI runtime create failed: mount: access denied: unknown", 500, "daemon_error", True),
    ("failed to mount local volume: NFS: dial tcp 10.0.0.7:2049: i/o timeout", 500, "daemon_error", True),
    ("create v: VolumeDriver.Create: HTTP status: 404 not found", 500, "daemon_error", True),
    ("failed to create shim: context deadline exceeded", 500, "daemon_error", True),
    ("authorization denied by plugin opa: unauthorized", 403, "forbidden", False),
    (
        "failed to initialize logging driver: dial tcp 10.0.0.7:24224: connection refused",
        400,
        "bad_request",
        False,
    ),
    ("write /var/lib/docker/x: no space left on device", 500, "disk_full", False),
]


@pytest.mark.parametrize(("message", "status", "code", "transient"), NO_REGISTRYS)
def test_only_a_pull_is_told_of_registries(message: str, status: int, code: str, transient: bool) -> None:
    fault = fault_of_message(message, status)
    assert (fault.code, fault.transient) == (code, transient)
    assert "registry" not in fault.advice


def test_an_answer_without_words_leaves_no_gap_in_the_sentence() -> None:
    said = refusal("find it", 403, " \n").message
    assert said.startswith("Docker could not find it: the daemon, or a proxy in front of it, does not allow")


def test_a_url_that_is_none_is_a_configuration_error_without_its_password() -> None:
    with pytest.raises(ConfigurationError) as caught:
        DockerScanner(url="gopher://me:secret@host")
    assert "secret" not in str(caught.value)


def test_a_snapshot_shows_no_environment() -> None:
    bench = Bench()
    bench.daemon.run("web", f"{APP}:1.0.0", Env=["TOKEN=hunter2"])
    drive = bench.drive()
    drive.capture()
    assert "hunter2" not in repr(drive.operation)


@pytest.mark.parametrize(
    "auths", [{"r.example.com": {"auth": "bm9wZQ=="}}, ["?"], {"r.example.com": {"auth": 7}}]
)
def test_damaged_logins_of_the_user_are_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, auths: object
) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"auths": auths}))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    with pytest.raises(ConfigurationError, match=r"`docker login` anew") as raised:
        connect("unix:///nothing.sock")
    assert raised.value.__cause__ is None
