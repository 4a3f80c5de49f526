# ruff: noqa: E501
"""The analyzer's answers about single tags and pairs, its options, and what bad input gets."""

from __future__ import annotations

import string
import time
import tracemalloc

import pytest

from safeupdater.analysis import SemVerAnalyzer, VersionRange
from safeupdater.analysis.schemes import read_tag
from safeupdater.domain.change import VersionChangeType
from safeupdater.errors import InvalidVersion

MAJOR, MINOR, PATCH = VersionChangeType.MAJOR, VersionChangeType.MINOR, VersionChangeType.PATCH
PRERELEASE, NO_CHANGE, UNKNOWN = (
    VersionChangeType.PRERELEASE,
    VersionChangeType.NO_CHANGE,
    VersionChangeType.UNKNOWN,
)
ANALYZER = SemVerAnalyzer()

# Everything that the parser must survive: unicode digits, surrogates, control characters, excess.
HOSTILE = [
    "", " ", "\x00", "\ud800", "１.２.３", "1.2.³", "1.2.3\n", "1.2.3\r\n1.2.4", "\x1b[31m1.2.3", "\u202e1.2.3",
    "1.0.0-" + "0." * 5000, "9" * 10_000, "v" * 10_000, "1." * 64 + "1", "a" * 127 + "1", "-" * 128, "1-" * 64,
    "99999999999999999999.0.0", "1.2.3/4", "1.2.3:4", "{{1.2.3}}", "${HOME}", "1.2.3-" + "a-" * 60, "0x10.1.1",
    "1_" * 64, "a1-" * 42, "1.2.3-" + "r1-" * 40, "1.2.3" + "-ls1" * 30, "v01.02.3", "1.2.3+meta", "20240101",
]  # fmt: skip


@pytest.mark.parametrize(
    ("current", "new", "expected"),
    [
        ("1.2.3", "1.2.4", (1, PATCH)),
        ("1.2.3", "1.3.0", (1, MINOR)),
        ("1.2.3", "2.0.0", (1, MAJOR)),
        ("1.2.3", "1.2.3", (0, NO_CHANGE)),
        ("1.2.3", "v1.2.3", (0, NO_CHANGE)),
        ("1.2", "1.2.0", (0, NO_CHANGE)),
        ("1.2.3", "1.2.2", (-1, UNKNOWN)),
        ("1.0.0", "1.0.0-rc.1", (-1, UNKNOWN)),
        ("1.0.0-rc.1", "1.0.0-rc.2", (1, PRERELEASE)),
        ("1.0.0", "2.0.0-rc.1", (1, PRERELEASE)),
        ("1.0.0-rc.1", "1.0.0", (1, MAJOR)),
        ("1.1.0-rc.1", "1.1.0", (1, MINOR)),
        ("1.1.1-rc.1", "1.1.1", (1, PATCH)),
        ("1.1.0-rc.1", "1.1.1", (1, MINOR)),
        ("1.0.0-rc.1", "1.0.1", (1, MAJOR)),
        ("1.2.3-rc.1", "2.0.0", (1, MAJOR)),
        ("1.2.3-1", "1.2.3-2", (1, PATCH)),
        ("1.2.3", "1.2.3-1", (1, PATCH)),
        ("17-1", "17-2", (1, PATCH)),
        ("4.0.4.1491", "4.0.4.1492", (1, PATCH)),
        ("1.25.3-alpine", "1.25.4-alpine", (1, PATCH)),
        ("22.04", "24.04", (1, MAJOR)),
        ("RELEASE.2024-05-10T01-41-38Z", "RELEASE.2024-05-11T00-00-00Z", (1, PATCH)),
    ],
)
def test_compare_gives_the_order_and_the_size_of_the_step(
    current: str, new: str, expected: tuple[int, VersionChangeType]
) -> None:
    assert ANALYZER.compare_versions(current, new) == expected
    assert ANALYZER.determine_change_type(current, new) is expected[1]
    assert ANALYZER.is_upgrade(current, new) is (expected[0] == 1)


