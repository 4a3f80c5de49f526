"""Where things are: the store, the runtimes, and how they are named on a command line."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from safeupdater.backends.docker import DockerBackend
from safeupdater.backends.docker.client import connect, safe_url
from safeupdater.errors import BackendError, ConfigurationError, SafeUpdaterError, ScanError
from safeupdater.protocols import Backend
from safeupdater.stores.open import BUILT_IN

_NAMED = re.compile(r"(?P<alias>[A-Za-z0-9][A-Za-z0-9._-]*)=(?P<url>.+)")
_DOCKER_SCHEMES = ("unix", "tcp", "http", "https", "ssh", "npipe")


def default_store(environ: Mapping[str, str]) -> str:
    """SQLite in the user's state directory, by the XDG base directory specification."""
    given = environ.get("XDG_STATE_HOME", "")
    # The specification: a relative path is invalid and to be ignored.
    base = Path(given) if given.startswith("/") else Path.home() / ".local" / "state"
    return f"sqlite:///{base / 'safeupdater' / 'state.db'}"


def prepare_default_store(environ: Mapping[str, str]) -> str:
    """The default store's URL, its directory made for its owner only.

    Raises:
        ConfigurationError: the directory cannot be made.
    """
    url = default_store(environ)
    directory = Path(url.removeprefix("sqlite:///")).parent
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(
            f"cannot make {directory} for the state ({os.strerror(error.errno or 0)}): "
            "choose another place with --store sqlite:///PATH"
        ) from error
    return url


def shown_store(url: str) -> str:
    """A store's URL without its password; of a plugin's only the scheme, since its grammar is not known."""
    kind, colon, _ = url.partition(":")
    if kind not in BUILT_IN:
        return f"{kind}:…" if colon else "…"
    scheme, separator, rest = url.partition("://")
    user, at, place = rest.rpartition("@")
    return f"{scheme}{separator}{user.partition(':')[0]}{at}{place.partition('?')[0]}" if separator else url


def docker_backend(spec: str, environ: Mapping[str, str]) -> DockerBackend:
    """The backend for ``docker`` or ``ALIAS=URL``; nothing is sent yet.

    Raises:
        ConfigurationError: it is neither, or the URL cannot be used.
    """
    if spec == "docker":
        return DockerBackend(connect(environment=environ))
    named = _NAMED.fullmatch(spec)
    if named is None or named["url"].partition("://")[0] not in _DOCKER_SCHEMES:
        raise ConfigurationError(
            f"{safe_url(spec)[:80]!a} is not a backend: expected docker, or an alias with a daemon's URL "
            "such as web1=tcp://10.0.0.5:2376"
        )
    return DockerBackend(connect(named["url"], environ), host=named["alias"])


def open_backends(
    specs: Sequence[str], environ: Mapping[str, str], warn: Callable[[str], None]
) -> tuple[Backend, ...]:
    """The runtimes that can be reached; each that cannot is warned of.

    Raises:
        ConfigurationError: one of them is not named properly, or one twice.
        ScanError: none can be reached.
    """
    backends = [(spec, docker_backend(spec, environ)) for spec in specs or ("docker",)]
    reached: dict[str, Backend] = {}
    failures: list[SafeUpdaterError] = []
    for spec, backend in backends:
        try:
            backend.scanner.info  # noqa: B018 - asks the daemon once, and remembers
            host = backend.host
        except (ScanError, BackendError) as error:
            failures.append(error)
            if len(backends) > 1:
                warn(f"{safe_url(spec)} is left out: {error}")
            backend.close()
            continue
        if host in reached:
            raise ConfigurationError(f"two backends lead to the same host {host}: name each once")
        reached[host] = backend
    if not reached:
        raise ScanError(
            f"no runtime can be reached: {failures[0]}"
            if len(failures) == 1
            else "no runtime can be reached",
            code="no_backend",
            transient=any(error.transient for error in failures),
        )
    return tuple(reached.values())
