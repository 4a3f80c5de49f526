# ruff: noqa: E501
"""Version: what it holds, how it is ordered, and that its text reads back."""

from __future__ import annotations

import itertools

import pytest

from safeupdater.domain.version import MAX_DIGITS, Version
from safeupdater.errors import InvalidVersion

ORDERED = [
    "1.0.0-alpha",
    "1.0.0-alpha.1",
    "1.0.0-alpha.beta",
    "1.0.0-beta",
    "1.0.0-beta.2",
    "1.0.0-beta.11",
    "1.0.0-rc.1",
    "1.0.0-rc9",
    "1.0.0-rc10",
    "1.0.0",
    "1.0.0-1",
    "1.0.0-2",
    "1.0.0-10",
    "1.0.0-r1",
    "1.0.0-r1-ls9",
    "1.0.0-r1-ls10",
    "1.0.0.1",
    "1.0.1",
    "1.2",
    "1.10",
    "2",
    "22.04",
    "2024.01.1",
]


def test_versions_are_ordered_as_semver_says_and_then_by_packaging_revision() -> None:
    versions = [Version.parse(text) for text in ORDERED]

    for (low, first), (high, second) in itertools.combinations(enumerate(versions), 2):
        assert first < second, (ORDERED[low], ORDERED[high])
        assert not second <= first


@pytest.mark.parametrize("text", ORDERED)
def test_the_text_of_a_version_reads_back(text: str) -> None:
    version = Version.parse(text)

    again = Version.parse(str(version))

    assert again == version
    assert str(again) == str(version)


def test_the_example_of_the_architecture_document_is_read() -> None:
    version = Version.parse("1.2.3-beta.1+build.456")

    assert (version.major, version.minor, version.patch) == (1, 2, 3)
    assert (version.prerelease, version.build) == ("beta.1", "build.456")
    assert str(version.to_semver()) == "1.2.3-beta.1+build.456"


def test_all_numbers_are_kept_as_written() -> None:
    assert Version.parse("22.04").numbers == (22, 4)
    assert Version.parse("4.0.4.1491").numbers == (4, 0, 4, 1491)
    assert (Version.parse("7").minor, Version.parse("7").patch) == (0, 0)


@pytest.mark.parametrize(
    ("first", "second"),
    [("1.25", "1.25.0"), ("1.0.0+a", "1.0.0+b"), ("1.0.0-rc.01", "1.0.0-rc.1"), ("0", "0.0")],
)
def test_versions_of_equal_precedence_are_equal(first: str, second: str) -> None:
    ours, theirs = Version.parse(first), Version.parse(second)

    assert ours == theirs
    assert hash(ours) == hash(theirs)


@pytest.mark.parametrize(
    "text",
    ["", "v1.2.3", "latest", "1.2.", ".1", "1..2", "1.2.3-", "1.2.3+", "1.2.3 ", "-1", "１.２.３", "1.2.³", "1.2.3-rc.1\n",
     "1." * 8 + "1", "1" * (MAX_DIGITS + 1), "1.0.0-" + "0." * 5000, "1.2.3-\ud800", "1.2.3-é", "1.2.3+a..b"],
)  # fmt: skip
def test_a_text_that_is_no_version_is_refused_with_what_was_expected(text: str) -> None:
    with pytest.raises(InvalidVersion, match="is not a version: expected numbers") as caught:
        Version.parse(text)

    assert caught.value.message.isascii()
    assert len(caught.value.message) < 300


@pytest.mark.parametrize(
    "fields",
    [
        {"numbers": ()},
        {"numbers": (1,) * 9},
        {"numbers": (-1, 0)},
        {"numbers": (10**MAX_DIGITS,)},
        {"numbers": (1,), "prerelease": ""},
        {"numbers": (1,), "prerelease": "5"},
        {"numbers": (1,), "prerelease": "a b"},
        {"numbers": (1,), "prerelease": "9" * 5000},
        {"numbers": (1,), "revisions": (("x", 1),)},
        {"numbers": (1,), "prerelease": "foo", "revisions": (("-", 1),)},
        {"numbers": (1,), "build": "a..b"},
        {"numbers": (1,), "build": ""},
    ],
)
def test_a_version_that_could_not_be_read_back_cannot_be_made(fields: dict[str, object]) -> None:
    with pytest.raises(InvalidVersion):
        Version(**fields)  # type: ignore[arg-type]
