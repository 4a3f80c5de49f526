"""How images are tagged: what a tag says, and which tags may be compared with one another.

A tag is ``prefix? numbers pre-release? revisions? variant?``. Two tags are of one family when everything
but the version itself is the same: ``1.25.3-alpine`` and ``1.27.0-alpine`` are, ``1.27.0-alpine-perl`` is
another product. Every pattern here is read in linear time, and never more than 128 characters of it.
"""

from __future__ import annotations

import enum
import re
from functools import lru_cache
from typing import Literal

import attrs

from safeupdater.domain.version import (
    BUILD,
    MAX_VERSION_TEXT,
    NUMBER,
    NUMBERS,
    PRERELEASE,
    REVISION,
    Revision,
    Version,
    read_revisions,
)

MAX_MAJOR_STEP = 500
"""A larger step of the first number is another numbering scheme (10.11 → 2021.12), not an upgrade."""

FamilyRule = Literal["strict", "loose"]
"""``strict``: everything but the version must be the same. ``loose``: see ``family_difference``."""


class TagKind(enum.Enum):
    """What a tag is that says no version."""

    FLOATING = "floating"
    """A moving name (``latest``, ``lts-jdk17``, ``php8.3-fpm``): only its digest tells versions apart."""
    COMMIT = "commit"
    SIGNATURE = "signature"
    """Where cosign and the OCI referrers fallback keep signatures, attestations and bills of materials."""
    NOT_A_VERSION = "not_a_version"


@attrs.frozen(kw_only=True)
class Family:
    """What two tags must have in common to be versions of the same thing.

    ``precision`` counts the numbers; ``stamped`` is true for dates like ``2024-05-10T01-41-38Z``.
    ``revisions`` and ``trailing_revisions`` are the labels of packaging revisions before and after the
    variant. Commit hashes in ``prefix`` and ``variant`` are written ``*``: they differ in every release.
    """

    prefix: str
    precision: int
    stamped: bool
    revisions: tuple[str, ...]
    variant: str
    trailing_revisions: tuple[str, ...]


@attrs.frozen(kw_only=True)
class Tag:
    """A tag that says a version. ``commit`` is the hash in it, None where there is none."""

    text: str
    version: Version
    family: Family
    commit: str | None


_TAG_TEXT = re.compile(rf"[A-Za-z0-9_][A-Za-z0-9._+-]{{0,{MAX_VERSION_TEXT - 1}}}")
_SIGNATURE = re.compile(
    r"sha256-[0-9a-f]{64}(?:\.[a-z]+)?|sha512-[0-9a-f]{128}(?:\.[a-z]+)?|.*\.(?:sig|att|sbom)"
)
_HASH = r"(?=[0-9]*[a-f])[0-9a-f]{7,40}"
_COMMIT_WORD = re.compile(rf"(?<![^-_.])g?{_HASH}(?![^-_.])")
_COMMIT_BY_NAME = re.compile(r"(?:.*[-_.])?(?:sha|git|commit|rev)[-_.]?[0-9a-f]{7,40}")
_DIGIT_LED_WORD = re.compile(r"(?<![^-_])[vV]?[0-9]")


def _once(group: str, pattern: str) -> str:
    """The pattern with what it matched first taken for good, as a group: nothing shorter is tried again.

    That is what ``(?>…)`` and ``*+`` are for, but CPython before 3.11.5 (Debian 12 has 3.11.2) fails to match
    them where there is something to try again within (cpython #106052).
    """
    return rf"(?=(?P<{group}>{pattern}))(?P={group})"


_GLUED = r"(?i:version|ver|v|release|rel|r)"
# A word with digits may end in `-` or `_` only: in `python3.12` the dot belongs to Python's version.
# No text is matched by two of these, and a row of them is read once: otherwise `a-a-a-…` takes for ever.
_PREFIX_WORD = (
    rf"(?:(?=[0-9]){_HASH}[-_]|x86_64[-_.]|(?!{_GLUED}[0-9]|x86_64)(?:[A-Za-z]+\.|[A-Za-z][A-Za-z0-9]*[-_]))"
)
_STAMP = r"(?:19|20)[0-9]{2}-(?:0[1-9]|1[0-2])-[0-3][0-9](?:T[0-9]{2}-[0-9]{2}-[0-9]{2}Z)?"
_PARTS = r"(?:(?:-+|_+|\.)[A-Za-z0-9]+)*"
_VERSION_TAG = re.compile(
    rf"(?P<prefix>{_once('words', f'{_PREFIX_WORD}*')}{_GLUED}?)"
    rf"(?:(?P<stamp>{_STAMP})|(?P<numbers>{NUMBERS}))(?!\.?[0-9])"
    rf"(?:[-._]?(?P<prerelease>{PRERELEASE}))?"
    rf"{_once('revisions', f'(?:{REVISION})*')}"
    rf"(?P<variant>(?:[A-Za-z][A-Za-z0-9]*)?{_once('parts', _PARTS)})"
    rf"(?:\+(?P<build>{BUILD}))?"
)
_NUMBER = re.compile(NUMBER)
_TRAILING_REVISIONS = re.compile(rf"(?:[-_](?:r|ls){NUMBER})+\Z")
_PRERELEASE_IN_VARIANT = re.compile(rf"[-_]({PRERELEASE})")


