"""Whether we run in a container ourselves, and in which: it must never be the one that is updated."""

from __future__ import annotations

import re
from pathlib import Path

# Docker mounts these files of its own into every container, from a directory named by the container's id.
_MOUNTED = re.compile(r"/containers/([0-9a-f]{64})/(?:hostname|hosts|resolv\.conf)")
_CGROUP = re.compile(r"(?:docker[-/]|/)([0-9a-f]{64})(?:\.scope)?$", re.MULTILINE)


def own_container_id(proc: Path = Path("/proc/self")) -> str | None:
    """The id of the container that this process runs in; None outside of one, or where it cannot be told.

    Of a container in the network of another it may be the id of that other, whose files it gets; where
    control groups are not namespaced, they are exact.
    """
    for file, pattern in (("cgroup", _CGROUP), ("mountinfo", _MOUNTED)):
        try:
            text = (proc / file).read_text(errors="replace")
        except OSError:
            continue
        found = pattern.search(text)
        if found:
            return found[1]
    return None
