"""Everything that can be done while the old version serves untouched: image, candidate, proof."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from safeupdater.backends.docker.client import Json
from safeupdater.backends.docker.faults import fault_of_pull, one_line
from safeupdater.backends.docker.recreate import Successor, keeps_macs, losses, successor
from safeupdater.backends.docker.snapshot import Member, captured, endpoints, platform_of, section
from safeupdater.backends.docker.split import gains_root, user_config
from safeupdater.backends.docker.target import tag_reference
from safeupdater.backends.docker.work import Work, refused, retry
from safeupdater.domain.artifact import ImageReference
from safeupdater.domain.image import ImageDefaults, image_changes
from safeupdater.domain.operation import DONE, StepOutcome, StepStatus
from safeupdater.domain.platform import Platform
from safeupdater.errors import BackendError, InvalidReference
from safeupdater.protocols import Progress


def keep_old_image(work: Work) -> StepOutcome:
    """Tags the old image, so that no prune takes what a rollback needs."""
    old = str(work.content.main.image["Id"])
    kept = work.daemon.inspect_image(work.keep_reference)
    if kept is None or kept["Id"] != old:
        work.daemon.tag(old, work.keep_reference)
    return DONE


def pull(work: Work) -> StepOutcome:
    """Fetches the new image by the digest that was decided on."""
    wanted = work.wanted
    if wanted.find(work.daemon) is not None:
        return DONE
    if wanted.digest is None:
        return refused(
            "image_gone", f"the image of {wanted.text} is gone from this host and has no digest to pull"
        )
    messages = work.daemon.pull(wanted.repository, wanted.digest, work.platform_for(work.content.main))
    problem = _follow(work, messages)
    if problem is not None:
        fault = fault_of_pull(problem)
        answer = retry if fault.transient else refused
        return answer(fault.code, f"{wanted.text} could not be pulled: {one_line(problem)}: {fault.advice}")
    if wanted.find(work.daemon) is None:
        return refused("digest_mismatch", f"what was pulled is not {wanted.repository}@{wanted.digest}")
    return DONE


def _follow(work: Work, messages: Iterable[Json]) -> str | None:
    """Reports a pull's progress; gives its error, which comes in the stream like everything else."""
    layers: dict[str, tuple[int, int]] = {}
    reported = -1
    for message in messages:
        if "error" in message:
            return str(message["error"])
        detail = message.get("progressDetail") or {}
        if message.get("status") == "Downloading" and detail.get("total"):
            layers[str(message.get("id"))] = int(detail.get("current") or 0), int(detail["total"])
        done, total = (sum(part) for part in zip(*layers.values(), strict=True)) if layers else (0, 0)
        if done - reported >= max(total // 100, 1):
            work.report(Progress(step="pull", done=done, total=total, unit="bytes"))
            reported = done
    return None


def _other_platform(work: Work, member: Member, platform: Platform | None) -> StepOutcome:
    return refused(
        "platform_mismatch",
        f"{work.wanted.text} is for {platform}, and {member.name} runs on {member.platform}, on a machine "
        f"for {work.machine()}: nothing says that it can run it",
    )


def verify_image(work: Work, *, allow_root: bool) -> StepOutcome:
    """Looks at what was pulled: the very digest, the same platform, no new privileges."""
    image = work.wanted.find(work.daemon)
    if image is None:
        return retry("image_gone", f"the image of {work.wanted.text} vanished from this host")
    main = work.content.main
    digests = {str(entry).rpartition("@")[2] for entry in image.get("RepoDigests") or ()}
    if work.operation.wanted is None and work.wanted.digest not in digests:
        return refused("digest_mismatch", f"the image that was pulled does not carry {work.wanted.digest}")
    if not main.says_platform and not work.may_run(main, {}, image):
        return _other_platform(work, main, platform_of({}, image))
    mine = user_config(main.config, main.image_config)
    if not allow_root and gains_root(mine, main.image_config, section(image, "Config")):
        return refused(
            "gains_root",
            f"{work.wanted.text} runs as root, which its predecessor did not: set a user for {main.name}, "
            "or allow it (allow_gaining_root)",
        )
    changes = image_changes(ImageDefaults.of(main.image_config), ImageDefaults.of(section(image, "Config")))
    return StepOutcome(StepStatus.DONE, "image_changes", "; ".join(map(str, changes))) if changes else DONE


def tag_image(work: Work) -> StepOutcome:
    """Points the tag that people will see at the new image, as a pull by tag would have."""
    if work.wanted.is_pinned_text:
        return DONE
    image = work.wanted.find(work.daemon)
    if image is None:
        return retry("image_gone", f"the image of {work.wanted.text} vanished from this host")
    reference = tag_reference(work.wanted.text)
    tagged = work.daemon.inspect_image(reference)
    if tagged is None or tagged["Id"] != image["Id"]:
        work.daemon.tag(str(image["Id"]), reference)
    return DONE


# --- the candidates ---------------------------------------------------------------------------------------


def create_candidate(work: Work) -> StepOutcome:
    """Creates the successors, stopped, never to be started by the daemon itself, on all their networks."""
    renamed: dict[str, str] = {}
    for member in work.members:
        planned = _planned(work, member, renamed)
        if isinstance(planned, StepOutcome):
            return planned
        wanted, image = planned
        new = work.find_new(member)
        if new is None:
            if work.daemon.inspect(member.candidate) is not None:
                return refused("leftover", f"{member.candidate} is there already: run recover, or remove it")
            work.daemon.create(member.candidate, wanted.body, _made_for(work, member, image))
            new = work.daemon.inspect(member.candidate)
        if new is None:
            return retry("candidate_gone", f"{member.candidate} vanished after it was created")
        join_networks(work, new, wanted)
        renamed[member.id] = str(new["Id"])
    return DONE


def _made_for(work: Work, member: Member, image: Json) -> Platform | None:
    """For which platform a successor is made: as its image says, which a daemon may take to the letter.

    An image of several platforms says one of them, which need not be the wanted one.
    """
    wanted, said = work.platform_for(member), platform_of({}, image)
    return said if wanted is None or (said is not None and wanted.runs(said)) else wanted


def compare_candidate(work: Work) -> StepOutcome:
    """Proves that the successors have everything that their predecessors had."""
    renamed: dict[str, str] = {}
    for member in work.members:
        planned = _planned(work, member, renamed)
        if isinstance(planned, StepOutcome):
            return planned
        wanted, image = planned
        new = work.find_new(member)
        if new is None:
            return retry("candidate_gone", f"{member.candidate} was removed by somebody else")
        if new["Image"] != image["Id"]:
            return refused("image_moved", f"{member.candidate} did not get the image that was decided on")
        if not work.may_run(member, new, image):
            return _other_platform(work, member, platform_of(new, image))
        lost = losses(_source(work, member), wanted, new, section(image, "Config"))
        if lost:
            return refused("lossy", f"{member.name} cannot be created anew without losing {', '.join(lost)}")
        renamed[member.id] = str(new["Id"])
    return DONE


def _source(work: Work, member: Member) -> Member:
    """Whose settings the successor gets: the member's own, or in a rollback by hand those of back then."""
    if work.operation.wanted is None or member is not work.content.main:
        return member
    return captured(work.operation.wanted).main


def _planned(work: Work, member: Member, renamed: dict[str, str]) -> tuple[Successor, Json] | StepOutcome:
    """The wanted successor of a member and its image; an outcome where it cannot be had."""
    is_main = member is work.content.main
    image = work.wanted.find(work.daemon) if is_main else member.image
    text = work.wanted.text if is_main else own_text(work, member)
    if image is None or text is None:
        return retry("image_gone", f"the image for {member.name} vanished from this host")
    wanted = successor(
        _source(work, member),
        image_text=text,
        image_id=str(image["Id"]),
        operation_id=work.operation.operation_id,
        renamed=renamed,
        keeps_macs=keeps_macs(work.daemon),
    )
    return wanted, image


def own_text(work: Work, member: Member) -> str | None:
    """A dependant's own reference, pinned where its tag has meanwhile moved to another image."""
    text = str(member.config["Image"])
    named = work.daemon.inspect_image(text)
    if named is not None and named["Id"] == member.image["Id"]:
        return text
    return next(_pinned_texts(text, member.image.get("RepoDigests") or ()), None)


def _pinned_texts(text: str, digests: Iterable[str]) -> Iterator[str]:
    try:
        mine = ImageReference.parse(text)
    except InvalidReference:
        return
    for entry in digests:
        name, _, digest = entry.rpartition("@")
        if ImageReference.parse(name).name == mine.name:
            yield f"{text.partition('@')[0]}@{digest}"


def join_networks(work: Work, new: Json, wanted: Successor) -> None:
    """Attaches a container to the networks that are wanted, and to no other."""
    attached = set(endpoints(new))
    if not wanted.has_networks:
        return
    for name in wanted.networks:
        if name not in attached:
            work.daemon.attach(name, str(new["Id"]), wanted.networks[name])
    for name in attached - set(wanted.networks):
        work.daemon.detach(name, str(new["Id"]))


def remove_candidate(work: Work) -> StepOutcome:
    """Removes the successors, with the empty volumes that came into being with them."""
    for member in work.last_first:
        new = work.find_new(member)
        if new is not None:
            work.halt(new, member)
            # Only volumes that nobody named and nobody else mounts go with it: the old container's are
            # attached by name, and the old container still holds them.
            work.daemon.remove(str(new["Id"]), with_volumes=True)
    return DONE


def restore_tag(work: Work) -> StepOutcome:
    """Points the tag back at what it named before, if it still names the new image."""
    if not work.members or work.wanted.is_pinned_text:
        return DONE
    image = work.wanted.find(work.daemon)
    reference = tag_reference(work.wanted.text)
    tagged = work.daemon.inspect_image(reference)
    before = work.content.tag_image
    if image is None or tagged is None or tagged["Id"] != image["Id"] or before == image["Id"]:
        return DONE
    if before is None:
        work.daemon.remove_image(reference)
    elif work.daemon.inspect_image(before) is not None:
        work.daemon.tag(before, reference)
    return DONE


def release_old_image(work: Work) -> StepOutcome:
    """Takes the keep-tag off again: the old version runs, which is all the keeping that it needs."""
    try:
        work.daemon.remove_image(work.keep_reference)
    except BackendError as error:
        # A tag too many is harmless, so only an answer that may still come is waited for.
        if error.transient:
            raise
    return DONE
