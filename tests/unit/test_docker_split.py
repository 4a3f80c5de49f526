"""What a user asked for against what an image gave, references, and the proof of losslessness."""

from __future__ import annotations

from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from safeupdater.backends.docker.recreate import losses, successor
from safeupdater.backends.docker.snapshot import Member
from safeupdater.backends.docker.split import filled_config, gains_root, user_config
from safeupdater.backends.docker.target import image_text
from safeupdater.domain.artifact import ImageReference
from safeupdater.domain.change import Change, VersionChangeType

DIGEST = f"sha256:{'a' * 64}"

# container's, old image's, what must be sent so that the daemon makes the same with the old image
COMMANDS: list[tuple[tuple[Any, Any], tuple[Any, Any], tuple[Any, Any]]] = [
    ((["e"], ["c"]), (["e"], ["c"]), (None, None)),
    ((["e"], ["mine"]), (["e"], ["c"]), (None, ["mine"])),
    ((["mine"], ["c"]), (["e"], ["c"]), (["mine"], ["c"])),
    ((["mine"], None), (["e"], ["c"]), (["mine"], None)),
    ((["mine"], []), (["e"], ["c"]), (["mine"], [])),
    ((["e"], None), (["e"], ["c"]), (["e"], [])),
    ((None, ["mine"]), (["e"], ["c"]), ([""], ["mine"])),
    ((None, ["mine"]), (None, ["c"]), (None, ["mine"])),
    ((None, ["c"]), (None, ["c"]), (None, None)),
    ((["e"], ["mine"]), (["e"], None), (None, ["mine"])),
]


@pytest.mark.parametrize(("mine", "theirs", "sent"), COMMANDS)
def test_entrypoint_and_command_are_told_apart_from_the_image(mine: Any, theirs: Any, sent: Any) -> None:
    config = {"Entrypoint": mine[0], "Cmd": mine[1]}
    image = {"Entrypoint": theirs[0], "Cmd": theirs[1]}
    user = user_config(config, image)
    assert (user["Entrypoint"], user["Cmd"]) == sent
    filled = filled_config(user, image)
    assert (filled["Entrypoint"] or None, filled["Cmd"] or None) == (mine[0] or None, mine[1] or None)


def test_defaults_of_the_old_image_are_not_frozen_into_the_new_container() -> None:
    image = {
        "Env": ["PATH=/old", "A=1"], "Labels": {"v": "1"}, "ExposedPorts": {"80/tcp": {}},
        "WorkingDir": "/app",
        "User": "app", "StopSignal": "SIGQUIT", "Volumes": {"/data": {}},
        "Healthcheck": {"Test": ["CMD", "old"], "Interval": 10},
    }  # fmt: skip
    config = {
        "Env": ["PATH=/old", "A=2", "MINE=3"], "Labels": {"v": "1", "mine": "x"}, "User": "app",
        "ExposedPorts": {"80/tcp": {}, "81/tcp": {}}, "WorkingDir": "/app", "StopSignal": "SIGQUIT",
        "Volumes": {"/data": {}}, "Healthcheck": {"Test": ["CMD", "old"], "Interval": 99},
    }  # fmt: skip
    user = user_config(config, image)
    assert user["Env"] == ["A=2", "MINE=3"]
    assert user["Labels"] == {"mine": "x"}
    assert user["ExposedPorts"] == {"81/tcp": {}}
    assert user["Volumes"] == {}
    assert user["Healthcheck"] == {"Interval": 99}
    assert not {"User", "WorkingDir", "StopSignal"} & user.keys()


def test_a_disabled_healthcheck_stays_disabled() -> None:
    user = user_config({"Healthcheck": {"Test": ["NONE"]}}, {"Healthcheck": {"Test": ["CMD", "x"]}})
    assert filled_config(user, {"Healthcheck": {"Test": ["CMD", "y"]}})["Healthcheck"] == {"Test": ["NONE"]}


_names = st.sampled_from("ABCD")
_env = st.dictionaries(_names, st.sampled_from(["1", "2", ""])).map(
    lambda d: [f"{k}={v}" for k, v in d.items()]
)
_map = st.dictionaries(_names, st.sampled_from(["1", "2"]))
_argv = st.none() | st.lists(st.sampled_from(["x", "y"]), min_size=1, max_size=2)
_image = st.fixed_dictionaries(
    {"Env": _env, "Labels": _map, "Entrypoint": _argv, "Cmd": _argv, "User": st.sampled_from(["", "app"])}
)
_user = st.fixed_dictionaries(
    {"Env": _env, "Labels": _map, "Entrypoint": _argv, "Cmd": _argv, "User": st.sampled_from(["", "me"])}
)


