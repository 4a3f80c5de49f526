"""The request that makes a container's successor, and the proof that nothing got lost on the way."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence

import attrs

from safeupdater.backends.docker.client import Json
from safeupdater.backends.docker.daemon import Daemon
from safeupdater.backends.docker.names import OPERATION_LABEL
from safeupdater.backends.docker.snapshot import Member, endpoints, section
from safeupdater.backends.docker.split import differing, filled_config, meaningful, user_config

_COMPOSE_IMAGE = "com.docker.compose.image"
_NO_RESTART = {"Name": "no", "MaximumRetryCount": 0}
# Told by whoever created the container, of no use for another one.
_DROPPED = ("ContainerIDFile", "ConsoleSize")
_DEFAULT_NETWORK = "bridge"
_NETWORKLESS = ("none", "host")
_KEEPS_MACS = (1, 44)
_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")


@attrs.frozen(kw_only=True)
class Successor:
    """What is wanted: the body of the create call, and the networks to be attached to, with settings.

    ``primary`` is the network that the create call attaches by itself, None for none of its own.
    """

    config: Json = attrs.field(repr=False)
    host_config: Json = attrs.field(repr=False)
    networks: Mapping[str, Json] = attrs.field(repr=False)
    primary: str | None

    @property
    def has_networks(self) -> bool:
        """Whether it is attached to networks at all, rather than to a host's or another container's."""
        return not _has_no_network_of_its_own(str(self.host_config.get("NetworkMode") or "default"))

    @property
    def body(self) -> Json:
        """The body of ``POST /containers/create``."""
        attached = {} if self.primary is None else {self.primary: self.networks[self.primary]}
        return {
            **self.config,
            "HostConfig": self.host_config,
            "NetworkingConfig": {"EndpointsConfig": attached},
        }


def successor(
    member: Member,
    *,
    image_text: str,
    image_id: str,
    operation_id: str,
    renamed: Mapping[str, str] | None = None,
    keeps_macs: bool = True,
) -> Successor:
    """The successor of a container on another image.

    ``image_text`` is the reference that people will see. ``renamed`` maps the ids of containers that it
    refers to (shared namespaces, volumes) to the ids of their own successors. ``keeps_macs``
    says whether the daemon takes a MAC address for other networks than the first (from API 1.44 on).
    """
    host_config = _host_config(member, renamed or {})
    config = _config(member, host_config)
    config["Image"] = image_text
    config["Labels"][OPERATION_LABEL] = operation_id
    if _COMPOSE_IMAGE in config["Labels"]:
        config["Labels"][_COMPOSE_IMAGE] = image_id
    mode = str(host_config.get("NetworkMode") or "default")
    networks = {} if _has_no_network_of_its_own(mode) else _networks(member)
    primary = _primary(mode, member, networks)
    return Successor(
        config=config,
        host_config=host_config,
        networks=_with_chosen_macs(member, networks, primary) if keeps_macs else networks,
        primary=primary,
    )


def _config(member: Member, host_config: Json) -> Json:
    config = user_config(member.config, member.image_config)
    is_shared = str(host_config.get("NetworkMode") or "").startswith("container:")
    is_generated = config.get("Hostname") in (member.id[:12], *member.generated_hostnames)
    if is_generated or is_shared or host_config.get("UTSMode"):
        config.pop("Hostname", None)
    if is_shared:
        # The daemon fills these in from the container whose network it is; it makes up no domain otherwise.
        config.pop("Domainname", None)
        config.pop("MacAddress", None)
        config["ExposedPorts"] = {}
    else:
        # The daemon publishes exposed ports only, and the new image may not expose what the old one did.
        exposed, bound = member.config.get("ExposedPorts") or {}, host_config.get("PortBindings") or {}
        config["ExposedPorts"] |= {port: {} for port in bound if port in exposed}
    return config


def _host_config(member: Member, renamed: Mapping[str, str]) -> Json:
    host_config = {key: value for key, value in member.host_config.items() if key not in _DROPPED}
    host_config["RestartPolicy"] = dict(_NO_RESTART)
    host_config["Links"] = [_link(text) for text in host_config.get("Links") or ()] or None
    for name in ("NetworkMode", "IpcMode", "PidMode"):
        host_config[name] = _redirected_mode(str(host_config.get(name) or ""), renamed)
    sources = [_redirected_source(text, renamed) for text in host_config.get("VolumesFrom") or ()]
    host_config["VolumesFrom"] = sources or None
    return _with_anonymous_volumes(member, host_config)


def _link(text: str) -> str:
    """``/db:/web/alias``, as inspect says it, in the form that create takes: ``db:alias``."""
    source, _, alias = text.partition(":")
    return f"{source.lstrip('/')}:{posixpath.basename(alias)}"


def _redirected_mode(mode: str, renamed: Mapping[str, str]) -> str:
    kind, separator, reference = mode.partition(":")
    return f"{kind}:{renamed.get(reference, reference)}" if separator and kind == "container" else mode


def _redirected_source(text: str, renamed: Mapping[str, str]) -> str:
    reference, separator, mode = text.partition(":")
    return renamed.get(reference, reference) + separator + mode


# --- volumes ----------------------------------------------------------------------------------------------


def _with_anonymous_volumes(member: Member, host_config: Json) -> Json:
    """Volumes that nobody named are attached by the name that the daemon gave them: their data must stay."""
    nameless = {_place(mount["Destination"]): mount for mount in anonymous_volumes(member)}
    mounts = [dict(mount) for mount in host_config.get("Mounts") or ()]
    for mount in mounts:
        found = nameless.pop(_place(str(mount.get("Target"))), None)
        if found is not None:
            mount["Source"] = found["Name"]
    mounts += [
        {
            "Type": "volume",
            "Source": mount["Name"],
            "Target": mount["Destination"],
            **({} if mount.get("RW", True) else {"ReadOnly": True}),
            # The new image's files must not be copied into an old volume that happens to be empty.
            "VolumeOptions": {"NoCopy": True},
        }
        for mount in nameless.values()
    ]
    binds = [bind for bind in host_config.get("Binds") or () if ":" in bind]
    return {**host_config, "Mounts": mounts or None, "Binds": binds or None}


def anonymous_volumes(member: Member) -> Iterator[Json]:
    """The volumes of a container that the daemon named, by image or by request, and that are its own."""
    spoken_for = {_place(place) for place in _named_places(member)}
    for mount in member.mounts:
        if mount.get("Type") == "volume" and _place(mount["Destination"]) not in spoken_for:
            yield mount


def _named_places(member: Member) -> Iterator[str]:
    for bind in member.host_config.get("Binds") or ():
        parts = str(bind).split(":")
        if len(parts) > 1:
            yield parts[1]
    for mount in member.host_config.get("Mounts") or ():
        if mount.get("Source"):
            yield str(mount.get("Target"))
    yield from member.host_config.get("Tmpfs") or ()
    yield from member.inherited


def _place(path: str) -> str:
    return posixpath.normpath(path)


# --- networks ---------------------------------------------------------------------------------------------


def _has_no_network_of_its_own(mode: str) -> bool:
    return mode in _NETWORKLESS or mode.startswith("container:")


def _networks(member: Member) -> dict[str, Json]:
    return {
        name: endpoint_settings(name, settings or {}, member.id)
        for name, settings in endpoints(member.inspect).items()
    }


def endpoint_settings(name: str, settings: Json, container_id: str) -> Json:
    """What a user asked for at one network: addresses, aliases and options, not what was assigned."""
    wanted: Json = {
        "IPAMConfig": settings.get("IPAMConfig") or None,
        "Links": settings.get("Links") or None,
        "DriverOpts": settings.get("DriverOpts") or None,
        # Up to API 1.44 the daemon lists the short id among the aliases that were asked for.
        "Aliases": [alias for alias in settings.get("Aliases") or () if alias != container_id[:12]] or None,
    }
    if settings.get("GwPriority"):
        wanted["GwPriority"] = settings["GwPriority"]
    if name == _DEFAULT_NETWORK:
        # The default network takes neither; what the daemon lists there is its own.
        wanted["Aliases"] = wanted["IPAMConfig"] = None
    return wanted


def _with_chosen_macs(member: Member, networks: Mapping[str, Json], primary: str | None) -> dict[str, Json]:
    """The networks with the MAC addresses that a user chose; the first one's is in ``Config.MacAddress``."""
    attached = endpoints(member.inspect)
    chosen = {name: _chosen_mac(attached[name] or {}) for name in networks if name != primary}
    return {
        name: {**settings, "MacAddress": chosen[name]} if chosen.get(name) else settings
        for name, settings in networks.items()
    }


