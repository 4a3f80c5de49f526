"""A Docker daemon in memory, true to what updates depend on.

True to: names (unique, 409), ids, states, restart policies (also over a restart of the daemon), images, tags
and digests, image defaults merged into containers, volumes (named, nameless, borrowed) with their content,
networks with aliases and fixed addresses, port conflicts, shared network namespaces. ``client()`` gives a
real docker-py client whose transport ends here, so that everything above the wire is the real thing.

Its rules are written from the daemon's behaviour, not from the code that they test.
"""

from __future__ import annotations

import copy
import hashlib
import itertools
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

import attrs

if TYPE_CHECKING:
    import docker

Json: TypeAlias = dict[str, Any]

CRASHES = "fake.crashes"
"""An image with this label makes containers that end at once with exit code 1."""


_NUMBERS = itertools.count(1)


class Refused(Exception):
    """The daemon's answer to a request that it does not grant."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


@attrs.define
class FakeVolume:
    """A volume: what is in it, and whether the daemon made up its name."""

    name: str
    is_nameless: bool
    content: str = ""


@attrs.define
class FakeDocker:
    """One daemon. Everything in it may be read and changed by tests."""

    images: dict[str, Json] = attrs.field(factory=dict)
    registry: dict[str, Json] = attrs.field(factory=dict)
    """What a pull finds, by ``repository@digest``."""
    containers: dict[str, Json] = attrs.field(factory=dict)
    volumes: dict[str, FakeVolume] = attrs.field(factory=dict)
    networks: dict[str, str] = attrs.field(
        factory=lambda: {"bridge": "0" * 64, "host": "1" * 64, "none": "2" * 64}
    )
    api_version: str = "1.41"
    architecture: str = "amd64"
    """The machine's, as ``/version`` says it; ``machine`` is what ``/info`` says, in uname's words."""
    machine: str = "x86_64"
    host_name: str = "fake-host"
    daemon_id: str = attrs.field(factory=lambda: f"FAKE:{next(_NUMBERS)}")
    """What tells it from other daemons, whatever alias it is given."""
    root: str = "/fake/docker"
    driver_status: list[list[str]] = attrs.field(factory=lambda: [["Backing Filesystem", "extfs"]])
    components: tuple[str, ...] = ("Engine",)
    stopped_by: list[tuple[str, str, int]] = attrs.field(factory=list)
    """Every stop: the container's name, the signal and the grace. Signals do not end what is ``deaf``."""
    deaf: set[str] = attrs.field(factory=set)
    executed: list[tuple[str, ...]] = attrs.field(factory=list)
    exit_codes: dict[str, int] = attrs.field(factory=dict)
    _made: int = 0

    def client(self, transport: Callable[[FakeDocker], Any] | None = None) -> docker.APIClient:
        """A real low-level client whose requests end here."""
        import docker

        from safeupdater.testing.fake_docker_http import FakeTransport

        client = docker.APIClient(base_url="unix:///fake/docker.sock", version="1.41")
        client.trust_env = False
        client.mount("http+docker://", (transport or FakeTransport)(self))
        return client

    # --- setting up --------------------------------------------------------------------------------------

    def release(self, reference: str, *, pulled: bool = False, **config: Any) -> str:
        """Puts an image into the registry (and onto the host with ``pulled``) and gives its digest."""
        image = self._image(reference, config)
        digest = f"sha256:{hashlib.sha256(f'manifest {reference} {config}'.encode()).hexdigest()}"
        repository = reference.rpartition(":")[0]
        self.registry[f"{repository}@{digest}"] = {**image, "RepoDigests": [f"{repository}@{digest}"]}
        if pulled:
            self.pull(repository, digest)
            self.tag(image["Id"], reference)
        return digest

    def build(self, reference: str, **config: Any) -> str:
        """An image that was made on this host, known to no registry; gives its id."""
        image = self._image(reference, config)
        self.images[image["Id"]] = {**image, "RepoTags": [reference]}
        return str(image["Id"])

    def _image(self, reference: str, config: Json) -> Json:
        identity = f"sha256:{hashlib.sha256(f'image {reference} {config}'.encode()).hexdigest()}"
        return {
            "Id": identity, "RepoTags": [], "RepoDigests": [], "Os": "linux", "Architecture": "amd64",
            "Config": {"Cmd": ["serve"], **config},
        }  # fmt: skip

    def run(self, name: str, image: str, *, start: bool = True, **body: Any) -> str:
        """Creates and starts a container, as ``docker run -d`` does; gives its id."""
        identity = self.create(name, {"Image": image, **body})
        if start:
            self.start(identity)
        return identity

    def running(self) -> set[str]:
        """The names of what runs."""
        return {c["Name"].lstrip("/") for c in self.containers.values() if c["State"]["Running"]}

    def restart(self) -> None:
        """Restarts the daemon: everything stops, then restart policies apply."""
        for container in self.containers.values():
            if container["State"]["Running"]:
                self._end(container, 137)
        for container in self.containers.values():
            if _comes_back(container):
                self._begin(container)

    # --- images ------------------------------------------------------------------------------------------

    def find_image(self, reference: str) -> Json | None:
        """An image by id, ``repository:tag``, ``repository@digest`` or both."""
        name, at, digest = reference.partition("@")
        if at:
            repository = name if ":" not in name.rpartition("/")[2] else name.rpartition(":")[0]
            return next(
                (i for i in self.images.values() if f"{repository}@{digest}" in i["RepoDigests"]), None
            )
        tagged = name if ":" in name.rpartition("/")[2] else f"{name}:latest"
        for image in self.images.values():
            if reference in (image["Id"], image["Id"].removeprefix("sha256:")) or tagged in image["RepoTags"]:
                return image
        return None

    def pull(self, repository: str, digest: str) -> None:
        """Takes an image from the registry."""
        found = self.registry.get(f"{repository}@{digest}")
        if found is None:
            raise Refused(404, f"manifest for {repository}@{digest} not found: manifest unknown")
        image = self.images.setdefault(
            found["Id"], copy.deepcopy({**found, "RepoTags": [], "RepoDigests": []})
        )
        image["RepoDigests"] = sorted({*image["RepoDigests"], f"{repository}@{digest}"})

    def tag(self, reference: str, name: str) -> None:
        """Moves a tag to an image."""
        target = self._existing_image(reference)
        for image in self.images.values():
            image["RepoTags"] = [tag for tag in image["RepoTags"] if tag != name]
        target["RepoTags"].append(name)

    def remove_image(self, reference: str) -> None:
        """Takes a name from an image; the last one takes the image, unless a container needs it."""
        image = self._existing_image(reference)
        is_used = any(container["Image"] == image["Id"] for container in self.containers.values())
        if reference in image["RepoTags"]:
            repository = reference.rpartition(":")[0]
            others = [tag for tag in image["RepoTags"] if tag != reference]
            same = [tag for tag in others if tag.rpartition(":")[0] == repository]
            digests = [d for d in image["RepoDigests"] if same or d.partition("@")[0] != repository]
            if not others and not digests and is_used:
                raise Refused(
                    409, f"conflict: unable to remove repository reference {reference} (must force)"
                )
            image["RepoTags"], image["RepoDigests"] = others, digests
            if others or digests:
                return
        elif is_used or len(image["RepoTags"]) > 1:
            raise Refused(409, f"conflict: unable to delete {image['Id'][:12]} (must be forced)")
        del self.images[image["Id"]]

    def _existing_image(self, reference: str) -> Json:
        image = self.find_image(reference)
        if image is None:
            raise Refused(404, f"No such image: {reference}")
        return image

    # --- containers --------------------------------------------------------------------------------------

    def find(self, reference: str) -> Json:
        """A container by id or name."""
        for container in self.containers.values():
            is_id = len(reference) >= 12 and container["Id"].startswith(reference)
            if is_id or container["Name"] == f"/{reference.lstrip('/')}":
                return container
        raise Refused(404, f"No such container: {reference}")

    def create(self, name: str, body: Json) -> str:
        """Creates a container, stopped, with its image's defaults merged in."""
        self._claim(name)
        image = self._existing_image(str(body["Image"]))
        host_config = copy.deepcopy(body.get("HostConfig") or {})
        attached = (body.get("NetworkingConfig") or {}).get("EndpointsConfig") or {}
        if len(attached) > 1:
            raise Refused(400, "Container cannot be connected to network endpoints: " + ", ".join(attached))
        identity = self._new_id("container")
        config = merged_config({k: v for k, v in body.items() if k not in _NOT_CONFIG}, image["Config"])
        config.setdefault("Hostname", identity[:12])
        host_config.setdefault("NetworkMode", "default")
        host_config["RestartPolicy"] = host_config.get("RestartPolicy") or {
            "Name": "no",
            "MaximumRetryCount": 0,
        }
        self._resolve_shared(host_config)
        container: Json = {
            "Id": identity, "Name": f"/{name}", "Image": image["Id"], "Platform": "linux", "RestartCount": 0,
            "Created": f"2026-01-01T00:00:{len(self.containers):02}Z", "Config": config,
            "HostConfig": host_config, "State": _state("created"),
            "NetworkSettings": {"Networks": {}, "Ports": {}},
            "Mounts": self._mount(config, host_config), "stopped_by_hand": False,
        }  # fmt: skip
        self.containers[identity] = container
        mode = host_config["NetworkMode"]
        if not mode.startswith("container:") and mode not in ("host", "none"):
            network = "bridge" if mode in ("default", "") else mode
            self.connect(network, identity, attached.get(network) or {})
        return identity

    def _new_id(self, kind: str) -> str:
        self._made += 1
        return hashlib.sha256(f"{kind} {self._made}".encode()).hexdigest()

    def _claim(self, name: str) -> None:
        holder = next((c for c in self.containers.values() if c["Name"] == f"/{name}"), None)
        if holder is not None:
            raise Refused(409, f'Conflict. The container name "/{name}" is already in use by {holder["Id"]}')

    def _resolve_shared(self, host_config: Json) -> None:
        for key in ("NetworkMode", "IpcMode", "PidMode"):
            kind, _, reference = str(host_config.get(key) or "").partition(":")
            if kind == "container":
                host_config[key] = f"container:{self.find(reference)['Id']}"

    def _mount(self, config: Json, host_config: Json) -> list[Json]:
        mounts: dict[str, Json] = {}
        for source in host_config.get("VolumesFrom") or ():
            for mount in self.find(str(source).partition(":")[0])["Mounts"]:
                mounts[mount["Destination"]] = {**mount, "borrowed": True}
        for bind in host_config.get("Binds") or ():
            source, _, rest = str(bind).partition(":")
            place, _, mode = (rest or source).partition(":")
            kind = "bind" if rest and source.startswith("/") else "volume"
            mounts[place] = self._mounted(kind, source if rest else None, place, "ro" not in mode.split(","))
        for mount in host_config.get("Mounts") or ():
            place = mount["Target"]
            if any(str(bind).split(":")[1:2] == [place] for bind in host_config.get("Binds") or ()):
                raise Refused(400, f"Duplicate mount point: {place}")
            mounts[place] = self._mounted(
                mount["Type"], mount.get("Source"), place, not mount.get("ReadOnly")
            )
        for place in config.get("Volumes") or ():
            if place not in mounts and place not in (host_config.get("Tmpfs") or {}):
                mounts[place] = self._mounted("volume", None, place, True)
        return list(mounts.values())

    def _mounted(self, kind: str, source: str | None, place: str, is_writable: bool) -> Json:
        mount = {
            "Type": kind,
            "Source": source or "",
            "Destination": place,
            "RW": is_writable,
            "Propagation": "",
        }
        if kind == "volume":
            name = source or self._new_id("volume")
            self.volumes.setdefault(name, FakeVolume(name, is_nameless=source is None))
            mount |= {"Name": name, "Source": f"/volumes/{name}/_data", "asked_for": source is not None}
        return mount

    def start(self, reference: str) -> bool:
        """Starts a container; False where it ran already."""
        container = self.find(reference)
        if container["State"]["Running"]:
            return False
        self._check_conflicts(container)
        container["RestartCount"] = 0
        container["stopped_by_hand"] = False
        self._begin(container)
        return True

    def _check_conflicts(self, container: Json) -> None:
        running = [other for other in self.containers.values() if other["State"]["Running"]]
        kind, _, reference = container["HostConfig"]["NetworkMode"].partition(":")
        if kind == "container" and not self.find(reference)["State"]["Running"]:
            raise Refused(409, "cannot join network of a non running container: " + reference)
        for other in running:
            if _host_ports(container) & _host_ports(other):
                raise Refused(
                    500, "driver failed programming external connectivity: port is already allocated"
                )
            if _fixed_addresses(container) & _fixed_addresses(other):
                raise Refused(403, "Address already in use")

    def _begin(self, container: Json) -> None:
        if CRASHES in (container["Config"].get("Labels") or {}):
            self._end(container, 1)
            if container["HostConfig"]["RestartPolicy"]["Name"] in ("always", "unless-stopped", "on-failure"):
                container["RestartCount"] += 1
                container["State"] = {
                    **_state("restarting"),
                    "Restarting": True,
                    "Running": True,
                    "ExitCode": 1,
                }
            return
        container["State"] = {**_state("running"), "Running": True}
        if (container["Config"].get("Healthcheck") or {}).get("Test") not in (None, ["NONE"]):
            container["State"]["Health"] = {"Status": "starting", "FailingStreak": 0}

    def _end(self, container: Json, exit_code: int) -> None:
        container["State"] = {**_state("exited"), "ExitCode": exit_code}

    def kill(self, reference: str, signal: str) -> None:
        """Sends a signal, which ends a container that is not deaf."""
        _check_signal(signal)
        container = self.find(reference)
        if not container["State"]["Running"]:
            raise Refused(409, f"Cannot kill container: {reference}: Container is not running")
        self.stopped_by.append((container["Name"].lstrip("/"), signal, -1))
        if container["Name"].lstrip("/") not in self.deaf:
            container["stopped_by_hand"] = True
            self._end(container, 143)

    def stop(self, reference: str, grace_s: int = 10, signal: str = "") -> bool:
        """Stops a container; False where it did not run."""
        container = self.find(reference)
        if not container["State"]["Running"]:
            return False
        if signal:
            _check_signal(signal)
        signal = signal or container["Config"].get("StopSignal") or "SIGTERM"
        self.stopped_by.append((container["Name"].lstrip("/"), signal, grace_s))
        container["stopped_by_hand"] = True
        self._end(container, 143)
        return True

    def rename(self, reference: str, name: str) -> None:
        """Gives a container another name."""
        container = self.find(reference)
        self._claim(name)
        container["Name"] = f"/{name}"

    def update(self, reference: str, policy: Json) -> None:
        """Sets the restart policy; a container that crashes over and over ends with ``no``."""
        container = self.find(reference)
        container["HostConfig"]["RestartPolicy"] = {"MaximumRetryCount": 0, **policy}
        if container["State"]["Restarting"] and policy["Name"] == "no":
            self._end(container, 1)

    def remove(self, reference: str, *, with_volumes: bool, force: bool = False) -> None:
        """Removes a container, and with its volumes those that nobody named and nobody else mounts."""
        container = self.find(reference)
        if container["State"]["Running"] and not force:
            raise Refused(409, "You cannot remove a running container. Stop the container before")
        del self.containers[container["Id"]]
        for mount in container["Mounts"] if with_volumes else ():
            name = mount.get("Name")
            is_used = any(name == m.get("Name") for c in self.containers.values() for m in c["Mounts"])
            if name in self.volumes and not mount["asked_for"] and not is_used:
                del self.volumes[name]

    # --- networks ----------------------------------------------------------------------------------------

    def connect(self, network: str, reference: str, settings: Json) -> None:
        """Attaches a container to a network."""
        if network not in self.networks:
            raise Refused(404, f"network {network} not found")
        container = self.find(reference)
        attached = container["NetworkSettings"]["Networks"]
        if network in attached:
            raise Refused(403, f"endpoint with name {container['Name']} already exists in network {network}")
        aliases = settings.get("Aliases") or []
        if network == "bridge" and (aliases or settings.get("IPAMConfig")):
            raise Refused(
                400, "network-scoped alias is supported only for containers in user defined networks"
            )
        address = (settings.get("IPAMConfig") or {}).get(
            "IPv4Address"
        ) or f"10.0.0.{len(self.containers) + 1}"
        attached[network] = {
            "IPAMConfig": settings.get("IPAMConfig"), "Links": settings.get("Links"),
            "Aliases": None if network == "bridge" else [*aliases, container["Id"][:12]],
            "DriverOpts": settings.get("DriverOpts"), "NetworkID": self.networks[network],
            "IPAddress": address,
        }  # fmt: skip
        # What these versions do not know yet they drop without a word.
        if self.speaks("1.44"):
            attached[network]["MacAddress"] = settings.get("MacAddress") or ""
        if self.speaks("1.48"):
            attached[network]["GwPriority"] = settings.get("GwPriority") or 0

    def speaks(self, version: str) -> bool:
        """Whether its API is at least of that version."""
        mine, wanted = (tuple(map(int, text.split("."))) for text in (self.api_version, version))
        return mine >= wanted

    def disconnect(self, network: str, reference: str) -> None:
        """Takes a container off a network."""
        if self.find(reference)["NetworkSettings"]["Networks"].pop(network, None) is None:
            raise Refused(403, f"container {reference} is not connected to network {network}")


