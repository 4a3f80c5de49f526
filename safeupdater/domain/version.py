"""Versions: numbers with an order, as SemVer 2.0.0 defines it and as releases really write them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import attrs

from safeupdater.errors import InvalidVersion

if TYPE_CHECKING:
    import semver

MAX_VERSION_TEXT = 128
"""The longest text that is ever read as a version: a tag can be no longer (OCI distribution 1.1)."""

# Fifteen digits hold every build number and time stamp, and survive JSON, SQL and float64 unharmed.
MAX_DIGITS = 15
NUMBER = rf"[0-9]{{1,{MAX_DIGITS}}}"
MAX_NUMBERS = 8
NUMBERS = rf"{NUMBER}(?:\.{NUMBER}){{0,{MAX_NUMBERS - 1}}}"

_WORDS = "alpha|beta|rc|cr|prerelease|preview|pre|dev|nightly|snapshot|canary|milestone|ea"
# A lone a, b or m means alpha, beta or milestone only before a number: `-b` may be anything.
_STAGE = rf"(?:(?:{_WORDS})(?:[-_.]?[0-9]+)?|[abm][-_.]?[0-9]+)"
WORD_END = r"(?=[-_+]|\Z)"
PRERELEASE = rf"(?i:{_STAGE})(?:\.[0-9A-Za-z]+)*{WORD_END}"
REVISION = rf"[-_](?:r|ls|k3s|rke2r|build\.?|(?:ce|ee)\.)?{NUMBER}{WORD_END}"
BUILD = r"[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*"

_SUFFIX = re.compile(rf"(?:[-._]?(?P<prerelease>{PRERELEASE}))?(?P<revisions>(?:{REVISION})*)")
_FOREIGN_PRERELEASE = re.compile(r"-(?P<prerelease>[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)")
_VERSION = re.compile(rf"(?P<numbers>{NUMBERS})(?P<suffix>(?!\.?[0-9])[^+]*)(?:\+(?P<build>{BUILD}))?")
_REVISION_PARTS = re.compile(rf"([-_](?:[a-z][a-z0-9]*?\.?)?)({NUMBER}){WORD_END}")
_NUMBERED_STAGE = re.compile(rf"((?:{_WORDS}|[abm]))-?([0-9]+)", re.IGNORECASE)

Revision = tuple[str, int]
"""A packaging revision: how it is written (``-``, ``_``, ``-r``, ``-ls``, ``-ce.``) and its number."""


def _canonical_prerelease(text: str | None) -> str | None:
    if text is None:
        return None
    if len(text) > MAX_VERSION_TEXT:
        raise InvalidVersion(f"a pre-release has at most {MAX_VERSION_TEXT} characters, not {len(text)}")
    parts = text.replace("_", "-").split(".")
    return ".".join(str(int(part)) if part.isdecimal() else part for part in parts)


@attrs.define(frozen=True, order=True, kw_only=True)
class Version:
    """A version: its numbers, pre-release, packaging revisions and build metadata.

    Order and equality are precedence: SemVer 2.0.0 §11 over any count of numbers (a missing one is 0),
    build metadata ignored, and then packaging revisions, of which none is the oldest. One departure from
    §11 is deliberate: the number glued to a pre-release word counts as a number, so rc10 follows rc9.

    ``numbers`` are all numbers as written (two for ``22.04``, four for ``4.0.4.1491``).
    ``prerelease`` is None for a final release, ``build`` None where there is no metadata. ``precedence``
    is the key that orders versions: sort by it where there are thousands.
    ``str()`` gives the canonical text, which ``parse`` reads back to an equal value.
    """

    numbers: tuple[int, ...] = attrs.field(eq=False)
    prerelease: str | None = attrs.field(default=None, converter=_canonical_prerelease, eq=False)
    revisions: tuple[Revision, ...] = attrs.field(default=(), eq=False)
    build: str | None = attrs.field(default=None, eq=False)
    precedence: tuple[object, ...] = attrs.field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        if not 1 <= len(self.numbers) <= MAX_NUMBERS:
            raise InvalidVersion(f"a version has 1 to {MAX_NUMBERS} numbers, not {len(self.numbers)}")
        if min(self.numbers) < 0 or max(self.numbers) >= 10**MAX_DIGITS:
            raise InvalidVersion(f"a number of a version has at most {MAX_DIGITS} digits and no sign")
        if (self.prerelease is not None or self.revisions) and _read_suffix(self._suffix) != (
            self.prerelease,
            self.revisions,
        ):
            raise InvalidVersion(f"{self._suffix!a} is not a pre-release with packaging revisions")
        if self.build is not None and re.fullmatch(BUILD, self.build) is None:
            raise InvalidVersion(f"{self.build!a} is not build metadata: expected letters, digits, - and .")
        precedence = (
            significant_numbers(self.numbers),
            _prerelease_precedence(self.prerelease),
            self.revisions,
        )
        object.__setattr__(self, "precedence", precedence)

    @classmethod
    def parse(cls, text: str) -> Version:
        """The version that a text writes out, without prefix and without variant: ``1.2.3-rc.1+b5``.

        ``-1``, ``-r4`` and their like are packaging revisions; anything else after the numbers is a
        pre-release, as in SemVer 2.0.0 §9. Image tags are read by ``SemVerAnalyzer.parse_version``.

        Raises:
            InvalidVersion: the text is longer than 128 characters, or not a version.
        """
        match = _VERSION.fullmatch(text) if len(text) <= MAX_VERSION_TEXT else None
        suffix = None if match is None else _read_suffix(match["suffix"])
        if match is None or suffix is None:
            shown = ascii(text if len(text) <= 80 else text[:77] + "...")
            raise InvalidVersion(f"{shown} is not a version: expected numbers like 1.2.3, then -pre or -1")
        numbers = tuple(map(int, match["numbers"].split(".")))
        return cls(numbers=numbers, prerelease=suffix[0], revisions=suffix[1], build=match["build"])

    @property
    def major(self) -> int:
        """The first number."""
        return self.numbers[0]

    @property
    def minor(self) -> int:
        """The second number, 0 where there is none."""
        return self.numbers[1] if len(self.numbers) > 1 else 0

    @property
    def patch(self) -> int:
        """The third number, 0 where there is none."""
        return self.numbers[2] if len(self.numbers) > 2 else 0

    @property
    def is_prerelease(self) -> bool:
        """Whether this comes before the final release of the same numbers."""
        return self.prerelease is not None

    def to_semver(self) -> semver.Version:
        """The same as python-semver's value: three numbers, pre-release and build.

        A fourth number and packaging revisions have no place there, so order by this class instead.
        """
        import semver  # only here: it costs 15 ms to import, and nothing else needs it

        return semver.Version(self.major, self.minor, self.patch, self.prerelease, self.build)

    @property
    def _suffix(self) -> str:
        prerelease = "" if self.prerelease is None else f"-{self.prerelease}"
        return prerelease + "".join(f"{label}{number}" for label, number in self.revisions)

    def __str__(self) -> str:
        build = f"+{self.build}" if self.build else ""
        return ".".join(map(str, self.numbers)) + self._suffix + build


def read_revisions(text: str) -> tuple[Revision, ...]:
    """The packaging revisions written one after the other in a text that matches REVISION's grammar."""
    return tuple((label, int(number)) for label, number in _REVISION_PARTS.findall(text))


def significant_numbers(numbers: tuple[int, ...]) -> tuple[int, ...]:
    """The numbers without trailing zeros: 1.25 and 1.25.0 take the same place in the order."""
    end = len(numbers)
    while end and not numbers[end - 1]:
        end -= 1
    return numbers[:end]


def _read_suffix(suffix: str) -> tuple[str | None, tuple[Revision, ...]] | None:
    match = _SUFFIX.fullmatch(suffix)
    if match is not None:
        return _canonical_prerelease(match["prerelease"]), read_revisions(match["revisions"])
    match = _FOREIGN_PRERELEASE.fullmatch(suffix)
    return None if match is None else (_canonical_prerelease(match["prerelease"]), ())


_FINAL = (1,)


def _prerelease_precedence(prerelease: str | None) -> tuple[object, ...]:
    if prerelease is None:
        return _FINAL
    return (0, *map(_identifier_precedence, prerelease.split(".")))


def _identifier_precedence(identifier: str) -> tuple[object, ...]:
    if identifier.isdecimal():
        return (0, int(identifier))
    stage = _NUMBERED_STAGE.fullmatch(identifier)
    return (1, stage[1], int(stage[2])) if stage else (1, identifier, -1)
