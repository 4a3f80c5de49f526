"""The signal that a container's user wants it to be stopped with."""

from __future__ import annotations

from safeupdater.backends.docker.client import Json
from safeupdater.backends.docker.names import STOP_SIGNAL_LABEL
from safeupdater.backends.docker.split import user_config


def asked_signal(config: Json, image_config: Json) -> str | None:
    """What the label of a container says, None without one.

    Only a user may say it: with a label of its own a new image could keep itself from being stopped.
    """
    text: str | None = user_config(config, image_config)["Labels"].get(STOP_SIGNAL_LABEL)
    return text
