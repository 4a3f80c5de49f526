"""What threads do to one store at the same time, as every state store promises to bear it."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Barrier
from typing import TypeVar

from safeupdater.domain.operation import AbortRequested
from safeupdater.errors import VersionConflict
from safeupdater.protocols import Lease, StateStore
from safeupdater.testing.store_samples import StoreTests, planned

_THREADS = 4
_ROUNDS = 10
Result = TypeVar("Result")


class RaceTests(StoreTests):
    """The part of the contract about threads."""

    def test_threads_lose_no_write(self, store: StateStore) -> None:
        store.put("setting", "counter", 0)

        def count(_: int) -> None:
            while True:
                found = store.get("setting", "counter")
                assert found is not None
                assert isinstance(found.value, int)
                try:
                    store.put("setting", "counter", found.value + 1, expected=found.version)
                except VersionConflict:
                    continue
                return

        with ThreadPoolExecutor(_THREADS) as pool:
            list(pool.map(count, range(40)))
        found = store.get("setting", "counter")
        assert found is not None
        assert found.value == 40, f"of 40 writes at the expected version, {found.value} are there"

    def test_threads_that_acquire_one_lease_at_once_make_one_holder(self, store: StateStore) -> None:
        for number in range(_ROUNDS):
            given = _at_once(partial(_acquire, store, f"k{number}"))
            holders = [lease.holder for lease in given if lease is not None]
            assert len(holders) == 1, f"{_THREADS} threads wanted one lease, and these got it: {holders}"
            seen = store.lease_on(f"k{number}")
            assert seen is not None
            assert seen.holder == holders[0]

    def test_threads_that_append_at_one_version_leave_one_append(self, store: StateStore) -> None:
        for number in range(_ROUNDS):
            operation = f"op-{number}"
            self.append(store, 0, planned(operation, f"t{number}"), id=operation)
            said = _at_once(partial(self._ask_to_abort, store, operation))
            assert said.count(2) == 1, f"{_THREADS} threads appended at version 1 and were told {said}"
            kept = [entry.version for entry in store.load(operation)]
            assert kept == [1, 2], f"one append at version 1 was granted, the journal has versions {kept}"

    def _ask_to_abort(self, store: StateStore, operation: str, thread: int) -> int | str:
        try:
            return self.append(store, 1, AbortRequested(by=f"thread-{thread}"), id=operation)
        except VersionConflict as conflict:
            return conflict.code

    def test_threads_that_open_operations_on_one_target_open_one(self, store: StateStore) -> None:
        for number in range(_ROUNDS):
            said = _at_once(partial(self._open, store, f"t{number}"))
            assert said.count(1) == 1, f"{_THREADS} threads opened operations on one target: {said}"
            opened = [event.operation_id for event in store.unfinished()]
            assert len(opened) == number + 1, f"a target has more than one open operation: {opened}"

    def _open(self, store: StateStore, target: str, thread: int) -> int | str:
        operation = f"{target}-by-{thread}"
        try:
            return self.append(store, 0, planned(operation, target), id=operation)
        except VersionConflict as conflict:
            return conflict.code


def _acquire(store: StateStore, key: str, thread: int) -> Lease | None:
    return store.acquire(key, f"holder-{thread}", 60)


def _at_once(act: Callable[[int], Result]) -> list[Result]:
    """What a few threads come to that begin at the same moment; each is told its number."""
    start = Barrier(_THREADS)

    def one(number: int) -> Result:
        start.wait(60)
        return act(number)

    with _impatient_threads(), ThreadPoolExecutor(_THREADS) as pool:
        return list(pool.map(one, range(_THREADS)))


@contextlib.contextmanager
def _impatient_threads() -> Iterator[None]:
    """Threads take turns a thousand times as often: what is not guarded is met in a few rounds."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(before / 1000)
    try:
        yield
    finally:
        sys.setswitchinterval(before)
