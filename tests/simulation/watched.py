"""The ports of a simulated updater: the real ones behind their seams, telling the checker what happens."""

from __future__ import annotations

from typing import Any

import attrs

from safeupdater.backends.memory import MemoryBackend
from safeupdater.domain.health import Sample, SampleStatus
from safeupdater.domain.notice import AlertRaised
from safeupdater.domain.operation import DONE, Hook, HookPoint, StepOutcome, StepStatus
from safeupdater.errors import CorruptState
from safeupdater.protocols import OperationContext, ProbeTarget
from safeupdater.update.executor import UpdateExecutor
from tests.simulation.checker import Acting, Checker
from tests.simulation.faults import FaultyStore, Injector


class WatchedBackend(MemoryBackend):
    """The real backend, telling the checker who acts."""

    checker: Checker

    def perform(self, operation: Any, phase: Any, step: str, report: Any) -> Any:
        began = self.checker.points()
        self.checker.acting = Acting(
            operation_id=operation.operation_id, target_id=operation.target_id, epoch=operation.epoch,
            phase=phase, step=step, began=began,
        )  # fmt: skip
        try:
            return super().perform(operation, phase, step, report)
        finally:
            self.checker.acting = None


class WatchedStore(FaultyStore):
    """The store behind its seam, telling the checker of journals and epochs.

    ``wanted`` is the record that is about to be put; an operation in ``frozen`` has a record that is newer
    than this code.
    """

    def __init__(self, inner: Any, injector: Injector, checker: Checker) -> None:
        super().__init__(inner, injector)
        self._checker = checker

    def __getattr__(self, name: str) -> Any:
        method = super().__getattr__(name)
        if name == "append":
            return lambda operation_id, events, **kwargs: self._append(method, operation_id, events, kwargs)
        if name == "put":
            return lambda kind, key, *args, **kwargs: self._put(method, kind, key, args, kwargs)
        if name == "acquire":
            return lambda key, *args: self._acquire(method, key, args)
        if name == "load":
            return lambda operation_id, *args: self._load(method, operation_id, args)
        return method

    def _append(self, method: Any, operation_id: str, events: Any, kwargs: Any) -> Any:
        self._checker.turn = operation_id
        try:
            version = method(operation_id, events, **kwargs)
        except BaseException:
            # What became of it is known only by looking.
            self._checker.reread(operation_id)
            raise
        self._checker.appended(operation_id, kwargs["expected_version"], tuple(events))
        return version

    def _put(self, method: Any, kind: str, key: str, args: Any, kwargs: Any) -> Any:
        if kind == "snapshot":
            self._checker.snapshots.pop(key, None)
        self._checker.wanted = (kind, key)
        return method(kind, key, *args, **kwargs)

    def _acquire(self, method: Any, key: str, args: Any) -> Any:
        lease = method(key, *args)
        if lease is not None:
            self._checker.epochs[key] = max(lease.epoch, self._checker.epochs.get(key, 0))
        return lease

    def _load(self, method: Any, operation_id: str, args: Any) -> Any:
        if operation_id in self._checker.frozen:
            raise CorruptState("it was written by a newer safeupdater", code="newer_state")
        return method(operation_id, *args)


class WatchedExecutor(UpdateExecutor):
    """The real executor, saying whose turn it is."""

    checker: Checker

    def open(self, *args: Any, **kwargs: Any) -> Any:
        self.checker.opening_since = self.checker.points()
        return super().open(*args, **kwargs)

    def advance(self, operation_id: str) -> Any:
        self.checker.turn = operation_id
        return super().advance(operation_id)

    def observe(self, operation_id: str, *, old: bool = False) -> Any:
        self.checker.turn = operation_id
        return super().observe(operation_id, old=old)


# --- foreign code -------------------------------------------------------------------------------------------


@attrs.frozen
class SimulatedCheck:
    """A probe that measures what the world says, through a seam."""

    injector: Injector

    def check(self, target: ProbeTarget, timeout_s: float) -> Sample:
        """Good while the container is ready."""

        def measure() -> Sample:
            is_ready = target.execute(("check",), timeout_s).exit_code == 0
            return Sample(SampleStatus.OK if is_ready else SampleStatus.FAILED, 0.0)

        measured: Sample = self.injector.cross("probe.check", measure)
        return measured

    def self_test(self, timeout_s: float) -> Sample:
        """Fails against a closed port, as it must."""
        tested: Sample = self.injector.cross("probe.self_test", lambda: Sample(SampleStatus.FAILED, 0.0))
        return tested


@attrs.frozen
class SimulatedChecks:
    """Makes the one kind of probe that there is."""

    injector: Injector

    def create(self, type: str, **options: object) -> SimulatedCheck:
        return SimulatedCheck(self.injector)


@attrs.define
class SimulatedHooks:
    """Runs hooks through a seam, and tells the checker; those in ``failing`` never work."""

    injector: Injector
    checker: Checker
    failing: frozenset[str] = frozenset()

    def run(self, hook: Hook, operation: OperationContext, target: ProbeTarget | None) -> StepOutcome:
        def effect() -> StepOutcome:
            self.checker.hook(operation, hook)
            if hook.name in self.failing:
                if hook.point is HookPoint.BEFORE_SWITCH:
                    self.checker.vetoed.add(operation.operation_id)
                return StepOutcome(StepStatus.REFUSED, "hook_failed", "it ended with 1")
            return DONE

        outcome: StepOutcome = self.injector.cross("hook.run", effect)
        return outcome


@attrs.frozen
class Seamed:
    """An observer that is a seam: it may throw, hang, or see the process die."""

    injector: Injector
    only_alerts: bool = False

    def notify(self, happening: object) -> None:
        """Hears of something."""
        if isinstance(happening, AlertRaised) or not self.only_alerts:
            self.injector.cross("observer.notify", lambda: None)
