"""Updating and restoring containers on a real daemon, with images from a real registry."""

from __future__ import annotations

import itertools
import re
import urllib.request
from collections.abc import Iterator
from typing import Any

import docker
import pytest

from safeupdater.backends.docker import DockerBackend
from safeupdater.backends.docker.names import base_name
from safeupdater.domain.artifact import ImageReference
from safeupdater.domain.health import Condition
from safeupdater.domain.operation import Phase, StepStatus
from safeupdater.testing.driving import Drive, StepStopped, operation_for
from testbed import images
from testbed.images import Kind
from testbed.processes import wait_until

_NUMBERS = itertools.count(1)


class Host:
    """A daemon with a registry and names that no other test uses."""

    def __init__(self, client: docker.APIClient, registry: str) -> None:
        self.client = client
        self.number = next(_NUMBERS)
        self.repository = f"{registry}/app{self.number}"
        self.backend = DockerBackend(client, host="test")
        self.digests: dict[str, str] = {}

    def release(self, tag: str, kind: Kind = Kind.GOOD, *, changes: tuple[str, ...] = ()) -> ImageReference:
        """Pushes a release; it is not on the host afterwards."""
        digest = images.release(self.client, f"{self.repository}:{tag}", kind, changes=changes)
        self.digests[tag] = digest
        return ImageReference.parse(f"{self.repository}:{tag}@{digest}")

    def run(self, name: str, tag: str, *, start: bool = True, **options: Any) -> str:
        """Pulls a release and runs it, as a user would; ``host`` holds the HostConfig's arguments."""
        name = self.name(name)
        reference = f"{self.repository}:{tag}"
        self.client.pull(reference)
        host_config = self.client.create_host_config(**options.pop("host", {}))
        made = self.client.create_container(reference, name=name, host_config=host_config, **options)
        if start:
            self.client.start(made["Id"])
        return str(made["Id"])

    def name(self, name: str) -> str:
        """The name on the daemon."""
        return f"{name}{self.number}"

    def inspect(self, name: str) -> dict[str, Any]:
        """A container as the daemon sees it."""
        return dict(self.client.inspect_container(self.name(name)))

    def drive(self, name: str, new: ImageReference, **options: Any) -> Drive:
        """An operation on a container."""
        found = [asset for asset in self.backend.scan().assets if asset.name == self.name(name)]
        return Drive(self.backend, operation_for(found[0], new, operation_id=f"op-{self.number}", **options))

    def names(self) -> set[str]:
        """Every container of this test."""
        listed = self.client.containers(all=True)
        own = [container["Names"][0].lstrip("/") for container in listed]
        return {name for name in own if re.fullmatch(rf"[a-z]+{self.number}", base_name(name) or name)}


@pytest.fixture
def host(docker_host: str, registry: str) -> Iterator[Host]:
    client = docker.APIClient(base_url=docker_host, version="1.41")
    client.trust_env = False
    world = Host(client, registry)
    yield world
    for name in world.names():
        client.remove_container(name, force=True)
    client.close()


def body(address: tuple[str, int] | None, path: str) -> str:
    assert address is not None
    with urllib.request.urlopen(f"http://{address[0]}:{address[1]}{path}", timeout=5) as answer:
        return str(answer.read().decode())


def serves(drive: Drive, *, old: bool = False) -> str:
    """What the version under watch serves as its own reference, once it serves at all."""
    target = drive.backend.probe_target(drive.operation, old=old)
    address = target.address(8080)
    assert address is not None
    assert wait_until(lambda: _reachable(address), timeout_s=5)
    return body(address, "/version")


def _reachable(address: tuple[str, int]) -> bool:
    try:
        body(address, "/version")
    except OSError:
        return False
    return True


def test_a_good_release_replaces_the_old_one(host: Host) -> None:
    host.release("1.0.0")
    new = host.release("1.0.1")
    old_id = host.run("web", "1.0.0", host={"restart_policy": {"Name": "unless-stopped"}})
    drive = host.drive("web", new)

    assert host.backend.preflight(drive.operation).refusal is None
    drive.update()

    found = host.inspect("web")
    assert found["Id"] != old_id
    assert found["Config"]["Image"] == f"{host.repository}:1.0.1"
    assert found["HostConfig"]["RestartPolicy"]["Name"] == "unless-stopped"
    assert host.backend.observe(drive.operation).condition is Condition.READY
    assert serves(drive) == f"{host.repository}:1.0.1"
    assert host.names() == {host.name("web")}


