"""The store on a real PostgreSQL: the whole contract, sealed snapshots, restarts, many writers."""

from __future__ import annotations

import os
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from safeupdater.domain.operation import Phase, StepDone
from safeupdater.errors import ConfigurationError, CorruptState, StoreError
from safeupdater.protocols import Clock, StateStore
from safeupdater.stores.open import open_store
from safeupdater.stores.sql import SqlStore
from safeupdater.testing.stores import START, StateStoreContract, asset, planned, snapshot
from testbed.crowd import check_crowd_on
from tests.support.hostile import HOSTILE, keep_and_forget

KEY = bytes(range(32))


def psycopg_url(url: str) -> str:
    return url.replace("postgresql://", "postgresql+psycopg://")


@pytest.fixture
def database(postgres_url: str) -> Iterator[str]:
    """The URL of an empty schema of the test's own."""
    name = f"t_{uuid.uuid4().hex[:12]}"
    server = create_engine(psycopg_url(postgres_url), isolation_level="AUTOCOMMIT")
    with server.connect() as connection:
        connection.execute(text(f"CREATE SCHEMA {name}"))
    yield f"{postgres_url}?options=-csearch_path%3D{name}"
    with server.connect() as connection:
        connection.execute(text(f"DROP SCHEMA {name} CASCADE"))
    server.dispose()


class TestPostgresStore(StateStoreContract):
    own_clock = False

    @pytest.fixture(autouse=True)
    def _database(self, database: str) -> None:
        self.url = database

    def open(self, place: Path, clock: Clock) -> StateStore:
        return SqlStore(self.url, clock, seal_key=KEY)


def rows(url: str, query: str) -> list[tuple[object, ...]]:
    engine = create_engine(psycopg_url(url))
    with engine.connect() as connection:
        found = [tuple(row) for row in connection.execute(text(query))]
    engine.dispose()
    return found


def test_snapshots_are_sealed_in_a_shared_database(database: str) -> None:
    secret = "hunter2-in-env"
    with SqlStore(database, seal_key=KEY) as store:
        store.put("snapshot", "op-1", snapshot(env=[secret]))
        found = store.get("snapshot", "op-1")
        assert found is not None
        assert found.value == snapshot(env=[secret])
    [(body,)] = rows(database, "SELECT body FROM safeupdater_records")
    assert isinstance(body, str)
    assert secret not in body
    for wrong in (None, bytes(32)):
        with SqlStore(database, seal_key=wrong) as store, pytest.raises(CorruptState) as refused:
            store.get("snapshot", "op-1")
        assert refused.value.code == "wrong_key"


def test_a_sealed_snapshot_cannot_be_put_in_anothers_place(database: str) -> None:
    with SqlStore(database, seal_key=KEY) as store:
        store.put("snapshot", "op-1", snapshot(env=["one"]))
        store.put("snapshot", "op-2", snapshot(env=["two"]))
        engine = create_engine(psycopg_url(database))
        with engine.begin() as connection:
            connection.execute(
                text(
                    "UPDATE safeupdater_records SET body ="
                    " (SELECT body FROM safeupdater_records WHERE key = 'op-2') WHERE key = 'op-1'"
                )
            )
        engine.dispose()
        with pytest.raises(CorruptState, match="sealed as something else"):
            store.get("snapshot", "op-1")


def test_a_plain_snapshot_is_refused_unless_said_explicitly(database: str) -> None:
    with SqlStore(database) as store:
        with pytest.raises(StoreError) as refused:
            store.put("snapshot", "op-1", snapshot(env=["secret"]))
        assert refused.value.code == "snapshot_not_sealed"
        assert list(store.iterate("snapshot")) == []
    with SqlStore(database, allow_plain_snapshots=True) as store:
        store.put("snapshot", "op-1", snapshot(env=["secret"]))
        assert store.get("snapshot", "op-1") is not None


def test_a_seal_key_of_another_length_is_refused(database: str) -> None:
    with pytest.raises(ConfigurationError, match="32"):
        SqlStore(database, seal_key=b"short")


def test_a_newer_schema_is_refused_and_left_alone(database: str) -> None:
    SqlStore(database).close()
    engine = create_engine(psycopg_url(database))
    with engine.begin() as connection:
        connection.execute(text("UPDATE safeupdater_schema SET version = 99"))
    engine.dispose()
    with pytest.raises(CorruptState) as refused:
        SqlStore(database)
    assert refused.value.code == "newer_state"
    assert rows(database, "SELECT version FROM safeupdater_schema") == [(99,)]


