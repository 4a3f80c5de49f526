"""The registry client against a real registry: what users connect to."""

from __future__ import annotations

import base64
import contextlib
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from safeupdater.domain.artifact import ImageReference
from safeupdater.errors import RegistryError
from safeupdater.registries.oci import Credentials, RegistryClient
from testbed.processes import Unavailable
from testbed.registry import Registry

pytestmark = pytest.mark.live

PASSWORD = "correct horse"
HTPASSWD = "ci:$2y$05$abcdefghijklmnopqrstuuHNbAKRhpaujgo33bRWs.NLUTJO3lOy2\n"  # bcrypt of it, cost 5


def _running(registry: Registry) -> Registry:
    try:
        return registry.__enter__()
    except Unavailable as reason:
        pytest.skip(str(reason))


@pytest.fixture(scope="module")
def shop() -> Iterator[Registry]:
    with contextlib.ExitStack() as stack:
        running = _running(Registry())
        stack.push(running)
        for tag in ("1.0.0", "1.0.1", "1.1.0"):
            running.push_image("shop/web", tag, labels={"org.example.team": "web"})
        running.push_image("shop/multi", "2.0.0", platforms=("linux/amd64", "linux/arm64/v8", "linux/arm/v7"))
        yield running


@pytest.fixture
def client() -> Iterator[RegistryClient]:
    with RegistryClient(environ={}) as opened:
        yield opened


def _image(registry: Registry, text: str) -> ImageReference:
    return ImageReference.parse(f"{registry.host}/{text}")


def test_tags_come_back_as_they_were_pushed(shop: Registry, client: RegistryClient) -> None:
    tags = client.get_available_tags(_image(shop, "shop/web:1.0.0"))
    assert sorted(tags) == ["1.0.0", "1.0.1", "1.1.0"]


def test_a_tag_resolves_to_the_digest_that_was_pushed(shop: Registry, client: RegistryClient) -> None:
    digest = shop.push_image("shop/pinned", "3.0.0")
    resolved = client.resolve(_image(shop, "shop/pinned:3.0.0"))
    assert resolved.reference.digest == digest
    assert client.resolve(resolved.reference.with_digest(digest)).digests == {digest}


def test_a_moved_tag_is_seen_after_forgetting(shop: Registry, client: RegistryClient) -> None:
    image = _image(shop, "shop/moving:1")
    old = shop.push_image("shop/moving", "1", marker="old")
    assert client.resolve(image).reference.digest == old
    new = shop.push_image("shop/moving", "1", marker="new")
    assert client.resolve(image).reference.digest == old
    client.forget()
    assert client.resolve(image).reference.digest == new


@pytest.mark.parametrize("platform", ["linux/amd64", "linux/arm64", "linux/arm/v7"])
def test_an_index_gives_the_manifest_of_the_platform(
    shop: Registry, client: RegistryClient, platform: str
) -> None:
    resolved = client.resolve(_image(shop, "shop/multi:2.0.0"), platform)
    assert resolved.platform_digest is not None
    assert resolved.platform_digest != resolved.reference.digest
    config = client.image_config(_image(shop, "shop/multi:2.0.0"), platform)
    assert str(config.platform).startswith(platform.rpartition("/v7")[0] or platform)


def test_an_image_for_other_platforms_is_no_answer(shop: Registry, client: RegistryClient) -> None:
    for image in ("shop/multi:2.0.0", "shop/web:1.0.0"):
        with pytest.raises(RegistryError, match="not built for linux/s390x") as raised:
            client.resolve(_image(shop, image), "linux/s390x")
        assert raised.value.code == "no_platform"


def test_the_config_says_when_and_by_whom(shop: Registry, client: RegistryClient) -> None:
    config = client.image_config(_image(shop, "shop/web:1.0.0"), "linux/amd64")
    assert config.created == datetime(2026, 1, 2, 3, 4, 5, 123456, tzinfo=UTC)
    assert config.labels == {"org.example.team": "web"}


def test_many_images_are_answered_each_by_itself(shop: Registry, client: RegistryClient) -> None:
    web, none = _image(shop, "shop/web:1.0.0"), _image(shop, "shop/none:1")
    found = client.lookup_many([web, web.with_tag("1.0.1"), none])
    assert set(found) == {web.name, none.name}
    assert isinstance(found[none.name], RegistryError)
    assert len(found[web.name]) == 3  # type: ignore[arg-type]
    digests = client.resolve_many([web, web.with_tag("9.9.9")])
    assert isinstance(digests[str(web.with_tag("9.9.9"))], RegistryError)
    assert not isinstance(digests[str(web)], RegistryError)


def test_a_missing_repository_is_an_error_that_names_it(shop: Registry, client: RegistryClient) -> None:
    with pytest.raises(RegistryError, match="shop/none") as raised:
        client.get_available_tags(_image(shop, "shop/none:1"))
    assert raised.value.code == "not_found"


def test_a_deleted_current_tag_does_not_spoil_the_listing(shop: Registry, client: RegistryClient) -> None:
    assert len(client.get_available_tags(_image(shop, "shop/web:0.9.0"))) == 3


def test_nothing_listening_is_one_sentence(client: RegistryClient) -> None:
    with Registry() as gone:
        image = _image(gone, "shop/web:1.0.0")
    with pytest.raises(RegistryError, match="cannot be reached") as raised:
        client.get_available_tags(image)
    assert raised.value.transient


@pytest.fixture(scope="module")
def private() -> Iterator[Registry]:
    running = _running(Registry(htpasswd=HTPASSWD, login=("ci", PASSWORD)))
    with contextlib.ExitStack() as stack:
        stack.push(running)
        running.push_image("shop/secret", "1.0.0")
        yield running


def test_a_login_given_in_code_is_used(private: Registry) -> None:
    login = Credentials(username="ci", password=PASSWORD)
    with RegistryClient({private.host: login}, environ={}) as client:
        assert client.get_available_tags(_image(private, "shop/secret:1.0.0")) == ("1.0.0",)


def test_the_login_of_docker_login_is_used(private: Registry, tmp_path: Path) -> None:
    auth = base64.b64encode(f"ci:{PASSWORD}".encode()).decode()
    (tmp_path / "config.json").write_text(json.dumps({"auths": {private.host: {"auth": auth}}}))
    with RegistryClient(environ={"DOCKER_CONFIG": str(tmp_path)}) as client:
        assert client.get_available_tags(_image(private, "shop/secret:1.0.0")) == ("1.0.0",)


@pytest.mark.parametrize("password", [None, "wrong"])
def test_no_or_a_wrong_login_says_what_to_do(private: Registry, password: str | None) -> None:
    logins = {} if password is None else {private.host: Credentials(username="ci", password=password)}
    with (
        RegistryClient(logins, environ={}) as client,
        pytest.raises(RegistryError, match="docker login") as e,
    ):
        client.get_available_tags(_image(private, "shop/secret:1.0.0"))
    assert e.value.code == "unauthorized"
