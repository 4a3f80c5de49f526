"""What may be chosen by name: tags, registries and repositories that match patterns."""

from __future__ import annotations

import fnmatch
import importlib
from collections.abc import Callable, Iterable
from functools import cached_property, lru_cache
from typing import Any

import attrs

from safeupdater.domain.artifact import DEFAULT_REGISTRY, Artifact, ChartReference
from safeupdater.domain.candidate import Candidate
from safeupdater.domain.decision import Decision, Verdict
from safeupdater.errors import ConfigurationError, MissingExtraError
from safeupdater.gates.combinators import Composable
from safeupdater.gates.reasons import says, shown

_MAX_PATTERN = 256
_MAX_REGEX = 128
_REGEX = "re:"


@attrs.frozen
class Patterns:
    """Texts that match at least one pattern: globs (``*``, ``?``, ``[…]``) over the whole text.

    A pattern that begins with ``re:`` is a regular expression for google-re2 (extra ``regex``), which
    takes linear time on any text. Both are matched against the whole text and tell upper from lower case.

    Raises:
        ConfigurationError: a pattern that is empty, too long, not ASCII or no regular expression.
        MissingExtraError: a regular expression without google-re2.
    """

    texts: tuple[str, ...]

    def __attrs_post_init__(self) -> None:
        for text in self.texts:
            _matcher(text)  # refuses what is no pattern

    @cached_property
    def _matchers(self) -> tuple[Callable[[str], object], ...]:
        return tuple(_matcher(text) for text in self.texts)

    def match(self, text: str) -> str | None:
        """The first pattern that the text matches, None where it matches none."""
        for pattern, matches in zip(self.texts, self._matchers, strict=True):
            if matches(text):
                return pattern
        return None

    def __bool__(self) -> bool:
        return bool(self.texts)


def patterns(texts: Patterns | Iterable[str]) -> Patterns:
    """The patterns that a list of texts is.

    Raises:
        ConfigurationError: one of them is no pattern, or a single text was given instead of a list.
    """
    if isinstance(texts, Patterns):
        return texts
    if isinstance(texts, str):
        raise ConfigurationError(f"expected a list of patterns, got the single text {shown(texts)}")
    return Patterns(tuple(texts))


_NONE = Patterns(())


@lru_cache(maxsize=512)
def _matcher(pattern: str) -> Callable[[str], object]:
    if not pattern or len(pattern) > _MAX_PATTERN:
        raise ConfigurationError(f"{shown(pattern)} is not a pattern of 1 to {_MAX_PATTERN} characters")
    if not (pattern.isascii() and pattern.isprintable()):
        # Names are ASCII: a letter that only looks like one would exclude nothing, silently.
        raise ConfigurationError(f"{shown(pattern)} holds characters that no tag or name can hold")
    if pattern.startswith(_REGEX):
        return _regex(pattern.removeprefix(_REGEX))
    return lambda text: fnmatch.fnmatchcase(text, pattern)


def _regex(pattern: str) -> Callable[[str], object]:
    if len(pattern) > _MAX_REGEX:
        raise ConfigurationError(f"{shown(pattern)} is longer than {_MAX_REGEX} characters")
    try:
        re2: Any = importlib.import_module("re2")
    except ImportError as error:
        raise MissingExtraError(
            f"the pattern {shown(_REGEX + pattern)} needs google-re2: pip install 'safeupdater[regex]'"
        ) from error
    options = re2.Options()
    options.log_errors = False
    try:
        compiled = re2.compile(pattern, options)
    except re2.error as error:
        raise ConfigurationError(f"{shown(pattern)} is no regular expression for google-re2") from error
    return lambda text: compiled.fullmatch(text)


