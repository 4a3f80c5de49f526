"""Random histories: several updaters share a store and a world, and anything may fail at any time.

Each history is drawn from its seed alone, so a violation is replayed by that number.
"""

from __future__ import annotations

import random
from datetime import timedelta
from typing import Any

import attrs

from safeupdater.backends.memory import CRASHES, GOOD, NEVER_READY, Behaviour
from safeupdater.domain.operation import (
    AbortRequested,
    BecameReady,
    Finished,
    OperationSettings,
    Phase,
    Resolution,
    StepIntended,
    VerdictReached,
)
from safeupdater.errors import RollbackError, StoreError
from safeupdater.update.result import Done, OperationResult, WakeAfter
from tests.simulation.faults import DEATHS, MISHAPS, Crash, Fault, faults_at
from tests.simulation.harness import Harness, Process
from tests.simulation.settings import HOLDING, PROBED, SECRET, SETTINGS

BEHAVIOURS = (
    GOOD, GOOD, GOOD, CRASHES, NEVER_READY, Behaviour(ready_after_s=20.0), Behaviour(exits_after_s=15.0),
    Behaviour(startable=False), Behaviour(flaps_every=3), Behaviour(flaps_every=9),
)  # fmt: skip
PEOPLE_AND_MACHINES = (
    *MISHAPS, Fault.EDITED, Fault.EDITED, Fault.ABORT, Fault.LEASE_LOST, Fault.STORE_FULL, Fault.NEWER,
    Fault.CORRUPT,
)  # fmt: skip
_BROKEN = frozenset({"store_broken", "sync_failed", "disk_full"})
STEP_BUDGET = 30_000
"""One rollback that fails takes some 1,600 looks, and several of them may follow each other."""
_ASKING_STEPS = 150
_TARGETS = (1, 1, 1, 2, 2, 3, 5)
_CALLS = 32
"""How many calls to the runtime and appends an update makes until it only watches."""
_SWITCHING_CALLS = (18, 24)
"""Those of them around the moment at which the new version takes the place of the old one."""
_MEDDLERS = (None, None, Fault.ABORT, Fault.EDITED, Fault.LEASE_LOST, *[Fault.RESTART] * 3)
_LATE = (*DEATHS, Fault.ABORT, Fault.ABORT, *[Fault.RESTART] * 4)
_LATEST = (*DEATHS, *[Fault.RESTART] * 4)
_BETWEEN_ROUNDS_S = (600.0, 4000.0, 9000.0, 30_000.0)
_PLAGUES = ((CRASHES,), (GOOD, CRASHES, CRASHES, CRASHES))
_BETWEEN_PLAGUES_S = (600.0, 600.0, 4000.0)
"""Within the hour of the breaker, where nothing else holds up the targets that were spared, and after it."""
_HOOKS_THAT_FAIL = (*[frozenset[str]()] * 8, frozenset({"dump"}), frozenset({"announce"}))


@attrs.define(eq=False)
class _Updater:
    """One updater of a history, its operations and when each wants to go on."""

    process: Process
    wakes: dict[str, float] = attrs.Factory(dict)
    paused_until_s: float = 0.0