@lru_cache(maxsize=8192)
def read_tag(text: str) -> Tag | TagKind:
    """What a tag says: a version and its family, or what kind of tag it is instead. Never raises."""
    if not isinstance(text, str) or _TAG_TEXT.fullmatch(text) is None:
        return TagKind.NOT_A_VERSION
    if _SIGNATURE.fullmatch(text):
        return TagKind.SIGNATURE
    if _COMMIT_WORD.fullmatch(text) or _COMMIT_BY_NAME.fullmatch(text):
        return TagKind.COMMIT
    match = _VERSION_TAG.fullmatch(text)
    return _kind_without_version(text) if match is None else _read_version_tag(text, match)


def _kind_without_version(text: str) -> TagKind:
    if _COMMIT_WORD.search(text):
        return TagKind.COMMIT
    return TagKind.NOT_A_VERSION if _DIGIT_LED_WORD.search(text) else TagKind.FLOATING


def _read_version_tag(text: str, match: re.Match[str]) -> Tag:
    prefix, stamp, numbers_text, prerelease, revisions, variant, build = match.group(
        "prefix", "stamp", "numbers", "prerelease", "revisions", "variant", "build"
    )
    if variant and prerelease is None and (inner := _PRERELEASE_IN_VARIANT.search(variant)):
        # `12.0.1-ubi9-rc`: the word says what the release is, wherever it stands.
        prerelease, variant = inner[1], variant[: inner.start()] + variant[inner.end() :]
    before = read_revisions(revisions) if revisions else ()
    after: tuple[Revision, ...] = ()
    if variant and (trailing := _TRAILING_REVISIONS.search(variant)):
        after, variant = read_revisions(trailing[0]), variant[: trailing.start()]
    numbers = tuple(map(int, _NUMBER.findall(stamp or numbers_text)))
    labels = tuple(label for label, _ in before), tuple(label for label, _ in after)
    family = _family(prefix, len(numbers), stamp is not None, labels, variant)
    version = Version(numbers=numbers, prerelease=prerelease, revisions=before + after, build=build)
    has_commit = "*" in family.prefix or "*" in family.variant
    commit = (_COMMIT_WORD.search(prefix) or _COMMIT_WORD.search(variant)) if has_commit else None
    return Tag(text=text, version=version, family=family, commit=commit[0] if commit else None)


@lru_cache(maxsize=1024)
def _family(
    prefix: str, precision: int, stamped: bool, labels: tuple[tuple[str, ...], tuple[str, ...]], variant: str
) -> Family:
    return Family(
        prefix=_COMMIT_WORD.sub("*", prefix),
        precision=precision,
        stamped=stamped,
        revisions=labels[0],
        variant=_COMMIT_WORD.sub("*", variant),
        trailing_revisions=labels[1],
    )


@lru_cache(maxsize=512)
def final_release_pattern(family: Family) -> re.Pattern[str] | None:
    """A pattern that matches exactly the final releases of a family, with each of its numbers as a group.

    It reads a tag ten times faster than ``read_tag`` does. None for the rare shapes where a plain pattern
    could read a tag otherwise than ``read_tag``: stamps, commit hashes, glued variants, and texts that
    could grow too long.
    """
    literal = family.prefix + family.variant
    labels = family.revisions + family.trailing_revisions
    longest = len(literal) + sum(map(len, labels)) + (family.precision + len(labels)) * 16
    is_plain = not family.stamped and "*" not in literal and not family.variant[:1].isalpha()
    looks_like_stamp = family.precision == 1 and len(family.revisions) > 1
    if not is_plain or looks_like_stamp or longest > MAX_VERSION_TEXT:
        return None
    number = f"({NUMBER})"
    return re.compile(
        re.escape(family.prefix)
        + r"\.".join([number] * family.precision)
        + "".join(re.escape(label) + number for label in family.revisions)
        + re.escape(family.variant)
        + "".join(re.escape(label) + number for label in family.trailing_revisions)
    )


def family_difference(current: Tag, new: Tag, rule: FamilyRule = "strict") -> str | None:
    """The code of what keeps two tags from being compared; None where they are of one family.

    Under ``loose`` only what makes another product counts: the variant and the words of the prefix. The
    count of numbers, a leading ``v`` and the labels of packaging revisions may then differ.
    """
    ours, theirs = current.family, new.family
    if rule == "loose":
        ours, theirs = _loosened(ours), _loosened(theirs)
    if ours.prefix != theirs.prefix:
        return "other_prefix"
    if (ours.precision, ours.stamped) != (theirs.precision, theirs.stamped):
        return "other_precision"
    return None if ours == theirs else "other_variant"


def _loosened(family: Family) -> Family:
    prefix = family.prefix.removesuffix("v").removesuffix("V")
    return attrs.evolve(family, prefix=prefix, precision=0, revisions=(), trailing_revisions=())


def is_scheme_step(current: int, new: int, max_major_step: int = MAX_MAJOR_STEP) -> bool:
    """Whether two first numbers are too far apart to be counted by the same scheme.

    Dates and times written as one number (``20240612``, ``202406121530``, Unix seconds) leap from month
    to month; two of the same length are the same scheme.
    """
    if abs(new - current) <= max_major_step:
        return False
    return not (len(str(current)) == len(str(new)) and _is_moment(current) and _is_moment(new))


_FIRST_UNIX_SECOND, _LAST_UNIX_SECOND = 1_000_000_000, 4_102_444_799  # 2001 to 2099
_CALENDAR_DIGITS = (8, 12, 14)


def _is_moment(number: int) -> bool:
    digits = str(number)
    if len(digits) == 10:
        return _FIRST_UNIX_SECOND <= number <= _LAST_UNIX_SECOND
    if len(digits) not in _CALENDAR_DIGITS:
        return False
    year, month, day = int(digits[:4]), int(digits[4:6]), int(digits[6:8])
    return 1970 <= year <= 2099 and 1 <= month <= 12 and 1 <= day <= 31
