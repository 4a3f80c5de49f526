"""The file of an SQLite store: damaged, cut, foreign, newer, full, not to be written."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, event

from safeupdater.domain.operation import StepDone
from safeupdater.errors import CorruptState, StoreError
from safeupdater.stores import open_store
from safeupdater.stores.sql import SqlStore
from safeupdater.stores.sqlfile import create_file, wants_check
from safeupdater.stores.sqlschema import APPLICATION_ID
from safeupdater.testing.clock import FakeClock
from safeupdater.testing.stores import INTENDED, START, asset, planned, snapshot


def url_of(path: Path) -> str:
    return f"sqlite:///{path}"


def fill(path: Path) -> Path:
    """A closed store with enough in it for some forty pages, overflowing ones among them."""
    with SqlStore(url_of(path), FakeClock()) as store:
        store.put_many("asset", {f"memory://here/web{number}": asset() for number in range(40)})
        store.put("snapshot", "op-1", snapshot(env=["x" * 20_000]))
        events = [StepDone(phase=INTENDED.phase, step="pull", detail=f"{n}" * 500) for n in range(60)]
        store.append("op-1", [planned(), *events], expected_version=0, at=START)
    return path


def content(path: Path) -> Any:
    with SqlStore(url_of(path), FakeClock()) as store:
        records = [list(store.iterate(kind)) for kind in ("asset", "snapshot", "setting")]
        return records, store.since(0), store.unfinished()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fill(tmp_path_factory.mktemp("whole") / "s.db")


@pytest.fixture(scope="module")
def wanted(whole: Path) -> Any:
    return content(whole)


def refused_or_equal(path: Path, wanted: Any) -> str:
    """Opens and reads everything; gives the code of the refusal, or "" where it is all there."""
    before = path.read_bytes()
    refused: CorruptState | None = None
    found = None
    try:
        found = content(path)
    except CorruptState as error:
        refused = error
    if refused is None:
        assert found == wanted, "damage was taken for state"
        return ""
    assert str(path) in str(refused)
    assert path.read_bytes() == before, "what is damaged was changed"
    return refused.code


def overwritten(page: bytes) -> list[bytes]:
    return [bytes(len(page)), random.Random(1).randbytes(len(page)), b"\xff" * len(page)]


def test_every_page_that_was_overwritten_is_found_before_it_counts(
    tmp_path: Path, whole: Path, wanted: Any
) -> None:
    data = whole.read_bytes()
    size = int.from_bytes(data[16:18], "big")
    damaged = tmp_path / "s.db"
    answers = []
    for begin in range(0, len(data), size):
        for page in overwritten(data[begin : begin + size]):
            damaged.write_bytes(data[:begin] + page + data[begin + size :])
            answers.append(refused_or_equal(damaged, wanted))
    assert len(answers) > 90
    assert answers.count("") == 0, answers


def test_a_file_that_was_cut_anywhere_is_refused(tmp_path: Path, whole: Path, wanted: Any) -> None:
    data = whole.read_bytes()
    size = int.from_bytes(data[16:18], "big")
    damaged = tmp_path / "s.db"
    for end in [0, 1, 15, 16, 17, 50, 99, 100, 101, 511, *range(size, len(data), size), len(data) - 1]:
        damaged.write_bytes(data[:end])
        assert refused_or_equal(damaged, wanted), f"cut at {end}"


def test_a_header_that_was_changed_at_any_byte_is_refused_or_means_the_same(
    tmp_path: Path, whole: Path, wanted: Any
) -> None:
    data = whole.read_bytes()
    damaged = tmp_path / "s.db"
    refused = 0
    for place in range(100):
        for flip in (0x01, 0x80):
            changed = bytearray(data)
            changed[place] ^= flip
            damaged.write_bytes(changed)
            refused += bool(refused_or_equal(damaged, wanted))
    assert refused > 60


@pytest.mark.parametrize("bytes_", [1, 100, 4096, 1 << 20])
def test_a_file_of_random_bytes_is_refused_and_left_alone(tmp_path: Path, bytes_: int) -> None:
    (tmp_path / "s.db").write_bytes(random.Random(bytes_).randbytes(bytes_))
    assert refused_or_equal(tmp_path / "s.db", None) == "foreign_state"


def test_an_empty_file_is_no_empty_start(tmp_path: Path) -> None:
    (tmp_path / "s.db").touch()
    with pytest.raises(CorruptState, match="remove it to begin anew"):
        SqlStore(url_of(tmp_path / "s.db"))
    assert (tmp_path / "s.db").read_bytes() == b""


def test_of_two_first_openings_at_once_the_slower_one_takes_what_the_faster_one_made(tmp_path: Path) -> None:
    """The slower one saw no file, and wants to make one when the other has written to its own already."""
    path = tmp_path / "s.db"
    with SqlStore(url_of(path)) as faster:
        faster.put("setting", "k", 1)
        assert path.with_name("s.db-wal").stat().st_size > 0
        create_file(path)
        with SqlStore(url_of(path)) as slower:
            stored = slower.get("setting", "k")
            assert stored is not None
            assert stored.value == 1


def test_a_log_without_its_database_is_no_empty_start(tmp_path: Path, whole: Path) -> None:
    shutil.copy(whole, tmp_path / "s.db")
    with SqlStore(url_of(tmp_path / "s.db")) as store:
        store.put("setting", "k", 1)
        (tmp_path / "s.db").rename(tmp_path / "gone.db")
        with pytest.raises(CorruptState, match=r"s\.db-wal"):
            SqlStore(url_of(tmp_path / "s.db"))
    assert not (tmp_path / "s.db").exists()


@pytest.mark.parametrize("application_id", [0, 252006674])
def test_the_database_of_another_program_is_refused_and_left_alone(
    tmp_path: Path, application_id: int
) -> None:
    with sqlite3.connect(tmp_path / "s.db") as connection:
        connection.execute("CREATE TABLE notes (text)")
        connection.execute(f"PRAGMA application_id={application_id}")
    connection.close()
    before = (tmp_path / "s.db").read_bytes()
    with pytest.raises(CorruptState, match="another program") as refused:
        SqlStore(url_of(tmp_path / "s.db"))
    assert refused.value.code == "foreign_state"
    assert (tmp_path / "s.db").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["s.db"]


def test_an_engine_of_the_callers_may_lead_to_a_database_of_the_callers(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "s.db") as connection:
        connection.execute("CREATE TABLE notes (text)")
        connection.execute("PRAGMA application_id=5")
        connection.execute("PRAGMA user_version=99")
    connection.close()
    engine = create_engine(url_of(tmp_path / "s.db"))
    with SqlStore(engine) as store:
        store.put("setting", "k", 1)
    engine.dispose()
    with sqlite3.connect(tmp_path / "s.db") as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (99,), "the caller's number is his"
    connection.close()


def pragma(path: Path, statement: str) -> Any:
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        return connection.execute(statement).fetchone()
    finally:
        connection.close()


def test_the_file_says_whose_it_is_and_its_version(tmp_path: Path, whole: Path) -> None:
    assert pragma(whole, "PRAGMA application_id") == (APPLICATION_ID,)
    assert pragma(whole, "PRAGMA user_version") == (1,)


def test_a_database_from_before_that_is_taken_over(tmp_path: Path, whole: Path, wanted: Any) -> None:
    shutil.copy(whole, tmp_path / "s.db")
    for statement in ("PRAGMA application_id=0", "PRAGMA user_version=0"):
        pragma(tmp_path / "s.db", statement)
    assert content(tmp_path / "s.db") == wanted


@pytest.mark.parametrize("statement", ["PRAGMA user_version=2", "UPDATE safeupdater_schema SET version=2"])
def test_a_newer_database_is_refused_and_left_alone(tmp_path: Path, whole: Path, statement: str) -> None:
    shutil.copy(whole, tmp_path / "s.db")
    pragma(tmp_path / "s.db", statement)
    assert refused_or_equal(tmp_path / "s.db", None) == "newer_state"


def test_tables_that_are_gone_are_no_empty_start(tmp_path: Path, whole: Path) -> None:
    shutil.copy(whole, tmp_path / "s.db")
    pragma(tmp_path / "s.db", "DROP TABLE safeupdater_schema")
    assert refused_or_equal(tmp_path / "s.db", None) == "corrupt_state"


def test_a_large_file_is_looked_through_only_where_it_was_not_closed(tmp_path: Path) -> None:
    with (tmp_path / "s.db").open("wb") as file:
        file.truncate(65 << 20)  # sparse
    assert not wants_check(tmp_path / "s.db")
    (tmp_path / "s.db-wal").write_bytes(b"x")
    assert wants_check(tmp_path / "s.db")
    (tmp_path / "small.db").write_bytes(b"x")
    assert wants_check(tmp_path / "small.db")


# --- settings that do not hold ------------------------------------------------------------------------------


def engine_that_ignores(path: Path, setting: str, instead: str) -> Any:
    engine = create_engine(url_of(path))

    @event.listens_for(engine, "before_cursor_execute", retval=True)
    def _change(_c: Any, _k: Any, statement: str, parameters: Any, _x: Any, _m: Any) -> tuple[str, Any]:
        return (instead if statement == setting else statement), parameters

    return engine


@pytest.mark.parametrize(
    ("setting", "instead"),
    [
        ("PRAGMA journal_mode=WAL", "PRAGMA journal_mode=DELETE"),
        ("PRAGMA journal_mode=WAL", "PRAGMA journal_mode=MEMORY"),
        ("PRAGMA synchronous=FULL", "PRAGMA synchronous=NORMAL"),
        ("PRAGMA synchronous=FULL", "PRAGMA synchronous=OFF"),
    ],
)
def test_a_setting_that_the_database_does_not_take_is_read_back_and_refused(
    tmp_path: Path, setting: str, instead: str
) -> None:
    engine = engine_that_ignores(tmp_path / "s.db", setting, instead)
    with pytest.raises(StoreError, match="would not be durable"):
        SqlStore(engine)
    engine.dispose()
    assert pragma(tmp_path / "s.db", "SELECT count(*) FROM sqlite_master") == (0,), "no table was made"


def test_a_database_in_memory_is_refused() -> None:
    engine = create_engine("sqlite://")
    with pytest.raises(StoreError, match="would not be durable"):
        SqlStore(engine)
    engine.dispose()


# --- no room, no right to write -----------------------------------------------------------------------------


def limited(path: Path) -> tuple[Any, Callable[[int], None]]:
    """An engine on one connection, and how to limit its database to that many more pages."""
    engine = create_engine(url_of(path))

    def limit(more: int) -> None:
        with engine.connect() as connection:
            pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
            connection.exec_driver_sql(f"PRAGMA max_page_count={pages + more}")

    return engine, limit


def test_a_full_database_loses_nothing_and_goes_on_when_there_is_room(tmp_path: Path) -> None:
    engine, limit = limited(tmp_path / "s.db")
    with SqlStore(engine) as store:
        store.append("op-1", [planned()], expected_version=0, at=START)
        limit(2)
        version, error = 1, None
        while error is None:
            event_ = StepDone(phase=INTENDED.phase, step="pull", detail="x" * 900 + str(version))
            try:
                version = store.append("op-1", [event_], expected_version=version, at=START)
            except StoreError as full:
                error = full
        assert (error.code, error.transient) == ("disk_full", True)
        assert [entry.version for entry in store.load("op-1")] == list(range(1, version + 1))
        limit(100)
        assert store.append("op-1", [event_], expected_version=version, at=START) == version + 1
    engine.dispose()


@pytest.fixture
def place_of_nobody() -> Iterator[Path]:
    """A directory that is somebody else's than root's, while this process is that somebody."""
    if os.geteuid() != 0:
        pytest.skip("does not apply: needs root to become somebody else")
    with tempfile.TemporaryDirectory() as directory:
        os.chown(directory, 65534, 65534)
        os.seteuid(65534)
        try:
            yield Path(directory)
            Path(directory, "s").chmod(0o700)
        finally:
            os.seteuid(0)


@pytest.mark.parametrize(
    ("file_mode", "directory_mode"), [(0o400, 0o700), (0o400, 0o500), (0o600, 0o500), (0o000, 0o700)]
)
@pytest.mark.parametrize("kind", ["sqlite", "json"])
def test_state_that_may_not_be_written_is_a_clear_error(
    place_of_nobody: Path, kind: str, file_mode: int, directory_mode: int
) -> None:
    place = place_of_nobody / "s"
    url = url_of(place / "s.db") if kind == "sqlite" else f"json:{place}"
    with contextlib.closing(open_store(url)) as store:
        store.put("setting", "k", 1)
    before = {path: path.read_bytes() for path in place.iterdir()}
    for path in before:
        path.chmod(file_mode)
    place.chmod(directory_mode)
    with pytest.raises(StoreError) as refused, contextlib.closing(open_store(url)) as store:
        store.put("setting", "k", 2)
    assert refused.value.code in ("read_only", "io_error")
    assert "not allowed" in str(refused.value) or "rights" in str(refused.value)
    assert str(place) in str(refused.value)
    place.chmod(0o700)
    for path in before:
        path.chmod(0o600)
    with contextlib.closing(open_store(url)) as store:
        found = store.get("setting", "k")
    assert found is not None
    # A journal may be writable in a directory that is not: only the checkpoint at closing fails then.
    assert found.value == (2 if (kind, file_mode) == ("json", 0o600) else 1)


def test_a_place_where_nothing_can_be_made_is_a_clear_error(place_of_nobody: Path) -> None:
    place = place_of_nobody / "s"
    place.mkdir(0o500)
    for url in (url_of(place / "s.db"), url_of(place / "down/s.db"), f"json:{place}/down"):
        with pytest.raises(StoreError, match="not allowed") as refused:
            open_store(url)
        assert refused.value.code == "read_only"
