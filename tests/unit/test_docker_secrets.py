"""Twenty secrets in a container's configuration and in the login at its registry: none is told to anybody.

The command line drives the real backend over the fake daemon, and the real registry client over a scripted
registry that asks for the login. Snapshots must hold the configuration and nothing else may.
"""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

from safeupdater.backends.docker import DockerBackend
from safeupdater.cli.app import run
from safeupdater.cli.session import World
from safeupdater.config.policy import Policy
from safeupdater.probes import HealthCheckFactory
from safeupdater.registries.oci import RegistryClient
from safeupdater.testing.clock import FakeClock
from safeupdater.testing.fake_docker import CRASHES, FakeDocker
from safeupdater.testing.fake_docker_http import FakeTransport, Fault
from testbed.scripted_registry import Basic, ScriptedRegistry
from tests.support.planted import found_in, holders

SECRETS = tuple(f"hunter{number:02d}-planted-Zq9" for number in range(20))
PASSWORD, *CONFIGURED = SECRETS
POLICY = """
version: 1
health: {window: 30s, interval: 10s, ready_timeout: 30s}
rollback: {cooldown: 0s, max_per_day: 1000}
"""


@attrs.define
class Host:
    """A fake daemon with a container full of secrets, and a registry that wants a login."""

    registry: ScriptedRegistry
    directory: Path
    capsys: pytest.CaptureFixture[str]
    daemon: FakeDocker = attrs.field(factory=FakeDocker)
    clock: FakeClock = attrs.field(factory=FakeClock)
    heard: str = ""
    codes: list[int] = attrs.field(factory=list)
    environ: dict[str, str] = attrs.field(factory=dict)

    def __attrs_post_init__(self) -> None:
        login = base64.b64encode(f"user:{PASSWORD}".encode()).decode()
        (self.directory / "config.json").write_text(
            json.dumps({"auths": {self.registry.host: {"auth": login}}})
        )
        (self.directory / "policy.yaml").write_text(POLICY)
        self.release("1.0.0", pulled=True, Env=[f"FROM_IMAGE={CONFIGURED[0]}"])
        env, rest = CONFIGURED[1:12], CONFIGURED[12:]
        self.daemon.run(
            "web", f"{self.registry.host}/app:1.0.0",
            Env=[f"PASSWORD_{number}={secret}" for number, secret in enumerate(env)],
            Cmd=["serve", f"--token={rest[0]}", rest[1]],
            Entrypoint=["/start", f"--key={rest[2]}"],
            HostConfig={
                "RestartPolicy": {"Name": "always"},
                "LogConfig": {"Type": "splunk", "Config": {"splunk-token": rest[4], "tag": rest[5]}},
                "ExtraHosts": [f"{rest[6]}:10.0.0.1"], "Tmpfs": {f"/{rest[3]}": ""},
            },
        )  # fmt: skip

    def release(self, tag: str, *, pulled: bool = False, **config: object) -> None:
        """Puts a release into both registries: the scripted one lists it, the fake daemon's has its bits."""
        repository = f"{self.registry.host}/app"
        digest = self.registry.repository("app").add_image(tag)
        made = self.daemon.release(f"{repository}:{tag}", **config)
        image = self.daemon.registry.pop(f"{repository}@{made}")
        key = f"{repository}@{digest}"
        self.daemon.registry[key] = {**image, "RepoDigests": [key]}
        if pulled:
            self.daemon.pull(repository, digest)
            self.daemon.tag(image["Id"], f"{repository}:{tag}")

    def __call__(self, *arguments: str, fault_at: int = 0) -> None:
        """Runs one command line in each form of output; a call to the daemon may stay without answer."""
        faults = {fault_at: Fault.TIMEOUT_AFTER} if fault_at else {}
        client = self.daemon.client(lambda daemon: FakeTransport(daemon, faults))
        environ = {
            "DOCKER_CONFIG": str(self.directory), "XDG_STATE_HOME": str(self.directory),
            "SAFEUPDATER_POLICY": str(self.directory / "policy.yaml"), **self.environ,
        }  # fmt: skip
        backend, tags = (
            DockerBackend(client, host="test", own_container=None),
            RegistryClient(environ=environ),
        )
        world = World(environ=environ, clock=self.clock, backends=[backend], tags=tags)
        self.codes.append(run(["-v", *arguments, "--store", self.store], world))
        printed = self.capsys.readouterr()
        things = (backend, backend.scanner, backend.api, tags, world)
        self.heard += printed.out + printed.err + repr(things) + repr([vars(t) for t in things[:2]])

    @property
    def store(self) -> str:
        """Where state is kept."""
        return f"sqlite:///{self.directory}/state.db"


