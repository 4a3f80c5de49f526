"""Design bugs of a Docker backend, planted as patches, each of which the enumeration must notice.

Each is one that a reasonable person could build, and most were built: containers that run twice after the
daemon restarted, policies and networks that are not given back, volumes that go with the old container.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any
from unittest import mock

import attrs

from safeupdater.backends.docker import backend, recreate, retention, staging, switching
from safeupdater.backends.docker.daemon import Daemon
from safeupdater.backends.docker.snapshot import is_running
from safeupdater.backends.docker.work import Work, name_of, refused
from safeupdater.domain.health import Condition, Observation
from safeupdater.domain.operation import DONE, StepOutcome
from tests.simulation.docker_crashes import Sample, first_faults, one_fault, start_of, two_faults
from tests.simulation.docker_world import SCENARIOS

Patch = tuple[Any, str, Any]


@attrs.frozen
class Bug:
    """A design bug, the invariant that it breaks, and the scenario in which that shows."""

    name: str
    breaks: str
    patches: tuple[Patch, ...]
    scenario: str = "good"


def _nothing(*_: Any, **__: Any) -> StepOutcome:
    return DONE


def _cannot(*_: Any, **__: Any) -> StepOutcome:
    return refused("previous_gone", "there is nothing to go back to")


def _remove_too_early(work: Work) -> StepOutcome:
    outcome = _give_policy(work)
    for member in work.last_first:
        if work.daemon.inspect(member.id) is not None:
            work.daemon.remove(member.id)
    return outcome


_give_policy = switching.give_policy


def _remove_with_volumes(work: Work) -> StepOutcome:
    for member in work.last_first:
        if work.daemon.inspect(member.id) is not None:
            work.daemon.remove(member.id, with_volumes=True)
    return DONE


def _park_off_the_network(work: Work) -> StepOutcome:
    """Frees the fixed address for the successor, and nobody thinks of the way back."""
    outcome = _park_old(work)
    for member in work.members:
        old = work.daemon.inspect(member.id)
        if old is not None and "front" in old["NetworkSettings"]["Networks"]:
            work.daemon.detach("front", member.id)
    return outcome


_park_old = switching.park_old


def _rename_before_stop(work: Work) -> StepOutcome:
    for member in work.last_first:
        old = work.daemon.inspect(member.id)
        if old is not None and name_of(old) == member.name:
            work.daemon.rename(member.id, member.parked)
        if old is not None:
            work.halt(old, member)
    return DONE


def _stop_only(self: Work, inspect: Any, member: Any) -> None:
    """Stops a container, which its restart policy brings back with the daemon."""
    if is_running(inspect):
        self.daemon.stop(str(inspect["Id"]), 1)


def _stop_old_only(work: Work) -> StepOutcome:
    for member in work.last_first:
        old = work.daemon.inspect(member.id)
        if old is not None and is_running(old):
            work.daemon.stop(member.id, 1)
        if old is not None and name_of(old) == member.name:
            work.daemon.rename(member.id, member.parked)
    return DONE


def _start_whatever(work: Work) -> StepOutcome:
    for member in work.members:
        new = work.find_new(member)
        if new is not None and not is_running(new):
            work.daemon.start(str(new["Id"]))
    return DONE


def _all_is_well(work: Work) -> Observation:
    found = work.daemon.inspect(work.content.main.name) or {}
    return Observation(Condition.READY, "running", "", str(found.get("Id")))


def _release_at_once(daemon: Daemon, expired: Any, kept: Any) -> tuple[str, ...]:
    """Removes every image of an expired snapshot by its name, whoever runs it."""
    for snapshot in expired:
        member = snapshot.data["members"][0]
        daemon.remove_image(str(member["inspect"]["Config"]["Image"]))
    return _release(daemon, expired, kept)


_release = retention.release


def _halt_what_restarts(self: Work, inspect: Any) -> None:
    """Takes a container without a restart policy for one that was halted before."""
    if inspect["HostConfig"]["RestartPolicy"]["Name"] != "no":
        _halt(self, inspect)


_halt = Work.halt


def _any_change(member: Any, old: Any) -> list[str]:
    """Takes what we ourselves did for somebody else's change."""
    return [] if name_of(old) == member.name and is_running(old) else ["name"]


