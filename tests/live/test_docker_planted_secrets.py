"""Twenty secrets around a real container: the main job from the shell, at debug level, tells none of them.

They are in the container's configuration and its image, in four logins at its registry, in the policy's hooks
and probes, and in the webhook. SECURITY.md says where the store may have which of them; nothing else may.
"""

from __future__ import annotations

import base64
import json
import os
import stat
import subprocess
import sys
import threading
import traceback
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import attrs
import docker
import pytest

from safeupdater.backends.docker import DockerBackend
from safeupdater.config import Policy
from safeupdater.domain.operation import Outcome
from safeupdater.errors import SafeUpdaterError
from safeupdater.observers.logging import FieldsFormatter, LoggingObserver
from safeupdater.registries.oci import Credentials, RegistryClient
from safeupdater.stores import open_store
from safeupdater.stores.clock import SystemClock
from safeupdater.update.result import OperationResult
from safeupdater.update.updater import Updater
from testbed import images
from testbed.images import Kind
from testbed.registry import Registry
from tests.support.planted import found_in, holders

ROOT = Path(__file__).resolve().parents[2]
NAME = "planted"
SECRETS = tuple(f"hunter{number:02d}-planted-Zq9" for number in range(20))
LOGINS, LABELS, CONFIGURED = SECRETS[:4], SECRETS[4:6], SECRETS[6:15]
IN_POLICY, OF_WEBHOOK = SECRETS[15:18], SECRETS[18:]
IN_CONFIG, IN_HELPER, IN_CODE, WRONG = LOGINS
# bcrypt, cost 4, of the first three
HTPASSWD = """\
ci:$2b$04$abcdefghijklmnopqrstuuhw0lbU26lm6W/XqnlbVUXvfPt8rTD/O
robot:$2b$04$abcdefghijklmnopqrstuuWIbcb2NU6PbENWnmzlknKExhA6TzgT.
code:$2b$04$abcdefghijklmnopqrstuu9VSsI3ktR2KKpeVxvc5XdCTVDqqFRBq
"""
POLICY = f"""\
version: 1
health:
  window: 1s
  interval: 0.25s
  ready_timeout: 8s
  checks:
    - type: http
      port: {images.PORT}
      path: /health
      headers: {{Authorization: "Bearer {IN_POLICY[0]}"}}
hooks:
  - {{name: inside, point: before_switch, command: [/bin/busybox, "true", "--password={IN_POLICY[1]}"]}}
  - name: beside
    point: before_switch
    in_container: false
    command: [/bin/sh, -c, "true", "--password={IN_POLICY[2]}"]
rollback: {{cooldown: 0s}}
"""


class Webhook:
    """What is sent to a webhook; its path is the secret that the sender has to know, and is not kept."""

    def __init__(self) -> None:
        self.got: list[str] = []
        kept = self.got

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                kept.append(f"{self.headers}{body}")
                self.send_response(204)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=[0.02], daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}/services/{OF_WEBHOOK[0]}"


