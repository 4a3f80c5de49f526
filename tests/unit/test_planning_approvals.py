"""What a person's consent does to a plan: exactly what was approved, once, for a while."""

from __future__ import annotations

from datetime import timedelta

import attrs
import pytest

from safeupdater.domain.decision import Verdict
from safeupdater.domain.plan import PlannedUpdate
from tests.support.planning import (
    DAY,
    NOW,
    approval_of,
    asset,
    container,
    decided,
    digest_of,
    only,
    plan,
    registry,
    versions,
)

MINOR = ["1.0.0", "1.1.0"]


def reviewed(listed: list[str] | None = None) -> PlannedUpdate:
    """An update that waits for one review."""
    update = only(plan(asset(), {"example/web": listed or MINOR}))
    assert update.decision.verdict is Verdict.REVIEW_REQUIRED
    return update


def test_an_approved_update_keeps_the_hash_that_was_approved() -> None:
    waiting = reviewed()
    update = only(plan(asset(), {"example/web": MINOR}, approvals=[approval_of(waiting)]))
    assert update.is_approved
    assert update.hash == waiting.hash


@pytest.mark.parametrize("newer", ["1.2.0", "1.1.1", "1.0.1", "2.0.0"])
def test_what_was_approved_stays_the_choice_when_other_versions_appear(newer: str) -> None:
    approval = approval_of(reviewed())
    update = only(plan(asset(), {"example/web": [*MINOR, newer]}, approvals=[approval]))
    assert (versions(update), update.is_approved) == (["1.1.0"], True)
    assert newer in decided(update)


def test_what_was_approved_stays_the_choice_by_its_bits_when_the_tag_moves_on() -> None:
    waiting = reviewed()
    moved = registry({"example/web": MINOR}, **{"example/web:1.1.0": digest_of("new bits")})
    update = only(plan(asset(), moved, approvals=[approval_of(waiting)]))
    assert update.changes[0].new.digest == digest_of("example/web:1.1.0")
    assert update.hash == waiting.hash


def test_an_approval_of_other_bits_approves_nothing() -> None:
    waiting = reviewed()
    other = attrs.evolve(asset(), digests=frozenset({digest_of("rebuilt meanwhile")}))
    update = only(plan(other, {"example/web": MINOR}, approvals=[approval_of(waiting)]))
    assert not update.is_approved


def test_an_approval_under_another_policy_approves_nothing() -> None:
    waiting = reviewed()
    changed = {"semver_gates": {"minor": "manual"}}
    update = only(plan(asset(), {"example/web": MINOR}, changed, approvals=[approval_of(waiting)]))
    assert update.decision.verdict is Verdict.MANUAL_APPROVAL


def test_an_approval_with_another_hash_approves_nothing() -> None:
    forged = approval_of(reviewed(), update_hash="0" * 64)
    update = only(plan(asset(), {"example/web": MINOR}, approvals=[forged]))
    assert not update.is_approved


@pytest.mark.parametrize(
    "spoiled",
    [
        {"expires_at": NOW},
        {"used_by": "op-1"},
        {"at": NOW + timedelta(seconds=1)},
    ],
    ids=["expired", "used", "from the future"],
)
def test_an_approval_that_is_not_good_approves_nothing(spoiled: dict[str, object]) -> None:
    approval = approval_of(reviewed(), **spoiled)
    assert not only(plan(asset(), {"example/web": MINOR}, approvals=[approval])).is_approved


def test_an_approval_given_in_bulk_lifts_a_review_and_never_a_manual_approval() -> None:
    approval = approval_of(reviewed(), bulk=True)
    assert only(plan(asset(), {"example/web": MINOR}, approvals=[approval])).is_approved
    major = only(plan(asset(), {"example/web": ["2.0.0"]}))
    bulk = approval_of(major, bulk=True)
    update = only(plan(asset(), {"example/web": ["2.0.0"]}, approvals=[bulk]))
    assert update.decision.verdict is Verdict.MANUAL_APPROVAL


def test_an_approval_lifts_neither_a_closed_window_nor_a_freeze() -> None:
    waiting = {"windows": [{"days": "sun", "from": "01:00", "to": "02:00"}]}
    update = only(plan(asset(), {"example/web": MINOR}, waiting))
    approval = approval_of(update)
    again = only(plan(asset(), {"example/web": MINOR}, waiting, approvals=[approval]))
    assert again.decision.verdict is Verdict.DEFER


def test_of_two_approvals_of_one_target_the_later_one_counts() -> None:
    first = approval_of(reviewed())
    second = approval_of(reviewed(["1.0.0", "1.2.0"]), at=NOW + timedelta(minutes=1), expires_at=NOW + DAY)
    for approvals in ([first, second], [second, first]):
        update = only(
            plan(
                asset(),
                {"example/web": [*MINOR, "1.2.0"]},
                approvals=approvals,
                now=NOW + timedelta(minutes=2),
            )
        )
        assert versions(update) == ["1.2.0"]


def test_an_approval_that_fits_is_not_lost_behind_a_later_one_that_does_not() -> None:
    good = approval_of(reviewed())
    stale = approval_of(reviewed(), update_hash="0" * 64, at=NOW + timedelta(minutes=1))
    update = only(
        plan(asset(), {"example/web": MINOR}, approvals=[good, stale], now=NOW + timedelta(minutes=2))
    )
    assert update.is_approved


# --- targets of several assets ------------------------------------------------------------------------------

APP, SIDECAR = container("app", "example/app:1.0.0"), container("sidecar", "example/sidecar:2.0.0")


def test_an_approved_container_keeps_its_hash_when_its_neighbour_gets_a_patch() -> None:
    """Otherwise the approval would fit no update any more, and the plan would approve what cannot run."""
    waiting = only(plan([APP, SIDECAR], {"example/app": ["1.1.0"], "example/sidecar": ["2.0.0"]}))
    tags = {"example/app": ["1.1.0"], "example/sidecar": ["2.0.1"]}
    update = only(plan([APP, SIDECAR], tags, approvals=[approval_of(waiting)]))
    assert update.is_approved
    assert update.hash == waiting.hash
    assert [option.change.asset_id for option in update.alternatives] == [SIDECAR.id]


def test_containers_that_were_approved_together_go_together_or_not_at_all() -> None:
    tags = {"example/app": ["1.1.0"], "example/sidecar": ["2.1.0"]}
    waiting = only(plan([APP, SIDECAR], tags))
    approved = only(plan([APP, SIDECAR], tags, approvals=[approval_of(waiting)]))
    assert (approved.is_approved, approved.hash) == (True, waiting.hash)
    moved = attrs.evolve(SIDECAR, digests=frozenset({digest_of("changed by hand")}))
    update = only(plan([APP, moved], tags, approvals=[approval_of(waiting)]))
    assert not update.is_approved
