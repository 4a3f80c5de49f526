"""How much room there is for images, where that can be known."""

from __future__ import annotations

import shutil

from safeupdater.backends.docker.subject import Subject
from safeupdater.backends.docker.work import refused
from safeupdater.domain.artifact import ImageReference
from safeupdater.domain.operation import StepOutcome

_TIMES = 2
"""An image's layers are on the disk twice while they are unpacked."""


def free_bytes(path: str) -> int | None:
    """What is free on the file system of a path of this machine; None where that cannot be told."""
    try:
        return shutil.disk_usage(path).free if path else None
    except OSError:
        return None


def has_no_room(subject: Subject) -> StepOutcome | None:
    """Refuses a pull for which there is visibly no room; how large it is, the present image says."""
    free, size = subject.free_bytes, int((subject.image or {}).get("Size") or 0)
    if free is None or free >= _TIMES * size or _is_here(subject):
        return None
    return refused(
        "disk_full",
        f"the disk of the Docker daemon has {_mib(free)} MiB free, and the image of {subject.name} takes "
        f"{_mib(size)} MiB: free twice that (docker system df shows what can go) and try again",
    )


def _is_here(subject: Subject) -> bool:
    new = subject.change.new
    return (
        isinstance(new, ImageReference)
        and new.digest is not None
        and subject.daemon.inspect_image(f"{new.name}@{new.digest}") is not None
    )


def _mib(size: int) -> int:
    return size >> 20