def _chosen_mac(settings: Json) -> str | None:
    """An endpoint's MAC address where somebody chose it; the daemon shows its own in the same field.

    It makes up 02:42 and the IPv4 address, and from API 1.48 on (which says ``GwPriority`` of each endpoint)
    any locally administered one (IEEE 802: bit 1 of the first byte); a chosen one of that kind is not told
    apart.
    """
    address = str(settings.get("MacAddress") or "").lower()
    if not _MAC.fullmatch(address) or address.startswith("02:42:"):
        return None
    is_local = bool(int(address[:2], 16) & 0b10)
    return None if is_local and "GwPriority" in settings else address


def keeps_macs(daemon: Daemon) -> bool:
    """Whether a daemon takes a MAC address for each network; before, it drops all but the first's."""
    return daemon.api.version >= _KEEPS_MACS


def unkept_macs(member: Member, *, keeps_macs: bool) -> list[str]:
    """The networks other than the first whose MAC address may have been chosen, and is not asked for."""
    attached = endpoints(member.inspect)
    first = _primary(str(member.host_config.get("NetworkMode") or "default"), member, attached)
    return [
        name
        for name, settings in attached.items()
        if name != first
        and not str((settings or {}).get("MacAddress") or "02:42:").lower().startswith("02:42:")
        and not (keeps_macs and _chosen_mac(settings))
    ]


