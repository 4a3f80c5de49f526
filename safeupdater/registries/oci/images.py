"""What a tag serves: digests, platform manifests and image configs, asked for as rarely as possible."""

from __future__ import annotations

from collections.abc import Callable

import attrs

from safeupdater.domain.artifact import ImageReference, ResolvedImage, is_digest
from safeupdater.domain.platform import Platform
from safeupdater.errors import MalformedResponse, RegistryError
from safeupdater.registries.oci import manifests
from safeupdater.registries.oci.cache import SharedCache
from safeupdater.registries.oci.failures import Asked
from safeupdater.registries.oci.manifests import ImageConfig, Index, Manifest
from safeupdater.registries.oci.network import Deadline
from safeupdater.registries.oci.session import Clockwork, RegistrySession
from safeupdater.registries.oci.transport import Response

# What a digest names never changes.
_IMMUTABLE_TTL_S = 7 * 86_400.0
_USUAL = Platform(os="linux", architecture="amd64")


@attrs.frozen
class _Scope:
    """One public call: which repository, at which registry, until when."""

    session: RegistrySession
    image: ImageReference
    deadline: Deadline

    def asked(self, what: str) -> Asked:
        return self.session.asked(self.image.repository, what)


class Images:
    """Digests, manifests and configs of images, kept and shared. Thread-safe."""

    def __init__(
        self,
        session: Callable[[str], RegistrySession],
        *,
        ttl_s: float,
        max_entries: int,
        clockwork: Clockwork,
    ) -> None:
        self._session = session
        monotonic = clockwork.monotonic
        self._digests: SharedCache[tuple[str, str], str] = SharedCache(
            ttl_s=ttl_s, refusal_ttl_s=ttl_s, max_entries=max_entries, monotonic=monotonic
        )
        self._documents: SharedCache[tuple[str, str], Manifest | Index] = SharedCache(
            ttl_s=_IMMUTABLE_TTL_S, refusal_ttl_s=ttl_s, max_entries=1024, monotonic=monotonic
        )
        self._configs: SharedCache[tuple[str, str], ImageConfig] = SharedCache(
            ttl_s=_IMMUTABLE_TTL_S, refusal_ttl_s=ttl_s, max_entries=1024, monotonic=monotonic
        )

    def resolve(self, image: ImageReference, platform: str | None = None) -> ResolvedImage:
        """The digests behind a reference.

        Raises:
            RegistryError: no answer, no such tag, or not built for the platform.
        """
        wanted = None if platform is None else Platform.parse(platform)
        scope = self._scope(image)
        reference = image.with_digest(self._digest(scope))
        if wanted is None:
            return ResolvedImage(reference=reference)
        manifest_digest = self._platform_digest(scope, str(reference.digest), wanted)
        return ResolvedImage(reference=reference, platform_digest=manifest_digest)

    def config(self, image: ImageReference, platform: str | None = None) -> ImageConfig:
        """What the image says about itself, checked against what its index says about it.

        Raises:
            RegistryError: no answer, no such tag, or not built for the platform.
        """
        wanted = None if platform is None else Platform.parse(platform)
        scope = self._scope(image)
        document = self._document(scope, self._digest(scope))
        if isinstance(document, Index):
            chosen = wanted or _representative(document, scope)
            document = self._document(scope, _child(document, chosen, scope))
            return self._checked_config(scope, document, chosen)
        return self._checked_config(scope, document, wanted)

    def forget(self) -> None:
        """Drops what tags served; what digests name stays, it cannot change."""
        self._digests.forget()

    def _scope(self, image: ImageReference) -> _Scope:
        session = self._session(image.registry)
        return _Scope(session, image, Deadline.after(session.limits.call_s))

    def _digest(self, scope: _Scope) -> str:
        wanted = scope.image.tag or str(scope.image.digest)
        return self._digests.get((scope.image.name, wanted), lambda: self._asked_digest(scope, wanted))

    def _asked_digest(self, scope: _Scope, wanted: str) -> str:
        """HEAD first: Docker Hub counts a GET as a pull. A pull by digest checks what its header says."""
        try:
            response = self._manifest_response(scope, wanted, "HEAD")
        except RegistryError as error:
            if error.evidence.get("status") not in (400, 405, 501):
                raise
            return self._digest_of_body(scope, wanted)
        promised = response.headers.get("docker-content-digest")
        if promised is None or not is_digest(promised):
            return self._digest_of_body(scope, wanted)
        if is_digest(wanted) and promised != wanted:
            raise MalformedResponse(
                f"{scope.asked(wanted)} does not have the digest that was promised for it"
            )
        kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind not in manifests.INDEXES | manifests.MANIFESTS:
            raise MalformedResponse(
                f"{scope.asked(wanted)} is not an image that we know (schema 1 is refused): push it anew"
            )
        return promised

    def _digest_of_body(self, scope: _Scope, wanted: str) -> str:
        document = self._fetched(scope, wanted, expected=wanted if is_digest(wanted) else None)
        return self._documents.get((scope.image.name, document.digest), lambda: document).digest

    def _document(self, scope: _Scope, digest: str) -> Manifest | Index:
        return self._documents.get(
            (scope.image.name, digest), lambda: self._fetched(scope, digest, expected=digest)
        )

    def _fetched(self, scope: _Scope, wanted: str, *, expected: str | None) -> Manifest | Index:
        response = self._manifest_response(scope, wanted, "GET")
        what = str(scope.asked(wanted))
        digest = manifests.verified_digest(
            response.body, expected=expected, claimed=response.headers.get("docker-content-digest"), what=what
        )
        return manifests.parse_manifest(
            response.body, response.headers.get("content-type", ""), digest, what,
            max_entries=scope.session.limits.index_entries,
        )  # fmt: skip

    def _manifest_response(self, scope: _Scope, wanted: str, method: str) -> Response:
        session = scope.session
        url = session.url(f"/v2/{scope.image.repository}/manifests/{wanted}")
        return session.ask(
            scope.asked(wanted), url, scope.deadline,
            limit_bytes=session.limits.manifest_bytes, method=method, headers={"Accept": manifests.ACCEPT},
        )  # fmt: skip

    def _platform_digest(self, scope: _Scope, digest: str, wanted: Platform) -> str:
        document = self._document(scope, digest)
        if isinstance(document, Index):
            return _child(document, wanted, scope)
        self._checked_config(scope, document, wanted)
        return document.digest

    def _checked_config(
        self, scope: _Scope, document: Manifest | Index, wanted: Platform | None
    ) -> ImageConfig:
        if isinstance(document, Index):
            raise MalformedResponse(f"{scope.image} is an index inside an index: not followed")
        digest = document.config_digest
        config = self._configs.get((scope.image.name, digest), lambda: self._asked_config(scope, digest))
        if wanted is not None and not (config.platform and wanted.runs(config.platform)):
            raise _no_platform(scope, wanted, f"only for {config.platform or 'an unknown platform'}")
        if not document.foreign_layers:
            return config
        defaults = attrs.evolve(config.defaults, foreign_layers=document.foreign_layers)
        return attrs.evolve(config, defaults=defaults)

    def _asked_config(self, scope: _Scope, digest: str) -> ImageConfig:
        session = scope.session
        response = session.ask(
            scope.asked("image config"), session.url(f"/v2/{scope.image.repository}/blobs/{digest}"),
            scope.deadline, limit_bytes=session.limits.config_bytes,
        )  # fmt: skip
        what = str(scope.asked("image config"))
        manifests.verified_digest(response.body, expected=digest, claimed=None, what=what)
        return manifests.parse_config(response.body, what, session.now())


def _child(index: Index, wanted: Platform, scope: _Scope) -> str:
    digest = index.digest_for(wanted)
    if digest is None:
        raise _no_platform(scope, wanted, _offered(index))
    return digest


def _offered(index: Index) -> str:
    """What there is instead of the platform that was looked for, in words."""
    nested = "indexes inside the index, which are not followed" if index.has_nested else ""
    if not index.platforms:
        return f"there are only {nested}" if nested else "the index names no image for any platform"
    named = ", ".join(str(platform) for platform, _ in index.platforms[:20])
    return f"only for {named}" + (nested and f", and there are {nested}")


def _representative(index: Index, scope: _Scope) -> Platform:
    """The platform that stands for an image when nobody says which one runs."""
    if not index.platforms:
        raise MalformedResponse(f"{scope.image} has no image: {_offered(index)}")
    return _USUAL if index.digest_for(_USUAL) is not None else index.platforms[0][0]


def _no_platform(scope: _Scope, wanted: Platform, offered: str) -> RegistryError:
    return RegistryError(
        f"{scope.image} is not built for {wanted}, {offered}: choose another tag",
        code="no_platform", image=str(scope.image), platform=str(wanted),
    )  # fmt: skip