def test_a_port_stays_published_though_the_new_image_no_longer_exposes_it(host: Host) -> None:
    host.release("1.0.0", changes=("EXPOSE 9999",))
    new = host.release("1.0.1")
    host.run("web", "1.0.0", host={"port_bindings": {9999: ("127.0.0.1", None)}})
    assert host.inspect("web")["NetworkSettings"]["Ports"]["9999/tcp"]

    host.drive("web", new).update()

    assert host.inspect("web")["NetworkSettings"]["Ports"]["9999/tcp"]


def test_a_bad_release_goes_back_to_the_very_old_container(host: Host) -> None:
    host.release("1.0.0")
    new = host.release("1.0.1", Kind.CRASH)
    old_id = host.run("web", "1.0.0", host={"restart_policy": {"Name": "always"}})
    before = host.inspect("web")
    drive = host.drive("web", new)

    drive.switch()
    assert wait_until(
        lambda: host.backend.observe(drive.operation).condition is Condition.FAILED, timeout_s=10
    )
    drive.restore()

    after = host.inspect("web")
    assert after["Id"] == old_id
    assert after["State"]["Running"]
    for part in ("Config", "HostConfig", "Name", "Image"):
        assert after[part] == before[part], part
    assert host.names() == {host.name("web")}
    assert serves(drive, old=True) == f"{host.repository}:1.0.0"
    assert not host.client.images(f"{host.repository}:1.0.1")


def test_what_cannot_be_pulled_never_stops_the_old_version(host: Host) -> None:
    host.release("1.0.0")
    host.run("web", "1.0.0")
    before = host.inspect("web")
    drive = host.drive("web", ImageReference.parse(f"{host.repository}:9.9.9@sha256:{'0' * 64}"))
    drive.capture()

    with pytest.raises(StepStopped) as stopped:
        drive.perform(Phase.STAGING)

    assert stopped.value.outcome.status is StepStatus.REFUSED
    assert stopped.value.outcome.code == "image_gone"
    drive.perform(Phase.DISCARDING)
    assert host.inspect("web") == before
    assert host.names() == {host.name("web")}


def test_only_what_is_written_outside_of_mounts_is_said_to_get_lost(host: Host) -> None:
    host.release("1.0.0")
    new = host.release("1.0.1")
    container = host.run("web", "1.0.0", host={"tmpfs": {"/fast/scratch": ""}}, volumes=["/kept"])
    run(host.client, container, "echo of no worth > /fast/scratch/file; echo safe > /kept/file")
    assert host.backend.preflight(host.drive("web", new).operation).warnings == ()

    run(host.client, container, "echo lost > /own")
    (warning,) = host.backend.preflight(host.drive("web", new).operation).warnings
    assert "1 files" in warning
    assert "/own" in warning


# --- everything at once ------------------------------------------------------------------------------------


@pytest.fixture
def networks(host: Host) -> Iterator[tuple[str, str]]:
    """Two networks with addresses that can be asked for."""
    names = (f"front{host.number}", f"back{host.number}")
    for index, name in enumerate(names):
        pool = docker.types.IPAMPool(subnet=f"10.99.{host.number * 2 + index}.0/24")
        host.client.create_network(name, ipam=docker.types.IPAMConfig(pool_configs=[pool]))
    yield names
    for container in host.names():
        host.client.remove_container(container, force=True, v=True)
    for name in names:
        host.client.remove_network(name)


IMAGE_DEFAULTS = (
    "ENV FROM_IMAGE=old KEPT=image", "LABEL from.image=old kept.label=image", "VOLUME /image-data",
    'HEALTHCHECK --interval=30s --timeout=3s CMD ["/bin/busybox", "true"]', "WORKDIR /www", "USER 0:0",
)  # fmt: skip


