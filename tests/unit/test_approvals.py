"""Who may approve, and what becomes of an approval whose update never began."""

from __future__ import annotations

import math
from typing import Any

import attrs
import pytest

from safeupdater.domain.operation import Outcome, PreflightReport, StepOutcome, StepStatus
from safeupdater.domain.plan import Approval, PlannedUpdate
from safeupdater.errors import UpdateError
from tests.support.engine import Bench, only, outcomes, policy_with

HOUR_S = 3600.0


class Refusing:
    """A runtime that refuses to begin while ``refuses`` is set."""

    def __init__(self, inner: Any) -> None:
        self.inner, self.refuses = inner, True

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def preflight(self, operation: Any) -> Any:
        if self.refuses:
            return PreflightReport(refusal=StepOutcome(StepStatus.REFUSED, "disk_full", "no room"))
        return self.inner.preflight(operation)


def waiting(**policy: Any) -> tuple[Bench, PlannedUpdate, Refusing]:
    """An update that waits for an approval, on a runtime that refuses to begin."""
    bench = Bench(policy_with(**policy))
    runtime = Refusing(bench.backend)
    bench.updater = bench.process(backends=[runtime])
    bench.publish("2.0.0")
    bench.updater.scan()
    return bench, only(bench.updater.plan()), runtime


# --- given back ---------------------------------------------------------------------------------------------


def test_an_update_that_touched_nothing_gives_its_approval_back() -> None:
    bench, update, runtime = waiting()
    approval = bench.updater.approve(update, approver="ann")
    assert outcomes(bench.apply()) == [Outcome.ABORTED]
    assert bench.updater.approvals() == (approval,)
    runtime.refuses = False
    bench.clock.advance(HOUR_S)
    assert outcomes(bench.apply()) == [Outcome.SUCCEEDED]
    assert bench.updater.approvals() == ()


def test_an_approval_that_is_given_back_ends_when_it_would_have() -> None:
    bench, update, _ = waiting()
    bench.updater.approve(update, approver="ann", ttl_s=HOUR_S)
    bench.apply()
    bench.clock.advance(HOUR_S)
    assert bench.updater.approvals() == ()


@pytest.mark.parametrize("ttl_s", [-5, 0, math.nan, math.inf, -math.inf, 1e300])
def test_an_approval_is_for_a_time_to_come_that_ends(ttl_s: float) -> None:
    bench, update, _ = waiting()
    with pytest.raises(ValueError, match="more than 0 seconds and at most 365 days, got"):
        bench.updater.approve(update, approver="ann", ttl_s=ttl_s)
    assert bench.updater.approvals() == ()


def test_an_update_that_somebody_stopped_keeps_its_approval() -> None:
    bench, update, runtime = waiting()
    runtime.refuses = False
    approval = bench.updater.approve(update, approver="ann")
    operation_id = bench.updater.executor.open(update, approval)
    assert isinstance(operation_id, str)
    assert bench.updater.abort(update.target_id, by="bob")
    assert bench.run(operation_id).outcome is Outcome.ABORTED
    assert bench.updater.approvals() == ()


def test_an_update_that_went_back_has_used_its_approval() -> None:
    bench, update, runtime = waiting()
    runtime.refuses = False
    bench.world.behaviours[update.changes[0].new.digest or ""] = attrs.evolve(
        next(iter(bench.world.behaviours.values())), startable=False
    )
    bench.updater.approve(update, approver="ann")
    assert outcomes(bench.apply()) == [Outcome.ROLLED_BACK]
    assert bench.updater.approvals() == ()


def test_whoever_approves_again_meanwhile_has_the_last_word() -> None:
    bench, update, _ = waiting()
    first = bench.updater.approve(update, approver="ann")
    operation_id = bench.updater.executor.open(update, first)
    assert isinstance(operation_id, str)
    second = attrs.evolve(first, approver="bob", used_by="another operation")
    bench.store.put("approval", update.hash, second)
    assert bench.run(operation_id).outcome is Outcome.ABORTED
    assert bench.store.get("approval", update.hash).value == second


# --- who may ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("approver", "may"),
    [("ann", True), ("oncall-7", True), ("bob", False), ("Ann", False), ("ann2", False), ("", False)],
)
def test_only_those_on_the_list_may_approve(approver: str, may: bool) -> None:
    bench, update, _ = waiting(approvers=["ann", "oncall-*"])
    if may:
        assert bench.updater.approve(update, approver=approver).approver == approver
        return
    with pytest.raises(UpdateError, match="may not approve updates of memory://local/web") as raised:
        bench.updater.approve(update, approver=approver)
    assert raised.value.code == "not_an_approver"
    assert bench.updater.approvals() == ()


def test_without_a_list_everybody_may() -> None:
    bench, update, _ = waiting()
    assert bench.updater.approve(update, approver="anybody")


def test_who_approved_is_asked_again_when_the_approval_is_used() -> None:
    bench, update, runtime = waiting(approvers=["ann"])
    runtime.refuses = False
    approval = bench.updater.approve(update, approver="ann")
    forged: Approval = attrs.evolve(approval, approver="mallory")
    bench.store.put("approval", update.hash, forged)
    (result,) = bench.apply()
    assert (result.outcome, result.code) == (Outcome.REFUSED, "not_an_approver")
    assert bench.running == {"web": "1.0.0"}
