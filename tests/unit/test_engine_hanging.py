"""Foreign code that does not come back: whatever hangs holds up itself, and nothing else."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from types import SimpleNamespace
from typing import Any

import attrs
import pytest

from safeupdater.backends.memory import MemoryBackend, MemoryWorld
from safeupdater.config import Policy
from safeupdater.deadlines import Patience, call_with_deadline
from safeupdater.domain.artifact import ImageReference, ResolvedImage
from safeupdater.domain.candidate import Candidate
from safeupdater.domain.health import Sample, SampleStatus
from safeupdater.domain.notice import AlertRaised, ScanFinished
from safeupdater.domain.operation import Outcome, Phase, StepStatus
from safeupdater.errors import BackendError, PluginError, RegistryError, ScanError
from safeupdater.stores.clock import SystemClock
from safeupdater.stores.memory import MemoryStore
from safeupdater.update import guarded as guards
from safeupdater.update.guarded import (
    GuardedAdmission,
    GuardedBackend,
    GuardedFacts,
    GuardedHooks,
    GuardedTags,
)
from safeupdater.update.listening import Listener
from safeupdater.update.notifier import Notifier
from safeupdater.update.updater import Updater
from tests.support.engine import FakeChecks, Recorder

SOON_S = 0.05
FAST: dict[str, Any] = {
    "semver_gates": {"minor": "auto"},
    "max_concurrent": 10,
    "health": {"window": "0.3s", "interval": "0.05s", "ready_timeout": "5s"},
}


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """What hanging code waits for; opened in the end, so that no thread outlives its test."""
    event = threading.Event()
    yield event
    event.set()


def eventually(is_so: Callable[[], bool]) -> bool:
    until_s = time.monotonic() + 10
    while not is_so() and time.monotonic() < until_s:
        time.sleep(0.005)
    return is_so()


# --- deadlines ----------------------------------------------------------------------------------------------


def test_what_comes_back_in_time_is_as_if_it_was_called() -> None:
    assert call_with_deadline(lambda: 3, 5.0, name="x") == 3
    with pytest.raises(KeyError):
        call_with_deadline(lambda: {}["nothing"], 5.0, name="x")


def test_what_hangs_costs_one_thread_and_is_asked_again_when_it_is_back(gate: threading.Event) -> None:
    patience = Patience("it")
    asked: list[str] = []

    def hang() -> bool:
        asked.append(threading.current_thread().name)
        return gate.wait(10)

    with pytest.raises(TimeoutError, match="did not answer within"):
        patience.ask(hang, SOON_S)
    for _ in range(3):
        with pytest.raises(TimeoutError, match="still hangs"):
            patience.ask(hang, SOON_S)
    assert patience.ask(lambda: "free", SOON_S, key="another") == "free"
    assert len(asked) == 1
    gate.set()
    assert eventually(lambda: not patience._hanging)
    assert patience.ask(hang, 5.0) is True


def test_a_timeout_of_its_own_is_not_taken_for_ours() -> None:
    patience = Patience("it")

    def raising() -> None:
        raise TimeoutError("its own")

    for _ in range(2):
        with pytest.raises(TimeoutError, match="its own"):
            patience.ask(raising, 5.0)


# --- each port ----------------------------------------------------------------------------------------------


class Hanging:
    """Anything that hangs in every method."""

    name, host, can_resume_switch, provides = "hanging", "local", False, frozenset({"owner"})

    def __init__(self, gate: threading.Event) -> None:
        self._gate = gate

    def __getattr__(self, name: str) -> Any:
        return lambda *_, **__: self._gate.wait(60)


@attrs.frozen
class Operation:
    """As much of an operation as a guard looks at."""

    operation_id: str = "op-1"
    deadline_s: float = SOON_S


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SCAN_S", "LISTING_S", "QUESTION_S", "FACTS_S", "ADDRESS_S"):
        monkeypatch.setattr(guards, name, SOON_S)
    monkeypatch.setattr(guards, "_MARGIN_S", 0.0)


SLOW, FAST_ONE = (ImageReference.parse(f"{place}.example/app:1") for place in ("slow", "fast"))


def about(name: str) -> Any:
    """As much of a candidate as a guard looks at."""
    return SimpleNamespace(asset=SimpleNamespace(id=f"memory://local/{name}"))


def planned_for(name: str) -> Any:
    """As much of a planned update as a guard looks at."""
    return SimpleNamespace(target_id=f"memory://local/{name}")


class HangsAt:
    """Every port at once; hangs where it is asked about what is slow, or the thing named web."""

    provides = frozenset({"owner"})

    def __init__(self, gate: threading.Event) -> None:
        self._gate = gate

    def _answer(self, slow: bool, answer: Any) -> Any:
        if slow:
            self._gate.wait(60)
        return answer

    def get_available_tags(self, image: ImageReference) -> Any:
        return self._answer(image == SLOW, ("1",))

    def resolve(self, image: ImageReference, platform: str | None = None) -> Any:
        return self._answer(image == SLOW, ResolvedImage(reference=image))

    def lookup_many(self, images: Iterable[ImageReference]) -> Any:
        return {image.name: self.get_available_tags(image) for image in images}

    def resolve_many(self, images: Iterable[ImageReference], platform: str | None = None) -> Any:
        return {str(image): self.resolve(image) for image in images}

    def facts(self, candidate: Any) -> Any:
        return self._answer(candidate.asset.id.endswith("/web"), {"owner": ""})

    def admit(self, planned: Any, now: Any) -> Any:
        return self._answer(planned.target_id.endswith("/web"), "admitted")


@pytest.mark.usefixtures("impatient")
def test_a_registry_that_hangs_leaves_all_others_as_they_are(gate: threading.Event) -> None:
    port: Any = HangsAt(gate)
    tags = GuardedTags(port)
    for ask in (tags.get_available_tags, tags.resolve):
        with pytest.raises(RegistryError, match="did not answer"):
            ask(SLOW)
        assert ask(FAST_ONE)
    listed = tags.lookup_many([SLOW, FAST_ONE])
    assert isinstance(listed[SLOW.name], RegistryError)
    assert listed[FAST_ONE.name] == ("1",)
    resolved = tags.resolve_many([SLOW, FAST_ONE])
    assert isinstance(resolved[str(SLOW)], RegistryError)
    assert isinstance(resolved[str(FAST_ONE)], ResolvedImage)


@pytest.mark.usefixtures("impatient")
def test_facts_and_admission_hang_for_the_one_that_they_were_asked_of(gate: threading.Event) -> None:
    port: Any = HangsAt(gate)
    now: Any = None
    facts, tags, admission = GuardedFacts(port), GuardedTags(port), GuardedAdmission(port)
    for hangs in (
        lambda: facts.facts(about("web")),
        lambda: tags.facts(about("web")),
        lambda: admission.admit(planned_for("web"), now),
    ):
        with pytest.raises((PluginError, RegistryError), match="did not answer"):
            hangs()
        with pytest.raises((PluginError, RegistryError), match="still hangs"):
            hangs()
    assert facts.facts(about("api")) == tags.facts(about("api")) == {"owner": ""}
    assert admission.admit(planned_for("api"), now) == "admitted"


def test_what_hangs_costs_so_many_threads_and_no_more(gate: threading.Event) -> None:
    patience = Patience("it", most=3)
    for number in range(3):
        with pytest.raises(TimeoutError, match="did not answer"):
            patience.ask(lambda: gate.wait(60), SOON_S, key=str(number))
    with pytest.raises(TimeoutError, match="3 calls hang"):
        patience.ask(lambda: True, SOON_S, key="one more")
    gate.set()
    assert eventually(lambda: not patience._hanging)
    assert patience.ask(lambda: True, 5.0, key="one more")


@pytest.mark.parametrize("method", ["preflight", "capture", "observe", "probe_target"])
def test_a_backend_that_hangs_is_an_unknown_outcome(gate: threading.Event, method: str) -> None:
    backend = GuardedBackend(Hanging(gate))
    with pytest.raises(BackendError) as raised:
        getattr(backend, method)(Operation())
    assert (raised.value.code, raised.value.transient) == ("backend_hangs", True)


@pytest.mark.usefixtures("impatient")
def test_every_other_port_that_hangs_fails_closed(gate: threading.Event) -> None:
    hanging: Any = Hanging(gate)
    image: Any = Operation()
    with pytest.raises(ScanError, match="did not answer"):
        GuardedBackend(hanging).scan()
    with pytest.raises(RegistryError, match="did not answer") as raised:
        GuardedTags(hanging).get_available_tags(SLOW)
    assert raised.value.transient
    with pytest.raises(PluginError):
        GuardedFacts(hanging).facts(about("web"))
    with pytest.raises(PluginError):
        GuardedAdmission(hanging).admit(planned_for("web"), image)
    hook: Any = type("Hook", (), {"name": "dump", "timeout_s": SOON_S})
    outcome = GuardedHooks(hanging).run(hook, image, None)
    assert (outcome.status, outcome.code) == (StepStatus.REFUSED, "hook_timeout")


@pytest.mark.usefixtures("impatient")
def test_a_source_of_tags_that_hangs_makes_every_image_unknown(gate: threading.Event) -> None:
    world = MemoryWorld(SystemClock())
    world.run("web", "web:1.0.0")
    hanging: Any = Hanging(gate)
    updater = updater_over(world, tags=hanging)
    updater.scan()
    plan = updater.plan()
    assert [item.code for item in plan.unknown] == ["registry_hangs"]
    assert plan.updates == ()


# --- a whole updater ----------------------------------------------------------------------------------------


def updater_over(world: MemoryWorld, **options: Any) -> Updater:
    clock = SystemClock()
    return Updater(
        **{
            "backends": [MemoryBackend(world)], "policy": Policy.from_dict(FAST), "tags": world,
            "store": MemoryStore(clock), "clock": clock, **options,
        }
    )  # fmt: skip


class HangsFor(MemoryBackend):
    """A plugin's backend that hangs in the steps of one target."""

    keeps_deadlines = False

    def __init__(self, world: MemoryWorld, target: str, gate: threading.Event) -> None:
        super().__init__(world)
        self._target = target
        self._gate = gate

    def perform(self, operation: Any, *arguments: Any) -> Any:
        if operation.target_id.endswith(self._target):
            self._gate.wait(30)
            raise BackendError("too late")
        return super().perform(operation, *arguments)


