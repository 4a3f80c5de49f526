"""A release that failed on two assets is kept from all: (repository, digest), not only (asset, digest)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import attrs
import pytest

from safeupdater.backends.memory import CRASHES, GOOD
from safeupdater.domain.artifact import ChartReference, ImageReference
from safeupdater.domain.operation import (
    Blame,
    OperationPlanned,
    OperationSettings,
    Outcome,
    Quarantine,
    Steps,
)
from safeupdater.errors import RollbackError
from safeupdater.update.quarantine import put_in, repository_of
from tests.support.engine import Bench, outcomes, policy_with

IMAGE = "docker.io/library/shop"
NO_BRAKES: dict[str, Any] = policy_with(rollback={"cooldown": "0s", "max_per_day": 50})


def shops(*names: str) -> Bench:
    """Containers of one image, whose newer release is bad."""
    bench = Bench(NO_BRAKES)
    bench.world.remove("web")
    for name in names:
        bench.world.run(name, "shop:1.0.0")
    bench.publish("1.1.0", name="shop", behaviour=CRASHES)
    bench.updater.scan()
    return bench


def update_of(bench: Bench, name: str) -> Any:
    return next(item for item in bench.updater.plan().updates if item.target_id.endswith(f"/{name}"))


def fail(bench: Bench, *names: str) -> None:
    for name in names:
        assert bench.run(update_of(bench, name)).outcome is Outcome.ROLLED_BACK


def digest_of(bench: Bench) -> str:
    return str(bench.world.tags[IMAGE]["1.1.0"])


def shared(bench: Bench) -> Quarantine:
    (entry,) = (item for item in bench.updater.rollbacks.quarantined() if item.is_shared)
    return entry


def is_rejected(bench: Bench, name: str) -> bool:
    return update_of(bench, name).decision.reasons[0].code == "quarantined"


def test_what_failed_on_one_asset_is_still_tried_on_another() -> None:
    bench = shops("a", "b")
    fail(bench, "a")
    assert is_rejected(bench, "a")
    assert not is_rejected(bench, "b")


def test_what_failed_on_two_assets_is_tried_on_no_other_and_the_plan_says_why() -> None:
    bench = shops("a", "b", "c")
    fail(bench, "a", "b")
    assert is_rejected(bench, "c")
    (said,) = (reason for reason in update_of(bench, "c").decision.reasons if reason.code == "quarantined")
    for part in ("1.1.0", IMAGE, "memory://local/a, memory://local/b", "exited"):
        assert part in said.message
    explained = " ".join(bench.updater.plan().explain().split())
    assert f"1.1.0 is kept from all assets of {IMAGE}" in explained


def test_the_rest_of_one_run_is_spared_after_two_failures() -> None:
    bench = shops(*"abcde")
    results = bench.updater.executor.run([update_of(bench, name) for name in "abcde"], max_in_flight=1)
    assert outcomes(results) == [Outcome.ROLLED_BACK] * 2 + [Outcome.REFUSED] * 3
    assert {result.code for result in results[2:]} == {"rejected"}
    assert "kept from all assets" in results[2].message


def test_the_same_bits_under_another_tag_stay_in_quarantine() -> None:
    bench = shops("a", "b", "c")
    fail(bench, "a", "b")
    bench.world.tags[IMAGE]["1.1.1"] = digest_of(bench)
    assert update_of(bench, "c").changes[0].new.version_text == "1.1.1"
    assert is_rejected(bench, "c")


def test_a_newer_release_is_tried_all_the_same() -> None:
    bench = shops("a", "b", "c")
    fail(bench, "a", "b")
    bench.publish("1.2.0", name="shop")
    assert bench.run(update_of(bench, "c")).succeeded


def test_allowed_again_it_is_tried_where_it_did_not_fail() -> None:
    bench = shops("a", "b", "c")
    fail(bench, "a", "b")
    entry = shared(bench)
    bench.updater.rollbacks.allow_again(IMAGE, entry.digest, by="ada")
    assert not is_rejected(bench, "c")
    assert is_rejected(bench, "a"), "where it failed, it is allowed by its own name"
    bench.world.behaviours[digest_of(bench)] = GOOD
    assert bench.run(update_of(bench, "c")).succeeded


def test_after_it_was_allowed_again_one_more_failure_brings_it_back() -> None:
    bench = shops("a", "b", "c", "d")
    fail(bench, "a", "b")
    first = shared(bench)
    bench.updater.rollbacks.allow_again(IMAGE, first.digest, by="ada")
    bench.clock.advance(2 * 3600.0)  # for the breaker
    fail(bench, "c")
    assert shared(bench).operation_id != first.operation_id
    assert is_rejected(bench, "d")


def test_what_is_allowed_again_on_one_asset_is_allowed_there() -> None:
    bench = shops("a", "b", "c")
    fail(bench, "a", "b")
    bench.updater.rollbacks.allow_again("memory://local/a", digest_of(bench), by="ada")
    assert not is_rejected(bench, "a")
    assert is_rejected(bench, "c")


def test_a_failure_that_a_person_forgave_does_not_count() -> None:
    bench = shops("a", "b", "c")
    fail(bench, "a")
    bench.updater.rollbacks.allow_again("memory://local/a", digest_of(bench), by="ada")
    fail(bench, "b")
    assert not is_rejected(bench, "c")


def test_it_ends_when_its_time_is_over() -> None:
    bench = shops("a", "b", "c")
    fail(bench, "a", "b")
    entry = shared(bench)
    until = bench.clock.now() + timedelta(hours=3)
    bench.store.put("quarantine", f"{IMAGE}#{entry.digest}", attrs.evolve(entry, until=until))
    assert is_rejected(bench, "c")
    bench.clock.advance(3 * 3600.0)
    assert not is_rejected(bench, "c")
    with pytest.raises(ValueError, match="not enough values"):
        shared(bench)


@pytest.mark.parametrize("blame", [Blame.ENVIRONMENT, Blame.REQUEST, Blame.NOBODY])
def test_only_the_fault_of_the_release_counts(blame: Blame) -> None:
    bench = shops("a", "b", "c")
    fail(bench, "a")
    key = f"memory://local/a#{digest_of(bench)}"
    entry: Any = bench.store.get("quarantine", key).value
    bench.store.put("quarantine", key, attrs.evolve(entry, blame=blame))
    fail(bench, "b")
    assert not is_rejected(bench, "c")


def test_surroundings_that_fail_a_release_again_and_again_keep_it_from_those_assets_only() -> None:
    bench = shops("a", "b", "c")
    for name in ("a", "a", "b", "b"):
        _fail_by_environment(bench, name)
        bench.clock.advance(2 * 3600.0)
    assert [is_rejected(bench, name) for name in "abc"] == [True, True, False]


def _fail_by_environment(bench: Bench, name: str) -> None:
    """A crash of the updater in the switch: the update is turned back, and the release is not to blame."""
    operation_id = bench.updater.executor.open(update_of(bench, name))
    bench.steps_until(operation_id, "Settling")
    bench.kill(bench.updater)
    bench.updater = bench.process()
    (result,) = bench.updater.recover()
    assert result.outcome is Outcome.ROLLED_BACK


def test_surroundings_do_not_bring_back_what_was_allowed_again() -> None:
    bench = shops("a", "b", "c")
    fail(bench, "a", "b")
    bench.updater.rollbacks.allow_again(IMAGE, digest_of(bench), by="ada")
    bench.clock.advance(2 * 3600.0)
    _fail_by_environment(bench, "c")
    bench.clock.advance(2 * 3600.0)
    _fail_by_environment(bench, "c")
    assert is_rejected(bench, "c")
    assert not [item for item in bench.updater.rollbacks.quarantined() if item.is_shared]


def test_two_assets_of_one_operation_are_one_failure() -> None:
    bench = shops("a", "b")
    opened = OperationPlanned(
        operation_id="op-1",
        target_id="memory://local/pod",
        planned=attrs.evolve(
            update_of(bench, "a"),
            changes=(*update_of(bench, "a").changes, *update_of(bench, "b").changes),
        ),
        settings=OperationSettings(),
        steps=Steps(),
    )
    bad = tuple(change.new for change in opened.changes)
    put_in(bench.store, opened, bad, reason="it exited", blame=Blame.RELEASE, now=bench.clock.now())
    assert [item.is_shared for item in bench.updater.rollbacks.quarantined()] == [False, False]


def test_only_what_is_in_quarantine_can_be_allowed_again() -> None:
    bench = shops("a", "b")
    fail(bench, "a")
    with pytest.raises(RollbackError, match="not in quarantine"):
        bench.updater.rollbacks.allow_again(IMAGE, digest_of(bench), by="ada")


@pytest.mark.parametrize(
    ("version", "repository"),
    [
        (ImageReference.parse("nginx:1.27"), "docker.io/library/nginx"),
        (ChartReference.parse("oci://charts.example/team/web@1.2.3"), "oci://charts.example/team/web"),
        (ChartReference.parse("web@1.2.3"), None),
    ],
)
def test_a_repository_is_known_by_its_full_name_or_not_at_all(version: Any, repository: str | None) -> None:
    assert repository_of(version) == repository
