# ruff: noqa: E501
"""Ranges in npm's grammar; the random comparison with node-semver is in tests/differential."""

from __future__ import annotations

import pytest

from safeupdater.analysis import SemVerAnalyzer, VersionRange
from safeupdater.analysis.strict import compare_semver, diff_semver
from safeupdater.domain.version import Version
from safeupdater.errors import InvalidVersion

CONTAINS = """
^1.2.3 | 1.2.3 1.9.0 | 1.2.2 2.0.0 1.3.0-rc.1 2.0.0-rc.1
^0.2.3 | 0.2.3 0.2.9 | 0.3.0 1.0.0
^0.0.3 | 0.0.3 | 0.0.4
^1.24 | 1.24.0 1.30.1 | 1.23.9 2.0.0
^0 | 0.0.1 0.9.9 | 1.0.0
~1.2.3 | 1.2.3 1.2.9 | 1.3.0 1.2.2
~1.2 | 1.2.0 1.2.9 | 1.3.0
~1 | 1.0.0 1.9.9 | 2.0.0
1.2.x | 1.2.0 1.2.9 | 1.3.0
1.X || 3.* | 1.0.0 3.9.9 | 2.0.0
* | 0.0.0 99.0.0 | 1.0.0-rc.1
1.2 - 1.4 | 1.2.0 1.4.9 | 1.5.0 1.1.9
1.2.3 - 2.0.0 | 1.2.3 2.0.0 | 2.0.1 1.2.2
>=1.2 <2 | 1.2.0 1.99.0 | 2.0.0 1.1.9
> 1.2 | 1.3.0 | 1.2.9
<= 1.2 | 1.2.9 0.1.0 | 1.3.0
=1.2.3 | 1.2.3 v1.2.3 1.2.3+build | 1.2.4
>=1.2.3-rc.1 | 1.2.3-rc.2 1.2.3 1.3.0 | 1.2.3-beta 1.3.0-rc.1
<* | | 0.0.0 1.0.0
"""


@pytest.mark.parametrize("line", CONTAINS.strip().splitlines())
def test_a_range_holds_what_npm_says_it_holds(line: str) -> None:
    text, inside, outside = line.rsplit("|", 2)
    accepted = VersionRange.parse(text.strip())

    assert [version for version in inside.split() if not accepted.contains(version)] == []
    assert [version for version in outside.split() if accepted.contains(version)] == []


def test_a_prerelease_is_in_a_range_only_by_name_or_consent() -> None:
    accepted = VersionRange.parse("^1.2")

    assert not accepted.contains("1.3.0-rc.1")
    assert accepted.contains("1.3.0-rc.1", include_prerelease=True)
    assert not accepted.contains("2.0.0-rc.1", include_prerelease=True)


def test_a_tag_is_asked_for_by_its_version() -> None:
    accepted, analyzer = VersionRange.parse("~1.25"), SemVerAnalyzer()
    version = analyzer.parse_version("1.25.3-alpine")
    assert version is not None

    assert accepted.contains(version)
    assert not accepted.contains("1.25.3-alpine"), "by SemVer this is a pre-release"


def test_revisions_and_further_numbers_do_not_matter_to_a_range() -> None:
    accepted = VersionRange.parse("4.0.4")

    assert accepted.contains(Version.parse("4.0.4.1491-ls12"))
    assert accepted.contains_final((4, 0, 4, 1491))
    assert not accepted.contains_final((4, 1))


@pytest.mark.parametrize(
    "version", ["", "1.2", "latest", "01.2.3", "1.2.3-01", "9" * 400, "1.2.3-" + "a" * 300]
)
def test_what_is_no_semver_is_in_no_range(version: str) -> None:
    assert not VersionRange.parse("*").contains(version, include_prerelease=True)


@pytest.mark.parametrize(
    "text",
    ["^1.2", "~1.2.3-rc.1", "1.x || >=2 <3", "1.2 - 1.4.5", "", "*", "= 1.2.3", "~>1", "> v1.2.0+5", "^1.x.3", "x - 2"],
)  # fmt: skip
def test_the_text_of_a_range_reads_back(text: str) -> None:
    accepted = VersionRange.parse(text)

    assert VersionRange.parse(str(accepted)) == accepted
    assert str(VersionRange.parse(str(accepted))) == str(accepted)


@pytest.mark.parametrize(
    ("text", "position", "hint"),
    [
        ("22.04", 5, "no leading zero"),
        ("^", 2, "expected a version"),
        ("1.2.3.4", 6, "expected a space"),
        (">=1.2.3<2", 8, "expected a space"),
        ("^1 || latest", 7, "expected a version"),
        ("1.x.3", 1, "follow an open one"),
        ("1 2 - 3", 1, "stands alone"),
        ("==1", 2, "expected a version"),
        ("9007199254740991", 1, "a number is below"),
        ("1" * 2000, 1, "at most 1024 characters"),
        ("１", 1, "expected a version"),
        ("^1.2\x1b[31m", 5, "expected a space"),
        ("\ud800", 1, "expected a version"),
    ],
)
def test_a_broken_range_says_where_and_what_was_expected(text: str, position: int, hint: str) -> None:
    with pytest.raises(InvalidVersion, match=hint) as caught:
        VersionRange.parse(text)

    assert caught.value.evidence["position"] == position
    assert caught.value.message.isascii()
    assert caught.value.message.isprintable()


def test_strict_comparison_names_what_is_no_semver() -> None:
    with pytest.raises(InvalidVersion, match=r"'1\.2' is not a version by SemVer"):
        compare_semver("1.2", "1.2.3")
    assert diff_semver("1.0.0-rc.1", "1.0.0") == "major"
    assert diff_semver("1.2.3", "1.2.3+build") is None


def test_numeric_prerelease_identifiers_are_compared_exactly() -> None:
    """node-semver compares them as doubles, in which these two are equal."""
    assert compare_semver("1.0.0-9007199254740993", "1.0.0-9007199254740992") == 1
