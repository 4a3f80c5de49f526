"""Which updates may begin: only what is approved, now, here, once."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import attrs
import pytest

from safeupdater.backends.memory import CRASHES
from safeupdater.config import Policy
from safeupdater.domain.asset import AssetStatus
from safeupdater.domain.decision import Decision, Verdict
from safeupdater.domain.operation import Outcome
from safeupdater.domain.plan import Approval
from safeupdater.errors import ConfigurationError, StoreError, UpdateError
from safeupdater.update.result import OperationResult
from tests.support.engine import WEB, Bench, BrokenStore, FakeChecks, only, outcomes, policy_with

HOUR = timedelta(hours=1)


def refused(result: str | OperationResult, code: str) -> OperationResult:
    """The refusal with that code; nothing was begun."""
    assert isinstance(result, OperationResult), "an operation was opened"
    assert (result.outcome, result.code) == (Outcome.REFUSED, code)
    assert result.message
    assert result.operation_id is None
    return result


def major(bench: Bench) -> Any:
    """A planned major update, which needs an approval of its own."""
    update = bench.plan("2.0.0")
    assert update.decision.verdict is Verdict.MANUAL_APPROVAL
    return update


# --- what may begin -----------------------------------------------------------------------------------------


def test_an_approved_update_is_carried_out() -> None:
    bench = Bench()
    result = bench.run(bench.plan())
    assert result.succeeded
    assert bench.running == {"web": "1.1.0"}
    result.raise_for_outcome()


def test_an_update_that_needs_an_approval_does_not_begin_without() -> None:
    bench = Bench()
    refused(bench.run(major(bench)), "not_approved")
    assert bench.running == {"web": "1.0.0"}
    assert bench.store.unfinished() == ()


def test_saying_that_it_is_approved_does_not_make_it_so() -> None:
    bench = Bench()
    forged = attrs.evolve(major(bench), decision=Decision(verdict=Verdict.APPROVE))
    refused(bench.run(forged), "not_approved")


def test_an_approval_lets_exactly_this_update_begin_once() -> None:
    bench = Bench()
    update = major(bench)
    approval = bench.updater.approve(update, approver="ada")
    assert bench.run(update, approvals=[approval]).succeeded
    stored = bench.store.get("approval", update.hash).value
    assert stored.used_by is not None
    bench.world.run("other", "other:1")
    refused(bench.updater.executor.open(update, stored), "approval_invalid")
    refused(bench.updater.executor.open(update, approval), "approval_used")


def test_an_approval_of_another_update_is_refused() -> None:
    bench = Bench()
    update = major(bench)
    approval = bench.updater.approve(update, approver="ada")
    newer = bench.plan("3.0.0")
    wrong = attrs.evolve(approval, update_hash="0" * 64)
    refused(bench.updater.executor.open(update, wrong), "approval_invalid")
    refused(bench.updater.executor.open(attrs.evolve(newer, policy_hash="x"), approval), "approval_invalid")


def test_an_expired_approval_is_refused() -> None:
    bench = Bench()
    update = major(bench)
    approval = bench.updater.approve(update, approver="ada", ttl_s=60.0)
    bench.clock.advance(60.0)
    refused(bench.updater.executor.open(update, approval), "approval_invalid")


def test_an_approval_that_the_store_does_not_hold_is_refused() -> None:
    bench = Bench()
    update = major(bench)
    made_up = Approval(
        update_hash=update.hash, target_id=update.target_id, changes=update.changes, approver="eve",
        at=bench.clock.now(), expires_at=bench.clock.now() + HOUR,
    )  # fmt: skip
    refused(bench.updater.executor.open(update, made_up), "approval_used")
    assert bench.store.unfinished() == ()


def test_an_approval_that_claims_more_than_the_store_holds_is_refused() -> None:
    bench = Bench(policy_with(semver_gates={"major": "review"}))
    update = bench.plan("2.0.0")
    approval = bench.updater.approve(update, approver="ada", bulk=True)
    refused(bench.updater.executor.open(update, attrs.evolve(approval, bulk=False)), "approval_used")


def test_an_approval_is_not_spent_on_an_update_that_cannot_be_opened() -> None:
    bench = Bench()
    bench.open()
    update = major(bench)
    approval = bench.updater.approve(update, approver="ada")
    refused(bench.process().executor.open(update, approval), "operation_open")
    assert bench.store.get("approval", update.hash).value.used_by is None


def test_what_cannot_be_approved_is_said_to_who_tries() -> None:
    bench = Bench()
    update = bench.plan()
    with pytest.raises(UpdateError, match="needs no approval") as raised:
        bench.updater.approve(update, approver="ada")
    assert raised.value.code == "not_approvable"
    with pytest.raises(UpdateError, match="by itself") as raised:
        bench.updater.approve(bench.plan_of("web", "2.0.0"), approver="ada", bulk=True)
    assert raised.value.code == "not_in_bulk"


# --- what changed since the plan ----------------------------------------------------------------------------


def test_a_policy_that_changed_since_the_plan_is_a_refusal() -> None:
    bench = Bench()
    update = bench.plan()
    stricter = Policy.from_dict(policy_with(semver_gates={"minor": "review"}))
    refused(bench.process(policy=stricter).executor.open(update), "policy_changed")


def test_a_window_that_closed_since_the_plan_is_a_refusal_with_its_next_opening() -> None:
    windows = [{"days": "mon-fri", "from": "11:00", "to": "13:00"}]
    bench = Bench(policy_with(windows=windows))
    update = bench.plan()
    assert update.is_approved
    bench.clock.advance(3600.0)
    result = refused(bench.run(update), "not_approved")
    assert result.until is not None
    assert result.until - bench.clock.now() == timedelta(hours=22)
    assert bench.running == {"web": "1.0.0"}


def test_a_version_that_was_quarantined_since_the_plan_is_a_refusal() -> None:
    bench = Bench()
    update = bench.plan(behaviour=CRASHES)
    assert bench.run(update).outcome is Outcome.ROLLED_BACK
    bench.clock.advance(2 * 3600.0)
    assert "failed before" in refused(bench.run(update), "rejected").message


def test_a_target_that_changed_since_the_plan_is_left_alone() -> None:
    bench = Bench()
    update = bench.plan()
    bench.world.remove("web")
    bench.world.run("web", "web:0.9.0")
    assert bench.run(update).outcome is Outcome.SUPERSEDED
    assert bench.running == {"web": "0.9.0"}


def test_a_target_that_a_scan_found_gone_meanwhile_ends_as_gone() -> None:
    bench = Bench()
    update = bench.plan()
    bench.world.remove("web")
    bench.updater.scan()
    assert bench.updater.inventory.get(WEB).status is AssetStatus.REMOVED
    assert bench.run(update).outcome is Outcome.TARGET_GONE
    assert bench.store.unfinished() == ()
    assert bench.updater.inventory.get(WEB).status is AssetStatus.REMOVED


# --- one operation per target -------------------------------------------------------------------------------


def test_a_second_update_of_a_target_is_refused_and_the_first_goes_on() -> None:
    bench = Bench()
    update = bench.plan()
    first = bench.updater.executor.open(update)
    assert isinstance(first, str)
    bench.steps_until(first, "Watching")
    refused(bench.updater.executor.open(update), "operation_open")
    assert bench.run(first).succeeded


def test_the_same_update_given_twice_is_carried_out_once() -> None:
    bench = Bench()
    update = bench.plan()
    assert outcomes(bench.updater.executor.run([update, update])) == [Outcome.SUCCEEDED, Outcome.REFUSED]


def test_a_target_that_another_process_works_on_is_busy() -> None:
    bench = Bench()
    update = bench.plan()
    bench.store.acquire(WEB, "somebody", 600.0)
    refused(bench.run(update), "target_busy")


def test_a_target_that_no_backend_reaches_is_a_refusal() -> None:
    bench = Bench()
    update = bench.plan()
    refused(bench.process(backends=[]).executor.open(update), "no_backend")


# --- what fails while opening -------------------------------------------------------------------------------


def test_a_store_that_is_down_before_anything_was_begun_leaves_everything_as_it_was() -> None:
    bench = Bench()
    update = bench.plan()
    calls: list[str] = []
    bench.world.interfere = lambda name, effect: (calls.append(name), effect())[1]
    broken = BrokenStore(bench.store)
    broken.breaks = lambda name, arguments: True
    updater = bench.process(store=broken)
    with pytest.raises(StoreError):
        updater.executor.open(update)
    (result,) = updater.executor.run([update])
    assert result.outcome is Outcome.REFUSED
    assert calls == []
    assert bench.store.unfinished() == ()


def test_an_update_that_cannot_be_opened_does_not_disturb_the_others() -> None:
    bench = Bench(policy_with(max_concurrent=5, rules=[
        {"match": {"name": "bad"}, "health": {"checks": [{"type": "http", "port": 80}]}}
    ]))  # fmt: skip
    bench.world.run("bad", "bad:1.0.0")
    bench.publish("1.1.0", name="bad")
    bench.publish("1.1.0")
    bench.updater = bench.process(checks=FakeChecks(ConfigurationError("no such check")))
    bench.updater.scan()
    results = bench.updater.executor.run(bench.updater.plan().updates)
    assert {result.target_id[-3:]: result.outcome for result in results} == {
        "bad": Outcome.REFUSED,
        "web": Outcome.SUCCEEDED,
    }


def test_a_lease_is_given_back_when_an_update_cannot_be_opened() -> None:
    bench = Bench(policy_with(health={"checks": [{"type": "http", "port": 80}]}))
    update = bench.plan()
    broken = bench.process(checks=FakeChecks(ConfigurationError("no such check")))
    with pytest.raises(ConfigurationError):
        broken.executor.open(update)
    assert bench.run(update).succeeded


def test_an_unknown_operation_is_a_refusal() -> None:
    bench = Bench()
    assert bench.run("no-such-operation").code == "unknown_operation"


def test_a_plan_applies_only_what_it_approves_and_what_was_approved() -> None:
    bench = Bench()
    bench.world.run("db", "db:1.0.0")
    bench.publish("2.0.0", name="db")
    bench.publish("1.1.0")
    assert outcomes(bench.apply()) == [Outcome.SUCCEEDED]
    bench.updater.approve(only(bench.updater.plan()), approver="ada")
    assert outcomes(bench.apply()) == [Outcome.SUCCEEDED]
    assert bench.running == {"web": "1.1.0", "db": "2.0.0"}
