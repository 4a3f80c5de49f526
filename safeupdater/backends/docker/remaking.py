"""Making an old container again, where somebody removed it while it was stopped.

``docker system prune`` removes every stopped container, and so the one that is the way back. What it was is
in the snapshot, its image is kept by a tag, and its volumes are held by the new container.
"""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from safeupdater.backends.docker.names import REMADE_LABEL
from safeupdater.backends.docker.recreate import Successor, keeps_macs, losses, successor
from safeupdater.backends.docker.snapshot import Member, section
from safeupdater.backends.docker.staging import join_networks, own_text, restore_tag
from safeupdater.backends.docker.work import Work, refused, retry
from safeupdater.domain.operation import DONE, StepOutcome, StepStatus

# By a step of its own, which may have been taken already.
_GIVEN_LATER = ("HostConfig.RestartPolicy",)


def remake(work: Work, member: Member, renamed: Mapping[str, str]) -> StepOutcome:
    """Makes an old container again, stopped, under its name, which must be free or its own.

    ``renamed`` maps the ids of the old containers that it refers to, to those of what stands for them now.
    """
    # In a same-tag update its tag still names the new image.
    outcome = restore_tag(work)
    text = own_text(work, member)
    is_here = work.daemon.inspect_image(str(member.image["Id"])) is not None
    if outcome.status is not StepStatus.DONE or text is None or not is_here:
        return refused(
            "previous_gone",
            f"{member.name} was removed by somebody else, and so was its image: pull "
            f"{text or member.image['Id']}, then resolve the operation by restoring",
        )
    wanted = _predecessor(work, member, text, renamed)
    if work.daemon.inspect(member.name) is None:
        work.daemon.create(member.name, wanted.body, member.platform)
    made = work.daemon.inspect(member.name)
    if made is None:
        return retry("vanished", f"{member.name} vanished after it was made again")
    join_networks(work, made, wanted)
    made = work.daemon.inspect(member.name) or made
    lost = [item for item in losses(member, wanted, made, member.image_config) if item not in _GIVEN_LATER]
    if lost:
        return refused("lossy", f"{member.name} was made again, but without {', '.join(lost)}")
    return DONE


def _predecessor(work: Work, member: Member, text: str, renamed: Mapping[str, str]) -> Successor:
    """What the old container was, and a label of ours."""
    wanted = successor(
        member,
        image_text=text,
        image_id=str(member.image["Id"]),
        operation_id=work.operation.operation_id,
        renamed=renamed,
        keeps_macs=keeps_macs(work.daemon),
    )
    own = section(member.config, "Labels")
    labels = {key: own[key] for key in wanted.config["Labels"] if key in own}
    labels[REMADE_LABEL] = work.operation.operation_id
    return attrs.evolve(wanted, config={**wanted.config, "Labels": labels})
