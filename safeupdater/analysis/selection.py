"""Choosing among tags: the newest that is safe to compare, and why each other one was passed over."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import cached_property
from types import MappingProxyType
from typing import NamedTuple

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
from safeupdater.analysis.steps import first_difference, size_by_position, size_of_step
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


class Step(NamedTuple):
    """A tag that will do, and the size of the step to it."""

    tag: str
    change_type: VersionChangeType


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

    def newest_first(self) -> Iterator[Step]:
        """Every tag that will do, newest first; equal versions in descending order of their text.

        The tags are sorted only as far as the caller reads on.
        """
        running = self.running
        if isinstance(running, TagKind):
            return iter(())
        only_final = not (self.allow_prerelease or running.version.is_prerelease)
        pattern = final_release_pattern(running.family) if only_final and self.family == "strict" else None
        return self._by_pattern(running, pattern) if pattern else self._by_reading(running)

    def refusal(self, text: str) -> str | None:
        """The code of the reason why a tag will not do; None for one that will."""
        if text == self.current:
            return "same"
        running, offered = self.running, read_tag(text)
        if isinstance(running, TagKind):
            return running.value
        return offered.value if isinstance(offered, TagKind) else self._refusal_of(running, offered)

    def _refusal_of(self, running: Tag, offered: Tag) -> str | None:
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

    def _by_reading(self, running: Tag) -> Iterator[Step]:
        tags = [tag for tag in map(read_tag, set(self.tags)) if isinstance(tag, Tag)]
        found = [tag for tag in tags if self._refusal_of(running, tag) is None]
        for tag in sorted(found, key=lambda tag: (tag.version.precedence, tag.text), reverse=True):
            yield Step(tag.text, size_of_step(running.version, tag.version))

    def _by_pattern(self, running: Tag, pattern: re.Pattern[str]) -> Iterator[Step]:
        # The same answer as `_by_reading`, many times faster: within a family of final releases the order
        # of versions is the order of their numbers, so that no Version has to be built.
        current, precision = running.version.numbers, running.family.precision
        floor = current + tuple(number for _, number in running.version.revisions)
        for numbers, text in _descending(list(filter(None, map(pattern.fullmatch, self.tags)))):
            if numbers <= floor:
                return
            is_sane = not is_scheme_step(floor[0], numbers[0], self.max_major_step)
            if is_sane and (self.constraint is None or self.constraint.contains_final(numbers[:precision])):
                place = first_difference(current, numbers[:precision])
                yield Step(text, size_by_position(place))


def _descending(
    matches: list[re.Match[str]], place: int = 1, numbers: tuple[int, ...] = ()
) -> Iterator[tuple[tuple[int, ...], str]]:
    """The numbers and the text of matches of one pattern, highest first, sorted as far as it is read.

    Sorting by the first number, and by the next only where the reader arrives, turns few texts into
    integers: who wants the newest of ten thousand tags asks for a handful.
    """
    if not matches or place > matches[0].re.groups:
        yield from ((numbers, text) for text in sorted({match.string for match in matches}, reverse=True))
        return
    by_text: defaultdict[str, list[re.Match[str]]] = defaultdict(list)
    for match in matches:
        by_text[match[place]].append(match)
    by_number: defaultdict[int, list[re.Match[str]]] = defaultdict(list)
    for text, found in by_text.items():
        by_number[int(text)] += found  # 1 and 01 are one number
    for number in sorted(by_number, reverse=True):
        yield from _descending(by_number[number], place + 1, (*numbers, number))


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


def sorted_by_type(steps: Iterable[Step]) -> Mapping[VersionChangeType, tuple[str, ...]]:
    """The tags of the steps under the four types of upgrade, each in the given order."""
    found: dict[VersionChangeType, list[str]] = {change_type: [] for change_type in RELEASE_TYPES}
    for step in steps:
        found[step.change_type].append(step.tag)
    return MappingProxyType({change_type: tuple(tags) for change_type, tags in found.items()})