@attrs.frozen
class TagPatterns(Composable):
    """Lets through the new tags that match ``include`` (empty: all) and do not match ``exclude``."""

    include: Patterns = attrs.field(default=_NONE, converter=patterns)
    exclude: Patterns = attrs.field(default=_NONE, converter=patterns)
    name: str = attrs.field(default="tag_patterns", kw_only=True)

    needs: frozenset[str] = attrs.field(default=frozenset(), init=False, repr=False, eq=False)

    def __call__(self, candidate: Candidate) -> Decision:
        """Reject with ``tag_excluded`` or ``tag_not_included``, or approve."""
        tag = candidate.change.new.version_text
        excluded = self.exclude.match(tag)
        if excluded is not None:
            message = f"The tag {shown(tag)} is excluded by {shown(excluded)}"
            return says(self.name, Verdict.REJECT, "tag_excluded", message)
        if self.include and self.include.match(tag) is None:
            return says(
                self.name, Verdict.REJECT, "tag_not_included", f"The tag {shown(tag)} is not included"
            )
        return says(self.name, Verdict.APPROVE, "tag_allowed", "The tag is allowed")


def _registry_patterns(texts: Patterns | Iterable[str]) -> Patterns:
    given = patterns(texts).texts
    return Patterns(tuple(text if text.startswith(_REGEX) else text.lower() for text in given))


def _repository_patterns(texts: Patterns | Iterable[str]) -> Patterns:
    return Patterns(tuple(_with_registry(text) for text in patterns(texts).texts))


def _with_registry(pattern: str) -> str:
    if pattern.startswith(_REGEX) or pattern == "*":
        return pattern
    first, slash, rest = pattern.partition("/")
    if slash and (first in ("*", "localhost") or "." in first or ":" in first):
        return f"{first.lower()}/{rest}"
    return f"{DEFAULT_REGISTRY}/{pattern}" if slash else f"{DEFAULT_REGISTRY}/library/{pattern}"


@attrs.frozen
class Sources(Composable):
    """Lets through what comes from these registries and these repositories (empty: all).

    A registry pattern matches the host with its port; letters of any case are alike in it. A repository
    pattern matches the whole name, and one that begins with no registry (no dot, port, ``localhost`` or
    ``*`` before the first slash) is Docker Hub's, as everywhere: ``nginx`` is ``docker.io/library/nginx``
    and ``*/shop/*`` matches in every registry. ``*`` spans slashes. Charts are named by their
    repository's URL without the scheme, and one whose repository is unknown is rejected.
    """

    registries: Patterns = attrs.field(default=_NONE, converter=_registry_patterns)
    repositories: Patterns = attrs.field(default=_NONE, converter=_repository_patterns)
    name: str = attrs.field(default="sources", kw_only=True)

    needs: frozenset[str] = attrs.field(default=frozenset(), init=False, repr=False, eq=False)

    def __call__(self, candidate: Candidate) -> Decision:
        """Reject with ``source_unknown`` or ``registry_``/``repository_not_allowed``, or approve."""
        if not self.registries and not self.repositories:
            return self._allowed()
        place = _place(candidate.change.new)
        if place is None:
            message = "Nobody knows which repository the chart comes from"
            return says(self.name, Verdict.REJECT, "source_unknown", message)
        registry, name = place
        if self.registries and self.registries.match(registry) is None:
            message = f"The registry {shown(registry)} is not allowed"
            return says(self.name, Verdict.REJECT, "registry_not_allowed", message)
        if self.repositories and self.repositories.match(name) is None:
            message = f"The repository {shown(name)} is not allowed"
            return says(self.name, Verdict.REJECT, "repository_not_allowed", message)
        return self._allowed()

    def _allowed(self) -> Decision:
        return says(self.name, Verdict.APPROVE, "source_allowed", "The source is allowed")


def _place(artifact: Artifact) -> tuple[str, str] | None:
    """Registry and whole name of what is offered; None where its source is unknown."""
    if isinstance(artifact, ChartReference):
        if artifact.repository is None:
            return None
        place = artifact.repository.partition("://")[2].rstrip("/")
        registry, _, path = place.partition("/")
        registry = registry.lower()
        return registry, "/".join(part for part in (registry, path, artifact.name) if part)
    registry = artifact.registry.lower()
    return registry, f"{registry}/{artifact.repository}"
