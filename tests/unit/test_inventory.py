"""The inventory: scans recorded, removals only where a scan was complete, look-ups by every name."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safeupdater import Asset, AssetStatus, AssetType, ImageReference, Inventory
from safeupdater.domain.asset import STATUS_TRANSITIONS
from safeupdater.domain.plan import Plan, UnknownAsset
from safeupdater.errors import InvalidReference
from safeupdater.protocols import ScanReport
from safeupdater.stores import MemoryStore
from safeupdater.testing.clock import FakeClock

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)
SCOPE = "docker://h/"


def asset(name: str, tag: str = "1.0.0", **changes: object) -> Asset:
    made = Asset(
        id=f"{SCOPE}{name}", name=name, asset_type=AssetType.CONTAINER, host="h",
        image=ImageReference.parse(f"{name}:{tag}"), status=AssetStatus.HEALTHY,
    )  # fmt: skip
    return attrs.evolve(made, **changes)


def report(*assets: Asset, complete: bool = True, scope: str = SCOPE) -> ScanReport:
    return ScanReport(assets=assets, scope=scope, complete=complete)


@pytest.fixture
def inventory() -> Inventory:
    return Inventory(MemoryStore(FakeClock()))


def test_a_scan_adds_updates_and_marks_removed(inventory: Inventory) -> None:
    first = inventory.record(report(asset("web"), asset("db")), NOW)
    second = inventory.record(report(asset("web", "1.0.1"), asset("cache")), NOW + timedelta(hours=1))
    assert (first.seen, first.added, first.updated, first.removed) == (2, 2, 0, 0)
    assert (second.seen, second.added, second.updated, second.removed) == (2, 1, 1, 1)
    assert [item.name for item in inventory.assets()] == ["cache", "web"]
    assert [item.name for item in inventory.assets(status=AssetStatus.REMOVED)] == ["db"]


@pytest.mark.parametrize("later", [report(complete=False), report(scope="docker://other/")])
def test_only_a_complete_scan_of_the_scope_can_tell_that_something_is_gone(
    inventory: Inventory, later: ScanReport
) -> None:
    inventory.record(report(asset("web")), NOW)
    assert inventory.record(later, NOW).removed == 0
    assert [item.name for item in inventory.assets()] == ["web"]


def test_what_comes_back_is_no_longer_removed_and_keeps_its_history(inventory: Inventory) -> None:
    for seen in ((asset("web"),), (), (asset("web"),)):
        inventory.record(report(*seen), NOW)
    (found,) = inventory.assets()
    assert found.status is AssetStatus.HEALTHY


def test_queries_by_type_status_namespace_host_and_label(inventory: Inventory) -> None:
    pod = Asset(
        id="k8s://c1/shop/deployment/web", name="web", asset_type=AssetType.DEPLOYMENT, host="c1",
        namespace="shop", image=ImageReference.parse("web:1"), labels={"tier": "front", "team": "a"},
    )  # fmt: skip
    inventory.record(report(asset("web"), asset("db", status=AssetStatus.FAILED)), NOW)
    inventory.record(report(pod, scope="k8s://c1/"), NOW)
    assert inventory.assets(asset_type=AssetType.DEPLOYMENT) == inventory.assets(namespace="shop")
    assert inventory.assets(host="c1") == inventory.assets(labels={"tier": "front"})
    assert inventory.assets(labels={"tier": "back"}) == ()
    assert [item.name for item in inventory.assets(status=AssetStatus.FAILED)] == ["db"]
    counted = inventory.statistics()
    assert counted.total_assets == 3
    assert counted.by_type == {"container": 2, "deployment": 1}
    assert sum(counted.by_status.values()) == 3


def test_an_asset_is_found_by_its_original_id_and_by_a_name_that_only_it_has(inventory: Inventory) -> None:
    inventory.record(report(asset("web")), NOW)
    assert inventory.get("container-web") == inventory.get("web") == inventory.get("docker://h/web")
    assert inventory.get("docker://h/other") is None
    assert inventory.get("other") is None


def test_a_name_that_two_assets_have_is_refused_with_both(inventory: Inventory) -> None:
    other = attrs.evolve(asset("web"), id="docker://h2/web", host="h2")
    inventory.record(report(asset("web")), NOW)
    inventory.record(report(other, scope="docker://h2/"), NOW)
    with pytest.raises(InvalidReference, match="docker://h/web, docker://h2/web"):
        inventory.get("web")


def test_label_changes_between_scans_are_recorded(inventory: Inventory) -> None:
    inventory.record(report(asset("web", labels={"a": "1", "b": "1"})), NOW)
    inventory.record(report(asset("web", labels={"a": "2", "c": "1"})), NOW)
    found = inventory.get("web")
    assert found is not None
    assert found.metadata["label_changes"] == {"a": ["1", "2"], "b": ["1", None], "c": [None, "1"]}


def test_a_plan_says_what_is_on_offer_or_why_nothing_is_known(inventory: Inventory) -> None:
    inventory.record(report(asset("web")), NOW)
    unknown = UnknownAsset(asset_id=f"{SCOPE}web", code="rate_limited", message="come back later")
    inventory.record_plan(Plan(unknown=(unknown,)))
    found = inventory.get("web")
    assert found is not None
    assert (found.available_version, found.unknown_cause) == (None, "rate_limited: come back later")
    inventory.record_plan(Plan(current=(f"{SCOPE}web",)))
    found = inventory.get("web")
    assert found is not None
    assert found.unknown_cause is None


@given(st.lists(st.sampled_from(["seen", "moved", "gone", "failed", "stopped"]), max_size=12))
@settings(max_examples=100)
def test_every_change_of_status_follows_the_life_cycle(happenings: list[str]) -> None:
    inventory = Inventory(MemoryStore(FakeClock()))
    before: AssetStatus | None = None
    for number, happening in enumerate(happenings):
        status = {"failed": AssetStatus.FAILED, "stopped": AssetStatus.UNKNOWN}.get(
            happening, AssetStatus.HEALTHY
        )
        tag = f"1.0.{number}" if happening == "moved" else "1.0.0"
        seen = () if happening == "gone" else (asset("web", tag, status=status),)
        inventory.record(report(*seen), NOW)
        found = inventory.get("web")
        if found is None:
            continue
        assert before is None or found.status is before or found.status in STATUS_TRANSITIONS[before]
        before = found.status
