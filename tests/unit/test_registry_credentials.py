"""Docker's own logins: where they are found, whom they match, and helpers within bounds."""

from __future__ import annotations

import base64
import json
import os
import pwd
import time
from pathlib import Path

import pytest

from safeupdater.errors import RegistryError
from safeupdater.registries.oci.credentials import (
    CredentialChain,
    Credentials,
    DockerConfig,
    ExplicitCredentials,
    default_credentials,
)
from safeupdater.registries.oci.helpers import CredentialHelper


def auth(user: str, password: str) -> dict[str, str]:
    return {"auth": base64.b64encode(f"{user}:{password}".encode()).decode()}


def config(**content: object) -> DockerConfig:
    return DockerConfig(json.dumps(content).encode(), origin="config.json", environ={})


@pytest.mark.parametrize(
    ("key", "registry", "matches"),
    [
        ("https://index.docker.io/v1/", "docker.io", True),
        ("index.docker.io", "docker.io", True),
        ("docker.io", "docker.io", True),
        ("registry-1.docker.io", "docker.io", True),
        ("https://reg.example/v1/", "reg.example", True),
        ("https://reg.example/v2/", "reg.example", True),
        ("http://reg.example", "reg.example", True),
        ("REG.example", "reg.example", True),
        ("reg.example:5000", "reg.example:5000", True),
        ("reg.example:5000", "reg.example", False),
        ("reg.example", "reg.example:5000", False),
        ("gcr.io", "evil-gcr.io", False),
        ("gcr.io", "eu.gcr.io", False),
        ("gcr.io", "gcr.io.evil", False),
        ("evil-gcr.io", "gcr.io", False),
        ("reg.example/team", "reg.example", False),
        ("https://reg.example/v1/x", "reg.example", False),
        ("", "docker.io", False),
    ],
)
def test_a_login_matches_exactly_its_registry(key: str, registry: str, matches: bool) -> None:
    found = config(auths={key: auth("ci", "pa:55")}).for_registry(registry)
    assert found == (Credentials(username="ci", password="pa:55") if matches else None)


def test_an_identity_token_is_taken_before_a_password() -> None:
    entry = {**auth("u", "p"), "identitytoken": "idt"}
    found = config(auths={"reg.example": entry}).for_registry("reg.example")
    assert found == Credentials(identity_token="idt")


@pytest.mark.parametrize(
    "text",
    ["", "[]", '{"auths": []}', '{"auths": {"a": 1}}', "[" * 5000, '{"auths": {"reg.example": {"auth": 5}}}'],
)
def test_a_broken_config_is_an_error_that_repeats_nothing(text: str) -> None:
    with pytest.raises(RegistryError, match=r"config\.json cannot be read"):
        DockerConfig(text.encode(), origin="config.json", environ={})


@pytest.mark.parametrize("encoded", ["%%%", "c2VjcmV0", "////", "YQ="])
def test_an_undecodable_auth_is_an_error_that_repeats_nothing(encoded: str) -> None:
    with pytest.raises(RegistryError, match="not base64") as raised:
        config(auths={"reg.example": {"auth": encoded}}).for_registry("reg.example")
    assert encoded not in str(raised.value)


def test_the_places_are_asked_in_the_ecosystems_order(tmp_path: Path) -> None:
    def place(name: str, user: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"auths": {"reg.example": auth(user, "p")}}))
        return path

    place("home/.docker/config.json", "home")
    place("docker/config.json", "docker")
    podman, runtime = place("podman.json", "podman"), place("run/containers/auth.json", "runtime")
    environ = {
        "DOCKER_AUTH_CONFIG": json.dumps({"auths": {"reg.example": auth("inline", "p")}}),
        "DOCKER_CONFIG": str(tmp_path / "docker"),
        "HOME": str(tmp_path / "home"),
        "REGISTRY_AUTH_FILE": str(podman),
        "XDG_RUNTIME_DIR": str(runtime.parents[1]),
    }
    expected = [
        ("DOCKER_AUTH_CONFIG", "inline"), ("DOCKER_CONFIG", "docker"), ("HOME", "home"),
        ("REGISTRY_AUTH_FILE", "podman"), ("XDG_RUNTIME_DIR", "runtime"),
    ]  # fmt: skip
    for variable, user in expected:
        found = default_credentials(environ).for_registry("reg.example")
        assert found is not None
        assert found.username == user
        del environ[variable]
    assert default_credentials(environ).for_registry("reg.example") is None


