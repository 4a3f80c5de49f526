"""Going back by hand: the version that was left does not come again by itself."""

from __future__ import annotations

from safeupdater import MemoryBackend, MemoryWorld, Outcome, Policy, Updater
from safeupdater.testing.clock import FakeClock


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