@attrs.define(eq=False)
class History:
    """One random history."""

    seed: int
    store: str = "memory"
    random: random.Random = attrs.field(init=False)
    harness: Harness = attrs.field(init=False)
    updaters: list[_Updater] = attrs.Factory(list)
    planned_faults: int = 0
    steps: int = 0
    meddler: Fault | None = None
    rounds: int = 0
    """How often newer releases appear when everything has ended."""
    pauses_s: tuple[float, ...] = _BETWEEN_ROUNDS_S
    """How long after that, one of them each time."""
    releases: int = 1
    blind: bool = False
    """Nothing can be seen of the new version while it is watched, until a verdict is held."""
    late: int = 0
    """How many faults come for certain between a verdict and the end of its operation."""
    hasty: int = 0
    """How many faults come before the updater has noticed that somebody asked it to stop."""
    decisions: int = 0
    """How often a person decides about what waits for one, before the history ends."""
    calls: int = 0
    lone: int = 0
    """At which call to the runtime or append the only fault is; 0: there is no such fault."""

    def __attrs_post_init__(self) -> None:
        self.random = random.Random(self.seed)
        # In some histories a single fault is all that happens, at one of the calls that matter most.
        anywhere, switching = self.random.randint(1, _CALLS), self.random.randint(*_SWITCHING_CALLS)
        self.lone = self.random.choice((0, 0, 0, anywhere, switching))
        counts, releases = ((1,), (GOOD, GOOD, CRASHES)) if self.lone else (_TARGETS, BEHAVIOURS)
        # In some all or most of what is released is bad.
        is_plague = not self.lone and self.random.random() < 0.1
        if is_plague:
            counts, releases = (5,), self.random.choice(_PLAGUES)
            self.pauses_s = _BETWEEN_PLAGUES_S
        behaviours = tuple(self.random.choice(releases) for _ in range(self.random.choice(counts)))
        settings: OperationSettings = self.random.choice((SETTINGS, SETTINGS, HOLDING, PROBED))
        self.harness = Harness(
            store=self.store, behaviours=behaviours, settings=settings,
            resumable=self.random.random() < (0.5 if self.lone else 0.25),
            failing_hooks=self.random.choice(_HOOKS_THAT_FAIL),
        )  # fmt: skip
        self.planned_faults = self.random.choice((0, 1, 2, 3, 5, 8, 20))
        self.rounds = self.random.choice((0, 0, 0, 0, 0, 0, 3, 8))
        self.blind = settings is HOLDING and self.random.random() < 0.5
        if is_plague:
            self.rounds = 2
        if self.blind:  # what somebody takes back may be on offer again
            self.rounds = self.random.choice((0, 3, 3))
        self.decisions = self.random.choice((0, 1, 2))
        self.late = self.random.choice((0, 0, 1, 2, 3))
        # In some histories nothing fails, but one kind of person comes again and again.
        self.meddler = self.random.choice(_MEDDLERS)
        self.hasty = self.random.choice((0, 0, 1, 2))
        self.harness.injector.choose = self._choose

    # --- faults ---------------------------------------------------------------------------------------------

    def _choose(self, name: str) -> Fault | None:
        """Whether something happens at this crossing of a seam."""
        if self.lone:
            return self._once(name)
        if self.late and self._is_decided():
            faults, share = (_LATEST, 0.5) if self._is_cleaning_up() else (_LATE, 0.1)
            if self.random.random() < share:
                self.late -= 1
                return self.random.choice(DEATHS if name.startswith("file.") else faults)
        if self.hasty and self._is_asked_to_stop() and self.random.random() < 0.3:
            self.hasty -= 1
            return self.random.choice(DEATHS if name.startswith("file.") else faults_at(name))
        if self.blind and name == "world.observe" and self._is_watching():
            return Fault.SILENT
        if name.startswith("file.") and self.meddler is not None:
            return None  # people act between calls, not within them
        if self.planned_faults <= 0 or self.random.random() > (0.12 if self.meddler else 0.06):
            return None
        self.planned_faults -= 1
        if self.meddler is not None:
            return self.meddler
        if self.random.random() < 0.4 and not name.startswith("file."):
            return self._somebody()
        return self.random.choice(faults_at(name))

    def _is_watching(self) -> bool:
        """Whether the operation whose turn it is has become ready and has no verdict yet."""
        events = self.harness.checker.journals.get(self.harness.checker.turn, ())
        kinds = [type(event) for event in events]
        return BecameReady in kinds and VerdictReached not in kinds

    def _is_asked_to_stop(self) -> bool:
        """Whether that is the latest word on the operation whose turn it is."""
        events = self.harness.checker.journals.get(self.harness.checker.turn, ())
        return isinstance(events[-1], AbortRequested) if events else False

    def _is_decided(self) -> bool:
        """Whether the operation whose turn it is has a verdict, and has not ended."""
        events = self.harness.checker.journals.get(self.harness.checker.turn, ())
        kinds = [type(event) for event in events]
        return VerdictReached in kinds and Finished not in kinds

    def _is_cleaning_up(self) -> bool:
        """Whether the operation whose turn it is has its version and begins to remove what is left."""
        events = self.harness.checker.journals.get(self.harness.checker.turn, ())
        return isinstance(events[-1], StepIntended) and events[-1].phase is Phase.DISCARDING

    def _once(self, name: str) -> Fault | None:
        is_counted = name.startswith("world.") or name == "store.append"
        self.calls += is_counted
        if self.calls != self.lone or not is_counted:
            return None
        return self.random.choice((*DEATHS, Fault.EDITED))

    def _somebody(self) -> Fault:
        fault = self.random.choice(PEOPLE_AND_MACHINES)
        # A damaged file is what a JSON store finds, a single record of newer code what the others do.
        elsewhere = Fault.NEWER if self.store == "json" else Fault.CORRUPT
        return Fault.EDITED if fault is elsewhere else fault

    # --- the history ----------------------------------------------------------------------------------------

    def run(self) -> None:
        """Plays it to the end.

        Raises:
            Violation: an invariant does not hold.
        """
        self.harness.injector.actions[Fault.DRAIN] = self._drain_somebody
        self.harness.injector.actions[Fault.LEASE_LOST] = self._pause_somebody
        count = 1 if self.store == "json" else self.random.choice((1, 1, 2, 3, 5))
        self.updaters = [_Updater(self.harness.boot()) for _ in range(count)]
        for updater in list(self.updaters):
            self._guarded(updater, lambda updater=updater: self._open_some(updater))
        for _ in range(STEP_BUDGET):
            if not self._step():
                break
        else:
            self.harness.checker.holds("I11", False, "the history does not end")
        self.harness.finish()

    def _step(self) -> bool:
        """One step of somebody; False when nothing is left to do."""
        now_s = self.harness.clock.monotonic()
        self.steps += 1
        if self.harness.checker.frozen and self.random.random() < 0.1:
            self.harness.checker.frozen.clear()  # the updaters are upgraded again
        if self.steps < _ASKING_STEPS and self.random.random() < 0.02:
            self._somebody_asks()
        ready = [
            (updater, operation_id)
            for updater in self.updaters
            if updater.paused_until_s <= now_s
            for operation_id, wake_s in updater.wakes.items()
            if wake_s <= now_s
        ]
        if ready and self.random.random() < 0.97:
            updater, operation_id = self.random.choice(ready)
            self._guarded(updater, lambda: self._advance(updater, operation_id))
            return True
        if not ready and not self.harness.unfinished() and not any(item.wakes for item in self.updaters):
            return self._somebody_decides() or self._another_round()
        if not ready:
            self._let_time_pass(now_s)
        awake = [updater for updater in self.updaters if updater.paused_until_s <= now_s]
        if awake:
            updater = self.random.choice(awake)
            self._guarded(updater, lambda: self._take_up_some(updater))
        return True

    def _another_round(self) -> bool:
        """Newer releases appear, or the same bits under another tag; False where there are none any more."""
        if self.rounds <= 0:
            return False
        self.rounds -= 1
        self.releases += 1
        self.harness.clock.advance(self.random.choice(self.pauses_s))
        for number in range(len(self.harness.planned)):
            is_same = self.random.random() < (0.6 if self.blind else 0.3)
            behaviour = None if is_same else self.random.choice((*BEHAVIOURS, CRASHES, CRASHES, CRASHES))
            self.harness.offer(number, f"1.{self.releases}.0", behaviour)
        updater = self.random.choice(self.updaters)
        self._guarded(updater, lambda: self._open_some(updater))
        return True

    def _let_time_pass(self, now_s: float) -> None:
        wakes = [wake_s for updater in self.updaters for wake_s in updater.wakes.values() if wake_s > now_s]
        wakes += [updater.paused_until_s for updater in self.updaters if updater.paused_until_s > now_s]
        self.harness.clock.advance(max(0.01, min(wakes, default=now_s + 5.0) - now_s))

    def _open_some(self, updater: _Updater) -> None:
        for planned in self.harness.planned:
            opened = updater.process.executor.open(planned)
            if isinstance(opened, str):
                updater.wakes[opened] = 0.0

    def _take_up_some(self, updater: _Updater) -> None:
        for operation_id in self.harness.unfinished():
            if operation_id in updater.wakes:
                continue
            refused = updater.process.executor.take_up(operation_id)
            if refused is None:
                updater.wakes[operation_id] = 0.0

    def _advance(self, updater: _Updater, operation_id: str) -> None:
        match updater.process.executor.advance(operation_id):
            case Done(result):
                updater.wakes.pop(operation_id, None)
                self._check_result(result)
                if result.code in _BROKEN:
                    self._die(updater)
            case WakeAfter(delay_s):
                updater.wakes[operation_id] = self.harness.clock.monotonic() + delay_s

    def _check_result(self, result: OperationResult) -> None:
        self.harness.checker.holds("I14", SECRET not in repr(result), "a secret is in a result")

    def _guarded(self, updater: _Updater, act: Any) -> None:
        """What an updater does; it may die of it."""
        try:
            act()
        except Crash:
            self._die(updater)
        except StoreError as error:
            if error.code in _BROKEN:
                self._die(updater)  # such a store is closed and opened again

    def _die(self, updater: _Updater) -> None:
        """The process dies, and another one is started."""
        # A JSON store has one writing process: whoever shares it dies with it.
        # So does everybody where the code becomes older.
        is_shared = self.store == "json" or self.harness.checker.frozen
        dying = list(self.updaters) if is_shared else [updater]
        for each in dying:
            self.harness.dead.add(each.process.holder)
            self.updaters.remove(each)
        if self.store != "memory":
            self.harness.come_back()
        self.updaters.append(_Updater(self.harness.boot()))

    # --- what people do -------------------------------------------------------------------------------------

    def _somebody_asks(self) -> None:
        planned = self.random.choice(self.harness.planned)
        updater = self.random.choice(self.updaters)
        kind = self.random.choice(("abort", "resolve"))
        self._guarded(updater, lambda: self._ask(updater, planned.target_id, kind))

    def _somebody_decides(self) -> bool:
        """A person decides about what waits for one; False where nothing does, or nobody cares."""
        waiting = self.harness.inner.unfinished()
        awake = [item for item in self.updaters if item.paused_until_s <= self.harness.clock.monotonic()]
        if not waiting or not awake or self.decisions <= 0:
            return False
        self.decisions -= 1
        updater, target_id = self.random.choice(awake), self.random.choice(waiting).target_id
        self._guarded(updater, lambda: self._ask(updater, target_id, "resolve"))
        return True

    def _ask(self, updater: _Updater, target_id: str, kind: str) -> None:
        try:
            if kind == "abort":
                updater.process.rollbacks.abort(target_id, by="somebody")
            else:
                resolution = self.random.choice((Resolution.RESTORE, Resolution.KEEP_NEW))
                updater.process.rollbacks.decide(target_id, resolution, by="somebody")
        except RollbackError:
            return

    def _drain_somebody(self) -> None:
        """One updater is told to stop; another takes its place."""
        if not self.updaters:
            return
        updater = self.random.choice(self.updaters)
        updater.process.executor.stop()
        updater.paused_until_s = self.harness.clock.monotonic()
        self.updaters.append(_Updater(self.harness.boot()))

    def _pause_somebody(self) -> None:
        """One updater stands still for longer than its lease."""
        if not self.updaters:
            return
        updater = self.random.choice(self.updaters)
        updater.paused_until_s = self.harness.clock.monotonic() + self.random.choice((60.0, 400.0, 5000.0))
        if self.random.random() < 0.5:
            self.harness.checker.is_clock_wrong = True
            self.harness.clock.jump(timedelta(seconds=self.random.choice((-500, 500))))