def test_a_service_without_home_finds_the_logins_that_docker_finds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".docker").mkdir()
    logins = json.dumps({"auths": {"reg.example": auth("root", "p")}})
    (tmp_path / ".docker/config.json").write_text(logins)
    entry = pwd.getpwuid(os.getuid())
    monkeypatch.delenv("HOME")
    monkeypatch.setattr(pwd, "getpwuid", lambda _: pwd.struct_passwd((*entry[:5], str(tmp_path), entry[6])))
    found = default_credentials({"PATH": "/usr/bin"}).for_registry("reg.example")
    assert found is not None
    assert found.username == "root"


def test_an_explicit_login_wins_and_others_are_still_found() -> None:
    explicit = ExplicitCredentials(
        {"https://index.docker.io/v1/": Credentials(username="mine", password="p")}
    )
    chain = CredentialChain(
        (explicit, config(auths={"docker.io": auth("theirs", "p"), "ghcr.io": auth("gh", "p")}))
    )
    found = [chain.for_registry(name) for name in ("docker.io", "ghcr.io", "quay.io")]
    assert [login and login.username for login in found] == ["mine", "gh", None]


def test_a_key_that_is_no_registry_is_refused_in_code() -> None:
    with pytest.raises(ValueError, match="not a registry"):
        ExplicitCredentials({"reg.example/team": Credentials()})


