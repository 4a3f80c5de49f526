"""A health check of your own: an object that measures once, and a self-test that proves that it can fail."""

from safeupdater import HealthCheckFactory, MemoryBackend, MemoryWorld, Policy, Updater
from safeupdater.domain.health import Sample, SampleStatus
from safeupdater.errors import BackendError
from safeupdater.protocols import ProbeTarget
from safeupdater.testing.clock import FakeClock


class QueueDepth:
    """Asks the application how many jobs wait, with a command inside its container."""

    def __init__(self, *, most: int = 100) -> None:
        self.most = most

    def check(self, target: ProbeTarget, timeout_s: float) -> Sample:
        """Good while few jobs wait. That the runtime does not answer is no fault of the application."""
        try:
            answer = target.execute(["/app/queue", "--depth"], timeout_s)
        except BackendError as error:
            return Sample(SampleStatus.VOID, detail=error.code)
        depth = int(answer.output) if answer.output.isdigit() else 0
        is_good = answer.exit_code == 0 and depth <= self.most
        return Sample(SampleStatus.OK if is_good else SampleStatus.FAILED, detail=f"{depth} jobs wait")

    def self_test(self, timeout_s: float) -> Sample:
        """What nothing listens to has to fail, else the check could not tell good from bad."""
        return Sample(SampleStatus.FAILED, detail="no container, no queue")


clock = FakeClock()
world = MemoryWorld(clock, host="prod-1")
world.run("worker", "example/worker:1.0.0")
world.publish("example/worker:1.0.1")

policy = Policy.from_dict({"health": {"window": "60s", "checks": [{"type": "queue", "most": 20}]}})
with Updater(
    backends=[MemoryBackend(world)],
    tags=world,
    policy=policy,
    clock=clock,
    checks=HealthCheckFactory(types={"queue": QueueDepth}),
) as updater:
    updater.scan()
    for result in updater.apply():
        print(result.target_id, result.outcome, "after", result.tally.ok, "good samples")

# Output:
# memory://prod-1/worker succeeded after 7 good samples
