"""Version ranges in npm's grammar: ``^1.2``, ``~1.2.3``, ``1.x``, ``>=1.2 <2``, ``1.2 - 1.4``, ``a || b``."""

from __future__ import annotations

import re
from functools import cached_property, lru_cache

import attrs

from safeupdater.analysis.strict import (
    MAX_SAFE_NUMBER,
    NUMERIC,
    STRICT_BUILD,
    STRICT_PRERELEASE,
    StrictVersion,
    parse_strict,
    strict,
)
from safeupdater.analysis.terms import Alternative, Comparator, Comparators, Partial, Span, Term
from safeupdater.domain.version import Version
from safeupdater.errors import InvalidVersion

_MAX_TEXT = 1024

_PART = rf"(?:{NUMERIC}|[xX*])"
_PARTIAL = re.compile(
    rf"v?({_PART})(?:\.({_PART})(?:\.({_PART})(?:-({STRICT_PRERELEASE}))?(?:\+{STRICT_BUILD})?)?)?"
)
_OPERATOR = re.compile(r"(?:[<>]=?|=|\^|~>?)?")
_SPACES = re.compile(r"\s*")
_HYPHEN = re.compile(r"\s+-\s+")


@attrs.frozen
class VersionRange:
    """A set of versions in npm's grammar: alternatives, each a tuple of terms that must all hold.

    ``str()`` gives the canonical text, which ``parse`` reads back to an equal value.
    """

    alternatives: tuple[Alternative, ...]

    @classmethod
    def parse(cls, text: str) -> VersionRange:
        """The range that a text writes in npm's grammar; the empty text is every final release.

        Raises:
            InvalidVersion: the text breaks the grammar; ``evidence["position"]`` says at which character.
        """
        return _parse(text)

    def contains(self, version: Version | str, *, include_prerelease: bool = False) -> bool:
        """Whether a version is in the range.

        A pre-release is only in a range that names a pre-release of the same three numbers, unless
        ``include_prerelease``: npm's rule, since ``^1.2`` is no consent to 1.3.0-alpha.

        A ``Version`` counts with its first three numbers and its pre-release; packaging revisions and
        further numbers do not matter here. A text is read as npm reads it, by SemVer 2.0.0, and is in no
        range when it is not a version: ``1.25.3-alpine`` is a pre-release there. For a text from a tag
        pass ``SemVerAnalyzer.parse_version(tag)``.
        """
        if isinstance(version, Version):
            found: StrictVersion | None = strict(
                (version.major, version.minor, version.patch), version.prerelease
            )
        else:
            found = parse_strict(version.strip())
        if found is None:
            return False
        sets = self._with_prereleases if include_prerelease else self._plain
        return any(_accepts(comparators, found, include_prerelease) for comparators in sets)

    def contains_final(self, numbers: tuple[int, ...]) -> bool:
        """Whether the final release with these numbers is in the range: ``contains`` without a value."""
        major, minor, patch = (*numbers[:3], 0, 0)[:3]
        found = StrictVersion((major, minor, patch), True)
        return any(_accepts(comparators, found, False) for comparators in self._plain)

    @cached_property
    def _plain(self) -> tuple[Comparators, ...]:
        return self._comparators(include_prerelease=False)

    @cached_property
    def _with_prereleases(self) -> tuple[Comparators, ...]:
        return self._comparators(include_prerelease=True)

    def _comparators(self, *, include_prerelease: bool) -> tuple[Comparators, ...]:
        everything = Comparator(">=", strict((0, 0, 0), "0" if include_prerelease else None))
        sets = tuple(
            tuple(
                comparator
                for term in alternative
                for comparator in term.comparators(include_prerelease=include_prerelease)
                if comparator != everything
            )
            for alternative in self.alternatives
        )
        # Where one alternative is everything, npm drops the others, the pre-releases they name included.
        return ((),) if () in sets else sets

    def __str__(self) -> str:
        return " || ".join(" ".join(map(str, alternative)) for alternative in self.alternatives)


def _accepts(comparators: Comparators, version: StrictVersion, include_prerelease: bool) -> bool:
    if not all(comparator.accepts(version) for comparator in comparators):
        return False
    return (
        include_prerelease
        or version.is_final
        or any(
            not comparator.bound.is_final and comparator.bound.numbers == version.numbers
            for comparator in comparators
        )
    )


@lru_cache(maxsize=1024)
def _parse(text: str) -> VersionRange:
    if len(text) > _MAX_TEXT:
        raise _invalid(text, 0, f"a range has at most {_MAX_TEXT} characters")
    alternatives, start = [], 0
    for piece in text.split("||"):
        alternatives.append(_parse_alternative(text, start, start + len(piece)))
        start += len(piece) + len("||")
    return VersionRange(tuple(alternatives))


def _parse_alternative(text: str, start: int, end: int) -> Alternative:
    terms: list[Term | Span] = []
    place = _skip_spaces(text, start, end)
    while place < end:
        term, place = _parse_term(text, place, end)
        after = _skip_spaces(text, place, end)
        if after == place < end:
            raise _invalid(text, place, "expected a space, || or the end")
        terms.append(term)
        place = after
    if len(terms) > 1 and any(isinstance(term, Span) for term in terms):
        raise _invalid(text, start, "a hyphen range stands alone between ||")
    return tuple(terms) or (Term("", Partial((None, None, None))),)


def _parse_term(text: str, place: int, end: int) -> tuple[Term | Span, int]:
    sign = _OPERATOR.match(text, place, end)
    assert sign is not None  # it matches the empty text too
    version, after = _parse_partial(text, _skip_spaces(text, sign.end(), end), end)
    operator = sign[0]
    hyphen = None if operator else _HYPHEN.match(text, after, end)
    if hyphen:
        high, after = _parse_partial(text, hyphen.end(), end)
        return Span(_as_far_as_given(version), _as_far_as_given(high)), after
    if operator not in ("^", "~", "~>") and any(
        number is not None for number in version.numbers[version.given :]
    ):
        raise _invalid(text, place, "no number may follow an open one (write 1.x or *, not 1.x.3)")
    return Term({"=": "", "~>": "~"}.get(operator, operator), _as_far_as_given(version)), after


def _parse_partial(text: str, place: int, end: int) -> tuple[Partial, int]:
    match = _PARTIAL.match(text, place, end)
    if match is None:
        raise _invalid(text, place, "expected a version like 1, 1.2, 1.2.x or 1.2.3-rc.1")
    if match.end() < end and text[match.end()].isdecimal():
        raise _invalid(text, match.end(), "a number has no leading zero (write 22.4 for 22.04)")
    numbers = [int(part) if part and part.isdecimal() else None for part in match.groups()[:3]]
    if any(number is not None and number >= MAX_SAFE_NUMBER for number in numbers):
        raise _invalid(text, place, f"a number is below {MAX_SAFE_NUMBER}")
    major, minor, patch = numbers
    return Partial((major, minor, patch), match[4]), match.end()


def _as_far_as_given(partial: Partial) -> Partial:
    given = partial.given
    major, minor, patch = (*partial.numbers[:given], None, None, None)[:3]
    return Partial((major, minor, patch), partial.prerelease if given == 3 else None)


def _skip_spaces(text: str, place: int, end: int) -> int:
    match = _SPACES.match(text, place, end)
    assert match is not None  # it matches the empty text too
    return match.end()


def _invalid(text: str, place: int, expected: str) -> InvalidVersion:
    shown = ascii(text if len(text) <= 80 else text[:77] + "...")
    return InvalidVersion(
        f"{shown} is not a version range: at character {place + 1}: {expected}", position=place + 1
    )
