"""What is left as it is: what others manage, what is stopped, what one recovery already settled."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import docker
import pytest

from safeupdater.backends.docker import DockerBackend
from safeupdater.config import Policy
from safeupdater.domain.artifact import ImageReference
from safeupdater.domain.notice import Notice
from safeupdater.domain.operation import (
    Finished,
    JournalEntry,
    Outcome,
    Phase,
    Resumed,
    StepIntended,
    StepStatus,
)
from safeupdater.domain.plan import Plan
from safeupdater.stores import open_store
from safeupdater.testing.driving import operation_for
from safeupdater.update.executor import Progressed
from safeupdater.update.updater import Updater
from testbed import images
from testbed.registry import Registry

ROOT = Path(__file__).resolve().parents[2]
NAME = "alone"
POLICY: dict[str, Any] = {
    "version": 1,
    "health": {"window": "0.6s", "interval": "0.2s", "ready_timeout": "10s"},
}


class Scene:
    """Releases 1.0.0, here, and 1.0.1, in a registry; containers of the first."""

    def __init__(self, client: docker.APIClient, url: str, registry: Registry) -> None:
        self.client, self.url = client, url
        self.old, self.new = (f"{registry.host}/alone:1.0.{patch}" for patch in (0, 1))
        images.release(client, self.old, keep=True)
        self.digest = images.release(client, self.new)

    def run(self, *, start: bool = True, **options: Any) -> dict[str, Any]:
        made = self.client.create_container(self.old, name=NAME, **options)
        if start:
            self.client.start(made["Id"])
        return self.inspect()

    def inspect(self) -> dict[str, Any]:
        return dict(self.client.inspect_container(NAME))

    def updater(self, policy: dict[str, Any], **options: Any) -> Updater:
        backend = DockerBackend(self.client, host="test")
        return Updater(backends=[backend], policy=Policy.from_dict(policy), **options)

    def plan(self, updater: Updater) -> Plan:
        return updater.plan([asset for asset in updater.scan().assets if asset.name == NAME])


@pytest.fixture
def scene(docker_host: str) -> Iterator[Scene]:
    client = docker.APIClient(base_url=docker_host, version="1.41")
    client.trust_env = False
    with Registry() as registry:
        yield Scene(client, docker_host, registry)
        for container in client.containers(all=True, filters={"name": NAME}):
            client.remove_container(container["Id"], force=True, v=True)
    client.close()


@pytest.mark.parametrize(
    "labels",
    [
        {"com.docker.swarm.task.id": "t", "com.docker.swarm.service.name": "shop"},
        {"io.kubernetes.pod.namespace": "n", "io.kubernetes.pod.name": "p"},
        {"com.docker.compose.project": "shop", "com.docker.compose.oneoff": "True"},
    ],
    ids=["swarm", "kubernetes", "compose run"],
)  # fmt: skip
def test_what_others_manage_is_left_to_them(scene: Scene, labels: dict[str, str]) -> None:
    before = scene.run(labels=labels)
    with scene.updater(POLICY) as updater:
        plan = scene.plan(updater)
        results = updater.apply(plan)
        (asset,) = [asset for asset in updater.scan().assets if asset.name == NAME]
    assert not [result for result in results if result.outcome is Outcome.SUCCEEDED]
    assert scene.inspect() == before
    backend = DockerBackend(scene.client, host="test")
    new = ImageReference.parse(f"{scene.new}@{scene.digest}")
    report = backend.preflight(operation_for(asset, new))
    assert report.refusal is not None
    assert (report.refusal.status, report.refusal.code) == (StepStatus.REFUSED, "owned")


@pytest.mark.parametrize("ended", [True, False], ids=["exited", "never started"])
def test_what_is_stopped_is_updated_only_where_that_is_wanted_and_stays_stopped(
    scene: Scene, ended: bool
) -> None:
    before = scene.run(start=ended)
    if ended:
        scene.client.stop(NAME, timeout=1)
        before = scene.inspect()
    with scene.updater(POLICY) as updater:
        plan = scene.plan(updater)
        assert updater.apply(plan) == ()
    (waiting,) = plan.updates
    assert "not_running" in {reason.code for reason in waiting.decision.reasons}
    assert scene.inspect() == before

    with scene.updater({**POLICY, "unrunnable": "commit"}) as updater:
        (result,) = updater.apply(scene.plan(updater))
    found = scene.inspect()
    assert result.outcome is Outcome.SUCCEEDED, (result.code, result.message)
    assert found["Id"] != before["Id"]
    assert found["Config"]["Image"] == scene.new
    assert not found["State"]["Running"]
    assert found["State"]["StartedAt"].startswith("0001-"), "it was started in between"


def test_an_update_that_is_aborted_twice_goes_back_once(scene: Scene) -> None:
    before = scene.run()
    asked: list[bool] = []
    watching = threading.Event()

    def look(progress: Progressed) -> None:
        if str(progress.state) == "watching" and not watching.is_set():
            watching.set()
            asked.extend(bool(updater.abort(f"docker://test/{NAME}", by=who)) for who in ("me", "you"))

    policy = {**POLICY, "health": {**POLICY["health"], "window": "20s"}}
    with scene.updater(policy, progress=look) as updater:
        (result,) = updater.apply(scene.plan(updater))
        again = updater.abort(f"docker://test/{NAME}", by="me")
    assert asked[:1] == [True]
    assert not again
    assert result.outcome is Outcome.ROLLED_BACK, result
    found = scene.inspect()
    assert (found["Id"], found["State"]["Running"]) == (before["Id"], True)


def test_of_two_that_recover_at_once_one_settles_it(scene: Scene, tmp_path: Path) -> None:
    before = scene.run()
    store = f"sqlite:///{tmp_path / 'state.db'}"
    killed = process("apply", scene.url, store, SAFEUPDATER_KILL="after switching take_name")
    killed.communicate(timeout=60)
    assert killed.returncode == -9
    both = [process("recover", scene.url, store) for _ in range(2)]
    ended = [each.communicate(timeout=60) for each in both]
    assert [each.returncode for each in both] == [0, 0], ended
    # One settles it; the other one finds it busy, sees what has become of it, or nothing to do any more.
    outcomes = {outcome for output, _ in ended for _, outcome, *_ in json.loads(output)}
    assert {"rolled_back"} <= outcomes <= {"rolled_back", "interrupted"}, ended
    with contextlib.closing(open_store(store)) as state:
        events = [type(entry.event) for entry in state.since(0)]
    assert (events.count(Resumed), events.count(Finished)) == (1, 1), events
    found = scene.inspect()
    assert (found["Id"], found["State"]["Running"]) == (before["Id"], True)
    assert found["RestartCount"] == 0
    (only,) = scene.client.containers(all=True, filters={"name": NAME})
    assert only["Id"] == before["Id"]


def test_one_that_recovers_by_a_list_from_before_does_nothing_any_more(scene: Scene, tmp_path: Path) -> None:
    scene.run()
    store = f"sqlite:///{tmp_path / 'state.db'}"
    killed = process("apply", scene.url, store, SAFEUPDATER_KILL="after switching take_name")
    killed.communicate(timeout=120)
    assert killed.returncode == -9
    with (
        scene.updater(POLICY, store=open_store(store)) as first,
        scene.updater(POLICY, store=open_store(store)) as second,
    ):
        stale = [opened.operation_id for opened in second.store.unfinished()]
        (settled,) = first.recover(wait_s=30)
        assert settled.outcome is Outcome.ROLLED_BACK, settled
        before, journal = scene.inspect(), second.store.load(stale[0])
        (again,) = second.executor.run(stale)
        assert second.store.load(stale[0]) == journal
    assert again.outcome is Outcome.ROLLED_BACK, again
    assert scene.inspect() == before


class AbortsLate:
    """Asks for an abort once the first step of the commit is durable, and with it the verdict."""

    def __init__(self) -> None:
        self.abort: Callable[[], bool] = lambda: False
        self.asked: list[bool] = []

    def notify(self, event: JournalEntry | Notice) -> None:
        """See ``Observer.notify``."""
        happened = event.event if isinstance(event, JournalEntry) else None
        if isinstance(happened, StepIntended) and happened.phase is Phase.COMMITTING and not self.asked:
            self.asked.append(self.abort())


def test_an_abort_that_comes_when_it_is_decided_changes_nothing_any_more(scene: Scene) -> None:
    before = scene.run()
    somebody = AbortsLate()
    with scene.updater(POLICY, observers=[somebody]) as updater:
        somebody.abort = lambda: updater.abort(f"docker://test/{NAME}", by="me")
        (result,) = updater.apply(scene.plan(updater))
    assert len(somebody.asked) == 1
    assert result.outcome is Outcome.SUCCEEDED, result
    found = scene.inspect()
    assert (found["Id"] != before["Id"], found["Config"]["Image"]) == (True, scene.new)
    assert len(scene.client.containers(all=True, filters={"name": NAME})) == 1


def test_what_somebody_else_runs_under_the_name_meanwhile_stands(scene: Scene) -> None:
    scene.run()
    theirs: list[str] = []

    def look(progress: Progressed) -> None:
        if progress.state == "watching" and not theirs:
            scene.client.remove_container(NAME, force=True)
            theirs.append(scene.run(labels={"of": "somebody else"})["Id"])

    policy = {**POLICY, "health": {**POLICY["health"], "window": "20s"}}
    with scene.updater(policy, progress=look) as updater:
        (result,) = updater.apply(scene.plan(updater))
        assert updater.recover() == ()
    assert result.outcome is Outcome.SUPERSEDED, result
    found = scene.inspect()
    assert (found["Id"], found["State"]["Running"]) == (theirs[0], True)
    listed = scene.client.containers(filters={"name": NAME})
    assert [each["Id"] for each in listed] == theirs, "ours runs beside it"


def process(job: str, docker_url: str, store: str, **environment: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "testbed.killed_updater", job, docker_url, store]
    return subprocess.Popen(
        command, cwd=ROOT, env={**os.environ, **environment}, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip
