"""Embed it in a tool of yours: one function that keeps a host up to date, and says what a person must know.

In here the host is a world in memory, so that the script runs anywhere. On a real one pass
``DockerBackend()`` and ``open_store("sqlite:////var/lib/mytool/state.db")``, and leave out tags and clock.
"""

from collections.abc import Iterator

from safeupdater import MemoryBackend, MemoryWorld, Outcome, Policy, Updater
from safeupdater.backends.memory import Behaviour
from safeupdater.testing.clock import FakeClock


def keep_up_to_date(updater: Updater) -> Iterator[str]:
    """Recovers, scans, plans and applies; yields a line for each thing that happened or waits."""
    for recovered in updater.recover():
        yield f"{recovered.target_id}: taken up again, {recovered.outcome}"
    for problem in updater.scan().problems:
        yield f"not everything was seen: {problem}"
    plan = updater.plan()
    for result in updater.apply(plan):
        steps = ", ".join(map(str, result.changes))
        why = "" if result.outcome is Outcome.SUCCEEDED else f": {result.message}"
        yield f"{result.target_id}: {steps}, {result.outcome}{why}"
    for update in plan.waiting:
        yield f"{update.target_id}: waits for a person: {update.decision.reason}"


clock = FakeClock()
world = MemoryWorld(clock, host="prod-1")
for name in ("shop", "search", "ledger"):
    world.run(name, f"example/{name}:1.4.2")
world.publish("example/shop:1.4.3")
world.publish("example/search:1.4.3", Behaviour(exits_after_s=20.0))
world.publish("example/ledger:2.0.0")

with Updater(backends=[MemoryBackend(world)], tags=world, policy=Policy.default(), clock=clock) as updater:
    for line in keep_up_to_date(updater):
        print(line)

# Output:
# memory://prod-1/search: 1.4.2 → 1.4.3, rolled_back: search is exited
# memory://prod-1/shop: 1.4.2 → 1.4.3, succeeded
# memory://prod-1/ledger: waits for a person: Major update needs manual approval
