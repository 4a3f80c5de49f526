"""The registries file: what it declares reaches the client, and mistakes in it are told where they are."""

from __future__ import annotations

import re
from pathlib import Path

import certifi
import pytest

from safeupdater.config.named import named_registry
from safeupdater.config.registries import load_registries
from safeupdater.errors import ConfigurationError
from safeupdater.registries.oci import RegistryClient, RegistrySettings

AUTHORITIES = certifi.where()
FILE = f"""\
registry.example.org:
  ca_file: {AUTHORITIES}
  token_hosts: [login.example.net, "login.example.net:8443"]
Registry.lan:5000:
  {{plain_http: true, credentials_over_plain_http: true, max_parallel: 2, requests_per_s: 0.5}}
docker.io: {{}}
"""
DECLARED = {
    "registry.example.org": RegistrySettings(
        ca_file=AUTHORITIES,
        token_hosts=frozenset({"login.example.net", "login.example.net:8443"}),
    ),
    "registry.lan:5000": RegistrySettings(
        plain_http=True, credentials_over_plain_http=True, max_parallel=2, requests_per_s=0.5
    ),
    "docker.io": RegistrySettings(),
}


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "registries.yaml"
    path.write_text(text)
    return path


def test_a_file_gives_the_settings_of_each_registry(tmp_path: Path) -> None:
    assert load_registries(written(tmp_path, FILE)) == DECLARED


@pytest.mark.parametrize("named_by", ["option", "environment"])
def test_the_built_in_client_takes_them(tmp_path: Path, named_by: str) -> None:
    path = str(written(tmp_path, "registry.lan:5000: {plain_http: false, max_parallel: 3}"))
    if named_by == "option":
        client = named_registry("oci", {}, path)
    else:
        client = named_registry("oci", {"SAFEUPDATER_REGISTRIES": path})
    assert isinstance(client, RegistryClient)
    assert repr(client) == "RegistryClient(registries=['registry.lan:5000'])"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("reg.example: {plain_htpp: true}", "registries.yaml:1:15: .*plain_htpp.*did you mean.*plain_http"),
        ("reg.example: {plain_http: 1}", "expected true or false"),
        ("reg.example: {ca_file: ca.pem}", "expected an absolute path"),
        ("reg.example: {max_parallel: 0}", "a whole number from 1 to 64"),
        ("reg.example: {requests_per_s: 0}", "a number above 0"),
        ("reg.example: {requests_per_s: true}", "a number above 0"),
        ("reg.example: {token_hosts: [a/b]}", "a host, or host:port"),
        ("reg.example/team: {}", "'reg.example/team' is not a registry"),
        ("'*.example': {}", "'.*example' is not a registry.*patterns are not understood"),
        ("reg.example: {token_hosts: ['*.example']}", "a host, or host:port"),
        ("index.docker.io: {}", "write docker.io"),
        ("registry-1.docker.io: {}", "write docker.io"),
        ("reg.example: {}\nReg.Example: {}", "registries.yaml:2:14: .*reg.example is here twice"),
        ("reg.example: {ca_file: /nonexistent/ca.pem}", "ca_file .*cannot be read: No such file"),
        ("reg.example: {ca_file: /dev/null}", "ca_file .*holds no certificates"),
        ("reg.example: {ca_file: /etc}", "ca_file '/etc' "),
        ("reg.example: {plain_http: false, credentials_over_plain_http: true}", "needs plain_http: true"),
        ("reg.example: 5", "expected a mapping"),
        ("[reg.example]", "expected a mapping such as"),
        ("", "the file is empty"),
    ],
)
def test_a_mistake_is_told_where_it_is(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        load_registries(written(tmp_path, text))
    assert refused.value.problems
    told = "\n".join([str(refused.value), *map(str, refused.value.problems)])
    assert re.search(said, told), told


def test_a_file_that_is_not_there_is_an_error_and_not_an_empty_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="No such file"):
        named_registry("oci", {"SAFEUPDATER_REGISTRIES": str(tmp_path / "none.yaml")})


@pytest.mark.parametrize("named_by", ["option", "environment"])
def test_a_file_that_a_plugin_would_never_see_is_refused(tmp_path: Path, named_by: str) -> None:
    path = str(written(tmp_path, FILE))
    environ, given = ({}, path) if named_by == "option" else ({"SAFEUPDATER_REGISTRIES": path}, None)
    with pytest.raises(ConfigurationError, match=r"the plugin .acme., .* only for oci"):
        named_registry("acme", environ, given)
