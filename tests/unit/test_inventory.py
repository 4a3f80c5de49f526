"""What is known to run: scans taken in, life cycle, history, queries."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from safeupdater.backends.memory import CRASHES, GOOD
from safeupdater.domain.artifact import ImageReference
from safeupdater.domain.asset import STATUS_TRANSITIONS, Asset, AssetStatus, AssetType
from safeupdater.domain.operation import Outcome, Resolution
from safeupdater.domain.plan import Plan, UnknownAsset
from safeupdater.errors import InvalidReference
from safeupdater.protocols import ScanReport
from safeupdater.stores.memory import MemoryStore
from safeupdater.update.inventory import Inventory
from tests.support.engine import WEB, Bench, held, stuck

NOW = datetime(2026, 4, 1, 12, 0, tzinfo=UTC)
LATER = datetime(2026, 4, 2, 12, 0, tzinfo=UTC)
SCOPE = "memory://here/"


def asset(name: str = "web", tag: str = "1.0.0", **changes: Any) -> Asset:
    return Asset(
        **{
            "id": SCOPE + name, "name": name, "asset_type": AssetType.CONTAINER, "host": "here",
            "image": ImageReference.parse(f"{name}:{tag}"), "status": AssetStatus.HEALTHY, **changes,
        }
    )  # fmt: skip


def report(*assets: Asset, scope: str = SCOPE, complete: bool = True) -> ScanReport:
    return ScanReport(assets=assets, scope=scope, complete=complete)


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def inventory(store: MemoryStore) -> Inventory:
    return Inventory(store)


# --- recording ----------------------------------------------------------------------------------------------


def test_a_first_scan_adds_and_a_second_one_of_the_same_changes_nothing(inventory: Inventory) -> None:
    first = inventory.record(report(asset("a"), asset("b")), NOW)
    assert (first.seen, first.added, first.updated, first.removed) == (2, 2, 0, 0)
    again = inventory.record(report(asset("a"), asset("b")), LATER)
    assert (again.seen, again.added, again.updated, again.removed) == (2, 0, 0, 0)
    assert [item.last_scan for item in inventory.assets()] == [LATER, LATER]


def test_a_changed_asset_counts_as_updated(inventory: Inventory) -> None:
    inventory.record(report(asset("a"), asset("b")), NOW)
    assert inventory.record(report(asset("a", "1.1.0"), asset("b")), LATER).updated == 1


def test_only_a_complete_scan_says_that_something_is_gone(inventory: Inventory) -> None:
    inventory.record(report(asset("a"), asset("b")), NOW)
    assert inventory.record(report(asset("a"), complete=False), LATER).removed == 0
    assert len(inventory.assets()) == 2
    assert inventory.record(report(asset("a")), LATER).removed == 1
    gone = inventory.get(SCOPE + "b")
    assert gone is not None
    assert (gone.status, gone.running) == (AssetStatus.REMOVED, False)
    assert inventory.record(report(asset("a")), LATER).removed == 0


def test_what_lies_outside_the_scope_of_a_scan_is_not_gone(inventory: Inventory) -> None:
    other = attrs.evolve(asset("a"), id="memory://there/a", host="there")
    inventory.record(report(other, scope="memory://there/"), NOW)
    assert inventory.record(report(asset("a")), LATER).removed == 0
    assert len(inventory.assets()) == 2


def test_what_is_being_updated_is_not_gone_though_a_scan_misses_it(inventory: Inventory) -> None:
    inventory.record(report(asset("a", status=AssetStatus.UPDATING)), NOW)
    assert inventory.record(report(), LATER).removed == 0


def test_what_was_removed_and_is_found_again_is_there_again_with_its_history() -> None:
    bench = Bench()
    assert bench.run(bench.plan()).succeeded
    container = bench.world.containers["web"]
    bench.world.remove("web")
    bench.updater.scan()
    assert bench.updater.inventory.assets() == ()
    bench.world.create("web", container.image, {})
    bench.world.start("web")
    bench.updater.scan()
    assert bench.updater.inventory.get(WEB).status is AssetStatus.HEALTHY
    assert len(bench.updater.inventory.history(WEB)) == 1


def test_changed_labels_are_recorded_with_what_they_were(inventory: Inventory) -> None:
    inventory.record(report(asset(labels={"tier": "a", "old": "x"})), NOW)
    inventory.record(report(asset(labels={"tier": "b", "new": "y"})), LATER)
    found = inventory.get(SCOPE + "web")
    assert found is not None
    assert found.metadata["label_changes"] == {"new": [None, "y"], "old": ["x", None], "tier": ["a", "b"]}
    assert found.metadata["labels_changed_at"] == LATER.isoformat()
    assert dict(found.labels) == {"tier": "b", "new": "y"}
    again = inventory.record(report(asset(labels={"tier": "b", "new": "y"})), LATER + timedelta(hours=1))
    assert again.updated == 0
    kept = inventory.get(SCOPE + "web")
    assert kept is not None
    assert kept.metadata == found.metadata


def test_a_host_or_an_asset_that_is_gone_for_good_can_be_forgotten(inventory: Inventory) -> None:
    for name in ("web", "web-2", "api"):
        inventory.record(report(asset(name), complete=False), NOW)
    assert inventory.forget(SCOPE + "web") == (SCOPE + "web",)
    assert [found.name for found in inventory.assets()] == ["api", "web-2"]
    assert inventory.forget("memory://elsewhere") == ()
    assert len(inventory.forget(SCOPE.removesuffix("/"))) == 2
    assert inventory.assets(include_removed=True) == ()


def test_what_is_on_offer_is_forgotten_when_something_else_runs(inventory: Inventory) -> None:
    known = asset(status=AssetStatus.UPDATE_AVAILABLE, available_version="2.0.0")
    inventory.record(report(known), NOW)
    inventory.record(report(asset()), LATER)
    kept = inventory.get(known.id)
    assert kept is not None
    assert (kept.status, kept.available_version) == (AssetStatus.UPDATE_AVAILABLE, "2.0.0")
    inventory.record(report(asset(tag="2.0.0")), LATER)
    changed = inventory.get(known.id)
    assert changed is not None
    assert (changed.status, changed.available_version) == (AssetStatus.HEALTHY, None)


class CountingStore:
    """Counts the writes."""

    def __init__(self, inner: MemoryStore) -> None:
        self.inner = inner
        self.writes: list[str] = []

    def __getattr__(self, name: str) -> Any:
        if name.startswith("put"):
            self.writes.append(name)
        return getattr(self.inner, name)


def test_a_scan_is_one_write(store: MemoryStore) -> None:
    counting = CountingStore(store)
    inventory = Inventory(counting)  # type: ignore[arg-type]
    inventory.record(report(*(asset(f"a{number}") for number in range(500))), NOW)
    assert counting.writes == ["put_many"]
    assert inventory.statistics().total_assets == 500


class Meanwhile:
    """A store in which something happens once, right before a certain call."""

    def __init__(self, inner: Any, name: str, happen: Callable[[], object]) -> None:
        self.inner, self.name, self.happen = inner, name, happen
        self.times = 1

    def __getattr__(self, name: str) -> Any:
        if name == self.name and self.times:
            self.times -= 1
            self.happen()
        return getattr(self.inner, name)


def updated_meanwhile(name: str) -> tuple[Bench, Any, Plan]:
    """A planned update that another process finishes between our reading and our writing."""
    bench = Bench()
    bench.publish()
    bench.updater.scan()
    plan = bench.updater.plan()
    return bench, Meanwhile(bench.store, name, lambda: bench.process().apply(plan)), plan


@pytest.mark.parametrize("call", ["put_many", "iterate"])
def test_a_scan_does_not_overwrite_an_update_that_ends_meanwhile(call: str) -> None:
    bench, store, _ = updated_meanwhile(call)
    began, seen = bench.clock.now(), bench.backend.scan()
    Inventory(store).record(seen, began, began=began)
    assert_updated(bench)


def test_a_scan_that_found_nothing_does_not_remove_what_was_updated_meanwhile() -> None:
    bench, store, _ = updated_meanwhile("put_many")
    nothing = attrs.evolve(bench.backend.scan(), assets=())
    finished = Inventory(store).record(nothing, bench.clock.now())
    assert finished.removed == 0
    assert_updated(bench)


@pytest.mark.parametrize("call", ["put", "get"])
def test_a_plan_does_not_overwrite_an_update_that_ends_meanwhile(call: str) -> None:
    bench, store, plan = updated_meanwhile(call)
    # Something to write: what is on offer is forgotten first.
    known = bench.updater.inventory.get(WEB)
    assert known is not None
    bench.store.put("asset", WEB, attrs.evolve(known, available_version=None, status=AssetStatus.HEALTHY))
    Inventory(store).record_plan(plan)
    assert_updated(bench)


def assert_updated(bench: Bench) -> None:
    found = bench.updater.inventory.get(WEB)
    assert found is not None
    assert (found.status, found.current_version) == (AssetStatus.HEALTHY, "1.1.0")
    assert found.available_version is None
    assert [record.outcome for record in found.update_history] == ["succeeded"]


def test_where_others_write_all_the_time_a_scan_writes_what_it_can(store: MemoryStore) -> None:
    store.put("asset", SCOPE + "web", asset())
    busy = Meanwhile(store, "put_many", lambda: store.put("asset", SCOPE + "web", asset(tag="1.1.0")))
    busy.times = 1000
    Inventory(busy).record(report(asset(), asset("other")), NOW)  # type: ignore[arg-type]
    assert {item.name: item.last_scan for item in Inventory(store).assets()} == {"web": NOW, "other": NOW}


def test_a_check_that_failed_keeps_what_was_on_offer_and_says_why(store: MemoryStore) -> None:
    inventory = Inventory(store)
    inventory.record(report(asset(status=AssetStatus.UPDATE_AVAILABLE, available_version="1.1.0")), NOW)
    down = UnknownAsset(asset_id=SCOPE + "web", code="registry_error", message="it is down")
    inventory.record_plan(Plan(created_at=NOW, unknown=(down,)))
    found = inventory.get(SCOPE + "web")
    assert found is not None
    assert (found.status, found.available_version) == (AssetStatus.UPDATE_AVAILABLE, "1.1.0")
    assert found.unknown_cause == "registry_error: it is down"

    inventory.record_plan(Plan(created_at=LATER, current=(SCOPE + "web",)))
    found = inventory.get(SCOPE + "web")
    assert found is not None
    assert (found.status, found.available_version, found.unknown_cause) == (AssetStatus.HEALTHY, None, None)


@pytest.mark.parametrize("code", ["disabled", "local_build", "pinned_by_digest"])
def test_what_is_not_followed_has_nothing_on_offer(store: MemoryStore, code: str) -> None:
    inventory = Inventory(store)
    inventory.record(report(asset(status=AssetStatus.UPDATE_AVAILABLE, available_version="1.1.0")), NOW)
    left = UnknownAsset(asset_id=SCOPE + "web", code=code, message="so it is")
    inventory.record_plan(Plan(created_at=NOW, unknown=(left,)))
    found = inventory.get(SCOPE + "web")
    assert found is not None
    assert (found.status, found.available_version) == (AssetStatus.HEALTHY, None)


def test_an_update_that_a_wrong_clock_noted_freezes_no_record() -> None:
    bench = Bench()
    bench.clock.jump(timedelta(days=3650))
    bench.publish()
    assert [result.succeeded for result in bench.apply()] == [True]
    bench.clock.jump(timedelta(days=-3650))
    bench.clock.advance(3600.0)
    bench.publish("1.2.0")
    bench.updater.scan()
    bench.updater.plan()
    known = bench.updater.inventory.get(WEB)
    assert known is not None
    assert (known.status, known.available_version) == (AssetStatus.UPDATE_AVAILABLE, "1.2.0")
    bench.world.remove("web")
    assert bench.updater.scan().finished[0].removed == 1
    known = bench.updater.inventory.get(WEB)
    assert known is not None
    assert known.status is AssetStatus.REMOVED


def test_an_update_by_a_clock_that_is_a_little_ahead_is_later_than_the_scan(
    store: MemoryStore, inventory: Inventory
) -> None:
    ahead = NOW + timedelta(minutes=4)
    store.put("asset", SCOPE + "web", asset(tag="1.1.0", last_update=ahead))
    inventory.record(report(asset(tag="1.0.0")), NOW, began=NOW)
    known = inventory.get(SCOPE + "web")
    assert known is not None
    assert known.image.version_text == "1.1.0"


# --- asking -------------------------------------------------------------------------------------------------


def test_queries_combine_type_status_namespace_host_and_labels(inventory: Inventory) -> None:
    inventory.record(
        report(
            asset("a", labels={"tier": "x", "team": "1"}),
            asset("b", status=AssetStatus.FAILED, labels={"tier": "x"}),
            asset("c", host="there", namespace="shop"),
            asset("d", asset_type=AssetType.DEPLOYMENT),
            asset("e", status=AssetStatus.REMOVED),
        ),
        NOW,
    )

    def names(**conditions: Any) -> str:
        return "".join(item.name for item in inventory.assets(**conditions))

    assert names() == "abcd"
    assert names(include_removed=True) == "abcde"
    assert names(status=AssetStatus.REMOVED) == "e"
    assert names(asset_type=AssetType.DEPLOYMENT) == "d"
    assert names(status=AssetStatus.FAILED) == "b"
    assert names(namespace="shop") == "c"
    assert names(host="there") == "c"
    assert names(labels={"tier": "x"}) == "ab"
    assert names(labels={"tier": "x", "team": "1"}) == "a"
    assert names(labels={"tier": "x"}, status=AssetStatus.HEALTHY) == "a"
    assert names(labels={"tier": "y"}) == ""


def test_statistics_count_what_was_not_removed(inventory: Inventory) -> None:
    removed = asset("c", status=AssetStatus.REMOVED)
    inventory.record(report(asset("a"), asset("b", status=AssetStatus.FAILED), removed), NOW)
    found = inventory.statistics()
    assert (found.total_assets, found.by_type, found.by_status) == (
        2, {"container": 2}, {"failed": 1, "healthy": 1},
    )  # fmt: skip


def test_an_asset_is_found_by_its_id_its_name_and_its_id_in_old_files(inventory: Inventory) -> None:
    named = asset("my-app", namespace="default", asset_type=AssetType.DEPLOYMENT)
    inventory.record(report(named, asset("other")), NOW)
    for key in (named.id, "my-app", "deployment-my-app-default"):
        found = inventory.get(key)
        assert found is not None, key
        assert found.id == named.id
    assert inventory.get("nothing") is None
    assert inventory.get("memory://here/nothing") is None


def test_a_name_that_two_assets_have_is_refused_with_both_ids(inventory: Inventory) -> None:
    inventory.record(report(asset("a")), NOW)
    there = attrs.evolve(asset("a"), id="memory://there/a", host="there")
    inventory.record(report(there, scope="memory://there/"), NOW)
    with pytest.raises(InvalidReference, match=r"memory://here/a, memory://there/a"):
        inventory.get("a")


def test_the_history_has_every_attempt_newest_first() -> None:
    bench = Bench()
    assert bench.run(bench.plan("1.1.0")).succeeded
    assert bench.run(bench.plan("1.2.0", CRASHES)).outcome is Outcome.ROLLED_BACK
    newest, oldest = bench.updater.inventory.history(WEB)
    assert (oldest.from_version, oldest.to_version, oldest.outcome) == ("1.0.0", "1.1.0", "succeeded")
    assert (newest.from_version, newest.to_version, newest.outcome) == ("1.1.0", "1.2.0", "rolled_back")
    assert newest.reason
    assert newest.finished >= newest.started >= oldest.finished
    assert bench.updater.inventory.history("nothing") == ()


# --- life cycle ---------------------------------------------------------------------------------------------


def test_a_scan_does_not_call_healthy_what_waits_for_a_person() -> None:
    bench = held()
    bench.updater.scan()
    assert bench.updater.inventory.get(WEB).status is AssetStatus.HELD
    bench.updater.resolve(WEB, Resolution.KEEP_NEW, by="ada")
    assert bench.updater.inventory.get(WEB).status is AssetStatus.HEALTHY


def test_a_failed_rollback_stays_failed_whatever_runs_until_a_person_decides() -> None:
    bench = stuck()
    bench.world.remove("web")
    bench.world.run("web", "web:0.9.0")
    bench.updater.scan()
    assert bench.updater.inventory.get(WEB).status is AssetStatus.FAILED
    bench.updater.resolve(WEB, Resolution.ABANDON, by="ada")
    bench.updater.scan()
    assert bench.updater.inventory.get(WEB).status is AssetStatus.UPDATE_AVAILABLE


def test_what_was_found_unhealthy_is_healthy_again_when_a_scan_finds_it_so(inventory: Inventory) -> None:
    inventory.record(report(asset(status=AssetStatus.FAILED)), NOW)
    inventory.record(report(asset()), LATER)
    assert [item.status for item in inventory.assets()] == [AssetStatus.HEALTHY]


ACTS = st.lists(
    st.sampled_from(
        ["scan", "plan", "good", "bad", "apply", "abort", "stop", "start", "remove", "run", "wait"]
    ),
    max_size=14,
)


class Statuses:
    """A store that remembers which status of the one asset followed which."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner
        self.steps: set[tuple[AssetStatus, AssetStatus]] = set()

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.inner, name)
        if name not in ("put", "put_many"):
            return method

        def write(*arguments: Any, **keywords: Any) -> Any:
            before = self.inner.get("asset", WEB)
            result = method(*arguments, **keywords)
            after = self.inner.get("asset", WEB)
            if before is not None and after is not None and before.value.status is not after.value.status:
                self.steps.add((before.value.status, after.value.status))
            return result

        return write


