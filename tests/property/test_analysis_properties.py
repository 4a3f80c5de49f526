"""Laws of versions, ranges and choosing, on generated input."""

from __future__ import annotations

import itertools

import semver
from hypothesis import given, settings
from hypothesis import strategies as st

from safeupdater.analysis import SemVerAnalyzer, VersionRange
from safeupdater.analysis.schemes import Tag, read_tag
from safeupdater.analysis.selection import Question
from safeupdater.analysis.strict import compare_semver
from safeupdater.domain.change import UPGRADES, VersionChangeType
from safeupdater.domain.version import Version
from safeupdater.errors import InvalidVersion

ANALYZER = SemVerAnalyzer()
# Generous, since machines are shared; a hang is still a failure.
bounded = settings(deadline=5_000)

numbers = st.integers(0, 12) | st.integers(0, 10**15 - 1)
stages = st.sampled_from(
    ["alpha", "beta.2", "rc1", "rc10", "rc.9", "rc-3", "M2", "SNAPSHOT", "dev.20240612", "b3"]
)
foreign = st.from_regex(r"[a-zA-Z][0-9a-z]{0,4}(\.[a-z0-9]{1,3}){0,2}", fullmatch=True).filter(
    lambda text: _reads_as(f"-{text}", ())
)
labels = st.sampled_from(["-", "_", "-r", "-ls", "-ce.", "-k3s"])
revisions = st.lists(st.tuples(labels, st.integers(0, 300)), max_size=2).map(tuple)


def _text(packaging: tuple[tuple[str, int], ...]) -> str:
    return "".join(f"{label}{number}" for label, number in packaging)


def _reads_as(suffix: str, packaging: tuple[tuple[str, int], ...]) -> bool:
    try:
        version = Version.parse(f"1{suffix}")
    except InvalidVersion:
        return False
    return version.prerelease is not None and version.revisions == packaging


@st.composite
def versions(draw: st.DrawFn) -> Version:
    prerelease = draw(st.none() | stages | foreign)
    packaging = draw(revisions)
    if prerelease is not None and not _reads_as(f"-{prerelease}{_text(packaging)}", packaging):
        packaging = ()  # a number after a bare word, or anything after an unknown one, is the pre-release's
    return Version(
        numbers=tuple(draw(st.lists(numbers, min_size=1, max_size=5))),
        prerelease=prerelease,
        revisions=packaging,
        build=draw(st.none() | st.sampled_from(["1", "build.456", "a-b.01"])),
    )


small = st.integers(0, 3).map(str)


@st.composite
def tags(draw: st.DrawFn) -> str:
    """A tag of one of a few neighbouring families, or something that is no version."""
    if draw(st.integers(0, 9)) == 0:
        return draw(
            st.sampled_from(["latest", "abc1234", "1..2", "sha256-" + "0" * 64 + ".sig", "2024-06-12", ""])
        )
    digits = draw(st.sampled_from(["", "", "0"])).join(("", draw(small)))
    count = draw(st.sampled_from([3, 3, 3, 2, 1]))
    text = ".".join([digits, *(draw(small) for _ in range(count - 1))])
    prefix = draw(st.sampled_from(["", "", "", "v", "release-", "202", "abc1234-"]))
    prerelease = draw(st.sampled_from(["", "", "", "-rc.1", "-rc.2", "b1", "-dev"]))
    revision = draw(st.sampled_from(["", "", "", "-1", "-2", "-r1", "-1-2"]))
    variant = draw(
        st.sampled_from(["", "", "", "-alpine", "-alpine-perl", "-abc1234", "-def5678", "w", "-debian-12-r3"])
    )
    return prefix + text + prerelease + revision + variant


tag_lists = st.lists(tags(), max_size=12)
constraints = st.none() | st.sampled_from(["^1", "~1.1", "<3 >=0.1", "1.x || 3", "*", ">=1.0.0-rc.1"])
options = st.fixed_dictionaries(
    {
        "constraint": constraints,
        "allow_prerelease": st.booleans(),
        "family": st.sampled_from(["strict", "loose"]),
        "max_major_step": st.sampled_from([500, 1]),
    }
)


@bounded
@given(versions(), versions(), versions())
def test_versions_are_totally_ordered(a: Version, b: Version, c: Version) -> None:
    assert (a < b) + (a == b) + (a > b) == 1
    assert (a <= b) == (not b < a)
    assert not (a <= b and b <= c) or a <= c
    assert a != b or hash(a) == hash(b)


@bounded
@given(versions())
def test_the_text_of_a_version_reads_back(version: Version) -> None:
    again = Version.parse(str(version))

    assert again == version
    assert (again.numbers, again.prerelease, again.revisions, again.build) == (
        version.numbers,
        version.prerelease,
        version.revisions,
        version.build,
    )


