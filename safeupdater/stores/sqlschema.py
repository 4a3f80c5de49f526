"""The tables of an SQL store, and the numbered steps that lead to them. Steps are only ever added."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Connection, Engine, column, insert, inspect, select, table, update

from safeupdater.errors import CorruptState

PREFIX = "safeupdater_"
APPLICATION_ID = 0x73757064
"""``supd``: what an SQLite file of ours says of itself in its header (SQLite's file format, §1.3)."""

schema_table = table(f"{PREFIX}schema", column("version"))
records = table(f"{PREFIX}records", column("kind"), column("key"), column("version"), column("body"))
floors = table(f"{PREFIX}floors", column("kind"), column("version"))
counters = table(f"{PREFIX}counters", column("name"), column("value"))
operations = table(
    f"{PREFIX}operations",
    column("operation_id"),
    column("target_id"),
    column("version"),
    column("is_open"),
)
open_operations = table(
    f"{PREFIX}open_operations", column("target_id"), column("operation_id"), column("position")
)
journal = table(
    f"{PREFIX}journal",
    column("position"),
    column("operation_id"),
    column("version"),
    column("target_id"),
    column("at"),
    column("epoch"),
    column("body"),
)
leases = table(
    f"{PREFIX}leases",
    column("key"),
    column("holder"),
    column("epoch"),
    column("ttl_s"),
    column("renewed_at"),
)


def _first_tables(connection: Connection) -> None:
    # Keys are compared by code point everywhere, whatever the database's language is.
    text = 'TEXT COLLATE "C"' if connection.dialect.name == "postgresql" else "TEXT"
    for statement in (
        f"CREATE TABLE {PREFIX}records (kind TEXT NOT NULL, key {text} NOT NULL, version BIGINT NOT NULL,"
        " body TEXT NOT NULL, PRIMARY KEY (kind, key))",
        f"CREATE TABLE {PREFIX}floors (kind TEXT PRIMARY KEY, version BIGINT NOT NULL)",
        f"CREATE TABLE {PREFIX}counters (name TEXT PRIMARY KEY, value BIGINT NOT NULL)",
        f"CREATE TABLE {PREFIX}operations (operation_id TEXT PRIMARY KEY, target_id TEXT NOT NULL,"
        " version BIGINT NOT NULL, is_open INTEGER NOT NULL)",
        f"CREATE TABLE {PREFIX}open_operations (target_id TEXT PRIMARY KEY,"
        " operation_id TEXT NOT NULL UNIQUE, position BIGINT NOT NULL)",
        f"CREATE TABLE {PREFIX}journal (position BIGINT PRIMARY KEY, operation_id TEXT NOT NULL,"
        " version BIGINT NOT NULL, target_id TEXT NOT NULL, at TEXT NOT NULL, epoch BIGINT NOT NULL,"
        " body TEXT NOT NULL, UNIQUE (operation_id, version))",
        f"CREATE TABLE {PREFIX}leases (key TEXT PRIMARY KEY, holder TEXT, epoch BIGINT NOT NULL,"
        " ttl_s DOUBLE PRECISION NOT NULL, renewed_at DOUBLE PRECISION NOT NULL)",
    ):
        connection.exec_driver_sql(statement)
    connection.execute(insert(counters).values(name="position", value=0))


MIGRATIONS: tuple[Callable[[Connection], None], ...] = (_first_tables,)
"""Step n leads from schema version n to n + 1."""


def schema_version(connection: Connection) -> int:
    """The version of the tables in a database; 0 where there are none.

    Raises:
        CorruptState: they belong to a newer safeupdater.
    """
    written = _written_version(connection)
    if not inspect(connection).has_table(schema_table.name):
        if written:
            raise CorruptState(
                f"{describe(connection.engine)}: its tables are gone, though its header says that there "
                "were some; nothing was changed: restore it from a backup"
            )
        return 0
    version = connection.execute(select(schema_table.c.version)).scalar()
    if not isinstance(version, int):
        raise CorruptState(
            f"{describe(connection.engine)}: the table {schema_table.name} does not say its version",
            code="foreign_state",
        )
    version = max(version, written)
    if version > len(MIGRATIONS):
        raise CorruptState(
            f"{describe(connection.engine)} has schema version {version}, this safeupdater knows "
            f"{len(MIGRATIONS)}: it is used by a newer safeupdater; upgrade this one. Nothing was changed",
            code="newer_state",
        )
    return version


def migrate(connection: Connection) -> None:
    """Brings the tables up to date, inside the write transaction that the caller has begun."""
    version = schema_version(connection)  # anew: somebody else may have done it while we waited
    if version == 0:
        connection.exec_driver_sql(f"CREATE TABLE {schema_table.name} (version INTEGER NOT NULL)")
        connection.execute(insert(schema_table).values(version=0))
    for step in MIGRATIONS[version:]:
        step(connection)
    connection.execute(update(schema_table).values(version=len(MIGRATIONS)))
    if _is_file_of_ours(connection):
        connection.exec_driver_sql(f"PRAGMA user_version={len(MIGRATIONS)}")


def _is_file_of_ours(connection: Connection) -> bool:
    """Whether the whole database is ours: an SQLite file that we made, not one of the caller's."""
    if connection.dialect.name != "sqlite":
        return False
    return connection.exec_driver_sql("PRAGMA application_id").scalar() == APPLICATION_ID


def _written_version(connection: Connection) -> int:
    """The schema version in the header of a file of ours; 0 in any other database."""
    if not _is_file_of_ours(connection):
        return 0
    return int(connection.exec_driver_sql("PRAGMA user_version").scalar_one())


def is_current(connection: Connection) -> bool:
    """Whether there is nothing to migrate."""
    return schema_version(connection) == len(MIGRATIONS)


def describe(engine: Engine) -> str:
    """The database in words, without a user or a password."""
    url = engine.url
    if engine.dialect.name == "sqlite":
        return f"sqlite:///{url.database}"
    port = f":{url.port}" if url.port else ""
    return f"{url.get_backend_name()}://{url.host or ''}{port}/{url.database or ''}"
