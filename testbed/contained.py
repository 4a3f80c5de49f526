"""This very Python and this checkout inside a container: mounted read-only, so that no image has to be built.

Needs a daemon on this machine and an image with nothing but what a mount point can be made in.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import docker

ROOT = Path(__file__).resolve().parents[1]
SOCKET = "/var/run/docker.sock"


def create(
    client: docker.APIClient,
    image: str,
    name: str,
    argv: Sequence[str],
    *,
    socket: Path | None = None,
    ports: Sequence[int] = (),
    **host: Any,
) -> str:
    """Creates a container that runs ``python argv…`` here; ``socket`` becomes its daemon's. Gives the id."""
    binds = [f"{place}:{place}:ro" for place in _places()] + ([f"{socket}:{SOCKET}"] if socket else [])
    host_config = client.create_host_config(binds=binds, **host)
    made = client.create_container(
        image, name=name, command=[sys.executable, *argv], environment={"PYTHONPATH": str(ROOT)},
        ports=list(ports), host_config=host_config,
    )  # fmt: skip
    return str(made["Id"])


def _places() -> list[Path]:
    """What a Python process reads: interpreter, environment, this checkout, the system's libraries."""
    wanted = {Path(path) for path in ("/usr", "/lib", "/lib64", sys.base_prefix, sys.prefix)} | {ROOT}
    there = [path for path in wanted if path.is_dir()]
    return sorted(path for path in there if not any(other in path.parents for other in there))