_NOT_CONFIG = {"HostConfig", "NetworkingConfig"}
_SIGNALS = frozenset({
    "ABRT", "ALRM", "BUS", "CHLD", "CLD", "CONT", "FPE", "HUP", "ILL", "INT", "IO", "IOT", "KILL", "PIPE",
    "POLL", "PROF", "PWR", "QUIT", "SEGV", "STKFLT", "STOP", "SYS", "TERM", "TRAP", "TSTP", "TTIN", "TTOU",
    "URG", "USR1", "USR2", "VTALRM", "WINCH", "XCPU", "XFSZ",
    "RTMIN", *(f"RTMIN+{number}" for number in range(1, 16)),
    "RTMAX", *(f"RTMAX-{number}" for number in range(1, 15)),
})  # fmt: skip


def _state(status: str) -> Json:
    return {
        "Status": status, "Running": False, "Paused": False, "Restarting": False, "OOMKilled": False,
        "Dead": False, "ExitCode": 0,
    }  # fmt: skip


def merged_config(body: Json, image: Mapping[str, Any]) -> Json:
    """A container's configuration over its image's (moby daemon/commit.go, merge)."""
    config = copy.deepcopy(body)
    own = {entry.partition("=")[0] for entry in config.get("Env") or ()}
    theirs = [entry for entry in image.get("Env") or () if entry.partition("=")[0] not in own]
    config["Env"] = [*(config.get("Env") or ()), *theirs]
    for key in ("Labels", "ExposedPorts", "Volumes"):
        config[key] = {**(image.get(key) or {}), **(config.get(key) or {})}
    for key in ("User", "WorkingDir", "StopSignal"):
        config[key] = config.get(key) or image.get(key) or ""
    if not config.get("Entrypoint"):
        config["Cmd"] = config.get("Cmd") or image.get("Cmd")
        if config.get("Entrypoint") is None:
            config["Entrypoint"] = image.get("Entrypoint")
    if config.get("Entrypoint") == [""]:
        config["Entrypoint"] = None
    check, default = config.get("Healthcheck"), image.get("Healthcheck")
    if default and (not check or check.get("Test") != ["NONE"]):
        config["Healthcheck"] = {**default, **{key: value for key, value in (check or {}).items() if value}}
    return config


