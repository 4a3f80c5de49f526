"""What type checkers conclude about values: checked by mypy and pyright, run by pytest."""

from __future__ import annotations

from datetime import datetime
from typing import assert_type

from safeupdater.domain.artifact import ChartReference, ImageReference
from safeupdater.domain.asset import Asset, AssetId, AssetStatus, AssetType
from safeupdater.domain.change import Change, VersionChangeType
from safeupdater.domain.decision import Decision, Reason, Verdict
from safeupdater.domain.plan import Plan, PlannedUpdate

IMAGE = ImageReference.parse("nginx:1.27.0")
ASSET = Asset(id="docker://prod-1/web", name="web", asset_type=AssetType.CONTAINER, image=IMAGE)


def test_references_give_typed_parts() -> None:
    assert_type(IMAGE, ImageReference)
    assert_type(IMAGE.tag, str | None)
    assert_type(IMAGE.with_tag("1.27.1"), ImageReference)
    assert_type(ChartReference.parse("redis@1.2.3").repository, str | None)


def test_an_asset_names_an_image_or_a_chart() -> None:
    assert_type(ASSET.image, ImageReference | ChartReference)
    assert_type(ASSET.status, AssetStatus)
    assert_type(ASSET.last_update, datetime | None)
    assert_type(AssetId.parse(ASSET.id).namespace, str | None)


def test_decisions_are_values_with_every_reason() -> None:
    decision = Decision(verdict=Verdict.APPROVE, change_type=VersionChangeType.PATCH)
    assert_type(decision.reasons, tuple[Reason, ...])
    assert_type(decision.deciding, Reason | None)
    assert_type(decision.until, datetime | None)
    assert_type(decision.to_dict(), dict[str, object])


def test_a_plan_is_a_tuple_of_decided_updates() -> None:
    change = Change(
        asset_id=ASSET.id, current=IMAGE, new=IMAGE.with_tag("1.27.1"), change_type=VersionChangeType.PATCH
    )
    planned = PlannedUpdate(
        target_id=ASSET.id, changes=(change,), decision=Decision(verdict=Verdict.APPROVE), policy_hash="p"
    )
    plan = Plan(updates=(planned,))
    assert_type(plan.hash, str)
    assert_type(plan.approved, tuple[PlannedUpdate, ...])
    assert plan.approved == (planned,)
