"""Lists of tags over many rounds and processes: what shrinks is doubted, what falls silent is told once."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import pytest

from safeupdater.domain.artifact import Artifact
from safeupdater.domain.sighting import Listing
from safeupdater.errors import RegistryError
from safeupdater.update.retention import JournalRetention
from tests.support.engine import WEB, Bench

REPOSITORY = "docker.io/library/web"
MANY = [f"1.0.{patch}" for patch in range(1, 21)]


class Registry:
    """The world's registry, of which only some tags are listed, or which answers with an error."""

    def __init__(self, bench: Bench) -> None:
        self.world = bench.world
        self.only: set[str] | None = None
        self.error: RegistryError | None = None

    def lookup_many(self, images: Iterable[Artifact]) -> dict[str, Any]:
        found = self.world.lookup_many(images)
        if self.error is not None:
            return dict.fromkeys(found, self.error)
        return {name: self._some(tags) for name, tags in found.items()}

    def _some(self, tags: Any) -> Any:
        return tags if self.only is None else tuple(tag for tag in tags if tag in self.only)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.world, name)


class Rounds:
    """A bench whose every round is a new process, as cron would start it."""

    def __init__(self) -> None:
        self.bench = Bench()
        for tag in MANY:
            self.bench.publish(tag)
        self.registry = Registry(self.bench)

    def round(self, after: timedelta = timedelta(hours=1)) -> Any:
        """A new process an hour later; its plan."""
        self.bench.clock.advance(after.total_seconds())
        updater = self.bench.process(tags=self.registry)
        updater.scan()
        return updater.plan()

    @property
    def alerts(self) -> list[str]:
        return [alert.code for alert in self.bench.recorder.alerts]

    @property
    def cause(self) -> str:
        return str(self.bench.updater.inventory.get(WEB).unknown_cause)  # type: ignore[union-attr]


@pytest.fixture
def rounds() -> Rounds:
    made = Rounds()
    assert made.round().updates, "an update is on offer"
    return made


def few(rounds: Rounds, count: int = 6) -> None:
    rounds.registry.only = {"1.0.0", *MANY[:count]}


def test_a_list_that_lost_most_of_its_tags_offers_nothing_also_to_a_new_process(rounds: Rounds) -> None:
    few(rounds)
    plan = rounds.round()
    assert plan.updates == ()
    assert [item.code for item in plan.unknown] == ["suspicious_listing"]
    assert "7 tags where it had 21" in rounds.cause
    assert rounds.cause.startswith("suspicious_listing: ")


def test_a_list_that_lost_the_tag_that_runs_offers_nothing(rounds: Rounds) -> None:
    rounds.registry.only = set(MANY)
    plan = rounds.round()
    assert plan.updates == ()
    assert "does not list 1.0.0 any more" in rounds.cause


def test_a_person_hears_of_it_once_and_how_to_accept_it(rounds: Rounds) -> None:
    few(rounds)
    for _ in range(5):
        rounds.round()
    assert rounds.alerts == ["suspicious_listing"]
    (alert,) = rounds.bench.recorder.alerts
    assert f"safeupdater state forget {REPOSITORY}" in alert.message
    rounds.registry.only = None
    assert rounds.round().updates
    few(rounds)
    rounds.round()
    assert rounds.alerts == ["suspicious_listing"] * 2, "another time is another alert"


def test_half_of_the_tags_may_go(rounds: Rounds) -> None:
    few(rounds, 10)
    assert rounds.round().updates


def test_a_list_that_shrinks_step_by_step_is_believed_step_by_step(rounds: Rounds) -> None:
    for count in (15, 11, 8, 6, 4):
        few(rounds, count)
        assert rounds.round().updates, count


def test_a_list_that_stays_short_for_a_day_is_believed(rounds: Rounds) -> None:
    few(rounds)
    for _ in range(24):
        assert rounds.round().updates == ()
    assert rounds.round().updates


def test_a_list_that_goes_on_changing_is_not_believed_however_long(rounds: Rounds) -> None:
    for number in range(60):
        few(rounds, 3 + number % 3)
        assert rounds.round().updates == ()


def test_another_short_list_after_a_day_is_doubted_anew(rounds: Rounds) -> None:
    few(rounds, 6)
    rounds.round()
    few(rounds, 4)
    assert rounds.round(timedelta(hours=30)).updates == ()


def test_a_clock_that_was_wrong_does_not_make_it_wait_for_ever(rounds: Rounds) -> None:
    stored = rounds.bench.store.get("listing", REPOSITORY)
    few(rounds)
    rounds.round()
    doubted = rounds.bench.store.get("listing", REPOSITORY).value
    far = rounds.bench.clock.now() + timedelta(days=3650)
    rounds.bench.store.put(
        "listing", REPOSITORY, Listing(
            count=stored.value.count, at=far, running=("1.0.0",), doubted_since=far,
            doubted_count=doubted.doubted_count, doubted_lost=doubted.doubted_lost,
        ),
    )  # fmt: skip
    for _ in range(25):
        rounds.round()
    assert rounds.round().updates


@pytest.mark.parametrize("days", [3650, -3650])
def test_a_clock_that_leaps_or_dips_makes_no_list_believed(rounds: Rounds, days: int) -> None:
    few(rounds)
    rounds.round()
    rounds.bench.clock.jump(timedelta(days=days))
    assert rounds.round().updates == ()
    rounds.bench.clock.jump(timedelta(days=-days))
    for _ in range(23):
        assert rounds.round().updates == ()