def _check_signal(text: str) -> None:
    """Refuses what is no signal, by a name with or without SIG in any case (moby/sys signal, ParseSignal)."""
    if re.fullmatch(r"-?[0-9]+", text):
        if int(text) == 0:
            raise Refused(400, f"invalid signal: {text}")
        if int(text) not in {*range(1, 32), *range(34, 65)}:
            raise Refused(500, f"The linux daemon does not support signal {text}")
    elif text.upper().removeprefix("SIG") not in _SIGNALS:
        raise Refused(400, f"invalid signal: {text}")


def _comes_back(container: Json) -> bool:
    policy = container["HostConfig"]["RestartPolicy"]["Name"]
    match policy:
        case "always":
            return True
        case "unless-stopped":
            return not container["stopped_by_hand"] and container["State"]["Status"] != "created"
        case "on-failure":
            return bool(container["State"]["ExitCode"])
        case _:
            return False


def _host_ports(container: Json) -> set[str]:
    bindings = container["HostConfig"].get("PortBindings") or {}
    return {
        binding["HostPort"] for hosts in bindings.values() for binding in hosts or () if binding["HostPort"]
    }


def _fixed_addresses(container: Json) -> set[str]:
    networks = container["NetworkSettings"]["Networks"].values()
    found = {(settings["IPAMConfig"] or {}).get("IPv4Address") for settings in networks}
    return {address for address in found if address}