@given(user=_user, image=_image)
def test_splitting_and_filling_in_again_gives_the_same_container(user: Any, image: Any) -> None:
    container = filled_config(user, image)
    again = filled_config(user_config(container, image), image)
    assert sorted(again["Env"]) == sorted(container["Env"])
    for key in ("Labels", "Entrypoint", "Cmd", "User"):
        assert (again[key] or None) == (container[key] or None), key


@pytest.mark.parametrize(
    ("mine", "old", "new", "gains"),
    [
        ("", "app", "", True), ("", "app", "root", True), ("", "1000:1000", "0:0", True),
        ("", "app", "other", False),
        ("", "", "", False), ("app", "app", "root", False), ("", "app", "000:7", True),
    ],
)  # fmt: skip
def test_only_an_image_that_brings_root_is_a_gain(mine: str, old: str, new: str, gains: bool) -> None:
    assert gains_root({"User": mine}, {"User": old}, {"User": new}) is gains


TEXTS = [
    ("nginx:1.25", "docker.io/library/nginx:1.26", "nginx:1.26"),
    ("docker.io/library/nginx:1.25", "docker.io/library/nginx:1.26", "docker.io/library/nginx:1.26"),
    ("nginx", "docker.io/library/nginx:latest", "nginx"),
    ("nginx:latest", "docker.io/library/nginx:latest", "nginx:latest"),
    ("127.0.0.1:5000/app:1", "127.0.0.1:5000/app:2", "127.0.0.1:5000/app:2"),
    (f"nginx:1.25@{DIGEST}", "docker.io/library/nginx:1.26", f"nginx:1.26@{DIGEST}"),
    ("old/app:1", "ghcr.io/new/app:2", "ghcr.io/new/app:2"),
]


@pytest.mark.parametrize(("present", "new", "text"), TEXTS)
def test_the_reference_stays_in_the_users_own_way_of_writing(present: str, new: str, text: str) -> None:
    change = Change(
        asset_id="docker://h/web", current=ImageReference.parse(present),
        new=ImageReference.parse(f"{new}@{DIGEST}"), change_type=VersionChangeType.MINOR,
    )  # fmt: skip
    assert image_text(present, change) == text


def _member(**host_config: Any) -> Member:
    mounts = [
        {"Type": "volume", "Name": "b" * 64, "Destination": "/nameless", "RW": True},
        {"Type": "volume", "Name": "named", "Destination": "/data", "RW": True},
    ]
    inspect = {
        "Id": "c" * 64, "Name": "/web", "Image": "sha256:old", "Mounts": mounts, "State": {"Running": True},
        "Config": {"Image": "app:1", "Hostname": "c" * 12, "Labels": {"com.docker.compose.image": "old"}},
        "HostConfig": {"Binds": ["named:/data"], "NetworkMode": "front", **host_config},
        "NetworkSettings": {"Networks": {"front": {"Aliases": ["www", "c" * 12], "NetworkID": "f" * 64}}},
    }  # fmt: skip
    return Member(inspect=inspect, image={"Id": "sha256:old", "Config": {}})


def _successor(member: Member) -> Any:
    return successor(member, image_text="app:2", image_id="sha256:new", operation_id="op")


def test_a_nameless_volume_is_attached_by_its_name() -> None:
    mounts = _successor(_member()).host_config["Mounts"]
    assert [(mount["Source"], mount["Target"]) for mount in mounts] == [("b" * 64, "/nameless")]


def test_the_new_images_files_are_not_copied_into_an_old_volume() -> None:
    (mount,) = _successor(_member()).host_config["Mounts"]
    assert mount["VolumeOptions"]["NoCopy"] is True


def test_a_nameless_volume_asked_for_among_the_binds_is_attached_once() -> None:
    wanted = _successor(_member(Binds=["named:/data", "/nameless"]))
    assert wanted.host_config["Binds"] == ["named:/data"]
    assert [mount["Source"] for mount in wanted.host_config["Mounts"]] == ["b" * 64]


def test_a_nameless_volume_asked_for_as_a_mount_keeps_its_options() -> None:
    asked = {"Type": "volume", "Target": "/nameless", "VolumeOptions": {"Labels": {"a": "b"}}}
    mounts = _successor(_member(Mounts=[asked])).host_config["Mounts"]
    assert mounts == [{**asked, "Source": "b" * 64}]


def test_what_the_daemon_made_up_is_left_to_it() -> None:
    wanted = _successor(_member())
    assert "Hostname" not in wanted.config
    assert wanted.networks["front"]["Aliases"] == ["www"]
    assert wanted.host_config["RestartPolicy"]["Name"] == "no"
    assert wanted.config["Labels"]["com.docker.compose.image"] == "sha256:new"


