"""Containers that between them use every field that a daemon of API 1.41 has, as bodies of the create call.

Options that exclude each other are in different ones. What cannot be given here at all is in ``UNGIVEN``,
with the reason.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import attrs

from tests.support.docker_host import Host

Body = dict[str, Any]

# What an image gives, before and after; each container overrides other parts of it.
OLD_IMAGE = (
    "ENV FROM_IMAGE=old KEPT=image", "LABEL from.image=old kept.label=image", "VOLUME /image-data",
    'HEALTHCHECK --interval=30s --timeout=3s CMD ["/bin/busybox", "true"]', "WORKDIR /www", "USER 0:0",
    'ENTRYPOINT ["/bin/busybox", "env", "OF=old"]',
)  # fmt: skip
NEW_IMAGE = (
    "ENV FROM_IMAGE=new ADDED=new KEPT=image", "LABEL from.image=new kept.label=image", "WORKDIR /tmp",
    'ENTRYPOINT ["/bin/busybox", "env", "OF=new"]',
)  # fmt: skip

UNGIVEN = {
    "Config.ArgsEscaped": "Windows",
    "Config.OnBuild": "a build's, which no container has",
    "HostConfig.AutoRemove": "refused: such a container vanishes when it stops",
    "HostConfig.BlkioWeight": "needs a kernel with it; the daemon discards it elsewhere",
    "HostConfig.BlkioWeightDevice": "needs a kernel with it; the daemon discards it elsewhere",
    "HostConfig.ConsoleSize": "of the terminal that created it: not carried over",
    "HostConfig.ContainerIDFile": "a file that the creating client wrote: not carried over",
    "HostConfig.CpuCount": "Windows",
    "HostConfig.CpuPercent": "Windows",
    "HostConfig.IOMaximumBandwidth": "Windows",
    "HostConfig.IOMaximumIOps": "Windows",
    "HostConfig.StorageOpt": "needs overlay on xfs with quotas",
}


@attrs.frozen(kw_only=True)
class Shape:
    """One container: its body, the paths of its inspection that an update changes, and where it has data.

    ``runs`` is False where no machine can be expected to run it.
    """

    body: Callable[[Host], Body]
    changes: set[str]
    runs: bool = True
    places: tuple[str, ...] = ()


def _first_network(host: Host) -> str:
    return f"front{host.number}"


def _second_network(host: Host) -> str:
    return f"back{host.number}"


def provider(host: Host) -> str:
    """The container that gives volumes and is linked to."""
    return host.name("provider")


@contextmanager
def surroundings(host: Host) -> Iterator[None]:
    """What the containers stand on: two networks with addresses to ask for, a volume, another container."""
    client = host.client
    for index, name in enumerate((_first_network(host), _second_network(host))):
        v4 = {"Subnet": f"10.99.{host.number * 2 + index}.0/24"}
        v6 = {"Subnet": f"fd00:99:{host.number * 2 + index:x}::/64"}
        client.create_network(name, enable_ipv6=True, ipam={"Driver": "default", "Config": [v4, v6]})
    client.create_volume(f"named{host.number}")
    reference = f"{host.repository}:1.0.0"
    client.pull(reference)
    made = client.create_container(reference, name=provider(host), volumes=["/provided"])
    client.start(made["Id"])
    try:
        yield
    finally:
        for container in host.names():
            client.remove_container(container, force=True, v=True)
        for name in (_first_network(host), _second_network(host)):
            client.remove_network(name)
        client.remove_volume(f"named{host.number}")


# --- the containers ----------------------------------------------------------------------------------------


def _own_namespaces(host: Host) -> Body:
    """Its own namespaces, networks with addresses, every kind of mount, and limits by whole CPUs."""
    n = host.number
    front, back = _first_network(host), _second_network(host)
    endpoints = {
        front: {
            "Aliases": ["www", "api"],
            "IPAMConfig": {
                "IPv4Address": f"10.99.{n * 2}.77", "IPv6Address": f"fd00:99:{n * 2:x}::77",
                "LinkLocalIPs": ["169.254.8.8", "fe80::9"],
            },
            "DriverOpts": {"com.example.option": "front"},
            "Links": [f"{provider(host)}:upstream"],
        },
        back: {
            "Aliases": ["deep"],
            "IPAMConfig": {"IPv4Address": f"10.99.{n * 2 + 1}.88"},
            "DriverOpts": {"com.example.option": "back"},
        },
    }  # fmt: skip
    return {
        "Hostname": "chosen", "Domainname": "example.test", "User": "0:1234",
        "Env": ["KEPT=mine", "ONLY=mine"],
        "Labels": {"kept.label": "mine", "only.label": "mine", "com.docker.compose.image": "sha256:old"},
        "Volumes": {"/nameless": {}}, "ExposedPorts": {"8080/tcp": {}, "9000/udp": {}, "7000/tcp": {}},
        "StopSignal": "SIGINT", "StopTimeout": 7, "MacAddress": "02:42:0a:63:00:99", "OpenStdin": True,
        "StdinOnce": True, "Tty": True, "AttachStdin": True, "AttachStdout": True, "AttachStderr": True,
        "Healthcheck": {"Interval": 5 * 10**9, "StartPeriod": 10**9, "Retries": 4},
        "HostConfig": _own_host_config(n, front),
        "NetworkingConfig": {"EndpointsConfig": endpoints},
    }  # fmt: skip


def _own_host_config(number: int, network: str) -> Body:
    volume = f"named{number}"
    bind = {"Propagation": "rprivate", "NonRecursive": True}
    mounts = [
        {"Type": "volume", "Source": volume, "Target": "/by-mount", "VolumeOptions": {"NoCopy": True}},
        {"Type": "volume", "Target": "/nameless-mount", "VolumeOptions": {"Labels": {"of": "mine"}}},
        {"Type": "volume", "Source": volume, "Target": "/read-only-mount", "ReadOnly": True},
        {"Type": "bind", "Source": "/etc", "Target": "/bound", "ReadOnly": True, "BindOptions": bind},
        {"Type": "tmpfs", "Target": "/scratch", "TmpfsOptions": {"SizeBytes": 1 << 20, "Mode": 0o700}},
    ]
    return {
        "Binds": [f"{volume}:/data:rw", "/etc:/host-etc:ro,rprivate", f"{volume}:/uncopied:nocopy"],
        "Mounts": mounts, "Tmpfs": {"/fast": "rw,noexec,size=1m"},
        "PortBindings": {
            "8080/tcp": [{"HostIp": "127.0.0.1", "HostPort": ""}],
            "9000/udp": [{"HostIp": "127.0.0.1", "HostPort": str(39000 + number)}],
        },
        "RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 7},
        "CapAdd": ["NET_ADMIN"], "CapDrop": ["MKNOD", "AUDIT_WRITE"], "GroupAdd": ["1234"],
        "SecurityOpt": ["no-new-privileges:true", "seccomp=unconfined"],
        "Sysctls": {"net.core.somaxconn": "512", "net.ipv4.ip_unprivileged_port_start": "0"},
        "Ulimits": [{"Name": "nofile", "Soft": 1024, "Hard": 2048}], "OomScoreAdj": 100, "PidsLimit": 64,
        "Devices": [{
            "PathOnHost": "/dev/null", "PathInContainer": "/dev/zilch", "CgroupPermissions": "rwm",
        }],
        "DeviceCgroupRules": ["c 42:* rmw"], "LogConfig": _log("json-file"),
        "Dns": ["10.0.0.53"], "DnsSearch": ["example.test"], "DnsOptions": ["ndots:2"],
        "ExtraHosts": ["somewhere:10.0.0.1"], "Init": True, "ShmSize": 1 << 25, "IpcMode": "shareable",
        "Memory": 1 << 28, "MemoryReservation": 1 << 27, "MemorySwap": 1 << 29, "MemorySwappiness": 10,
        "KernelMemory": 1 << 27, "NanoCpus": 500_000_000, "CpusetCpus": "0", "CpusetMems": "0",
        "BlkioWeight": 300, "NetworkMode": network, "CgroupnsMode": "private",
    }  # fmt: skip


def _log(kind: str) -> Body:
    return {"Type": kind, "Config": {"max-size": "1m", "max-file": "2"}}


def _shared_namespaces(host: Host) -> Body:
    """The host's namespaces, another's volumes, a command under the image's entrypoint, limits by quota."""
    serve = ["KEPT_COMMAND=1", "/bin/sh", "-c", "trap 'exit 0' TERM; busybox httpd -f -p 8080 -h /www & wait"]
    return {
        "Cmd": serve, "Healthcheck": {"Test": ["NONE"]}, "StopTimeout": 0, "WorkingDir": "/etc",
        "HostConfig": {
            "IpcMode": "host", "PidMode": "host", "UTSMode": "host", "UsernsMode": "host",
            "ReadonlyRootfs": True, "OomKillDisable": True, "Memory": 1 << 27, "KernelMemoryTCP": 1 << 26,
            "CpuPeriod": 100_000, "CpuQuota": 50_000, "CpuShares": 512, "CgroupParent": "/safeupdater-test",
            "VolumesFrom": [f"{provider(host)}:rw"], "VolumeDriver": "local", "PublishAllPorts": True,
            "Links": [f"{provider(host)}:upstream"], "RestartPolicy": {"Name": "unless-stopped"},
            "LogConfig": _log("local"), "Tmpfs": {"/tmp": ""}, "Binds": ["/etc:/labelled:ro,z"],
            "MaskedPaths": ["/proc/kcore"], "ReadonlyPaths": ["/proc/bus"], "GroupAdd": ["7", "8"],
        },
    }  # fmt: skip


