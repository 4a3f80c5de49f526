"""What a database's errors mean for whoever asked the store. None shows a value or a password."""

from __future__ import annotations

import sqlite3
from types import TracebackType

from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError

from safeupdater.errors import CorruptState, StoreError, VersionConflict


class Translating:
    """What a database raises in the body is raised as what it means; one for all, since it keeps nothing."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        match error:
            case DBAPIError():
                # The wrapper's text may show the values of a statement: only the driver's error is kept.
                raise _translate(error, self._name) from error.orig
            case SQLAlchemyError():
                raise StoreError(f"{self._name}: {type(error).__name__}", transient=True) from None
            case sqlite3.Error():
                raise _sqlite_error(error, self._name) from error


def _translate(error: DBAPIError, name: str) -> StoreError:
    """What a database's error means for the caller; its text shows no value and no password."""
    state = getattr(error.orig, "sqlstate", None)
    if isinstance(error, IntegrityError):
        return _written_by_others(name)
    if isinstance(error.orig, sqlite3.Error):
        return _sqlite_error(error.orig, name)
    if state is None or error.connection_invalidated:
        return StoreError(
            f"{name}: the database does not answer ({type(error.orig).__name__})",
            code="store_unavailable",
            transient=True,
        )
    return _postgres_error(state, name)


_SQLITE: tuple[tuple[str, type[StoreError], str, bool, str], ...] = (
    ("SQLITE_BUSY", StoreError, "store_busy", True, "other processes keep it busy; try again"),
    ("SQLITE_LOCKED", StoreError, "store_busy", True, "other connections keep it busy; try again"),
    (
        "SQLITE_FULL",
        StoreError,
        "disk_full",
        True,
        "the disk is full; nothing was lost: free space, try again",
    ),
    ("SQLITE_READONLY", StoreError, "read_only", False, "writing is not allowed there; nothing was changed"),
    ("SQLITE_CANTOPEN", StoreError, "io_error", False, "it cannot be opened: check the path and its rights"),
    ("SQLITE_PERM", StoreError, "read_only", False, "access is not allowed"),
    (
        "SQLITE_NOTADB",
        CorruptState,
        "foreign_state",
        False,
        "it is not an SQLite database; nothing was changed",
    ),
    ("SQLITE_CORRUPT", CorruptState, "corrupt_state", False, "it is damaged: restore it from a backup"),
    ("SQLITE_IOERR", StoreError, "io_error", False, "the disk failed"),
    # Our statements are fixed, so it is the database that is not as they expect.
    (
        "SQLITE_ERROR",
        CorruptState,
        "corrupt_state",
        False,
        "its format or its tables are not those that were written: restore it from a backup",
    ),
)

_POSTGRES: tuple[tuple[str, str, bool, str], ...] = (
    ("08", "store_unavailable", True, "the connection was lost"),
    ("57P", "store_unavailable", True, "the server is shutting down or starting"),
    ("53100", "disk_full", True, "the server's disk is full; nothing was lost"),
    ("53", "store_busy", True, "the server has no resources left; try again"),
    ("55P03", "store_busy", True, "other processes keep it busy; try again"),
    ("57014", "store_busy", True, "the statement took too long; try again"),
    ("25P0", "store_unavailable", True, "the transaction took too long"),
    ("25006", "read_only", False, "the server takes no changes (a standby?)"),
    ("40", "store_busy", True, "the transaction was chosen to give way; try again"),
    ("28", "store_refused", False, "the server refuses this login"),
    ("3D", "store_refused", False, "there is no such database"),
    ("42501", "store_refused", False, "the login may not do that"),
)


def _written_by_others(name: str) -> VersionConflict:
    return VersionConflict(f"{name}: somebody else wrote first; reload and decide again")


def _sqlite_error(error: sqlite3.Error, name: str) -> StoreError:
    if isinstance(error, sqlite3.IntegrityError):
        return _written_by_others(name)
    code = getattr(error, "sqlite_errorname", None)
    if code is None:  # the driver's own word, such as on a connection that was closed
        return StoreError(
            f"{name}: the database does not answer ({type(error).__name__})",
            code="store_unavailable",
            transient=True,
        )
    for prefix, kind, ours, transient, meaning in _SQLITE:
        if code.startswith(prefix):
            return kind(f"{name}: {meaning}", code=ours, transient=transient)
    return StoreError(f"{name}: the database reported {code}")


def _postgres_error(state: str, name: str) -> StoreError:
    for prefix, ours, transient, meaning in _POSTGRES:
        if state.startswith(prefix):
            return StoreError(f"{name}: {meaning} ({state})", code=ours, transient=transient)
    return StoreError(f"{name}: the database reported {state}")
