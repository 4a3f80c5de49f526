"""Version ranges in npm's grammar: ``^1.2``, ``~1.2.3``, ``1.x``, ``>=1.2 <2``, ``1.2 - 1.4``, ``a || b``."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cached_property, lru_cache
from operator import eq, ge, gt, le, lt

import attrs

from safeupdater.analysis.strict import (
    MAX_SAFE_NUMBER,
    NUMERIC,
    STRICT_BUILD,
    STRICT_PRERELEASE,
    StrictVersion,
    Triple,
    parse_strict,
    strict,
)
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
class Partial:
    """A version of which the last numbers may be left open; None is an open number."""

    numbers: tuple[int | None, int | None, int | None]
    prerelease: str | None = None

    @property
    def given(self) -> int:
        """How many numbers are given, from the left."""
        return next((place for place, number in enumerate(self.numbers) if number is None), 3)

    @property
    def floor(self) -> Triple:
        """The lowest numbers that this stands for."""
        major, minor, patch = self.numbers
        return (major or 0, minor or 0, patch or 0)

    def above(self, given: int) -> Triple:
        """The lowest numbers beyond everything that shares the first ``given`` numbers."""
        kept = [*self.floor[: given - 1], self.floor[given - 1] + 1]
        major, minor, patch = [*kept, 0, 0, 0][:3]
        return (major, minor, patch)

    def __str__(self) -> str:
        if not self.given:
            return "*"
        numbers = ".".join(str(number) for number in self.numbers[: self.given])
        return f"{numbers}-{self.prerelease}" if self.prerelease else numbers


_COMPARE: dict[str, Callable[[StrictVersion, StrictVersion], bool]] = {
    "<": lt,
    "<=": le,
    ">": gt,
    ">=": ge,
    "=": eq,
}


@attrs.frozen
class Comparator:
    """One condition on a version: an operator of ``< <= > >= =`` and the version to compare with."""

    operator: str
    bound: StrictVersion

    def accepts(self, version: StrictVersion) -> bool:
        """Whether the condition holds."""
        return _COMPARE[self.operator](version, self.bound)


Comparators = tuple[Comparator, ...]
_NOTHING = (Comparator("<", strict((0, 0, 0), "0")),)


@attrs.frozen
class Term:
    """An operator (``""`` for equal, ``< <= > >= ^ ~``) and a partial version."""

    operator: str
    version: Partial

    def comparators(self, *, include_prerelease: bool) -> Comparators:
        """The plain conditions that this stands for, all of which must hold."""
        lowest = "0" if include_prerelease else None
        if not self.version.given:
            return _NOTHING if self.operator in ("<", ">") else ()
        match self.operator:
            case "^":
                return self._caret(lowest)
            case "~":
                return _between(self._floor(lowest), self.version.above(min(self.version.given, 2)))
            case _ if self.version.given == 3:
                return (Comparator(self.operator or "=", self._floor(None)),)
            case _:
                return self._open(lowest)

    def _floor(self, lowest: str | None) -> StrictVersion:
        return strict(self.version.floor, self.version.prerelease if self.version.given == 3 else lowest)

    def _caret(self, lowest: str | None) -> Comparators:
        given = self.version.given
        # What may not change is everything up to the first number that is not zero.
        leading = next((place for place in range(given) if self.version.floor[place]), given - 1)
        return _between(self._floor(lowest), self.version.above(leading + 1))

    def _open(self, lowest: str | None) -> Comparators:
        above = self.version.above(self.version.given)
        match self.operator:
            case ">":
                return (Comparator(">=", strict(above, lowest)),)
            case ">=":
                return (Comparator(">=", self._floor(lowest)),)
            case "<":
                return (Comparator("<", strict(self.version.floor, "0")),)
            case "<=":
                return (Comparator("<", strict(above, "0")),)
            case _:
                return _between(self._floor(lowest), above)

    def __str__(self) -> str:
        return f"{self.operator}{self.version}"


@attrs.frozen
class Span:
    """An inclusive range ``low - high``; open numbers of ``high`` take in everything that they stand for."""

    low: Partial
    high: Partial

    def comparators(self, *, include_prerelease: bool) -> Comparators:
        """The plain conditions that this stands for, all of which must hold."""
        lowest = "0" if include_prerelease else None
        low = Comparator(">=", strict(self.low.floor, self.low.prerelease or lowest))
        return ((low,) if self.low.given else ()) + self._upper(include_prerelease)

    def _upper(self, include_prerelease: bool) -> Comparators:
        given = self.high.given
        if not given:
            return ()
        if given < 3 or (include_prerelease and self.high.prerelease is None):
            return (Comparator("<", strict(self.high.above(given), "0")),)
        return (Comparator("<=", strict(self.high.floor, self.high.prerelease)),)

    def __str__(self) -> str:
        return f"{self.low} - {self.high}"


Alternative = tuple[Term | Span, ...]


def _between(floor: StrictVersion, above: Triple) -> Comparators:
    return (Comparator(">=", floor), Comparator("<", strict(above, "0")))


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
