"""Which versions are wanted at all: a range, and versions to leave out."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property, lru_cache

import attrs

from safeupdater.analysis import SemVerAnalyzer, VersionRange
from safeupdater.domain.artifact import is_digest, is_tag
from safeupdater.domain.candidate import Candidate
from safeupdater.domain.decision import Decision, Verdict
from safeupdater.errors import ConfigurationError, InvalidVersion
from safeupdater.gates.combinators import Composable
from safeupdater.gates.reasons import says, shown

_ANALYZER = SemVerAnalyzer()


def _check_range(instance: object, attribute: object, text: str) -> None:
    try:
        VersionRange.parse(text)
    except InvalidVersion as error:
        raise ConfigurationError(f"constraint: {error}") from error


@lru_cache(maxsize=8192)
def _accepts(wanted: str, text: str) -> bool | None:
    """Whether a version lies in a range; None where the text says no version.

    Whether pre-releases are wanted is not the range's to say: here one is inside where it lies between
    the ends.
    """
    version = _ANALYZER.parse_version(text)
    if version is None:
        return None
    return VersionRange.parse(wanted).contains(version, include_prerelease=version.is_prerelease)


@attrs.frozen
class Constraint(Composable):
    """Rejects versions outside a range in npm's grammar, such as ``^1.24`` or ``>=1.24 <2 || ^3``.

    It takes the same versions as choosing among tags by the same constraint does. A tag that says no
    version, such as ``latest``, is rejected: nobody knows whether its bits satisfy.

    Raises:
        ConfigurationError: the text is not a range.
    """

    range: str = attrs.field(validator=_check_range)
    name: str = attrs.field(default="constraint", kw_only=True)

    needs: frozenset[str] = attrs.field(default=frozenset(), init=False, repr=False, eq=False)

    def __call__(self, candidate: Candidate) -> Decision:
        """Reject with ``outside_constraint``, or approve."""
        policy = f"constraint={self.range}"
        text = candidate.change.new.version_text
        accepted = _accepts(self.range, text)
        if accepted:
            message = f"It satisfies {self.range}"
            return says(self.name, Verdict.APPROVE, "inside_constraint", message, policy=policy)
        how = "is outside" if accepted is False else "says no version to compare with"
        message = f"{shown(text)} {how} {self.range}"
        return says(self.name, Verdict.REJECT, "outside_constraint", message, policy=policy)


def _entries(versions: Iterable[str]) -> tuple[str, ...]:
    if isinstance(versions, str):
        raise ConfigurationError(f"expected a list of versions to skip, got the text {shown(versions)}")
    entries = tuple(versions)
    for entry in entries:
        _is_range(entry)  # refuses what is nothing at all
    return entries


@attrs.frozen
class SkippedVersions(Composable):
    """Rejects versions that somebody ruled out: exact tags, digests, and ranges in npm's grammar.

    A version is read as in a constraint: ``1.25.3`` skips that version in every variant, ``1.25`` all of
    1.25.x, pre-releases included.

    Raises:
        ConfigurationError: an entry is none of these.
    """

    versions: tuple[str, ...] = attrs.field(converter=_entries)
    name: str = attrs.field(default="skipped_versions", kw_only=True)

    needs: frozenset[str] = attrs.field(default=frozenset(), init=False, repr=False, eq=False)

    @cached_property
    def _ranges(self) -> tuple[str, ...]:
        return tuple(entry for entry in self.versions if _is_range(entry))

    def __call__(self, candidate: Candidate) -> Decision:
        """Reject with ``version_skipped``, or approve."""
        new = candidate.change.new
        text = new.version_text
        entry = next((entry for entry in self.versions if entry in (text, new.digest)), None)
        if entry is None:
            entry = next((entry for entry in self._ranges if _accepts(entry, text)), None)
        if entry is None:
            return says(self.name, Verdict.APPROVE, "not_skipped", "It is not among the skipped versions")
        message = f"{shown(text)} is skipped by {shown(entry)}"
        return says(self.name, Verdict.REJECT, "version_skipped", message, policy=f"skip={entry}")


def _is_range(entry: str) -> bool:
    # An empty range holds every version, but nobody skips everything by leaving a line blank.
    try:
        VersionRange.parse(entry if entry.strip() else "nothing")
    except InvalidVersion as error:
        if is_tag(entry) or is_digest(entry):
            return False
        raise ConfigurationError(f"skip: {shown(entry)} is neither a tag, a digest nor a range") from error
    return True