def test_what_a_person_accepts_is_believed_at_once(rounds: Rounds) -> None:
    few(rounds)
    rounds.round()
    rounds.bench.store.delete("listing", REPOSITORY)
    assert rounds.round().updates


def test_a_list_with_a_daily_push_settles_although_it_is_never_the_same(rounds: Rounds) -> None:
    rounds.registry.only = set(MANY)
    assert rounds.round().updates == ()
    for day in range(1, 4):
        rounds.bench.publish(f"1.1.{day}")
        rounds.registry.only = {*MANY[day:], *(f"1.1.{each}" for each in range(1, day + 1))}
        found = rounds.round(timedelta(hours=14)).updates
        assert bool(found) == (day > 1), "a day after the tag that runs was lost"


def test_a_short_list_that_grows_settles(rounds: Rounds) -> None:
    for hour in range(24):
        few(rounds, 3 + hour // 8)
        assert rounds.round().updates == ()
    assert rounds.round().updates


def test_another_tag_that_is_lost_is_doubted_anew(rounds: Rounds) -> None:
    rounds.bench.world.run("web2", "web:1.0.1")
    rounds.round()
    rounds.registry.only = set(MANY)
    rounds.round()
    rounds.registry.only = set(MANY[1:])
    assert rounds.round(timedelta(hours=20)).updates == ()
    assert rounds.round(timedelta(hours=20)).updates == ()
    assert rounds.round(timedelta(hours=20)).updates


def test_a_doubt_that_went_away_begins_anew(rounds: Rounds) -> None:
    rounds.registry.only = set(MANY)
    rounds.round()
    rounds.registry.only = None
    assert rounds.round(timedelta(hours=20)).updates
    rounds.registry.only = set(MANY)
    assert rounds.round(timedelta(hours=20)).updates == ()


# --- no answer ----------------------------------------------------------------------------------------------


def test_a_registry_that_falls_silent_is_told_once_and_its_assets_are_unknown(rounds: Rounds) -> None:
    rounds.registry.error = RegistryError("no route", code="unreachable", transient=True)
    for number in range(12):
        plan = rounds.round()
        assert [item.code for item in plan.unknown] == ["unreachable"]
        assert rounds.alerts == (["registry_silent"] if number >= 4 else []), number
    assert rounds.cause == "unreachable: no route"
    rounds.registry.error = None
    assert rounds.round().updates
    rounds.registry.error = RegistryError("no route", code="unreachable", transient=True)
    for _ in range(5):
        rounds.round()
    assert rounds.alerts == ["registry_silent"] * 2


def test_plans_in_quick_succession_are_one_round_without_an_answer(rounds: Rounds) -> None:
    rounds.registry.error = RegistryError("no route", code="unreachable", transient=True)
    for _ in range(50):
        rounds.round(timedelta(seconds=10))
    assert rounds.alerts == []
    for _ in range(4):
        rounds.round(timedelta(minutes=10))
    assert rounds.alerts == ["registry_silent"]


def test_a_failure_in_the_future_stops_no_counting(rounds: Rounds) -> None:
    rounds.registry.error = RegistryError("no route", code="unreachable", transient=True)
    rounds.bench.clock.jump(timedelta(days=3650))
    rounds.round()
    rounds.bench.clock.jump(timedelta(days=-3650))
    for _ in range(4):
        rounds.round()
    assert rounds.alerts == ["registry_silent"]


@pytest.mark.parametrize("code", ["unauthorized", "forbidden", "tls_error"])
def test_a_refusal_is_told_at_once_and_not_each_round(rounds: Rounds, code: str) -> None:
    rounds.registry.error = RegistryError("the registry says no", code=code)
    for _ in range(3):
        assert [item.code for item in rounds.round().unknown] == [code]
    assert rounds.alerts == [code]
    (alert,) = rounds.bench.recorder.alerts
    assert alert.remedy
    assert alert.target_id == WEB


def test_one_alert_tells_of_all_assets_of_a_registry(rounds: Rounds) -> None:
    for name in ("api", "db"):
        rounds.bench.world.run(name, f"{name}:1.0.0")
    rounds.round()
    rounds.registry.error = RegistryError("the registry says no", code="unauthorized")
    rounds.round()
    (alert,) = rounds.bench.recorder.alerts
    assert "and 2 more assets" in alert.message


# --- the record ---------------------------------------------------------------------------------------------


def test_a_round_that_brings_nothing_new_writes_nothing(rounds: Rounds) -> None:
    version = rounds.bench.store.get("listing", REPOSITORY).version
    for _ in range(3):
        rounds.round()
    assert rounds.bench.store.get("listing", REPOSITORY).version == version


def test_what_nobody_asks_for_any_more_is_forgotten(rounds: Rounds) -> None:
    rounds.bench.clock.advance(timedelta(days=91).total_seconds())
    updater = rounds.bench.process(journal=JournalRetention())
    updater.rollbacks.collect()
    assert rounds.bench.store.get("listing", REPOSITORY) is None


def test_what_is_asked_for_is_kept(rounds: Rounds) -> None:
    for _ in range(10):
        rounds.round(timedelta(days=30))
        rounds.bench.updater.rollbacks.collect()
    assert rounds.bench.store.get("listing", REPOSITORY) is not None
