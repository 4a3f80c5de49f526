"""Extensions of other packages: found by name among the installed entry points, when they are used.

Nothing is scanned at import, and nothing is loaded that was not named. What is loaded runs in this
process with its rights: name only what you trust.
"""

from __future__ import annotations

from importlib import metadata

from safeupdater.errors import PluginError

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


def plugin_names(group: str) -> tuple[str, ...]:
    """The names on offer in a group, without loading any."""
    return tuple(sorted({entry.name for entry in metadata.entry_points(group=f"safeupdater.{group}")}))


def _claim(entry: metadata.EntryPoint) -> str:
    return f"{entry.dist.name if entry.dist else 'an unnamed package'} ({entry.value})"
