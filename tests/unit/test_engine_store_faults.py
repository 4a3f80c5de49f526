"""A disk that fills up, breaks or takes no writes during an update: nothing goes forward or is lost."""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
from sqlalchemy import create_engine, event

from safeupdater.backends.memory import CRASHES, GOOD, Behaviour
from safeupdater.domain.notice import Severity
from safeupdater.domain.operation import Outcome
from safeupdater.stores.jsonfile import JsonFileStore
from safeupdater.stores.sql import SqlStore
from safeupdater.testing.filesystem import Fault, FaultyFileSystem, MemoryFileSystem, Mishap
from safeupdater.update.acting import ROOM_BYTES
from safeupdater.update.result import OperationResult
from tests.support.engine import Bench, Recorder, outcomes
from tests.support.jsonstore import abandon

GOOD_END, BAD_END = Outcome.SUCCEEDED, Outcome.ROLLED_BACK
LOOKS = frozenset({"list", "inspect", "observe"})


def bench_on(open_store: Callable[[Bench], Any]) -> Bench:
    """A bench whose state is in another store."""
    bench = Bench()
    bench.store = open_store(bench)
    bench.recorder = Recorder()
    bench.updater = bench.process()
    return bench


def watch_effects(bench: Bench, is_failing: Callable[[], bool]) -> list[str]:
    """The names of changes that are made to the world while the store fails."""
    made: list[str] = []

    def interfere(name: str, effect: Callable[[], object]) -> object:
        if is_failing() and name not in LOOKS:
            made.append(name)
        return effect()

    bench.world.interfere = interfere
    return made


def reopened(bench: Bench, store: Any) -> None:
    """The process died, the disk is back, and another process opens the store."""
    bench.kill(bench.updater)
    bench.store = store
    bench.updater = bench.process()


def check_told_once(bench: Bench, result: OperationResult) -> None:
    """One alert: that the store failed, or of the end that it may or may not hold."""
    (alert,) = [item for item in bench.recorder.alerts if item.operation_id == result.operation_id]
    if not alert.message.startswith(str(Outcome.ROLLED_BACK)):
        assert (alert.code, alert.severity) == (result.code, Severity.CRITICAL)
        assert "store failed" in alert.message


def check_end(bench: Bench, operation_id: str) -> None:
    """Recovery ends it, with exactly one of the two versions running."""
    bench.updater.recover()
    last = bench.store.load(operation_id)[-1].event
    assert last.outcome in (Outcome.SUCCEEDED, Outcome.ROLLED_BACK, Outcome.ABORTED)
    assert bench.running == {"web": "1.1.0" if last.outcome is Outcome.SUCCEEDED else "1.0.0"}
    assert bench.store.unfinished() == ()


# --- the JSON store -----------------------------------------------------------------------------------------

GROWING = ("write", "create")
FAULTS = {
    "disk_full": Fault(call=1, mishap=Mishap.ERROR, errno=errno.ENOSPC, only=GROWING),
    "disk_full by half": Fault(call=1, mishap=Mishap.PARTIAL, errno=errno.ENOSPC, only=GROWING),
    "sync_failed": Fault(call=1, mishap=Mishap.ERROR, errno=errno.EIO, only="sync"),
    "read_only": Fault(call=1, mishap=Mishap.ERROR, errno=errno.EROFS, only=GROWING),
    "store_broken": Fault(call=1, mishap=Mishap.PARTIAL, errno=errno.EIO),
}
CODES = {
    "disk_full by half": {"disk_full"},
    "sync_failed": {"sync_failed", "io_error"},  # of the journal; of a directory
    "store_broken": {"store_broken", "sync_failed", "io_error"},
}


def json_bench() -> tuple[Bench, FaultyFileSystem, MemoryFileSystem]:
    disk = MemoryFileSystem()
    files = FaultyFileSystem(inner=disk)
    bench = bench_on(lambda made: json_store(made, files))
    return bench, files, disk


