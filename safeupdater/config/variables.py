"""The environment variables that have a meaning here, and the refusal of those that only look as if."""

from __future__ import annotations

import difflib
from collections.abc import Mapping

from safeupdater.errors import ConfigurationError, Problem

PREFIX = "SAFEUPDATER_"
VARIABLES: Mapping[str, str] = {
    "SAFEUPDATER_BACKEND": "where to look, separated by blanks",
    "SAFEUPDATER_POLICY": "the policy file",
    "SAFEUPDATER_STORE": "the store's URL",
    "SAFEUPDATER_SEAL_KEY": "what seals snapshots in an SQL store: 32 bytes in base64",
    "SAFEUPDATER_REGISTRY": "where newer versions are looked for: oci, or a plugin",
    "SAFEUPDATER_REGISTRIES": "a file with what is special about single registries",
    "SAFEUPDATER_FACTS": "plugins that know facts which gates need, separated by blanks",
    "SAFEUPDATER_OBSERVER": "plugins that are told what happens, separated by blanks",
    "SAFEUPDATER_OUTPUT": "table or json",
    "SAFEUPDATER_WEBHOOK_URL": "where `apply` and `run` send alerts and outcomes",
    "SAFEUPDATER_WEBHOOK_SECRET": "what those messages are signed with (HMAC-SHA256)",
}
"""What each variable names."""

# Set by safeupdater itself for the hooks that it runs.
_GIVEN_TO_HOOKS = frozenset({"SAFEUPDATER_OPERATION", "SAFEUPDATER_TARGET"})
_FOR_CHECKS = (f"{PREFIX}TEST_", f"{PREFIX}CI_", f"{PREFIX}FULL", f"{PREFIX}DIFFERENTIAL")


def refuse_unknown(environ: Mapping[str, str]) -> None:
    """Does nothing where every variable of ours is known.

    A misspelled one that was ignored would run updates under another policy than somebody meant.

    Raises:
        ConfigurationError: names every unknown one, with what was probably meant.
    """
    known = VARIABLES.keys() | _GIVEN_TO_HOOKS
    problems = [
        Problem(path=name, message=_message(name))
        for name in sorted(environ)
        if name.startswith(PREFIX) and name not in known and not name.startswith(_FOR_CHECKS)
    ]
    if problems:
        raise ConfigurationError(
            "unknown environment variables", problems=problems, source="environment", code="unknown_variable"
        )


def _message(name: str) -> str:
    close = difflib.get_close_matches(name, VARIABLES, 1)
    meant = f"did you mean {close[0]}?" if close else f"unset it; known are {', '.join(sorted(VARIABLES))}"
    return f"this variable has no meaning here: {meant}"
