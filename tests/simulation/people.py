"""What people and machines do to a simulated world while it is being updated."""

from __future__ import annotations

import contextlib
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

import attrs

from safeupdater.backends.memory import Behaviour
from safeupdater.domain.operation import AbortRequested, Attempt, Breaker
from safeupdater.errors import StoreError
from tests.simulation.faults import Crash, Fault

if TYPE_CHECKING:
    from collections.abc import Callable

    from safeupdater.domain.plan import PlannedUpdate
    from tests.simulation.harness import Harness

PAUSE_S = 5000.0
"""Longer than any lease."""
HANG_S = 400.0
"""How long foreign code hangs: longer than the lease of an operation that does not expect it."""
OUTAGE_S = 400.0
FULL_S = 200.0


@attrs.define(eq=False)
class People:
    """Everybody else in a harness's world."""

    harness: Harness
    _cut_off_until_s: float = 0.0
    _full_until_s: float = 0.0

    def actions(self) -> dict[Fault, Callable[[], None]]:
        """What each fault makes somebody do: past every seam, since it is not the updater that acts."""
        return {fault: partial(self._past_seams, act) for fault, act in self._acts().items()}

    def _past_seams(self, act: Callable[[], None]) -> None:
        injector = self.harness.injector
        was_quiet, injector.is_quiet = injector.is_quiet, True
        try:
            act()
        finally:
            injector.is_quiet = was_quiet

    def _acts(self) -> dict[Fault, Callable[[], None]]:
        return {
            Fault.RESTART: self.restart_daemon,
            Fault.CLOCK_JUMP: self.set_the_clock,
            Fault.PRUNE: self.harness.world.prune,
            Fault.GONE: self.remove,
            Fault.OLD_BROKEN: self.break_the_old,
            Fault.EDITED: self.edit,
            Fault.ABORT: self.ask_to_stop,
            Fault.DRAIN: self.drain,
            Fault.LEASE_LOST: self.take_the_lease,
            Fault.PARTITION: self.cut_off,
            Fault.STORE_FULL: self.fill_the_disk,
            Fault.FLAPPING: self.make_it_flap,
            Fault.TAG_MOVED: self.move_the_tag,
            Fault.STRICTER: lambda: self.harness.policy.forbid(self.harness.injector.count),
            Fault.NEWER: self.downgrade_the_code,
            Fault.RIVAL: self.write_first,
            Fault.PAUSED: lambda: self.harness.clock.advance(PAUSE_S),
            Fault.HANGS: lambda: self.harness.clock.advance(HANG_S),
            Fault.CORRUPT: self.damage_the_file,
        }

    # --- the surroundings -----------------------------------------------------------------------------------

    def outage(self, name: str) -> Fault | None:
        """What keeps a seam from answering now."""
        now_s = self.harness.clock.monotonic()
        if now_s < self._cut_off_until_s and name.startswith("world."):
            return Fault.PARTITION
        writes = (
            ("file.write", "file.create") if self.harness.kind == "json" else ("store.append", "store.put")
        )
        return Fault.STORE_FULL if now_s < self._full_until_s and name in writes else None

    def cut_off(self) -> None:
        """The runtime cannot be reached for a while; what runs there goes on."""
        self._cut_off_until_s = self.harness.clock.monotonic() + OUTAGE_S

    def fill_the_disk(self) -> None:
        """The store's disk is full for a while."""
        self._full_until_s = self.harness.clock.monotonic() + FULL_S

    def restart_daemon(self) -> None:
        """Everything stops; what has a restart policy comes up again."""
        self.harness.world.restart_daemon()
        for planned in self.harness.planned:
            self.harness.checker.alone(planned.target_id)

    def set_the_clock(self) -> None:
        """The wall clock goes ten years forth or back."""
        self.harness.checker.is_clock_wrong = True
        self.harness.clock.jump(timedelta(days=3650 if self.harness.injector.count % 2 else -3650))

    def take_the_lease(self) -> None:
        """The updater stands still for longer than its lease; another takes it, and lets go of it soon."""
        self.harness.clock.advance(PAUSE_S)
        for planned in self.harness.planned:
            lease = self.harness.inner.acquire(planned.target_id, "somebody", 1.0)
            if lease is not None:
                self.harness.checker.epochs[planned.target_id] = lease.epoch

    def damage_the_file(self) -> None:
        """A byte of the journal turns, which the next process must find; this one dies."""
        self.harness.damaged = self.harness.files.damage()
        raise Crash("damaged")

    def downgrade_the_code(self) -> None:
        """What was journaled last of the operation whose turn it is is newer than the code now is."""
        checker = self.harness.checker
        if checker.turn in {opened.operation_id for opened in self.harness.inner.unfinished()}:
            checker.frozen.add(checker.turn)
            raise Crash("downgraded")

    # --- who else uses the store ----------------------------------------------------------------------------

    def write_first(self) -> None:
        """Another updater writes the record that was about to be written."""
        record = self._rivals_record()
        if record is not None:
            self.harness.inner.put(*record)

    def _rivals_record(self) -> tuple[str, str, object] | None:
        """What another updater would write there: what it read, or the first word on all targets."""
        if self.harness.checker.wanted is None:
            return None
        kind, key = self.harness.checker.wanted
        stored = self.harness.inner.get(kind, key)
        if stored is not None:
            return kind, key, stored.value
        if kind != "breaker":
            return None
        now = self.harness.clock.now()
        other = Attempt(operation_id="of another", started=now, ended=now, succeeded=True)
        return kind, key, Breaker(attempts=(other,))

    def is_moot(self, fault: Fault) -> bool:
        """Whether there is nothing that a fault could be done to now."""
        match fault:
            case Fault.RIVAL:
                return self._rivals_record() is None
            case Fault.EDITED | Fault.GONE:
                return self._name() not in self.harness.world.containers
            case _:
                return False

    def ask_to_stop(self) -> None:
        """A person at another terminal asks the oldest operation to stop."""
        inner = self.harness.inner
        for opened in inner.unfinished()[:1]:
            entries = inner.load(opened.operation_id)
            with contextlib.suppress(StoreError):
                inner.append(
                    opened.operation_id, [AbortRequested(by="somebody")],
                    expected_version=len(entries), at=self.harness.clock.now(),
                )  # fmt: skip
                self.harness.checker.reread(opened.operation_id)

    def drain(self) -> None:
        """Somebody stops the updater."""
        if self.harness.process is not None:
            self.harness.process.executor.stop()

    # --- the target and its releases ------------------------------------------------------------------------

    def break_the_old(self) -> None:
        """The old version cannot be started any more."""
        current = self._planned().changes[0].current
        self.harness.world.behaviours[current.digest or ""] = Behaviour(startable=False)

    def make_it_flap(self) -> None:
        """The new version answers badly every third time from now on."""
        digest = self._planned().changes[0].new.digest or ""
        known = self.harness.world.behaviours.get(digest, Behaviour())
        self.harness.world.behaviours[digest] = attrs.evolve(known, flaps_every=3)

    def move_the_tag(self) -> None:
        """The tag that was decided on names other bits from now on."""
        new = self._planned().changes[0].new
        moved = self.harness.world.publish("elsewhere:9.9.9", Behaviour(startable=False))
        self.harness.world.tags[new.name][new.version_text] = moved

    def remove(self) -> None:
        """Somebody removes the container."""
        name = self._name()
        if name in self.harness.world.containers:
            self.harness.checker.removed.add(name)
            self.harness.world.remove(name)

    def edit(self) -> None:
        """Somebody changes the container's configuration."""
        name = self._name()
        container = self.harness.world.containers.get(name)
        if container is not None:
            number = self.harness.injector.count
            container.config = {**container.config, "edited": number}
            self.harness.checker.touched[container.id] = number
            self.harness.checker.edited.add(name)

    def _planned(self) -> PlannedUpdate:
        planned = self.harness.planned
        return planned[self.harness.injector.count % len(planned)]

    def _name(self) -> str:
        return self._planned().target_id.rpartition("/")[2]
