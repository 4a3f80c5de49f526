"""The command line as people run it: processes of its own, against a real daemon and a real registry."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import pytest

from testbed import images
from testbed.images import Kind
from testbed.processes import wait_until

_NUMBERS = itertools.count(1)
ROOT = Path(__file__).resolve().parents[2]
POLICY = """\
version: 1
rules:
  - match: {name: "cli-*"}
    health:
      window: 4s
      interval: 0.5s
      ready_timeout: 8s
      checks: [{type: http, port: 8080, path: /health}]
"""


class Host:
    """A daemon with one container of ours, and the command line on top."""

    def __init__(self, client: docker.APIClient, url: str, registry: str, directory: Path) -> None:
        self.client = client
        self.directory = directory
        self.name = f"cli-{os.getpid()}-{next(_NUMBERS)}"
        self.repository = f"{registry}/{self.name}"
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(directory),
            "PYTHONPATH": str(ROOT),
            "COLUMNS": "80",
            "DOCKER_HOST": url,
            "XDG_STATE_HOME": str(directory / "state"),
        }
        (directory / "policy.yaml").write_text(POLICY)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Begins a command."""
        return subprocess.Popen(
            [sys.executable, "-m", "safeupdater", *arguments],
            cwd=self.directory, env=self.environment, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def __call__(self, *arguments: str, code: int = 0) -> str:
        """Runs a command, expects its exit code, and gives what it printed to stdout."""
        process = self.start(*arguments)
        out, err = process.communicate(timeout=120)
        assert process.returncode == code, f"{arguments}: {process.returncode}\n{out}\n{err}"
        assert "Traceback" not in err
        return out

    def json(self, *arguments: str, code: int = 0) -> dict[str, Any]:
        """The document that a command gives."""
        document: dict[str, Any] = json.loads(self(*arguments, "--output", "json", code=code))
        return document

    def release(self, tag: str, kind: Kind = Kind.GOOD) -> None:
        """Pushes a release."""
        images.release(self.client, f"{self.repository}:{tag}", kind)

    def run(self, tag: str) -> None:
        """Pulls a release and runs it as a user would."""
        self.client.pull(f"{self.repository}:{tag}")
        host_config = self.client.create_host_config(restart_policy={"Name": "unless-stopped"})
        made = self.client.create_container(
            f"{self.repository}:{tag}", name=self.name, host_config=host_config
        )
        self.client.start(made["Id"])

    def running(self) -> str:
        """The tag that runs under the name."""
        found = self.client.inspect_container(self.name)
        assert found["State"]["Running"]
        return str(found["Config"]["Image"]).rpartition(":")[2]

    def names(self) -> list[str]:
        """Our containers on the daemon, leftovers of updates included."""
        listed = [name.lstrip("/") for item in self.client.containers(all=True) for name in item["Names"]]
        return [name for name in listed if name.startswith(self.name)]


@pytest.fixture
def host(docker_host: str, registry: str, tmp_path: Path) -> Iterator[Host]:
    client = docker.APIClient(base_url=docker_host, version="1.41")
    client.trust_env = False
    made = Host(client, docker_host, registry, tmp_path)
    yield made
    for name in made.names():
        client.remove_container(name, force=True, v=True)
    client.close()


def test_the_main_job_from_the_shell(host: Host) -> None:
    host.release("1.0.0")
    host.run("1.0.0")
    host.release("1.0.1")
    scanned = {asset["name"]: asset for asset in host.json("scan")["assets"]}
    assert scanned[host.name]["version"] == "1.0.0"
    assert "1.0.0 → 1.0.1 (patch)" in host("plan", "--exit-code", code=3)

    (applied,) = host.json("apply", host.name, "--yes")["operations"]
    assert (applied["outcome"], host.running()) == ("succeeded", "1.0.1")
    assert applied["probes"]["ok"] >= 3

    host.release("1.0.2", Kind.BAD)
    assert "rolled_back" in host("apply", host.name, "--yes", code=5)
    assert (host.running(), host.names()) == ("1.0.1", [host.name])
    assert [item["version"] for item in host.json("quarantine", "list")["entries"]] == ["1.0.2"]
    host("apply", host.name, "--yes", code=4)

    host("rollback", host.name)
    assert host.running() == "1.0.0"
    outcomes = [entry["outcome"] for entry in host.json("history", host.name)["entries"]]
    assert outcomes[1:] == ["rolled_back", "succeeded"]


def test_a_dry_run_says_what_an_update_would_lose_and_whether_it_would_be_refused(host: Host) -> None:
    host.release("1.0.0")
    host.run("1.0.0")
    host.release("1.0.1")
    execution = host.client.exec_create(host.name, ["/bin/sh", "-c", "echo x > /kept-nowhere"])
    host.client.exec_start(execution["Id"])
    said = host("apply", host.name, "--dry-run")
    assert f"\n! {host.name}: 1 file that {host.name} wrote outside" in said
    assert all(len(line) <= 80 for line in said.partition("\n! ")[2].splitlines())

    host.client.pause(host.name)
    (update,) = host.json("apply", host.name, "--dry-run")["updates"]
    assert (update["preview"]["outlook"], update["preview"]["code"]) == ("refused", "paused")
    host.client.unpause(host.name)
    assert host.running() == "1.0.0"


def test_a_major_waits_for_approval_and_a_saved_plan_carries_it_out(host: Host) -> None:
    host.release("1.0.0")
    host.run("1.0.0")
    host.release("2.0.0")
    host("apply", host.name, "--yes", code=4)
    host("plan", "--save", "plan.json")
    host("approve", host.name, "--by", "ann")
    host("apply", "--plan", "plan.json", "--yes")
    assert host.running() == "2.0.0"


def test_doctor_finds_the_daemon_and_says_which_rights_it_gives(host: Host) -> None:
    checks = {check["subject"]: check for check in host.json("doctor", "--no-registries")["checks"]}
    assert all(check["status"] == "ok" for check in checks.values()), checks
    assert any("API 1." in check["detail"] for check in checks.values())


def test_a_service_drains_on_sigterm_and_recovers_when_it_starts_again(host: Host) -> None:
    host.release("1.0.0")
    host.run("1.0.0")
    host.release("1.0.1")
    service = host.start("run", "--every", "1h")
    assert wait_until(lambda: host.name + ".su-old" in host.names(), timeout_s=60), service.poll()
    service.send_signal(signal.SIGTERM)
    _, err = service.communicate(timeout=60)
    assert service.returncode == 6, err
    assert "Traceback" not in err

    recovered = settle(host, "run", "--once")
    assert recovered["target_id"].endswith(host.name)
    assert host.running() == ("1.0.1" if recovered["outcome"] == "succeeded" else "1.0.0")
    assert host.names() == [host.name]


def test_an_updater_that_is_killed_leaves_a_container_that_recover_settles(host: Host) -> None:
    host.release("1.0.0")
    host.run("1.0.0")
    host.release("1.0.1")
    updater = host.start("apply", host.name, "--yes")
    assert wait_until(lambda: host.name + ".su-old" in host.names(), timeout_s=60)
    updater.kill()
    updater.communicate(timeout=30)
    assert host.json("doctor", "--no-registries")["checks"][2]["subject"] == "unfinished operations"

    recovered = settle(host, "recover")
    assert recovered["outcome"] in ("rolled_back", "succeeded")
    assert host.running() == ("1.0.1" if recovered["outcome"] == "succeeded" else "1.0.0")
    assert host.names() == [host.name]


def settle(host: Host, *command: str) -> dict[str, Any]:
    """What becomes of the one operation that is open; which way it goes depends on where it stopped."""
    process = host.start(*command, "--output", "json")
    out, err = process.communicate(timeout=120)
    assert process.returncode in (0, 5), err
    first: dict[str, Any] = json.loads(out)["operations"][0]
    return first


def test_the_demo_on_a_daemon_leaves_it_as_it_was(host: Host) -> None:
    def inventory() -> tuple[list[str], list[str]]:
        containers = [item["Id"] for item in host.client.containers(all=True)]
        return sorted(containers), sorted(item["Id"] for item in host.client.images(all=True))

    before = inventory()
    shown = host("demo")
    assert "on this machine's Docker daemon" in shown
    assert "rolled back: the old version runs again" in shown
    assert inventory() == before


def test_a_demo_that_is_stopped_cleans_up_too(host: Host) -> None:
    before = sorted(item["Id"] for item in host.client.images(all=True))
    demo = host.start("demo")
    assert wait_until(lambda: _of_demo(host) != [], timeout_s=30)
    demo.send_signal(signal.SIGTERM)
    demo.communicate(timeout=60)
    assert demo.returncode == 6
    assert _of_demo(host) == []
    assert sorted(item["Id"] for item in host.client.images(all=True)) == before


def _of_demo(host: Host) -> list[str]:
    return [item["Id"] for item in host.client.containers(all=True, filters={"label": "safeupdater.demo"})]


def test_without_a_daemon_there_is_one_sentence_that_says_what_to_do(host: Host) -> None:
    host.environment["DOCKER_HOST"] = f"unix://{host.directory}/nothing.sock"
    process = host.start("scan")
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (1, "")
    assert len(err.strip().splitlines()) == 1
    assert "systemctl start docker" in err


def test_one_daemon_by_two_aliases_is_refused(host: Host) -> None:
    url = host.environment["DOCKER_HOST"]
    for command in (["scan"], ["apply", "--yes"], ["recover"]):
        process = host.start(*command, "--backend", f"a={url}", "--backend", f"b={url}")
        _, err = process.communicate(timeout=120)
        assert process.returncode == 1
        assert "docker on a and docker on b are the same runtime" in " ".join(err.split())
