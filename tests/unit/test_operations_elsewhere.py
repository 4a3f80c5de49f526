"""An operation of another host's updater: at work, abandoned, ended, or waiting for somebody."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest

from safeupdater.domain.operation import Outcome, Resumed
from safeupdater.errors import CorruptState
from safeupdater.update.standing import Standing, standings
from safeupdater.update.updater import Updater
from tests.support.engine import WEB, Bench, BrokenStore, held, stuck


def at_work(state: str = "Watching") -> tuple[Bench, str, Updater]:
    """A host whose updater is in the middle of an update, and an updater that reaches nothing of it."""
    bench = Bench()
    operation_id = bench.open()
    bench.steps_until(operation_id, state)
    return bench, operation_id, bench.process(backends=[])


def until_of(bench: Bench) -> datetime:
    seen = bench.store.lease_on(WEB)
    assert seen is not None
    until: datetime = seen.until
    return until


@pytest.mark.parametrize("state", ["Staging", "Settling", "Watching"])
def test_what_another_host_is_at_is_busy_and_says_with_whom_and_until_when(state: str) -> None:
    bench, operation_id, elsewhere = at_work(state)
    holder = bench.store.lease_on(WEB).holder
    (result,) = elsewhere.recover()
    assert (result.operation_id, result.code) == (operation_id, "target_busy")
    assert result.message == f"another updater works on {WEB}: {holder}"
    assert result.until == until_of(bench) > bench.clock.now()
    # Looking took nothing: who is at it goes on.
    assert bench.run(operation_id).succeeded


def test_what_nobody_is_at_any_more_is_out_of_reach() -> None:
    bench, _, elsewhere = at_work()
    bench.clock.advance((until_of(bench) - bench.clock.now()).total_seconds())
    (result,) = elsewhere.recover()
    assert (result.code, result.until) == ("no_backend", None)


def test_what_a_dead_process_was_at_is_out_of_reach_at_once() -> None:
    bench, _, elsewhere = at_work()
    bench.kill(bench.updater)
    (result,) = elsewhere.recover()
    assert result.code == "no_backend"


def test_what_ends_while_we_look_has_ended() -> None:
    bench, operation_id, _ = at_work()
    store = Interrupted(bench.store, lambda: bench.run(operation_id))
    (result,) = bench.process(backends=[], store=store).recover()
    assert result.succeeded


def test_what_ends_just_before_its_lease_is_ours_has_ended() -> None:
    bench, operation_id, _ = at_work()
    store = Interrupted(bench.store, lambda: bench.run(operation_id), at="acquire")
    (result,) = bench.process(store=store).recover()
    assert result.succeeded
    assert not any(isinstance(entry.event, Resumed) for entry in bench.store.load(operation_id))


def test_recovery_that_waits_for_another_host_sees_how_it_ends() -> None:
    bench, operation_id, elsewhere = at_work()
    wait = bench.clock.wait

    def meanwhile(delay_s: float, interrupted: Callable[[], bool]) -> None:
        bench.clock.wait = wait  # type: ignore[method-assign]
        bench.run(operation_id)

    bench.clock.wait = meanwhile  # type: ignore[method-assign]
    (result,) = elsewhere.recover(wait_s=1e6)
    assert result.succeeded
    assert bench.clock.monotonic() < 1e6


def test_a_busy_target_says_who_works_on_it() -> None:
    bench = Bench()
    update = bench.plan()
    bench.store.acquire(WEB, "north:boot:1:2:3", 600.0)
    refused = bench.run(update)
    assert (refused.code, refused.message) == ("target_busy", f"another updater works on {WEB}: north")
    assert refused.until == until_of(bench)


# --- all of them -------------------------------------------------------------------------------------------


class Interrupted(BrokenStore):
    """A store where something happens right after somebody has found that an operation has no end."""

    def __init__(self, inner: Any, happens: Callable[[], object], at: str = "lease_on") -> None:
        super().__init__(inner)
        self.happens: Callable[[], object] | None = happens
        self.at = at
        self.breaks = self.interrupts

    def interrupts(self, name: str, arguments: tuple[Any, ...]) -> bool:
        if name == self.at and self.happens is not None:
            happens, self.happens = self.happens, None
            happens()
        return False


def only(store: Any) -> Standing:
    (found,) = standings(store)
    return found


def test_an_operation_is_at_work_then_abandoned_then_over() -> None:
    bench, operation_id, _ = at_work()
    assert only(bench.store).held == bench.store.lease_on(WEB) is not None
    bench.kill(bench.updater)
    found = only(bench.store)
    assert (found.opened.operation_id, found.held, found.waits_for_a_person) == (operation_id, None, False)
    bench.process().recover()
    assert standings(bench.store) == ()


@pytest.mark.parametrize("waiting", [held, stuck])
def test_what_waits_for_a_person_is_neither_at_work_nor_abandoned(waiting: Callable[[], Bench]) -> None:
    bench = waiting()
    bench.store.acquire(WEB, "somebody", 60)
    found = only(bench.store)
    assert (found.waits_for_a_person, found.held) == (True, None)


def test_what_ends_between_two_looks_is_not_called_abandoned() -> None:
    bench, operation_id, _ = at_work()
    assert standings(Interrupted(bench.store, lambda: bench.run(operation_id))) == ()


def test_a_journal_that_cannot_be_read_is_one_that_somebody_must_look_at() -> None:
    bench, operation_id, _ = at_work()
    bench.kill(bench.updater)
    store = BrokenStore(bench.store)
    store.breaks, store.error = lambda name, _: name == "load", CorruptState("damaged")
    assert only(store) == Standing(opened=bench.store.unfinished()[0])
    assert only(store).opened.operation_id == operation_id
    assert [result.outcome for result in bench.process(store=store).recover()] == [Outcome.INTERRUPTED]
