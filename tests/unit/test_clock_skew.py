"""A clock that is wrong opens no age gate: the registry's clock is asked, where it is known."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from safeupdater.domain.candidate import Facts
from safeupdater.domain.decision import Verdict
from safeupdater.domain.operation import FirstSeen, Outcome
from safeupdater.errors import VersionConflict
from safeupdater.gates import MinimumAge
from safeupdater.registries.oci.skew import RegistryTime
from safeupdater.testing.gates import NOW, make_candidate
from safeupdater.update.facts import StoreFacts
from tests.support.engine import Bench, only, policy_with

YEARS = timedelta(days=3650)
FIRST_SEEN = policy_with(minimum_age={"age": "3d", "basis": "first_seen"})


class TrueTime:
    """A registry that knows what time it really is, whatever our wall clock does."""

    provides = frozenset({"clock_skew_s"})

    def __init__(self, bench: Bench) -> None:
        self.bench, self.zero = bench, bench.clock.now()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.bench.world, name)

    def facts(self, candidate: Any) -> Mapping[str, object]:
        clock = self.bench.clock
        truth = self.zero + timedelta(seconds=clock.monotonic())
        return {"clock_skew_s": (truth - clock.now()).total_seconds()}


def timed(policy: dict[str, Any]) -> Bench:
    bench = Bench(policy)
    bench.updater = bench.process(tags=TrueTime(bench))
    bench.publish()
    bench.updater.scan()
    return bench


def verdict(bench: Bench) -> tuple[Verdict, set[str]]:
    decision = only(bench.updater.plan()).decision
    return decision.verdict, {
        reason.code for reason in decision.reasons if reason.verdict is not Verdict.APPROVE
    }


# --- the gate -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("skew_s", "code"),
    [
        (None, "old_enough"), (0.0, "old_enough"), (300.0, "old_enough"), (-300.0, "old_enough"),
        (301.0, "clock_skew"), (-301.0, "clock_skew"), (float("nan"), "clock_skew"),
        (float("-inf"), "clock_skew"),
    ],
)  # fmt: skip
def test_an_age_is_judged_only_by_a_clock_that_is_right(skew_s: float | None, code: str) -> None:
    facts = Facts(first_seen=NOW - timedelta(days=30), clock_skew_s=skew_s)
    decision = MinimumAge(86_400.0)(make_candidate(facts=facts))
    assert [reason.code for reason in decision.reasons] == [code]


# --- plans --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("jump", [YEARS, -YEARS, timedelta(hours=1), -timedelta(hours=1)])
def test_a_clock_that_jumps_defers_until_it_is_right_again(jump: timedelta) -> None:
    bench = timed(FIRST_SEEN)
    assert verdict(bench) == (Verdict.DEFER, {"too_young"})
    bench.clock.jump(jump)
    assert verdict(bench) == (Verdict.DEFER, {"clock_skew"})
    assert bench.apply() == ()
    bench.clock.jump(-jump)
    assert verdict(bench) == (Verdict.DEFER, {"too_young"})
    bench.clock.advance(3 * 86_400.0)
    assert verdict(bench) == (Verdict.APPROVE, set())


def test_a_clock_that_jumps_after_the_plan_begins_nothing() -> None:
    bench = timed(FIRST_SEEN)
    bench.updater.plan()
    bench.clock.advance(4 * 86_400.0)
    update = only(bench.updater.plan())
    bench.clock.jump(YEARS)
    assert bench.run(update).outcome is Outcome.REFUSED


@pytest.mark.parametrize("wrong", [YEARS, -YEARS])
def test_what_was_seen_while_the_clock_was_wrong_is_seen_at_the_right_time(wrong: timedelta) -> None:
    bench = Bench(FIRST_SEEN)
    bench.updater = bench.process(tags=TrueTime(bench))
    bench.clock.jump(wrong)
    bench.publish()
    bench.updater.scan()
    assert verdict(bench) == (Verdict.DEFER, {"clock_skew"})
    bench.clock.jump(-wrong)
    assert verdict(bench) == (Verdict.DEFER, {"too_young"})
    bench.clock.advance(3 * 86_400.0)
    assert verdict(bench) == (Verdict.APPROVE, set())


def test_a_first_sight_in_the_future_counts_from_now_where_nobody_tells_the_time() -> None:
    bench = Bench(FIRST_SEEN)
    bench.clock.jump(YEARS)
    bench.publish()
    bench.updater.scan()
    bench.updater.plan()
    bench.clock.jump(-YEARS)
    assert verdict(bench) == (Verdict.DEFER, {"too_young"})
    bench.clock.advance(3 * 86_400.0)
    assert verdict(bench) == (Verdict.APPROVE, set())


@pytest.mark.parametrize("dip", [YEARS, timedelta(days=20_000), timedelta(hours=1)])
def test_a_clock_that_dips_makes_nothing_old_once_it_is_right_again(dip: timedelta) -> None:
    bench = Bench(FIRST_SEEN)
    bench.publish()
    bench.updater.scan()
    for _ in range(3):
        bench.clock.jump(-dip)
        assert verdict(bench)[0] is Verdict.DEFER
        bench.clock.jump(dip)
        bench.clock.advance(30.0)
        assert verdict(bench) == (Verdict.DEFER, {"too_young"})
    bench.clock.advance(3 * 86_400.0)
    assert verdict(bench) == (Verdict.APPROVE, set())


def test_a_second_dip_does_not_count_from_the_first() -> None:
    bench = Bench(FIRST_SEEN)
    bench.publish()
    bench.updater.scan()
    for dip in (YEARS, YEARS / 2):
        bench.clock.jump(-dip)
        assert verdict(bench) == (Verdict.DEFER, {"too_young"})
        bench.clock.jump(dip)
        assert verdict(bench) == (Verdict.DEFER, {"too_young"})


def test_a_dip_costs_a_version_no_age() -> None:
    bench = Bench(FIRST_SEEN)
    bench.publish()
    bench.updater.scan()
    bench.updater.plan()
    bench.clock.advance(3 * 86_400.0)
    bench.clock.jump(-YEARS)
    assert verdict(bench) == (Verdict.DEFER, {"too_young"})
    bench.clock.jump(YEARS)
    assert verdict(bench) == (Verdict.APPROVE, set())


def test_a_clock_that_leaps_ahead_makes_nothing_old() -> None:
    bench = Bench(FIRST_SEEN)
    bench.publish()
    bench.updater.scan()
    bench.updater.plan()
    bench.clock.jump(YEARS)
    assert verdict(bench) == (Verdict.DEFER, {"too_young"})


def test_of_two_that_see_a_version_at_once_the_first_one_counts() -> None:
    bench = Bench()
    facts, candidate = StoreFacts(bench.store), make_candidate()
    earlier = NOW - timedelta(days=1)

    class Late:
        """Somebody else sees it between our reading and our writing."""

        def __getattr__(self, name: str) -> Any:
            if name == "put":
                with contextlib.suppress(VersionConflict):
                    bench.store.put("first_seen", str(candidate.change.new), _seen(earlier), expected=0)
            return getattr(bench.store, name)

    assert StoreFacts(Late()).facts(candidate)["first_seen"] == earlier  # type: ignore[arg-type]
    assert facts.facts(candidate)["first_seen"] == earlier


def _seen(at: datetime) -> FirstSeen:
    return FirstSeen(reference="somebody else", at=at)


# --- the registry's time ------------------------------------------------------------------------------------

DATE = {"date": "Mon, 20 Oct 2025 12:00:00 GMT"}


def test_the_time_of_an_answer_is_carried_on_by_the_steady_clock() -> None:
    time = RegistryTime()
    assert time.skew_s(NOW, 0.0) is None
    time.note(DATE, 100.0)
    assert time.skew_s(datetime(2025, 10, 20, 12, 0, 30, tzinfo=UTC), 130.0) == 0.0
    assert time.skew_s(NOW + YEARS, 130.0) == pytest.approx(30.0 - YEARS.total_seconds())


def test_an_answer_from_a_cache_counts_with_its_age() -> None:
    time = RegistryTime()
    time.note({**DATE, "age": "90"}, 0.0)
    assert time.skew_s(NOW, 0.0) == 90.0


@pytest.mark.parametrize("said", ["", "yesterday", "Mon, 99 Oct 2025 12:00:00 GMT", "\ud800", "0" * 500])
def test_an_answer_without_a_usable_date_changes_nothing(said: str) -> None:
    time = RegistryTime()
    time.note(DATE, 0.0)
    time.note({"date": said}, 50.0)
    assert time.skew_s(NOW, 0.0) == 0.0