_RESTORING = tuple(step for step in backend.STEPS.restoring if step != "start_old")


BUGS = (
    Bug("the old one goes before the verdict", "I5", ((switching, "give_policy", _remove_too_early),)),
    Bug("the old one goes with its volumes", "I5", ((switching, "remove_old", _remove_with_volumes),)),
    Bug("the old one gets no restart policy back", "I1", ((switching, "restore_policy", _nothing),), "bad"),
    Bug("the new one gets no restart policy", "I1", ((switching, "give_policy", _nothing),)),
    Bug("a network is not given back", "I1", ((switching, "park_old", _park_off_the_network),), "bad"),
    Bug("the old one is renamed before it stops", "I1", ((switching, "park_old", _rename_before_stop),)),
    Bug("the old one restarts by itself", "I1", ((switching, "park_old", _stop_old_only),)),
    Bug("whatever has the name is ours", "I5", ((Work, "is_ours", lambda self, found: found is not None),)),
    Bug("the candidate restarts by itself", "I1", ((recreate, "_NO_RESTART", {"Name": "always"}),)),
    Bug("the failed one restarts by itself", "I1", ((Work, "halt", _stop_only),), "bad"),
    Bug("the old image is not kept", "I5", ((staging, "keep_old_image", _nothing),)),
    Bug("the tag is not put back", "I1", ((staging, "restore_tag", _nothing),), "bad under the same tag"),
    Bug("what was stopped is started", "I1", ((switching, "start_new", _start_whatever),), "stopped"),
    Bug(
        "a dependant stays on the old network", "I1",
        ((recreate, "_redirected_mode", lambda mode, renamed: mode),), "with a stopped sidecar",
    ),
    Bug("the candidate is left behind", "I1", ((staging, "remove_candidate", _nothing),), "bad"),
    Bug("a crash is not looked at", "I10", ((backend, "observe_new", _all_is_well),), "bad"),
    Bug(
        "networks are forgotten", "I1",
        ((staging, "join_networks", _nothing), (staging, "losses", lambda *_: [])),
    ),
    Bug(
        "nameless volumes are forgotten", "I5",
        ((recreate, "anonymous_volumes", lambda member: ()), (staging, "losses", lambda *_: [])),
    ),
    Bug(
        "clearing up takes what runs", "I13",
        ((backend, "release", _release_at_once),), "bad after a good one",
    ),
    Bug("without a policy it counts as stopped", "I1", ((Work, "halt", _halt_what_restarts),)),
    Bug(
        "our own parking counts as foreign", "I1",
        ((switching, "_changes", _any_change), (switching, "_has_begun", lambda *_: False)),
    ),
    Bug("what was pruned is not made again", "I1", ((switching, "remake", _cannot),), "bad"),
    Bug(
        "the old one starts before the new one stops", "I1",
        ((backend, "STEPS", attrs.evolve(backend.STEPS, restoring=("start_old", *_RESTORING))),), "bad",
    ),
)  # fmt: skip


@contextlib.contextmanager
def planted(bug: Bug) -> Iterator[None]:
    """The time in which a bug is there; what comes before the update to disturb is done without it."""
    for name in SCENARIOS:
        start_of(name)
    with contextlib.ExitStack() as stack:
        for target, name, value in bug.patches:
            stack.enter_context(mock.patch.object(target, name, value))
        yield


@attrs.frozen
class Caught:
    """How a bug was noticed: after how many lives, and by which violation; None where it was not."""

    lives: int
    violation: str | None


def look_for(bug: Bug) -> Caught:
    """Tries one fault at every call, then samples of two, until something is noticed."""
    with planted(bug):
        tally = one_fault(bug.scenario, stop_at=1)
        if not tally.violations:
            tally.take(two_faults(bug.scenario, first_faults(bug.scenario), Sample(20)))
    return Caught(tally.runs, tally.violations[0] if tally.violations else None)