@given(acts=ACTS)
def test_whatever_happens_every_change_of_status_is_one_of_the_life_cycle(acts: list[str]) -> None:
    bench = Bench()
    store = Statuses(bench.store)
    bench.updater = bench.process(store=store)
    for number, act in enumerate(acts):
        _do(bench, act, number)
    assert {(old, new) for old, new in store.steps if new not in STATUS_TRANSITIONS[old]} == set()
    found = bench.updater.inventory.get(WEB)
    assert found is None or found.status is not AssetStatus.UPDATING or bench.store.unfinished()


def _do(bench: Bench, act: str, number: int) -> None:
    there = "web" in bench.world.containers
    match act:
        case "scan":
            bench.updater.scan()
        case "plan":
            bench.updater.plan()
        case "good" | "bad":
            bench.publish(f"1.{number + 1}.0", GOOD if act == "good" else CRASHES)
        case "apply":
            bench.updater.apply()
        case "abort":
            updates = bench.updater.plan().updates
            if updates and isinstance(bench.updater.executor.open(updates[0]), str):
                bench.updater.abort(WEB, by="ada")
        case "stop" | "start" if there:
            getattr(bench.world, act)("web")
        case "remove":
            bench.world.remove("web")
        case "run" if not there:
            bench.world.run("web", "web:1.0.0")
        case "wait":
            bench.clock.advance(7200.0)