@pytest.mark.parametrize(
    "text", ["latest", "abc1234", "", "sha256-" + "0" * 64 + ".sig", "1.2.3.", "\x1b[0m", "9" * 999]
)
def test_compare_refuses_what_says_no_version(text: str) -> None:
    for pair in ((text, "1.2.3"), ("1.2.3", text)):
        with pytest.raises(InvalidVersion, match="says no version") as caught:
            ANALYZER.compare_versions(*pair)
        assert caught.value.message.isascii()
        assert caught.value.message.isprintable()
        assert ANALYZER.determine_change_type(*pair) is UNKNOWN
        assert ANALYZER.is_upgrade(*pair) is False
        assert ANALYZER.is_breaking_change(*pair) is True
        assert ANALYZER.is_scheme_change(*pair) is True


def test_the_example_of_the_architecture_document_is_read() -> None:
    version = ANALYZER.parse_version("v1.2.3-beta.1+build.456")

    assert version is not None
    assert (version.major, version.minor, version.patch) == (1, 2, 3)
    assert (version.prerelease, version.build) == ("beta.1", "build.456")
    assert str(version.to_semver()) == "1.2.3-beta.1+build.456"


@pytest.mark.parametrize(
    ("current", "new", "breaking"),
    [
        ("1.2.3", "2.0.0", True),
        ("1.2.3", "1.9.0", False),
        ("0.2.3", "0.3.0", True),
        ("0.2.3", "0.2.4", False),
        ("0.9.0", "1.0.0", True),
        ("1.2.3", "1.2.3", False),
        ("1.2.3", "2.0.0-rc.1", True),
        ("1.2.3", "1.3.0-rc.1", False),
        ("1.0.0-rc.1", "1.0.0", True),
        ("2.0.0", "1.9.9", True),
        ("1.2.4", "1.2.3", False),
    ],
)
def test_breaking_is_a_major_step_and_in_initial_development_a_minor_one(
    current: str, new: str, breaking: bool
) -> None:
    assert ANALYZER.is_breaking_change(current, new) is breaking


def test_a_scheme_change_is_never_an_upgrade() -> None:
    assert ANALYZER.is_scheme_change("10.11", "2021.12")
    assert not ANALYZER.is_upgrade("10.11", "2021.12")
    assert not ANALYZER.is_scheme_change("10.11", "2021.12", max_major_step=3000)
    assert not ANALYZER.is_scheme_change("20231231", "20240101")
    assert ANALYZER.is_scheme_change("20240231", "30240101")
    assert not ANALYZER.is_scheme_change("latest", "stable")


def test_the_same_tag_with_other_bits_is_a_digest_change() -> None:
    first, second = "sha256:" + "a" * 64, "sha256:" + "b" * 64

    assert ANALYZER.determine_change_type(f"latest@{first}", f"latest@{second}") is VersionChangeType.DIGEST
    assert ANALYZER.determine_change_type(f"latest@{first}", f"latest@{first}") is NO_CHANGE
    assert ANALYZER.determine_change_type("latest", f"latest@{second}") is NO_CHANGE
    assert ANALYZER.determine_change_type(f"1.2.3@{first}", f"1.2.4@{second}") is PATCH
    assert ANALYZER.determine_change_type(f"latest@{first}", f"edge@{second}") is UNKNOWN


@pytest.mark.parametrize(
    ("current", "new", "same"),
    [
        ("1.12-alpine", "1.15-alpine", True),
        ("1.12-alpine", "1.15-alpine-perl", False),
        ("1.2.3", "v1.2.3", False),
        ("1.2.3", "1.2", False),
        ("1.2.3-rc.1", "1.2.3", True),
        ("latest", "latest", True),
        ("latest", "stable", False),
        ("latest", "1.2.3", False),
    ],
)
def test_a_family_has_one_prefix_one_precision_and_one_variant(current: str, new: str, same: bool) -> None:
    assert ANALYZER.same_family(current, new) is same
    assert ANALYZER.same_family(new, current) is same


@pytest.mark.parametrize(
    "tag", ["latest", "stable", "edge", "lts-jdk17", "php8.3-fpm", "alpine3.20", "main", "amd64"]
)
def test_a_moving_name_floats(tag: str) -> None:
    assert ANALYZER.is_floating(tag)
    assert not ANALYZER.is_version(tag)


@pytest.mark.parametrize(
    "tag", ["1.2.3", "1", "abc1234", "sha256-" + "0" * 64, "1..2", "", "not a tag", "sha-1234567"]
)
def test_a_version_a_commit_a_signature_and_rubbish_do_not_float(tag: str) -> None:
    assert not ANALYZER.is_floating(tag)


