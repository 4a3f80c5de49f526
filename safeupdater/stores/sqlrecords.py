"""Records in an SQL store: what is done to them inside one transaction."""

from __future__ import annotations

from sqlalchemy import Connection, bindparam, delete, insert, select, update

from safeupdater.stores import sqlschema as db
from safeupdater.stores.rules import record_conflict
from safeupdater.stores.sqlstatements import Prepared

# Built once: putting a statement together takes SQLAlchemy longer than running it takes SQLite.
_THIS_RECORD = (db.records.c.kind == bindparam("of_kind"), db.records.c.key == bindparam("of_key"))
_SELECT_VERSION = select(db.records.c.version).where(*_THIS_RECORD)
_SELECT_RECORD = Prepared(select(db.records.c.version, db.records.c.body).where(*_THIS_RECORD))
_DELETE_RECORD = delete(db.records).where(*_THIS_RECORD)
_UPDATE = (
    update(db.records)
    .where(*_THIS_RECORD)
    .values(version=db.records.c.version + 1, body=bindparam("new_body"))
    .returning(db.records.c.version)
)
_UPDATE_RECORD = Prepared(_UPDATE)
_UPDATE_EXPECTED = Prepared(_UPDATE.where(db.records.c.version == bindparam("expected")))


def _this_record(kind: str, key: str) -> dict[str, str]:
    """The parameters of a statement about one record."""
    return {"of_kind": kind, "of_key": key}


def get_record(connection: Connection, kind: str, key: str) -> tuple[int, str] | None:
    """The version and the body of a record; None where there is none."""
    row = _SELECT_RECORD.first(connection, _this_record(kind, key))
    return (row[0], row[1]) if row else None


def _check_record(connection: Connection, kind: str, key: str, expected: int | None) -> int:
    actual: int = connection.execute(_SELECT_VERSION, _this_record(kind, key)).scalar() or 0
    if expected is not None and expected != actual:
        raise record_conflict(kind, key, actual, expected)
    return actual


def _floor(connection: Connection, kind: str) -> int | None:
    value: int | None = connection.execute(
        select(db.floors.c.version).where(db.floors.c.kind == kind)
    ).scalar()
    return value


def put_record(connection: Connection, kind: str, key: str, body: str, expected: int | None) -> int:
    """Writes a record and gives its new version.

    Raises:
        VersionConflict: it is not at the expected version.
    """
    statement = _UPDATE_RECORD if expected is None else _UPDATE_EXPECTED
    changed = {"new_body": body, "expected": expected} if expected is not None else {"new_body": body}
    updated = statement.first(connection, _this_record(kind, key) | changed)
    if updated is not None:
        return int(updated[0])
    _check_record(connection, kind, key, expected)
    version = (_floor(connection, kind) or 0) + 1
    connection.execute(insert(db.records).values(kind=kind, key=key, version=version, body=body))
    return version


def delete_record(connection: Connection, kind: str, key: str, expected: int | None) -> None:
    """Removes a record, and remembers how high its kind has been.

    Raises:
        VersionConflict: it is not at the expected version.
    """
    actual = _check_record(connection, kind, key, expected)
    if not actual:
        return
    connection.execute(_DELETE_RECORD, _this_record(kind, key))
    floor = _floor(connection, kind)
    if floor is None:
        connection.execute(insert(db.floors).values(kind=kind, version=actual))
    elif actual > floor:
        connection.execute(update(db.floors).where(db.floors.c.kind == kind).values(version=actual))
