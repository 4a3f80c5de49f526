"""Tags, digests and publication times from OCI registries (distribution 1.1) and Docker Registry v2."""

from __future__ import annotations

import logging
import os
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from types import MappingProxyType
from typing import TypeVar

from safeupdater.domain.artifact import Artifact, ImageReference, ResolvedImage
from safeupdater.domain.candidate import Candidate
from safeupdater.errors import RegistryError
from safeupdater.protocols import Clock
from safeupdater.registries.oci.cache import SharedCache
from safeupdater.registries.oci.credentials import (
    CredentialChain,
    Credentials,
    CredentialSource,
    ExplicitCredentials,
    default_credentials,
)
from safeupdater.registries.oci.facts import image_facts
from safeupdater.registries.oci.images import Images
from safeupdater.registries.oci.listing import Listings
from safeupdater.registries.oci.manifests import ImageConfig
from safeupdater.registries.oci.network import SystemClock
from safeupdater.registries.oci.session import Clockwork, RateLimit, RegistrySession
from safeupdater.registries.oci.settings import RegistrySettings, normalized_host
from safeupdater.registries.oci.transport import Transport

_LOG = logging.getLogger(__name__)
Answer = TypeVar("Answer")


class RegistryClient:
    """A tag source and a fact source (see ``provides``) over real registries. Thread-safe.

    ``credentials`` are logins by registry, or any source of them; without them the logins of docker and
    podman on this machine are used, and registries without a login are asked anonymously. ``registries``
    declares what is special about single registries. Answers are kept for ``ttl_s`` seconds and shared by
    everybody who asks; ``max_parallel`` bounds the requests under way at one registry. ``environ`` stands
    for the process's environment; proxies in it are not used.

    Raises:
        ValueError: a key of ``credentials`` or ``registries`` is not a registry.

    Example:
        >>> with RegistryClient() as registries:  # doctest: +SKIP
        ...     registries.get_available_tags(ImageReference.parse("nginx"))[:2]
        ('1', '1-alpine')
    """

    keeps_deadlines = True

    def __init__(
        self,
        credentials: Mapping[str, Credentials] | CredentialSource | None = None,
        *,
        registries: Mapping[str, RegistrySettings] = MappingProxyType({}),
        ttl_s: float = 300.0,
        max_parallel: int = 8,
        max_entries: int = 4096,
        clock: Clock | None = None,
        environ: Mapping[str, str] | None = None,
        transport: Transport | None = None,
    ) -> None:
        clock = clock or SystemClock()
        environ = dict(os.environ) if environ is None else environ
        self._source = _credential_source(credentials, environ)
        self._settings = _settings_by_host(registries)
        self._transport = transport or Transport()
        self._clockwork = Clockwork(
            now=clock.now, monotonic=clock.monotonic, wait=lambda delay_s: clock.wait(delay_s, lambda: False)
        )
        limits = self._transport.limits
        self._logins: SharedCache[str, Credentials | None] = SharedCache(
            ttl_s=limits.refusal_ttl_s, max_entries=256, monotonic=clock.monotonic
        )
        self._sessions: dict[str, RegistrySession] = {}
        self._lock = threading.Lock()
        self._max_parallel = max_parallel
        self._images = Images(self._session, ttl_s=ttl_s, max_entries=max_entries, clockwork=self._clockwork)
        self._listings = Listings(
            self._session, self._images, ttl_s=ttl_s, max_entries=max_entries, clockwork=self._clockwork
        )

    # --- tags and digests

    def get_available_tags(self, image: Artifact) -> tuple[str, ...]:
        """Every tag of the repository, all or nothing, at most ``ttl_s`` seconds old.

        Raises:
            RegistryError: the registry gave no complete and plausible answer. When the tag of ``image`` is
                not in the list although the registry serves it, the list is not believed.
        """
        return self._listings.tags(_image(image), (_image(image),))

    def resolve(self, image: ImageReference, platform: str | None = None) -> ResolvedImage:
        """What the reference's tag serves now, at most ``ttl_s`` seconds old; its digest without a tag.

        One HEAD where no platform is given. With one, the platform's manifest is looked up too, and an
        image that was not built for it is an error.

        Raises:
            RegistryError: the registry did not answer, or has no such tag or platform.
        """
        return self._images.resolve(image, platform)

    def lookup_many(self, images: Iterable[Artifact]) -> Mapping[str, tuple[str, ...] | RegistryError]:
        """The tags of many repositories by name, each asked for once, several at a time."""
        by_name: dict[str, list[Artifact]] = {}
        for image in images:
            by_name.setdefault(image.name, []).append(image)
        return self._each(by_name, lambda name: self._lookup(by_name[name]))

    def resolve_many(
        self, images: Iterable[ImageReference], platform: str | None = None
    ) -> Mapping[str, ResolvedImage | RegistryError]:
        """The digests of many references by their text, several at a time."""
        by_text = {str(image): image for image in images}
        return self._each(by_text, lambda text: self.resolve(by_text[text], platform))

    def image_config(self, image: ImageReference, platform: str | None = None) -> ImageConfig:
        """What the image says about itself: creation time, labels and platform.

        Raises:
            RegistryError: the registry did not answer, or has no such image or platform.
        """
        return self._images.config(image, platform)

    # --- facts

    @property
    def provides(self) -> frozenset[str]:
        """The facts that can be had here."""
        return frozenset({"published_at", "image_changes", "clock_skew_s"})

    def facts(self, candidate: Candidate) -> Mapping[str, object]:
        """When the new image says it was built, how it wants to be run otherwise than the old one, and
        how far the registry's clock is ahead of ours.

        Each is looked up when it is read; what is not known is not in it.
        """
        return image_facts(self.image_config, self._clock_skew_s, candidate)

    def _clock_skew_s(self, registry: str) -> float | None:
        """By what the registry said last, without asking it anew; None where it never told the time."""
        with self._lock:
            session = self._sessions.get(registry.lower())
        now, monotonic_s = self._clockwork.now(), self._clockwork.monotonic()
        return session.time.skew_s(now, monotonic_s) if session is not None else None

    # --- housekeeping

    def rate_limits(self) -> Mapping[str, RateLimit]:
        """What each registry that was asked last said about our allowance, by registry."""
        with self._lock:
            return {name: session.rate_limit for name, session in self._sessions.items()}

    def forget(self) -> None:
        """Drops every kept answer, so that the next question goes to the registry. Tokens stay."""
        self._listings.forget()
        self._images.forget()
        self._logins.forget()

    def close(self) -> None:
        """Closes idle connections; the client can go on being used."""
        self._transport.close()

    def __enter__(self) -> RegistryClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"RegistryClient(registries={sorted(self._settings)})"

    def _lookup(self, images: list[Artifact]) -> tuple[str, ...]:
        references = tuple(map(_image, images))
        return self._listings.tags(references[0], references)

    def _each(self, keys: Iterable[str], ask: Callable[[str], Answer]) -> dict[str, Answer | RegistryError]:
        """Each registry has workers of its own: one that hangs delays nobody else's answers."""
        ordered = list(dict.fromkeys(keys))
        if len(ordered) < 2 or self._max_parallel == 1:
            return {key: _answer(ask, key) for key in ordered}
        by_registry = Counter(key.partition("/")[0] for key in ordered)
        with ExitStack() as stack:
            pools = {
                registry: stack.enter_context(
                    ThreadPoolExecutor(min(self._max_parallel, count), "safeupdater-registry")
                )
                for registry, count in by_registry.items()
            }
            asked = {key: pools[key.partition("/")[0]].submit(_answer, ask, key) for key in ordered}
            return {key: future.result() for key, future in asked.items()}

    def _session(self, registry: str) -> RegistrySession:
        registry = registry.lower()
        with self._lock:
            session = self._sessions.get(registry)
            if session is None:
                session = self._sessions[registry] = RegistrySession(
                    registry,
                    settings=self._settings.get(registry),
                    transport=self._transport,
                    credentials=lambda: self._login(registry),
                    clockwork=self._clockwork,
                )
            return session

    def _login(self, registry: str) -> Credentials | None:
        return self._logins.get(registry, lambda: self._source.for_registry(registry))


def _answer(ask: Callable[[str], Answer], key: str) -> Answer | RegistryError:
    try:
        return ask(key)
    except RegistryError as error:
        return error


def _image(artifact: Artifact) -> ImageReference:
    if isinstance(artifact, ImageReference):
        return artifact
    message = f"{artifact} is a chart: this client looks up images only"
    raise RegistryError(message, code="not_an_image", artifact=artifact.name)


def _credential_source(
    given: Mapping[str, Credentials] | CredentialSource | None, environ: Mapping[str, str]
) -> CredentialSource:
    if given is None:
        return default_credentials(environ)
    if isinstance(given, Mapping):
        return CredentialChain((ExplicitCredentials(given), default_credentials(environ)))
    return given


def _settings_by_host(registries: Mapping[str, RegistrySettings]) -> dict[str, RegistrySettings]:
    settings: dict[str, RegistrySettings] = {}
    for key, value in registries.items():
        host = normalized_host(key)
        if host is None:
            raise ValueError(f"{key!a} is not a registry: expected a host such as example.org:5000")
        settings[host] = value
    return settings
