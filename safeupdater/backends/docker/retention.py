"""Letting go of what was kept for rollbacks, once nobody can ask for them any more."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from safeupdater.backends.docker.daemon import Daemon
from safeupdater.backends.docker.names import KEEP_REPOSITORY, OPERATION_LABEL, keep_reference
from safeupdater.backends.docker.snapshot import FORMAT, captured, section
from safeupdater.backends.docker.target import tag_reference
from safeupdater.domain.operation import Snapshot


def release(daemon: Daemon, expired: Sequence[Snapshot], kept: Iterable[Snapshot]) -> tuple[str, ...]:
    """Removes the images of expired snapshots that no kept one and no container needs; says what it was."""
    needed = {str(captured(snapshot).main.image["Id"]) for snapshot in kept if snapshot.format == FORMAT}
    # After an update that did not stay, the snapshot's image is the one that runs.
    needed |= {listed.image_id for listed in daemon.containers()} if expired else set()
    known = (snapshot for snapshot in expired if snapshot.format == FORMAT)
    return tuple(removed for snapshot in known for removed in _release(daemon, snapshot, needed))


def _release(daemon: Daemon, snapshot: Snapshot, needed: set[str]) -> list[str]:
    """Takes our names from an expired snapshot's image, and the image away if nobody else wants it."""
    member = captured(snapshot).main
    image_id = str(member.image["Id"])
    removed = []
    kept_by = keep_reference(snapshot.operation_id)
    if daemon.inspect_image(kept_by) is not None and daemon.remove_image(kept_by):
        removed.append(f"the keep-tag {kept_by}")
    text = str(member.config.get("Image"))
    if image_id in needed:
        return removed
    if OPERATION_LABEL in section(member.config, "Labels") and "@" not in text:
        # The container was made by us, so its image's tag was put there by us.
        tagged = daemon.inspect_image(tag_reference(text))
        if tagged is not None and tagged["Id"] == image_id:
            daemon.remove_image(tag_reference(text))
    left = daemon.inspect_image(image_id)
    tags = [tag for tag in (left or {}).get("RepoTags") or () if not tag.startswith(f"{KEEP_REPOSITORY}:")]
    if left is not None and not tags:
        daemon.remove_image(image_id)
    if daemon.inspect_image(image_id) is None:
        removed.append(f"the image {text} ({image_id[:19]})")
    return removed