@attrs.define
class Host:
    """A daemon with a container full of secrets, and a registry that wants a login."""

    client: docker.APIClient
    url: str
    registry: Registry
    webhook: Webhook
    directory: Path
    heard: list[str] = attrs.field(factory=list)
    environ: dict[str, str] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.environ = {
            "PATH": f"{self.directory}:{os.environ['PATH']}",
            "HOME": str(self.directory), "PYTHONPATH": str(ROOT), "DOCKER_HOST": self.url,
            "DOCKER_CONFIG": str(self.directory), "XDG_STATE_HOME": str(self.directory / "state"),
            "SAFEUPDATER_WEBHOOK_URL": self.webhook.url, "SAFEUPDATER_WEBHOOK_SECRET": OF_WEBHOOK[1],
        }  # fmt: skip
        (self.directory / "policy.yaml").write_text(POLICY)
        helper = self.directory / "docker-credential-planted"
        helper.write_text(f'#!/bin/sh\necho \'{{"Username": "robot", "Secret": "{IN_HELPER}"}}\'\n')
        helper.chmod(0o700)
        self.release("1.0.0", keep=True)
        self.run()

    # --- the world --------------------------------------------------------------------------------------

    def image(self, tag: str) -> str:
        return f"{self.registry.host}/{NAME}:{tag}"

    def release(self, tag: str, kind: Kind = Kind.GOOD, *, keep: bool = False) -> None:
        changes = [f"ENV FROM_IMAGE={CONFIGURED[0]}"]
        images.release(
            self.client, self.image(tag), kind, changes=changes, keep=keep, login=("ci", IN_CONFIG)
        )

    def run(self) -> None:
        """A container with secrets wherever its configuration has a place for text."""
        env, rest = CONFIGURED[1:4], CONFIGURED[4:]
        log_config = docker.types.LogConfig(type="json-file", config={"tag": rest[0]})
        host_config = self.client.create_host_config(
            restart_policy={"Name": "always"}, log_config=log_config, tmpfs={f"/{rest[1]}": ""}
        )
        made = self.client.create_container(
            self.image("1.0.0"), name=NAME, host_config=host_config,
            environment={f"PASSWORD_{number}": secret for number, secret in enumerate(env)},
            entrypoint=[*images.SERVE, f"--key={rest[2]}"], command=["serve", f"--token={rest[3]}"],
            labels={"auth": LABELS[0], f"of.{LABELS[1]}": "yes"},
            healthcheck={"test": ["CMD", images.BUSYBOX, "true", rest[4]], "interval": 500_000_000},
        )  # fmt: skip
        self.client.start(made["Id"])

    def log_in(self, **config: Any) -> None:
        """Writes docker's configuration."""
        (self.directory / "config.json").write_text(json.dumps(config))

    def auths(self, user: str, password: str) -> dict[str, Any]:
        """A login as ``docker login`` writes it where there is no helper."""
        pair = base64.b64encode(f"{user}:{password}".encode()).decode()
        return {self.registry.host: {"auth": pair}}

    def running(self) -> str:
        return str(self.client.inspect_container(NAME)["Config"]["Image"]).rpartition(":")[2]

    # --- the command line ---------------------------------------------------------------------------------

    @property
    def log(self) -> Path:
        return self.directory / "debug.log"

    @property
    def database(self) -> Path:
        return self.directory / "state" / "safeupdater" / "state.db"

    def __call__(self, *arguments: str) -> int:
        """Runs a command, keeps what it prints, and gives its exit code."""
        done = subprocess.run(
            [sys.executable, "-m", "testbed.logged_cli", self.log, *arguments],
            cwd=self.directory, env=self.environ, text=True, timeout=120, check=False,
            stdin=subprocess.DEVNULL, capture_output=True,
        )  # fmt: skip
        self.heard += [done.stdout, done.stderr]
        return done.returncode

    def both(self, *arguments: str) -> tuple[int, int]:
        """Runs a command with tables and our own log on stderr, and with JSON and everybody's in the file."""
        return self("-v", *arguments), self(*arguments, "-o", "json")


@pytest.fixture
def host(docker_host: str, tmp_path: Path) -> Iterator[Host]:
    client = docker.APIClient(base_url=docker_host, version="1.41")
    client.trust_env = False
    webhook = Webhook()
    with Registry(HTPASSWD, login=("ci", IN_CONFIG)) as registry:
        yield Host(client, docker_host, registry, webhook, tmp_path)
        client.remove_container(NAME, force=True, v=True)
    webhook.server.shutdown()
    webhook.server.server_close()
    client.close()


def test_the_main_job_from_the_shell_tells_nobody_a_secret(host: Host) -> None:
    host.log_in(auths=host.auths("ci", IN_CONFIG))
    host.release("1.0.1")
    assert host.both("scan") == (0, 0)
    assert host.both("plan") == (0, 0)
    assert (host("-v", "apply", "--yes"), host.running()) == (0, "1.0.1")

    host.log_in(credHelpers={host.registry.host: "planted"})
    host.release("1.0.2", Kind.BAD)
    assert (host("apply", "--yes", "-o", "json"), host.running()) == (5, "1.0.1")

    # When it was planned the login was good; it is not when the plan is carried out.
    host.log_in(auths=host.auths("ci", IN_CONFIG))
    host.release("1.0.3")
    saved = str(host.directory / "plan.json")
    assert host("plan", "--save", saved) == 0
    host.log_in(auths=host.auths("ci", WRONG))
    assert host("apply", "--plan", saved, "--yes", "-o", "json") == 1
    assert (host.running(), "registry_denied" in host.heard[-2]) == ("1.0.1", True)
    # Whoever logs in anew need not wait: the same plan is tried again, and fails in the same way.
    assert host("-v", "apply", "--plan", saved, "--yes") == 1

    host.both("plan")
    assert "docker login" in host.heard[-2], "the wrong login was used"
    for command in ("history", "doctor", "quarantine list", "recover", "state path"):
        host.both(*command.split())
    host("policy", "explain", NAME)
    exported = host.directory / "exported.json"
    assert host("state", "export", str(exported)) == 0

    logged = host.log.read_text()
    assert "DEBUG safeupdater.registries.oci.session" in logged
    assert "DEBUG urllib3" in logged
    sent = "".join(host.webhook.got)
    assert all(outcome in sent for outcome in ("succeeded", "rolled_back", "aborted")), sent
    assert found_in("".join(host.heard), SECRETS) == []
    assert found_in(logged, SECRETS) == []
    assert found_in(sent, SECRETS) == []
    the_store_holds_what_security_md_says(host.database)
    assert set(found_in(exported.read_text(), SECRETS)) == {*CONFIGURED, *LABELS, *IN_POLICY}
    for path in (exported, *(path for path in host.database.parent.iterdir() if path.is_file())):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


