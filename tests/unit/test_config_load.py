"""What a policy file is before anybody asks what its keys mean: a safe, small, unambiguous document."""

import contextlib
import itertools
import os
import time
import tracemalloc
from pathlib import Path

import pytest

from safeupdater.config.load import MAX_BYTES, parse_yaml, read_nodes
from safeupdater.config.nodes import (
    MAX_DEPTH,
    MAX_NODES,
    MAX_PROBLEMS,
    Plain,
    Problems,
    from_python,
    to_plain,
)
from safeupdater.errors import ConfigurationError


def parsed(text: str) -> Plain:
    problems = Problems("policy.yaml")
    node = parse_yaml(text, problems)
    problems.raise_if_any()
    return to_plain(node)


def complaint(text: str) -> str:
    with pytest.raises(ConfigurationError) as raised:
        parsed(text)
    return str(raised.value)


def bomb(levels: int = 9) -> str:
    names = "abcdefghijklmnop"[:levels]
    lines = ["a: &a [x, x, x, x, x, x, x, x, x]"]
    lines += [
        f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]" for before, name in itertools.pairwise(names)
    ]
    return "\n".join(lines)


# --- plain scalars: what all YAML readers agree on ------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("text", "text"),
        ("1", 1),
        ("-1", -1),
        ("0", 0),
        ("0.1", 0.1),
        ("10%", "10%"),
        ("true", True),
        ("FALSE", False),
        ("~", None),
        ("", None),
        ("1.2.3", "1.2.3"),
        ("09:00", "09:00"),
        ('"16:00"', "16:00"),
        ("'yes'", "yes"),
        ("!!str 1.10", "1.10"),
        ("2026-12-20", "2026-12-20"),
        ("^1.24", "^1.24"),
        ("3d", "3d"),
        ("=", "="),
        ("no-thanks", "no-thanks"),
    ],
)
def test_a_plain_value_is_read_as_every_yaml_reader_reads_it(written: str, value: Plain) -> None:
    assert parsed(f"key: {written}\n") == {"key": value}


@pytest.mark.parametrize(
    "written",
    [
        "yes",
        "No",
        "ON",
        "off",
        "16:00",
        "1:30:00",
        "010",
        "0o17",
        "0x1F",
        "0b11",
        "1_000",
        "1e5",
        ".inf",
        ".NaN",
        "9" * 31,
        "9" * 5000,
        "-0_1",
    ],
)
def test_a_value_on_which_yaml_readers_disagree_has_to_be_quoted(written: str) -> None:
    message = complaint(f"a: 1\nkey: {written}\n")

    assert message.startswith("policy.yaml:2:6: $.key: YAML readers disagree on ")
    assert "quote it" in message


# --- A1: nothing is constructed -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "tag",
    [
        "!!python/object/apply:os.system",
        "!!python/name:os.system",
        "!!set",
        "!!binary",
        "!custom",
        "!!timestamp",
    ],
)
@pytest.mark.parametrize("value", ["['touch {path}']", "{{a: 1}}", "'touch {path}'"])
def test_tags_are_refused_and_nothing_is_executed(tag: str, value: str, tmp_path: Path) -> None:
    trap = tmp_path / "executed"

    message = complaint(f"key: {tag} {value.format(path=trap)}\n")

    assert "policy.yaml:1:6: $.key: YAML tags are not allowed: remove " in message
    assert not trap.exists()


# --- A2: bounded time and memory ------------------------------------------------------------------------


def test_an_alias_bomb_is_refused_in_less_than_100_ms_and_50_mb() -> None:
    tracemalloc.start()
    begun = time.process_time()
    message = complaint(bomb())
    taken_s = time.process_time() - begun
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert "$.e[0]: more than 10,000 values once aliases are unfolded" in message
    assert taken_s < 0.1
    assert peak < 50_000_000


