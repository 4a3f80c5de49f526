"""Extensions of other packages: found by name among the installed entry points, when they are used.

Nothing is scanned at import, and nothing is loaded that was not named. What is loaded runs in this
process with its rights: name only what you trust.
"""

from __future__ import annotations

import inspect
from importlib import metadata
from typing import Any

from typing_extensions import get_protocol_members

from safeupdater.errors import PluginError, border

GROUPS = ("backends", "gates", "fact_sources", "health_checks", "stores", "registries", "observers")


def find_plugin(group: str, name: str) -> object | None:
    """What an installed package offers under a name in a group such as ``gates``; None where nobody does.

    Raises:
        PluginError: two packages offer it, or it cannot be loaded (the cause is attached).
    """
    # The same package may be found twice on the path; two packages are a conflict.
    found = {_claim(entry): entry for entry in metadata.entry_points(group=f"safeupdater.{group}", name=name)}
    if not found:
        return None
    if len(found) > 1:
        claims = " and ".join(sorted(found))
        raise PluginError(f"{name!a} in safeupdater.{group} is claimed by {claims}: uninstall one of them")
    ((claim, entry),) = found.items()
    try:
        loaded: object = entry.load()
    except (Exception, SystemExit) as error:
        # The text of a foreign exception may hold a secret; its type does not, and the cause is attached.
        problem = type(error).__name__
        raise PluginError(f"{name!a} in safeupdater.{group}, of {claim}, does not load: {problem}") from error
    return loaded


def make_plugin(group: str, name: str, port: type, *arguments: object, **options: object) -> Any:
    """What the callable that a package offers under a name makes; None where nobody offers one.

    ``port`` is the protocol that the object made has to have the members of.

    Raises:
        PluginError: it cannot be had, raised, or made something else. Errors of safeupdater that it raises
            itself, such as a ``StoreError``, pass as they are.
    """
    maker = find_plugin(group, name)
    if maker is None:
        return None
    what = f"{name!a} in safeupdater.{group}"
    if not callable(maker):
        raise PluginError(f"{what} is a {type(maker).__name__}, and not a callable that makes one")
    with border(what):
        made: object = maker(*arguments, **options)
    missing = sorted(member for member in get_protocol_members(port) if not _has(made, member))
    if missing:
        raise PluginError(
            f"{what} made a {type(made).__name__}, which is no {port.__name__}: "
            f"it has no {', '.join(missing)}"
        )
    return made


def plugin_names(group: str) -> tuple[str, ...]:
    """The names on offer in a group, without loading any."""
    return tuple(sorted({entry.name for entry in metadata.entry_points(group=f"safeupdater.{group}")}))


def _claim(entry: metadata.EntryPoint) -> str:
    return f"{entry.dist.name if entry.dist else 'an unnamed package'} ({entry.value})"


def _has(made: object, member: str) -> bool:
    # Looked for without asking: a property such as a backend's host may go to the network.
    absent = object()
    if inspect.getattr_static(made, member, absent) is not absent:
        return True
    try:
        return hasattr(made, member)
    except Exception:  # noqa: BLE001 - a border: __getattr__ is foreign code
        return False
