"""What the successor of a container will run, and by which name people will see it."""

from __future__ import annotations

import attrs

from safeupdater.backends.docker.client import Json
from safeupdater.backends.docker.daemon import Daemon
from safeupdater.backends.docker.snapshot import Captured, captured
from safeupdater.domain.artifact import ImageReference
from safeupdater.domain.change import Change
from safeupdater.errors import BackendError
from safeupdater.protocols import OperationContext


@attrs.frozen(kw_only=True)
class Wanted:
    """The image that is wanted: under which text, and found by which of these names, the best first.

    ``digest`` is what was decided on; it is None only where a snapshot's image never had one.
    """

    text: str
    repository: str
    digest: str | None
    found_by: tuple[str, ...]

    def find(self, daemon: Daemon) -> Json | None:
        """The image, where it is here already and its digest is the one that was decided on."""
        for reference in self.found_by:
            image = daemon.inspect_image(reference)
            if image is not None:
                return image
        return None

    @property
    def is_pinned_text(self) -> bool:
        """Whether the text names the digest itself, so that no tag has to be moved."""
        return "@" in self.text


def wanted_image(operation: OperationContext) -> Wanted:
    """What an operation wants to run: the planned image, or the one of the snapshot to bring back."""
    if operation.wanted is not None:
        return _from_snapshot(captured(operation.wanted))
    change = operation.planned.changes[0]
    if not isinstance(change.new, ImageReference) or change.new.digest is None:
        raise BackendError(
            f"the plan for {operation.target_id} names no digest: plan again with the registry in reach",
            code="not_pinned",
        )
    present = captured(operation.snapshot).main.config["Image"] if operation.snapshot else str(change.current)
    pinned = f"{change.new.name}@{change.new.digest}"
    return Wanted(
        text=image_text(str(present), change),
        repository=change.new.name,
        digest=change.new.digest,
        found_by=(pinned,),
    )


def _from_snapshot(content: Captured) -> Wanted:
    text = str(content.main.config["Image"])
    entries = [str(entry) for entry in content.main.image.get("RepoDigests") or ()]
    reference = ImageReference.parse(text)
    own = [entry for entry in entries if ImageReference.parse(entry).name == reference.name]
    best = (own or entries or [""])[0]
    name, _, digest = best.rpartition("@")
    return Wanted(
        text=text,
        repository=ImageReference.parse(name).name if name else reference.name,
        digest=digest or None,
        found_by=(str(content.main.image["Id"]), *([best] if best else [])),
    )


def image_text(present: str, change: Change) -> str:
    """The new reference in the user's own way of writing: their prefix, pinned only where they pinned."""
    new = change.new
    assert isinstance(new, ImageReference)
    unpinned, at, _ = present.partition("@")
    head, colon, tail = unpinned.rpartition(":")
    is_tagged = bool(colon) and "/" not in tail
    prefix = head if is_tagged else unpinned
    if ImageReference.parse(prefix).name != new.name:
        prefix = new.with_digest(None).familiar.removesuffix(f":{new.tag}") if new.tag else new.name
    tag = f":{new.tag}" if new.tag and (is_tagged or new.tag != "latest") else ""
    return f"{prefix}{tag}" + (f"@{new.digest}" if at else "")


def tag_reference(text: str) -> str:
    """A text as ``repository:tag``, for the calls that want the tag said."""
    return text if ":" in text.rpartition("/")[2] else f"{text}:latest"
