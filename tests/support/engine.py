"""A whole updater over a world in memory, for tests of the engine: fake time, one policy, every port open."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import attrs

from safeupdater.backends.memory import CRASHES, GOOD, Behaviour, MemoryBackend, MemoryWorld
from safeupdater.config import Policy
from safeupdater.domain.health import Sample, SampleStatus
from safeupdater.domain.notice import AlertRaised
from safeupdater.domain.operation import JournalEntry, Outcome
from safeupdater.domain.plan import Plan, PlannedUpdate
from safeupdater.errors import StoreError
from safeupdater.stores.memory import MemoryStore
from safeupdater.testing.clock import FakeClock
from safeupdater.update.machine import replay
from safeupdater.update.result import Done, OperationResult
from safeupdater.update.updater import Updater

POLICY: dict[str, Any] = {
    "semver_gates": {"patch": "auto", "minor": "auto", "major": "manual"},
    "health": {"window": "30s", "interval": "10s", "ready_timeout": "60s"},
    "rollback": {"cooldown": "1h", "max_per_day": 2},
}
WEB = "memory://local/web"


def policy_with(**changes: Any) -> dict[str, Any]:
    """The usual policy with some keys replaced; mappings are merged one level deep."""
    merged = dict(POLICY)
    for key, value in changes.items():
        old = merged.get(key)
        merged[key] = {**old, **value} if isinstance(old, dict) and isinstance(value, dict) else value
    return merged


HOLD = policy_with(rollback={"on_inconclusive": "hold"}, health={"checks": [{"type": "http", "port": 80}]})


class Recorder:
    """An observer that keeps what it was told, and whether the store held it already."""

    def __init__(self, store: Any = None) -> None:
        self.store = store
        self.told: list[Any] = []
        self.early: list[Any] = []

    def notify(self, happening: Any) -> None:
        self.told.append(happening)
        if isinstance(happening, JournalEntry) and self.store is not None:
            durable = [entry.event for entry in self.store.load(happening.operation_id)]
            if durable[happening.version - 1 : happening.version] != [happening.event]:
                self.early.append(happening)

    @property
    def events(self) -> list[Any]:
        return [item.event for item in self.told if isinstance(item, JournalEntry)]

    @property
    def alerts(self) -> list[AlertRaised]:
        return [item for item in self.told if isinstance(item, AlertRaised)]


class FakeCheck:
    """A health check that answers as told: ``answer`` for looks, ``tested`` for its self-test."""

    def __init__(
        self,
        answer: Any = SampleStatus.OK,
        *,
        tested: Any = SampleStatus.FAILED,
    ) -> None:
        self.answer = answer
        self.tested = tested
        self.calls = 0

    def check(self, target: Any, timeout_s: float) -> Any:
        self.calls += 1
        return self._given(self.answer)

    def self_test(self, timeout_s: float) -> Any:
        return self._given(self.tested)

    def _given(self, answer: Any) -> Any:
        answer = answer() if callable(answer) else answer
        if isinstance(answer, BaseException):
            raise answer
        return Sample(answer, 0.0, "as told") if isinstance(answer, SampleStatus) else answer


class FakeChecks:
    """Makes the one check, whatever is asked for."""

    def __init__(self, check: Any) -> None:
        self.check = check

    def create(self, type: str, **options: object) -> Any:
        if isinstance(self.check, Exception):
            raise self.check
        return self.check


class BrokenStore:
    """A store that fails where ``breaks`` says so, by method name and arguments."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner
        self.breaks: Callable[[str, tuple[Any, ...]], bool] = lambda name, arguments: False
        self.error: Exception = StoreError("the store does not answer", transient=True)

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.inner, name)

        def call(*arguments: Any, **keywords: Any) -> Any:
            if self.breaks(name, arguments):
                raise self.error
            return method(*arguments, **keywords)

        return call


