"""Who holds a lease, in a text that lets others on the same machine see whether it still lives."""

from __future__ import annotations

import os
import secrets
import socket
from pathlib import Path

import attrs

_PROC = Path("/proc")
_UNKNOWN = "unknown"


@attrs.frozen(kw_only=True)
class Holder:
    """One process that may hold leases: ``machine:boot:pid:started:random``.

    ``machine`` is the name by which people know it; nothing is concluded from it.
    ``boot`` names the running kernel and the process namespace: a process id means something only within
    both. ``started`` is the process's start in clock ticks after boot, since process ids come back.
    """

    machine: str
    boot: str
    pid: int
    started: str
    random: str

    @classmethod
    def parse(cls, text: str) -> Holder | None:
        """The holder that a text names; None for a text of another form."""
        parts = text.rsplit(":", 4)
        if len(parts) != 5 or not parts[2].isascii() or not parts[2].isdigit():
            return None
        machine, boot, pid, started, random = parts
        return cls(machine=machine, boot=boot, pid=int(pid), started=started, random=random)

    def __str__(self) -> str:
        return f"{self.machine}:{self.boot}:{self.pid}:{self.started}:{self.random}"


def holder_identity() -> str:
    """A new holder text for this process; each call gives another one."""
    pid = os.getpid()
    return str(
        Holder(
            machine=socket.gethostname() or _UNKNOWN,
            boot=_boot(),
            pid=pid,
            started=_started(pid) or _UNKNOWN,
            random=secrets.token_hex(6),
        )
    )


def is_provably_dead(holder: str) -> bool:
    """Whether the process behind a holder text is gone for certain.

    That can be known only on the same boot and in the same process namespace; elsewhere, and where the
    system does not say, the answer is no, and the lease has to expire.
    """
    named = Holder.parse(holder)
    if named is None or _UNKNOWN in named.boot or named.boot != _boot() or named.pid == os.getpid():
        return False
    if not _exists(named.pid):
        return True
    started = _started(named.pid)
    return (
        started is not None and named.started != _UNKNOWN and (started != named.started or _ended(named.pid))
    )


def _boot() -> str:
    boot = _read(_PROC / "sys/kernel/random/boot_id") or _UNKNOWN
    try:
        namespace = os.readlink(_PROC / "self/ns/pid").strip("pid:[]")
    except OSError:
        namespace = _UNKNOWN
    return f"{boot}/{namespace}"


def _exists(pid: int) -> bool:
    # Asking the kernel, not /proc: with hidepid the processes of others are invisible there.
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True


def _stat(pid: int) -> list[str]:
    # The command name in parentheses may hold spaces: what counts comes after the last ")".
    text = _read(_PROC / str(pid) / "stat")
    return text.rpartition(")")[2].split() if text else []


def _started(pid: int) -> str | None:
    fields = _stat(pid)
    return fields[19] if len(fields) > 19 else None


def _ended(pid: int) -> bool:
    # A killed process that nobody has waited for is dead, unless other threads of it outlive the first.
    if _stat(pid)[:1] not in (["Z"], ["X"]):
        return False
    try:
        return len(os.listdir(_PROC / str(pid) / "task")) <= 1
    except OSError:
        return False


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return None
