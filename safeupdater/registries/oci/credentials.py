"""Whose login is used where: explicit ones, docker's own configuration with its helpers, else nobody's."""

from __future__ import annotations

import base64
import binascii
import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Protocol, TypeVar

import attrs
import msgspec

from safeupdater.domain.artifact import DEFAULT_REGISTRY
from safeupdater.domain.secret import Secret, secret_text
from safeupdater.errors import RegistryError
from safeupdater.registries.oci.helpers import CredentialHelper
from safeupdater.registries.oci.settings import MIB, normalized_host

_Value = TypeVar("_Value")


@attrs.frozen(kw_only=True)
class Credentials:
    """A login at one registry: a user with a password or access token, or an OAuth2 identity token.

    Both may be given as text, and are kept as ``Secret``: nothing shows, pickles or formats them.
    """

    username: str = ""
    password: Secret[str] = attrs.field(default=Secret(""), converter=secret_text, repr=False)
    identity_token: Secret[str] = attrs.field(default=Secret(""), converter=secret_text, repr=False)

    def basic_header(self) -> Secret[str]:
        """The value of an ``Authorization`` header by RFC 7617."""
        pair = Secret(f"{self.username}:{self.password.reveal()}".encode())
        return Secret("Basic " + base64.b64encode(pair.reveal()).decode("ascii"))


class CredentialSource(Protocol):
    """Where logins come from."""

    def for_registry(self, registry: str) -> Credentials | None:
        """The login at a registry (``docker.io``, ``registry.example:5000``); None where there is none.

        Raises:
            RegistryError: there should be one and it cannot be had.
        """
        ...


class ExplicitCredentials:
    """Logins given in code, by registry.

    Raises:
        ValueError: a key is not a registry host.
    """

    def __init__(self, logins: Mapping[str, Credentials]) -> None:
        self._logins = {_registry_key(key): login for key, login in logins.items()}

    def for_registry(self, registry: str) -> Credentials | None:
        """The login given for exactly this registry."""
        return self._logins.get(registry)


class NoCredentials:
    """Nobody's: every registry is asked anonymously."""

    def for_registry(self, registry: str) -> Credentials | None:
        """Never one."""
        return None


@attrs.frozen
class CredentialChain:
    """Several sources, the first that has a login wins."""

    sources: tuple[CredentialSource, ...]

    def for_registry(self, registry: str) -> Credentials | None:
        """The first login that a source has for this registry."""
        found = (source.for_registry(registry) for source in self.sources)
        return next((login for login in found if login is not None), None)


def _registry_key(key: str) -> str:
    host = normalized_host(key)
    if host is None:
        raise ValueError(f"{key!a} is not a registry: expected a host such as docker.io or example.org:5000")
    return host


class _Auth(msgspec.Struct):
    auth: str = ""
    username: str = ""
    password: str = ""
    identitytoken: str = ""


class _Config(msgspec.Struct):
    auths: dict[str, _Auth] = {}
    credHelpers: dict[str, str] = {}  # noqa: N815 (docker's spelling)
    credsStore: str = ""  # noqa: N815