def _rate(rate: int) -> list[Body]:
    return [{"Path": "/dev/zero", "Rate": rate}]


def _own_entrypoint(host: Host) -> Body:
    """An entrypoint alone, which drops the image's command, on the host's network."""
    serve = ["/bin/sh", "-c", "trap 'exit 0' TERM; while true; do /bin/busybox sleep 1; done"]
    return {
        "Entrypoint": serve, "Shell": ["/bin/busybox", "sh", "-c"], "Domainname": "example.test",
        "HostConfig": {"NetworkMode": "host", "RestartPolicy": {"Name": "always"}},
    }  # fmt: skip


def _never_started(host: Host) -> Body:
    """What this machine cannot run but a daemon takes: it stays as it is, created."""
    gpu = {"Driver": "", "Count": -1, "Capabilities": [["gpu"]], "Options": {"visible": "all"}}
    return {
        "NetworkDisabled": True,
        "HostConfig": {
            "Privileged": True, "DeviceRequests": [gpu], "Binds": ["/etc:/shared:ro,rslave"],
            "CpuRealtimePeriod": 1_000_000, "CpuRealtimeRuntime": 1_000, "NetworkMode": "none",
            "Isolation": "default", "Runtime": "io.containerd.runc.v2", "Cgroup": "special",
            "RestartPolicy": {"Name": "always"},
            "BlkioDeviceReadBps": _rate(1 << 26), "BlkioDeviceWriteBps": _rate(1 << 25),
            "BlkioDeviceReadIOps": _rate(2000), "BlkioDeviceWriteIOps": _rate(1000),
        },
    }  # fmt: skip