def test_aliases_within_the_limit_are_unfolded() -> None:
    assert parsed("a: &x [1, 2]\nb: *x\nc: {d: *x}\n") == {"a": [1, 2], "b": [1, 2], "c": {"d": [1, 2]}}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: &a [*a]", "the alias 'a' contains itself"),
        ("a: &a {b: *a}", "the alias 'a' contains itself"),
        ("a: *missing", "no anchor named 'missing'"),
    ],
)
def test_an_alias_names_something_that_is_complete(text: str, expected: str) -> None:
    assert expected in complaint(text)


@pytest.mark.parametrize("opening", ["[", "{a: ", "- ", "? ", "[{a: "])
def test_deep_nesting_is_refused_at_once(opening: str) -> None:
    begun = time.perf_counter()
    message = complaint(opening * 50_000)

    assert f"nested more than {MAX_DEPTH} levels deep" in message
    assert time.perf_counter() - begun < 2


def test_depth_counts_through_aliases() -> None:
    nested = "[" * 20 + "]" * 20

    assert "nested more than" in complaint(f"a: &a {nested}\nb: {'[' * 20}*a{']' * 20}")
    assert parsed(f"a: &a {nested}\nb: [*a]") is not None


def test_as_many_values_as_the_limit_are_read_and_one_more_is_not() -> None:
    items = MAX_NODES - 1
    assert len(parsed("- x\n" * items)) == items  # type: ignore[arg-type]
    assert "more than 10,000 values" in complaint("- x\n" * (items + 1))


@pytest.mark.parametrize(
    "text",
    [
        "#" * 1_000_000,
        "a" * 1_000_000,
        "a: " + "9" * 1_000_000,
        "a: " + "1:" * 400_000,
        "a: " + "1_" * 400_000,
        "&a " * 100_000,
        "!" * 100_000,
        '"' + "\\n" * 400_000 + '"',
        "a: |\n" + " x\n" * 200_000,
    ],
    ids=lambda text: ascii(text[:12]),
)
def test_a_large_strange_file_takes_bounded_time(text: str) -> None:
    begun = time.perf_counter()
    with contextlib.suppress(ConfigurationError):
        parsed(text)
    assert time.perf_counter() - begun < 10


# --- A3 and A4: malformed documents ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "place", "expected"),
    [
        ("a: 1\nb: 2\na: 3\n", "3:1: $", "the key 'a' is written twice (first in line 1)"),
        ("a: {b: 1, b: 1}\n", "1:11: $.a", "the key 'b' is written twice"),
        ("<<: {a: 1}\n", "1:1: $", "merge keys are not supported"),
        ("? [a]\n: 1\n", "1:3: $", "keys are text, not lists or mappings"),
        ("a: {1: x}\n", "1:5: $.a", "keys are text: quote '1'"),
        ("a: {true: x}\n", "1:5: $.a", "keys are text: quote 'true'"),
        ("", "1:1: $", "the file is empty"),
        ("# only a comment\n", "1:1: $", "the file is empty"),
        ("a: 1\n---\nb: 2\n", "2:1: $", "a second document"),
        ("a: [1, 2\n", "2:1: $", "not YAML: "),
        ("a: 'open\n", "2:1: $", "not YAML: "),
        ("a:\n\t- b\n", "2:1: $", "not YAML: "),
        ("a: 1\nb: \x07\n", "2:1: $", "not YAML: a control character"),
        ('a: 1\nb: "\\UFFFFFFFF"\n', "2:2: $", "not YAML: a malformed escape"),
        ("%YAML " + "9" * 5000 + ".1\n---\na: 1\n", "1:1: $", "not YAML: a malformed escape or directive"),
    ],
)
def test_a_malformed_document_is_a_problem_with_a_place(text: str, place: str, expected: str) -> None:
    message = complaint(text)

    assert message.startswith(f"policy.yaml:{place}")
    assert expected in message


def test_problems_are_counted_beyond_the_first_hundred() -> None:
    lines = complaint("key: yes\n" + "".join(f"k{index}: yes\n" for index in range(500))).splitlines()

    assert len(lines) == MAX_PROBLEMS + 1
    assert lines[-1] == "policy.yaml: $: and 401 more problems"


# --- A12: the file itself -------------------------------------------------------------------------------


