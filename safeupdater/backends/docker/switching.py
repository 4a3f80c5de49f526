"""The switch, its end and the way back. The old container lives until the new one is kept for good."""

from __future__ import annotations

from safeupdater.backends.docker.client import Json
from safeupdater.backends.docker.recreate import endpoint_settings
from safeupdater.backends.docker.snapshot import Member, endpoints, is_running, section
from safeupdater.backends.docker.split import differing, meaningful
from safeupdater.backends.docker.work import Work, gone, name_of, refused, retry, superseded
from safeupdater.domain.operation import DONE, StepOutcome
from safeupdater.errors import BackendError


def compare_live(work: Work) -> StepOutcome:
    """Makes sure that what runs is still what was captured; what we ourselves already did does not count."""
    for member in work.members:
        old = work.daemon.inspect(member.id)
        if old is None:
            return _missing(work, member)
        changed = _changes(member, old)
        if changed:
            return superseded(f"{member.name} was changed meanwhile ({', '.join(changed)}): plan again")
    ids = {member.id for member in work.members}
    for listed in work.daemon.containers():
        kind, _, reference = listed.host_config.network_mode.partition(":")
        if kind == "container" and reference in ids and listed.id not in ids:
            return superseded(
                f"{listed.name} began to share a network with {work.content.main.name}: plan again"
            )
    return DONE


def _missing(work: Work, member: Member) -> StepOutcome:
    if work.daemon.inspect(member.name) is not None or member is not work.content.main:
        return superseded(f"{member.name} was created anew by somebody else")
    return gone(f"{member.name} was removed by somebody else")


def _changes(member: Member, old: Json) -> list[str]:
    """What of an old container differs from its snapshot, beyond what parking does to it."""
    is_parked = name_of(old) == member.parked
    changed = differing(member.inspect, old, ("Image", "Config"))
    host_config = section(old, "HostConfig")
    keys = sorted({*member.host_config, *host_config} - {"RestartPolicy", "Links"})
    changed += [f"HostConfig.{key}" for key in differing(member.host_config, host_config, keys)]
    if _attachments(member.inspect) != _attachments(old):
        changed.append("networks")
    if name_of(old) not in (member.name, member.parked):
        changed.append("name")
    policy = host_config.get("RestartPolicy") or {}
    is_ours = is_parked or policy.get("Name") in ("no", "", None)
    if not is_ours and policy != member.restart_policy:
        changed.append("restart policy")
    if not is_ours and is_running(old) != member.was_running:
        changed.append("running")
    return changed


def _attachments(inspect: Json) -> object:
    return meaningful(
        {
            name: endpoint_settings(name, settings or {}, str(inspect["Id"]))
            for name, settings in endpoints(inspect).items()
        }
    )


def park_old(work: Work) -> StepOutcome:
    """Stops the old containers for good and moves them out of the way; dependants first."""
    for member in work.last_first:
        old = work.daemon.inspect(member.id)
        if old is None:
            return _missing(work, member)
        work.halt(old)
        if name_of(old) == member.name:
            work.daemon.rename(member.id, member.parked)
    return DONE


def take_name(work: Work) -> StepOutcome:
    """Gives the new containers the names."""
    for member in work.members:
        new = work.find_new(member)
        if new is None:
            return refused("candidate_gone", f"{member.candidate} was removed by somebody else")
        if name_of(new) == member.name:
            continue
        holder = work.daemon.inspect(member.name)
        if holder is not None and holder["Id"] == member.id:
            return retry("not_parked", f"{member.name} still has its name")
        if holder is not None:
            return superseded(f"somebody else created a container {member.name}")
        work.daemon.rename(str(new["Id"]), member.name)
    return DONE


def start_new(work: Work) -> StepOutcome:
    """Starts what ran before; what was stopped stays stopped."""
    for member in work.members:
        new = work.find_new(member)
        if new is None:
            return refused("candidate_gone", f"the new {member.name} was removed by somebody else")
        if work.is_to_run(member) and not is_running(new):
            try:
                work.daemon.start(str(new["Id"]))
            except BackendError as error:
                # An answer says that it did not start; only no answer leaves that open.
                if "status" not in error.evidence:
                    raise
                return refused("start_failed", f"the new {member.name} does not start: {error.message}")
    return DONE


def give_policy(work: Work) -> StepOutcome:
    """Gives the new containers the restart policies of the old ones, once they run."""
    for member in work.members:
        new = work.find_new(member)
        if new is None:
            return refused("candidate_gone", f"the new {member.name} was removed by somebody else")
        work.set_policy(new, member.restart_policy)
    return DONE


# --- the end ----------------------------------------------------------------------------------------------


def remove_old(work: Work) -> StepOutcome:
    """Removes the old containers, never their volumes, once the new ones are seen in their place."""
    image = work.wanted.find(work.daemon)
    for member in work.last_first:
        new = work.daemon.inspect(member.name)
        if not work.is_ours(new):
            return superseded(f"{member.name} is not the container that was verified")
        is_main = member is work.content.main
        if is_main and new is not None and image is not None and new["Image"] != image["Id"]:
            return superseded(f"{member.name} does not run the image that was decided on")
    for member in work.last_first:
        old = work.daemon.inspect(member.id)
        if old is not None:
            work.halt(old)
            work.daemon.remove(member.id, with_volumes=False)
    return DONE


# --- the way back -----------------------------------------------------------------------------------------


def stop_new(work: Work) -> StepOutcome:
    """Stops the new containers for good."""
    for member in work.last_first:
        new = work.find_new(member)
        if new is not None:
            work.halt(new)
    return DONE


def return_name(work: Work) -> StepOutcome:
    """Gives the old containers their names back."""
    for member in work.members:
        old = work.daemon.inspect(member.id)
        if old is None:
            return _lost(work, member)
        if name_of(old) == member.name:
            continue
        holder = work.daemon.inspect(member.name)
        if holder is not None and not work.is_ours(holder):
            return superseded(f"somebody else created a container {member.name}; yours is {name_of(old)}")
        if holder is not None:
            work.daemon.rename(str(holder["Id"]), member.candidate)
        work.daemon.rename(member.id, member.name)
    return DONE


def _lost(work: Work, member: Member) -> StepOutcome:
    holder = work.daemon.inspect(member.name)
    if holder is not None and not work.is_ours(holder):
        return superseded(f"{member.name} was created anew by somebody else")
    if holder is None and work.find_new(member) is None:
        return gone(f"{member.name} was removed by somebody else")
    return refused(
        "previous_gone", f"the old {member.name} was removed by somebody else: nothing to go back to"
    )


def restore_policy(work: Work) -> StepOutcome:
    """Gives the old containers their restart policies back, before they run: a crash must not lose them."""
    for member in work.members:
        old = work.daemon.inspect(member.id)
        if old is None:
            return _lost(work, member)
        work.set_policy(old, member.restart_policy)
    return DONE


def start_old(work: Work) -> StepOutcome:
    """Starts the old containers that ran before."""
    for member in work.members:
        old = work.daemon.inspect(member.id)
        if old is None:
            return _lost(work, member)
        if member.was_running and not is_running(old):
            work.daemon.start(member.id)
    return DONE