# --- options -----------------------------------------------------------------------------------------------


def test_a_constraint_keeps_newer_tags_away_and_says_so() -> None:
    tags = ["1.24.5", "1.25.0", "2.0.0", "2.1.0"]

    found = ANALYZER.find_update("1.24.0", tags, constraint="^1.24")

    assert found.tag == "1.25.0"
    assert {skipped.tag: skipped.code for skipped in found.skipped} == {
        "1.24.5": "not_newest",
        "2.0.0": "outside_constraint",
        "2.1.0": "outside_constraint",
    }
    assert found == ANALYZER.find_update("1.24.0", tags, constraint=VersionRange.parse("^1.24"))


@pytest.mark.parametrize(
    ("current", "tags", "constraint", "expected"),
    [
        ("1.25.3-alpine", "1.25.4-alpine 1.26.0-alpine", "~1.25", "1.25.4-alpine"),
        ("22.04", "22.10 24.04", "22", "22.10"),
        ("4.0.4.1", "4.0.4.9 4.1.0.0", "4.0.x", "4.0.4.9"),
        ("16.3.0-debian-12-r4", "16.4.0-debian-12-r0 17.0.0-debian-12-r0", "16", "16.4.0-debian-12-r0"),
        ("RELEASE.2024-05-10T01-41-38Z", "RELEASE.2024-06-13T22-53-53Z", "2023", None),
        ("1.0.0", "1.0.1", "<0.0.0-0", None),
    ],
)
def test_a_constraint_holds_for_every_style_of_tag(
    current: str, tags: str, constraint: str, expected: str | None
) -> None:
    assert ANALYZER.find_update(current, tags.split(), constraint=constraint).tag == expected


def test_a_broken_constraint_is_an_error_even_where_no_tag_needs_it() -> None:
    with pytest.raises(InvalidVersion, match="at character 1"):
        ANALYZER.find_update("1.0.0", [], constraint="newest")


def test_prereleases_of_other_releases_need_consent() -> None:
    tags = ["2.0.0-rc.1", "2.0.0-rc.2", "1.0.1"]

    assert ANALYZER.find_update("1.0.0", tags).tag == "1.0.1"
    found = ANALYZER.find_update("1.0.0", tags, allow_prerelease=True)
    assert (found.tag, found.change_type) == ("2.0.0-rc.2", PRERELEASE)
    assert ANALYZER.find_update("1.0.0", tags, allow_prerelease=True, constraint="^1").tag == "1.0.1"


@pytest.mark.parametrize(
    ("current", "tags", "expected"),
    [
        ("1.25", "1.25.3 1.24.9", "1.25.3"),
        ("1.25.3", "1.26 1.25", "1.26"),
        ("1.25.3", "v1.26.0", "v1.26.0"),
        ("1.2.3-1", "1.2.4", "1.2.4"),
        ("1.2.3", "1.2.4-r1", "1.2.4-r1"),
        ("1.12-alpine", "1.15-alpine-perl 1.15", None),
        ("1.12-alpine", "1.15.1-alpine", "1.15.1-alpine"),
        ("1.25-alpine3.19", "1.26-alpine3.20", None),
        ("1.2.3", "release-1.2.4", None),
        ("1.2.3", "20240612", None),
        ("10.11", "2021.12.1", None),
    ],
)
def test_a_loose_family_ignores_only_how_a_version_is_written(
    current: str, tags: str, expected: str | None
) -> None:
    assert ANALYZER.find_update(current, tags.split(), family="loose").tag == expected


def test_max_major_step_widens_what_one_scheme_can_count() -> None:
    assert ANALYZER.find_update("1000", ["1600"]).tag is None
    assert ANALYZER.find_update("1000", ["1600"], max_major_step=1000).tag == "1600"
    assert ANALYZER.find_update("1.0.0", ["3.0.0", "2.0.0"], max_major_step=1).tag == "2.0.0"


