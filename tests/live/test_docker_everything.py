"""Containers with every field that a daemon has: updated, restored, and made again, nothing gets lost."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from testbed.images import Kind
from tests.support.docker_host import Host
from tests.support.everything import (
    NEW_IMAGE,
    OLD_IMAGE,
    SHAPES,
    UNGIVEN,
    Shape,
    checksums,
    create,
    provider,
    surroundings,
)

# What a daemon gives each container anew.
PER_CONTAINER = {
    "Id", "Created", "ResolvConfPath", "HostnamePath", "HostsPath", "LogPath", "GraphDriver", "State",
    "RestartCount",
}  # fmt: skip
PER_ENDPOINT = {"EndpointID", "Aliases"}
# A volume that nobody named is asked for by its name, which the daemon marks so.
ASKED_BY_NAME = {f".Mounts./{place}.Mode" for place in ("nameless", "image-data")}
# What the daemon lists only where somebody gave it.
OPTIONAL = {
    "Config.Healthcheck", "Config.MacAddress", "Config.NetworkDisabled", "Config.Shell", "Config.StopSignal",
    "Config.StopTimeout", "HostConfig.Init", "HostConfig.Mounts", "HostConfig.Sysctls", "HostConfig.Tmpfs",
}  # fmt: skip
ON_SOME_KERNELS = {"HostConfig.BlkioWeight", "HostConfig.KernelMemory"}


@pytest.fixture(params=SHAPES)
def shape(request: pytest.FixtureRequest) -> Shape:
    return SHAPES[request.param]


@pytest.fixture(autouse=True)
def surrounded(host: Host) -> Iterator[None]:
    host.release("1.0.0", changes=OLD_IMAGE)
    with surroundings(host):
        yield


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


def differences(before: dict[str, Any], after: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    old, new = flat(comparable(before)), flat(comparable(after))
    return {p: (old.get(p), new.get(p)) for p in {*old, *new} if old.get(p) != new.get(p)}


def test_nothing_that_a_daemon_knows_is_forgotten(host: Host) -> None:
    """Each field is in one of the containers, otherwise than by default, or is in a list with the reason."""
    image = host.client.inspect_image(f"{host.repository}:1.0.0")["Id"]
    bare = host.client.inspect_container(host.client.create_container(image, name=host.name("bare"))["Id"])
    known, given = set(), set()
    for shape in SHAPES.values():
        made = create(host, shape)
        for part in ("Config", "HostConfig"):
            known |= {f"{part}.{key}" for key in made[part]}
            given |= {f"{part}.{key}" for key, value in made[part].items() if value != bare[part].get(key)}
        host.client.remove_container(made["Id"], force=True, v=True)

    assert known - given - set(UNGIVEN) == set()
    assert given >= OPTIONAL, "the daemon shows these only where they are given"
    assert given & set(UNGIVEN) <= ON_SOME_KERNELS, "given after all: not to be excused"


def test_an_update_changes_only_what_its_image_changes(host: Host, shape: Shape) -> None:
    new = host.release("1.0.1", changes=NEW_IMAGE)
    before = create(host, shape)
    sums = checksums(host, before["Id"], shape)
    drive = host.drive("all", new)

    report = host.backend.preflight(drive.operation)
    assert report.refusal is None, report.refusal
    assert not [text for text in report.warnings if "outside of volumes" in text]
    drive.update()

    after = host.inspect("all")
    assert set(differences(before, after)) - ASKED_BY_NAME == shape.changes
    user = {entry.partition("=")[0]: entry for entry in shape.body(host).get("Env", ())}
    image = {"FROM_IMAGE": "FROM_IMAGE=new", "ADDED": "ADDED=new", "KEPT": "KEPT=image"}
    assert sorted(after["Config"]["Env"]) == sorted((image | user).values())
    assert after["Config"]["Labels"]["kept.label"] == before["Config"]["Labels"]["kept.label"]
    assert after["State"]["Running"] is shape.runs
    if "com.docker.compose.image" in before["Config"]["Labels"]:
        assert after["Config"]["Labels"]["com.docker.compose.image"] == after["Image"]
    assert checksums(host, after["Id"], shape) == sums


def test_a_bad_release_leaves_no_trace(host: Host, shape: Shape) -> None:
    new = host.release("1.0.1", Kind.BAD, changes=NEW_IMAGE)
    before = create(host, shape)
    sums = checksums(host, before["Id"], shape)
    volumes = {volume["Name"] for volume in host.client.volumes()["Volumes"]}
    drive = host.drive("all", new)

    drive.switch()
    for place in shape.places:
        assert host.shell(host.name("all"), f"cat {place}/file")
    drive.restore()

    after = host.inspect("all")
    assert after["Id"] == before["Id"]
    assert differences(before, after) == {}
    assert after["State"]["Running"] is shape.runs
    assert checksums(host, after["Id"], shape) == sums
    assert {volume["Name"] for volume in host.client.volumes()["Volumes"]} == volumes


def test_what_was_pruned_in_between_is_made_again_as_it_was(host: Host, shape: Shape) -> None:
    new = host.release("1.0.1", Kind.BAD, changes=NEW_IMAGE)
    before = create(host, shape)
    sums = checksums(host, before["Id"], shape)
    drive = host.drive("all", new)

    drive.switch()
    host.client.remove_container(before["Id"])  # as docker system prune does with everything that is stopped
    drive.restore()

    after = host.inspect("all")
    generated = {".Config.Hostname"} & shape.changes
    mounts = {".HostConfig.Mounts"} & shape.changes
    assert set(differences(before, after)) - ASKED_BY_NAME == {
        ".Config.Labels.safeupdater.remade", *generated, *mounts,
    }  # fmt: skip
    assert after["State"]["Running"] is shape.runs
    assert checksums(host, after["Id"], shape) == sums
    assert host.backend.observe(drive.operation, old=True).identity == after["Id"]
    assert host.names() == {host.name("all"), provider(host)}
