"""The terms of a version range and the plain conditions that they stand for, by npm's rules."""

from __future__ import annotations

from collections.abc import Callable
from operator import eq, ge, gt, le, lt

import attrs

from safeupdater.analysis.strict import StrictVersion, Triple, strict


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
