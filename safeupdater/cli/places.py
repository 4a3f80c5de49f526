"""Where things are: the store, the runtimes, and how they are named on a command line."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from safeupdater.backends.docker import DockerBackend
from safeupdater.backends.docker.client import safe_url
from safeupdater.config.named import named_backends
from safeupdater.errors import (
    BackendError,
    ConfigurationError,
    PluginError,
    SafeUpdaterError,
    ScanError,
    border,
)
from safeupdater.protocols import Backend
from safeupdater.stores.open import BUILT_IN
from safeupdater.update.runtimes import Runtimes


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


def open_backends(
    specs: Sequence[str], environ: Mapping[str, str], warn: Callable[[str], None]
) -> tuple[Backend, ...]:
    """The runtimes that can be reached; each that cannot is warned of.

    Raises:
        ConfigurationError: one of them is not named properly, or one twice, by two names even.
        PluginError: a plugin that is named gives no backend.
        ScanError: none can be reached.
    """
    backends = named_backends(specs, environ)
    reached: dict[tuple[str, str], Backend] = {}
    runtimes = Runtimes()
    failures: list[SafeUpdaterError] = []
    for spec, backend in backends:
        try:
            place = _reached(backend)
        except (ScanError, BackendError, PluginError) as error:
            failures.append(error)
            if len(backends) > 1:
                warn(f"{safe_url(spec)} is left out: {error}")
            backend.close()
            continue
        if place in reached:
            raise ConfigurationError(f"two backends lead to the same host {place[1]}: name each once")
        runtimes.add(backend)
        reached[place] = backend
    if not reached:
        raise ScanError(
            f"no runtime can be reached: {failures[0]}"
            if len(failures) == 1
            else "no runtime can be reached",
            code="no_backend",
            transient=any(error.transient for error in failures),
        )
    return tuple(reached.values())


def _reached(backend: Backend) -> tuple[str, str]:
    """The runtime and the host, once they answered."""
    if isinstance(backend, DockerBackend):
        backend.scanner.info  # noqa: B018 - asks the daemon once, and remembers
    with border(f"the backend {type(backend).__name__}"):
        return backend.name, backend.host
