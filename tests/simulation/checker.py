"""The invariants of the engine, asserted by name and counted.

The checker watches every effect on the world as it happens and the journal as it grows, and looks at what
is left when everything has ended.

I1 one of two · I2 undo before do · I3 write-ahead · I4 decisions are final · I5 the old lives until commit
I6 one actor · I7 same bits · I8 never down · I9 bounded autonomy · I10 no silent success · I11 liveness
I13 isolation · I14 confidentiality · I15 external intent wins
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import attrs

from safeupdater.backends.memory import Behaviour, Container, MemoryWorld
from safeupdater.backends.memory.backend import (
    CANDIDATE_SUFFIX,
    FAILED_SUFFIX,
    OPERATION_LABEL,
    PARKED_SUFFIX,
)
from safeupdater.domain.operation import (
    AbortRequested,
    Blame,
    Finished,
    HookPoint,
    OperationPlanned,
    Outcome,
    Phase,
    Quarantine,
    Resolved,
    Snapshot,
    StepIntended,
    Verdict,
    VerdictReached,
)
from safeupdater.update.quarantine import bits_of, quarantine_key
from tests.simulation.autonomy import Autonomy

OUR_SUFFIXES = (CANDIDATE_SUFFIX, PARKED_SUFFIX, FAILED_SUFFIX)
RECORDS = 1000
"""What no journal of an operation exceeds: retries are bounded. Honest ones have some hundred at most."""
_READS = frozenset({"inspect", "observe", "list", "collect"})
_TERMINAL = frozenset(
    {Outcome.SUCCEEDED, Outcome.ABORTED, Outcome.ROLLED_BACK, Outcome.SUPERSEDED, Outcome.TARGET_GONE}
)
_QUIET = frozenset({Outcome.SUCCEEDED, Outcome.ABORTED, Outcome.ROLLED_BACK})
Trace = Mapping[str, tuple[str, bool, str, str, str]]


def _is_resolved(journal: list[Any]) -> bool:
    """Whether a person decided about any of these operations."""
    return any(isinstance(event, Resolved) for events in journal for event in events)


def _last_word(events: tuple[Any, ...]) -> Any:
    """The last record that is not a request which came too late."""
    return next(event for event in reversed(events) if not isinstance(event, AbortRequested))


def _trailing_requests(events: list[Any]) -> int:
    """How many requests to abort stand at the end of a journal."""
    return next(
        (number for number, event in enumerate(reversed(events)) if not isinstance(event, AbortRequested)), 0
    )


def _is_at_rest(event: object) -> bool:
    """Whether an operation whose last record this is has ended or waits for a person."""
    return isinstance(event, Finished) or (
        isinstance(event, VerdictReached) and event.verdict is Verdict.HOLD
    )


class Violation(BaseException):
    """An invariant does not hold. No border of the engine can swallow it."""


@attrs.define(kw_only=True)
class Acting:
    """Who acts on the world right now."""

    operation_id: str
    target_id: str
    epoch: int
    phase: Phase
    step: str
    began: int


@attrs.define(eq=False)
class Checker:
    """Asserts the invariants of one run; ``checked`` counts how often each was exercised."""

    world: MemoryWorld
    store: Any
    points: Callable[[], int]
    secrets: tuple[str, ...] = ()
    checked: Counter[str] = attrs.Factory(Counter)
    acting: Acting | None = None
    epochs: dict[str, int] = attrs.Factory(dict)
    touched: dict[str, int] = attrs.Factory(dict)
    removed: set[str] = attrs.Factory(set)
    originals: dict[str, Container] = attrs.Factory(dict)
    journals: dict[str, tuple[object, ...]] = attrs.Factory(dict)
    snapshots: dict[str, Snapshot] = attrs.Factory(dict)
    crashes: int = 0
    restarts: int = 0
    edited: set[str] = attrs.Factory(set)
    _answered: dict[str, str | None] = attrs.Factory(dict)
    alerts: list[Any] = attrs.Factory(list)
    policy: Any = None
    turn: str = ""
    """The operation whose turn it is."""
    opening_since: int = 0
    """The point at which the latest operation began to be opened."""
    wanted: tuple[str, str] | None = None
    """The record that is about to be written."""
    frozen: set[str] = attrs.Factory(set)
    """The operations with a record that is newer than the code."""
    is_clock_wrong: bool = False
    ages: dict[str, int] = attrs.Factory(dict)
    """How new each digest is."""
    vetoed: set[str] = attrs.Factory(set)
    """The operations that a failing hook must keep from switching."""
    autonomy: Autonomy = attrs.Factory(Autonomy)
    broken: list[str] = attrs.Factory(list)
    """Everything that did not hold, whoever swallowed the news of it."""

    def holds(self, name: str, condition: bool, why: str) -> None:
        """Counts an assertion of an invariant and fails where it does not hold."""
        self.checked[name] += 1
        if not condition:
            self.broken.append(f"{name}: {why}")
            raise Violation(f"{name}: {why}")

    def hook(self, operation: Any, hook: Any) -> None:
        """Checks a hook as it runs: intended durably, and on its own side of the switch."""
        events = self.journals.get(operation.operation_id, ())
        said = [event for event in events if not isinstance(event, AbortRequested)]
        last = said[-1] if said else None
        is_intended = isinstance(last, StepIntended) and last.step == f"hook:{hook.name}"
        self.holds("I3", is_intended, f"the hook {hook.name} runs after {last}")
        switching = [e for e in events if isinstance(e, StepIntended) and e.phase is Phase.SWITCHING]
        commits = [e for e in events if isinstance(e, VerdictReached) and e.verdict is Verdict.COMMIT]
        is_before = hook.point is HookPoint.BEFORE_SWITCH
        in_order = not switching if is_before else bool(commits) or _is_resolved([events])
        self.holds("I4", in_order, f"the hook {hook.name} runs on the wrong side of the decision")
        newest = self.epochs.get(operation.target_id, 0)
        self.holds("I6", operation.epoch >= newest, f"epoch {operation.epoch} runs a hook after {newest}")

    # --- while it happens -----------------------------------------------------------------------------------

    def effect(self, name: str, perform: Callable[[], Any]) -> Any:
        """Performs one call to the world and checks what it did."""
        if name in _READS:
            return perform()
        before = self._trace()
        acting = self.acting
        if acting is None:
            self.holds("I3", False, f"{name} outside of any step")
            return None
        events = list(self.journals.get(acting.operation_id, ()))
        self._check_intent(acting, events)
        result = perform()
        after = self._trace()
        self.alone(acting.target_id)
        self._check_direction(acting, events)
        changed = [key for key in before.keys() | after.keys() if before.get(key) != after.get(key)]
        for key in changed:
            self._check_change(acting, events, key, before.get(key), after.get(key))
        return result

    def _check_direction(self, acting: Acting, events: list[Any]) -> None:
        """An older version takes the name only where an operation of ours, or a person, goes back."""
        name = acting.target_id.rpartition("/")[2]
        container, original = self.world.containers.get(name), self.originals.get(name)
        if container is None or original is None:
            return
        before, now = self._answered.get(name, original.image.digest), container.image.digest
        self._answered[name] = now
        if before != now:
            goes_back = acting.phase is Phase.RESTORING or events[0].restores is not None
            is_older = self.ages.get(now or "", 0) < self.ages.get(before or "", 0)
            self.holds("I8", goes_back or not is_older, f"{name} is older after {acting.phase} {acting.step}")

    def _trace(self) -> Trace:
        return {
            item.id: (item.name, item.running, item.restart, repr(item.config), str(item.image))
            for item in self.world.containers.values()
        }

    def _check_intent(self, acting: Acting, events: list[Any]) -> None:
        said = [event for event in events if not isinstance(event, AbortRequested)]
        last = said[-1] if said else None
        is_intended = (
            isinstance(last, StepIntended) and last.phase is acting.phase and last.step == acting.step
        )
        self.holds("I3", is_intended, f"{acting.step} acts after {last}")
        self.holds("I13", acting.operation_id not in self.frozen, "what newer code wrote is acted on")
        newest = self.epochs.get(acting.target_id, 0)
        self.holds("I6", acting.epoch >= newest, f"epoch {acting.epoch} acts, {newest} was given out")
        ended = [event for event in events if isinstance(event, Finished) and event.outcome in _TERMINAL]
        self.holds("I4", not ended, f"{acting.step} after {ended}")
        verdicts = [event.verdict for event in events if isinstance(event, VerdictReached)]
        resolved = any(isinstance(event, Resolved) for event in events)
        wrong = {Phase.COMMITTING: Verdict.RESTORE, Phase.RESTORING: Verdict.COMMIT}.get(acting.phase)
        self.holds("I4", resolved or wrong not in verdicts, f"{acting.phase} after {verdicts}")
        needed = {Phase.COMMITTING: Verdict.COMMIT, Phase.RESTORING: Verdict.RESTORE}.get(acting.phase)
        has_verdict = needed is None or resolved or needed in verdicts
        self.holds("I4", has_verdict, f"{acting.phase} before a durable verdict")
        is_vetoed = acting.phase is Phase.SWITCHING and acting.operation_id in self.vetoed
        self.holds("I4", not is_vetoed, "switched though a hook before it failed")
        is_forward = acting.phase in (Phase.STAGING, Phase.SWITCHING)
        self.holds("I4", not (is_forward and verdicts), f"{acting.phase} after {verdicts}")
        # An effect whose intent was durable before the request is under way already.
        aborted = [number for number, event in enumerate(events) if isinstance(event, AbortRequested)]
        is_late = bool(aborted) and aborted[0] < len(events) - 1 - _trailing_requests(events)
        self.holds("I4", not (is_forward and is_late), f"a forward effect after an abort: {acting.step}")

    def alone(self, target_id: str) -> None:
        """Never do the old and the new version run side by side, whoever started them."""
        name = target_id.rpartition("/")[2]
        running = [
            item.name for item in self.world.containers.values()
            if item.running and (item.name == name or item.name.startswith(name + ".su-"))
        ]  # fmt: skip
        self.holds("I1", len(running) <= 1, f"{running} run side by side")

    def _check_change(self, acting: Acting, events: list[Any], key: str, before: Any, after: Any) -> None:
        name = acting.target_id.rpartition("/")[2]
        shown = (before or after)[0]
        is_ours = (
            shown == name
            or shown.removesuffix(".su-new").removesuffix(".su-old").removesuffix(".su-bad") == name
        )
        self.holds("I13", is_ours, f"{acting.step} of {name} changes {shown}")
        snapshot = self._snapshot(acting.operation_id)
        if snapshot is not None and key == snapshot.data["id"]:
            self._check_old(acting, events, snapshot, after)
        elif before is None and after is not None:
            wanted = {self._planned_digest(events)}
            if acting.phase is Phase.RESTORING and snapshot is not None:
                wanted = {str(snapshot.data["image"])}
            self.holds("I7", any(part and part in after[4] for part in wanted), f"made {after[4]}")
        elif snapshot is None:
            self.holds("I2", False, f"{acting.step} changes {shown} without a snapshot")
        is_overwritten = before is not None and (
            after is None or after[3] != before[3] or (before[1] and not after[1])
        )
        if key in self.touched and is_overwritten:
            # An edit before the capture is part of what is kept; one within the step came too late to see.
            captured = snapshot is not None and (before or after)[3] == repr(snapshot.data["config"])
            fresh = captured or self.touched[key] > acting.began
            self.holds("I15", fresh, f"{acting.step} changes {shown}, which somebody else had changed")

    def _check_old(self, acting: Acting, events: list[Any], snapshot: Snapshot, after: Any) -> None:
        captured = any(type(event).__name__ == "SnapshotCaptured" for event in events)
        self.holds("I2", captured, f"{acting.step} touches the old version without a durable snapshot")
        digest = str(snapshot.data["image"]).partition("@")[2]
        self.holds("I2", digest in self.world.images, "the old image is gone")
        if after is None:
            kept = any(
                (isinstance(event, VerdictReached) and event.verdict is Verdict.COMMIT)
                or isinstance(event, Resolved)
                for event in events
            )
            self.holds("I5", kept, f"{acting.step} removes the old version before the verdict")

    def _planned_digest(self, events: list[Any]) -> str:
        opened = events[0]
        return opened.planned.changes[0].new.digest or ""

    def _snapshot(self, operation_id: str) -> Snapshot | None:
        if operation_id not in self.snapshots:
            stored = self.store.get("snapshot", operation_id)
            if stored is None:
                return None
            self.snapshots[operation_id] = stored.value
        return self.snapshots[operation_id]

    def appended(self, operation_id: str, expected_version: int, events: tuple[object, ...]) -> None:
        """Checks a journal after every append: what was written stays, and nothing is decided twice.

        ``journals`` is what the store has acknowledged, kept beside it: asking it at every effect would
        make the checker slower than what it checks. ``reread`` compares the two.
        """
        known = self.journals.get(operation_id, ())
        end = expected_version + len(events)
        if known[expected_version:end] != events:  # else it was there, and its answer had got lost
            self._take(operation_id, (*known[:expected_version], *events))

    def reread(self, operation_id: str) -> None:
        """Checks a journal against what the store itself says of it."""
        events = tuple(entry.event for entry in self.store.load(operation_id))
        if events or operation_id in self.journals:
            self._take(operation_id, events)

    def reread_all(self) -> None:
        """Checks every journal against the store: what a new process, or an auditor, finds there."""
        for operation_id in {*self.journals, *(opened.operation_id for opened in self.store.unfinished())}:
            self.reread(operation_id)

    def _take(self, operation_id: str, events: tuple[Any, ...]) -> None:
        known = self.journals.get(operation_id, ())
        self.holds("I4", events[: len(known)] == known, "the journal changed")
        self.journals[operation_id] = events
        self.holds("I11", len(events) <= RECORDS, f"more than {RECORDS} records and no end")
        if not known:
            self._check_opening(events[0])
        verdicts = [event for event in events if isinstance(event, VerdictReached)]
        self.holds("I4", len(verdicts) <= 1, f"{len(verdicts)} verdicts")
        for verdict in verdicts:
            if verdict not in known:  # what was good then may have been broken since
                self._check_verdict(events, verdict)
        last = events[-1]
        if isinstance(last, Finished) and last.outcome is Outcome.ROLLED_BACK:
            self._check_quarantine(events, verdicts[0])
        if isinstance(last, Finished) and len(events) > len(known):
            self.autonomy.ended(events, verdicts, self.world.clock.monotonic())

    def _check_opening(self, opened: OperationPlanned) -> None:
        """Checks what may begin by itself: what the policy allows, and what the budgets leave."""
        if opened.restores is not None:
            return
        since = self.policy.forbids_since if self.policy is not None else None
        is_allowed = since is None or since > self.opening_since
        self.holds("I4", is_allowed, "begun though the policy says no")
        if not self.is_clock_wrong:
            why = self.autonomy.forbids(opened, self.world.clock.monotonic())
            self.holds("I9", not why, f"begun by itself {why}")

    def _check_verdict(self, events: tuple[Any, ...], verdict: VerdictReached) -> None:
        if verdict.verdict is not Verdict.COMMIT:
            return
        behaviour = self._behaviour(events[0])
        exits = behaviour.exits_after_s is not None and not self._is_revived(behaviour)
        is_good = behaviour.startable and not exits and behaviour.ready_after_s is not None
        self.holds("I10", is_good, f"committed a bad release: {behaviour}")
        self.holds("I10", verdict.tally.ok >= 3, f"committed on {verdict.tally}")
        ready = any(type(event).__name__ == "BecameReady" for event in events)
        self.holds("I10", ready, "committed without ever being ready")

    def _is_revived(self, behaviour: Behaviour) -> bool:
        """Whether a daemon restart between two looks may have started again what had exited by itself."""
        return behaviour.exits_after_s is not None and self.restarts > 0

    def _behaviour(self, opened: OperationPlanned) -> Behaviour:
        return self.world.behaviours.get(opened.planned.changes[0].new.digest or "", Behaviour())

    def _check_quarantine(self, events: tuple[Any, ...], verdict: VerdictReached) -> None:
        if verdict.blame is not Blame.RELEASE:
            return
        for change in events[0].planned.changes:
            stored = self.store.get("quarantine", quarantine_key(change.asset_id, bits_of(change.new)))
            is_kept = stored is not None and isinstance(stored.value, Quarantine)
            self.holds("I9", is_kept, "rolled back without the quarantine being durable")

    # --- at the end -----------------------------------------------------------------------------------------

    def ended(self, target_id: str) -> None:
        """Checks what is left of one target when none of its operations is under way."""
        name = target_id.rpartition("/")[2]
        journal = [events for events in self.journals.values() if events[0].target_id == target_id]
        ends = [_last_word(events) for events in journal]
        self.holds("I11", all(map(_is_at_rest, ends)), "an operation did not end")
        finished = [event for event in ends if isinstance(event, Finished)]
        outcomes = {event.outcome for event in finished}
        displaced = outcomes & {Outcome.SUPERSEDED, Outcome.TARGET_GONE}
        meddled = name in self.removed or name in self.edited or _is_resolved(journal)
        self.holds("I15", meddled or not displaced, f"{displaced} though nobody touched {name}")
        if not (outcomes <= _QUIET and len(finished) == len(ends)):
            raised = {alert.target_id for alert in self.alerts}
            # A crash between the last record and the alert loses the alert; the journal still has it.
            heard = target_id in raised or self.crashes > 0
            self.holds("I11", heard, f"{outcomes} without an alert")
        elif name not in self.removed:
            self._check_one_of_two(name, journal, finished)
        self._check_edits()
        self._check_secrets(journal)

    def _check_edits(self) -> None:
        """What somebody edited and is still there is still as they left it."""
        for container in self.world.containers.values():
            if container.id in self.touched:
                is_kept = container.config.get("edited") == self.touched[container.id]
                self.holds("I15", is_kept, f"the edit of {container.name} is gone")

    def _check_one_of_two(self, name: str, journal: list[Any], finished: list[Finished]) -> None:
        original = self.originals[name]
        container = self.world.containers.get(name)
        if container is None:
            self.holds("I1", False, f"nothing has the name {name}")
            return
        succeeded = [
            events for events in journal
            if isinstance(events[-1], Finished) and events[-1].outcome is Outcome.SUCCEEDED
        ]  # fmt: skip
        if succeeded:
            opened = succeeded[-1][0]
            wanted = opened.planned.changes[0].new.digest
            is_labelled = container.labels.get(OPERATION_LABEL) == opened.operation_id
            self.holds("I1", is_labelled, "the new version is not the one that was made")
        else:
            wanted = original.image.digest
        self.holds("I1", container.image.digest == wanted, f"{container.image} runs, expected {wanted}")
        if container.id not in self.touched:
            wanted_config = self._captured_config(journal, succeeded) or original.config
            self.holds("I1", container.config == wanted_config, "the configuration is not the user's")
            self.holds("I1", container.restart == original.restart, f"restart policy {container.restart}")
            # A version that the surroundings broke meanwhile may be down through no doing of ours.
            behaviour = self.world.behaviour_of(container)
            is_broken = not behaviour.startable or self._is_revived(behaviour)
            as_before = is_broken or container.running == original.running
            self.holds("I1", as_before, f"running: {container.running}")
        leftovers = [
            item.name for item in self.world.containers.values()
            if item.name.endswith(OUR_SUFFIXES) and item.name.startswith(name + ".")
        ]  # fmt: skip
        excused = any(event.leftovers for event in finished)
        self.holds("I1", excused or not leftovers, f"left over: {leftovers}")

    def _captured_config(self, journal: list[Any], succeeded: list[Any]) -> Any:
        """The configuration that was captured last: the user's at that time."""
        events = (succeeded or journal)[-1:]
        snapshot = self._snapshot(events[0][0].operation_id) if events else None
        return snapshot.data["config"] if snapshot else None

    def _check_secrets(self, journal: list[Any]) -> None:
        text = repr(journal) + repr(self.alerts)
        for secret in self.secrets:
            self.holds("I14", secret not in text, "a secret is in the journal or in an alert")
