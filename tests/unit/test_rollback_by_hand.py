"""Going back by hand: the version that was left does not come again by itself."""

from __future__ import annotations

from typing import Any

import pytest

from safeupdater import MemoryBackend, MemoryWorld, Outcome, Policy, Updater
from safeupdater.backends.memory import CRASHES
from safeupdater.domain.health import SampleStatus
from safeupdater.domain.operation import StepOutcome, StepStatus
from safeupdater.testing.clock import FakeClock
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
