"""Scan, plan and apply with a real daemon, a real registry and the real engine."""

from __future__ import annotations

from collections.abc import Iterator

import docker
import pytest

from safeupdater.backends.docker import DockerBackend
from safeupdater.config import Policy
from safeupdater.domain.operation import Outcome
from safeupdater.update.updater import Updater
from testbed import images
from testbed.images import Kind

POLICY = {
    "version": 1,
    "health": {
        "window": "5s", "interval": "1s", "ready_timeout": "5s",
        "checks": [{"type": "http", "port": images.PORT, "path": "/health"}],
    },
}  # fmt: skip


@pytest.fixture
def client(docker_host: str) -> Iterator[docker.APIClient]:
    client = docker.APIClient(base_url=docker_host, version="1.41")
    client.trust_env = False
    yield client
    client.remove_container("end-to-end", force=True, v=True)
    client.close()


def apply(client: docker.APIClient) -> tuple[Outcome, str]:
    """One round of the main job by a fresh process; the outcome and what runs afterwards."""
    updater = Updater(backends=[DockerBackend(client, host="test")], policy=Policy.from_dict(POLICY))
    scan = updater.scan()
    plan = updater.plan([asset for asset in scan.assets if asset.name == "end-to-end"])
    (result,) = updater.apply(plan)
    return result.outcome, str(client.inspect_container("end-to-end")["Config"]["Image"])


def test_a_good_patch_is_applied_and_a_bad_release_goes_back(client: docker.APIClient, registry: str) -> None:
    repository = f"{registry}/end-to-end"
    images.release(client, f"{repository}:1.0.0", keep=True)
    images.release(client, f"{repository}:1.0.1")
    host_config = client.create_host_config(restart_policy={"Name": "always"})
    made = client.create_container(f"{repository}:1.0.0", name="end-to-end", host_config=host_config)
    client.start(made["Id"])

    assert apply(client) == (Outcome.SUCCEEDED, f"{repository}:1.0.1")

    images.release(client, f"{repository}:1.0.2", Kind.BAD)
    assert apply(client) == (Outcome.ROLLED_BACK, f"{repository}:1.0.1")

    images.release(client, f"{repository}:1.0.3", Kind.CRASH)
    assert apply(client) == (Outcome.ROLLED_BACK, f"{repository}:1.0.1")
    names = [name for listed in client.containers(all=True) for name in listed["Names"]]
    assert [name for name in names if name.startswith("/end-to-end")] == ["/end-to-end"]
