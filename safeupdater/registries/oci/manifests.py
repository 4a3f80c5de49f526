"""Manifests, indexes and image configs: what a digest stands for, on which platform, made when."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

import attrs
import msgspec

from safeupdater.domain.artifact import is_digest
from safeupdater.domain.image import ImageDefaults
from safeupdater.domain.platform import Platform
from safeupdater.errors import MalformedResponse

OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
INDEXES = frozenset({OCI_INDEX, DOCKER_INDEX})
MANIFESTS = frozenset({OCI_MANIFEST, DOCKER_MANIFEST})

# All four at once: with one only, older registries answer 404 for an image that is of another kind.
ACCEPT = ", ".join((OCI_INDEX, DOCKER_INDEX, OCI_MANIFEST, DOCKER_MANIFEST))


class _PlatformBody(msgspec.Struct):
    os: str = ""
    architecture: str = ""
    variant: str = ""


class _Descriptor(msgspec.Struct):
    digest: str = ""
    mediaType: str = ""  # noqa: N815 (the specification's spelling)
    size: int = 0
    platform: _PlatformBody | None = None
    urls: list[str] | None = None


class _Body(msgspec.Struct):
    mediaType: str = ""  # noqa: N815
    schemaVersion: int = 0  # noqa: N815
    manifests: list[_Descriptor] | None = None
    config: _Descriptor | None = None
    layers: list[_Descriptor] | None = None


@attrs.frozen(kw_only=True)
class Manifest:
    """One image for one platform; ``config_digest`` names its config blob.

    ``foreign_layers`` names the hosts that its layers are said to come from, where that is not the registry:
    we never go there, but a runtime does (CVE-2020-15157).
    """

    digest: str
    config_digest: str
    foreign_layers: tuple[str, ...] = ()


@attrs.frozen(kw_only=True)
class Index:
    """Several images under one digest: the manifest digest of each platform, in the index's order.

    ``has_nested`` says that there are indexes among its entries too, which are not followed.
    """

    digest: str
    platforms: tuple[tuple[Platform, str], ...]
    has_nested: bool = False

    def digest_for(self, platform: Platform) -> str | None:
        """The manifest digest for a platform; None where the index has none."""
        for wanted in platform.accepted():
            for offered, digest in self.platforms:
                if offered == wanted:
                    return digest
        return None


def _read_only(given: Mapping[str, str]) -> Mapping[str, str]:
    return MappingProxyType(dict(given))


@attrs.frozen(kw_only=True)
class ImageConfig:
    """What an image says about itself: an untrusted claim of whoever built it.

    ``created`` is None where it is missing or an obvious fixed time of a reproducible build. ``defaults``
    is how it wants to be run.
    """

    platform: Platform | None = None
    created: datetime | None = None
    labels: Mapping[str, str] = attrs.field(factory=dict, converter=_read_only)
    defaults: ImageDefaults = ImageDefaults()


def verified_digest(body: bytes, *, expected: str | None, claimed: str | None, what: str) -> str:
    """The digest of a body, after comparing it with what was asked for and with the registry's header.

    Raises:
        MalformedResponse: one of them is not the body's.
    """
    for digest in (expected, claimed):
        if digest is not None and (not is_digest(digest) or digest_of(body, digest) != digest):
            raise MalformedResponse(f"{what} does not have the digest that was promised for it: not used")
    return expected or claimed or digest_of(body, "sha256:")


def digest_of(body: bytes, like: str) -> str:
    """The digest of a body by the algorithm of another digest."""
    algorithm = like.partition(":")[0]
    return f"{algorithm}:{hashlib.new(algorithm, body).hexdigest()}"


def parse_manifest(
    body: bytes, content_type: str, digest: str, what: str, *, max_entries: int
) -> Manifest | Index:
    """A manifest or an index, by media type.

    Raises:
        MalformedResponse: header and body disagree about what it is, it is of another kind (schema 1
            among them), or breaks its schema or our limits.
    """
    declared = content_type.partition(";")[0].strip().lower()
    parsed = _decoded(body, _Body, what)
    kind = parsed.mediaType or declared
    if kind != declared or kind not in INDEXES | MANIFESTS or parsed.schemaVersion != 2:
        raise MalformedResponse(f"{what} is not a manifest or index that we know, or not the one it says")
    if kind in INDEXES:
        has_nested = any(entry.mediaType in INDEXES for entry in parsed.manifests or ())
        return Index(digest=digest, platforms=_platforms(parsed, what, max_entries), has_nested=has_nested)
    if parsed.config is None or parsed.manifests is not None or not is_digest(parsed.config.digest):
        raise MalformedResponse(f"{what} is a manifest without a proper config")
    return Manifest(
        digest=digest, config_digest=parsed.config.digest, foreign_layers=_foreign_hosts(parsed.layers or ())
    )


def _foreign_hosts(layers: Iterable[_Descriptor]) -> tuple[str, ...]:
    urls = {url for layer in layers for url in layer.urls or ()}
    return tuple(
        sorted({url.partition("://")[2].partition("/")[0].rpartition("@")[2] or url for url in urls})
    )


def _platforms(parsed: _Body, what: str, max_entries: int) -> tuple[tuple[Platform, str], ...]:
    entries = parsed.manifests
    if entries is None or parsed.config is not None or len(entries) > max_entries:
        raise MalformedResponse(f"{what} is an index without a proper list of manifests")
    if not all(is_digest(entry.digest) for entry in entries):
        raise MalformedResponse(f"{what} is an index with an entry that has no digest")
    # Nested indexes are not followed, and attestations name the platform unknown/unknown.
    return tuple(
        (Platform.of(entry.platform.os, entry.platform.architecture, entry.platform.variant), entry.digest)
        for entry in entries
        if entry.platform is not None and entry.mediaType in MANIFESTS and entry.platform.os != "unknown"
    )


class _HealthCheck(msgspec.Struct, rename="pascal"):
    test: list[str] | None = None


class _Config(msgspec.Struct, rename="pascal"):
    labels: dict[str, str] | None = None
    user: str | None = None
    entrypoint: list[str] | None = None
    cmd: list[str] | None = None
    exposed_ports: dict[str, Any] | None = None
    volumes: dict[str, Any] | None = None
    healthcheck: _HealthCheck | None = None

    @property
    def defaults(self) -> ImageDefaults:
        check = self.healthcheck and {"Test": self.healthcheck.test}
        return ImageDefaults.of(
            {
                "User": self.user, "Entrypoint": self.entrypoint, "Cmd": self.cmd, "Volumes": self.volumes,
                "ExposedPorts": self.exposed_ports, "Healthcheck": check,
            }
        )  # fmt: skip


class _ConfigBody(msgspec.Struct):
    os: str = ""
    architecture: str = ""
    variant: str = ""
    created: str | None = None
    config: _Config | None = None


def parse_config(body: bytes, what: str, now: datetime) -> ImageConfig:
    """An image config.

    Raises:
        MalformedResponse: it breaks its schema.
    """
    parsed = _decoded(body, _ConfigBody, what)
    has_platform = bool(parsed.os and parsed.architecture)
    return ImageConfig(
        platform=Platform.of(parsed.os, parsed.architecture, parsed.variant) if has_platform else None,
        created=creation_time(parsed.created, now),
        labels=(parsed.config.labels if parsed.config else None) or {},
        defaults=parsed.config.defaults if parsed.config else ImageDefaults(),
    )


def creation_time(text: str | None, now: datetime) -> datetime | None:
    """The time in a config's ``created`` (RFC 3339), in UTC; None where it tells nothing.

    Reproducible builds write fixed times (year 1, 1970, 1980); a time more than five minutes ahead of us
    is a lie or a broken clock. None of them says how old an image is.
    """
    match = _RFC3339.fullmatch(text or "")
    if match is None:
        return None
    try:
        moment = datetime.fromisoformat(
            f"{match[1]}T{match[2]}{(match[3] or '')[:7]}{match[4]}".replace("z", "Z")
        )
        moment = moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return moment if moment.year > 1980 and (moment - now).total_seconds() <= 300 else None


_RFC3339 = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt]([0-9]{2}:[0-9]{2}:[0-9]{2})(\.[0-9]{1,9})?([Zz]|[+-][0-9]{2}:[0-9]{2})",
    re.ASCII,
)


def _decoded(body: bytes, kind: type[Any], what: str) -> Any:
    try:
        json.loads(body, object_pairs_hook=_without_duplicates, parse_constant=_no_constant)
        return msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, RecursionError, ValueError) as error:
        raise MalformedResponse(
            f"{what} is not a proper JSON document of its kind"
        ) from error.with_traceback(None)


def _without_duplicates(pairs: list[tuple[str, object]]) -> None:
    if len({name for name, _ in pairs}) != len(pairs):
        # Two parsers may pick different ones: what is checked would not be what is run.
        raise ValueError("a key stands twice")


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
