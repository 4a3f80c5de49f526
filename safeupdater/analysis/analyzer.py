"""The analyzer: what a tag says, how large a step is, and which of many tags to move to."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NoReturn

from safeupdater.analysis.ranges import VersionRange
from safeupdater.analysis.schemes import (
    MAX_MAJOR_STEP,
    FamilyRule,
    Tag,
    TagKind,
    family_difference,
    is_scheme_step,
    read_tag,
)
from safeupdater.analysis.selection import Question, Selection, Selections, sorted_by_type
from safeupdater.analysis.steps import size_of_release_step, size_of_step
from safeupdater.domain.change import VersionChangeType
from safeupdater.domain.version import Version
from safeupdater.errors import InvalidVersion

NO_CHANGE, UNKNOWN = VersionChangeType.NO_CHANGE, VersionChangeType.UNKNOWN
Comparison = tuple[int, VersionChangeType]


class SemVerAnalyzer:
    """Reads tags as versions, compares them, and chooses among them. It holds no state.

    Reading is memoised for the last few thousand tags of the process; everything is pure, so that one
    analyzer may be shared by threads.
    """

    def parse_version(self, text: str) -> Version | None:
        """The version that a tag says, prefix and variant left out; None where it says none.

        ``v1.2.3-beta.1+build.456`` is 1.2.3, pre-release beta.1, build build.456;
        ``1.25.3-alpine`` is 1.25.3. A floating tag, a commit hash or a signature says none.
        """
        tag = read_tag(text)
        return tag.version if isinstance(tag, Tag) else None

    def is_version(self, text: str) -> bool:
        """Whether a tag says a version."""
        return isinstance(read_tag(text), Tag)

    def is_floating(self, tag: str) -> bool:
        """Whether a tag is a moving name like ``latest`` or ``lts-jdk17``, to be tracked by its digest."""
        return read_tag(tag) is TagKind.FLOATING

    def same_family(self, current: str, new: str) -> bool:
        """Whether two tags are versions of the same thing: same prefix, count of numbers and variant.

        A floating tag, a commit or a signature is only of a family with itself.
        """
        ours, theirs = read_tag(current), read_tag(new)
        if isinstance(ours, TagKind) or isinstance(theirs, TagKind):
            return current == new
        return family_difference(ours, theirs) is None

    def is_scheme_change(self, current: str, new: str, max_major_step: int = MAX_MAJOR_STEP) -> bool:
        """Whether the two cannot be numbered by the same scheme: 10.11 → 2021.12, or only one a version."""
        ours, theirs = self.parse_version(current), self.parse_version(new)
        if ours is None or theirs is None:
            return (ours is None) != (theirs is None)
        return is_scheme_step(ours.major, theirs.major, max_major_step)

    def compare_versions(self, current: str, new: str) -> Comparison:
        """The order and the size of a step: 1 for up, 0 for equal, -1 for down, and its type.

        ``(0, NO_CHANGE)`` for equal versions and ``(-1, UNKNOWN)`` for a step down. Only the versions
        count, not the variants: whether the tags may be compared at all is ``same_family``'s to say.

        Raises:
            InvalidVersion: one of the two says no version.
        """
        ours, theirs = _required(current), _required(new)
        if theirs == ours:
            return 0, NO_CHANGE
        if theirs < ours:
            return -1, UNKNOWN
        return 1, size_of_step(ours, theirs)

    def determine_change_type(self, current: str, new: str) -> VersionChangeType:
        """The size of a step between two tags, each with ``@digest`` or without. Never raises.

        The same tag with another digest is ``DIGEST``. ``UNKNOWN`` for a step down and for tags that
        cannot be compared.
        """
        (ours, _, our_digest), (theirs, _, their_digest) = current.partition("@"), new.partition("@")
        if ours == theirs:
            is_other = our_digest and their_digest and our_digest != their_digest
            return VersionChangeType.DIGEST if is_other else NO_CHANGE
        try:
            return self.compare_versions(ours, theirs)[1]
        except InvalidVersion:
            return UNKNOWN

    def is_upgrade(self, current: str, new: str) -> bool:
        """Whether ``new`` is newer by the same numbering scheme. False where either says no version."""
        ours, theirs = self.parse_version(current), self.parse_version(new)
        return (
            ours is not None
            and theirs is not None
            and theirs > ours
            and not is_scheme_step(ours.major, theirs.major)
        )

    def is_breaking_change(self, current: str, new: str) -> bool:
        """Whether a step may break what uses it: a major step, in 0.y.z a minor one (SemVer 2.0.0 §4).

        Pre-releases count as the release that they lead to, and a step down as the same step up. True
        where either says no version: what cannot be compared is not known to be safe.
        """
        ours, theirs = self.parse_version(current), self.parse_version(new)
        if ours is None or theirs is None:
            return True
        if ours == theirs:
            return False
        low, high = sorted((ours, theirs))
        size = size_of_release_step(low, high)
        is_initial_development = low.major == 0 and size is VersionChangeType.MINOR
        return size is VersionChangeType.MAJOR or is_initial_development

    def find_update(
        self,
        current: str,
        tags: Iterable[str],
        *,
        constraint: VersionRange | str | None = None,
        allow_prerelease: bool = False,
        family: FamilyRule = "strict",
        max_major_step: int = MAX_MAJOR_STEP,
    ) -> Selection:
        """The newest tag that is safe to compare with the current one, and why each other was passed over.

        Linear in the count of tags; the order of ``tags`` does not matter, and the current tag need not be
        among them. ``constraint`` is a range in npm's grammar. A current pre-release may move to a newer
        one of the same release and to any later final release; other pre-releases only with
        ``allow_prerelease``. Under ``family="strict"`` prefix, count of numbers, labels of packaging
        revisions and variant must be the same. Under ``"loose"`` the count of numbers, a leading ``v`` and
        packaging revisions may differ, and only the words of prefix and variant must be the same.

        Raises:
            InvalidVersion: the constraint breaks the grammar of ranges.
        """
        question = _question(current, tags, constraint, allow_prerelease, family, max_major_step)
        nothing = NO_CHANGE if isinstance(question.running, Tag) else UNKNOWN
        tag, change_type = next(question.newest_first(), (None, nothing))
        return Selection(tag=tag, change_type=change_type, question=question)

    def find_updates(
        self,
        current: str,
        tags: Iterable[str],
        *,
        constraint: VersionRange | str | None = None,
        allow_prerelease: bool = False,
        family: FamilyRule = "strict",
        max_major_step: int = MAX_MAJOR_STEP,
    ) -> Selections:
        """Every tag that ``find_update`` could choose, by the size of the step, newest first.

        Raises:
            InvalidVersion: the constraint breaks the grammar of ranges.
        """
        question = _question(current, tags, constraint, allow_prerelease, family, max_major_step)
        return Selections(by_type=sorted_by_type(question.newest_first()), question=question)


def _question(
    current: str,
    tags: Iterable[str],
    constraint: VersionRange | str | None,
    allow_prerelease: bool,
    family: FamilyRule,
    max_major_step: int,
) -> Question:
    accepted = VersionRange.parse(constraint) if isinstance(constraint, str) else constraint
    return Question(current, tuple(tags), accepted, allow_prerelease, family, max_major_step)


def _required(text: str) -> Version:
    tag = read_tag(text)
    return tag.version if isinstance(tag, Tag) else _refuse(text, tag)


def _refuse(text: str, kind: TagKind) -> NoReturn:
    shown = ascii(text if len(text) <= 80 else text[:77] + "...")
    known = "" if kind is TagKind.NOT_A_VERSION else f" (a {kind.value} tag)"
    raise InvalidVersion(f"{shown} says no version{known}: expected something like 1.2.3, v1.2 or 1.2-alpine")
