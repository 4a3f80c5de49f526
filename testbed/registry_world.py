"""A small internet on loopback: made-up registries with TLS, a client that trusts them, a fake clock."""

from __future__ import annotations

import contextlib
import ssl
import tempfile
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import attrs

from safeupdater.domain.artifact import ImageReference
from safeupdater.registries.oci import Credentials, Limits, RegistryClient, RegistrySettings, Transport
from testbed.certificates import Authority
from testbed.scripted_registry import Basic, Bearer, Filter, LoopbackNetwork, ScriptedRegistry

REGISTRY = "registry.example"
REGISTRY_ADDRESS = "93.184.216.34"
QUICK = Limits(
    connect_s=0.5, read_s=0.4, total_s=0.8, call_s=1.6, slow_after_s=0.2, attempts=2, backoff_s=0.001,
    retry_after_max_s=300,
)  # fmt: skip


@attrs.define
class FakeClock:
    """A clock that moves only when it is waited on or told to."""

    time_s: float = 1000.0
    waited: list[float] = attrs.field(factory=list)

    def now(self) -> datetime:
        """The wall clock."""
        return datetime(2026, 6, 1, tzinfo=UTC) + timedelta(seconds=self.time_s - 1000.0)

    def monotonic(self) -> float:
        """The steady clock."""
        return self.time_s

    def wait(self, delay_s: float, interrupted: Callable[[], bool]) -> None:
        """Moves the clock on at once."""
        self.waited.append(delay_s)
        self.time_s += delay_s


class World:
    """Registries by host name, and clients that see nothing else. Use it as a context manager."""

    def __init__(self) -> None:
        self._stack = contextlib.ExitStack()
        self.directory = Path(self._stack.enter_context(tempfile.TemporaryDirectory()))
        self.authority = Authority(self.directory / "authority.pem")
        self.network = LoopbackNetwork()
        self.clock = FakeClock()
        self._transports: dict[Limits, Transport] = {}

    def serve(
        self,
        *filters: Filter,
        host: str = REGISTRY,
        address: str = REGISTRY_ADDRESS,
        auth: Basic | Bearer | None = None,
        page_size: int | None = None,
        tls: ssl.SSLContext | None = None,
        plain: bool = False,
    ) -> ScriptedRegistry:
        """A registry behind a name and an address, on the usual port."""
        context = None if plain else tls or self.authority.server_context(host)
        if isinstance(auth, Bearer) and auth.realm is None:
            scheme = "http" if plain else "https"
            auth = attrs.evolve(auth, realm=f"{scheme}://{host}/token")
        server = self._stack.enter_context(
            ScriptedRegistry(*filters, auth=auth, page_size=page_size, tls=context)
        )
        self.network.host(host, address, server, 80 if plain else 443)
        return server

    def client(
        self,
        credentials: Mapping[str, Credentials] | None = None,
        *,
        limits: Limits = QUICK,
        settings: Mapping[str, RegistrySettings] | None = None,
        environ: Mapping[str, str] | None = None,
        **options: Any,
    ) -> RegistryClient:
        """A client in this world that trusts its authority for the hosts in ``settings``."""
        given = dict(settings) if settings is not None else {REGISTRY: RegistrySettings()}
        trusting = {
            host: attrs.evolve(known, ca_file=known.ca_file or str(self.authority.ca_file))
            for host, known in given.items()
        }
        if limits not in self._transports:
            self._transports[limits] = Transport(limits=limits, network=self.network)
        return self._stack.enter_context(
            RegistryClient(
                credentials, registries=trusting, clock=self.clock, environ=environ or {},
                transport=self._transports[limits], **options,
            )
        )  # fmt: skip

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()


def image(text: str, host: str = REGISTRY) -> ImageReference:
    """An image at a made-up registry."""
    return ImageReference.parse(f"{host}/{text}")
