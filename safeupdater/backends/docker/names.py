"""What our own containers, tags and labels are called. Fixed names are what makes steps convergent."""

from __future__ import annotations

import re

OPERATION_LABEL = "safeupdater.operation"
"""On every container that we created: the operation that did. Labels last as long as the container."""

REMADE_LABEL = "safeupdater.remade"
"""On a container that was made again because somebody removed the old one: the operation that did."""

STOP_SIGNAL_LABEL = "safeupdater.stop-signal"
"""On a container: the signal to stop it with, where it is not to be the one that Docker would send."""

KEEP_REPOSITORY = "safeupdater/keep"
"""Images under this name are what rollbacks need; ``docker image prune`` passes tagged images by."""

_CANDIDATE = ".su-new"
_PARKED = ".su-old"
_TAG_LENGTH = 128


def candidate_name(name: str) -> str:
    """What the new container is called until it takes the name over. The daemon allows it only once."""
    return name + _CANDIDATE


def parked_name(name: str) -> str:
    """What the old container is called while the new one has its name."""
    return name + _PARKED


def base_name(name: str) -> str | None:
    """The name that a candidate or parked container stands in for; None for anybody else's container."""
    for suffix in (_CANDIDATE, _PARKED):
        if name.endswith(suffix):
            return name.removesuffix(suffix)
    return None


def keep_reference(operation_id: str) -> str:
    """The tag that keeps an operation's old image."""
    tag = re.sub(r"[^A-Za-z0-9_.-]", "-", operation_id)[:_TAG_LENGTH]
    return f"{KEEP_REPOSITORY}:{tag}"
