"""Digests, platforms and configs: what is used is what was promised, byte for byte."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safeupdater.errors import MalformedResponse, RegistryError
from safeupdater.registries.oci import Platform
from safeupdater.registries.oci.manifests import (
    DOCKER_INDEX,
    DOCKER_MANIFEST,
    OCI_INDEX,
    OCI_MANIFEST,
    Index,
    creation_time,
    parse_config,
    parse_manifest,
    verified_digest,
)
from testbed.registry_world import World, image
from testbed.scripted_registry import Exchange, Filter, Reply, digest_of
from tests.support.indexes import add_index, as_platform, index_of, nesting

APP = image("shop/app:1.0.0")
NOW = datetime(2026, 6, 1, tzinfo=UTC)
SHA = "sha256:" + "a" * 64


@pytest.fixture
def world() -> Iterator[World]:
    with World() as made:
        yield made


# --- resolving


def test_one_head_gives_the_digest(world: World) -> None:
    server = world.serve()
    digest = server.repository("shop/app").add_image("1.0.0")
    client = world.client()
    for _ in range(3):
        resolved = client.resolve(APP)
    assert resolved.reference == APP.with_digest(digest)
    assert resolved.platform_digest is None
    assert [(each.method, each.kind) for each in server.seen] == [("HEAD", "manifest")]
    for media_type in (OCI_INDEX, OCI_MANIFEST, DOCKER_INDEX, DOCKER_MANIFEST):
        assert media_type in server.seen[0].headers["accept"]


def drop_digest(exchange: Exchange, reply: Reply) -> Reply:
    return reply.with_header("Docker-Content-Digest", None)


def no_head(exchange: Exchange, reply: Reply) -> Reply:
    return Reply(status=405) if exchange.method == "HEAD" else reply


@pytest.mark.parametrize("filters", [[drop_digest], [no_head], [no_head, drop_digest]])
def test_where_head_does_not_tell_the_body_is_hashed(world: World, filters: list[Filter]) -> None:
    server = world.serve(*filters)
    digest = server.repository("shop/app").add_image("1.0.0")
    assert world.client().resolve(APP).reference.digest == digest
    assert server.seen[-1].method == "GET"


@pytest.mark.parametrize(
    "claimed",
    [
        "md5:d41d8cd98f00b204e9800998ecf8427e",
        "sha256:ABCDEF" + "0" * 58,
        "sha256:short",
        SHA,
        "sha512:" + "a" * 128,
        "x\x00y",
    ],
)
def test_a_lying_digest_header_is_an_error(world: World, claimed: str) -> None:
    server = world.serve(no_head, lambda _, reply: reply.with_header("Docker-Content-Digest", claimed))
    server.repository("shop/app").add_image("1.0.0")
    with pytest.raises(RegistryError):
        world.client().resolve(APP)


def test_a_digest_that_serves_other_bytes_is_an_error(world: World) -> None:
    server = world.serve()
    repository = server.repository("shop/app")
    digest = repository.add_image("1.0.0")
    media_type, body = repository.documents[digest]
    repository.documents[digest] = (media_type, body + b" ")
    with pytest.raises(MalformedResponse, match="digest that was promised"):
        world.client().resolve(APP, "linux/amd64")


def test_a_pinned_reference_is_answered_by_its_own_digest_only(world: World) -> None:
    server = world.serve(lambda _, reply: reply.with_header("Docker-Content-Digest", SHA))
    digest = server.repository("shop/app").add_image("1.0.0")
    pinned = image(f"shop/app@{digest}")
    with pytest.raises(MalformedResponse, match="digest that was promised"):
        world.client().resolve(pinned)


# --- platforms


@pytest.mark.parametrize(
    ("asked", "given"),
    [
        ("linux/amd64", "linux/amd64"),
        ("linux/x86_64", "linux/amd64"),
        ("linux/arm64", "linux/arm64/v8"),
        ("linux/aarch64", "linux/arm64/v8"),
        ("linux/arm/v7", "linux/arm/v6"),
        ("linux/arm", "linux/arm/v6"),
    ],
)
def test_the_platforms_manifest_is_found(world: World, asked: str, given: str) -> None:
    server = world.serve()
    digests = add_index(
        server.repository("shop/app"),
        "1.0.0",
        "linux/amd64",
        "linux/arm64/v8",
        "linux/arm/v6",
        "linux/arm/v5",
    )
    resolved = world.client().resolve(APP, asked)
    assert resolved.platform_digest == digests[given]
    assert resolved.reference.digest == digests["1.0.0"]
    assert resolved.digests == {digests[given], digests["1.0.0"]}


@pytest.mark.parametrize("platform", ["linux/s390x", "windows/amd64", "linux/arm/v4"])
def test_an_index_without_the_platform_is_no_answer(world: World, platform: str) -> None:
    server = world.serve()
    add_index(server.repository("shop/app"), "1.0.0", "linux/amd64", "linux/arm64")
    with pytest.raises(RegistryError, match=r"only for linux/amd64, linux/arm64") as raised:
        world.client().resolve(APP, platform)
    assert raised.value.code == "no_platform"


def test_a_single_image_for_another_platform_is_no_answer(world: World) -> None:
    server = world.serve()
    server.repository("shop/app").add_image("1.0.0", platform="linux/arm64")
    client = world.client()
    with pytest.raises(RegistryError, match="not built for linux/amd64") as raised:
        client.resolve(APP, "linux/amd64")
    assert raised.value.code == "no_platform"
    assert client.resolve(APP, "linux/arm64/v8").platform_digest is not None


def test_an_index_that_lies_about_a_platform_is_found_out_by_the_config(world: World) -> None:
    server = world.serve()
    repository = server.repository("shop/app")
    arm = repository.add_image("arm", platform="linux/arm64")
    repository.add_document("1.0.0", OCI_INDEX, index_of(("linux/amd64", arm)))
    with pytest.raises(RegistryError, match="not built for linux/amd64"):
        world.client().image_config(APP, "linux/amd64")


def test_an_index_inside_an_index_is_not_followed(world: World) -> None:
    server = world.serve()
    repository = server.repository("shop/app")
    inner = repository.add_document(None, OCI_INDEX, index_of(("linux/amd64", SHA)))
    repository.add_document("1.0.0", OCI_INDEX, index_of(("linux/amd64", inner)))
    with pytest.raises(MalformedResponse, match="inside an index"):
        world.client().image_config(APP, "linux/amd64")


ARM = ("linux/arm64", SHA)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (nesting(SHA), "there are only indexes inside the index, which are not followed"),
        (nesting(SHA, ARM), "only for linux/arm64, and there are indexes inside the index, which are not"),
        (index_of(("unknown/unknown", SHA)), "the index names no image for any platform"),
    ],
    ids=["nested only", "nested too", "attestations only"],
)
def test_an_index_that_offers_no_image_says_what_it_has(world: World, body: bytes, words: str) -> None:
    world.serve().repository("shop/app").add_document("1.0.0", OCI_INDEX, body)
    with pytest.raises(RegistryError, match=f"not built for linux/amd64, {words}") as raised:
        world.client().resolve(APP, "linux/amd64")
    assert raised.value.code == "no_platform"


@pytest.mark.parametrize("body", [nesting(SHA), index_of()], ids=["nested", "empty"])
def test_an_index_of_no_image_has_no_config(world: World, body: bytes) -> None:
    world.serve().repository("shop/app").add_document("1.0.0", OCI_INDEX, body)
    with pytest.raises(MalformedResponse, match=r"has no image: the(re are only indexes| index names no)"):
        world.client().image_config(APP)


@pytest.mark.parametrize(
    "text", ["", "linux", "linux/amd64/v1/x", "linux/am d64", "linux/\x00", "/", "linux/"]
)
def test_a_text_that_is_no_platform_is_an_error(world: World, text: str) -> None:
    server = world.serve()
    with pytest.raises(RegistryError, match="is not a platform"):
        world.client().resolve(APP, text)
    assert server.seen == []


def test_what_a_digest_names_is_fetched_once_for_ever(world: World) -> None:
    server = world.serve()
    repository = server.repository("shop/app")
    digests = add_index(repository, "1.0.0", "linux/amd64")
    repository.add_document("stable", *repository.documents[digests["1.0.0"]])
    client = world.client()
    for tag in ("1.0.0", "stable"):
        client.resolve(APP.with_tag(tag), "linux/amd64")
        client.forget()
    gets = [each for each in server.asked("manifest") if each.method == "GET"]
    assert len(gets) == 1


# --- manifests as documents

CONFIG = {"digest": SHA, "size": 1, "mediaType": "application/json"}


def document(**content: object) -> bytes:
    return json.dumps({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": CONFIG, **content}).encode()


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"", OCI_MANIFEST),
        (b"{}", OCI_MANIFEST),
        (b"[" * 100_000, OCI_MANIFEST),
        (b'{"schemaVersion": ' + b"1" * 5000 + b"}", OCI_MANIFEST),
        (b'{"schemaVersion": NaN}', OCI_MANIFEST),
        (b'{"schemaVersion": 1e999}', OCI_MANIFEST),
        (document(schemaVersion=1), OCI_MANIFEST),
        (document(config=None), OCI_MANIFEST),
        (document(config={"digest": "sha256:x"}), OCI_MANIFEST),
        (document(config={"digest": "md5:" + "a" * 32}), OCI_MANIFEST),
        (document(manifests=[]), OCI_MANIFEST),
        (document(), OCI_INDEX),
        (document(), "application/vnd.docker.distribution.manifest.v1+prettyjws"),
        (document(mediaType="application/vnd.docker.distribution.manifest.v1+json"), OCI_MANIFEST),
        (document(mediaType="text/html"), "text/html"),
        (document(mediaType=DOCKER_MANIFEST), OCI_MANIFEST),
        (index_of(("linux/amd64", SHA)), OCI_MANIFEST),
        (index_of(("linux/amd64", "sha256:short")), OCI_INDEX),
        (index_of(*[("linux/amd64", SHA)] * 1001), OCI_INDEX),
        (index_of(("linux/amd64", SHA), config=CONFIG), OCI_INDEX),
        (document()[:-1] + b', "config": {}}', OCI_MANIFEST),
        (document()[:-1] + b', "config": ' + json.dumps(CONFIG).encode() + b"}", OCI_MANIFEST),
        (document() + b"{}", OCI_MANIFEST),
        (b"\xff\xfe" + document(), OCI_MANIFEST),
    ],
)
def test_a_document_of_another_kind_is_an_error(body: bytes, content_type: str) -> None:
    with pytest.raises(MalformedResponse):
        parse_manifest(body, content_type, SHA, "it", max_entries=1000)


@given(st.binary(max_size=200), st.sampled_from([OCI_INDEX, OCI_MANIFEST, "", "x"]))
def test_any_bytes_are_a_document_or_a_clear_refusal(body: bytes, content_type: str) -> None:
    for candidate in (body, document(extra=body.hex())[: len(body) * 3]):
        try:
            parse_manifest(candidate, content_type, SHA, "it", max_entries=10)
            parse_config(candidate, "it", NOW)
        except MalformedResponse:
            continue


def test_attestations_and_nested_indexes_are_no_platforms() -> None:
    entries = json.loads(index_of(("linux/amd64", SHA), ("unknown/unknown", SHA)))
    entries["manifests"].append(
        {"digest": SHA, "mediaType": OCI_INDEX, "platform": as_platform("linux/arm64")}
    )
    parsed = parse_manifest(
        json.dumps(entries).encode(), f"{OCI_INDEX}; charset=utf-8", SHA, "it", max_entries=9
    )
    assert isinstance(parsed, Index)
    assert [str(platform) for platform, _ in parsed.platforms] == ["linux/amd64"]


def test_foreign_layers_are_never_fetched(world: World) -> None:
    evil = world.serve(host="evil.example", address="93.184.216.99")
    server = world.serve()
    repository = server.repository("shop/app")
    repository.add_image("base")
    base = json.loads(repository.documents["base"][1])
    base["layers"] = [{"digest": SHA, "urls": ["https://evil.example/layer"], "mediaType": "x"}]
    base["config"]["urls"] = ["https://evil.example/config"]
    repository.add_document("1.0.0", OCI_MANIFEST, json.dumps(base).encode())
    assert world.client().image_config(APP).created is not None
    assert evil.connections == 0


def test_sha512_is_verified_too() -> None:
    import hashlib

    digest = "sha512:" + hashlib.sha512(b"x").hexdigest()
    assert verified_digest(b"x", expected=digest, claimed=None, what="it") == digest
    assert verified_digest(b"x", expected=None, claimed=None, what="it") == digest_of(b"x")
    with pytest.raises(MalformedResponse):
        verified_digest(b"y", expected=digest, claimed=None, what="it")


# --- configs


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-01-02T03:04:05Z", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("2026-01-02T03:04:05.123456789Z", datetime(2026, 1, 2, 3, 4, 5, 123456, tzinfo=UTC)),
        ("2026-01-02T03:04:05.5+02:00", datetime(2026, 1, 2, 1, 4, 5, 500000, tzinfo=UTC)),
        ("2026-06-01T00:04:59Z", datetime(2026, 6, 1, 0, 4, 59, tzinfo=UTC)),
        ("2026-06-01T00:06:00Z", None),
        ("2099-01-01T00:00:00Z", None),
        ("0001-01-01T00:00:00Z", None),
        ("1970-01-01T00:00:00Z", None),
        ("1970-01-01T00:00:01Z", None),
        ("1980-01-01T00:00:00Z", None),
        ("1980-01-01T00:00:01Z", None),
        ("1981-01-01T00:00:00Z", datetime(1981, 1, 1, tzinfo=UTC)),
        ("0001-01-01T00:00:00+14:00", None),
        ("2026-13-01T00:00:00Z", None),
        ("2026-01-02", None),
        ("２０26-01-02T03:04:05Z", None),
        ("yesterday", None),
        ("", None),
        (None, None),
    ],
)
def test_a_creation_time_is_believed_only_where_it_can_be_one(
    text: str | None, moment: datetime | None
) -> None:
    assert creation_time(text, NOW) == moment


def test_labels_and_platform_come_from_the_config() -> None:
    body = json.dumps(
        {"os": "linux", "architecture": "arm", "variant": "7", "config": {"Labels": {"a": "b"}}}
    ).encode()
    config = parse_config(body, "it", NOW)
    assert str(config.platform) == "linux/arm"
    assert config.labels == {"a": "b"}
    assert parse_config(b'{"config": {"Labels": null}}', "it", NOW).labels == {}


@pytest.mark.parametrize(
    ("offered", "same"),
    [("linux/arm64/v8", "linux/arm64"), ("linux/arm/v7", "linux/armhf"), ("Linux/AMD64", "linux/x86_64")],
)
def test_different_spellings_are_one_platform(offered: str, same: str) -> None:
    assert Platform.parse(offered) == Platform.parse(same)
