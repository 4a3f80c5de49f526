"""Choosing among tags: the newest that is safe to compare, and why each other one was passed over."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import cached_property
from types import MappingProxyType

import attrs

from safeupdater.analysis.ranges import VersionRange
from safeupdater.analysis.schemes import (
    FamilyRule,
    Tag,
    TagKind,
    family_difference,
    final_release_pattern,
    is_scheme_step,
    read_tag,
)
from safeupdater.domain.change import VersionChangeType
from safeupdater.domain.version import Version, significant_numbers

RELEASE_TYPES = (
    VersionChangeType.PATCH,
    VersionChangeType.MINOR,
    VersionChangeType.MAJOR,
    VersionChangeType.PRERELEASE,
)


@attrs.frozen
class Skipped:
    """A tag that was not chosen, with the stable code of the reason.

    ``floating commit signature not_a_version``: it, or the current tag, says no version to compare.
    ``other_prefix other_variant other_precision``: another family. ``same older``: not newer.
    ``prerelease scheme_change outside_constraint``: newer, but not wanted. ``not_newest``: would do.
    """

    tag: str
    code: str


Ranked = tuple[object, str]
"""A key that orders the candidates of one question, and the tag."""


@attrs.frozen
class Question:
    """What is asked of a list of tags. Two questions are equal whatever the order of their tags."""

    current: str
    tags: tuple[str, ...] = attrs.field(eq=frozenset, repr=False)
    constraint: VersionRange | None
    allow_prerelease: bool
    family: FamilyRule
    max_major_step: int

    @cached_property
    def running(self) -> Tag | TagKind:
        """What the current tag says."""
        return read_tag(self.current)

    def newest(self) -> str | None:
        """The newest tag that will do, None where there is none."""
        candidates = self._candidates()
        return max(candidates)[1] if candidates else None

    def newest_first(self) -> list[str]:
        """Every tag that will do; equal versions in descending order of their text."""
        return list(dict.fromkeys(text for _, text in sorted(self._candidates(), reverse=True)))

    def refusal(self, text: str) -> str | None:
        """The code of the reason why a tag will not do; None for one that will."""
        running = self.running
        if text == self.current:
            return "same"
        if isinstance(running, TagKind):
            return running.value
        offered = read_tag(text)
        if isinstance(offered, TagKind):
            return offered.value
        return family_difference(running, offered, self.family) or self._refusal_in_family(running, offered)

    def _refusal_in_family(self, running: Tag, offered: Tag) -> str | None:
        current, new = running.version, offered.version
        if new <= current:
            is_unordered = new == current and running.commit != offered.commit
            return "commit" if is_unordered else "same" if new == current else "older"
        if new.is_prerelease and not self._may_be_prerelease(current, new):
            return "prerelease"
        if is_scheme_step(current.major, new.major, self.max_major_step):
            return "scheme_change"
        if self.constraint and not self.constraint.contains(new, include_prerelease=new.is_prerelease):
            return "outside_constraint"
        return None

    def _may_be_prerelease(self, current: Version, new: Version) -> bool:
        is_same_release = significant_numbers(current.numbers) == significant_numbers(new.numbers)
        return self.allow_prerelease or (current.is_prerelease and is_same_release)

    def _candidates(self) -> Sequence[Ranked]:
        running = self.running
        if isinstance(running, TagKind):
            return ()
        only_final = not (self.allow_prerelease or running.version.is_prerelease)
        pattern = final_release_pattern(running.family) if only_final and self.family == "strict" else None
        return self._by_pattern(running, pattern) if pattern else self._by_reading()

    def _by_reading(self) -> Sequence[Ranked]:
        texts = [text for text in self.tags if self.refusal(text) is None]
        return [(tag.version, text) for text in texts if isinstance(tag := read_tag(text), Tag)]

    def _by_pattern(self, running: Tag, pattern: re.Pattern[str]) -> Sequence[Ranked]:
        # The same answer as `_by_reading`, ten times faster: within a family of final releases the order
        # of versions is the order of their numbers, so that no Version has to be built.
        matches = filter(None, map(pattern.fullmatch, self.tags))
        found = [(tuple(map(int, match.groups())), match.string) for match in matches]
        floor = running.version.numbers + tuple(number for _, number in running.version.revisions)
        newer = [ranked for ranked in found if ranked[0] > floor]
        is_sane = {
            major: not is_scheme_step(floor[0], major, self.max_major_step)
            for major in {numbers[0] for numbers, _ in newer}
        }
        precision, constraint = running.family.precision, self.constraint
        return [
            ranked
            for ranked in newer
            if is_sane[ranked[0][0]]
            and (constraint is None or constraint.contains_final(ranked[0][:precision]))
        ]


def _why_skipped(question: Question, chosen: Collection[str]) -> tuple[Skipped, ...]:
    others = sorted(set(question.tags).difference(chosen))
    return tuple(Skipped(text, question.refusal(text) or "not_newest") for text in others)


@attrs.frozen(kw_only=True)
class Selection:
    """The newest tag that is safe to compare with the current one, None where there is none.

    ``change_type`` is the size of the step: ``no_change`` where nothing newer will do, ``unknown`` where
    the current tag says no version. ``skipped`` explains every other tag, in order of their texts; it is
    worked out when first asked for, since most lists hold thousands of tags that nobody asks about.
    """

    tag: str | None
    change_type: VersionChangeType
    question: Question = attrs.field(repr=False)

    @cached_property
    def skipped(self) -> tuple[Skipped, ...]:
        """Every other tag of the list with the reason why it was not chosen."""
        return _why_skipped(self.question, () if self.tag is None else (self.tag,))


@attrs.frozen(kw_only=True)
class Selections:
    """Every tag that is safe to compare with the current one and newer, by the size of the step.

    ``by_type`` has an entry for each of patch, minor, major and prerelease: tags, newest first.
    ``skipped`` explains every other tag, in order of their texts, when asked for.
    """

    by_type: Mapping[VersionChangeType, tuple[str, ...]] = attrs.field(hash=False)
    question: Question = attrs.field(repr=False)

    @cached_property
    def skipped(self) -> tuple[Skipped, ...]:
        """Every other tag of the list with the reason why it will not do."""
        return _why_skipped(self.question, [tag for tags in self.by_type.values() for tag in tags])


def by_step(
    tags: Iterable[str], step: Callable[[str], VersionChangeType]
) -> Mapping[VersionChangeType, tuple[str, ...]]:
    """The tags sorted into the four types of upgrade, each in the given order."""
    found: dict[VersionChangeType, list[str]] = {change_type: [] for change_type in RELEASE_TYPES}
    for tag in tags:
        found[step(tag)].append(tag)
    return MappingProxyType({change_type: tuple(listed) for change_type, listed in found.items()})
