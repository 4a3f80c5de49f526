"""A listing is all or nothing: pages are followed as given, and anything odd is an error, never a part."""

from __future__ import annotations

import json
from collections.abc import Iterator

import attrs
import pytest

from safeupdater.errors import MalformedResponse, RegistryError
from safeupdater.registries.oci.egress import EgressDenied
from safeupdater.registries.oci.paging import next_link
from testbed.registry_world import QUICK, World, image
from testbed.scripted_registry import Exchange, Filter, Reply

TAGS = [f"1.{minor}.0" for minor in range(10)]
APP = image("shop/app:1.0.0")


@pytest.fixture
def world() -> Iterator[World]:
    with World() as made:
        yield made


def paged(*pages: tuple[list[str] | None, str | None]) -> Filter:
    """A filter that serves these pages in the order of the requests, each with its Link."""
    left = list(pages)

    def serve(exchange: Exchange, reply: Reply) -> Reply:
        if exchange.kind != "tags":
            return reply
        tags, link = left.pop(0) if len(left) > 1 else left[0]
        body = json.dumps({"name": exchange.repository, "tags": tags}).encode()
        return Reply(body=body).with_header("Link", link)

    return serve


def listing(world: World, *filters: Filter, page_size: int | None = None) -> tuple[str, ...]:
    server = world.serve(*filters, page_size=page_size)
    server.repository("shop/app", TAGS)
    return world.client().get_available_tags(APP)


def test_all_pages_are_one_listing_in_the_registrys_order(world: World) -> None:
    server = world.serve(page_size=3)
    server.repository("shop/app", TAGS)
    assert world.client().get_available_tags(APP) == tuple(TAGS)
    assert len(server.asked("tags")) == 4


def test_the_cursor_is_followed_verbatim(world: World) -> None:
    cursor = "/v2/shop/app/tags/list?next_page=gAA%2f+=|AA&n=50&last=%C3%A9"
    server = world.serve(paged((["1.0.0"], f'<{cursor}>; rel="next"'), (["1.1.0"], None)))
    assert world.client().get_available_tags(APP) == ("1.0.0", "1.1.0")
    assert server.asked("tags")[1].target == cursor


def test_a_failed_page_fails_the_listing_and_nothing_is_kept(world: World) -> None:
    def fail(exchange: Exchange, reply: Reply) -> Reply:
        return Reply(status=500) if "cursor=c6" in exchange.target and broken else reply

    broken = True
    server = world.serve(fail, page_size=3)
    server.repository("shop/app", TAGS)
    client = world.client()
    with pytest.raises(RegistryError, match="answered 500"):
        client.get_available_tags(APP)
    broken = False
    assert client.get_available_tags(APP) == tuple(TAGS)


@pytest.mark.parametrize(
    "link",
    [
        '</v2/shop/app/tags/list?n=1000>; rel="next"',
        '</v2/shop/app/tags/list?last=b>; rel="next"',
        '<?last=b>; rel="next"',
    ],
)
def test_a_listing_that_leads_back_into_itself_is_an_error(world: World, link: str) -> None:
    with pytest.raises(MalformedResponse, match="repeats itself"):
        listing(world, paged((["1.0.0"], link)))


def test_a_cursor_that_grows_for_ever_ends(world: World) -> None:
    def grow(exchange: Exchange, reply: Reply) -> Reply:
        if exchange.kind != "tags":
            return reply
        number = exchange.target.count("?")
        body = json.dumps({"tags": [f"1.{len(exchange.target)}.0"]}).encode()
        return Reply(body=body).with_header("Link", f'<{exchange.target}?last={number}>; rel="next"')

    with pytest.raises(RegistryError):
        listing(world, grow)


def test_endless_new_pages_end_at_the_limit(world: World) -> None:
    def endless(exchange: Exchange, reply: Reply) -> Reply:
        number = int(exchange.query.get("p", "0"))
        body = json.dumps({"tags": [f"1.{number}.0"]}).encode()
        return Reply(body=body).with_header("Link", f'<?p={number + 1}>; rel="next"')

    server = world.serve(endless)
    client = world.client(limits=attrs.evolve(QUICK, pages=20, call_s=10))
    with pytest.raises(MalformedResponse, match="more than 20 pages"):
        client.get_available_tags(APP)
    assert len(server.asked("tags")) == 20


@pytest.mark.parametrize(
    "link",
    [
        '<>; rel="next"',
        "garbage; rel=next",
        '</v2/shop/app/tags/list?a>; rel="next", </v2/shop/app/tags/list?b>; rel="next"',
        "<" + "a" * 9000 + '>; rel="next"',
        '</v2/shop/app/tags/list?last=b>; rel="next',
    ],
)
def test_an_unreadable_link_is_not_the_last_page(world: World, link: str) -> None:
    with pytest.raises(RegistryError):
        listing(world, paged((["1.0.0"], link)))


@pytest.mark.parametrize(
    "link",
    [
        "https://169.254.169.254/v2/shop/app/tags/list",
        "https://evil.example/v2/shop/app/tags/list?last=b",
        "/v2/other/app/tags/list?last=b",
    ],
)
def test_a_listing_that_continues_elsewhere_is_refused(world: World, link: str) -> None:
    evil = world.serve(host="evil.example", address="93.184.216.99")
    with pytest.raises(EgressDenied):
        listing(world, paged((["1.0.0"], f'<{link}>; rel="next"')))
    assert evil.seen == []
    assert {address for address, _ in world.network.attempts} == {"93.184.216.34"}