@pytest.mark.parametrize(
    ("mode", "kept"), [("front", "example.test"), ("host", "example.test"), (f"container:{'e' * 64}", None)]
)
def test_a_domain_stays_though_the_host_name_was_made_up(mode: str, kept: str | None) -> None:
    member = _member(NetworkMode=mode)
    member.inspect["Config"]["Domainname"] = "example.test"
    wanted = _successor(member)
    assert "Hostname" not in wanted.config
    assert wanted.config.get("Domainname") == kept


def test_a_network_that_was_named_by_its_id_is_still_the_first_one() -> None:
    assert _successor(_member(NetworkMode="f" * 64)).primary == "front"


CHOSEN, LOCAL, GENERATED = "00:16:3e:aa:bb:cc", "0a:11:22:33:44:55", "02:42:0a:00:00:02"
MACS = [
    ({"MacAddress": CHOSEN.upper()}, CHOSEN),
    ({"MacAddress": CHOSEN, "GwPriority": 0}, CHOSEN),
    ({"MacAddress": LOCAL}, LOCAL),
    ({"MacAddress": LOCAL, "GwPriority": 0}, None),
    ({"MacAddress": GENERATED}, None),
    ({"MacAddress": GENERATED, "GwPriority": 0}, None),
    ({"MacAddress": ""}, None),
    ({"MacAddress": "00:16"}, None),
    ({}, None),
]


@pytest.mark.parametrize(("shown", "sent"), MACS)
def test_a_mac_address_that_a_user_chose_is_told_from_a_generated_one(shown: Any, sent: str | None) -> None:
    member = _member()
    networks = member.inspect["NetworkSettings"]["Networks"]
    networks |= {"back": shown, "front": {**networks["front"], "MacAddress": CHOSEN}}
    wanted = _successor(member)
    assert wanted.networks["back"].get("MacAddress") == sent
    # The first network's comes by Config.MacAddress, which the daemon wants to be the only one or the same.
    assert "MacAddress" not in wanted.networks["front"]


def test_whatever_a_successor_lacks_is_named() -> None:
    member = _member()
    wanted = _successor(member)
    actual = {
        "Id": "d" * 64, "Config": {**wanted.config, "Env": ["STRAY=1"]},
        "HostConfig": {**wanted.host_config, "Privileged": True}, "Mounts": [],
        "NetworkSettings": {"Networks": {}},
    }  # fmt: skip
    assert losses(member, wanted, actual, {}) == [
        "Config.Env", "HostConfig.Privileged", "Mounts[/nameless]", "Mounts[/data]", "Networks[front]",
    ]  # fmt: skip


def test_nothing_is_lost_where_everything_is_there() -> None:
    member = _member()
    wanted = _successor(member)
    endpoint = {"Aliases": ["d" * 12, "www"], "IPAMConfig": {}, "NetworkID": "f" * 64}
    actual = {
        "Id": "d" * 64, "Config": {**wanted.config, "Hostname": "d" * 12}, "HostConfig": wanted.host_config,
        "Mounts": member.mounts, "NetworkSettings": {"Networks": {"front": endpoint}},
    }  # fmt: skip
    assert losses(member, wanted, actual, {}) == []


def test_a_published_port_stays_published_though_the_new_image_does_not_expose_it() -> None:
    member = _member(PortBindings={"80/tcp": [{"HostPort": "8080"}], "81/tcp": [{"HostPort": "8081"}]})
    exposing = attrs.evolve(member, image={"Id": "sha256:old", "Config": {"ExposedPorts": {"80/tcp": {}}}})
    exposing.inspect["Config"]["ExposedPorts"] = {"80/tcp": {}}
    # 81/tcp was bound without being exposed: the daemon did not publish it, and still does not.
    assert _successor(exposing).config["ExposedPorts"] == {"80/tcp": {}}


def test_a_container_stays_in_its_compose_project_though_its_image_says_the_same() -> None:
    labels = {"com.docker.compose.project": "shop", "v": "1"}
    assert user_config({"Labels": labels}, {"Labels": labels})["Labels"] == {
        "com.docker.compose.project": "shop"
    }


@pytest.mark.parametrize(("before", "after"), [(True, False), (False, True), (True, True)])
def test_how_the_builder_left_the_command_is_the_images_own(before: bool, after: bool) -> None:
    member = _member()
    member.inspect["Config"]["ArgsEscaped"] = before
    wanted = _successor(member)
    assert "ArgsEscaped" not in wanted.config
    endpoint = {"Aliases": ["www"], "IPAMConfig": {}, "NetworkID": "f" * 64}
    actual = {
        "Id": "d" * 64, "Config": {**wanted.config, "ArgsEscaped": after}, "HostConfig": wanted.host_config,
        "Mounts": member.mounts, "NetworkSettings": {"Networks": {"front": endpoint}},
    }  # fmt: skip
    assert losses(member, wanted, actual, {"ArgsEscaped": after}) == []
