"""Two updater processes on one host at the same time: no container is updated twice, none is lost.

With one store its leases keep them apart; with two, the fixed name of the candidate does. There are eight
containers (50 take well over a minute); ``SAFEUPDATER_TEST_CONTAINERS=50`` says otherwise.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from testbed import images
from testbed.docker import Dockerd
from testbed.processes import Unavailable

ROOT = Path(__file__).resolve().parents[2]
COUNT = int(os.environ.get("SAFEUPDATER_TEST_CONTAINERS", "8"))
NAMES = [f"app{number}" for number in range(COUNT)]


@pytest.fixture
def daemon() -> Iterator[Dockerd]:
    """A daemon of our own, with nothing else on it."""
    server = Dockerd()
    try:
        server.__enter__()
    except Unavailable as reason:
        pytest.skip(str(reason))
    yield server
    server.__exit__(None, None, None)


@pytest.mark.parametrize("stores", [("one", "one"), ("one", "two")], ids=["one store", "two stores"])
def test_two_updaters_update_each_container_once(
    daemon: Dockerd, registry: str, tmp_path: Path, stores: tuple[str, str]
) -> None:
    client = docker.APIClient(base_url=daemon.host, version="1.41")
    client.trust_env = False
    repository = f"{registry}/crowd-{stores[1]}"
    images.release(client, f"{repository}:1.0.0", keep=True)
    for name in NAMES:
        client.start(client.create_container(f"{repository}:1.0.0", name=name)["Id"])
    images.release(client, f"{repository}:1.0.1")
    began = int(time.time())

    both = [updater(daemon, f"sqlite:///{tmp_path / store}.db") for store in stores]
    results = [result for process in both for result in results_of(process)]

    assert versions(client) == dict.fromkeys(NAMES, f"{repository}:1.0.1"), results
    assert starts(client, f"{repository}:1.0.1", began) == Counter(NAMES)
    succeeded = Counter(
        target.rpartition("/")[2] for target, outcome, *_ in results if outcome == "succeeded"
    )
    assert succeeded == Counter(NAMES)
    others = {outcome for _, outcome, *_ in results if outcome != "succeeded"}
    assert others <= {"refused", "aborted", "superseded"}, results


def updater(daemon: Dockerd, store_url: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "testbed.killed_updater", "apply", daemon.host, store_url]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def results_of(process: subprocess.Popen[str]) -> list[tuple[str, str, str, str]]:
    try:
        output, complaints = process.communicate(timeout=300)
    finally:
        process.kill()
    assert process.returncode == 0, complaints
    return [tuple(result) for result in json.loads(output)]


def versions(client: docker.APIClient) -> dict[str, str]:
    """The image of every running container by its name; what is left over would be among them."""
    listed = client.containers(all=True)
    assert {container["State"] for container in listed} == {"running"}
    return {container["Names"][0].lstrip("/"): container["Image"] for container in listed}


def starts(client: docker.APIClient, image: str, since: int) -> Counter[str]:
    """How often a container of that image was started, by its name, as the daemon recorded it."""
    filters = {"type": "container", "event": "start"}
    until = int(time.time()) + 1
    found = client.events(since=since, until=until, filters=filters, decode=True)
    actors = [event["Actor"]["Attributes"] for event in found]
    return Counter(actor["name"] for actor in actors if actor["image"] == image)