def test_other_links_are_not_pages() -> None:
    assert next_link('</first>; rel="first"') is None
    assert next_link('</first>; rel="first", </x?a=1,2>; title="t"; rel="next"') == "/x?a=1,2"
    assert next_link("</x>;rel=next") == "/x"
    assert next_link(None) is None
    assert next_link("  ") is None


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b'{"tags": {}}',
        b'{"tags": [1]}',
        b'{"tags": [null]}',
        b'{"tags": "1.0.0"}',
        b'{"tags": ["\\ud800"]}',
        b'{"tags": ["a\\u0000"]}',
        b'{"tags": ["\\u001b[31mred"]}',
        b'{"tags": ["a\\r\\nb"]}',
        '{"tags": ["１.２.３"]}'.encode(),
        b'{"tags": ["' + b"a" * 200 + b'"]}',
        b'{"tags": ["-1"]}',
        b"[" * 100_000,
        b'{"x": ' + b"[" * 100_000,
        b'{"tags": NaN}',
        b"<html>login</html>",
        b"\xff\xfe",
    ],
)
def test_a_body_that_is_no_tag_list_is_an_error(world: World, body: bytes) -> None:
    def serve(exchange: Exchange, reply: Reply) -> Reply:
        return Reply(body=body) if exchange.kind == "tags" else reply

    with pytest.raises(MalformedResponse) as raised:
        listing(world, serve)
    assert str(raised.value).isprintable()


@pytest.mark.parametrize("tags", [[], None])
def test_an_empty_listing_is_suspicious_and_not_up_to_date(world: World, tags: list[str] | None) -> None:
    with pytest.raises(RegistryError, match="lists no tags") as raised:
        listing(world, paged((tags, None)))
    assert raised.value.code == "suspicious_listing"


def test_an_empty_page_in_the_middle_is_only_a_page(world: World) -> None:
    pages = paged((["1.0.0"], '<?p=2>; rel="next"'), (["1.1.0"], '<?p=3>; rel="next"'), ([], None))
    assert listing(world, pages) == ("1.0.0", "1.1.0")


def test_a_listing_without_a_tag_that_is_served_is_not_believed(world: World) -> None:
    with pytest.raises(RegistryError, match="does not list it") as raised:
        listing(world, paged((["1.1.0", "1.2.0"], None)))
    assert raised.value.code == "suspicious_listing"


def test_a_tag_that_is_really_gone_does_not_spoil_the_listing(world: World) -> None:
    server = world.serve()
    server.repository("shop/app", TAGS[1:])
    assert world.client().get_available_tags(APP) == tuple(TAGS[1:])


def test_a_listing_that_lost_most_of_its_tags_is_believed_only_twice(world: World) -> None:
    server = world.serve()
    repository = server.repository("shop/app", TAGS)
    client = world.client(ttl_s=60)
    assert len(client.get_available_tags(APP)) == 10
    repository.tags[:] = TAGS[:3]
    world.clock.time_s += 61
    for _ in range(2):  # the refusal is kept for as long as an answer would be
        with pytest.raises(RegistryError, match="lists 3 tags where it had 10") as raised:
            client.get_available_tags(APP)
        assert raised.value.code == "suspicious_listing"
    world.clock.time_s += 61
    assert len(client.get_available_tags(APP)) == 3


def test_a_flapping_listing_is_not_believed(world: World) -> None:
    server = world.serve()
    repository = server.repository("shop/app", TAGS)
    client = world.client(ttl_s=60)
    client.get_available_tags(APP)
    for kept in (TAGS[:3], TAGS[:2], TAGS[:4]):
        repository.tags[:] = kept
        world.clock.time_s += 61
        with pytest.raises(RegistryError, match="where it had 10"):
            client.get_available_tags(APP)


@pytest.mark.parametrize("status", [400, 405])
def test_a_registry_that_refuses_large_pages_is_asked_for_smaller_ones(world: World, status: int) -> None:
    def refuse(exchange: Exchange, reply: Reply) -> Reply:
        return Reply(status=status) if int(exchange.query.get("n", "0")) > 100 else reply

    assert listing(world, refuse) == tuple(TAGS)


def test_a_registry_that_refuses_every_page_is_an_error(world: World) -> None:
    with pytest.raises(RegistryError, match="answered 400"):
        listing(world, lambda exchange, reply: Reply(status=400))


def test_more_tags_than_the_limit_are_an_error_and_no_shorter_list(world: World) -> None:
    server = world.serve()
    server.repositories["shop/app"] = repository = server.repository("shop/app")
    repository.tags[:] = TAGS
    client = world.client(limits=attrs.evolve(QUICK, tags=9))
    with pytest.raises(MalformedResponse, match="more than 9 tags") as raised:
        client.get_available_tags(APP)
    assert raised.value.code == "too_large"


def test_a_listing_larger_than_the_limit_over_all_pages_is_an_error(world: World) -> None:
    server = world.serve(page_size=2)
    server.repository("shop/app", TAGS)
    client = world.client(limits=attrs.evolve(QUICK, listing_bytes=150))
    with pytest.raises(MalformedResponse, match="bytes") as raised:
        client.get_available_tags(APP)
    assert raised.value.code == "too_large"
