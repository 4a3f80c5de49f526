"""What of a container's configuration its user asked for, and what only came from its image.

The daemon fills an image's defaults into a container when it is created. A new version must get the *new*
image's defaults, so the *old* image's are taken out again; a value that a user set to just what the image
said cannot be told apart and follows the image, as it does for every tool.

The rules of filling in are those of the daemon (moby ``daemon/commit.go``, ``merge``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from safeupdater.backends.docker.client import Json
from safeupdater.backends.docker.names import OPERATION_LABEL
from safeupdater.domain.image import is_root

_SCALARS = ("User", "WorkingDir", "StopSignal")
_SETS = ("ExposedPorts", "Volumes")
_NONE_DISABLES = ["NONE"]
_MADE_UP = ("Image", "ArgsEscaped")
"""What the daemon sets itself: ``ArgsEscaped`` comes with the image's command, as its builder left it."""
_OF_THE_PROJECT = "com.docker.compose."
"""Labels that say to which compose project a container belongs: kept, though its image may say the same."""


def user_config(config: Json, image: Json) -> Json:
    """A container's ``Config`` without what its image (``Config`` of it) gave; the rest stays as it is."""
    mine = {key: value for key, value in config.items() if value is not None and key not in _MADE_UP}
    mine["Env"] = [entry for entry in config.get("Env") or () if entry not in (image.get("Env") or ())]
    mine["Labels"] = _labels(config.get("Labels") or {}, image.get("Labels") or {})
    for name in _SETS:
        theirs = image.get(name) or {}
        mine[name] = {key: value for key, value in (config.get(name) or {}).items() if key not in theirs}
    for name in _SCALARS:
        if (config.get(name) or "") == (image.get(name) or ""):
            mine.pop(name, None)
    mine |= _command(config, image)
    mine["Healthcheck"] = _healthcheck(config.get("Healthcheck"), image.get("Healthcheck"))
    return mine


def _labels(mine: Mapping[str, str], theirs: Mapping[str, str]) -> dict[str, str]:
    return {
        key: text
        for key, text in mine.items()
        if key != OPERATION_LABEL and (key.startswith(_OF_THE_PROJECT) or (key, text) not in theirs.items())
    }


def _command(config: Json, image: Json) -> Json:
    """``Entrypoint`` and ``Cmd`` as a user must have given them for the daemon to make these out of them.

    An entrypoint of the user's drops the image's command, so a command may only go with the entrypoint; and
    an empty entrypoint where the image has one was asked for, which is said by ``[""]``.
    """
    entrypoint, command = config.get("Entrypoint") or [], config.get("Cmd") or []
    image_entrypoint, image_command = image.get("Entrypoint") or [], image.get("Cmd") or []
    if entrypoint != image_entrypoint:
        return {"Entrypoint": entrypoint or [""], "Cmd": config.get("Cmd")}
    if command == image_command:
        return {"Entrypoint": None, "Cmd": None}
    if not command:
        return {"Entrypoint": entrypoint or [""], "Cmd": []}
    return {"Entrypoint": None, "Cmd": command}


def _healthcheck(mine: Json | None, theirs: Json | None) -> Json | None:
    if not mine or mine.get("Test") == _NONE_DISABLES:
        return mine
    inherited = theirs or {}
    own = {key: value for key, value in mine.items() if value and value != inherited.get(key)}
    return own or None


def filled_config(user: Json, image: Json) -> Json:
    """What the daemon makes of a user's ``Config`` and an image's: the other direction of the split."""
    filled = dict(user)
    mine = list(user.get("Env") or ())
    known = {entry.partition("=")[0] for entry in mine}
    filled["Env"] = mine + [e for e in image.get("Env") or () if e.partition("=")[0] not in known]
    for name in ("Labels", *_SETS):
        filled[name] = {**(image.get(name) or {}), **(user.get(name) or {})}
    for name in _SCALARS:
        filled[name] = user.get(name) or image.get(name)
    entrypoint, command = user.get("Entrypoint"), user.get("Cmd")
    if not entrypoint:
        command = command or image.get("Cmd")
        entrypoint = image.get("Entrypoint") if entrypoint is None else entrypoint
    filled["Entrypoint"] = None if entrypoint == [""] else entrypoint
    filled["Cmd"] = command
    filled["Healthcheck"] = _filled_healthcheck(user.get("Healthcheck"), image.get("Healthcheck"))
    return filled


def _filled_healthcheck(mine: Json | None, theirs: Json | None) -> Json | None:
    if not mine or not theirs:
        return mine or theirs
    if mine.get("Test") == _NONE_DISABLES:
        return mine
    return {**theirs, **{key: value for key, value in mine.items() if value}}


def gains_root(user: Json, old_image: Json, new_image: Json) -> bool:
    """Whether a container that did not run as root would do so only because its new image says so."""
    if user.get("User"):
        return False
    return not is_root(old_image.get("User")) and is_root(new_image.get("User"))


def meaningful(value: object) -> object:
    """A value with one word for nothing, where the daemon says null, ``""``, ``[]`` or ``{}``.

    Keys stay, whatever they hold: a port or a volume is a key with nothing in it.
    """
    if isinstance(value, Mapping):
        return {key: meaningful(item) for key, item in value.items()} or None
    if isinstance(value, list | tuple):
        return [meaningful(item) for item in value] or None
    return None if value == "" else value


def differing(expected: Json, actual: Json, keys: Iterable[str]) -> list[str]:
    """The keys under which two JSON objects mean something else."""
    return [key for key in keys if meaningful(expected.get(key)) != meaningful(actual.get(key))]
