"""An SQLite file that is as new for every run."""

from __future__ import annotations

import atexit
import functools
import tempfile
from pathlib import Path


class Database:
    """An SQLite file that is as new for every run: copied from a template, on one engine for all runs."""

    def __init__(self, directory: Path) -> None:
        from safeupdater.stores.sql import SqlStore
        from safeupdater.stores.sqlsession import make_engine

        self._path = directory / "state.db"
        url = f"sqlite:///{self._path}"
        SqlStore(url).close()
        self._template = self._path.read_bytes()
        self.engine = make_engine(url)

    def renew(self) -> None:
        """Forgets everything that was stored."""
        self.engine.dispose()
        for suffix in ("-wal", "-shm"):
            self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)
        self._path.write_bytes(self._template)


@functools.cache
def _own_database() -> Database:
    memory = Path("/dev/shm")
    directory = tempfile.TemporaryDirectory(prefix="su-simulation-", dir=memory if memory.is_dir() else None)
    atexit.register(directory.cleanup)
    return Database(Path(directory.name))


def shared_database() -> Database:
    """The process's database, empty: one harness at a time has it.

    It lies in memory where the system has a file system there: SQLite loses nothing that it must keep when
    a process dies, only when the power fails, and that is not simulated on it.
    """
    database = _own_database()
    database.renew()
    return database
