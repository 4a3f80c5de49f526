"""Tags and facts that are simply given: for scripts, tests and planning without any server."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from safeupdater.domain.artifact import Artifact, ChartReference, ImageReference, ResolvedImage
from safeupdater.domain.candidate import Candidate
from safeupdater.errors import InvalidReference, RegistryError

_Asked = TypeVar("_Asked", bound=Artifact)
_Answer = TypeVar("_Answer")


class StaticTags:
    """A tag source that knows what it was told and nothing else.

    ``tags`` gives the tags of each repository, ``digests`` what a tag serves, by ``name:tag``, and
    ``failures`` the repositories that answer with an error. Names may be short (``nginx``) or complete
    (``docker.io/library/nginx``); a chart is looked up by its own name. A tag without a declared digest
    resolves to an unpinned reference: what it serves is unknown, and no digest is made up.

    Raises:
        InvalidReference: a name or digest breaks the grammar of references, or the name of a
            repository carries a tag.

    Example:
        >>> tags = StaticTags({"nginx": ["1.27.0", "1.27.1"]})
        >>> tags.get_available_tags(ImageReference.parse("nginx:1.27.0"))
        ('1.27.0', '1.27.1')
    """

    keeps_deadlines = True

    def __init__(
        self,
        tags: Mapping[str, Iterable[str]],
        *,
        digests: Mapping[str, str] | None = None,
        failures: Mapping[str, RegistryError] | None = None,
    ) -> None:
        self._tags = {_repository(name): _listed(name, given) for name, given in tags.items()}
        self._digests = {_tagged(key): _digest(key, value) for key, value in (digests or {}).items()}
        self._failures = {_repository(name): error for name, error in (failures or {}).items()}

    def get_available_tags(self, image: Artifact) -> tuple[str, ...]:
        """Every tag of the repository, in the order in which it was given.

        Raises:
            RegistryError: the repository is not known, or was declared to fail.
        """
        name = _full_name(image)
        self._fail_where_declared(name)
        if name not in self._tags:
            raise _not_found(f"{image.name} is not among the given tags: add it to StaticTags", image)
        return self._tags[name]

    def resolve(self, image: ImageReference, platform: str | None = None) -> ResolvedImage:
        """The declared digest of the tag, or the reference unpinned where none was declared.

        A reference that carries a digest already is its own answer. ``platform`` changes nothing here.

        Raises:
            RegistryError: the repository has no such tag, is not known, or was declared to fail.
        """
        self._fail_where_declared(image.name)
        if image.digest is not None:
            return ResolvedImage(reference=image)
        key = f"{image.name}:{image.tag}"
        if key not in self._digests and image.tag not in self.get_available_tags(image):
            raise _not_found(f"{image} is not among the given tags: add it to StaticTags", image)
        return ResolvedImage(reference=image.with_digest(self._digests.get(key)))

    def lookup_many(self, images: Iterable[Artifact]) -> dict[str, tuple[str, ...] | RegistryError]:
        """The tags of each repository by its name; an error stands in the place of an answer."""
        return {image.name: _answer(self.get_available_tags, image) for image in images}

    def resolve_many(
        self, images: Iterable[ImageReference], platform: str | None = None
    ) -> dict[str, ResolvedImage | RegistryError]:
        """The digests of each reference by its text; an error stands in the place of an answer."""
        return {str(image): _answer(self.resolve, image) for image in images}

    def _fail_where_declared(self, name: str) -> None:
        failure = self._failures.get(name)
        if failure is not None:
            raise failure


class StaticFacts:
    """A fact source that knows what it was told: facts by ``name:tag`` of the offered version.

    Raises:
        InvalidReference: a key is not ``name:tag``.

    Example:
        >>> StaticFacts({"nginx:1.27.1": {"owner": "team-web"}}).provides
        frozenset({'owner'})
    """

    keeps_deadlines = True

    def __init__(self, facts: Mapping[str, Mapping[str, object]]) -> None:
        self._facts = {_tagged(key): dict(known) for key, known in facts.items()}

    @property
    def provides(self) -> frozenset[str]:
        """Every fact that is given for at least one version."""
        return frozenset(name for known in self._facts.values() for name in known)

    def facts(self, candidate: Candidate) -> dict[str, object]:
        """What was given for the candidate's new version; nothing where nothing was."""
        new = candidate.change.new
        return dict(self._facts.get(f"{_full_name(new)}:{new.version_text}", {}))


def _answer(ask: Callable[[_Asked], _Answer], about: _Asked) -> _Answer | RegistryError:
    try:
        return ask(about)
    except RegistryError as error:
        return error


def _full_name(artifact: Artifact) -> str:
    # Charts share the name space of short image names: both are what a person types before the version.
    return _repository(artifact.name) if isinstance(artifact, ChartReference) else artifact.name


def _repository(name: str) -> str:
    reference = ImageReference.parse(name)
    if reference.digest is not None or ":" in name.rpartition("/")[2]:
        raise InvalidReference(f"{name!a} names a version: expected a repository without tag and digest")
    return reference.name


def _tagged(key: str) -> str:
    name, colon, tag = key.rpartition(":")
    if not colon or "/" in tag or "@" in key:
        raise InvalidReference(f"{key!a} names no tag: expected name:tag")
    return f"{_repository(name)}:{tag}"


def _listed(name: str, given: Iterable[str]) -> tuple[str, ...]:
    if isinstance(given, str):
        raise TypeError(f"the tags of {name!a} are one text: expected a list of tags")
    return tuple(given)


def _digest(key: str, digest: str) -> str:
    pinned = ImageReference.parse(key.rpartition(":")[0]).with_digest(digest)
    return str(pinned.digest)


def _not_found(message: str, image: Artifact) -> RegistryError:
    return RegistryError(message, code="not_found", repository=image.name)
