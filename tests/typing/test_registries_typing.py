"""What type checkers conclude about registries."""

from __future__ import annotations

from collections.abc import Mapping
from typing import assert_type

from safeupdater.domain.artifact import ImageReference, ResolvedImage
from safeupdater.domain.secret import Secret
from safeupdater.errors import RegistryError
from safeupdater.protocols import FactSource, TagSource
from safeupdater.registries.oci import Credentials, ImageConfig, RegistryClient, RegistrySettings
from safeupdater.registries.static import StaticFacts, StaticTags


def test_clients_and_given_tags_are_ports() -> None:
    client = RegistryClient(environ={})
    sources: list[TagSource] = [client, StaticTags({})]
    fact_sources: list[FactSource] = [client, StaticFacts({})]
    assert len(sources) == len(fact_sources)


def test_logins_and_settings_are_passed_by_registry() -> None:
    login = Credentials(username="me", password="p")
    assert_type(login.password, Secret[str])
    assert_type(login.password.reveal(), str)
    settings = RegistrySettings(token_hosts=["t.example"])
    client = RegistryClient({"docker.io": login}, registries={"r.example": settings}, ttl_s=60, environ={})
    assert_type(client.provides, frozenset[str])
    assert_type(settings.token_hosts, frozenset[str])


def check_answers(client: RegistryClient, image: ImageReference) -> None:
    assert_type(client.get_available_tags(image), tuple[str, ...])
    assert_type(client.resolve(image, "linux/amd64"), ResolvedImage)
    assert_type(client.resolve_many([image]), Mapping[str, ResolvedImage | RegistryError])
    assert_type(client.lookup_many([image]), Mapping[str, tuple[str, ...] | RegistryError])
    assert_type(client.image_config(image), ImageConfig)