def test_updates_are_listed_by_the_size_of_the_step_newest_first() -> None:
    tags = ["1.2.4", "1.2.10", "1.3.0", "1.10.0", "2.0.0", "3.0.0-rc.1", "1.2.2", "latest"]

    found = ANALYZER.find_updates("1.2.3", tags)

    assert found.by_type == {
        PATCH: ("1.2.10", "1.2.4"),
        MINOR: ("1.10.0", "1.3.0"),
        MAJOR: ("2.0.0",),
        PRERELEASE: (),
    }
    assert [(skipped.tag, skipped.code) for skipped in found.skipped] == [
        ("1.2.2", "older"),
        ("3.0.0-rc.1", "prerelease"),
        ("latest", "floating"),
    ]
    assert ANALYZER.find_updates("1.2.3", tags, allow_prerelease=True).by_type[PRERELEASE] == ("3.0.0-rc.1",)


def test_equal_versions_are_told_apart_by_their_text_and_duplicates_count_once() -> None:
    found = ANALYZER.find_updates("1.0", ["1.1", "1.01", "1.1", "1.1"])

    assert found.by_type[MINOR] == ("1.1", "1.01")
    assert ANALYZER.find_update("1.0", ["1.01", "1.1", "1.1"]).tag == "1.1"


def test_nothing_newer_is_no_change_and_a_moving_tag_is_unknown() -> None:
    assert ANALYZER.find_update("1.2.3", ["1.2.3"]).change_type is NO_CHANGE
    assert ANALYZER.find_update("latest", ["1.2.3"]).change_type is UNKNOWN


def test_a_tag_that_outgrows_128_characters_is_not_chosen_however_it_is_read() -> None:
    variant = "x" * 115

    found = ANALYZER.find_update(f"1.2.3-{variant}", [f"1.2.3000000000-{variant}"])

    assert [skipped.code for skipped in found.skipped] == ["not_a_version"]


# --- bad input ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: ascii(text[:30]))
def test_hostile_text_is_never_an_exception(text: str) -> None:
    ANALYZER.parse_version(text)
    ANALYZER.is_floating(text)
    ANALYZER.is_version(text)
    for pair in ((text, "1.2.3"), ("1.2.3", text), (text, text)):
        ANALYZER.determine_change_type(*pair)
        ANALYZER.is_upgrade(*pair)
        ANALYZER.is_breaking_change(*pair)
        ANALYZER.is_scheme_change(*pair)
        ANALYZER.same_family(*pair)
        found = ANALYZER.find_update(pair[0], [pair[1], "latest"])
        assert len(found.skipped) + (found.tag is not None) == len({pair[1], "latest"})


@pytest.mark.parametrize(
    "text", ["１.２.３", "1.2.³", "\ud800", "1.2.3\x00", "1.2.3\n", "\x1b[31m1.2.3", "1.2.3" + "-ls1" * 40]
)
def test_what_the_tag_grammar_forbids_is_not_a_version(text: str) -> None:
    assert ANALYZER.parse_version(text) is None


def test_every_ascii_character_around_a_version_is_survived() -> None:
    for character in map(chr, range(256)):
        for text in (f"{character}1.2.3", f"1.2.3{character}", f"1{character}2.3", f"1.2.3-rc{character}1"):
            version = ANALYZER.parse_version(text)
            assert version is None or set(text) <= set(string.ascii_letters + string.digits + "._-+")


def test_reading_is_linear_in_time_for_the_worst_texts_that_fit() -> None:
    worst = [text[:128] for text in HOSTILE if len(text) > 100] + [
        "a-" * 64,
        "1.2.3-" + "0a" * 61,
        "abcdef0-" * 16,
    ]
    started = time.perf_counter()

    for text in worst * 20:
        read_tag.__wrapped__(text)

    assert (time.perf_counter() - started) / (len(worst) * 20) < 0.002


def test_a_hundred_thousand_tags_are_chosen_from_and_explained_within_bounds() -> None:
    tags = [f"{major}.{minor}.0-alpine" for major in range(100) for minor in range(1000)]
    tracemalloc.start()
    started = time.process_time()

    found = ANALYZER.find_update("1.0.0-alpine", tags)

    chosen_s, peak_bytes = time.process_time() - started, tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.tag == "99.999.0-alpine"
    assert len(found.skipped) == len(tags) - 1
    assert chosen_s < 2
    assert peak_bytes < 64 * 2**20


def test_what_is_remembered_is_bounded() -> None:
    for number in range(20_000):
        read_tag(f"1.2.{number}-x{number}")

    info = read_tag.cache_info()
    assert info.maxsize is not None
    assert info.currsize <= info.maxsize <= 10_000
