"""Laws of a recreate over the fake daemon: nothing that a user set is lost, whether or not we know of it."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st

from safeupdater.backends.docker import DockerBackend
from safeupdater.backends.docker.split import meaningful
from safeupdater.domain.artifact import ImageReference
from safeupdater.domain.operation import Phase
from safeupdater.testing.driving import Drive, StepStopped, operation_for
from safeupdater.testing.fake_docker import FakeDocker
from safeupdater.testing.fake_docker_http import FakeTransport

APP = "registry.test/app"
Json = dict[str, Any]

_scalars = st.booleans() | st.integers(-1, 10**12) | st.text(max_size=8)
_values = st.recursive(
    _scalars | st.none(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(min_size=1, max_size=6), inner, max_size=3)
    ),
    max_leaves=6,
)
_known: Json = {
    "Isolation": st.sampled_from(["", "default", "process"]),
    "CgroupnsMode": st.sampled_from(["", "host", "private"]),
    "Runtime": st.sampled_from(["runc", "kata", "runsc"]),
    "DeviceRequests": st.just([{"Driver": "nvidia", "Count": -1, "Capabilities": [["gpu"]], "Options": {}}]),
    "DeviceCgroupRules": st.lists(st.sampled_from(["c 1:3 mr", "a *:* rwm"]), max_size=2),
    "Devices": st.just([{"PathOnHost": "/dev/null", "PathInContainer": "/dev/x", "CgroupPermissions": "r"}]),
    "Tmpfs": st.dictionaries(
        st.sampled_from(["/run", "/scratch"]), st.sampled_from(["", "size=64m,mode=1770"])
    ),
    "StorageOpt": st.just({"size": "10G"}),
    "Annotations": st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=2),
    "Sysctls": st.just({"net.core.somaxconn": "9"}),
    "KernelMemoryTCP": st.integers(0, 10**9),
}
# Names that no version of the API has: what a newer one may bring.
_unknown = st.dictionaries(st.from_regex(r"X[A-Za-z]{1,10}", fullmatch=True), _values, max_size=4)
host_configs = st.builds(
    lambda known, unknown: {**unknown, **known}, st.fixed_dictionaries({}, optional=_known), _unknown
)

MOUNTS: list[Json] = [
    {
        "Type": "bind", "Source": "/srv", "Target": "/srv", "ReadOnly": True,
        "BindOptions": {
            "Propagation": "rslave", "CreateMountpoint": True, "ReadOnlyNonRecursive": True,
            "NonRecursive": True, "ReadOnlyForceRecursive": False,
        },
    },
    {
        "Type": "volume", "Source": "data", "Target": "/data",
        "VolumeOptions": {
            "Subpath": "a/b", "NoCopy": True, "Labels": {"k": "v"},
            "DriverConfig": {"Name": "local", "Options": {"type": "nfs", "o": "addr=10.0.0.1"}},
        },
    },
    {"Type": "tmpfs", "Target": "/t", "TmpfsOptions": {"SizeBytes": 9, "Mode": 960, "Options": [["noexec"]]}},
    {"Type": "image", "Source": "tools:1", "Target": "/tools", "ImageOptions": {"Subpath": "bin"}},
]  # fmt: skip
mounts = st.lists(st.sampled_from(MOUNTS), unique_by=lambda mount: mount["Target"], max_size=4)


class Dropping(FakeTransport):
    """A daemon that drops one setting of what it creates, without a word."""

    dropped = ""

    def send(self, request: requests.PreparedRequest, *args: Any, **options: Any) -> requests.Response:
        answer = super().send(request, *args, **options)
        for container in self.daemon.containers.values():
            if container["Name"].endswith(".su-new"):
                container["HostConfig"].pop(self.dropped, None)
        return answer


def running(host_config: Json, **body: Any) -> tuple[FakeDocker, Drive, Dropping]:
    """A container with that configuration, and its update."""
    daemon = FakeDocker(api_version="1.51")
    daemon.release(f"{APP}:1.0.0", pulled=True)
    digest = daemon.release(f"{APP}:1.0.1")
    daemon.run("web", f"{APP}:1.0.0", HostConfig=host_config, **body)
    transport = Dropping(daemon)
    backend = DockerBackend(daemon.client(lambda _: transport), host="h", own_container=None)
    (asset,) = backend.scan().assets
    return (
        daemon,
        Drive(backend, operation_for(asset, ImageReference.parse(f"{APP}:1.0.1@{digest}"))),
        transport,
    )


@settings(max_examples=60, deadline=None)
@given(host_config=host_configs, mounts=mounts)
def test_whatever_a_host_config_holds_survives_verbatim(host_config: Json, mounts: list[Json]) -> None:
    given_config = {**host_config, "Mounts": mounts or None}
    daemon, drive, _ = running(copy.deepcopy(given_config))
    before = copy.deepcopy(daemon.find("web"))
    drive.update()
    after = daemon.find("web")
    assert after["Id"] != before["Id"]
    for key in {*given_config, *before["HostConfig"]}:
        assert meaningful(after["HostConfig"].get(key)) == meaningful(before["HostConfig"].get(key)), key
    assert {key: after["HostConfig"].get(key) for key in host_config} == host_config


@settings(max_examples=60, deadline=None)
@given(host_config=host_configs, data=st.data())
def test_whatever_the_daemon_drops_is_named_and_refused(host_config: Json, data: st.DataObject) -> None:
    meant = sorted(key for key, value in host_config.items() if meaningful(value) is not None)
    daemon, drive, transport = running(host_config)
    transport.dropped = data.draw(st.sampled_from(meant)) if meant else "Nothing"
    drive.capture()
    if not meant:
        drive.perform(Phase.STAGING)
        return
    with pytest.raises(StepStopped) as stopped:
        drive.perform(Phase.STAGING)
    assert stopped.value.outcome.code == "lossy"
    assert f"HostConfig.{transport.dropped}" in stopped.value.outcome.message
    assert daemon.running() == {"web"}


HEALTHCHECK = {
    "Test": ["CMD", "true"], "Interval": 10**9, "Timeout": 2 * 10**9, "StartPeriod": 3 * 10**9,
    "StartInterval": 5 * 10**8, "Retries": 4,
}  # fmt: skip


@pytest.mark.parametrize("key", HEALTHCHECK)
def test_each_field_of_a_health_check_is_kept_though_the_image_says_otherwise(key: str) -> None:
    daemon, drive, _ = running({}, Healthcheck={key: HEALTHCHECK[key]})
    for image in (*daemon.images.values(), *daemon.registry.values()):
        image["Config"]["Healthcheck"] = {"Test": ["CMD", "image"], "Interval": 7}
    drive.update()
    assert daemon.find("web")["Config"]["Healthcheck"][key] == HEALTHCHECK[key]


def test_what_tells_of_the_creation_only_is_left_behind() -> None:
    daemon, drive, _ = running({"ConsoleSize": [50, 80], "ContainerIDFile": "/tmp/cid"})
    drive.update()
    assert not {"ConsoleSize", "ContainerIDFile"} & set(daemon.find("web")["HostConfig"])
