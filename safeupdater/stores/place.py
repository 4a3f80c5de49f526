"""Where state may lie: on a disk of this machine, and where nobody else can change it."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable
from pathlib import Path

import attrs

from safeupdater.errors import ConfigurationError, StoreError

# statfs(2) and the file systems' own documentation: locks there are advisory at best, a server may forget
# them, and SQLite's write-ahead log needs memory that all its users share (sqlite.org/wal.html).
_NETWORK = frozenset(
    {
        *("nfs", "nfs4", "cifs", "smb2", "smb3", "smbfs", "ncp", "ncpfs", "afs", "coda", "9p", "davfs"),
        *("ceph", "glusterfs", "lustre", "beegfs", "gpfs", "orangefs", "pvfs2", "ocfs2", "gfs2", "fuse"),
    }
)
_LOCAL_FUSE = frozenset({"fuse.fuse-overlayfs"})
"""What the root of a rootless container is on: as local as what lies under it."""

_ESCAPED = re.compile(r"\\([0-7]{3})")


@attrs.frozen
class Mount:
    """Where a file system is attached, and of which kind it is."""

    point: str
    kind: str

    @property
    def is_network(self) -> bool:
        """Whether its files may be another machine's, or pass through a program."""
        is_fuse = self.kind.startswith("fuse.") and self.kind not in _LOCAL_FUSE
        return is_fuse or self.kind in _NETWORK


MountTable = Callable[[], str]
"""Gives the text of ``/proc/self/mountinfo``."""


def system_mounts() -> str:
    """The mounts that this process sees (Linux); empty where the system does not say."""
    try:
        return Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return ""


def mount_of(path: Path, mountinfo: str) -> Mount | None:
    """The mount that an absolute path without symbolic links lies on; None where the table has none.

    The table is that of proc(5), in which a later line lies over an earlier one at the same point.
    """
    best: Mount | None = None
    for line in mountinfo.splitlines():
        found = _parse(line)
        if found is None or not _holds(found.point, str(path)):
            continue
        if best is None or len(found.point) >= len(best.point):
            best = found
    return best


def require_local(path: Path, mounts: MountTable = system_mounts) -> None:
    """Refuses a place on a network file system, where locks and syncs cannot be trusted.

    Raises:
        StoreError: ``network_file_system``.
    """
    mount = mount_of(Path(os.path.realpath(path)), mounts())
    if mount is not None and mount.is_network:
        raise StoreError(
            f"{path} is on a network file system ({mount.kind} at {mount.point}), where locks and syncs "
            "cannot be trusted: choose a local disk or postgresql://…, or say allow_network "
            "(?allow_network=1 in the URL) where you know better",
            code="network_file_system",
        )


def require_safe(path: Path) -> None:
    """Refuses a file or directory that somebody else could have put there, or could change.

    What is not there yet is fine. Root's is accepted, since root could do anything anyway (volumes of
    containers are root's).

    Raises:
        StoreError: ``unsafe_place``. May raise ``OSError`` too.
    """
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return
    danger = _danger(found)
    if danger:
        raise StoreError(f"{path} {danger}", code="unsafe_place")


def _danger(found: os.stat_result) -> str:
    if stat.S_ISLNK(found.st_mode):
        return "is a symbolic link: name the place that it leads to"
    if found.st_uid not in (os.geteuid(), 0):
        return (
            f"belongs to another user (uid {found.st_uid}, this process has uid {os.geteuid()}): "
            "run as that user, or choose another place"
        )
    if found.st_mode & stat.S_IWOTH:
        return "can be written by everybody: chmod o-w, or name a new directory inside it"
    return ""


@attrs.frozen(kw_only=True)
class PlaceOptions:
    """What a URL says about its place after the question mark."""

    path: str
    allow_network: bool = False


def place_of(text: str) -> PlaceOptions:
    """The path of a file store's URL and its options, such as ``PATH?allow_network=1``.

    Raises:
        ConfigurationError: an option is unknown, or says neither 0 nor 1.
    """
    path, mark, query = text.partition("?")
    if not mark:
        return PlaceOptions(path=path)
    name, _, value = query.partition("=")
    if name != "allow_network":
        raise ConfigurationError(
            f"the store's URL has an unknown option {ascii(name)[:40]}: only allow_network=1 is known"
        )
    return PlaceOptions(path=path, allow_network=is_allowed(value))


def is_allowed(value: object) -> bool:
    """What ``allow_network=`` in a URL says.

    Raises:
        ConfigurationError: neither 0 nor 1.
    """
    if value not in ("0", "1"):
        raise ConfigurationError("allow_network in the store's URL must be 0 or 1")
    return value == "1"


def _parse(line: str) -> Mount | None:
    fields = line.split(" ")
    try:
        return Mount(_unescaped(fields[4]), fields[fields.index("-", 6) + 1])
    except (IndexError, ValueError):
        return None


def _unescaped(text: str) -> str:
    return _ESCAPED.sub(lambda found: chr(int(found[1], 8)), text)


def _holds(point: str, path: str) -> bool:
    return path == point or path.startswith(point.rstrip("/") + "/")