def everything(host: Host, networks: tuple[str, str]) -> dict[str, Any]:
    """A container that uses every field of the checklist that this machine can do."""
    front, back = networks
    client, reference = host.client, f"{host.repository}:1.0.0"
    client.pull(reference)
    client.create_volume(f"named{host.number}")
    mounts = [
        docker.types.Mount("/by-mount", f"named{host.number}", type="volume"),
        docker.types.Mount("/nameless-mount", None, type="volume"),
        docker.types.Mount("/scratch", None, type="tmpfs", tmpfs_size=1 << 20, tmpfs_mode=0o700),
    ]
    host_config = client.create_host_config(
        binds={
            f"named{host.number}": {"bind": "/data", "mode": "rw"},
            "/etc": {"bind": "/host-etc", "mode": "ro"},
        },
        mounts=mounts,
        tmpfs={"/fast": "size=1m"},
        port_bindings={"8080/tcp": ("127.0.0.1", None), "9000/udp": ("127.0.0.1", 39000 + host.number)},
        restart_policy={"Name": "on-failure", "MaximumRetryCount": 7},
        cap_add=["NET_ADMIN"],
        cap_drop=["MKNOD", "AUDIT_WRITE"],
        sysctls={"net.core.somaxconn": "512", "net.ipv4.ip_unprivileged_port_start": "0"},
        ulimits=[docker.types.Ulimit(name="nofile", soft=1024, hard=2048)],
        devices=["/dev/null:/dev/zilch:rwm"],
        device_cgroup_rules=["c 42:* rmw"],
        log_config=docker.types.LogConfig(type="json-file", config={"max-size": "1m", "max-file": "2"}),
        extra_hosts={"somewhere": "10.0.0.1"},
        dns=["10.0.0.53"],
        dns_search=["example.test"],
        dns_opt=["ndots:2"],
        init=True,
        shm_size=1 << 25,
        mem_limit=1 << 28,
        mem_reservation=1 << 27,
        nano_cpus=500_000_000,
        pids_limit=64,
        cpuset_cpus="0",
        oom_score_adj=100,
        group_add=["1234"],
        security_opt=["no-new-privileges:true"],
        ipc_mode="shareable",
        network_mode=front,
    )
    endpoint = client.create_endpoint_config(
        aliases=["www", "api"], ipv4_address=f"10.99.{host.number * 2}.77"
    )
    made = client.create_container(
        reference,
        name=host.name("all"),
        hostname="chosen",
        domainname="example.test",
        user="0:1234",
        environment={"KEPT": "mine", "ONLY": "mine"},
        labels={"kept.label": "mine", "only.label": "mine", "com.docker.compose.image": "sha256:old"},
        volumes=["/nameless"],
        ports=[8080, (9000, "udp"), 7000],
        stop_signal="SIGINT",
        mac_address="02:42:0a:63:00:99",
        stdin_open=True,
        healthcheck={"interval": 5_000_000_000},
        host_config=host_config,
        networking_config=client.create_networking_config({front: endpoint}),
    )
    # docker-py has no argument for it.
    client.connect_container_to_network(
        made["Id"], back, aliases=["deep"], ipv4_address=f"10.99.{host.number * 2 + 1}.88"
    )
    client.start(made["Id"])
    places = ("/data", "/by-mount", "/nameless", "/nameless-mount", "/image-data")
    for place in places:
        run(client, made["Id"], f"echo precious {place} > {place}/file")
    return dict(client.inspect_container(made["Id"]))


def run(client: docker.APIClient, container: str, script: str) -> str:
    execution = client.exec_create(container, ["/bin/sh", "-c", script])
    output = client.exec_start(execution["Id"]).decode()
    assert client.exec_inspect(execution["Id"])["ExitCode"] == 0, output
    return str(output)


def checksums(client: docker.APIClient, container: str) -> str:
    return run(
        client, container, "busybox sha256sum /data/* /by-mount/* /nameless/* /nameless-mount/* /image-data/*"
    )


# What a daemon gives each container anew.
PER_CONTAINER = {
    "Id", "Created", "ResolvConfPath", "HostnamePath", "HostsPath", "LogPath", "GraphDriver", "State",
    "RestartCount",
}  # fmt: skip
PER_ENDPOINT = {"EndpointID", "Aliases"}


def flat(value: Any, path: str = "") -> dict[str, Any]:
    """A nested value as one mapping from paths to leaves."""
    if isinstance(value, dict) and value:
        return {k: v for key, item in value.items() for k, v in flat(item, f"{path}.{key}").items()}
    return {path: value}


