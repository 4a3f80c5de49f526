"""The signal that a container's user wants it to be stopped with."""

from __future__ import annotations

from safeupdater.backends.docker.client import Json
from safeupdater.backends.docker.names import STOP_SIGNAL_LABEL
from safeupdater.backends.docker.split import user_config

_NAMES = frozenset({
    "ABRT", "ALRM", "BUS", "CHLD", "CLD", "CONT", "FPE", "HUP", "ILL", "INT", "IO", "IOT", "KILL", "PIPE",
    "POLL", "PROF", "PWR", "QUIT", "SEGV", "STKFLT", "STOP", "SYS", "TERM", "TRAP", "TSTP", "TTIN", "TTOU",
    "URG", "USR1", "USR2", "VTALRM", "WINCH", "XCPU", "XFSZ",
    "RTMIN", *(f"RTMIN+{number}" for number in range(1, 16)),
    "RTMAX", *(f"RTMAX-{number}" for number in range(1, 15)),
})  # fmt: skip
_NUMBERS = frozenset(str(number) for number in (*range(1, 32), *range(34, 65)))
"""Those between are the C library's own, and the daemon refuses them."""


def parse_signal(text: str) -> str | None:
    """A signal of Linux as it is sent to the daemon; None where it is none that the daemon takes.

    Names go with or without ``SIG``, in any case (moby/sys signal, ``ParseSignal``).
    """
    name = text.upper() if text.isascii() else ""
    return name if name in _NUMBERS or name.removeprefix("SIG") in _NAMES else None


def asked_signal(config: Json, image_config: Json) -> str | None:
    """What the label of a container says, None without one.

    Only a user may say it: with a label of its own a new image could keep itself from being stopped.
    """
    text: str | None = user_config(config, image_config)["Labels"].get(STOP_SIGNAL_LABEL)
    return text
