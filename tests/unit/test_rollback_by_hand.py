"""Going back by hand: the version that was left does not come again by itself."""

from __future__ import annotations

from typing import Any

import pytest

from safeupdater import MemoryBackend, MemoryWorld, Outcome, Policy, Updater
from safeupdater.backends.memory import CRASHES
from safeupdater.domain.health import SampleStatus
from safeupdater.domain.operation import Quarantine, StepOutcome, StepStatus
from safeupdater.errors import RollbackError
from safeupdater.testing.clock import FakeClock
from safeupdater.update.retention import snapshots
from tests.support.engine import WEB, Bench, FakeCheck, FakeChecks, policy_with


class ExecHooks:
    """Runs hooks as ``exec`` does: only where the container that is left runs."""

    def __init__(self) -> None:
        self.bench = Bench()
        self.ran: list[str] = []

    def run(self, hook: Any, operation: Any, target: Any) -> StepOutcome:
        self.ran.append(hook.name)
        if self.bench.running:
            return StepOutcome()
        return StepOutcome(StepStatus.REFUSED, "hook_failed", "the container is not running")


_HOOKS = [
    {"name": "dump", "point": "before_switch", "command": ["dump"]},
    {"name": "tell", "point": "after_commit", "command": ["tell"]},
]


def test_a_version_that_somebody_left_by_hand_is_not_applied_again_until_allowed() -> None:
    clock = FakeClock()
    world = MemoryWorld(clock)
    world.run("shop", "example/shop:1.4.0")
    digest = world.publish("example/shop:1.4.1")
    updater = Updater(backends=[MemoryBackend(world)], tags=world, policy=Policy.default(), clock=clock)
    updater.scan()
    (applied,) = updater.apply()
    assert applied.outcome is Outcome.SUCCEEDED

    back = updater.rollback("memory://local/shop", by="alice")
    assert back.outcome is Outcome.SUCCEEDED
    assert world.containers["shop"].image.tag == "1.4.0"

    updater.scan()
    assert updater.apply() == ()
    (entry,) = updater.rollbacks.quarantined()
    assert (entry.version, entry.digest) == ("1.4.1", digest)

    updater.rollbacks.allow_again("memory://local/shop", digest, by="alice")
    (again,) = updater.apply()
    assert again.outcome is Outcome.SUCCEEDED


@pytest.mark.parametrize("exit_code", [0, 1], ids=["stopped", "crashed"])
def test_a_version_that_does_not_even_run_can_be_left_by_hand(exit_code: int) -> None:
    bench = Bench()
    assert bench.run(bench.plan()).succeeded
    container = bench.world.containers["web"]
    container.running, container.exit_code = False, exit_code
    assert bench.updater.rollback(WEB, by="ada").succeeded
    assert bench.running == {"web": "1.0.0"}


def test_a_version_that_fails_its_probes_can_be_left_by_hand() -> None:
    bench = Bench(policy_with(health={"checks": [{"type": "http", "port": 80}], "baseline": "5s"}))
    check = FakeCheck()
    bench.updater = bench.process(checks=FakeChecks(check))
    assert bench.run(bench.plan()).succeeded
    check.answer = lambda: SampleStatus.OK if bench.running == {"web": "1.0.0"} else SampleStatus.FAILED
    assert bench.updater.rollback(WEB, by="ada").succeeded


def test_what_did_not_run_is_left_so_when_the_version_before_is_bad_too() -> None:
    bench = Bench()
    assert bench.run(bench.plan()).succeeded
    container = bench.world.containers["web"]
    container.running, container.exit_code = False, 1
    bench.world.behaviours[bench.world.tags["docker.io/library/web"]["1.0.0"]] = CRASHES
    assert bench.updater.rollback(WEB, by="ada").outcome is Outcome.ROLLED_BACK
    assert bench.running == {}
    assert bench.world.containers["web"].id == container.id