class DockerConfig:
    """The logins of a docker ``config.json``: ``credHelpers``, then ``credsStore``, then ``auths``.

    Keys match a registry exactly after normalisation; nothing is matched by prefix or suffix. The same
    form serves podman's ``auth.json`` and the ``.dockerconfigjson`` of Kubernetes pull secrets. ``origin``
    is what errors call it; helpers run with ``environ`` and are found on its ``PATH``.

    Raises:
        RegistryError: the text is not such a document; its content is not repeated.
    """

    def __init__(
        self,
        text: bytes,
        *,
        origin: str = "the docker config",
        environ: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        try:
            config = msgspec.json.decode(text, type=_Config)
        except (msgspec.MsgspecError, RecursionError, ValueError):
            raise _unusable(origin, "it is not a docker config in JSON") from None
        self._auths = _by_host(config.auths)
        self._helpers = _by_host(config.credHelpers)
        self._store = config.credsStore
        self._origin = origin
        self._environ = environ

    def for_registry(self, registry: str) -> Credentials | None:
        """The login at a registry, asked of a helper where one is configured."""
        for name in (self._helpers.get(registry, ""), self._store):
            if name and (found := self._ask_helper(name, registry)) is not None:
                return found
        entry = self._auths.get(registry)
        return None if entry is None else self._decoded(entry, registry)

    def _ask_helper(self, name: str, registry: str) -> Credentials | None:
        answer = CredentialHelper(name, environ=self._environ).get(_helper_key(registry))
        if answer is None:
            return None
        username, secret = answer
        if username == "<token>":
            return Credentials(identity_token=secret)
        return Credentials(username=username, password=secret)

    def _decoded(self, entry: _Auth, registry: str) -> Credentials | None:
        if entry.identitytoken:
            return Credentials(username=entry.username, identity_token=entry.identitytoken)
        if not entry.auth:
            # An empty entry only says that a helper keeps the login.
            return Credentials(username=entry.username, password=entry.password) if entry.password else None
        username, colon, password = _base64_text(entry.auth).partition(":")
        if not colon:
            raise _unusable(self._origin, f"the auth of {registry} is not base64 of user:password")
        return Credentials(username=username, password=password.rstrip("\0"))

    def stored_secrets(self) -> Iterator[Secret[str]]:
        """Every password and token that the document itself holds, as it stands there and decoded."""
        for entry in self._auths.values():
            pair = _base64_text(entry.auth)
            values = (entry.password, entry.identitytoken, entry.auth, pair.partition(":")[2].rstrip("\0"))
            yield from (Secret(value) for value in values if value)


def _base64_text(encoded: str) -> str:
    """What base64 text says; nothing where it is not that."""
    try:
        return base64.b64decode(encoded, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return ""


def _by_host(entries: Mapping[str, _Value]) -> dict[str, _Value]:
    named = ((normalized_host(key), value) for key, value in entries.items())
    return {host: value for host, value in named if host is not None}


def _helper_key(registry: str) -> str:
    return "https://index.docker.io/v1/" if registry == DEFAULT_REGISTRY else registry


def _unusable(origin: str, why: str) -> RegistryError:
    message = f"the logins in {origin} cannot be read: {why}; run `docker login` anew or remove it"
    return RegistryError(message, code="bad_credentials_file", path=origin)


def default_credentials(environ: Mapping[str, str]) -> CredentialSource:
    """The logins that container tools on this machine use, in their order.

    ``DOCKER_AUTH_CONFIG`` (a document), ``DOCKER_CONFIG`` (a directory) or ``~/.docker``, then
    ``REGISTRY_AUTH_FILE`` or podman's ``$XDG_RUNTIME_DIR/containers/auth.json``. What is not there is
    passed over; what is there and broken is an error when it is first needed.
    """
    return _Ambient(environ)


def stored_secrets(environ: Mapping[str, str]) -> tuple[Secret[str], ...]:
    """The passwords and tokens in those places, for taking them out of logs; helpers are not asked."""
    found: list[Secret[str]] = []
    with contextlib.suppress(RegistryError):
        for config in _Ambient(environ).configs():
            found += config.stored_secrets()
    return tuple(found)


class _Ambient:
    """Reads the places anew at each look-up, so that a new `docker login` is seen; callers cache."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ

    def for_registry(self, registry: str) -> Credentials | None:
        found = (config.for_registry(registry) for config in self.configs())
        return next((login for login in found if login is not None), None)

    def configs(self) -> Iterator[DockerConfig]:
        """The documents that are there, in their order."""
        inline = self._environ.get("DOCKER_AUTH_CONFIG")
        if inline:
            yield DockerConfig(inline.encode(), origin="DOCKER_AUTH_CONFIG", environ=self._environ)
        for path in self._paths():
            text = _read(path)
            if text is not None:
                yield DockerConfig(text, origin=str(path), environ=self._environ)

    def _paths(self) -> Iterator[Path]:
        environ = self._environ
        if environ.get("DOCKER_CONFIG"):
            yield Path(environ["DOCKER_CONFIG"]) / "config.json"
        else:
            # Services are often started without HOME; Docker then looks in the user database, too.
            yield Path(environ.get("HOME") or os.path.expanduser("~")) / ".docker" / "config.json"
        if environ.get("REGISTRY_AUTH_FILE"):
            yield Path(environ["REGISTRY_AUTH_FILE"])
        elif environ.get("XDG_RUNTIME_DIR"):
            yield Path(environ["XDG_RUNTIME_DIR"]) / "containers" / "auth.json"


def _read(path: Path) -> bytes | None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            text = file.read(MIB + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise _unusable(str(path), error.strerror or "it cannot be opened") from None
    if len(text) > MIB:
        raise _unusable(str(path), "it is larger than 1 MiB")
    return text
