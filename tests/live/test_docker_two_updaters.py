"""Two updater processes on one host at the same time: no container is updated twice, none is lost.

With one store its leases keep them apart; with two, the fixed name of the candidate does. There are 50
containers, up to eight at a time for each updater; ``SAFEUPDATER_TEST_CONTAINERS`` says otherwise.
"""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import attrs
import docker
import pytest

from testbed import images
from testbed.docker import Dockerd

ROOT = Path(__file__).resolve().parents[2]
COUNT = int(os.environ.get("SAFEUPDATER_TEST_CONTAINERS", "50"))
NAMES = frozenset(f"app{number}" for number in range(COUNT))
TURNED_AWAY = {"refused", "aborted", "superseded", "target_gone"}  # gone: under another name at that moment
_END = "the-last-event"


class Crowd:
    """Containers of one application on a daemon of their own; each case brings them to its next release."""

    def __init__(self, daemon: Dockerd, registry: str) -> None:
        self.url = daemon.host
        self.client = connect(daemon.host)
        self._repository = f"{registry}/crowd"
        self._numbers = itertools.count(1)
        oldest = f"{self._repository}:1.0.0"
        images.release(self.client, oldest, keep=True)
        for name in NAMES:
            self.client.start(self.client.create_container(oldest, name=name)["Id"])

    def release(self) -> str:
        """Pushes the next release; gives its reference."""
        reference = f"{self._repository}:1.0.{next(self._numbers)}"
        images.release(self.client, reference)
        return reference

    def versions(self) -> dict[str, str]:
        """The image of every running container by its name; what is left over would be among them."""
        listed = self.client.containers(all=True)
        assert {container["State"] for container in listed} == {"running"}
        return {container["Names"][0].lstrip("/"): container["Image"] for container in listed}


class Starts:
    """Counts, while it is open, how often a container of an image is started, by the container's name.

    It listens all along: the daemon itself remembers its last 256 events only.
    """

    def __init__(self, url: str, image: str) -> None:
        self._image = image
        self._client = connect(url)
        self._events = self._client.events(decode=True)
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self.found: Counter[str] = Counter()

    def _listen(self) -> None:
        for event in self._events:
            who: dict[str, Any] = event["Actor"]
            if who["ID"] == _END:
                return
            if (event["Type"], event["Action"]) == ("container", "start"):
                self.found[who["Attributes"]["name"]] += who["Attributes"]["image"] == self._image

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.create_volume(_END)
        self._client.remove_volume(_END)
        self._thread.join(timeout=30)
        assert not self._thread.is_alive()
        self._client.close()


@attrs.frozen
class Results:
    """What one updater says of each container: its outcome by the container's name."""

    outcomes: dict[str, str]

    @classmethod
    def of(cls, process: subprocess.Popen[str]) -> Self:
        """What a process printed, once it has ended well."""
        try:
            output, complaints = process.communicate(timeout=300)
        finally:
            process.kill()
        assert process.returncode == 0, complaints
        found = json.loads(output)
        outcomes = {target.rpartition("/")[2]: outcome for target, outcome, *_ in found}
        assert len(outcomes) == len(found), "one updater went to a container twice"
        return cls(outcomes)

    @property
    def updated(self) -> set[str]:
        """The containers that it updated."""
        return {name for name, outcome in self.outcomes.items() if outcome == "succeeded"}

    @property
    def turned_away(self) -> set[str]:
        """The containers that it left to the other."""
        return {name for name, outcome in self.outcomes.items() if outcome in TURNED_AWAY}


@pytest.fixture(scope="module")
def crowd(registry: str) -> Iterator[Crowd]:
    """A daemon of our own, with nothing else on it."""
    with Dockerd() as server:
        yield Crowd(server, registry)


@pytest.mark.parametrize("stores", [("one", "one"), ("one", "two")], ids=["one store", "two stores"])
def test_two_updaters_update_each_container_once(
    crowd: Crowd, tmp_path: Path, stores: tuple[str, str]
) -> None:
    newest = crowd.release()

    with Starts(crowd.url, newest) as starts:
        both = [updater(crowd.url, f"sqlite:///{tmp_path / store}.db") for store in stores]
        first, second = [Results.of(process) for process in both]

    assert crowd.versions() == dict.fromkeys(NAMES, newest), (first, second)
    assert +starts.found == Counter(NAMES)
    assert not first.updated & second.updated
    assert first.updated | second.updated == NAMES
    for one, other in ((first, second), (second, first)):
        assert set(one.outcomes) == one.updated | one.turned_away, one
        assert one.turned_away <= other.updated
    # They met: else each had the host to itself, and this shows nothing.
    assert first.turned_away | second.turned_away


def updater(docker_url: str, store_url: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "testbed.killed_updater", "apply", docker_url, store_url]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def connect(url: str) -> docker.APIClient:
    client = docker.APIClient(base_url=url, version="1.41")
    client.trust_env = False
    return client