def test_no_hook_stands_in_the_way_back_from_a_version_that_crashed() -> None:
    hooks = ExecHooks()
    bench = hooks.bench = Bench(policy_with(hooks=_HOOKS), hooks=hooks)
    assert bench.run(bench.plan()).succeeded
    assert hooks.ran == ["dump", "tell"]
    container = bench.world.containers["web"]
    container.running, container.exit_code = False, 1

    assert bench.updater.rollback(WEB, by="ada").succeeded
    assert bench.running == {"web": "1.0.0"}
    assert hooks.ran == ["dump", "tell"], "neither hook ran on the way back"


def two_updates(**rollback: Any) -> Bench:
    """A host that went from 1.0.0 by way of 1.1.0 to 1.2.0."""
    bench = Bench(policy_with(rollback={"keep_previous": 5, **rollback}))
    for version in ("1.1.0", "1.2.0"):
        assert bench.run(bench.plan(version)).succeeded
        bench.clock.advance(60.0)
    return bench


def test_going_back_twice_does_not_bring_back_what_was_left() -> None:
    bench = Bench()
    assert bench.run(bench.plan()).succeeded
    assert bench.updater.rollback(WEB, by="ada").succeeded
    bench.updater.scan()
    with pytest.raises(RollbackError, match=r"1\.1\.0 was left by hand; 1\.0\.0 runs already") as raised:
        bench.updater.rollback(WEB, by="ada")
    assert raised.value.code == "no_snapshot"
    assert bench.running == {"web": "1.0.0"}


def test_going_back_again_goes_one_version_further() -> None:
    bench = two_updates()
    for version in ("1.1.0", "1.0.0"):
        assert bench.updater.rollback(WEB, by="ada").succeeded
        assert bench.running == {"web": version}
        bench.updater.rollbacks.collect()
    assert {entry.version for entry in bench.updater.rollbacks.quarantined()} == {"1.2.0", "1.1.0"}


def test_what_is_in_quarantine_is_passed_over_unless_it_is_named() -> None:
    bench = two_updates()
    bad = bench.world.tags["docker.io/library/web"]["1.1.0"]
    bench.store.put("quarantine", f"{WEB}#{bad}", quarantine_of(bad, bench))
    assert bench.updater.rollback(WEB, by="ada").succeeded
    assert bench.running == {"web": "1.0.0"}
    assert {entry.version for entry in bench.updater.rollbacks.quarantined()} == {"1.1.0", "1.2.0"}

    again = two_updates()
    again.store.put("quarantine", f"{WEB}#{bad}", quarantine_of(bad, again))
    assert again.updater.rollback(WEB, by="ada", to="1.1.0").succeeded
    assert again.running == {"web": "1.1.0"}


@pytest.mark.parametrize("by_digest", [False, True])
def test_an_earlier_version_can_be_named(by_digest: bool) -> None:
    bench = two_updates()
    digest = bench.world.tags["docker.io/library/web"]["1.0.0"]
    assert bench.updater.rollback(WEB, by="ada", to=digest if by_digest else "1.0.0").succeeded
    assert bench.running == {"web": "1.0.0"}
    (left,) = bench.updater.rollbacks.quarantined()
    assert left.version == "1.2.0", "what ran is what was left"
    with pytest.raises(RollbackError, match=r"is not 0\.9"):
        bench.updater.rollback(WEB, by="ada", to="0.9")


def quarantine_of(digest: str, bench: Bench) -> Quarantine:
    return Quarantine(
        asset_id=WEB, digest=digest, version="1.1.0", operation_id="x", reason="bad", since=bench.clock.now()
    )


def test_ways_back_and_bad_versions_take_no_place_among_the_previous_ones() -> None:
    bench = two_updates(keep_previous=1)
    bad = bench.world.tags["docker.io/library/web"]["1.1.0"]
    bench.store.put("quarantine", f"{WEB}#{bad}", quarantine_of(bad, bench))
    bench.updater.rollbacks.collect()
    assert bench.updater.rollback(WEB, by="ada").succeeded
    assert bench.running == {"web": "1.0.0"}
    bench.updater.rollbacks.collect()
    returns = [item for item in snapshots(bench.store) if "1.2.0" in str(item.data["image"])]
    assert returns == [], "the snapshot of a way back is kept for nobody"
