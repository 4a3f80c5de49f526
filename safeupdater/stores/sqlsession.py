"""Connections of an SQL store: one way to read, one way to write, and what their failures mean.

Writers take turns: SQLite by ``BEGIN IMMEDIATE``, PostgreSQL by an advisory lock that the transaction holds
until it is committed. So journal positions are given in commit order, and a check made inside a write
transaction still holds when it commits.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, create_engine, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from safeupdater.errors import (
    ConfigurationError,
    MissingExtraError,
    StoreError,
)
from safeupdater.stores.place import MountTable, is_allowed, system_mounts
from safeupdater.stores.sqlerrors import Translating
from safeupdater.stores.sqlfile import check_pages, prepare_file, wants_check
from safeupdater.stores.sqlschema import describe, is_current, migrate
from safeupdater.stores.sqlstatements import SQLITE, STRAIGHT, run

Result = TypeVar("Result")

# "safeupdr" as a number: the key of the lock that writers to one PostgreSQL database take in turn.
_WRITERS = 0x7361666575706472
_LOCK_TIMEOUT_S = 10
_POSTGRES_PORT = 5432
# One round trip for all of it. The settings end with the transaction: connections may be the caller's.
_POSTGRES_BEGIN = (
    "BEGIN ISOLATION LEVEL READ COMMITTED;"
    " SELECT set_config('lock_timeout', '10s', true), set_config('statement_timeout', '30s', true),"
    " set_config('idle_in_transaction_session_timeout', '30s', true),"
    " set_config('synchronous_commit', CASE current_setting('synchronous_commit')"
    " WHEN 'off' THEN 'on' ELSE current_setting('synchronous_commit') END, true);"
    f" SELECT pg_advisory_xact_lock({_WRITERS})"
)
# For what is read outside of a transaction: no lock of somebody's migration may hold a reader for ever.
_POSTGRES_CONNECTED = (
    "SELECT set_config('statement_timeout', '30s', false),"
    " set_config('idle_in_transaction_session_timeout', '30s', false)"
)
_POSTGRES_OPTIONS = {
    "connect_timeout": _LOCK_TIMEOUT_S,
    # A server that vanished without a word (libpq): else a read would wait for hours.
    "keepalives_idle": 30,
    "tcp_user_timeout": 30_000,
}
_SQLITE_BEGIN = "BEGIN IMMEDIATE"
_SQLITE_SETTINGS = (
    ("PRAGMA busy_timeout=10000", 10_000),
    ("PRAGMA journal_mode=WAL", "wal"),
    ("PRAGMA synchronous=FULL", None),
    ("PRAGMA synchronous", 2),
)


def make_engine(url: str, *, allow_network: bool = False, mounts: MountTable = system_mounts) -> Engine:
    """The engine of a URL such as ``sqlite:///PATH`` or ``postgresql://user@host/database``.

    An SQLite file is made where there is none; see ``sqlfile.prepare_file`` for what else it raises.

    Raises:
        ConfigurationError: it is no such URL.
        MissingExtraError: the database's driver is not installed.
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):  # ValueError: a port that is no number
        raise ConfigurationError(
            "the store's URL cannot be read: expected sqlite:///PATH or postgresql://…"
        ) from None
    if parsed.drivername in ("postgresql", "postgres"):
        parsed = parsed.set(drivername="postgresql+psycopg")
    if parsed.get_backend_name() not in ("sqlite", "postgresql"):
        raise ConfigurationError(
            f"a store in {parsed.get_backend_name()} is not supported: use sqlite or postgresql"
        )
    if parsed.get_backend_name() == "sqlite":
        allowed = parsed.query.get("allow_network")
        parsed = parsed.difference_update_query(["allow_network"])
        allow_network = allow_network or (allowed is not None and is_allowed(allowed))
        prepare_file(parsed.database, allow_network=allow_network, mounts=mounts)
    options: dict[str, Any] = {"isolation_level": "AUTOCOMMIT", "hide_parameters": True}
    if parsed.get_backend_name() == "postgresql":
        options["connect_args"] = _POSTGRES_OPTIONS
    else:
        options["execution_options"] = {STRAIGHT: True}
    try:
        return create_engine(parsed, **options)
    except ImportError as error:
        raise MissingExtraError(
            f"{error.name or 'a database driver'} is not installed: pip install 'safeupdater[sql]'"
        ) from error


def server_endpoint(connection: Connection) -> tuple[str, int] | None:
    """The address and the port that a connection to PostgreSQL goes to; None over a Unix socket.

    Where the driver does not know the address (libpq before 12), it is the name that the URL has.
    """
    url = connection.engine.url
    info: Any = getattr(connection.connection.driver_connection, "info", None)
    try:
        host, port = info.hostaddr, info.port
    except (AttributeError, connection.dialect.loaded_dbapi.Error):
        host, port = url.host, url.port or _POSTGRES_PORT
    return (host, port) if host else None


