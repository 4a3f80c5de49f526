"""A Docker daemon with a registry beside it, as the tests of single updates want them."""

from __future__ import annotations

from collections.abc import Iterator

import docker
import pytest

from tests.support.docker_host import Host


@pytest.fixture
def host(docker_host: str, registry: str) -> Iterator[Host]:
    """Names of a test's own on the daemon; what has such a name is gone afterwards."""
    client = docker.APIClient(base_url=docker_host, version="1.41")
    client.trust_env = False
    world = Host(client, registry)
    yield world
    for name in world.names():
        client.remove_container(name, force=True)
    client.close()
