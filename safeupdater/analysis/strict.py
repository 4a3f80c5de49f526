"""SemVer 2.0.0 to the letter: how npm reads, compares and names the distance of two versions.

Image tags are read by ``schemes``; ranges and Helm charts need the strict grammar that is read here.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from safeupdater.errors import InvalidVersion

MAX_SAFE_NUMBER = 2**53 - 1
"""The largest number of a version that npm accepts."""

_MAX_TEXT = 256
NUMERIC = r"(?:0|[1-9][0-9]{0,15})"
_IDENTIFIER = r"(?:[0-9]*[A-Za-z-][0-9A-Za-z-]*|0|[1-9][0-9]*)"
STRICT_PRERELEASE = rf"{_IDENTIFIER}(?:\.{_IDENTIFIER})*"
STRICT_BUILD = r"[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*"
_STRICT = re.compile(
    rf"v?({NUMERIC})\.({NUMERIC})\.({NUMERIC})(?:-({STRICT_PRERELEASE}))?(?:\+{STRICT_BUILD})?"
)

Identifiers = tuple[tuple[int, int | str], ...]
Triple = tuple[int, int, int]


class StrictVersion(NamedTuple):
    """Three numbers and pre-release identifiers, ordered by SemVer 2.0.0 §11.

    Each identifier is ``(0, number)`` or ``(1, text)``; there are none in a final release.
    """

    numbers: Triple
    is_final: bool
    identifiers: Identifiers = ()

    def __str__(self) -> str:
        prerelease = ".".join(str(value) for _, value in self.identifiers)
        return ".".join(map(str, self.numbers)) + (f"-{prerelease}" if prerelease else "")


def strict(numbers: Triple, prerelease: str | None = None) -> StrictVersion:
    """The strict version with these numbers and this pre-release, None for a final release."""
    return StrictVersion(numbers, prerelease is None, identifiers(prerelease) if prerelease else ())


def identifiers(prerelease: str) -> Identifiers:
    """The dot-separated identifiers of a pre-release, ready to be compared."""
    return tuple(
        (0, int(part)) if part.isdecimal() and part.isascii() else (1, part) for part in prerelease.split(".")
    )


@lru_cache(maxsize=4096)
def parse_strict(text: str) -> StrictVersion | None:
    """The version that a text is by SemVer 2.0.0, a leading ``v`` allowed; None where it is none."""
    match = _STRICT.fullmatch(text) if len(text) <= _MAX_TEXT else None
    if match is None:
        return None
    major, minor, patch = (int(match[1]), int(match[2]), int(match[3]))
    if max(major, minor, patch) > MAX_SAFE_NUMBER:
        return None
    return strict((major, minor, patch), match[4])


def compare_semver(first: str, second: str) -> int:
    """-1, 0 or 1: the order of two versions by SemVer 2.0.0 §11, as node-semver's ``compare``.

    Raises:
        InvalidVersion: one of them is not a version by SemVer 2.0.0.
    """
    left, right = _required(first), _required(second)
    return (left > right) - (left < right)


def diff_semver(first: str, second: str) -> str | None:
    """How far apart two versions are, as node-semver's ``diff``; None where neither precedes the other.

    ``major minor patch`` between final releases, ``premajor preminor prepatch prerelease`` towards a
    pre-release; a final release after a pre-release is as far as the release that it finishes.

    Raises:
        InvalidVersion: one of them is not a version by SemVer 2.0.0.
    """
    low, high = sorted((_required(first), _required(second)))
    if low == high:
        return None
    if high.is_final and not low.is_final and (finished := _finished(low.numbers, high.numbers)):
        return finished
    prefix = "" if high.is_final else "pre"
    for name, before, after in zip(("major", "minor", "patch"), low.numbers, high.numbers, strict=True):
        if before != after:
            return prefix + name
    return "prerelease"


def _finished(low: Triple, high: Triple) -> str | None:
    if low[1:] == (0, 0):
        return "major"
    if low == high:
        return "patch" if low[2] else "minor"
    return None


def _required(text: str) -> StrictVersion:
    version = parse_strict(text)
    if version is None:
        shown = ascii(text if len(text) <= 80 else text[:77] + "...")
        raise InvalidVersion(f"{shown} is not a version by SemVer 2.0.0: expected 1.2.3, 1.2.3-rc.1 or so")
    return version
