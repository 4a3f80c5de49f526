"""Logins for pulls: our rules decide which one goes along, and which helper may run for it."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import attrs
import docker.auth
import pytest
import requests

from safeupdater.backends.docker import DockerBackend
from safeupdater.domain.artifact import ImageReference
from safeupdater.domain.operation import Phase
from safeupdater.registries.oci import Credentials, DockerConfig, ExplicitCredentials, NoCredentials
from safeupdater.testing.driving import Drive, StepStopped, operation_for
from safeupdater.testing.fake_docker import FakeDocker
from safeupdater.testing.fake_docker_http import FakeTransport

APP, HUB = "registry.test/app", "docker.io/library/app"
SECRET = "hunter2-Zq9"


class Listening(FakeTransport):
    """Keeps the login that came with each pull."""

    def __init__(self, daemon: FakeDocker) -> None:
        super().__init__(daemon)
        self.logins: list[Any] = []

    def send(self, request: requests.PreparedRequest, *args: Any, **options: Any) -> requests.Response:
        if "/images/create" in str(request.url):
            header = request.headers.get("X-Registry-Auth")
            self.logins.append(json.loads(base64.urlsafe_b64decode(header)) if header else None)
        return super().send(request, *args, **options)


@attrs.define
class Scene:
    """A daemon that runs 1.0.0 of an image whose 1.0.1 has to be pulled."""

    repository: str = APP
    daemon: FakeDocker = attrs.field(factory=FakeDocker)
    transport: Listening = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.transport = Listening(self.daemon)
        self.daemon.release(f"{self.repository}:1.0.0", pulled=True)
        self.daemon.run("web", f"{self.repository}:1.0.0")

    def stage(self, **options: Any) -> None:
        digest = self.daemon.release(f"{self.repository}:1.0.1")
        client = self.daemon.client(lambda _: self.transport)
        backend = DockerBackend(client, host="h", own_container=None, **options)
        (asset,) = backend.scan().assets
        new = ImageReference.parse(f"{self.repository}:1.0.1@{digest}")
        drive = Drive(backend, operation_for(asset, new))
        drive.capture()
        drive.perform(Phase.STAGING)


def logged_in(
    directory: Path, monkeypatch: pytest.MonkeyPatch, config: object, script: str = "exit 1"
) -> None:
    """The user's docker configuration, and a helper of the name ``planted`` on the path."""
    (directory / "config.json").write_text(json.dumps(config))
    helper = directory / "docker-credential-planted"
    helper.write_text(f"#!/bin/sh\n{script}\n")
    helper.chmod(0o700)
    for name in ("DOCKER_AUTH_CONFIG", "REGISTRY_AUTH_FILE", "XDG_RUNTIME_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", str(directory))
    monkeypatch.setenv("PATH", f"{directory}:/usr/bin:/bin")


LOGINS: list[tuple[str, Credentials, dict[str, str]]] = [
    (APP, Credentials(username="ci", password=SECRET),
     {"serveraddress": "registry.test", "username": "ci", "password": SECRET}),
    (APP, Credentials(identity_token=SECRET),
     {"serveraddress": "registry.test", "identitytoken": SECRET}),
    (HUB, Credentials(username="ci", password=SECRET),
     {"serveraddress": "https://index.docker.io/v1/", "username": "ci", "password": SECRET}),
]  # fmt: skip


@pytest.mark.parametrize(("repository", "login", "sent"), LOGINS, ids=["password", "token", "hub"])
def test_a_login_given_in_code_goes_with_the_pull(
    repository: str, login: Credentials, sent: dict[str, str]
) -> None:
    scene = Scene(repository)
    scene.stage(credentials=ExplicitCredentials({repository.partition("/")[0]: login}))
    assert scene.transport.logins == [sent]


def test_no_login_is_sent_where_there_is_none_for_that_registry() -> None:
    scene = Scene()
    scene.stage(
        credentials=ExplicitCredentials({"evil-registry.test": Credentials(username="a", password="b")})
    )
    assert scene.transport.logins == [None]


def test_the_logins_of_this_machine_are_the_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = f"""echo '{{"Username":"robot","Secret":"{SECRET}"}}'"""
    logged_in(tmp_path, monkeypatch, {"credHelpers": {"registry.test": "planted"}}, script)
    scene = Scene()
    scene.stage()
    assert [login["username"] for login in scene.transport.logins] == ["robot"]


def test_docker_pys_own_looking_up_is_never_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    logged_in(tmp_path, monkeypatch, {"credsStore": "planted"}, f"touch {tmp_path}/ran; exit 1")

    def forbidden(*_: object, **__: object) -> None:
        raise AssertionError("docker-py looked up a login")

    monkeypatch.setattr(docker.auth, "resolve_authconfig", forbidden)
    Scene().stage(credentials=NoCredentials())
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("name", "script"),
    [
        ("../planted", "true"),
        ("planted", f"echo {SECRET} >&2; echo {SECRET}; exit 3"),
        ("planted", f"while :; do echo {SECRET}; done"),
        ("absent", "true"),
    ],
    ids=["name", "fails", "endless", "absent"],
)
def test_a_helper_that_misbehaves_stops_the_pull_and_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, script: str
) -> None:
    logged_in(tmp_path, monkeypatch, {"credHelpers": {"registry.test": name}}, script)
    scene = Scene()
    with pytest.raises(StepStopped) as stopped:
        scene.stage()
    outcome = stopped.value.outcome
    assert (outcome.code, SECRET in outcome.message) == ("credential_helper", False)
    assert "no login for a pull from registry.test" in outcome.message
    assert (scene.transport.logins, scene.daemon.running()) == ([], {"web"})


def test_a_login_that_cannot_be_read_is_one_sentence_without_it() -> None:
    config = DockerConfig(json.dumps({"auths": {"registry.test": {"auth": SECRET}}}).encode())
    with pytest.raises(StepStopped) as stopped:
        Scene().stage(credentials=config)
    assert stopped.value.outcome.code == "bad_credentials_file"
    assert SECRET not in stopped.value.outcome.message
