"""The switch, its end and the way back. The old container lives until the new one is kept for good."""

from __future__ import annotations

from safeupdater.backends.docker.client import Json
from safeupdater.backends.docker.recreate import endpoint_settings
from safeupdater.backends.docker.remaking import remake
from safeupdater.backends.docker.snapshot import Member, endpoints, is_running, section
from safeupdater.backends.docker.split import differing, meaningful
from safeupdater.backends.docker.work import Work, gone, name_of, refused, retry, superseded
from safeupdater.domain.operation import DONE, StepOutcome
from safeupdater.errors import BackendError


def compare_live(work: Work) -> StepOutcome:
    """Makes sure that what runs is still what was captured; what we ourselves already did does not count.

    What was begun must be undone: then a difference leads back, rather than to leaving everything as it is.
    """
    difference = _difference(work)
    if difference is not DONE and any(_has_begun(work, member) for member in work.members):
        return refused(difference.code, difference.message)
    return difference


def _has_begun(work: Work, member: Member) -> bool:
    """Whether an old container was touched: it has another name, no restart policy, or does not run."""
    old = work.daemon.inspect(member.id)
    if old is None:
        return _was_pruned(work, member)
    policy = section(old, "HostConfig").get("RestartPolicy") or {}
    is_as_it_was = name_of(old) == member.name and is_running(old) == member.was_running
    return not is_as_it_was or meaningful(policy) != meaningful(member.restart_policy)


def _was_pruned(work: Work, member: Member) -> bool:
    """Whether an old container went after we had stopped it: the new one has its name, or went with it."""
    new = work.find_new(member)
    if new is not None:
        return name_of(new) == member.name
    return member.was_running and work.daemon.inspect(member.name) is None


def _difference(work: Work) -> StepOutcome:
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
            # What was stopped before it must run again, whatever became of this one.
            return refused("previous_gone", f"{member.name} was removed by somebody else just now")
        work.halt(old, member)
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
            message = f"somebody else created a container {member.name}"
            # Theirs stands; but it stands for a dependant only, and what it depends on must run again.
            is_main = member is work.content.main
            return superseded(message) if is_main else refused("changed_by_others", message)
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
                return _not_started(member, error)
    return DONE


def _not_started(member: Member, error: BackendError) -> StepOutcome:
    """Why a container does not start: the daemon says 400 where its command cannot be run, and 500 where
    something around it is missing or taken, such as a port (moby daemon/start.go)."""
    is_its_own_fault = error.evidence.get("status") == 400
    code = "start_failed" if is_its_own_fault else "start_refused"
    return refused(code, f"the new {member.name} does not start: {error.message}")


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
            work.halt(old, member)
            work.daemon.remove(member.id, with_volumes=False)
    return DONE


# --- the way back -----------------------------------------------------------------------------------------


def stop_new(work: Work) -> StepOutcome:
    """Stops the new containers for good."""
    for member in work.last_first:
        new = work.find_new(member)
        if new is not None:
            work.halt(new, member)
    return DONE


def return_name(work: Work) -> StepOutcome:
    """Gives the old containers their names back; one that is gone is made again.

    It was stopped by us, and whoever clears up stopped containers did not want to be without the service.
    """
    renamed: dict[str, str] = {}
    for member in work.members:
        old = work.find_old(member)
        if old is None or name_of(old) != member.name:
            outcome = _free_name(work, member, old)
            if outcome is not None:
                return outcome
        if old is None or work.is_remade(old):
            outcome = remake(work, member, renamed)
            if outcome is not DONE:
                return outcome
        elif name_of(old) != member.name:
            work.daemon.rename(member.id, member.name)
        standing = old or work.find_old(member)
        renamed[member.id] = str(standing["Id"]) if standing else member.id
    return DONE


def _free_name(work: Work, member: Member, old: Json | None) -> StepOutcome | None:
    """Takes the name from the new container; the outcome where somebody else's has it."""
    holder = work.daemon.inspect(member.name)
    if holder is not None and not work.is_ours(holder):
        yours = f"; yours is {name_of(old)}" if old is not None else ""
        return superseded(f"somebody else created a container {member.name}{yours}")
    if holder is not None:
        work.daemon.rename(str(holder["Id"]), member.candidate)
    return None


def _vanished(member: Member) -> StepOutcome:
    return retry("previous_gone", f"the old {member.name} was removed by somebody else just now")


def restore_policy(work: Work) -> StepOutcome:
    """Gives the old containers their restart policies back, before they run: a crash must not lose them."""
    for member in work.members:
        old = work.find_old(member)
        if old is None:
            return _vanished(member)
        work.set_policy(old, member.restart_policy)
    return DONE


def start_old(work: Work) -> StepOutcome:
    """Starts the old containers that ran before."""
    for member in work.members:
        old = work.find_old(member)
        if old is None:
            return _vanished(member)
        if member.was_running and not is_running(old):
            work.daemon.start(str(old["Id"]))
    return DONE