def test_many_may_create_the_tables_at_once(database: str) -> None:
    failures: list[BaseException] = []

    def create() -> None:
        try:
            SqlStore(database).close()
        except BaseException as error:  # noqa: BLE001 - handed to the test below
            failures.append(error)

    threads = [threading.Thread(target=create) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert rows(database, "SELECT version FROM safeupdater_schema") == [(1,)]


def test_asynchronous_commit_is_not_taken_over_from_the_server(database: str) -> None:
    url = psycopg_url(database) + "%20-csynchronous_commit%3Doff"
    engine = create_engine(url)
    with engine.connect() as connection:
        assert connection.execute(text("SHOW synchronous_commit")).scalar() == "off"
    store = SqlStore(engine)
    seen = store._session.write(
        lambda connection: connection.execute(text("SHOW synchronous_commit")).scalar()
    )
    store.close()
    engine.dispose()
    assert seen == "on"


TIMEOUTS = ("lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout")


def timeouts(store: SqlStore, how: str) -> list[object]:
    ask = getattr(store._session, how)
    return [
        ask(lambda connection, name=name: connection.execute(text(f"SHOW {name}")).scalar())
        for name in TIMEOUTS
    ]


def test_nothing_waits_for_ever_and_a_callers_connections_keep_their_settings(database: str) -> None:
    with SqlStore(database) as store:
        assert timeouts(store, "write") == ["10s", "30s", "30s"]
        assert timeouts(store, "read") == ["0", "30s", "30s"]
    engine = create_engine(psycopg_url(database))
    with SqlStore(engine) as store:
        assert timeouts(store, "write") == ["10s", "30s", "30s"]
        assert timeouts(store, "read") == ["0", "0", "0"]
    engine.dispose()


def test_no_error_shows_the_password(database: str) -> None:
    secret = "hunter2pw"
    for url in (
        f"postgresql://someone:{secret}@127.0.0.1:1/none",
        f"postgresql://someone@127.0.0.1:1/none?password={secret}",
        database.replace("@", f":{secret}@").rpartition("/")[0] + "/no_such_database",
    ):
        with pytest.raises(StoreError) as refused:
            open_store(url)
        error: BaseException | None = refused.value
        while error is not None:
            assert secret not in f"{error!s} {error!r}"
            error = error.__cause__
    with SqlStore(database.replace("@", f":{secret}@")) as store:
        assert secret not in repr(store)


def test_a_server_that_does_not_answer_is_a_transient_error() -> None:
    with pytest.raises(StoreError) as refused:
        open_store("postgresql://nobody@127.0.0.1:1/none")
    assert refused.value.transient


def test_keys_are_in_the_same_order_whatever_the_language_of_the_database(postgres_url: str) -> None:
    name = f"t_{uuid.uuid4().hex[:12]}"
    server = create_engine(psycopg_url(postgres_url), isolation_level="AUTOCOMMIT")
    with server.connect() as connection:
        create = (
            "CREATE DATABASE {} TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'en-US' LOCALE 'C.UTF-8'"
        )
        connection.execute(text(create.format(name)))
    keys = ["a", "B", "b", "A", "é", "a-b", "ab", "a_b"]
    with SqlStore(postgres_url.rpartition("/")[0] + f"/{name}") as store:
        for key in keys:
            store.put("setting", key, 1)
        assert [key for key, _ in store.iterate("setting")] == sorted(keys)
    with server.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    server.dispose()


def test_a_callers_engine_is_used_as_it_is_and_stays_open(database: str) -> None:
    engine = create_engine(psycopg_url(database))
    store = SqlStore(engine)
    store.put("asset", "a", asset())
    store.close()
    with engine.begin() as connection:
        assert connection.execute(text("SELECT count(*) FROM safeupdater_records")).scalar() == 1
        assert connection.get_isolation_level() == "READ COMMITTED"
    engine.dispose()


@pytest.mark.skipif(
    "SAFEUPDATER_TEST_DATABASE_URL" in os.environ, reason="a given server is not ours to restart"
)
@pytest.mark.parametrize("how", ["restart", "crash"])
def test_a_server_that_restarts_during_appends_loses_none_and_doubles_none(how: str) -> None:
    from testbed.postgres import Postgres

    with Postgres() as server:
        appended = Appender(server.url)
        appended.start()
        for _ in range(2):
            appended.wait_for_more(20)
            getattr(server, how)()
        appended.wait_for_more(20)
        appended.finish()
        with SqlStore(server.url) as store:
            entries = store.load("op-1")[1:]
        assert [entry.event for entry in entries] == appended.acknowledged
        assert appended.failures > 0, "no append ever met the restart"
        assert set(appended.codes) <= {"store_unavailable", "commit_unknown"}


class Appender(threading.Thread):
    """Appends one event after the other; after an error it makes the same append again."""

    def __init__(self, url: str) -> None:
        super().__init__(daemon=True)
        self._store = SqlStore(url)
        self._stopped = threading.Event()
        self._more = threading.Condition()
        self.acknowledged: list[StepDone] = []
        self.failures = 0
        self.codes: list[str] = []

    def run(self) -> None:
        version = self._store.append("op-1", [planned()], expected_version=0, at=START)
        while not self._stopped.is_set():
            event = StepDone(phase=Phase.STAGING, step="s", detail=str(version))
            version = self._append(event, version)
            with self._more:
                self.acknowledged.append(event)
                self._more.notify_all()
        self._store.close()

    def _append(self, event: StepDone, version: int) -> int:
        while True:
            try:
                return self._store.append("op-1", [event], expected_version=version, at=START)
            except StoreError as error:
                if not error.transient:
                    raise
                self.failures += 1
                self.codes.append(error.code)
                self._stopped.wait(0.02)

    def wait_for_more(self, count: int) -> None:
        with self._more:
            wanted = len(self.acknowledged) + count
            assert self._more.wait_for(lambda: len(self.acknowledged) >= wanted, timeout=60)

    def finish(self) -> None:
        self._stopped.set()
        self.join(60)
        assert not self.is_alive()


def test_texts_that_mean_something_to_sql_are_only_kept(database: str) -> None:
    with SqlStore(database, seal_key=KEY) as store:
        for text in HOSTILE:
            keep_and_forget(store, text)


@pytest.mark.timeout(1800)  # sixteen thousand appends take ten minutes on a busy machine
def test_many_processes_append_to_one_database(database: str) -> None:
    with SqlStore(database) as store:
        check_crowd_on(database, store)
