"""The defaults of the facade: which adapter stands at each port when nobody says otherwise."""

from __future__ import annotations

import base64
import os
import secrets
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from safeupdater.config.variables import refuse_unknown
from safeupdater.errors import ConfigurationError
from safeupdater.protocols import Clock, HealthChecks, Hooks, PolicySource, StateStore, TagSource

if TYPE_CHECKING:
    from safeupdater.registries.oci import CredentialSource

BACKEND_VARIABLE = "SAFEUPDATER_BACKEND"
FACTS_VARIABLE = "SAFEUPDATER_FACTS"
REGISTRY_VARIABLE = "SAFEUPDATER_REGISTRY"
SEAL_VARIABLE = "SAFEUPDATER_SEAL_KEY"
STORE_VARIABLE = "SAFEUPDATER_STORE"


def clock() -> Clock:
    """The machine's clock."""
    from safeupdater.stores.clock import SystemClock

    return SystemClock()


def store(clock: Clock) -> StateStore:
    """A store in memory: nothing is kept unless a caller names a place for it."""
    from safeupdater.stores.memory import MemoryStore

    return MemoryStore(clock)


def store_at(url: str, clock: Clock, environ: Mapping[str, str], **options: Any) -> StateStore:
    """The store that a URL names; SQL ones seal snapshots with the key that the environment gives.

    Raises:
        ConfigurationError: the URL names no store, or the key is none.
        StoreError: the store cannot be used.
    """
    from safeupdater.stores import open_store

    key = environ.get(SEAL_VARIABLE)
    if key is not None and url.startswith(("postgres", "sqlite")):
        options["seal_key"] = _seal_key(key)
    return open_store(url, clock, **options)


def _seal_key(text: str) -> bytes:
    from safeupdater.stores.seal import KEY_BYTES

    try:
        key = base64.b64decode(text.strip(), validate=True)
    except ValueError:
        key = b""  # the cause would show it
    if len(key) != KEY_BYTES:
        raise ConfigurationError(
            f"{SEAL_VARIABLE} is not {KEY_BYTES} bytes in base64: make one with "
            "head -c 32 /dev/urandom | base64, and keep it safe"
        )
    return key


def policy() -> PolicySource:
    """The policy that the command line would find."""
    from safeupdater.config.policy import Policy

    return Policy.find()


def checks() -> HealthChecks:
    """Every health check that is built in or installed."""
    from safeupdater.probes import HealthCheckFactory

    return HealthCheckFactory()


def hooks() -> Hooks:
    """Hooks run in the container, or as commands beside the updater."""
    from safeupdater.probes.hooks import CommandHooks

    return CommandHooks()


def registry() -> TagSource:
    """A client for any OCI registry, with the credentials that Docker would use."""
    from safeupdater.registries.oci import RegistryClient

    return RegistryClient()


def logins(environ: Mapping[str, str]) -> CredentialSource:
    """The logins that container tools on this machine use; nothing is read before the first question."""
    from safeupdater.registries.oci.credentials import default_credentials

    return default_credentials(environ)


def holder() -> str:
    """Who holds leases: this process."""
    from safeupdater.stores.holder import holder_identity

    return holder_identity()


def new_id() -> str:
    """A new operation id: a UUID of version 7 (RFC 9562), so that ids sort by time."""
    milliseconds = time.time_ns() // 1_000_000
    value = milliseconds << 80 | 0x7 << 76 | secrets.randbits(12) << 64 | 0b10 << 62 | secrets.randbits(62)
    text = f"{value:032x}"
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


def from_env(environ: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The arguments of ``Updater`` that an environment names."""
    from safeupdater.config.named import BUILT_IN_REGISTRY, named_backends, named_facts, named_registry
    from safeupdater.config.policy import Policy

    environ = os.environ if environ is None else environ
    refuse_unknown(environ)
    own_clock = clock()
    return {
        "backends": [backend for _, backend in named_backends(_words(environ, BACKEND_VARIABLE), environ)],
        "policy": Policy.find(environ=environ),
        "tags": named_registry(environ.get(REGISTRY_VARIABLE) or BUILT_IN_REGISTRY, environ),
        "facts": named_facts(_words(environ, FACTS_VARIABLE), environ),
        "store": store_at(environ.get(STORE_VARIABLE, "memory:"), own_clock, environ),
        "clock": own_clock,
    }


def _words(environ: Mapping[str, str], variable: str) -> list[str]:
    return environ.get(variable, "").split()
