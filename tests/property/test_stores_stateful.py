"""Every durable store does exactly what the store in memory does, whatever is done to it, in any order."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule

from safeupdater.domain.operation import Event, Finished, Outcome
from safeupdater.errors import StoreError
from safeupdater.protocols import Lease, StateStore
from safeupdater.stores.jsonfile import JsonFileStore
from safeupdater.stores.memory import MemoryStore
from safeupdater.stores.sql import SqlStore
from safeupdater.testing import strategies as su
from safeupdater.testing.clock import FakeClock
from safeupdater.testing.filesystem import MemoryFileSystem
from safeupdater.testing.stores import planned

KEYS = ("a", "a/b", "é", "z")
KINDS = (
    "asset",
    "approval",
    "quarantine",
    "rollback",
    "breaker",
    "plan",
    "snapshot",
    "first_seen",
    "listing",
    "tag",
    "setting",
)
TARGETS = ("web", "db")
HOLDERS = ("one", "two")


class StoreMachine(RuleBasedStateMachine):
    """Does the same to a store and to the model, and compares answers and contents."""

    leases = Bundle("leases")

    def open(self) -> StateStore:
        """Opens the store under test at its place."""
        raise NotImplementedError

    def __init__(self) -> None:
        super().__init__()
        self.clock = FakeClock()
        self.directory = tempfile.TemporaryDirectory()
        self.place = Path(self.directory.name)
        self.files = MemoryFileSystem()
        self.model = MemoryStore(self.clock)
        self.store = self.open()
        self.operations = 0

    def teardown(self) -> None:
        self.store.close()
        self.directory.cleanup()

    def both(self, call: Callable[[StateStore], Any]) -> Any:
        """The answer of both, which must be the same one: value, error class and code."""
        expected, actual = _answer(self.model, call), _answer(self.store, call)
        assert actual == expected
        return expected[1]

    @rule(key=st.sampled_from(KEYS), record=su.records(), back=st.none() | st.integers(0, 2))
    def put(self, key: str, record: tuple[str, object], back: int | None) -> None:
        kind, value = record
        found = self.model.get(kind, key)
        now = found.version if found else 0
        expected = None if back is None else max(0, now - back)
        self.both(lambda store: store.put(kind, key, value, expected=expected))

    @rule(kind=st.sampled_from(KINDS), key=st.sampled_from(KEYS), back=st.none() | st.integers(0, 1))
    def delete(self, kind: str, key: str, back: int | None) -> None:
        found = self.model.get(kind, key)
        expected = None if back is None else max(0, (found.version if found else 0) - back)
        self.both(lambda store: store.delete(kind, key, expected=expected))

    @rule(keys=st.sets(st.sampled_from(["", *KEYS])), record=su.records())
    def put_many(self, keys: set[str], record: tuple[str, object]) -> None:
        kind, value = record
        self.both(lambda store: store.put_many(kind, dict.fromkeys(sorted(keys), value)))

    @rule(name=st.sampled_from(TARGETS), more=st.lists(su.later_events(st.just(Outcome.HELD)), max_size=2))
    def begin(self, name: str, more: list[Event]) -> None:
        self.operations += 1
        operation_id = f"op-{self.operations}"
        events = [planned(operation_id, name), *more]
        at = self.clock.now()
        self.both(lambda store: store.append(operation_id, events, expected_version=0, at=at))

    @rule(
        number=st.integers(1, 4),
        events=st.lists(su.later_events(st.just(Outcome.HELD)), min_size=1, max_size=3),
        end=st.none() | st.sampled_from(Outcome),
        back=st.integers(0, 2),
        again=st.booleans(),
    )
    def go_on(self, number: int, events: list[Event], end: Outcome | None, back: int, again: bool) -> None:
        operation_id = f"op-{number}"
        expected = max(1, len(self.model.load(operation_id)) - back)
        batch = [*events, *([Finished(outcome=end)] if end else [])]
        at = self.clock.now()
        for _ in range(1 + again):
            self.both(lambda store: store.append(operation_id, batch, expected_version=expected, at=at))

    @rule(days=st.integers(-1, 2), keep=st.integers(0, 2), named=st.sets(st.integers(1, 4), max_size=1))
    def prune(self, days: int, keep: int, named: set[int]) -> None:
        before = self.clock.now() + timedelta(days=days)
        names = {f"op-{number}" for number in named}
        self.both(lambda store: store.prune(before, keep_per_target=keep, keep=names))

    @rule(target=leases, key=st.sampled_from(TARGETS), holder=st.sampled_from(HOLDERS))
    def acquire(self, key: str, holder: str) -> Lease | None:
        lease = self.both(lambda store: store.acquire(key, holder, 60))
        assert lease is None or isinstance(lease, Lease)
        return lease

    @rule(key=st.sampled_from(TARGETS))
    def look(self, key: str) -> None:
        self.both(lambda store: store.lease_on(key))

    @rule(lease=leases)
    def renew(self, lease: Lease | None) -> None:
        if lease is not None:
            self.both(lambda store: store.renew(lease, 30))

    @rule(lease=leases)
    def release(self, lease: Lease | None) -> None:
        if lease is not None:
            self.both(lambda store: store.release(lease))

    @rule(lease=leases, number=st.integers(1, 4), event=su.later_events(st.just(Outcome.HELD)))
    def append_with_lease(self, lease: Lease | None, number: int, event: Event) -> None:
        operation_id = f"op-{number}"
        version = max(1, len(self.model.load(operation_id)))
        at = self.clock.now()
        self.both(
            lambda store: store.append(operation_id, [event], expected_version=version, at=at, lease=lease)
        )

    @rule(seconds=st.sampled_from([1, 29, 31, 61]))
    def wait(self, seconds: int) -> None:
        self.clock.advance(seconds)

    @rule(years=st.sampled_from([-10, 10]))
    def jump(self, years: int) -> None:
        if abs(self.clock.now().year + years - 2026) <= 20:
            self.clock.jump(timedelta(days=365 * years))

    @rule()
    def checkpoint(self) -> None:
        if isinstance(self.store, JsonFileStore):
            self.store.checkpoint()

    @rule()
    def reopen(self) -> None:
        # What a store has watched of a lease is not kept, so the model forgets it too.
        self.model._book._watch._seen.clear()
        self.store.close()
        self.store = self.open()

    @rule(cursor=st.integers(-1, 6), limit=st.integers(0, 3))
    def read_by_cursor(self, cursor: int, limit: int) -> None:
        self.both(lambda store: store.since(cursor, limit))

    @initialize()
    def begin_one(self) -> None:
        self.begin("web", [])

    @invariant()
    def both_hold_the_same(self) -> None:
        for kind in KINDS:
            assert list(self.store.iterate(kind)) == list(self.model.iterate(kind))
        assert list(self.store.iterate("setting", "a")) == list(self.model.iterate("setting", "a"))
        assert self.store.since(0) == self.model.since(0)
        assert self.store.unfinished() == self.model.unfinished()
        for number in range(1, 4):
            assert self.store.load(f"op-{number}") == self.model.load(f"op-{number}")


def _answer(store: StateStore, call: Callable[[StateStore], Any]) -> tuple[str, Any]:
    try:
        return "value", call(store)
    except StoreError as error:
        return f"{type(error).__name__} {error.code} {error}", None


class JsonMachine(StoreMachine):
    def open(self) -> StateStore:
        return JsonFileStore(self.place / "state", self.clock, files=self.files)


class SqliteMachine(StoreMachine):
    def open(self) -> StateStore:
        return SqlStore(f"sqlite:///{self.place}/state.db", self.clock)


TestJsonStoreAgainstTheModel = JsonMachine.TestCase
TestJsonStoreAgainstTheModel.settings = settings(max_examples=30, stateful_step_count=25)
TestSqliteStoreAgainstTheModel = SqliteMachine.TestCase
TestSqliteStoreAgainstTheModel.settings = settings(max_examples=10, stateful_step_count=20)