def the_store_holds_what_security_md_says(database: Path) -> None:
    """Snapshots have the configuration, the inventory the labels, the journal what the policy runs."""
    assert holders(database, SECRETS) == {
        *(("record snapshot", secret) for secret in (*CONFIGURED, *LABELS)),
        *(("record asset", secret) for secret in LABELS),
        *(("event operation_planned", secret) for secret in IN_POLICY),
    }


def test_values_errors_and_records_of_an_embedded_updater_tell_no_secret(
    host: Host, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.handler.setFormatter(FieldsFormatter("%(levelname)s %(name)s %(message)s"))
    monkeypatch.setenv("DOCKER_CONFIG", str(host.directory))
    monkeypatch.setenv("PATH", host.environ["PATH"])

    host.log_in(credsStore="planted")
    host.release("1.0.1")
    good = one_round(host, caplog, IN_CODE, Outcome.SUCCEEDED)
    host.release("1.0.2", Kind.CRASH)
    bad = one_round(host, caplog, IN_CODE, Outcome.ROLLED_BACK)
    host.log_in(auths=host.auths("ci", WRONG))
    host.release("1.0.3")
    refused = one_round(host, caplog, IN_CODE, Outcome.ABORTED)
    assert "registry_denied" in refused
    unknown = one_round(host, caplog, WRONG, None)
    assert "docker login" in unknown, "the wrong login was used"

    assert "step_intended" in caplog.text
    assert found_in(good + bad + refused + unknown, SECRETS) == []
    assert found_in(caplog.text, SECRETS) == []
    assert found_in(repr([vars(record) for record in caplog.records]), SECRETS) == []
    the_store_holds_what_security_md_says(host.directory / "embedded.db")


def one_round(host: Host, caplog: pytest.LogCaptureFixture, password: str, expected: Outcome | None) -> str:
    """Scans, plans and applies with a login given in code; all values and errors that come of it, as text."""
    clock = SystemClock()
    client = docker.APIClient(base_url=host.url, version="1.41")
    client.trust_env = False
    updater = Updater(
        backends=[DockerBackend(client, host="test")],
        policy=Policy.load(str(host.directory / "policy.yaml")),
        store=open_store(f"sqlite:///{host.directory / 'embedded.db'}", clock),
        tags=RegistryClient({host.registry.host: Credentials(username="code", password=password)}),
        observers=[LoggingObserver()], clock=clock,
    )  # fmt: skip
    with updater, caplog.at_level("DEBUG"):
        scan = updater.scan()
        plan = updater.plan([asset for asset in scan.assets if asset.name == NAME])
        results = updater.apply(plan)
        assert [result.outcome for result in results] == ([expected] if expected else []), results
        values: list[object] = [scan, plan, *results, *(told(result) for result in results)]
        values += [entry for result in results for entry in updater.store.load(result.operation_id or "")]
        values += [stored for _, stored in updater.store.iterate("snapshot")]
        held = [updater, *updater.backends, updater.tags, updater.store, updater.policy, updater.executor]
        values += [*held, *(vars(each) for each in held if hasattr(each, "__dict__"))]
    client.close()
    return "\n".join(f"{value!r} {value}" for value in values)


def told(result: OperationResult) -> object:
    """What the exception for an outcome says, with everything that it carries."""
    try:
        result.raise_for_outcome()
    except SafeUpdaterError as error:
        return [repr(error), str(error), vars(error), traceback.format_exception(error)]
    return None