def json_store(bench: Bench, files: Any) -> JsonFileStore:
    return JsonFileStore("s", bench.clock, files=files, is_dead=lambda holder: holder in bench.dead)


def calls_of_an_update(behaviour: Behaviour) -> int:
    bench, files, _ = json_bench()
    operation_id = bench.open(behaviour=behaviour)
    before = len(files.calls)
    bench.run(operation_id)
    return len(files.calls) - before


@pytest.mark.parametrize("behaviour", [GOOD, CRASHES], ids=["good", "bad"])
@pytest.mark.parametrize("name", FAULTS)
def test_a_json_store_that_fails_at_any_call_stops_everything_and_recovery_ends_it(
    name: str, behaviour: Behaviour
) -> None:
    fault = attrs.evolve(FAULTS[name], lasts=True)
    codes = CODES.get(name, {name})
    interrupted = 0
    for call in range(1, calls_of_an_update(behaviour) + 1):
        bench, files, disk = json_bench()
        operation_id = bench.open(behaviour=behaviour)
        begin = len(files.calls) + call
        files.faults = (attrs.evolve(fault, call=begin),)

        def is_failing(files: FaultyFileSystem = files, begin: int = begin) -> bool:
            return any(name.startswith(files.faults[0].only) for name in files.calls[begin - 1 :])

        made = watch_effects(bench, is_failing)
        result = bench.run(operation_id)
        assert made == [], f"call {call}: the store failed, and {made} followed"
        if result.outcome is Outcome.INTERRUPTED:
            interrupted += 1
            assert result.code in codes, f"call {call}"
            check_told_once(bench, result)
        abandon(bench.store)
        reopened(bench, json_store(bench, disk))
        check_end(bench, operation_id)
    assert interrupted > 10


def full_at(state: str, behaviour: Behaviour) -> tuple[Bench, MemoryFileSystem, str]:
    """An update in a state, when the disk has not one byte left."""
    disk = MemoryFileSystem()
    bench = bench_on(lambda made: json_store(made, disk))
    operation_id = bench.open(behaviour=behaviour)
    bench.steps_until(operation_id, state)
    disk.capacity_bytes = disk.used_bytes
    return bench, disk, operation_id


def test_a_bad_release_is_taken_back_although_the_disk_is_full() -> None:
    bench, _, operation_id = full_at("Settling", CRASHES)
    assert bench.run(operation_id).outcome is Outcome.ROLLED_BACK
    assert bench.running == {"web": "1.0.0"}
    assert bench.state(operation_id) == "RolledBack"


def test_a_good_release_is_not_committed_on_a_full_disk_and_the_old_one_is_kept() -> None:
    bench, disk, operation_id = full_at("Watching", GOOD)
    result = bench.run(operation_id)
    assert (result.outcome, result.code) == (Outcome.INTERRUPTED, "disk_full")
    assert sorted(str(item.image.tag) for item in bench.world.containers.values()) == ["1.0.0", "1.1.0"]
    disk.capacity_bytes = None
    assert outcomes(bench.updater.recover()) == [Outcome.SUCCEEDED]


# --- room, before anything is touched -----------------------------------------------------------------------


@pytest.mark.parametrize(("room", "end"), [(ROOM_BYTES - 1, Outcome.ABORTED), (ROOM_BYTES * 2, GOOD_END)])
def test_an_update_is_not_begun_where_the_store_is_nearly_full(room: int, end: Outcome) -> None:
    disk = MemoryFileSystem()
    bench = bench_on(lambda made: json_store(made, disk))
    update = bench.plan()
    disk.capacity_bytes = disk.used_bytes + room
    made = watch_effects(bench, lambda: True)
    result = bench.run(update)
    assert result.outcome is end
    if end is Outcome.ABORTED:
        assert result.code == "store_full"
        assert "free space" in result.message
        assert made == [], "nothing was touched"
        assert bench.running == {"web": "1.0.0"}


