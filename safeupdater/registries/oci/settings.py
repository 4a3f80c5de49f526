"""What a caller may say about registries, and the bounds that hold for all of them."""

from __future__ import annotations

from collections.abc import Iterable

import attrs

from safeupdater.domain.artifact import DEFAULT_REGISTRY

MIB = 1024 * 1024


def _hosts(given: Iterable[str]) -> frozenset[str]:
    return frozenset(host.lower() for host in given)


@attrs.frozen(kw_only=True)
class RegistrySettings:
    """How one registry is reached. Every default is the safe one.

    ``plain_http`` None means what Docker does: HTTPS, but HTTP on loopback. Credentials never travel over
    plain HTTP except on loopback or with ``credentials_over_plain_http``. ``ca_file`` adds private
    authorities (PEM) to the system's. ``token_hosts`` names further hosts (``host`` or ``host:port``) that
    may be asked for tokens with this registry's credentials. ``max_parallel`` and ``requests_per_s`` are
    the budget that this registry grants us.
    """

    plain_http: bool | None = None
    credentials_over_plain_http: bool = False
    ca_file: str | None = None
    token_hosts: frozenset[str] = attrs.field(default=frozenset(), converter=_hosts)
    max_parallel: int = attrs.field(default=8, validator=attrs.validators.ge(1))
    requests_per_s: float | None = attrs.field(
        default=None, validator=attrs.validators.optional(attrs.validators.gt(0))
    )


@attrs.frozen(kw_only=True)
class Limits:
    """The bounds on time and size of every conversation. Seconds and bytes.

    ``total_s`` bounds one request with its body and ``call_s`` one public call per repository, with all
    its pages, tokens and retries. A body that comes slower than ``min_bytes_per_s`` after
    ``slow_after_s`` is given up.
    """

    connect_s: float = 5.0
    read_s: float = 10.0
    total_s: float = 30.0
    call_s: float = 60.0
    slow_after_s: float = 5.0
    min_bytes_per_s: int = 1024
    listing_bytes: int = 32 * MIB
    manifest_bytes: int = 4 * MIB
    config_bytes: int = 4 * MIB
    token_bytes: int = 64 * 1024
    pages: int = 1_000
    tags: int = 200_000
    redirects: int = 5
    index_entries: int = 1_000
    attempts: int = 3
    retry_after_min_s: float = 1.0
    retry_after_max_s: float = 300.0
    backoff_s: float = 0.5
    refusal_ttl_s: float = 300.0
    token_ttl_min_s: float = 60.0
    token_ttl_max_s: float = 3600.0


_HUB_API = "registry-1.docker.io"


def api_host(registry: str) -> str:
    """The host that serves a registry's API: Docker Hub's is not the one in its image names."""
    return _HUB_API if registry == DEFAULT_REGISTRY else registry


def normalized_host(key: str) -> str | None:
    """The registry that a key of a docker config names; None where it names none that we can match exactly.

    ``https://index.docker.io/v1/``, ``index.docker.io`` and ``docker.io`` are Docker Hub. A path other
    than ``/v1/`` and ``/v2/`` makes a key that no registry matches.
    """
    host = key.strip().removeprefix("https://").removeprefix("http://")
    host, _, path = host.partition("/")
    if path.strip("/") not in ("", "v1", "v2") or any(char.isspace() for char in host):
        return None
    host = host.lower()
    return DEFAULT_REGISTRY if host in _HUB_NAMES else host or None


_HUB_NAMES = frozenset({DEFAULT_REGISTRY, "index.docker.io", _HUB_API, "registry.hub.docker.com"})
