"""Opening stores by URL, and carrying state between them."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from safeupdater import stores
from safeupdater.codec import dumps, loads
from safeupdater.domain.operation import Finished, Outcome
from safeupdater.errors import ConfigurationError, CorruptState, StoreError
from safeupdater.protocols import StateStore
from safeupdater.stores import open_store
from safeupdater.stores.jsonfile import JsonFileStore
from safeupdater.stores.memory import MemoryStore
from safeupdater.stores.sql import SqlStore
from safeupdater.stores.transfer import copy_state, export_state, import_state
from safeupdater.testing.clock import FakeClock
from safeupdater.testing.stores import DONE, INTENDED, START, asset, planned, snapshot
from safeupdater.update.cursor import JournalCursor


def test_each_url_opens_its_store(tmp_path: Path) -> None:
    for url, kind in (
        ("memory:", MemoryStore),
        (f"json:{tmp_path}/j", JsonFileStore),
        (f"sqlite:///{tmp_path}/deep/down/s.db", SqlStore),
    ):
        store = open_store(url, FakeClock())
        assert isinstance(store, kind)
        assert store.put("setting", "k", 1) == 1
        store.close()


def test_every_store_is_had_from_one_place() -> None:
    assert stores.SqlStore is SqlStore
    assert stores.MemoryStore is MemoryStore
    with pytest.raises(AttributeError, match="has no attribute 'NoStore'"):
        _ = stores.NoStore


@pytest.mark.parametrize(
    "url",
    [
        "",
        "memory",
        "memory:x",
        "json:",
        "sqlite://",
        "sqlite:///:memory:",
        "mysql://user:hunter2@host/db",
        "hunter2",
        "postgresql://user:hunter2@host:notaport/db",
        "/just/a/path",
    ],
)
def test_a_url_of_no_store_is_a_configuration_error_that_shows_no_password(url: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        open_store(url)
    assert "hunter2@" not in str(refused.value)


# --- SQLite files -----------------------------------------------------------------------------------------


def test_an_sqlite_file_is_for_its_owner_only(tmp_path: Path) -> None:
    with SqlStore(f"sqlite:///{tmp_path}/s.db") as store:
        store.put("snapshot", "k", snapshot())
        modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    assert modes["s.db"] == 0o600
    assert set(modes.values()) == {0o600}


def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "s.db").write_bytes(b"these are my notes, not a database" * 200)
    with pytest.raises(CorruptState) as refused:
        SqlStore(f"sqlite:///{tmp_path}/s.db")
    assert refused.value.code == "foreign_state"
    assert (tmp_path / "s.db").read_bytes().startswith(b"these are my notes")


def test_a_newer_sqlite_schema_is_refused(tmp_path: Path) -> None:
    import sqlite3

    url = f"sqlite:///{tmp_path}/s.db"
    with SqlStore(url) as store:
        store.put("setting", "k", 1)
    with sqlite3.connect(tmp_path / "s.db") as connection:
        connection.execute("UPDATE safeupdater_schema SET version = 7")
    connection.close()
    with pytest.raises(CorruptState, match="newer"):
        SqlStore(url)


def test_a_stored_record_that_was_damaged_is_refused_with_its_place(tmp_path: Path) -> None:
    import sqlite3

    with SqlStore(f"sqlite:///{tmp_path}/s.db") as store:
        store.put("asset", "memory://here/web", asset())
        with sqlite3.connect(tmp_path / "s.db") as connection:
            connection.execute('UPDATE safeupdater_records SET body = \'{"type": "asset", "v": 1}\'')
        connection.close()
        with pytest.raises(CorruptState, match="memory://here/web"):
            store.get("asset", "memory://here/web")


def test_a_busy_database_is_a_transient_error(tmp_path: Path) -> None:
    import sqlite3

    with SqlStore(f"sqlite:///{tmp_path}/s.db") as store:
        store._session.read(lambda connection: connection.exec_driver_sql("PRAGMA busy_timeout=50"))
        other = sqlite3.connect(tmp_path / "s.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError) as refused:
            store.put("setting", "k", 1)
        assert (refused.value.code, refused.value.transient) == ("store_busy", True)
        other.execute("ROLLBACK")
        other.close()
        assert store.put("setting", "k", 1) == 1


def test_a_forked_child_gets_a_connection_of_its_own(tmp_path: Path) -> None:
    with SqlStore(f"sqlite:///{tmp_path}/s.db") as store:
        ours = store._session.read(lambda connection: connection.connection.driver_connection)
        assert store._session.read(lambda connection: connection.connection.driver_connection) is ours
        child = os.fork()
        if child == 0:
            theirs = None
            with contextlib.suppress(BaseException):
                theirs = store._session.read(lambda connection: connection.connection.driver_connection)
                store.put("setting", "k", "the child's")
            os._exit(7 if theirs is not None and theirs is not ours else 0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        found = store.get("setting", "k")
        assert found is not None
        assert found.value == "the child's"
        assert store.put("setting", "k", "ours") == 2


def test_a_closed_sql_store_says_so(tmp_path: Path) -> None:
    store = SqlStore(f"sqlite:///{tmp_path}/s.db")
    store.close()
    with pytest.raises(StoreError, match="closed"):
        store.get("setting", "k")


# --- export and import ------------------------------------------------------------------------------------


def fill(store: StateStore) -> None:
    store.put("asset", "memory://here/web", asset())
    store.put("snapshot", "op-1", snapshot(env=["A=1"]))
    store.put("setting", "k", {"a": [1]})
    store.append("op-1", [planned(), INTENDED], expected_version=0, at=START)
    store.append("op-2", [planned("op-2", "db")], expected_version=0, at=START)
    store.append("op-1", [DONE, Finished(outcome=Outcome.ABORTED)], expected_version=2, at=START)


def content(store: StateStore) -> tuple[Any, ...]:
    records = [
        (kind, key, stored.value)
        for kind in ("asset", "snapshot", "setting")
        for key, stored in store.iterate(kind)
    ]
    journal = [(entry.operation_id, entry.version, entry.at, entry.event) for entry in store.since(0)]
    return records, journal, store.unfinished()


OPENERS: list[Callable[[Path], StateStore]] = [
    lambda place: MemoryStore(FakeClock()),
    lambda place: JsonFileStore(place / "j", FakeClock()),
    lambda place: SqlStore(f"sqlite:///{place}/s.db", FakeClock()),
]


@pytest.mark.parametrize("source", OPENERS)
@pytest.mark.parametrize("target", OPENERS)
def test_state_moves_between_any_two_stores(
    tmp_path: Path, source: Callable[[Path], StateStore], target: Callable[[Path], StateStore]
) -> None:
    old, new = source(tmp_path / "old"), target(tmp_path / "new")
    fill(old)
    copy_state(old, new)
    assert content(new) == content(old)
    with pytest.raises(StoreError) as refused:
        copy_state(old, new)
    assert refused.value.code == "not_empty"
    copy_state(old, new, overwrite=True)
    assert content(new) == content(old)
    old.close()
    new.close()


def test_the_places_of_journal_readers_stay_behind() -> None:
    """Positions begin anew in the target: a place kept from the source would skip what is new there."""
    source, target = MemoryStore(FakeClock()), MemoryStore(FakeClock())
    fill(source)
    JournalCursor(source, "audit")
    copy_state(source, target)
    assert [key for key, _ in target.iterate("setting")] == ["k"]
    assert "audit" not in str(export_state(source))


def test_an_export_survives_json_and_a_bad_one_changes_nothing() -> None:
    source = MemoryStore(FakeClock())
    fill(source)
    state = loads(dumps(export_state(source)))
    target = MemoryStore(FakeClock())
    import_state(state, target)
    assert content(target) == content(source)
    without_begin = {**state, "journal": state["journal"][1:]}
    without_middle = {**state, "journal": [state["journal"][0], *state["journal"][2:]]}
    for bad in (
        None,
        {},
        {**state, "v": 2},
        {**state, "records": [{}]},
        {**state, "journal": [5]},
        {**state, "records": [{"kind": "asset", "key": "k", "value": {"type": "asset", "v": 9}}]},
        {**state, "records": [{"kind": "nonsense", "key": "k", "value": {}}]},
        without_begin,
        without_middle,
    ):
        empty = MemoryStore(FakeClock())
        with pytest.raises(ConfigurationError):
            import_state(bad, empty)
        assert content(empty) == ([], [], ())


def test_an_import_over_another_operation_of_the_same_name_is_refused_whole() -> None:
    source, target = MemoryStore(FakeClock()), MemoryStore(FakeClock())
    fill(source)
    target.append("op-1", [planned("op-1", "other")], expected_version=0, at=START)
    before = content(target)
    with pytest.raises(StoreError, match="op-1"):
        copy_state(source, target, overwrite=True)
    assert content(target) == before