@bounded
@given(st.tuples(*[st.integers(0, 4)] * 3), st.tuples(*[st.integers(0, 4)] * 3), st.data())
def test_order_and_strict_comparison_agree_with_python_semver(
    first: tuple[int, ...], second: tuple[int, ...], data: st.DataObject
) -> None:
    words = st.none() | st.lists(
        st.sampled_from(["0", "1", "10", "a", "alpha", "B", "x-y"]), min_size=1, max_size=3
    ).map(".".join).filter(lambda text: Version.parse(f"1-{text}").prerelease == text)
    ours = [Version(numbers=numbers, prerelease=data.draw(words)) for numbers in (first, second)]

    expected = semver.Version.parse(str(ours[0])).compare(str(ours[1]))

    assert (ours[0] > ours[1]) - (ours[0] < ours[1]) == expected
    assert compare_semver(str(ours[0]), str(ours[1])) == expected


@bounded
@given(st.text(max_size=140))
def test_any_text_is_read_or_not_but_never_an_exception(text: str) -> None:
    version = ANALYZER.parse_version(text)

    assert version is None or Version.parse(str(version)) == version


@bounded
@given(st.from_regex(r"\A[A-Za-z0-9_][A-Za-z0-9._-]{0,40}\Z"))
def test_any_tag_that_says_a_version_says_one_that_reads_back(text: str) -> None:
    version = ANALYZER.parse_version(text)

    assert version is None or Version.parse(str(version)) == version


terms = st.builds(
    "{}{}".format,
    st.sampled_from(["", "^", "~", ">", ">=", "<", "<=", "="]),
    st.sampled_from(["1", "1.2", "1.2.3", "0.0.1", "1.2.3-rc.1", "x", "2.x"]),
)
ranges = st.lists(
    st.lists(terms, min_size=1, max_size=3).map(" ".join) | st.just("1.2 - 3"), min_size=1, max_size=3
)


@bounded
@given(ranges.map(" || ".join), versions(), st.booleans())
def test_the_text_of_a_range_reads_back_and_means_the_same(
    text: str, version: Version, consent: bool
) -> None:
    accepted = VersionRange.parse(text)
    again = VersionRange.parse(str(accepted))

    assert again == accepted
    assert again.contains(version, include_prerelease=consent) == accepted.contains(
        version, include_prerelease=consent
    )


@bounded
@given(tags(), tag_lists, options, st.randoms())
def test_shuffling_the_tags_changes_nothing(current: str, offered: list[str], asked: dict, random) -> None:  # type: ignore[no-untyped-def, type-arg]
    expected = ANALYZER.find_update(current, offered, **asked)
    random.shuffle(offered)

    found = ANALYZER.find_update(current, offered, **asked)

    assert (found, found.skipped) == (expected, expected.skipped)
    assert ANALYZER.find_updates(current, offered, **asked) == ANALYZER.find_updates(
        current, sorted(offered), **asked
    )


@bounded
@given(tags(), tag_lists, tags(), options)
def test_a_further_tag_never_makes_the_choice_older(
    current: str, offered: list[str], further: str, asked: dict
) -> None:  # type: ignore[type-arg]
    before = ANALYZER.find_update(current, offered, **asked).tag
    after = ANALYZER.find_update(current, [*offered, further], **asked).tag

    assert after in (before, further)
    if before is not None and after is not None:
        assert ANALYZER.compare_versions(before, after)[0] >= 0


@bounded
@given(tags(), tag_lists, options)
def test_every_tag_is_chosen_or_explained_and_the_choice_is_sane(
    current: str, offered: list[str], asked: dict
) -> None:  # type: ignore[type-arg]
    found = ANALYZER.find_update(current, offered, **asked)

    explained = [skipped.tag for skipped in found.skipped]
    assert sorted({*offered}) == sorted([*explained, *([found.tag] if found.tag is not None else [])])
    if found.tag is not None:
        assert ANALYZER.is_upgrade(current, found.tag)
        assert found.change_type in UPGRADES
        assert found.change_type is not VersionChangeType.DIGEST
        assert asked["family"] == "loose" or ANALYZER.same_family(current, found.tag)


@bounded
@given(tags(), tag_lists, options)
def test_the_fast_way_answers_as_the_thorough_one(current: str, offered: list[str], asked: dict) -> None:  # type: ignore[type-arg]
    """`newest_first` uses a compiled pattern and bare numbers; `refusal` reads each tag as a whole."""
    text = asked["constraint"]
    question = Question(
        current=current,
        tags=tuple(offered),
        **{**asked, "constraint": VersionRange.parse(text) if text else None},
    )
    running = read_tag(current)

    steps = list(question.newest_first())

    assert sorted(step.tag for step in steps) == sorted(
        {tag for tag in offered if question.refusal(tag) is None}
    )
    for newer, older in itertools.pairwise(steps):
        assert ANALYZER.compare_versions(older.tag, newer.tag)[0] >= 0
    for step in steps:
        assert isinstance(running, Tag)
        assert step.change_type is ANALYZER.compare_versions(current, step.tag)[1]