def comparable(inspect: dict[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in inspect.items() if key not in PER_CONTAINER}
    kept["Mounts"] = {mount["Destination"]: mount for mount in kept["Mounts"]}
    settings = kept.pop("NetworkSettings")
    kept["Networks"] = {
        name: {key: value for key, value in endpoint.items() if key not in PER_ENDPOINT}
        | {"Aliases": sorted(set(endpoint["Aliases"] or ()) - {inspect["Id"][:12]})}
        for name, endpoint in settings["Networks"].items()
    }
    kept["Ports"] = sorted(settings["Ports"])
    return kept


def test_the_everything_container_changes_only_in_what_its_image_changes(
    host: Host, networks: tuple[str, str]
) -> None:
    host.release("1.0.0", changes=IMAGE_DEFAULTS)
    new = host.release(
        "1.0.1",
        changes=(
            "ENV FROM_IMAGE=new ADDED=new KEPT=image",
            "LABEL from.image=new kept.label=image",
            "WORKDIR /tmp",
        ),
    )
    before = everything(host, networks)
    sums = checksums(host.client, before["Id"])
    drive = host.drive("all", new)

    report = host.backend.preflight(drive.operation)
    assert report.refusal is None, report.refusal
    drive.update()

    after = host.inspect("all")
    old, fresh = flat(comparable(before)), flat(comparable(after))
    changed = {path for path in {*old, *fresh} if old.get(path) != fresh.get(path)}
    nameless = {f".Mounts./{place}.Mode" for place in ("nameless", "image-data")}
    assert changed - nameless == {
        ".Image", ".Config.Image", ".Config.Env", ".Config.WorkingDir", ".Config.Volumes./image-data",
        ".Config.Healthcheck.Test", ".Config.Healthcheck.Timeout", ".Config.Labels.from.image",
        ".Config.Labels.safeupdater.operation", ".Config.Labels.com.docker.compose.image",
        ".HostConfig.Mounts",
    }  # fmt: skip
    assert sorted(after["Config"]["Env"]) == ["ADDED=new", "FROM_IMAGE=new", "KEPT=mine", "ONLY=mine"]
    assert after["Config"]["WorkingDir"] == "/tmp"
    assert after["Config"]["Labels"]["kept.label"] == "mine"
    assert after["Config"]["Labels"]["com.docker.compose.image"] == after["Image"]
    assert checksums(host.client, after["Id"]) == sums


def test_the_everything_container_is_restored_as_it_was(host: Host, networks: tuple[str, str]) -> None:
    host.release("1.0.0", changes=IMAGE_DEFAULTS)
    new = host.release("1.0.1", Kind.BAD)
    before = everything(host, networks)
    sums = checksums(host.client, before["Id"])
    volumes = {volume["Name"] for volume in host.client.volumes()["Volumes"]}
    drive = host.drive("all", new)

    drive.switch()
    assert run(host.client, host.name("all"), "cat /nameless/file") == "precious /nameless\n"
    drive.restore()

    after = host.inspect("all")
    assert after["Id"] == before["Id"]
    assert comparable(after) == comparable(before)
    assert after["State"]["Running"]
    assert checksums(host.client, after["Id"]) == sums
    assert {volume["Name"] for volume in host.client.volumes()["Volumes"]} == volumes


def test_the_everything_container_is_made_again_where_it_was_pruned(
    host: Host, networks: tuple[str, str]
) -> None:
    host.release("1.0.0", changes=IMAGE_DEFAULTS)
    new = host.release("1.0.1", Kind.BAD)
    before = everything(host, networks)
    sums = checksums(host.client, before["Id"])
    drive = host.drive("all", new)

    drive.switch()
    host.client.remove_container(before["Id"])  # as docker system prune does with everything that is stopped
    drive.restore()

    after = host.inspect("all")
    old, fresh = flat(comparable(before)), flat(comparable(after))
    changed = {path for path in {*old, *fresh} if old.get(path) != fresh.get(path)}
    nameless = {f".Mounts./{place}.Mode" for place in ("nameless", "image-data")}
    assert changed - nameless == {".Config.Labels.safeupdater.remade", ".HostConfig.Mounts"}
    assert after["State"]["Running"]
    assert checksums(host.client, after["Id"]) == sums
    assert host.backend.observe(drive.operation, old=True).identity == after["Id"]
    assert host.names() == {host.name("all")}
