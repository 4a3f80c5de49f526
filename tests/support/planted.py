"""Looking for planted secrets: in texts, however they are spelt there, and in what an SQLite store holds."""

from __future__ import annotations

import base64
import json
import sqlite3
import urllib.parse
from collections.abc import Collection
from functools import cache
from pathlib import Path


def found_in(text: str, secrets: Collection[str]) -> list[str]:
    """The secrets that a text holds, as they are or in an encoding that logins and requests use."""
    return [secret for secret in secrets if any(spelling in text for spelling in _spellings(secret))]


@cache
def _spellings(secret: str) -> frozenset[str]:
    """The secret itself, quoted for a URL, in hexadecimal, and inside any base64 that has it within."""
    data = secret.encode()
    within = {_inside(data, offset) for offset in range(3)}
    return frozenset({secret, urllib.parse.quote(secret, safe=""), data.hex(), *within})


def _inside(data: bytes, offset: int) -> str:
    """The characters of base64 that are only of ``data``, where it begins at that offset within a triple."""
    first = -(-offset * 4 // 3)
    last = (offset + len(data)) * 4 // 3
    return base64.b64encode(bytes(offset) + data).decode()[first:last]


def holders(database: Path, secrets: Collection[str]) -> set[tuple[str, str]]:
    """Which kinds of things in an SQLite store hold secrets, as pairs of kind and secret.

    A kind is ``record snapshot`` for records of that kind, ``event step_done`` for such entries of the
    journal, and the name of the table for everything else.
    """
    with sqlite3.connect(database) as connection:
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type='table'")]
        return {
            (_kind(table, columns, row), secret)
            for table in tables
            for columns, row in _rows(connection, table)
            for secret in found_in(repr(row), secrets)
        }


def _rows(connection: sqlite3.Connection, table: str) -> list[tuple[tuple[str, ...], tuple[object, ...]]]:
    cursor = connection.execute(f"SELECT * FROM {table}")
    columns = tuple(column[0] for column in cursor.description)
    return [(columns, row) for row in cursor]


def _kind(table: str, columns: tuple[str, ...], row: tuple[object, ...]) -> str:
    named = dict(zip(columns, row, strict=True))
    match table:
        case "safeupdater_records":
            return f"record {named['kind']}"
        case "safeupdater_journal":
            return f"event {json.loads(str(named['body']))['type']}"
        case _:
            return table
