"""What an image says of how it wants to be run, and how two of them differ in it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Self

import attrs

_NAMED_AT_MOST = 3
_LONGEST_NAME = 80
# Runtimes read the number as Go's strconv.Atoi does: 00 and +0 are 0 too (moby/sys user, GetExecUser).
_ROOT = re.compile(r"root|[+-]?0+|", re.ASCII)


@attrs.frozen(kw_only=True)
class ImageDefaults:
    """The defaults that an image gives to its containers: the claims of whoever built it.

    ``health_check`` says whether it has one. ``foreign_layers`` names the hosts, other than its registry,
    that its manifest sends a runtime to for layers (OCI image 1.1, ``urls``).
    """

    user: str = ""
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    ports: frozenset[str] = frozenset()
    volumes: frozenset[str] = frozenset()
    health_check: bool = False
    foreign_layers: tuple[str, ...] = ()

    @classmethod
    def of(cls, config: Mapping[str, Any], foreign_layers: Iterable[str] = ()) -> Self:
        """The defaults in an image's ``config``, as registries and runtimes have it."""
        check = (config.get("Healthcheck") or {}).get("Test") or ()
        return cls(
            user=str(config.get("User") or ""),
            entrypoint=tuple(config.get("Entrypoint") or ()),
            command=tuple(config.get("Cmd") or ()),
            ports=frozenset(config.get("ExposedPorts") or ()),
            volumes=frozenset(config.get("Volumes") or ()),
            health_check=bool(check) and list(check) != ["NONE"],
            foreign_layers=tuple(foreign_layers),
        )


@attrs.frozen
class ImageChange:
    """One difference between two images: its code, and a sentence about the new one."""

    code: str
    message: str

    def __str__(self) -> str:
        return self.message


GAINS_ROOT = "gains_root"


def image_changes(before: ImageDefaults, after: ImageDefaults) -> tuple[ImageChange, ...]:
    """What people should know before they run another image; empty where nothing of it changes."""
    return tuple(change for look in _LOOKS for change in look(before, after))


def is_root(user: str | None) -> bool:
    """Whether a ``USER`` is root; none at all is."""
    return _ROOT.fullmatch((user or "").partition(":")[0]) is not None


def _user(before: ImageDefaults, after: ImageDefaults) -> Iterator[ImageChange]:
    if is_root(after.user) and not is_root(before.user):
        yield ImageChange(GAINS_ROOT, f"It runs as root, before as {_shown(before.user)}")
    elif after.user != before.user and not (is_root(after.user) and is_root(before.user)):
        yield ImageChange(
            "user", f"It runs as {_shown(after.user)}, before as {_shown(before.user or 'root')}"
        )


def _process(before: ImageDefaults, after: ImageDefaults) -> Iterator[ImageChange]:
    # What it runs instead is not shown: people write secrets into commands.
    if after.entrypoint != before.entrypoint:
        yield ImageChange("entrypoint", "Its entrypoint is another")
    if after.command != before.command:
        yield ImageChange("command", "Its command is another")


def _ports(before: ImageDefaults, after: ImageDefaults) -> Iterator[ImageChange]:
    if added := after.ports - before.ports:
        yield ImageChange("ports_added", f"It exposes {_listed(added)} too")
    if removed := before.ports - after.ports:
        yield ImageChange("ports_removed", f"It no longer exposes {_listed(removed)}")


def _volumes(before: ImageDefaults, after: ImageDefaults) -> Iterator[ImageChange]:
    if added := after.volumes - before.volumes:
        message = f"It declares a volume at {_listed(added)}: what is there now is hidden by a new one"
        yield ImageChange("volumes_added", message)
    if removed := before.volumes - after.volumes:
        yield ImageChange("volumes_removed", f"It no longer declares a volume at {_listed(removed)}")


def _health(before: ImageDefaults, after: ImageDefaults) -> Iterator[ImageChange]:
    if before.health_check and not after.health_check:
        yield ImageChange("health_check_dropped", "It has no HEALTHCHECK any more")


def _layers(before: ImageDefaults, after: ImageDefaults) -> Iterator[ImageChange]:
    if after.foreign_layers:
        yield ImageChange("foreign_layers", f"It has layers that come from {_listed(after.foreign_layers)}")


_LOOKS: tuple[Callable[[ImageDefaults, ImageDefaults], Iterator[ImageChange]], ...] = (
    _user, _process, _ports, _volumes, _health, _layers,
)  # fmt: skip


def _listed(names: Iterable[str]) -> str:
    ordered = sorted(names)
    more = len(ordered) - _NAMED_AT_MOST
    return ", ".join(map(_shown, ordered[:_NAMED_AT_MOST])) + (f" and {more} more" if more > 0 else "")


def _shown(name: str) -> str:
    """A name that somebody else wrote, fit for a sentence."""
    cut = name if len(name) <= _LONGEST_NAME else name[: _LONGEST_NAME - 3] + "..."
    return cut if cut.isascii() and cut.isprintable() else ascii(cut)
