"""Containers of a Docker daemon, as the contract of backends compares them."""

from __future__ import annotations

from typing import Any

from safeupdater.testing.backends import Thing


def docker_thing(inspect: dict[str, Any]) -> Thing:
    """A container by what the daemon says of it; what safeupdater puts on its own is not its owner's."""
    config, host_config = inspect["Config"], inspect["HostConfig"]
    policy = host_config["RestartPolicy"]["Name"]
    labels = {k: v for k, v in (config.get("Labels") or {}).items() if not k.startswith("safeupdater.")}
    return Thing(
        id=inspect["Id"],
        name=inspect["Name"].lstrip("/"),
        running=inspect["State"]["Running"],
        config=(sorted(config["Env"] or ()), labels),
        restart="" if policy == "no" else policy,
    )