@pytest.fixture
def host(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Host]:
    with ScriptedRegistry(auth=Basic({"user": PASSWORD})) as registry:
        yield Host(registry, tmp_path, capsys)


def test_no_output_log_or_record_tells_a_secret(host: Host, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    host("scan")
    host("scan", "-o", "json")
    host.release("1.0.1")
    host("plan")
    host("plan", "-o", "json")
    host("apply", "--yes")
    host.release("1.0.2", Labels={CRASHES: "yes"})
    host("apply", "--yes", "-o", "json", fault_at=30)
    host.registry.auth = Basic({"user": "another"})
    host("plan", "-o", "json")
    host("plan")
    host("history", "-o", "json")
    host("doctor")

    assert host.codes[4:6] == [0, 5], "one update succeeded, one was rolled back"
    assert any(seen.authorization for seen in host.registry.seen), "the login was used"
    assert found_in(host.heard, SECRETS) == []
    assert found_in(caplog.text, SECRETS) == []


def test_the_store_has_the_configuration_in_snapshots_only(host: Host) -> None:
    host.release("1.0.1")
    host("apply", "--yes")

    found = holders(host.directory / "state.db", SECRETS)
    assert found == {("record snapshot", secret) for secret in CONFIGURED}


# --- secrets in the policy and around it ------------------------------------------------------------------

WRITTEN = {
    name: f"Written-{number:02d}-planted-Zq9"
    for number, name in enumerate(
        ("hook", "probe_argument", "probe_header", "probe_query", "probe_body", "token", "key", "label")
    )
}
CHECKS = f"""
version: 1
health:
  window: 30s
  interval: 10s
  ready_timeout: 30s
  checks:
    - {{type: exec, argv: [/bin/check, "--password={WRITTEN["probe_argument"]}"]}}
    - type: http
      port: 1
      path: "/health?token={WRITTEN["probe_query"]}"
      headers: {{Authorization: "Bearer {WRITTEN["probe_header"]}"}}
      contains: "{WRITTEN["probe_body"]}"
hooks:
  - {{name: dump, point: before_switch, command: [/bin/dump, "--password={WRITTEN["hook"]}"]}}
"""


@pytest.fixture
def talkative(host: Host) -> Host:
    (host.directory / "policy.yaml").write_text(CHECKS)
    host.environ = {
        "SAFEUPDATER_WEBHOOK_URL": f"http://127.0.0.1:1/services/{WRITTEN['token']}?t={WRITTEN['token']}",
        "SAFEUPDATER_WEBHOOK_SECRET": WRITTEN["key"],
    }
    host.daemon.run("labelled", f"{host.registry.host}/app:1.0.0", Labels={"auth": WRITTEN["label"]})
    host.release("1.0.1")
    return host


def test_what_a_policy_a_label_or_a_webhook_holds_in_secret_is_told_to_nobody(
    talkative: Host, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    for command in ("scan", "plan", "apply --yes", "history", "doctor", "quarantine list", "state path"):
        talkative(*command.split())
        talkative(*command.split(), "-o", "json")
    talkative("policy", "explain", "web")
    assert any(command[0] == "/bin/dump" for command in talkative.daemon.executed), "the hook ran"
    assert any(command[0] == "/bin/check" for command in talkative.daemon.executed), "the probe ran"
    assert found_in(talkative.heard, WRITTEN.values()) == []
    assert found_in(caplog.text, WRITTEN.values()) == []


def test_values_that_hold_the_policy_do_not_show_it(talkative: Host) -> None:
    policy = Policy.load(str(talkative.directory / "policy.yaml"))
    backend = DockerBackend(talkative.daemon.client(), host="test", own_container=None)
    (web,) = [asset for asset in backend.scan().assets if asset.name == "labelled"]
    settings = policy.for_asset(web).settings
    checks = [HealthCheckFactory().create(spec.type, **spec.options) for spec in settings.health.checks]
    shown = repr((policy, web, settings, settings.hooks, settings.health, checks))
    assert settings.hooks, "there is something to show"
    assert found_in(shown, WRITTEN.values()) == []


def test_the_store_has_of_a_policys_secrets_what_recovery_needs(talkative: Host) -> None:
    """An update that is taken up again has its hooks and checks from the journal; SECURITY.md says so."""
    talkative("apply", "--yes")
    found = holders(talkative.directory / "state.db", WRITTEN.values())
    taken_up_again = ("hook", "probe_argument", "probe_header", "probe_query", "probe_body")
    assert found == {
        *(("event operation_planned", WRITTEN[name]) for name in taken_up_again),
        ("record asset", WRITTEN["label"]),
        ("record snapshot", WRITTEN["label"]),
    }