def _primary(mode: str, member: Member, networks: Mapping[str, Json]) -> str | None:
    """The network that ``NetworkMode`` means: by name, or by the (short) id of a network."""
    name = _DEFAULT_NETWORK if mode in ("default", "") else mode
    if name in networks:
        return name
    for candidate, settings in endpoints(member.inspect).items():
        identity = str((settings or {}).get("NetworkID") or "")
        if len(mode) >= 12 and identity.startswith(mode) and candidate in networks:
            return candidate
    return None


# --- the proof --------------------------------------------------------------------------------------------


def losses(member: Member, wanted: Successor, actual: Json, image_config: Json) -> list[str]:
    """What a created successor lacks or has otherwise than wanted; empty when nothing would be lost."""
    return [
        *_config_losses(wanted, section(actual, "Config"), image_config),
        *_host_config_losses(member, wanted, section(actual, "HostConfig")),
        *_mount_losses(member.mounts, actual.get("Mounts") or ()),
        *_network_losses(wanted, actual),
    ]


def _config_losses(wanted: Successor, actual: Json, image_config: Json) -> Iterator[str]:
    expected = filled_config(wanted.config, image_config)
    ordered = {"Env": sorted}
    for key in sorted({*expected, *actual}):
        if key == "ArgsEscaped" or (key in ("Hostname", "Domainname") and key not in wanted.config):
            continue
        mine, theirs = expected.get(key), actual.get(key)
        if key in ordered:
            mine, theirs = sorted(mine or ()), sorted(theirs or ())
        if meaningful(mine) != meaningful(theirs):
            yield f"Config.{key}"


def _host_config_losses(member: Member, wanted: Successor, actual: Json) -> Iterator[str]:
    # Links are listed with the container's present name in them, so only their ends are compared.
    links = sorted(_link(text) for text in actual.get("Links") or ())
    if links != sorted(wanted.host_config.get("Links") or ()):
        yield "HostConfig.Links"
    keys = {*wanted.host_config, *actual} - {"Links", *_DROPPED}
    if not wanted.host_config.get("Runtime"):
        keys.discard("Runtime")  # one that was never started need not have one; the daemon takes its default
    yield from (f"HostConfig.{key}" for key in differing(wanted.host_config, actual, sorted(keys)))


def _mount_losses(before: Sequence[Json], after: Sequence[Json]) -> Iterator[str]:
    now = {_place(mount["Destination"]): mount for mount in after}
    for mount in before:
        place = _place(mount["Destination"])
        other = now.get(place)
        if other is None or _mounted(mount) != _mounted(other):
            yield f"Mounts[{place}]"


def _mounted(mount: Json) -> tuple[object, ...]:
    what = mount.get("Name") if mount.get("Type") == "volume" else mount.get("Source")
    return mount.get("Type"), what, mount.get("RW"), mount.get("Propagation") or ""


def _network_losses(wanted: Successor, actual: Json) -> Iterator[str]:
    attached = endpoints(actual)
    if not wanted.has_networks:
        return
    for name in sorted({*wanted.networks, *attached}):
        if name not in attached or name not in wanted.networks:
            yield f"Networks[{name}]"
            continue
        settings = endpoint_settings(name, attached[name] or {}, str(actual["Id"]))
        if "MacAddress" in wanted.networks[name]:
            settings["MacAddress"] = str((attached[name] or {}).get("MacAddress") or "").lower()
        if _endpoint(settings) != _endpoint(wanted.networks[name]):
            yield f"Networks[{name}] settings"


def _endpoint(settings: Json) -> object:
    return meaningful({**settings, "Aliases": sorted(set(settings.get("Aliases") or ()))})