@pytest.mark.parametrize("kind", ["directory", "huge", "fifo"])
def test_a_config_that_cannot_be_read_is_an_error_and_no_hang(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "config.json"
    if kind == "directory":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        path.write_bytes(b" " * (1024 * 1024 + 2))
    with pytest.raises(RegistryError, match="cannot be read"):
        default_credentials({"DOCKER_CONFIG": str(tmp_path)}).for_registry("reg.example")


# --- helpers


def helper(directory: Path, script: str, name: str = "test") -> dict[str, str]:
    program = directory / f"docker-credential-{name}"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return {"PATH": f"{directory}:/usr/bin:/bin"}


ANSWER = """read server; echo '{"ServerURL":"'$server'","Username":"'$1'","Secret":"s:'$server'"}'"""


@pytest.mark.parametrize(
    ("content", "registry", "found"),
    [
        ({"credsStore": "test"}, "docker.io", ("get", "s:https://index.docker.io/v1/")),
        ({"credsStore": "test"}, "reg.example:5000", ("get", "s:reg.example:5000")),
        (
            {"credHelpers": {"reg.example": "test"}, "credsStore": "none"},
            "reg.example",
            ("get", "s:reg.example"),
        ),
        ({"credHelpers": {"reg.example": "test"}}, "other.example", None),
    ],
)
def test_a_helper_is_asked_as_docker_asks_it(
    tmp_path: Path, content: dict[str, object], registry: str, found: tuple[str, str] | None
) -> None:
    environ = helper(tmp_path, ANSWER)
    login = DockerConfig(json.dumps(content).encode(), origin="c", environ=environ).for_registry(registry)
    assert (login and (login.username, login.password.reveal())) == found


def test_a_helper_may_give_an_identity_token(tmp_path: Path) -> None:
    environ = helper(tmp_path, """echo '{"Username":"<token>","Secret":"idt"}'""")
    login = DockerConfig(b'{"credsStore":"test"}', origin="c", environ=environ).for_registry("reg.example")
    assert login == Credentials(identity_token="idt")


def test_what_a_helper_complains_of_is_not_printed(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    environ = helper(tmp_path, """echo 'trying pa55 of ci' >&2; echo '{"Username":"ci","Secret":"pa55"}'""")
    assert DockerConfig(b'{"credsStore":"test"}', origin="c", environ=environ).for_registry("reg.example")
    assert capfd.readouterr() == ("", "")


def test_a_helper_without_a_login_leaves_it_to_the_file(tmp_path: Path) -> None:
    environ = helper(tmp_path, "echo credentials not found in native keychain; exit 1")
    content = {"credsStore": "test", "auths": {"reg.example": auth("file", "p")}}
    login = DockerConfig(json.dumps(content).encode(), origin="c", environ=environ).for_registry(
        "reg.example"
    )
    assert login is not None
    assert login.username == "file"


@pytest.mark.parametrize(
    ("script", "says"),
    [
        ("echo s3cr3t; exit 3", "ended with status 3"),
        ("echo s3cr3t", "did not answer with a login"),
        ("echo '[]'", "did not answer with a login"),
        ("yes s3cr3t", "more than 64 KiB"),
        ("sleep 60", "did not answer within"),
        ("exec 1>&-; sleep 60", "did not end within"),
        ("(sleep 60) & echo '{}'", "did not answer"),
    ],
)
def test_a_helper_that_misbehaves_is_an_error_soon(tmp_path: Path, script: str, says: str) -> None:
    began = time.monotonic()
    with pytest.raises(RegistryError, match=says) as raised:
        CredentialHelper("test", helper(tmp_path, script), deadline_s=0.4).get("reg.example")
    assert time.monotonic() - began < 5
    assert "s3cr3t" not in str(raised.value)


@pytest.mark.parametrize(
    ("program", "says"),
    [
        (b"\x7fELF of another processor", "cannot be run .Exec format error.: install it for this machine"),
        (b"", "cannot be run .Exec format error."),
        (b"#!/no/such/interpreter\n", "cannot be run .No such file or directory."),
    ],
)
def test_a_helper_that_cannot_be_run_is_an_error_that_names_it(
    tmp_path: Path, program: bytes, says: str
) -> None:
    environ = helper(tmp_path, "")
    (tmp_path / "docker-credential-test").write_bytes(program)
    with pytest.raises(RegistryError, match=f"docker-credential-test {says}") as raised:
        CredentialHelper("test", environ).get("reg.example")
    assert raised.value.code == "credential_helper"


@pytest.mark.parametrize("name", ["../evil", "a/b", "a b", "a;id", "", "UPPER", "a\n", "ä", "-x", "x" * 65])
def test_a_helpers_name_is_checked_before_anything_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    # The program is there under this very name, wherever the name would lead.
    monkeypatch.chdir(tmp_path)
    (tmp_path / "docker-credential-..").mkdir()
    (tmp_path / "docker-credential-a").mkdir()
    marker = tmp_path / "ran"
    environ = helper(tmp_path, f"touch {marker}; {ANSWER}", name=name)
    with pytest.raises(RegistryError, match="not the name of a credential helper"):
        CredentialHelper(name, environ).get("reg.example")
    assert not marker.exists()


def test_a_helper_is_not_taken_from_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    helper(tmp_path, ANSWER)
    monkeypatch.chdir(tmp_path)
    for path in (".", "", f".{os.pathsep}bin"):
        with pytest.raises(RegistryError, match="not on PATH"):
            CredentialHelper("test", {"PATH": path}).get("reg.example")


def test_no_secret_is_shown_by_repr() -> None:
    login = Credentials(username="ci", password="s3cr3t", identity_token="t0k3n")
    for shown in (repr(login), str(login), f"{login}", repr([login])):
        assert "s3cr3t" not in shown
        assert "t0k3n" not in shown
