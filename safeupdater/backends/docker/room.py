"""How much room there is for images, where that can be known."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

from safeupdater.backends.docker.subject import Subject
from safeupdater.backends.docker.work import refused
from safeupdater.domain.artifact import ImageReference
from safeupdater.domain.operation import StepOutcome

_TIMES = 2
"""An image's layers are on the disk twice while they are unpacked."""
_FLOOR = 64 << 20


def free_bytes(path: str) -> int | None:
    """What is free on the file system of a path of this machine; None where that cannot be told."""
    try:
        return shutil.disk_usage(path).free if path else None
    except OSError:
        return None


def has_no_room(subject: Subject) -> StepOutcome | None:
    """Refuses a pull where next to nothing is free.

    More cannot be told beforehand: layers that are here already are not pulled again. A pull that fills
    the disk ends by itself, with the old version untouched.
    """
    free = subject.free_bytes
    if free is None or free >= _FLOOR or not _is_short(subject, free):
        return None
    return refused(
        "disk_full",
        f"the disk of the Docker daemon has {_mib(free)} MiB free, and the image of {subject.name} takes "
        f"{_mib(_size(subject))} MiB: make room (docker system df shows what can go) and try again",
    )


def room_is_short(subject: Subject) -> Iterator[str]:
    """Warns of a pull that there may be no room for."""
    free = subject.free_bytes
    if free is not None and _is_short(subject, free):
        yield (
            f"the disk of the Docker daemon has {_mib(free)} MiB free, and the image of {subject.name} takes "
            f"{_mib(_size(subject))} MiB: if the pull needs twice that, it fails"
        )


def _is_short(subject: Subject, free: int) -> bool:
    """Whether less is free than an image as large as the present one may need, and one has to come."""
    return free < _TIMES * _size(subject) and not _is_here(subject)


def _size(subject: Subject) -> int:
    return int((subject.image or {}).get("Size") or 0)


def _is_here(subject: Subject) -> bool:
    new = subject.change.new
    return (
        isinstance(new, ImageReference)
        and new.digest is not None
        and subject.daemon.inspect_image(f"{new.name}@{new.digest}") is not None
    )


def _mib(size: int) -> int:
    return size >> 20
