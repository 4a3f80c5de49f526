"""Quarantine that ends, and records that go away once nothing asks for them any more."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import attrs
import pytest

from safeupdater.backends.memory import CRASHES
from safeupdater.domain.operation import FirstSeen, Outcome, Quarantine, RollbackRecord
from safeupdater.update.forgetting import forget_brakes
from safeupdater.update.retention import JournalRetention
from tests.support.engine import WEB, Bench, outcomes, policy_with

DAY_S = 86_400.0
NO_LIMITS = {"cooldown": "0s", "max_per_day": 1000}


def failed(**rollback: Any) -> Bench:
    """``web`` went back from 1.1.0, whose bits are bad."""
    bench = Bench(policy_with(rollback={**NO_LIMITS, **rollback}))
    bench.publish(behaviour=CRASHES)
    assert outcomes(bench.apply()) == [Outcome.ROLLED_BACK]
    return bench


# --- quarantine that ends -----------------------------------------------------------------------------------


def test_without_a_word_a_release_that_failed_is_never_tried_again() -> None:
    bench = failed()
    digest = bench.world.tags["docker.io/library/web"]["1.1.0"]
    for day in range(100):
        bench.world.publish(f"web:1.1.{day + 1}", CRASHES, digest=digest)
        assert bench.apply() == ()
        bench.clock.advance(10 * DAY_S)
    (entry,) = bench.updater.rollbacks.quarantined()
    assert entry.until is None


def test_with_an_end_it_is_tried_again_after_it_and_not_before() -> None:
    bench = failed(quarantine="30d")
    bench.clock.advance(29 * DAY_S)
    assert bench.apply() == ()
    bench.clock.advance(2 * DAY_S)
    assert outcomes(bench.apply()) == [Outcome.ROLLED_BACK]
    (entry,) = bench.updater.rollbacks.quarantined()
    assert entry.until is not None
    assert entry.until - entry.since == timedelta(days=30)
    assert bench.clock.now() - entry.since < timedelta(hours=1), "and then kept from it once more"


def test_one_that_a_wrong_clock_put_in_ends_after_its_time_by_the_right_one() -> None:
    bench = Bench(policy_with(rollback={**NO_LIMITS, "quarantine": "7d"}))
    bench.clock.jump(timedelta(days=3650))
    bench.publish(behaviour=CRASHES)
    assert outcomes(bench.apply()) == [Outcome.ROLLED_BACK]
    bench.clock.jump(timedelta(days=-3650))
    assert bench.apply() == ()
    (entry,) = bench.updater.rollbacks.quarantined()
    assert entry.until == bench.clock.now() + timedelta(days=7)
    bench.clock.advance(6 * DAY_S)
    assert bench.apply() == ()
    bench.clock.advance(2 * DAY_S)
    assert outcomes(bench.apply()) == [Outcome.ROLLED_BACK]


def test_a_clock_that_dips_ends_no_quarantine_early_and_makes_none_longer() -> None:
    bench = failed(quarantine="7d")
    for dip in (3650, 1825):
        bench.clock.jump(timedelta(days=-dip))
        assert bench.apply() == ()
        bench.clock.jump(timedelta(days=dip))
        assert bench.apply() == ()
    bench.clock.advance(8 * DAY_S)
    assert outcomes(bench.apply()) == [Outcome.ROLLED_BACK]


# --- what is forgotten --------------------------------------------------------------------------------------


def collect(bench: Bench) -> None:
    """Forgets, by a clock that has been seen to go on for more than a day."""
    bench.updater.rollbacks.collect()
    bench.clock.advance(2 * DAY_S)
    bench.updater.rollbacks.collect()


def keys(bench: Bench, kind: str) -> list[str]:
    return [key for key, _ in bench.store.iterate(kind)]


def test_a_rollback_is_remembered_for_its_brakes_and_no_longer() -> None:
    bench = failed(cooldown="60d")
    bench.clock.advance(57 * DAY_S)
    collect(bench)
    assert len(keys(bench, "rollback")) == 1
    bench.clock.advance(2 * DAY_S)
    bench.updater.rollbacks.collect()
    assert keys(bench, "rollback") == []


@pytest.mark.parametrize("years", [10, -10])
def test_a_clock_that_leaps_forgets_no_brake(years: int) -> None:
    bench = failed(cooldown="60d", quarantine="30d")
    collect(bench)
    bench.clock.jump(timedelta(days=365 * years))
    for _ in range(3):
        bench.updater.rollbacks.collect()
        bench.clock.advance(3600.0)
    bench.clock.jump(timedelta(days=-365 * years))
    bench.updater.rollbacks.collect()
    assert len(keys(bench, "rollback")) == len(keys(bench, "quarantine")) == 1


@pytest.mark.parametrize("value", [3, {}, {"since": "x", "last": "y"}, {"since": "2026-01-05", "last": None}])
def test_a_note_of_the_clock_that_says_nothing_is_made_anew(value: Any) -> None:
    bench = failed()
    bench.store.put("setting", "clock/steady", value)
    bench.clock.advance(100 * DAY_S)
    collect(bench)
    assert keys(bench, "rollback") == []


def test_an_older_record_of_a_rollback_is_kept_for_a_year() -> None:
    bench = failed()
    (key,) = keys(bench, "rollback")
    old = bench.store.get("rollback", key).value
    assert isinstance(old, RollbackRecord)
    bench.store.put("rollback", key, attrs.evolve(old, until=None))
    bench.clock.advance(362 * DAY_S)
    collect(bench)
    assert keys(bench, "rollback") == [key]
    bench.clock.advance(2 * DAY_S)
    bench.updater.rollbacks.collect()
    assert keys(bench, "rollback") == []


def test_first_sights_stay_while_a_version_is_on_offer_and_go_when_it_is_not() -> None:
    bench = Bench(policy_with(minimum_age={"age": "300d", "basis": "first_seen"}))
    digest = bench.publish()
    first = bench.clock.now()
    for _ in range(9):
        bench.apply()
        bench.clock.advance(31 * DAY_S)
    seen = bench.store.get("first_seen", digest).value
    assert isinstance(seen, FirstSeen)
    assert seen.at == first
    del bench.world.tags["docker.io/library/web"]["1.1.0"]
    for _ in range(4):
        bench.apply()
        bench.clock.advance(31 * DAY_S)
    assert keys(bench, "first_seen") == []


def test_a_sight_that_is_noted_is_one_write_a_month() -> None:
    bench = Bench()
    digest = bench.publish()
    versions = set()
    for _ in range(60):
        bench.updater.scan()
        bench.updater.plan()
        versions.add(bench.store.get("first_seen", digest).version)
        bench.clock.advance(DAY_S)
    assert len(versions) == 2


def _entry(bench: Bench, **changes: Any) -> Quarantine:
    return attrs.evolve(
        Quarantine(
            asset_id=WEB, digest="sha256:" + "a" * 64, version="1.1.0", operation_id="x", reason="bad",
            since=bench.clock.now() - timedelta(days=200), repository="docker.io/library/web",
        ),
        **changes,
    )  # fmt: skip


LONG_AGO = datetime.fromisoformat("2025-08-01T00:00:00+00:00")


@pytest.mark.parametrize(
    ("changes", "stays"),
    [
        ({}, True),
        ({"until": LONG_AGO}, False),
        ({"lifted_by": "ada"}, False),
        ({"asset_id": "memory://local/gone"}, True),
        ({"asset_id": "memory://local/gone", "until": LONG_AGO}, False),
        ({"asset_id": "docker.io/library/web"}, True),
    ],
    ids=["holds", "ended", "lifted", "asset gone", "asset gone, ended", "shared"],
)
def test_quarantine_stays_while_it_holds(changes: dict[str, Any], stays: bool) -> None:
    bench = Bench()
    bench.updater.scan()
    bench.store.put("quarantine", "k", _entry(bench, **changes))
    collect(bench)
    assert keys(bench, "quarantine") == (["k"] if stays else [])


def test_for_good_is_for_good_also_for_an_asset_that_was_forgotten() -> None:
    bench = failed()
    bench.updater.inventory.forget(WEB)
    for _ in range(20):
        bench.clock.advance(6 * DAY_S)
        bench.updater.rollbacks.collect()
    bench.updater.scan()
    assert bench.apply() == ()
    assert bench.running == {"web": "1.0.0"}


def test_what_was_lifted_stays_where_its_repository_is_kept_from_the_release() -> None:
    bench = Bench()
    bench.updater.scan()
    bench.store.put("quarantine", "own", _entry(bench, lifted_by="ada"))
    bench.store.put("quarantine", "shared", _entry(bench, asset_id="docker.io/library/web"))
    forget_brakes(bench.store, bench.clock.now() - timedelta(days=90), bench.clock.now())
    assert keys(bench, "quarantine") == ["own", "shared"]


def test_nothing_of_them_is_forgotten_before_the_journals_are() -> None:
    bench = Bench(journal=JournalRetention(keep_s=300 * DAY_S))
    bench.updater.scan()
    bench.store.put("quarantine", "k", _entry(bench, lifted_by="ada"))
    collect(bench)
    assert keys(bench, "quarantine") == ["k"]
