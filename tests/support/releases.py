"""What the tests that end processes and daemons update from: a registry with one release of each kind."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import docker

from testbed import images
from testbed.docker import Dockerd
from testbed.images import Kind
from testbed.registry import Registry

OLD, NEW = "1.0.0", "1.0.1"


def connect(daemon: Dockerd) -> docker.APIClient:
    """A client of a daemon of the testbed's."""
    client = docker.APIClient(base_url=daemon.host, version="1.41")
    client.trust_env = False
    return client


@contextlib.contextmanager
def released(daemon: Dockerd) -> Iterator[str]:
    """A registry with a good release, a crashing one, and one whose layers are gone: ``host:port``."""
    with Registry() as server:
        with contextlib.closing(connect(daemon)) as client:
            for name, kind in {"good": Kind.GOOD, "crash": Kind.CRASH, "gone": Kind.GOOD}.items():
                images.release(client, f"{server.host}/{name}:{OLD}", keep=True)
                digest = images.release(client, f"{server.host}/{name}:{NEW}", kind)
                if name == "gone":
                    server.delete_layers(name, digest)
        yield server.host
