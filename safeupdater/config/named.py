"""What the command line and the environment call by name: runtimes, registries, fact sources, observers.

What a plugin of these is set up with is in the environment: its callable gets it and nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from safeupdater.config import wiring
from safeupdater.config.fields import PLUGIN_NAME
from safeupdater.config.plugins import made_plugin
from safeupdater.config.registries import VARIABLE as REGISTRIES_VARIABLE
from safeupdater.config.registries import registries_of
from safeupdater.errors import ConfigurationError
from safeupdater.plugins import make_plugin, plugin_names
from safeupdater.protocols import Backend, FactSource, Observer, TagSource

BUILT_IN_BACKEND = "docker"
BUILT_IN_REGISTRY = "oci"

_WITH_ALIAS = re.compile(r"(?P<alias>[A-Za-z0-9][A-Za-z0-9._-]*)=(?P<url>.+)")
_DOCKER_SCHEMES = ("unix", "tcp", "http", "https", "ssh", "npipe")


def named_backend(spec: str, environ: Mapping[str, str]) -> Backend:
    """The backend for ``docker``, ``ALIAS=URL`` of a Docker daemon, or the name of a plugin.

    Nothing is sent to a Docker daemon yet.

    Raises:
        ConfigurationError: it is none of these, or the URL cannot be used.
        PluginError: the plugin cannot be loaded, raised, or made something else.
    """
    from safeupdater.backends.docker import DockerBackend
    from safeupdater.backends.docker.client import connect, safe_url

    if spec == BUILT_IN_BACKEND:
        return DockerBackend.from_env(environ)
    with_alias = _WITH_ALIAS.fullmatch(spec)
    if with_alias is not None and with_alias["url"].partition("://")[0] in _DOCKER_SCHEMES:
        client = connect(with_alias["url"], environ)
        return DockerBackend(
            client,
            host=with_alias["alias"],
            credentials=wiring.logins(environ),  # pyright: ignore[reportArgumentType] - attrs' converters
        )
    if re.fullmatch(PLUGIN_NAME, spec):
        made: Backend | None = make_plugin("backends", spec, Backend, environ)
        if made is not None:
            return made
    names = ", ".join(plugin_names("backends"))
    raise ConfigurationError(
        f"{safe_url(spec)[:80]!a} is not a backend: expected docker, or an alias with a daemon's URL "
        "such as web1=tcp://10.0.0.5:2376" + (names and f", or an installed one: {names}")
    )


def named_backends(specs: Sequence[str], environ: Mapping[str, str]) -> tuple[tuple[str, Backend], ...]:
    """Each backend with its spec; Docker's where there is no spec."""
    return tuple((spec, named_backend(spec, environ)) for spec in specs or (BUILT_IN_BACKEND,))


def named_registry(name: str, environ: Mapping[str, str], registries: str | None = None) -> TagSource:
    """The source of tags: ``oci`` for the built-in client of any OCI registry, or a plugin.

    ``registries`` is the path of a file with what is special about single registries; without it the one
    that the environment names.

    Raises:
        ConfigurationError: that file cannot be used, or there is one for a plugin, which would not see it.
        PluginError: the plugin cannot be had, raised, or made something else.
    """
    if name == BUILT_IN_REGISTRY:
        from safeupdater.registries.oci import RegistryClient

        return RegistryClient(registries=registries_of(environ, registries), environ=environ)
    if registries or environ.get(REGISTRIES_VARIABLE):
        raise ConfigurationError(
            f"the tags come from the plugin {name!a}, and a registries file (--registries, "
            f"{REGISTRIES_VARIABLE}) is only for oci: leave one of them out"
        )
    made: TagSource = made_plugin("registries", name, TagSource, environ)
    return made


def named_facts(names: Sequence[str], environ: Mapping[str, str]) -> tuple[FactSource, ...]:
    """The fact sources of these names, all of them plugins.

    Raises:
        PluginError: one cannot be had, raised, or made something else.
    """
    return tuple(made_plugin("fact_sources", name, FactSource, environ) for name in names)


def named_observer(name: str, environ: Mapping[str, str]) -> Observer:
    """The observer of that name, a plugin.

    Raises:
        PluginError: it cannot be had, raised, or made something else.
    """
    made: Observer = made_plugin("observers", name, Observer, environ)
    return made