class Bench:
    """One host with ``web`` on release 1.0.0, and processes that look after it."""

    def __init__(self, policy: Mapping[str, Any] | None = None, **options: Any) -> None:
        self.clock = FakeClock()
        self.world = MemoryWorld(self.clock)
        self.backend: Any = MemoryBackend(self.world)
        self.dead: set[str] = set()
        self.store: Any = MemoryStore(self.clock, is_dead=lambda holder: holder in self.dead)
        self.policy = Policy.from_dict(dict(POLICY if policy is None else policy))
        self.recorder = Recorder(self.store)
        self.options = options
        self._names = itertools.count(1)
        self.world.run("web", "web:1.0.0", password="s3cret")
        self.updater = self.process()

    def process(self, **options: Any) -> Updater:
        """Another updater process over the same store and world."""
        made = Updater(
            **{
                "backends": [self.backend],
                "policy": self.policy,
                "store": self.store,
                "tags": self.world,
                "clock": self.clock,
                "checks": FakeChecks(FakeCheck()),
                "observers": [self.recorder],
                **self.options,
                **options,
            }
        )
        made.executor._ports.holder = f"p{next(self._names)}"
        return made

    def kill(self, updater: Updater) -> None:
        """The process of an updater is gone for certain."""
        self.dead.add(updater.executor._ports.holder)

    def publish(self, version: str = "1.1.0", behaviour: Behaviour = GOOD, name: str = "web") -> str:
        """A new release in the registry; its digest."""
        return self.world.publish(f"{name}:{version}", behaviour)

    def plan(self, version: str = "1.1.0", behaviour: Behaviour = GOOD) -> PlannedUpdate:
        """The planned update of ``web`` to a newly published release."""
        self.publish(version, behaviour)
        return self.plan_of("web", version)

    def plan_of(self, name: str, version: str) -> PlannedUpdate:
        """The planned update of a container to a version: the one chosen, else the alternative."""
        if version not in self.world.tags[f"docker.io/library/{name}"]:
            self.world.publish(f"{name}:{version}")
        self.updater.scan()
        for update in self.updater.plan().updates:
            if update.target_id.endswith(f"/{name}"):
                return _to(update, version)
        raise AssertionError(f"no update of {name} is on offer")

    def run(self, *updates: PlannedUpdate | str, **arguments: Any) -> OperationResult:
        """Carries out one update, and gives what became of it."""
        return self.updater.executor.run(updates, **arguments)[0]

    def apply(self) -> tuple[OperationResult, ...]:
        """A scan, a plan, and whatever it approves."""
        self.updater.scan()
        return self.updater.apply()

    def open(self, version: str = "1.1.0", behaviour: Behaviour = GOOD) -> str:
        """Opens an update of ``web`` without carrying it out; its operation id."""
        opened = self.updater.executor.open(self.plan(version, behaviour))
        assert isinstance(opened, str), opened
        return opened

    def steps_until(self, operation_id: str, state: str, updater: Updater | None = None) -> None:
        """Goes on with an operation in single steps until the machine is in a state."""
        executor = (updater or self.updater).executor
        flight = executor._flights[operation_id]
        for _ in range(10_000):
            if type(flight.state).__name__ == state:
                flight.save(self.store, self.clock, executor._notifier)
                return
            answer = executor._step(flight)
            assert not isinstance(answer, Done), answer
            if answer is not None:
                self.clock.advance(answer.delay_s)
        raise AssertionError(f"never {state}: {type(flight.state).__name__}")

    def state(self, operation_id: str) -> str:
        """The name of the state that the journal leads to."""
        return type(replay(entry.event for entry in self.store.load(operation_id))).__name__

    @property
    def running(self) -> dict[str, str]:
        """The version that runs, by container name."""
        return {name: str(item.image.tag) for name, item in self.world.containers.items() if item.running}


def _to(update: PlannedUpdate, version: str) -> PlannedUpdate:
    if update.changes[0].new.version_text == version:
        return update
    option = next(item for item in update.alternatives if item.change.new.version_text == version)
    return attrs.evolve(update, changes=(option.change,), decision=option.decision, alternatives=())


def only(plan: Plan) -> PlannedUpdate:
    """The one update of a plan."""
    (update,) = plan.updates
    return update


def outcomes(results: Iterable[OperationResult]) -> list[Outcome]:
    """What became of some updates."""
    return [result.outcome for result in results]


def held() -> Bench:
    """An update of which the window said neither yes nor no, and whose policy is to hold it."""
    bench = Bench(HOLD)
    check = FakeCheck()
    bench.updater = bench.process(checks=FakeChecks(check))
    operation_id = bench.open()
    bench.steps_until(operation_id, "Watching")
    check.answer = ValueError("no measurement")
    assert bench.run(operation_id).outcome is Outcome.HELD
    assert bench.state(operation_id) == "Held"
    return bench


def stuck() -> Bench:
    """An update whose new version is bad and whose old one cannot be started any more."""
    bench = Bench()
    operation_id = bench.open(behaviour=CRASHES)
    bench.world.behaviours[bench.world.tags["docker.io/library/web"]["1.0.0"]] = Behaviour(startable=False)
    assert bench.run(operation_id).outcome is Outcome.ROLLBACK_FAILED
    assert bench.state(operation_id) == "RollbackFailed"
    return bench
