"""What a runtime runs: container images and Helm charts, by reference."""

from __future__ import annotations

import re
from functools import lru_cache

import attrs

from safeupdater.errors import InvalidReference

DEFAULT_REGISTRY = "docker.io"
_HUB_ALIASES = frozenset({"docker.io", "index.docker.io", "registry-1.docker.io", "registry.hub.docker.com"})

# OCI distribution 1.1 and the reference grammar of distribution/reference, ASCII only.
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REPOSITORY = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
_REGISTRY = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[0-9a-fA-F:]+\])(?::[0-9]{{1,5}})?")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}", re.ASCII)
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}")
_MAX_REPOSITORY = 255
_MAX_REFERENCE = 1024


def is_tag(text: str) -> bool:
    """Whether a text is a tag by the grammar of OCI distribution 1.1."""
    return _TAG.fullmatch(text) is not None


def is_digest(text: str) -> bool:
    """Whether a text is a sha256 or sha512 digest in its canonical, lower-case form."""
    return _DIGEST.fullmatch(text) is not None


@attrs.frozen(kw_only=True)
class ImageReference:
    """An image by name: ``registry/repository:tag@digest``.

    ``tag`` is None where the image is named by digest alone; ``digest`` is None where it is not pinned.
    ``str()`` gives the full canonical form, which parses back to an equal value.
    """

    registry: str
    repository: str
    tag: str | None = None
    digest: str | None = None

    def __attrs_post_init__(self) -> None:
        text = f"{self.registry}/{self.repository}"
        if _REGISTRY.fullmatch(self.registry) is None:
            raise _invalid(text, "the registry is not a host name")
        if len(self.repository) > _MAX_REPOSITORY or _REPOSITORY.fullmatch(self.repository) is None:
            raise _invalid(text, "a repository is lower-case letters, digits and . _ - between slashes")
        if self.tag is not None and not is_tag(self.tag):
            raise _invalid(self.tag, "a tag is up to 128 ASCII letters, digits and . _ -")
        if self.digest is not None and not is_digest(self.digest):
            raise _invalid(self.digest, "a digest is sha256: or sha512: and lower-case hex of full length")

    @classmethod
    def parse(cls, text: str) -> ImageReference:
        """The reference that a text names, with Docker Hub's short forms filled in.

        A name with neither tag nor digest gets the tag ``latest``, as every container tool reads it.

        Raises:
            InvalidReference: the text breaks the grammar of OCI references.
        """
        return _parse_image(text)

    @property
    def name(self) -> str:
        """Registry and repository, without tag and digest: ``docker.io/library/nginx``."""
        return f"{self.registry}/{self.repository}"

    @property
    def familiar(self) -> str:
        """The short form that people write: ``nginx:1.27`` for ``docker.io/library/nginx:1.27``."""
        name = self.name
        if self.registry == DEFAULT_REGISTRY:
            name = (
                self.repository.removeprefix("library/")
                if self.repository.count("/") == 1
                else self.repository
            )
        return name + self._suffix

    @property
    def version_text(self) -> str:
        """What stands for the version: the tag, else a short digest."""
        return self.tag or (self.digest or "")[:19]

    @property
    def _suffix(self) -> str:
        return (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")

    def with_tag(self, tag: str) -> ImageReference:
        """The same repository at another tag, unpinned."""
        return attrs.evolve(self, tag=tag, digest=None)

    def with_digest(self, digest: str | None) -> ImageReference:
        """The same tag pinned to a digest, or unpinned for None."""
        return attrs.evolve(self, digest=digest)

    def __str__(self) -> str:
        return self.name + self._suffix


@lru_cache(maxsize=4096)
def _parse_image(text: str) -> ImageReference:
    if not text or len(text) > _MAX_REFERENCE:
        raise _invalid(text, "expected registry/repository:tag@digest, at most 1024 characters")
    rest, at, digest = text.partition("@")
    name, tag = _split_tag(rest)
    registry, repository = _split_registry(name)
    if not at and tag is None:
        tag = "latest"
    return ImageReference(registry=registry, repository=repository, tag=tag, digest=digest if at else None)


def _split_tag(rest: str) -> tuple[str, str | None]:
    head, colon, tail = rest.rpartition(":")
    return (head, tail) if colon and "/" not in tail else (rest, None)


def _split_registry(name: str) -> tuple[str, str]:
    first, slash, remainder = name.partition("/")
    is_host = bool(slash) and ("." in first or ":" in first or first == "localhost")
    registry, repository = (first, remainder) if is_host else (DEFAULT_REGISTRY, name)
    if registry.lower() in _HUB_ALIASES:
        registry = DEFAULT_REGISTRY
        repository = repository if "/" in repository else f"library/{repository}"
    return registry, repository


def _invalid(text: str, expected: str) -> InvalidReference:
    shown = ascii(text if len(text) <= 80 else text[:77] + "...")
    return InvalidReference(f"{shown} is not an image reference: {expected}")


_CHART_NAME = re.compile(r"[a-z0-9]([a-z0-9._-]{0,251}[a-z0-9])?")
_CHART_REPOSITORY = re.compile(r"(?:https?|oci)://[A-Za-z0-9.\[\]:_~/%-]+")
_CHART_VERSION = re.compile(r"[0-9A-Za-z.+_-]{1,128}")


@attrs.frozen(kw_only=True)
class ChartReference:
    """A Helm chart by name: its repository (``https://…`` or ``oci://…``), name, version and digest.

    ``repository`` is None where a release does not say where its chart came from.
    """

    name: str
    version: str
    repository: str | None = None
    digest: str | None = None

    def __attrs_post_init__(self) -> None:
        if _CHART_NAME.fullmatch(self.name) is None or ".." in self.name:
            raise InvalidReference(f"{self.name!a} is not a chart name")
        if _CHART_VERSION.fullmatch(self.version) is None:
            raise InvalidReference(f"{self.version!a} is not a chart version")
        if self.repository is not None and _CHART_REPOSITORY.fullmatch(self.repository) is None:
            raise InvalidReference(f"{self.repository!a} is not an http(s):// or oci:// chart repository")
        if self.digest is not None and not is_digest(self.digest):
            raise InvalidReference(f"{self.digest!a} is not a chart digest")

    @classmethod
    def parse(cls, text: str) -> ChartReference:
        """The chart that ``[repository/]name@version`` names.

        Raises:
            InvalidReference: the text has no version, or a part breaks its grammar.
        """
        head, at, version = text.rpartition("@")
        if not at:
            raise InvalidReference(f"{text!a} names no chart version: expected [repository/]name@version")
        repository, slash, name = head.rpartition("/")
        return cls(name=name, version=version, repository=repository if slash else None)

    @property
    def version_text(self) -> str:
        """What stands for the version."""
        return self.version

    def __str__(self) -> str:
        prefix = f"{self.repository}/" if self.repository else ""
        return f"{prefix}{self.name}@{self.version}"


Artifact = ImageReference | ChartReference


@attrs.frozen(kw_only=True)
class ResolvedImage:
    """What a tag served when it was asked.

    ``reference`` is pinned to the digest that the registry names for the tag (an index's, where there is
    one); ``platform_digest`` is the digest of the manifest for the wanted platform, None where it was not
    looked up. "Same bits" holds when any digest of ``digests`` is shared.
    """

    reference: ImageReference
    platform_digest: str | None = None

    @property
    def digests(self) -> frozenset[str]:
        """Every digest by which these bits are known."""
        return frozenset(digest for digest in (self.reference.digest, self.platform_digest) if digest)
