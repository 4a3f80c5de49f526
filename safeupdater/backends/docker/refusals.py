"""Why a container is not updated at all: each check gives a reason that says what to do, or None."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from safeupdater.backends.docker.carrying import carries_connection, carries_store, network_chain
from safeupdater.backends.docker.client import Json
from safeupdater.backends.docker.dependants import Tie, references_of
from safeupdater.backends.docker.listing import owner_of
from safeupdater.backends.docker.names import (
    OPERATION_LABEL,
    STOP_SIGNAL_LABEL,
    candidate_name,
    parked_name,
)
from safeupdater.backends.docker.room import has_no_room
from safeupdater.backends.docker.signals import asked_signal, parse_signal
from safeupdater.backends.docker.snapshot import section
from safeupdater.backends.docker.subject import Subject, digests_of, listed
from safeupdater.backends.docker.work import refused
from safeupdater.domain.artifact import ImageReference
from safeupdater.domain.operation import StepOutcome, StepStatus
from safeupdater.errors import InvalidReference


def _is_owned(subject: Subject) -> StepOutcome | None:
    owner = owner_of(subject.labels)
    return refused("owned", f"{subject.name} is managed by {owner}: update it there") if owner else None


def _is_other_runtime(subject: Subject) -> StepOutcome | None:
    if subject.is_podman:
        return refused(
            "podman_unsupported", "Podman describes containers in its own way: not updated safely yet"
        )
    if subject.inspect.get("Platform", "linux") != "linux":
        return refused("platform_unsupported", f"{subject.name} is not a Linux container")
    return None


def _is_ourselves(subject: Subject) -> StepOutcome | None:
    if subject.own_id and str(subject.inspect["Id"]) == subject.own_id:
        return refused(
            "self", f"{subject.name} runs safeupdater itself and would stop its own update half-way"
        )
    if _may_be_ours(subject, subject.inspect):
        return refused(
            "self", f"{subject.name} is in the network that safeupdater is in, and may be what runs it"
        )
    if any(
        _may_be_ours(subject, dependant.inspect) for dependant in subject.dependants if dependant.must_follow
    ):
        return refused(
            "self", f"{subject.name} shares its namespaces with the container that runs safeupdater"
        )
    if carries_connection(subject):
        return refused("self", f"{subject.name} is how safeupdater reaches the Docker daemon")
    if carries_store(subject):
        return refused(
            "self",
            f"{subject.name}, or what stops with it, is how safeupdater reaches its own database, and every "
            "step and the way back are written there: update it by hand",
        )
    return None


def _may_be_ours(subject: Subject, inspect: Json) -> bool:
    """Whether a container is the one that we run in as far as we know, or is in the network of that one.

    Inside, a container that shares another's network looks like that other one.
    """
    return subject.own_id is not None and any(
        str(each["Id"]) == subject.own_id for each in network_chain(subject, inspect)
    )


def _removes_itself(subject: Subject) -> StepOutcome | None:
    if not subject.host_config.get("AutoRemove"):
        return None
    return refused(
        "auto_remove",
        f"{subject.name} was started with --rm: it vanishes when it stops and could not be brought back; "
        "create it without --rm",
    )


def _is_unsettled(subject: Subject) -> StepOutcome | None:
    state = section(subject.inspect, "State")
    if state.get("Paused"):
        return refused("paused", f"{subject.name} is paused: unpause it first")
    if state.get("Dead"):
        return refused("dead", f"{subject.name} is dead to the daemon: remove it and create it again")
    return None


def _has_no_such_signal(subject: Subject) -> StepOutcome | None:
    text = asked_signal(subject.config, section(subject.image or {}, "Config"))
    if text is None or parse_signal(text):
        return None
    return refused(
        "bad_label",
        f"{subject.name} has the label {STOP_SIGNAL_LABEL}={text[:40]!a}, which is no signal: expected one "
        "such as SIGQUIT, quit or 3",
    )


def _is_changed(subject: Subject) -> StepOutcome | None:
    """Whether the container runs something else than what the plan was made for."""
    current = subject.change.current
    if isinstance(current, ImageReference) and _runs(subject, current):
        return None
    return StepOutcome(
        StepStatus.SUPERSEDED,
        "changed_since_plan",
        f"{subject.name} runs {subject.config.get('Image')} now, the plan was made for {current}: plan again",
    )


def _runs(subject: Subject, planned: ImageReference) -> bool:
    try:
        present = ImageReference.parse(str(subject.config.get("Image")))
    except InvalidReference:
        return False
    known = digests_of(subject.image)
    is_same_bits = planned.digest is None or not known or planned.digest in known
    return is_same_bits and present.with_digest(None) == planned.with_digest(None)


def _image_is_gone(subject: Subject) -> StepOutcome | None:
    if subject.image is not None:
        return None
    return refused(
        "image_gone",
        f"the image that {subject.name} was created from is gone from this host, so its defaults cannot be "
        "told from your settings: pull it again by its digest, or create the container again",
    )


def _is_built_here(subject: Subject) -> StepOutcome | None:
    if digests_of(subject.image):
        return None
    return refused(
        "local_build",
        f"{subject.name} runs an image that was built on this host: an image of that name in a registry "
        "need not be yours; build and deploy it yourself",
    )


def _is_pinned(subject: Subject) -> StepOutcome | None:
    text = str(subject.config.get("Image"))
    if "@" in text and ":" not in text.partition("@")[0].rpartition("/")[2]:
        return refused(
            "digest_pin", f"{subject.name} is pinned to a digest without a tag: nothing newer to follow"
        )
    return None


def _names_are_taken(subject: Subject) -> StepOutcome | None:
    for name in (candidate_name(subject.name), parked_name(subject.name)):
        other = subject.daemon.inspect(name)
        ours = other is not None and _operation_of(other) == subject.operation.operation_id
        if other is not None and not ours:
            return refused(
                "leftover", f"{name} is there already, from an unfinished update: run recover first"
            )
    return None


def _is_linked(subject: Subject) -> StepOutcome | None:
    linked = [dependant.name for dependant in subject.dependants if dependant.tie is Tie.LINK]
    if not linked:
        return None
    return refused(
        "linked",
        f"{listed(linked)} links to {subject.name} in the legacy way (--link), which cannot be moved "
        "to a new container: put both on a network of their own",
    )


def _cannot_follow(subject: Subject) -> StepOutcome | None:
    """Whether a dependant that must come along could itself not be brought back."""
    for dependant in subject.dependants:
        host_config = section(dependant.inspect, "HostConfig")
        labels = section(section(dependant.inspect, "Config"), "Labels")
        if dependant.must_follow and (host_config.get("AutoRemove") or owner_of(labels)):
            return refused(
                "dependant",
                f"{dependant.name} depends on {subject.name} and cannot be created anew with it "
                "(it was started with --rm, or something else manages it)",
            )
    return None


def _stands_on_nothing(subject: Subject) -> StepOutcome | None:
    for reference in references_of(subject.host_config):
        if subject.daemon.inspect(reference) is None:
            return refused(
                "dependency_gone",
                f"{subject.name} depends on the container {reference[:64]}, which is gone: it cannot start",
            )
    return None


REFUSALS: Sequence[Callable[[Subject], StepOutcome | None]] = (
    _is_owned,
    _is_other_runtime,
    _is_ourselves,
    _removes_itself,
    _is_unsettled,
    _has_no_such_signal,
    _image_is_gone,
    _is_changed,
    _is_built_here,
    _is_pinned,
    _names_are_taken,
    _is_linked,
    _cannot_follow,
    _stands_on_nothing,
    has_no_room,
)


def _operation_of(inspect: Json) -> str | None:
    label: str | None = section(section(inspect, "Config"), "Labels").get(OPERATION_LABEL)
    return label