class Unmeasurable(MemoryFileSystem):
    def free_bytes(self, directory: Path) -> int | None:
        raise OSError(errno.EIO, "broken")


def test_a_store_that_cannot_be_measured_is_a_store_that_fails() -> None:
    bench = bench_on(lambda made: json_store(made, Unmeasurable()))
    operation_id = bench.open()
    result = bench.run(operation_id)
    assert (result.outcome, result.code) == (Outcome.INTERRUPTED, "io_error")


# --- the SQLite store ---------------------------------------------------------------------------------------

SQLITE_FAULTS = {
    "SQLITE_FULL": ("INSERT INTO safeupdater_journal", 1, "disk_full"),
    "SQLITE_IOERR_FSYNC": ("COMMIT", 1, "commit_unknown"),
    "SQLITE_READONLY": ("BEGIN IMMEDIATE", 3, "read_only"),
    "SQLITE_CORRUPT": ("SELECT safeupdater_operations", 3, "corrupt_state"),
}
"""Where a database fails, at every how-manieth such statement, and with what code the operation rests."""


class FailingDatabase:
    """A database that fails at the n-th statement of a kind and at every later one."""

    def __init__(self, path: Path) -> None:
        self.engine = create_engine(f"sqlite:///{path}")
        self.code, self.statement, self.first = "", "never", 0
        self.seen = 0
        event.listen(self.engine, "do_execute", self._execute)
        event.listen(self.engine, "do_execute_no_params", self._execute)
        event.listen(self.engine, "do_executemany", self._execute)

    @property
    def is_failing(self) -> bool:
        return bool(self.code) and self.seen >= self.first

    def fail(self, code: str, statement: str, first: int) -> None:
        self.code, self.statement, self.first, self.seen = code, statement, first, 0

    def _execute(self, cursor: Any, statement: str, *rest: Any) -> None:
        if statement.startswith(self.statement):
            self.seen += 1
            if self.is_failing:
                error = sqlite3.OperationalError("as the test wants it")
                error.sqlite_errorname = self.code
                raise error


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Callable[[], FailingDatabase]]:
    made: list[FailingDatabase] = []

    def make() -> FailingDatabase:
        made.append(FailingDatabase(tmp_path / f"{len(made)}.db"))
        return made[-1]

    yield make
    for each in made:
        each.engine.dispose()


def sqlite_store(bench: Bench, database: FailingDatabase) -> SqlStore:
    return SqlStore(database.engine, bench.clock, is_dead=lambda holder: holder in bench.dead)


def sqlite_run(database: FailingDatabase, code: str, statement: str, first: int) -> tuple[Any, Bench, str]:
    bench = bench_on(lambda made: sqlite_store(made, database))
    operation_id = bench.open(behaviour=CRASHES if first % 2 else GOOD)
    database.fail(code, statement, first)
    made = watch_effects(bench, lambda: database.is_failing)
    result = bench.run(operation_id)
    assert made == [], f"{code} at {first}: {made} followed"
    return result, bench, operation_id


@pytest.mark.parametrize("code", SQLITE_FAULTS)
def test_a_database_that_fails_at_any_append_stops_everything_and_recovery_ends_it(
    database: Callable[[], FailingDatabase], code: str
) -> None:
    statement, every, wanted = SQLITE_FAULTS[code]
    counted = database()
    sqlite_run(counted, "", statement, 1)
    interrupted = 0
    for first in range(1, counted.seen + 1, every):
        failing = database()
        result, bench, operation_id = sqlite_run(failing, code, statement, first)
        if result.outcome is Outcome.INTERRUPTED:
            interrupted += 1
            assert result.code == wanted
            check_told_once(bench, result)
        failing.fail("", "never", 0)
        reopened(bench, sqlite_store(bench, failing))
        check_end(bench, operation_id)
    assert interrupted > 3
