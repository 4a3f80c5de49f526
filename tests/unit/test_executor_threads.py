"""Updates side by side on threads, on the machine's own clock: none waits for another's long step."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from safeupdater.backends.memory import MemoryBackend, MemoryWorld
from safeupdater.config import Policy
from safeupdater.domain.operation import Finished, Outcome, Phase, StepOutcome
from safeupdater.stores.clock import SystemClock
from safeupdater.stores.open import open_store
from safeupdater.update.executor import Progressed
from safeupdater.update.updater import Updater

PATIENCE_S = 20.0
POLICY = {
    "version": 1,
    "semver_gates": {"minor": "auto"},
    "max_concurrent": 5,
    "health": {"window": "0.4s", "interval": "0.1s", "ready_timeout": "5s"},
}


class Slow(MemoryBackend):
    """Pulls ``slow`` only when somebody lets it."""

    def __init__(self, world: MemoryWorld) -> None:
        super().__init__(world)
        self.pulling, self.go = threading.Event(), threading.Event()
        self.was_let = False

    def perform(self, operation: Any, phase: Phase, step: str, report: Any) -> StepOutcome:
        if step == "pull" and operation.target_id.endswith("/slow"):
            self.pulling.set()
            self.was_let = self.go.wait(PATIENCE_S)
        return super().perform(operation, phase, step, report)


class Scene:
    """Two containers with an update each, and an updater with threads."""

    def __init__(self, store_url: str = "memory:", **options: Any) -> None:
        clock = SystemClock()
        self.world = MemoryWorld(clock)
        self.backend = Slow(self.world)
        self.store = open_store(store_url, clock)
        for name in ("slow", "quick"):
            self.world.run(name, f"{name}:1.0.0")
            self.world.publish(f"{name}:1.1.0")
        self.updater = Updater(
            backends=[self.backend],
            policy=Policy.from_dict(POLICY),
            store=self.store,
            tags=self.world,
            **options,
        )
        self.updater.scan()
        self.plan = self.updater.plan()


@pytest.mark.parametrize("store_url", ["memory:", "json:{path}", "sqlite:///{path}/state.db"])
def test_a_long_step_of_one_does_not_keep_the_health_window_of_another_waiting(
    store_url: str, tmp_path: Path
) -> None:
    class LetsGo:
        def notify(self, happening: Any) -> None:
            event = getattr(happening, "event", None)
            if isinstance(event, Finished) and happening.target_id.endswith("/quick"):
                scene.backend.go.set()

    scene = Scene(store_url.format(path=tmp_path), observers=[LetsGo()])

    results = {result.target_id.rpartition("/")[2]: result for result in scene.updater.apply(scene.plan)}

    assert scene.backend.was_let, "the quick one had to wait for the slow one"
    assert {result.outcome for result in results.values()} == {Outcome.SUCCEEDED}, results
    assert results["quick"].tally.ok >= 3


def test_progress_is_told_by_one_thread_at_a_time() -> None:
    inside, crowded = threading.Semaphore(1), []

    def progress(progressed: Progressed) -> None:
        if not inside.acquire(blocking=False):
            crowded.append(progressed)
            return
        inside.release()

    scene = Scene(progress=progress)
    scene.backend.go.set()

    scene.updater.apply(scene.plan)

    assert crowded == []


def test_stop_drains_every_thread_and_what_is_open_can_be_gone_on_with() -> None:
    scene = Scene()
    stopper = threading.Thread(
        target=lambda: (scene.backend.pulling.wait(PATIENCE_S), _stop_and_let_go(scene))
    )
    stopper.start()

    results = scene.updater.apply(scene.plan)
    stopper.join()

    outcomes = {result.target_id.rpartition("/")[2]: result.outcome for result in results}
    assert outcomes["slow"] is Outcome.INTERRUPTED
    again = Updater(
        backends=[scene.backend], policy=Policy.from_dict(POLICY), store=scene.store, tags=scene.world
    )
    again.recover()
    assert scene.store.unfinished() == ()
    assert {item.running for item in scene.world.containers.values()} == {True}


def _stop_and_let_go(scene: Scene) -> None:
    scene.updater.stop()
    scene.backend.go.set()


def test_an_interrupt_gives_up_waiting_and_leaves_an_executor_that_works() -> None:
    scene = Scene()
    executor = scene.updater.executor
    review, asked = executor._ports.review, []

    def interrupted(*arguments: Any) -> Any:
        asked.append(arguments)
        if len(asked) == 2:
            scene.backend.pulling.wait(PATIENCE_S)
            scene.backend.go.set()
            raise KeyboardInterrupt
        return review(*arguments)

    executor._ports.review = interrupted
    updates = sorted(scene.plan.updates, key=lambda update: update.target_id, reverse=True)

    with pytest.raises(KeyboardInterrupt):
        executor.run(updates)

    (opened,) = scene.store.unfinished()
    executor.run([opened.operation_id])
    assert scene.store.unfinished() == ()
    assert executor.run([updates[1]])[0].outcome is Outcome.SUCCEEDED