def refusal(path: Path) -> str:
    with pytest.raises(ConfigurationError) as raised:
        read_nodes(path)
    assert raised.value.source == str(path)
    return str(raised.value)


def test_a_regular_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "policy.yaml").write_bytes(b"\xef\xbb\xbfversion: 1\n")

    assert to_plain(read_nodes(tmp_path / "policy.yaml")) == {"version": 1}


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    assert "cannot be read (No such file or directory)" in refusal(tmp_path / "none.yaml")


def test_a_directory_is_refused(tmp_path: Path) -> None:
    assert "is not a regular file" in refusal(tmp_path)


def test_a_fifo_is_refused_without_waiting_for_a_writer(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "policy.yaml")

    assert "is not a regular file" in refusal(tmp_path / "policy.yaml")


def test_a_device_is_refused() -> None:
    assert "is not a regular file" in refusal(Path("/dev/zero"))


def test_a_symbolic_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "real.yaml").write_text("version: 1\n")
    (tmp_path / "policy.yaml").symlink_to(tmp_path / "real.yaml")

    assert "it is a symbolic link, name the file itself" in refusal(tmp_path / "policy.yaml")


def test_the_link_of_a_kubernetes_volume_is_followed(tmp_path: Path) -> None:
    (tmp_path / "..2026_01_01").mkdir()
    (tmp_path / "..2026_01_01" / "policy.yaml").write_text("version: 1\n")
    (tmp_path / "..data").symlink_to("..2026_01_01")
    (tmp_path / "policy.yaml").symlink_to("..data/policy.yaml")

    assert to_plain(read_nodes(tmp_path / "policy.yaml")) == {"version": 1}


def test_a_file_that_everybody_can_write_is_refused(tmp_path: Path) -> None:
    (tmp_path / "policy.yaml").write_text("version: 1\n")
    (tmp_path / "policy.yaml").chmod(0o666)

    assert "can be written by everybody: chmod o-w it" in refusal(tmp_path / "policy.yaml")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_file_of_another_user_is_refused(tmp_path: Path) -> None:
    (tmp_path / "policy.yaml").write_text("version: 1\n")
    os.chown(tmp_path / "policy.yaml", 12345, -1)

    assert "belongs to another user" in refusal(tmp_path / "policy.yaml")


def test_a_file_over_the_size_limit_is_refused(tmp_path: Path) -> None:
    (tmp_path / "policy.yaml").write_bytes(b"#" * (MAX_BYTES + 1))

    assert "larger than 1,048,576 bytes" in refusal(tmp_path / "policy.yaml")


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"a: 1\nb: caf\xe9\n", ":2:7: $: not UTF-8 (byte 0xe9)"),
        ("a: 1\n".encode("utf-16"), ":1:1: $: not UTF-8 (byte 0xff)"),
        (b"a: \xed\xa0\x80\n", ":1:4: $: not UTF-8"),
    ],
)
def test_a_file_that_is_not_utf8_is_refused_with_the_place(
    data: bytes, expected: str, tmp_path: Path
) -> None:
    (tmp_path / "policy.yaml").write_bytes(data)

    assert expected in refusal(tmp_path / "policy.yaml")


def test_a_path_with_a_null_is_a_configuration_error() -> None:
    with pytest.raises(ConfigurationError, match="not a path"):
        read_nodes("pol\0icy.yaml")


# --- Python data ----------------------------------------------------------------------------------------


def test_data_that_contains_itself_is_refused() -> None:
    loop: list[object] = []
    loop.append(loop)

    with pytest.raises(ConfigurationError, match="nested more than"):
        from_python(loop, Problems())


def test_data_that_is_too_large_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="more than 10,000 values"):
        from_python([[1] * 200] * 200, Problems())


@pytest.mark.parametrize("value", [{1, 2}, object(), b"bytes", 1j, {1: "a"}, [lambda: None]])
def test_foreign_objects_in_data_are_problems(value: object) -> None:
    problems = Problems()
    from_python(value, problems)

    with pytest.raises(ConfigurationError):
        problems.raise_if_any()