_IS_SET_UP = "safeupdater"


class _NotBegun(StoreError):
    """The connection was dead before a change began."""


class Session:
    """Reads and writes of one store on one engine. Thread-safe; a forked child gets its own connections."""

    def __init__(self, engine: Engine, *, owned: bool) -> None:
        self._engine = engine if owned else engine.execution_options(isolation_level="AUTOCOMMIT")
        self._owned = owned
        self._pid = os.getpid()
        self._is_closed = False
        self.name = describe(engine)
        self.is_shared = engine.dialect.name != SQLITE
        self._translating = Translating(self.name)
        self._begin = _POSTGRES_BEGIN if self.is_shared else _SQLITE_BEGIN

    def prepare(self) -> None:
        """Looks whether the database is whole, and makes the tables or brings them up to date."""
        path = None if self.is_shared or not self._owned else Path(self._engine.url.database or "")
        if path is not None and wants_check(path):
            self.read(lambda connection: check_pages(connection, path))
        if not self.read(is_current):
            self.write(migrate)

    def read(self, query: Callable[[Connection], Result]) -> Result:
        """What a query gives; asked again once where an idle connection turned out to be dead."""
        try:
            return self._read(query)
        except StoreError as error:
            if error.code != "store_unavailable":
                raise
        return self._read(query)

    def write(self, change: Callable[[Connection], Result]) -> Result:
        """What a change gives, once it is durable. Nothing of it remains where it raises.

        Raises:
            StoreError: with the code ``commit_unknown``, the change may be durable all the same.
        """
        try:
            return self._write(change)
        except _NotBegun:
            # Nothing was asked for yet: an idle connection that died is replaced by a new one.
            return self._write(change)

    def close(self) -> None:
        """Gives back the connections, where the engine is ours."""
        self._is_closed = True
        if self._owned:
            self._engine.dispose(close=os.getpid() == self._pid)

    # inside

    def _read(self, query: Callable[[Connection], Result]) -> Result:
        with self._connection() as connection, self._translating:
            return query(connection)

    def _write(self, change: Callable[[Connection], Result]) -> Result:
        with self._connection() as connection:
            self._begin_writing(connection)
            try:
                with self._translating:
                    result = change(connection)
            except BaseException:
                self._roll_back(connection)
                raise
            self._commit(connection)
            return result

    @contextlib.contextmanager
    def _connection(self) -> Iterator[Connection]:
        if self._is_closed:
            raise StoreError(f"the store {self.name} is closed", code="store_closed")
        if os.getpid() != self._pid:
            # The parent's connections must not be used, nor closed, from here.
            self._engine.dispose(close=False)
            self._pid = os.getpid()
        with self._translating:
            connection = self._engine.connect()
        try:
            if _IS_SET_UP not in connection.connection.info:
                with self._translating:
                    self._set_up(connection)
            yield connection
        finally:
            with contextlib.suppress(SQLAlchemyError):
                connection.close()

    def _set_up(self, connection: Connection) -> None:
        if not self.is_shared:
            self._set_up_sqlite(connection)
        elif self._owned:  # the caller's connections keep the caller's settings
            connection.exec_driver_sql(_POSTGRES_CONNECTED)
        connection.connection.info[_IS_SET_UP] = True

    def _set_up_sqlite(self, connection: Connection) -> None:
        for statement, wanted in _SQLITE_SETTINGS:
            found = connection.exec_driver_sql(statement)
            answer = found.scalar() if found.returns_rows else None
            if wanted is not None and answer != wanted:
                raise StoreError(f"{self.name}: {statement} gave {answer!a}: changes would not be durable")

    def _begin_writing(self, connection: Connection) -> None:
        try:
            with self._translating:
                run(connection, self._begin)
        except BaseException as error:
            self._roll_back(connection)
            if isinstance(error, StoreError) and error.code == "store_unavailable":
                raise _NotBegun(error.message, code=error.code, transient=True) from error
            raise

    def _commit(self, connection: Connection) -> None:
        try:
            with self._translating:
                run(connection, "COMMIT")
        except StoreError as error:
            self._roll_back(connection)
            if error.code in ("store_unavailable", "io_error"):
                raise StoreError(
                    f"{self.name}: the connection was lost while a change was being committed: "
                    "it may be durable or not; read it again, or make the same change again",
                    code="commit_unknown",
                    transient=True,
                ) from error
            raise
        except BaseException:
            self._roll_back(connection)
            raise

    def _roll_back(self, connection: Connection) -> None:
        try:
            if not connection.invalidated:
                run(connection, "ROLLBACK")
        except (SQLAlchemyError, sqlite3.Error):
            # Not even that: the connection is no good, and the server rolls back what it leaves.
            with contextlib.suppress(SQLAlchemyError):
                connection.invalidate()