def test_a_backend_that_hangs_on_one_target_updates_the_others_and_gives_that_one_up(
    gate: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    from safeupdater.update import acting, transitions

    monkeypatch.setattr(acting, "STAGING_DEADLINE_S", SOON_S)
    monkeypatch.setattr(transitions, "backoff_s", lambda tries: 0.01)
    world = MemoryWorld(SystemClock())
    for name in ("api", "web"):
        world.run(name, f"{name}:1.0.0")
        world.publish(f"{name}:1.1.0")
    updater = updater_over(world, backends=[HangsFor(world, "web", gate)])
    updater.scan()

    results = {result.target_id.rpartition("/")[2]: result for result in updater.apply()}

    assert results["api"].outcome is Outcome.SUCCEEDED
    assert (results["web"].outcome, results["web"].code) == (Outcome.ABORTED, "backend_hangs")
    assert str(world.containers["web"].image.tag) == "1.0.0"


class HangsWhenProbed(MemoryBackend):
    """A plugin's backend in whose containers no command ever ends."""

    keeps_deadlines = False

    def __init__(self, world: MemoryWorld, gate: threading.Event) -> None:
        super().__init__(world)
        self._gate = gate

    def probe_target(self, operation: Any, *, old: bool = False) -> Any:
        return Hanging(self._gate)


class ExecCheck:
    """Runs a command in the container."""

    def check(self, target: Any, timeout_s: float) -> Any:
        target.execute(("check",), SOON_S)
        raise AssertionError("it hangs")

    def self_test(self, timeout_s: float) -> Any:
        return Sample(SampleStatus.FAILED)


@pytest.mark.usefixtures("impatient")
def test_a_probe_that_hangs_holds_up_neither_steps_nor_looks_nor_another_probe(gate: threading.Event) -> None:
    operation: Any = Operation()
    backend = GuardedBackend(HangsWhenProbed(MemoryWorld(SystemClock()), gate))
    target, old = backend.probe_target(operation), backend.probe_target(operation, old=True)
    for ask in (lambda: target.execute(("a",), SOON_S), lambda: target.address(80)):
        with pytest.raises(BackendError, match="did not answer"):
            ask()
        with pytest.raises(BackendError, match="still hangs"):
            ask()
    with pytest.raises(BackendError, match="did not answer"):
        target.execute(("b",), SOON_S)
    with pytest.raises(BackendError, match="did not answer"):
        old.execute(("a",), SOON_S)
    assert backend._ask_effect(operation, lambda: "done") == "done"
    assert backend._ask_read("observe", operation, lambda: "seen") == "seen"


def test_an_effect_that_hangs_holds_up_effects_of_its_operation_and_no_look(
    gate: threading.Event,
) -> None:
    backend = GuardedBackend(Hanging(gate))
    operation: Any = Operation()
    with pytest.raises(BackendError, match="did not answer"):
        backend.perform(operation, Phase.SWITCHING, "stop", lambda progress: None)
    for effect in (
        lambda: backend.perform(operation, Phase.RESTORING, "start", lambda progress: None),
        lambda: backend.capture(operation),
    ):
        with pytest.raises(BackendError, match="still hangs"):
            effect()
    with pytest.raises(BackendError, match="did not answer"):
        backend.observe(operation)
    with pytest.raises(BackendError, match="did not answer"):
        backend.perform(Operation("op-2"), Phase.SWITCHING, "stop", lambda progress: None)  # type: ignore[arg-type]


@pytest.mark.usefixtures("impatient")
def test_an_update_whose_probe_hangs_goes_back(gate: threading.Event) -> None:
    world = MemoryWorld(SystemClock())
    world.run("web", "web:1.0.0")
    world.publish("web:1.1.0")
    checked = {**FAST, "health": {**FAST["health"], "ready_timeout": "3s", "baseline": "0s",
                                  "checks": [{"type": "http", "port": 1}]}}  # fmt: skip
    updater = updater_over(
        world, policy=Policy.from_dict(checked), backends=[HangsWhenProbed(world, gate)],
        checks=FakeChecks(ExecCheck()),
    )  # fmt: skip
    updater.scan()
    rescue = threading.Timer(15.0, updater.stop)
    rescue.start()

    (result,) = updater.apply()
    rescue.cancel()

    assert result.outcome is Outcome.ROLLED_BACK
    assert {str(item.image.tag) for item in world.containers.values() if item.running} == {"1.0.0"}


class HangingObserver:
    """Hangs from the first thing that it is told."""

    def __init__(self, gate: threading.Event) -> None:
        self._gate = gate
        self.told: list[Any] = []

    def notify(self, happening: Any) -> None:
        self._gate.wait(30)
        self.told.append(happening)


def test_an_observer_that_hangs_delays_an_update_once_and_others_hear_of_it(gate: threading.Event) -> None:
    hanging, recorder = HangingObserver(gate), Recorder()
    notifier = Notifier([hanging, recorder], threads=True, told_s=SOON_S, last_s=10.0)
    scan = ScanFinished(at=SystemClock().now(), seen=0, added=0, updated=0, removed=0)

    began_s = time.monotonic()
    for _ in range(100):
        notifier.tell(scan)
    assert time.monotonic() - began_s < 100 * SOON_S / 2

    assert recorder.told.count(scan) == 100
    assert [alert.code for alert in recorder.alerts] == ["observer_hangs"]
    gate.set()
    notifier.leave()
    assert hanging.told.count(scan) == 100, "it is told what it missed"
    assert [item for item in hanging.told if isinstance(item, AlertRaised)] == recorder.alerts


def test_what_is_kept_for_an_observer_that_hangs_is_bounded(gate: threading.Event) -> None:
    listener = Listener("it", told_s=SOON_S, kept=10)
    for _ in range(100):
        listener.tell(lambda: gate.wait(30) and None)
    assert listener.dropped >= 89
    gate.set()
    listener.finish(10.0)


def test_an_observer_that_tells_something_itself_waits_for_nobody() -> None:
    class Echo:
        told = 0

        def notify(self, happening: Any) -> None:
            Echo.told += 1
            if Echo.told == 1:
                notifier.tell(happening)

    notifier = Notifier([Echo()], threads=True, told_s=30.0)
    began_s = time.monotonic()
    notifier.tell(ScanFinished(at=SystemClock().now(), seen=0, added=0, updated=0, removed=0))
    assert time.monotonic() - began_s < 10
    notifier.leave()
    assert Echo.told == 2


def test_an_updater_on_real_time_tells_observers_in_order_and_before_it_goes_on() -> None:
    world = MemoryWorld(SystemClock())
    world.run("web", "web:1.0.0")
    world.publish("web:1.1.0")
    recorder = Recorder()
    updater = updater_over(world, observers=[recorder])
    recorder.store = updater.store
    updater.scan()
    assert [type(item) for item in recorder.told] == [ScanFinished]
    (result,) = updater.apply()
    assert result.succeeded
    journal = [entry.event for entry in updater.store.load(result.operation_id or "")]
    assert recorder.events == journal
    assert recorder.early == []


@pytest.mark.usefixtures("impatient")
def test_a_source_of_facts_that_hangs_leaves_them_unknown(
    gate: threading.Event,
) -> None:
    world = MemoryWorld(SystemClock())
    world.run("web", "web:1.0.0")
    world.publish("web:1.1.0")

    class Facts:
        provides = frozenset({"published_at"})

        def facts(self, candidate: Candidate) -> Any:
            gate.wait(30)
            return {"published_at": candidate.now}

    policy = Policy.from_dict({**FAST, "minimum_age": {"age": "1d", "basis": "published"}})
    updater = updater_over(world, policy=policy, facts=[Facts()])
    updater.scan()
    (update,) = updater.plan().updates
    assert not update.is_approved
