"""Statements of an SQL store that run often: put together once, and run without detours."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Dialect
from sqlalchemy.sql import ClauseElement

SQLITE = "sqlite"
STRAIGHT = "safeupdater_straight"
"""The execution option of an engine whose statements may be run on the driver's cursor."""

Row = Sequence[Any]


def run(connection: Connection, text: str, parameters: Sequence[Any] | Mapping[str, Any] = ()) -> list[Row]:
    """The rows that a statement in the database's own words gives.

    An SQLite file of ours is asked on the driver's cursor: SQLAlchemy's way there takes longer than SQLite
    with its answer. A server is asked through SQLAlchemy, which notices that a connection is lost, and so is
    an engine that was passed in, since somebody may listen to its events.
    """
    if not connection.get_execution_options().get(STRAIGHT):
        found = connection.exec_driver_sql(text, parameters)
        return list(found) if found.returns_rows else []
    cursor = connection.connection.cursor()
    try:
        cursor.execute(text, parameters)
        return list(cursor.fetchall())
    finally:
        cursor.close()


class Prepared:
    """A statement with named parameters (``bindparam``), compiled once for each kind of database."""

    def __init__(self, statement: ClauseElement) -> None:
        self._statement = statement
        self._compiled = functools.lru_cache(maxsize=2)(self._compile)

    def rows(self, connection: Connection, values: Mapping[str, Any]) -> list[Row]:
        """The rows that it gives for these values of its parameters."""
        text, constants, order = self._compiled(connection.dialect)
        named = {**constants, **values}
        return run(connection, text, named if order is None else tuple([named[name] for name in order]))

    def first(self, connection: Connection, values: Mapping[str, Any]) -> Row | None:
        """The first row; None where there is none."""
        rows = self.rows(connection, values)
        return rows[0] if rows else None

    def _compile(self, dialect: Dialect) -> tuple[str, Mapping[str, Any], Sequence[str] | None]:
        compiled = self._statement.compile(dialect=dialect)
        constants = {name: value for name, value in (compiled.params or {}).items() if value is not None}
        order: Sequence[str] | None = getattr(compiled, "positiontup", None)
        return str(compiled), constants, order
