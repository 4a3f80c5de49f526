"""Design bugs, planted on purpose, so that the checker is known to see them.

Each is a patch of the engine or of the backend, applied for the time of a run and nowhere in the product.
The simulation must notice every one of them within a thousand histories.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import attrs

from safeupdater.backends.memory import backend
from safeupdater.backends.memory.backend import _Act
from safeupdater.domain.operation import VerdictReached
from safeupdater.update import accounts, acting, executor, facts, machine, opening, transitions
from safeupdater.update.admission import LocalAdmission
from safeupdater.update.flight import Flight
from safeupdater.update.notifier import Notifier
from safeupdater.update.review import PolicyReview
from safeupdater.update.states import (
    Committing,
    Deciding,
    Pending,
    Restoring,
    Settling,
    Staging,
    Switching,
    Watching,
)
from tests.simulation import broken_engine as engine
from tests.simulation import broken_steps as steps
from tests.simulation.broken_engine import Patch, both, handled, replaced
from tests.simulation.playing import run_histories


@attrs.frozen
class Bug:
    """One planted bug: the invariant that it breaks (others may see it first), and its patch."""

    name: str
    breaks: str
    plant: Patch


BUGS = (
    Bug(
        "effects do not wait for the journal",
        "I3",
        replaced(executor.UpdateExecutor, "_make_sure", engine.act_before_saving),
    ),
    Bug(
        "nobody checks the lease",
        "I6",
        both(
            replaced(Flight, "save", engine.save_without_lease),
            replaced(Flight, "keep_lease", engine.never_renew),
        ),
    ),
    Bug("the snapshot is not stored", "I2", replaced(acting, "capture", engine.capture_unsaved)),
    Bug(
        "the end does not wait for the quarantine",
        "I9",
        replaced(executor.UpdateExecutor, "_conclude", engine.conclude_nothing),
    ),
    Bug("recovery begins from the start", "I4", replaced(opening, "replay", engine.start_over)),
    Bug("effects carry an old epoch", "I6", replaced(Flight, "context_for", engine.old_epoch)),
    Bug(
        "another step is done than was intended",
        "I3",
        replaced(executor.UpdateExecutor, "_perform", engine.other_intent),
    ),
    Bug("nobody is told", "I11", replaced(Notifier, "alert_of", lambda self, result, blame: None)),
    Bug("no quarantine", "I9", replaced(accounts, "put_in", lambda *args, **more: None)),
    Bug(
        "what was taken back comes again",
        "I9",
        replaced(accounts, "put_in", engine.only_failures_kept_away),
    ),
    Bug("silence is taken for health", "I10", replaced(acting, "look", engine.silence_is_ready)),
    Bug(
        "every sample counts as good",
        "I10",
        both(
            replaced(transitions, "_window_sample", engine.all_samples_good),
            replaced(transitions, "_decided_by_state", lambda operation, found: None),
        ),
    ),
    Bug("ready is good enough", "I10", handled(Deciding, machine.BecameReady, engine.commit_when_ready)),
    Bug("a window without samples is healthy", "I10", replaced(transitions, "Window", engine.EagerWindow)),
    Bug("a window never ends", "I11", replaced(transitions, "Window", engine.EndlessWindow)),
    Bug("retries are not bounded", "I11", engine.endless_retries),
    Bug("a rollback is only said", "I1", handled(Deciding, VerdictReached, engine.restored_by_saying_so)),
    Bug("what is held is committed", "I5", handled(Deciding, VerdictReached, engine.held_is_committed)),
    Bug(
        "an interrupted switch is called aborted",
        "I1",
        both(
            handled(Switching, machine.Resumed, engine.interrupted_anywhere),
            handled(Settling, machine.Resumed, engine.interrupted_anywhere),
        ),
    ),
    Bug(
        "an interrupted watch is called aborted",
        "I1",
        handled(Watching, machine.Resumed, engine.interrupted_anywhere),
    ),
    Bug("an interrupted commit turns around", "I4", handled(Committing, machine.Resumed, engine.turn_around)),
    Bug(
        "an abort changes a verdict",
        "I4",
        handled(Committing, machine.AbortRequested, engine.second_thoughts),
    ),
    Bug("an abort is ignored while staging", "I4", handled(Staging, machine.AbortRequested, engine.ignore)),
    Bug(
        "an abort is ignored while switching", "I4", handled(Switching, machine.AbortRequested, engine.ignore)
    ),
    Bug(
        "an abort before the switch is an abort of nothing",
        "I4",
        handled(Pending, machine.AbortRequested, engine.ignore),
    ),
    Bug(
        "restored without a look",
        "I1",
        both(
            handled(Restoring, machine.StepDone, engine.put_back_unseen),
            replaced(_Act, "start_old", steps.nothing),
        ),
    ),
    Bug(
        "an interrupted rollback is called done",
        "I1",
        handled(Restoring, machine.Resumed, engine.interrupted_anywhere),
    ),
    Bug(
        "candidate created with restart=always",
        "I1",
        replaced(_Act, "create", steps.create(restart="always")),
    ),
    Bug("A's restart policy not disabled", "I1", replaced(_Act, "park", steps.park_keeping_restart)),
    Bug("Watchtower order: stop, remove, create", "I5", replaced(_Act, "park", steps.park_by_removing)),
    Bug(
        "the restart policy is forgotten",
        "I1",
        replaced(_Act, "start_old", steps.start_old_without_policy),
    ),
    Bug(
        "the configuration is forgotten",
        "I1",
        replaced(_Act, "create", steps.create(config=lambda act: {})),
    ),
    Bug(
        "the old image is made again",
        "I7",
        replaced(_Act, "create", steps.create(image=steps.old_image)),
    ),
    Bug(
        "another image than was decided",
        "I7",
        replaced(_Act, "create", steps.create(image=steps.third_image)),
    ),
    Bug(
        "the new one starts before the old one stops",
        "I1",
        replaced(_Act, "compare", steps.start_beside),
    ),
    Bug("what others edited is parked", "I15", replaced(_Act, "park", steps.park_without_looking)),
    Bug("what others edited is removed", "I15", replaced(_Act, "demote", steps.demote_without_looking)),
    Bug("another container is stopped", "I13", replaced(_Act, "park", steps.park_somebody)),
    Bug(
        "a commit brings the old version back",
        "I8",
        replaced(_Act, "remove_old", steps.commit_backwards),
    ),
    Bug("the candidate is left behind", "I1", replaced(_Act, "remove_candidate", steps.nothing)),
    Bug("the old version is left behind", "I1", replaced(_Act, "remove_old", steps.nothing)),
    Bug(
        "the old version is cleared away too",
        "I5",
        replaced(_Act, "remove_candidate", steps.discard_everything),
    ),
    Bug("no re-ensure at watch resume", "I1", replaced(backend, "_STEPS", steps.WITHOUT_RESUMING)),
    Bug(
        "restart policy restored after start in rollback",
        "I1",
        both(
            replaced(_Act, "start_old", steps.start_old_without_policy),
            replaced(_Act, "remove_candidate", steps.discard_after_the_policy),
        ),
    ),
    Bug("what others edited is set back", "I15", replaced(_Act, "start", steps.start_over_edits)),
    Bug("the budget of the day is not asked", "I9", replaced(LocalAdmission, "_budget", engine.unasked)),
    Bug("the breaker is not asked", "I9", replaced(LocalAdmission, "_breaker", engine.unasked)),
    Bug("the quarantine is not asked", "I9", replaced(facts, "why_quarantined", engine.unasked)),
    Bug("rollbacks are forgotten", "I9", replaced(accounts, "_remember_rollback", engine.unasked)),
    Bug("the policy is not asked again", "I4", replaced(PolicyReview, "__call__", engine.reviewed_by_nobody)),
    Bug(
        "hooks run on the wrong side of the switch",
        "I4",
        replaced(opening, "_with_hooks", engine.hooks_the_wrong_way_round),
    ),
    Bug("a hook that fails stops nothing", "I4", replaced(acting, "_run_hook", engine.hooks_always_content)),
    Bug("a hook tells its arguments", "I14", replaced(acting, "_run_hook", engine.hooks_telling_all)),
    Bug(
        "what the checker says is swallowed",
        "I1",
        both(
            replaced(acting, "perform", engine.swallowing_everything),
            replaced(_Act, "compare", steps.start_beside),
        ),
    ),
    Bug("a warning tells the configuration", "I14", replaced(acting, "preflight", engine.telling_warning)),
    Bug("an error tells a secret", "I14", replaced(acting, "failed", engine.telling_error)),
)


@contextlib.contextmanager
def planted(bug: Bug) -> Iterator[None]:
    """The time in which a bug is there."""
    with contextlib.ExitStack() as stack:
        bug.plant(stack)
        yield


@attrs.frozen
class Caught:
    """How a bug was noticed: after how many histories, and by which violation; None where it was not."""

    bug: Bug
    histories: int
    violation: str | None


def look_for(bug: Bug, *, limit: int = 1000, seed: int = 1) -> Caught:
    """Plays up to ``limit`` histories with a bug planted, until an invariant is named that it breaks.

    A history that only raises does not count: the patch itself may be what is broken.
    """
    played = 0
    with planted(bug):
        while played < limit:
            report = run_histories(limit - played, seed + played, stop_at=1)
            played += report.histories
            for violation in report.violations:
                if " it raised " not in violation:
                    return Caught(bug, played, violation)
    return Caught(bug, played, None)