_EVERY = {
    ".Image", ".Config.Image", ".Config.Env", ".Config.Labels.from.image",
    ".Config.Labels.safeupdater.operation", ".Config.Volumes./image-data",
}  # fmt: skip
"""What every update changes here: the image, and the defaults that nobody overrides."""
_COMMAND = {".Args", ".Config.Entrypoint"}
_CHECK = {".Config.Healthcheck.Test", ".Config.Healthcheck.Timeout"}
_VOLUMES = {".HostConfig.Mounts"}  # a nameless volume is asked for by its name

SHAPES = {
    "own namespaces": Shape(
        body=_own_namespaces,
        changes=_EVERY | _COMMAND | _CHECK | _VOLUMES | {
            ".Config.WorkingDir", ".Config.Labels.com.docker.compose.image",
        },
        places=("/data", "/by-mount", "/nameless", "/nameless-mount", "/image-data"),
    ),
    "shared namespaces": Shape(
        body=_shared_namespaces,
        changes=_EVERY | _COMMAND | {".Config.User", ".Config.Hostname"},
        places=("/provided", "/image-data"),
    ),
    "own entrypoint": Shape(
        body=_own_entrypoint,
        changes=_EVERY | _CHECK | _VOLUMES | {
            ".Config.User", ".Config.WorkingDir", ".Config.Healthcheck.Interval",
        },
        places=("/image-data",),
    ),
    "never started": Shape(
        body=_never_started,
        changes=_EVERY | _COMMAND | _CHECK | _VOLUMES | {
            ".Config.User", ".Config.WorkingDir", ".Config.Hostname", ".Config.Healthcheck.Interval",
        },
        runs=False,
    ),
}  # fmt: skip


def create(host: Host, shape: Shape) -> Body:
    """The container, running where it can, with data in its volumes; its inspection."""
    body = {"Image": f"{host.repository}:1.0.0", **shape.body(host)}
    networks = body.pop("NetworkingConfig", {}).get("EndpointsConfig", {})
    primary = body["HostConfig"].get("NetworkMode")
    body["NetworkingConfig"] = {"EndpointsConfig": {n: s for n, s in networks.items() if n == primary}}
    made = host.client.create_container_from_config(body, host.name("all"))
    for name, settings in networks.items():
        if name != primary:
            url = host.client._url("/networks/{0}/connect", name)
            wanted = {"Container": made["Id"], "EndpointConfig": settings}
            host.client._raise_for_status(host.client._post_json(url, data=wanted))
    if shape.runs:
        host.client.start(made["Id"])
        for place in shape.places:
            host.shell(made["Id"], f"echo precious {place} > {place}/file")
    return dict(host.client.inspect_container(made["Id"]))


def checksums(host: Host, container: str, shape: Shape) -> str:
    """What is in its volumes."""
    files = " ".join(f"{place}/*" for place in shape.places)
    return host.shell(container, f"busybox sha256sum {files}") if files and shape.runs else ""
