"""An SQLite store of ours asks the driver itself: what fails there means what it means everywhere."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, event

from safeupdater.domain.asset import Asset
from safeupdater.errors import StoreError
from safeupdater.stores.sql import SqlStore
from safeupdater.stores.sqlsession import make_engine
from safeupdater.testing.clock import FakeClock
from safeupdater.testing.stores import asset


class Disk:
    """What happens to the statements that begin with a text: nothing, before they are run, or after."""

    def __init__(self) -> None:
        self.statement, self.code, self.is_after = "never", "", False

    def fail(self, statement: str, code: str, *, is_after: bool = False) -> None:
        self.statement, self.code, self.is_after = statement, code, is_after

    def mend(self) -> None:
        self.statement = "never"

    def answer(self, statement: str, *, is_after: bool) -> None:
        if statement.startswith(self.statement) and is_after is self.is_after:
            error = sqlite3.OperationalError("text that may hold anything")
            error.sqlite_errorname = self.code
            raise error


def connected(disk: Disk) -> type[sqlite3.Connection]:
    class FailingCursor(sqlite3.Cursor):
        def execute(self, sql: str, parameters: Any = ()) -> sqlite3.Cursor:
            disk.answer(sql, is_after=False)
            super().execute(sql, parameters)
            disk.answer(sql, is_after=True)
            return self

    class FailingConnection(sqlite3.Connection):
        def cursor(self, factory: Any = FailingCursor) -> Any:
            return super().cursor(factory)

    return FailingConnection


@pytest.fixture
def disk() -> Disk:
    return Disk()


@pytest.fixture
def store(tmp_path: Path, disk: Disk) -> Iterator[SqlStore]:
    engine = make_engine(f"sqlite:///{tmp_path / 's.db'}")

    @event.listens_for(engine, "do_connect")
    def _connect(_dialect: Any, _record: Any, _arguments: Any, options: Any) -> None:
        options["factory"] = connected(disk)

    with SqlStore(engine, FakeClock()) as store:
        yield store
    engine.dispose()


def value(store: SqlStore) -> Asset | None:
    stored = store.get("asset", asset().id)
    return stored.value if stored else None  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("statement", "code", "wanted"),
    [
        ("BEGIN IMMEDIATE", "SQLITE_BUSY", "store_busy"),
        ("UPDATE safeupdater_records", "SQLITE_FULL", "disk_full"),
        ("UPDATE safeupdater_records", "SQLITE_READONLY_DBMOVED", "read_only"),
        ("UPDATE safeupdater_records", "SQLITE_CORRUPT_INDEX", "corrupt_state"),
        ("COMMIT", "SQLITE_BUSY_SNAPSHOT", "store_busy"),
        ("COMMIT", "SQLITE_IOERR_FSYNC", "commit_unknown"),
    ],
)
def test_a_change_that_fails_is_told_by_its_code_and_leaves_nothing(
    store: SqlStore, disk: Disk, statement: str, code: str, wanted: str
) -> None:
    store.put("asset", asset().id, asset())
    disk.fail(statement, code)
    with pytest.raises(StoreError) as caught:
        store.put("asset", asset().id, asset(), expected=1)
    assert caught.value.code == wanted
    assert "text that may hold anything" not in str(caught.value)
    disk.mend()
    assert store.put("asset", asset().id, asset(), expected=1) == 2, "rolled back, and free for the next"


def test_a_commit_whose_answer_is_lost_may_be_durable(store: SqlStore, disk: Disk) -> None:
    disk.fail("COMMIT", "SQLITE_IOERR", is_after=True)
    with pytest.raises(StoreError) as caught:
        store.put("asset", asset().id, asset())
    assert caught.value.code == "commit_unknown"
    assert caught.value.transient
    disk.mend()
    assert value(store) == asset()


def test_a_read_that_fails_is_told_by_its_code(store: SqlStore, disk: Disk) -> None:
    disk.fail("SELECT safeupdater_records", "SQLITE_NOTADB")
    with pytest.raises(StoreError) as caught:
        value(store)
    assert caught.value.code == "foreign_state"


def test_an_engine_that_was_passed_in_is_asked_where_others_listen(tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path / 's.db'}")
    heard: list[str] = []

    @event.listens_for(engine, "before_cursor_execute")
    def _hear(_c: Any, _k: Any, statement: str, _p: Any, _x: Any, _m: Any) -> None:
        heard.append(statement.split()[0])

    with SqlStore(engine, FakeClock()) as store:
        heard.clear()
        store.put("asset", asset().id, asset())
        store.put("asset", asset().id, asset())
    assert heard[-3:] == ["BEGIN", "UPDATE", "COMMIT"]
    engine.dispose()
