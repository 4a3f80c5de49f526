"""Who may begin when: turns, cooldowns, budgets and the breaker."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from safeupdater.backends.memory import CRASHES, Behaviour, MemoryBackend, MemoryWorld
from safeupdater.domain.operation import OnInconclusive, Outcome, Resolution
from safeupdater.domain.plan import PlannedUpdate
from safeupdater.protocols import Admittance
from safeupdater.update import breaker
from safeupdater.update.admission import Limits, LocalAdmission, failure_domain
from safeupdater.update.executor import Progressed
from safeupdater.update.result import OperationResult, WakeAfter
from safeupdater.update.updater import Updater
from tests.support.engine import WEB, Bench, FakeCheck, FakeChecks, outcomes, policy_with

NO_COOLDOWN: dict[str, Any] = policy_with(rollback={"cooldown": "0s", "max_per_day": 2})


def many(bench: Bench, *names: str, version: str = "1.1.0", **arguments: Any) -> list[Any]:
    """Containers of those names on 1.0.0, and their planned updates."""
    for name in names:
        bench.world.run(name, f"{name}:1.0.0")
        bench.publish(version, name=name, **arguments)
    bench.updater.scan()
    return list(bench.updater.plan().updates)


def most_at_once(bench: Bench, updates: list[Any], **arguments: Any) -> int:
    """Runs updates, all of which succeed, and counts how many were under way side by side."""
    most = 0

    def count(progressed: Progressed) -> None:
        nonlocal most
        most = max(most, len(bench.store.unfinished()))

    bench.updater.executor.on_progress(count)
    assert set(outcomes(bench.updater.executor.run(updates, **arguments))) == {Outcome.SUCCEEDED}
    return most


# --- turns --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [1, 2, 3])
def test_no_more_than_max_concurrent_are_under_way_on_one_host_and_all_get_their_turn(limit: int) -> None:
    bench = Bench(policy_with(max_concurrent=limit))
    updates = many(bench, "a", "b", "c", "d", "e")
    assert most_at_once(bench, updates) == limit


def test_no_more_than_max_in_flight_are_under_way_whatever_the_policy_allows() -> None:
    bench = Bench(policy_with(max_concurrent=50))
    updates = many(bench, "a", "b", "c", "d", "e")
    assert most_at_once(bench, updates, max_in_flight=3) == 3


def test_hosts_do_not_wait_for_one_another() -> None:
    bench = Bench()
    other = MemoryWorld(bench.clock, host="elsewhere")
    other.run("web", "web:1.0.0")
    other.publish("web:1.1.0")
    bench.updater = bench.process(backends=[bench.backend, MemoryBackend(other)])
    bench.publish()
    bench.updater.scan()
    assert most_at_once(bench, list(bench.updater.plan().updates)) == 2
    assert bench.running == {"web": "1.1.0"}
    assert other.containers["web"].image.tag == "1.1.0"


@pytest.mark.parametrize(
    ("target", "domain"),
    [
        ("docker://h1/web", "docker://h1"),
        ("k8s://c1/shop/deployment/web", "k8s://c1/shop"),
        ("helm://c1/shop/web", "helm://c1/shop"),
    ],
)
def test_what_fails_together_is_a_host_or_a_namespace(target: str, domain: str) -> None:
    assert failure_domain(target) == domain


def test_an_update_of_another_process_is_waited_for_too() -> None:
    bench = Bench()
    updates = many(bench, "a")
    first = bench.open()
    other = bench.process()
    result = other.executor.open(updates[0])
    assert isinstance(result, OperationResult)
    assert result.code == "concurrency"
    assert bench.run(first).succeeded
    assert isinstance(other.executor.open(updates[0]), str)


class AtTheSameInstant:
    """Admission as two processes get it that ask before either has opened anything; then the real one."""

    def __init__(self, bench: Bench, later: Admittance | None = None) -> None:
        self._real = LocalAdmission(bench.store)
        self._later = later
        self.asked = 0

    def admit(self, planned: PlannedUpdate, now: datetime) -> Admittance:
        self.asked += 1
        return Admittance(admitted=True) if self.asked == 1 else self._later or self._real.admit(planned, now)


def opened_at_once(bench: Bench, later: Admittance | None = None) -> tuple[str, Updater, str]:
    """An update of ``web`` and, in another process, one of ``a`` that was admitted beside it."""
    (update,) = (item for item in many(bench, "a") if item.target_id != WEB)
    first = bench.open()
    other = bench.process(admission=AtTheSameInstant(bench, later))
    second = other.executor.open(update)
    assert isinstance(second, str)
    return first, other, second


def test_of_two_that_were_opened_at_the_same_instant_the_later_one_waits() -> None:
    bench = Bench()
    first, other, second = opened_at_once(bench)
    assert isinstance(other.executor.advance(second), WakeAfter)
    assert bench.state(second) == "Pending"
    assert bench.run(first).succeeded
    assert other.executor.run([second])[0].succeeded


def test_one_that_was_opened_does_not_wait_for_ever_for_another_that_nobody_works_on() -> None:
    bench = Bench()
    _, other, second = opened_at_once(bench)
    began = bench.clock.now()
    (result,) = other.executor.run([second])
    assert (result.outcome, result.code) == (Outcome.ABORTED, "concurrency")
    assert bench.clock.now() - began <= timedelta(hours=1, seconds=5)
    assert bench.running["a"] == "1.0.0"


def test_what_is_refused_after_it_was_opened_ends_with_nothing_changed() -> None:
    bench = Bench()
    refused = Admittance(admitted=False, code="breaker_open", message="too much went wrong")
    _, other, second = opened_at_once(bench, refused)
    (result,) = other.executor.run([second])
    assert (result.outcome, result.code, result.message) == (
        Outcome.ABORTED, "breaker_open", "too much went wrong",
    )  # fmt: skip
    assert bench.running["a"] == "1.0.0"


def test_an_admission_that_raises_when_it_is_asked_again_ends_it_with_nothing_changed() -> None:
    class Raises(AtTheSameInstant):
        def admit(self, planned: PlannedUpdate, now: datetime) -> Admittance:
            if self.asked:
                raise ValueError("s3cret")
            return super().admit(planned, now)

    bench = Bench()
    bench.updater = bench.process(admission=Raises(bench))
    result = bench.run(bench.plan())
    assert (result.outcome, result.code) == (Outcome.ABORTED, "plugin_error")
    assert "s3cret" not in result.message
    assert bench.running == {"web": "1.0.0"}


def test_nobody_waits_for_ever_for_an_update_that_nobody_works_on() -> None:
    bench = Bench()
    bench.world.run("other", "other:1.0.0")
    bench.publish("1.1.0", name="other")
    bench.open()
    updates = [item for item in bench.updater.plan().updates if item.target_id.endswith("other")]
    began = bench.clock.now()
    (result,) = bench.process().executor.run(updates, turn_timeout_s=600.0)
    assert (result.outcome, result.code) == (Outcome.REFUSED, "concurrency")
    assert "recover" in result.message
    assert bench.clock.now() - began == timedelta(minutes=10)


def test_what_waits_for_a_person_holds_nobody_up() -> None:
    bench = Bench(
        policy_with(
            rollback={"on_inconclusive": str(OnInconclusive.HOLD.value)},
            health={"checks": [{"type": "http", "port": 80}]},
        )
    )
    check = FakeCheck()
    bench.updater = bench.process(checks=FakeChecks(check))
    held = bench.open()
    bench.steps_until(held, "Watching")
    check.answer = ValueError("no measurement")
    assert bench.run(held).outcome is Outcome.HELD
    check.answer = FakeCheck().answer
    updates = [item for item in many(bench, "a") if item.target_id != WEB]
    assert outcomes(bench.updater.executor.run(updates)) == [Outcome.SUCCEEDED]


def test_a_failed_rollback_holds_nobody_up_but_what_a_person_decided_takes_its_turn() -> None:
    bench = Bench()
    failed = _stuck(bench)
    updates = [item for item in many(bench, "a") if item.target_id != WEB]
    admission = LocalAdmission(bench.store)
    assert admission.admit(updates[0], bench.clock.now()).admitted
    bench.updater.rollbacks.decide(WEB, Resolution.ABANDON, by="ada")
    bench.updater.executor.run([failed])
    assert admission.admit(updates[0], bench.clock.now()).admitted


def _stuck(bench: Bench) -> str:
    """An update whose rollback failed."""
    operation_id = bench.open(behaviour=CRASHES)
    bench.world.behaviours[bench.world.containers["web"].image.digest or ""] = Behaviour(startable=False)
    assert bench.run(operation_id).outcome is Outcome.ROLLBACK_FAILED
    return operation_id


# --- after rollbacks ----------------------------------------------------------------------------------------


def test_after_a_rollback_the_target_rests_for_the_cooldown() -> None:
    bench = Bench()
    assert bench.run(bench.plan(behaviour=CRASHES)).outcome is Outcome.ROLLED_BACK
    went_back = bench.clock.now()
    result = bench.run(bench.plan("1.2.0"))
    assert (result.outcome, result.code) == (Outcome.REFUSED, "cooldown")
    assert result.until is not None
    assert timedelta(minutes=59) < result.until - bench.clock.now() <= timedelta(hours=1)
    assert result.until <= went_back + timedelta(hours=1)
    bench.clock.advance(3600.0)
    assert bench.run(bench.plan_of("web", "1.2.0")).succeeded


def test_a_success_costs_no_cooldown() -> None:
    bench = Bench()
    assert bench.run(bench.plan()).succeeded
    assert bench.run(bench.plan("1.2.0")).succeeded


def test_a_clock_that_jumps_back_cannot_make_a_cooldown_longer() -> None:
    bench = Bench()
    assert bench.run(bench.plan(behaviour=CRASHES)).outcome is Outcome.ROLLED_BACK
    bench.clock.jump(timedelta(days=-3650))
    result = bench.run(bench.plan("1.2.0"))
    assert result.code == "cooldown"
    assert result.until == bench.clock.now() + timedelta(hours=1)
    bench.clock.advance(3600.0)
    assert bench.run(bench.plan_of("web", "1.2.0")).succeeded


def test_a_clock_that_jumps_back_lends_no_further_rollbacks() -> None:
    bench = Bench(NO_COOLDOWN)
    for number in (1, 2):
        assert bench.run(bench.plan(f"1.{number}.0", CRASHES)).outcome is Outcome.ROLLED_BACK
    bench.clock.jump(timedelta(days=-3650))
    assert bench.run(bench.plan("1.3.0")).code == "rollback_budget_spent"


def test_a_clock_that_dips_lends_no_further_rollbacks_once_it_is_right_again() -> None:
    bench = Bench(NO_COOLDOWN)
    for number in (1, 2):
        assert bench.run(bench.plan(f"1.{number}.0", CRASHES)).outcome is Outcome.ROLLED_BACK
    for _ in range(2):
        bench.clock.jump(timedelta(days=-3650))
        assert bench.run(bench.plan("1.3.0")).code == "rollback_budget_spent"
        bench.clock.jump(timedelta(days=3650))
        assert bench.run(bench.plan("1.3.0")).code == "rollback_budget_spent"
    bench.clock.advance(86_400.0)
    assert bench.run(bench.plan("1.3.0")).succeeded


def test_a_target_is_rolled_back_no_more_than_max_per_day_times() -> None:
    bench = Bench(NO_COOLDOWN)
    for number in (1, 2):
        assert bench.run(bench.plan(f"1.{number}.0", CRASHES)).outcome is Outcome.ROLLED_BACK
        bench.clock.advance(2 * 3600.0)
    result = bench.run(bench.plan("1.3.0"))
    assert (result.outcome, result.code) == (Outcome.REFUSED, "rollback_budget_spent")
    assert result.until is not None
    bench.clock.advance((result.until - bench.clock.now()).total_seconds())
    assert bench.run(bench.plan_of("web", "1.3.0")).succeeded


def test_the_breaker_stops_everything_after_three_rollbacks_within_an_hour() -> None:
    bench = Bench(NO_COOLDOWN)
    for update in many(bench, "a", "b", "c", behaviour=CRASHES):
        assert bench.run(update).outcome is Outcome.ROLLED_BACK
    result = bench.run(bench.plan())
    assert (result.outcome, result.code) == (Outcome.REFUSED, "breaker_open")
    assert result.until is not None
    bench.clock.advance((result.until - bench.clock.now()).total_seconds())
    assert bench.run(bench.plan_of("web", "1.1.0")).succeeded


def test_one_run_over_many_bad_releases_stops_at_the_breaker() -> None:
    bench = Bench(NO_COOLDOWN)
    bench.updater.executor.run(many(bench, "a", "b", "c", "d", "e", "f", behaviour=CRASHES))
    rolled = [stored for _, stored in bench.store.iterate("rollback")]
    assert len(rolled) == 3


def test_rollbacks_that_people_wished_cost_a_cooldown_but_no_budget() -> None:
    bench = Bench(policy_with(rollback={"cooldown": "1m", "max_per_day": 1}))
    for _ in range(4):
        operation_id = bench.open()
        bench.steps_until(operation_id, "Watching")
        bench.updater.abort(WEB, by="ada")
        assert bench.run(operation_id).outcome is Outcome.ROLLED_BACK
        assert bench.run(bench.plan()).code == "cooldown"
        bench.clock.advance(60.0)
    assert bench.updater.rollbacks.quarantined() == ()
    assert bench.run(bench.plan()).succeeded


def test_limits_can_be_given_as_they_are() -> None:
    bench = Bench()
    admission = LocalAdmission(bench.store, Limits(max_concurrent=0))
    assert admission.admit(bench.plan(), bench.clock.now()).code == "concurrency"


# --- the breaker over all targets ---------------------------------------------------------------------------


def named(updates: list[Any], *names: str) -> list[Any]:
    """The updates of the containers of these names, in this order."""
    by_name = {item.target_id.rpartition("/")[2]: item for item in updates}
    return [by_name[name] for name in names]


def test_the_breaker_opens_where_a_fifth_of_five_updates_went_back() -> None:
    bench = Bench(NO_COOLDOWN)
    many(bench, "bad", behaviour=CRASHES)
    updates = many(bench, *"abcdef")
    results = bench.updater.executor.run(named(updates, "bad", *"abcdef"), max_in_flight=1)
    assert outcomes(results) == [Outcome.ROLLED_BACK] + [Outcome.SUCCEEDED] * 4 + [Outcome.REFUSED] * 2
    assert {result.code for result in results[5:]} == {"breaker_open"}


def test_one_rollback_among_more_than_five_stops_nobody() -> None:
    bench = Bench(NO_COOLDOWN)
    many(bench, "bad", behaviour=CRASHES)
    updates = many(bench, *"abcdefgh")
    results = bench.updater.executor.run(named(updates, *"abcde", "bad", *"fgh"), max_in_flight=1)
    assert outcomes(results) == [Outcome.SUCCEEDED] * 5 + [Outcome.ROLLED_BACK] + [Outcome.SUCCEEDED] * 3


def test_updates_under_way_count_as_started() -> None:
    bench = Bench({**NO_COOLDOWN, "max_concurrent": 9})
    many(bench, "bad", behaviour=CRASHES)
    updates = named(many(bench, *"abcdef"), "bad", *"abcdef")
    opened = [bench.updater.executor.open(update) for update in updates[:5]]
    assert bench.run(opened[0]).outcome is Outcome.ROLLED_BACK
    assert bench.run(updates[5]).code == "breaker_open"


def tripped(bench: Bench) -> list[Any]:
    """Three rollbacks, an hour ago; and the updates of a to d, which are on offer since."""
    for update in named(many(bench, "x", "y", "z", behaviour=CRASHES), *"xyz"):
        assert bench.run(update).outcome is Outcome.ROLLED_BACK
    (update,) = named(many(bench, "e"), "e")
    refused = bench.run(update)
    assert refused.until is not None
    bench.clock.advance((refused.until - bench.clock.now()).total_seconds())
    return named(many(bench, *"abcd"), *"abcd")


def test_after_the_hour_one_update_runs_at_a_time_until_one_succeeds() -> None:
    bench = Bench({**NO_COOLDOWN, "max_concurrent": 4})
    updates = tripped(bench)
    most: list[int] = []
    ended: list[int] = []

    def count(progressed: Progressed) -> None:
        under_way = len(bench.store.unfinished())
        known = breaker.look(bench.store, bench.clock.now())
        (most if known.opened is not None else ended).append(under_way)

    bench.updater.executor.on_progress(count)
    results = bench.updater.executor.run(updates)
    assert outcomes(results) == [Outcome.SUCCEEDED] * 4
    assert (max(most), max(ended)) == (1, 3)


def test_a_rollback_after_the_hour_shuts_the_breaker_for_another() -> None:
    bench = Bench({**NO_COOLDOWN, "max_concurrent": 4})
    updates = tripped(bench)
    digest = updates[0].changes[0].new.digest
    bench.world.behaviours[digest] = CRASHES
    results = bench.updater.executor.run(updates)
    assert outcomes(results) == [Outcome.ROLLED_BACK, *[Outcome.REFUSED] * 3]
    assert {result.code for result in results[1:]} == {"breaker_open"}
    assert results[1].until is not None
    assert results[1].until - bench.clock.now() == timedelta(hours=1)


def test_a_success_of_what_began_before_the_hour_does_not_close_the_breaker() -> None:
    bench = Bench({**NO_COOLDOWN, "max_concurrent": 9})
    (slow,) = named(many(bench, "slow"), "slow")
    opened = bench.updater.executor.open(slow)
    tripped(bench)
    assert bench.run(opened).succeeded
    assert breaker.look(bench.store, bench.clock.now()).opened is not None


def test_a_clock_that_jumps_keeps_the_breaker_open_for_no_longer_than_an_hour() -> None:
    bench = Bench(NO_COOLDOWN)
    bench.clock.jump(timedelta(days=3650))
    for update in many(bench, "a", "b", "c", behaviour=CRASHES):
        assert bench.run(update).outcome is Outcome.ROLLED_BACK
    bench.clock.jump(timedelta(days=-3650))
    result = bench.run(bench.plan())
    assert (result.code, result.until) == ("breaker_open", bench.clock.now() + timedelta(hours=1))
    bench.clock.advance(3600.0)
    assert bench.run(bench.plan_of("web", "1.1.0")).succeeded


@pytest.mark.parametrize("days", [-3650, 3650])
def test_a_clock_that_dips_ends_no_open_breaker_early_once_it_is_right_again(days: int) -> None:
    bench = Bench(NO_COOLDOWN)
    for update in many(bench, "a", "b", "c", behaviour=CRASHES):
        assert bench.run(update).outcome is Outcome.ROLLED_BACK
    begun = bench.clock.now()
    bench.clock.jump(timedelta(days=days))
    for update in named(many(bench, "d"), "d"):
        assert (bench.run(update).outcome is Outcome.SUCCEEDED) is (days > 0)
    bench.clock.jump(timedelta(days=-days))
    result = bench.run(bench.plan())
    assert result.code == "breaker_open"
    assert result.until is not None
    assert result.until - begun <= timedelta(hours=1, minutes=10)
    bench.clock.advance((result.until - bench.clock.now()).total_seconds())
    assert bench.run(bench.plan_of("web", "1.1.0")).succeeded


def test_a_way_back_by_hand_neither_asks_the_breaker_nor_closes_it() -> None:
    bench = Bench(NO_COOLDOWN)
    assert bench.run(bench.plan()).succeeded
    tripped(bench)
    assert bench.updater.rollbacks.rollback(WEB, by="ada").succeeded
    assert breaker.look(bench.store, bench.clock.now()).opened is not None
