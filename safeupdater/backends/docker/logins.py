"""The login that a pull goes with: asked of a port, so that nobody else's rules decide whose helper runs."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Mapping
from importlib import import_module
from typing import Any, Protocol

from safeupdater.domain.artifact import DEFAULT_REGISTRY
from safeupdater.domain.secret import Secret
from safeupdater.errors import BackendError, RegistryError

_HUB_URL = "https://index.docker.io/v1/"


class Login(Protocol):
    """A user with a password or access token, or an OAuth2 identity token; what is not there is empty."""

    @property
    def username(self) -> str:
        """The user."""
        ...

    @property
    def password(self) -> Secret[str]:
        """The password or access token."""
        ...

    @property
    def identity_token(self) -> Secret[str]:
        """The identity token, which goes instead of a password."""
        ...


class Logins(Protocol):
    """Where logins come from; ``safeupdater.registries.oci.CredentialSource`` is one."""

    def for_registry(self, registry: str) -> Login | None:
        """The login at a registry (``docker.io``, ``registry.example:5000``); None where there is none.

        Raises:
            RegistryError: there should be one and it cannot be had.
        """
        ...


class MachineLogins:
    """The logins that container tools on this machine use, by the rules of our own registry client.

    docker-py would run any credential helper that a configuration names, for as long as it takes.
    """

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        self._environ = environ

    def for_registry(self, registry: str) -> Login | None:
        """See ``Logins``."""
        # As in the facade: the default of a port lives in an outer layer and is reached when it is used.
        wiring: Any = import_module("safeupdater.config.wiring")
        source: Logins = wiring.logins(os.environ if self._environ is None else self._environ)
        return source.for_registry(registry)


def pull_header(logins: Logins, registry: str) -> Mapping[str, str]:
    """The header that hands a login to the daemon for a pull; empty where there is none.

    Raises:
        BackendError: there should be a login and it cannot be had.
    """
    try:
        login = logins.for_registry(registry)
    except RegistryError as error:
        raise BackendError(
            f"no login for a pull from {registry}: {error.message}",
            code=error.code,
            transient=error.transient,
        ) from error
    if login is None:
        return {}
    said = {"serveraddress": _HUB_URL if registry == DEFAULT_REGISTRY else registry}
    if login.identity_token:
        said["identitytoken"] = login.identity_token.reveal()
    else:
        said |= {"username": login.username, "password": login.password.reveal()}
    return {"X-Registry-Auth": base64.urlsafe_b64encode(json.dumps(said).encode()).decode("ascii")}
