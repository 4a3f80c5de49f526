"""The file of an SQLite store: made whole or not at all, and looked at before SQLite may touch it."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import sqlite3
from pathlib import Path
from urllib.parse import quote

from sqlalchemy import Connection

from safeupdater.errors import ConfigurationError, CorruptState
from safeupdater.stores.filesystem import io_error
from safeupdater.stores.place import MountTable, require_local, require_safe, system_mounts
from safeupdater.stores.sqlschema import APPLICATION_ID, schema_table

# The database header (sqlite.org/fileformat2.html §1.3).
_MAGIC = b"SQLite format 3\0"
_HEADER_BYTES = 100
_APPLICATION_ID_AT = slice(68, 72)

_ALWAYS_CHECKED_BYTES = 64 * 1024 * 1024
"""A quick check takes 2 ms a megabyte: 33 ms for ten thousand assets with two thousand updates behind them.
Larger files are checked only where the last writer did not close them."""


def prepare_file(
    database: str | None, *, allow_network: bool = False, mounts: MountTable = system_mounts
) -> Path:
    """The path of an SQLite store, after seeing to it that a file of ours is there, or making one.

    A file that is not ours, or is empty or cut off, is refused without a byte of it being changed.

    Raises:
        ConfigurationError: it names no file.
        StoreError: it is in no place for state, or cannot be read or made.
        CorruptState: what is there is not a database of ours.
    """
    if not database or database == ":memory:" or database.startswith("file:"):
        raise ConfigurationError("an SQLite store needs a file: sqlite:///PATH; for none, use memory:")
    path = Path(database)
    if not allow_network:
        require_local(path, mounts)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        require_safe(path)
        if not path.exists():
            create_file(path)
        _require_ours(path)
    except OSError as error:
        raise io_error(error, f"opening {path}") from error
    return path


def wants_check(path: Path) -> bool:
    """Whether the pages of a database are to be looked through at opening.

    The last one to close a database removes its log: where there is one, somebody still has it open, or
    died with it open.
    """
    try:
        return path.stat().st_size <= _ALWAYS_CHECKED_BYTES or _size(_log_of(path)) > 0
    except OSError:
        return True


def check_pages(connection: Connection, path: Path) -> None:
    """Looks through the pages of a database.

    Raises:
        CorruptState: they do not fit together.
    """
    found = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar()
    if found != "ok":
        raise _damaged(path, "its pages do not fit together")


def free_bytes(connection: Connection) -> int | None:
    """How much more an SQLite database may take up: by the disk's free space and by its own limit."""
    files = connection.exec_driver_sql("PRAGMA database_list").all()
    path = next(file for _, name, file in files if name == "main")
    pages, most, unused, page_bytes = (
        int(connection.exec_driver_sql(f"PRAGMA {name}").scalar_one())
        for name in ("page_count", "max_page_count", "freelist_count", "page_size")
    )
    own_limit = (most - pages + unused) * page_bytes
    if not path:
        return own_limit
    try:
        disk = os.statvfs(Path(path).parent)
    except OSError as error:
        raise io_error(error, f"measuring {path}") from error
    return min(own_limit, disk.f_bavail * disk.f_frsize + unused * page_bytes)


def create_file(path: Path) -> None:
    """Makes an empty database of ours. A crash leaves it whole or not there; of two makers one wins.

    Raises:
        CorruptState: only the log of one is there, so the database itself was lost.
    """
    # A database is there before its log is: where one is by now, another process was faster and uses it.
    if _size(_log_of(path)) > 0:
        if path.exists():
            return
        raise _damaged(path, f"it is missing, but {_log_of(path).name} beside it holds changes")
    fresh = path.with_name(f"{path.name}.{secrets.token_hex(6)}.new")
    try:
        # Made here so that only its owner can read it; SQLite gives its companions the same mode.
        os.close(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        _write_header(fresh)
        _link(fresh, path)
    finally:
        fresh.unlink(missing_ok=True)
    _sync_directory(path.parent)


def _write_header(path: Path) -> None:
    try:
        with contextlib.closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorname", "")
        cause = errno.ENOSPC if code == "SQLITE_FULL" else errno.EIO
        raise OSError(cause, os.strerror(cause)) from error


def _link(fresh: Path, path: Path) -> None:
    try:
        os.link(fresh, path)
    except FileExistsError:
        return  # another process was faster; its file is as good
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK):
            raise
        os.rename(fresh, path)  # a file system without links: two first openings at once may collide


def _sync_directory(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _require_ours(path: Path) -> None:
    with path.open("rb") as file:
        header = file.read(_HEADER_BYTES)
    if not header:
        raise _damaged(
            path,
            "it is empty. A new store is made only where there is no file: remove it to begin anew, knowing "
            "that updates under way are forgotten",
        )
    if not header.startswith(_MAGIC[: len(header)]):
        raise CorruptState(f"{path} is not an SQLite database; nothing was changed", code="foreign_state")
    if len(header) < _HEADER_BYTES:
        raise _damaged(path, f"it ends after {len(header)} bytes")
    application_id = int.from_bytes(header[_APPLICATION_ID_AT], "big")
    if application_id == APPLICATION_ID or (application_id == 0 and _could_be_ours(path)):
        return
    raise CorruptState(
        f"{path} is the database of another program; nothing was changed: choose another path. To keep "
        "safeupdater's tables in a database of yours, pass SqlStore an SQLAlchemy engine",
        code="foreign_state",
    )


def _could_be_ours(path: Path) -> bool:
    """Whether a database that names no program has our tables, or none at all; where unsure, SQLite says."""
    try:
        with contextlib.closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)) as connection:
            names = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    except sqlite3.Error:
        return True
    return not names or schema_table.name in names


def _damaged(path: Path, what: str) -> CorruptState:
    return CorruptState(
        f"{path} is damaged: {what}. Nothing was changed: restore it from a backup, or import an export "
        "into a new one"
    )


def _log_of(path: Path) -> Path:
    return path.with_name(f"{path.name}-wal")


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
