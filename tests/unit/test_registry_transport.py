"""Time and size have bounds whatever a server does; what goes wrong is one sentence that says what to do."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterator

import attrs
import pytest

from safeupdater.errors import MalformedResponse, RateLimited, RegistryError
from safeupdater.registries.oci import Limits, RegistryClient, RegistrySettings, Transport
from testbed.registry_world import QUICK, REGISTRY, World, image
from testbed.scripted_registry import Exchange, Filter, Reply, Wire, Writer

APP = image("shop/app:1.0.0")
HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.fixture
def world() -> Iterator[World]:
    with World() as made:
        yield made


def once(data: bytes) -> Writer:
    return lambda wire: wire.write(data)


def drip(first: bytes, piece: bytes) -> Writer:
    return lambda wire: wire.drip(first, piece, 0.05)


def hang(wire: Wire) -> None:
    wire.stopping.wait(20)


@pytest.mark.parametrize(
    ("writer", "code"),
    [
        pytest.param(hang, "timeout", id="silence"),
        pytest.param(drip(b"H", b"T"), "timeout", id="status-drip"),
        pytest.param(drip(HEAD + b"X-A: ", b"a"), "timeout", id="header-drip"),
        pytest.param(drip(HEAD + b"Content-Length: 100000\r\n\r\n", b" "), "timeout", id="body-drip"),
        pytest.param(drip(CHUNKED, b"1\r\n \r\n"), "timeout", id="chunk-drip"),
        pytest.param(drip(HEAD + b"\r\n", b" "), "timeout", id="no-length-drip"),
        pytest.param(drip(b"", b"HTTP/1.1 100 Continue\r\n\r\n"), "timeout", id="continue-for-ever"),
        pytest.param(once(HEAD + b"Content-Length: 10\r\n\r\nabc"), "incomplete", id="short-body"),
        pytest.param(once(CHUNKED + b"zz\r\n"), None, id="bad-chunk"),
        pytest.param(once(b"HTTP/1.1 099 Odd\r\n\r\n"), "malformed_response", id="status-099"),
        pytest.param(once(b"HTTP/1.1 9999 Odd\r\n\r\n"), "malformed_response", id="status-9999"),
        pytest.param(once(b"<html>hello</html>"), "malformed_response", id="http-0.9"),
        pytest.param(once(b"\x00" * 100), "malformed_response", id="zeroes"),
        pytest.param(once(HEAD + b"X: " + b"a" * 1_048_576), "malformed_response", id="long-header"),
        pytest.param(once(HEAD + b"X: a\r\n" * 5000 + b"\r\n"), "malformed_response", id="many-headers"),
        pytest.param(once(b""), "unreachable", id="hang-up"),
        pytest.param(once(HEAD + b"Content-Length: -5\r\n\r\n{}"), None, id="negative-length"),
        pytest.param(once(HEAD + b"Content-Length: x\r\n\r\n{}"), None, id="no-number-length"),
        pytest.param(once(HEAD + b"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}"), None, id="gzip"),
    ],
)  # fmt: skip
def test_a_server_that_misbehaves_is_an_error_in_bounded_time(
    world: World, writer: Writer, code: str | None
) -> None:
    world.serve(lambda exchange, reply: Reply(writer=writer))
    client = world.client(limits=attrs.evolve(QUICK, attempts=1))
    began = time.monotonic()
    with pytest.raises(RegistryError) as raised:
        client.get_available_tags(APP)
    assert time.monotonic() - began < 2
    assert code is None or raised.value.code == code
    assert str(raised.value).isprintable()
    assert "\n" not in str(raised.value)


def test_a_slow_but_steady_body_is_given_up_before_the_total_time(world: World) -> None:
    world.serve(lambda exchange, reply: Reply(writer=drip(HEAD + b"Content-Length: 99999\r\n\r\n", b" ")))
    limits = attrs.evolve(QUICK, attempts=1, total_s=20, call_s=20, slow_after_s=0.3)
    began = time.monotonic()
    with pytest.raises(RegistryError, match="did not answer in time"):
        world.client(limits=limits).get_available_tags(APP)
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("first", [b"H", HEAD + b"X-A: ", HEAD + b"Content-Length: 99999\r\n\r\n"])
def test_a_drip_ends_by_the_deadline_however_steady_it_is(world: World, first: bytes) -> None:
    world.serve(lambda exchange, reply: Reply(writer=drip(first, b"a")))
    limits = attrs.evolve(QUICK, attempts=1, slow_after_s=100)
    began = time.monotonic()
    with pytest.raises(RegistryError, match="did not answer in time"):
        world.client(limits=limits).get_available_tags(APP)
    assert time.monotonic() - began < 3


def test_a_body_over_the_limit_is_not_read_to_its_end(world: World) -> None:
    sent = 0

    def flood(wire: Wire) -> None:
        nonlocal sent
        wire.write(HEAD + b"\r\n")
        while not wire.stopping.is_set():
            wire.write(b" " * 65536)
            sent += 65536

    world.serve(lambda exchange, reply: Reply(writer=flood))
    limits = attrs.evolve(QUICK, listing_bytes=1_000_000, total_s=10, call_s=10)
    with pytest.raises(MalformedResponse, match="more than 1000000 bytes"):
        world.client(limits=limits).get_available_tags(APP)
    assert sent < 16_000_000


def test_a_declared_size_over_the_limit_is_refused_for_manifests(world: World) -> None:
    server = world.serve()
    server.repository("shop/app").add_document("1.0.0", "text/plain", b" " * 5_000_000)
    server.filters.append(lambda exchange, reply: reply.with_header("Docker-Content-Digest", None))
    with pytest.raises(MalformedResponse, match="4194304 bytes"):
        world.client(limits=attrs.evolve(QUICK, total_s=10, call_s=10)).resolve(APP)


def test_a_gzip_bomb_is_not_unpacked(world: World) -> None:
    import gzip

    bomb = gzip.compress(b" " * 50_000_000)
    headers = (("Content-Encoding", "gzip"),)
    server = world.serve(lambda exchange, reply: Reply(headers=headers, body=bomb))
    with pytest.raises(MalformedResponse, match="compressed"):
        world.client().get_available_tags(APP)
    assert server.seen[0].headers["accept-encoding"] == "identity"


# --- TLS


@pytest.mark.parametrize("fault", ["wrong name", "expired", "unknown authority"])
def test_a_certificate_that_cannot_be_trusted_is_refused(world: World, fault: str) -> None:
    names = ("other.example",) if fault == "wrong name" else (REGISTRY,)
    server = world.serve(tls=world.authority.server_context(*names, expired=fault == "expired"))
    if fault == "unknown authority":
        client = RegistryClient(environ={}, transport=Transport(limits=QUICK, network=world.network))
    else:
        client = world.client()
    with pytest.raises(RegistryError, match="ca_file") as raised:
        client.get_available_tags(APP)
    assert raised.value.code == "tls_error"
    assert not raised.value.transient
    assert server.seen == []


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
def test_old_tls_is_refused(world: World) -> None:
    context = world.authority.server_context(REGISTRY)
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    server = world.serve(tls=context)
    with pytest.raises(RegistryError):
        world.client().get_available_tags(APP)
    assert server.seen == []


@pytest.mark.parametrize("content", [None, "", "no certificate"])
def test_a_bad_ca_file_is_named(world: World, content: str | None) -> None:
    path = world.directory / "bad.pem"
    if content is not None:
        path.write_text(content)
    settings = {REGISTRY: RegistrySettings(ca_file=str(path))}
    with pytest.raises(RegistryError, match=r"bad\.pem cannot be loaded") as raised:
        world.client(settings=settings).get_available_tags(APP)
    assert raised.value.code == "bad_ca_file"


# --- reaching a server


def test_a_name_that_does_not_resolve_says_so(world: World) -> None:
    with pytest.raises(RegistryError, match="does not resolve") as raised:
        world.client().get_available_tags(image("shop/app:1", "nowhere.example"))
    assert raised.value.transient


def test_a_refused_connection_says_so() -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        app = image("shop/app:1", f"127.0.0.1:{held.getsockname()[1]}")
        limits = Limits(attempts=1)
        with (
            RegistryClient(environ={}, transport=Transport(limits=limits)) as client,
            pytest.raises(RegistryError, match="cannot be reached") as raised,
        ):
            client.get_available_tags(app)
    assert raised.value.code == "unreachable"


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("metadata.example", "169.254.169.254"),
        ("local.example", "127.0.0.1"),
        ("local6.example", "::1"),
        ("nat64.example", "64:ff9b::a9fe:a9fe"),
        ("mapped.example", "::ffff:127.0.0.1"),
    ],
)
def test_a_registry_name_that_leads_to_a_forbidden_place_is_not_connected_to(
    world: World, host: str, address: str
) -> None:
    world.network.names[host] = [[address]]
    with pytest.raises(RegistryError, match="resolves to a"):
        world.client(settings={}).get_available_tags(image("shop/app:1", host))
    assert world.network.attempts == []


@pytest.mark.parametrize(
    "host", ["169.254.169.254", "[fd00:ec2::254]", "[fe80::1]", "127.1:5000", "2130706433:80"]
)
def test_a_registry_that_is_a_forbidden_address_is_not_connected_to(world: World, host: str) -> None:
    with pytest.raises(RegistryError):
        world.client(settings={}).get_available_tags(image("shop/app:1", host))
    assert world.network.attempts == []


def test_the_second_address_is_tried_when_the_first_is_silent(world: World) -> None:
    server = world.serve()
    server.repository("shop/app", ["1.0.0"])
    world.network.names[REGISTRY] = [["93.184.216.35", "93.184.216.34"]]
    assert world.client().get_available_tags(APP) == ("1.0.0",)


def test_connections_are_kept_and_a_dropped_one_is_replaced(world: World) -> None:
    server = world.serve()
    server.repository("shop/app", [f"1.{n}.0" for n in range(20)])
    client = world.client()
    for number in range(10):
        client.resolve(APP.with_tag(f"1.{number}.0"))
    assert server.connections == 1
    server.filters.append(lambda exchange, reply: reply.with_header("Connection", "close"))
    for number in range(10, 13):
        client.resolve(APP.with_tag(f"1.{number}.0"))
    assert server.connections == 3


def test_proxies_of_the_environment_are_not_used(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://user:s3cr3t@127.0.0.1:1/")
    server = world.serve()
    server.repository("shop/app", ["1.0.0"])
    assert world.client().get_available_tags(APP) == ("1.0.0",)


def test_a_netrc_is_not_read(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    (world.directory / ".netrc").write_text(f"machine {REGISTRY} login a password s3cr3t\n")
    monkeypatch.setenv("HOME", str(world.directory))
    server = world.serve()
    server.repository("shop/app", ["1.0.0"])
    world.client(environ={"HOME": str(world.directory)}).get_available_tags(APP)
    assert not any(each.authorization for each in server.seen)


# --- retries and limits


def failing(times: int, reply: Reply) -> Filter:
    left = [times]

    def fail(exchange: Exchange, proper: Reply) -> Reply:
        left[0] -= 1
        return reply if left[0] >= 0 else proper

    return fail


@pytest.mark.parametrize("reply", [Reply(status=500), Reply(status=503), Reply(writer=once(b""))])
def test_a_transient_failure_is_tried_again(world: World, reply: Reply) -> None:
    server = world.serve(failing(1, reply))
    server.repository("shop/app", ["1.0.0"])
    assert world.client().get_available_tags(APP) == ("1.0.0",)
    assert len(server.seen) == 2
    assert len(world.clock.waited) == 1


def test_attempts_are_bounded_and_pauses_grow(world: World) -> None:
    server = world.serve(lambda exchange, reply: Reply(status=502))
    limits = attrs.evolve(QUICK, attempts=4, backoff_s=0.01)
    with pytest.raises(RegistryError, match="answered 502") as raised:
        world.client(limits=limits).get_available_tags(APP)
    assert raised.value.transient
    assert len(server.seen) == 4
    assert len(world.clock.waited) == 3
    assert all(0.005 * 2**n <= pause <= 0.01 * 2**n for n, pause in enumerate(world.clock.waited))


@pytest.mark.parametrize("status", [400, 403, 404, 410, 418])
def test_a_refusal_is_not_tried_again_and_is_remembered(world: World, status: int) -> None:
    server = world.serve(lambda exchange, reply: Reply(status=status))
    client = world.client()
    for _ in range(3):
        with pytest.raises(RegistryError) as raised:
            client.resolve(APP)
        assert not raised.value.transient
    # 400 may mean that HEAD is not understood: a GET is tried once.
    assert len(server.seen) == (2 if status == 400 else 1)
    world.clock.time_s += 301
    with pytest.raises(RegistryError):
        client.resolve(APP)
    assert len(server.seen) == (4 if status == 400 else 2)


@pytest.mark.parametrize(
    ("header", "wait_s"),
    [
        ("60", 60.0),
        ("0", 1.0),
        ("-5", 1.0),
        ("99999999", 300.0),
        ("9" * 400, 1.0),
        ("Mon, 01 Jun 2026 00:00:30 GMT", 30.0),
        ("Mon, 01 Jun 2020 00:00:30 GMT", 1.0),
        ("Mon, 99 Xyz 2026", 1.0),
        ("soon", 1.0),
        ("", 1.0),
        (None, None),
    ],
)
def test_retry_after_is_bounded(world: World, header: str | None, wait_s: float | None) -> None:
    limited = Reply(status=429).with_header("Retry-After", header)
    world.serve(lambda exchange, reply: limited)
    with pytest.raises(RateLimited) as raised:
        world.client(limits=attrs.evolve(QUICK, attempts=1)).get_available_tags(APP)
    assert raised.value.retry_after_s == wait_s
    assert raised.value.transient


def test_a_registry_that_asked_for_silence_gets_it_from_everybody(world: World) -> None:
    server = world.serve(lambda exchange, reply: Reply(status=429, headers=(("Retry-After", "120"),)))
    client = world.client()
    for number in range(10):
        with pytest.raises(RateLimited, match=r"try again in 120 s"):
            client.get_available_tags(image(f"shop/app{number}:1"))
    assert len(server.seen) == 1
    server.filters.clear()
    server.repository("shop/app", ["1.0.0"])
    world.clock.time_s += 121
    assert client.get_available_tags(APP) == ("1.0.0",)


def test_a_short_silence_is_waited_for(world: World) -> None:
    limited = Reply(status=429, headers=(("Retry-After", "1"),))
    server = world.serve(failing(1, limited))
    server.repository("shop/app", ["1.0.0"])
    assert world.client().get_available_tags(APP) == ("1.0.0",)
    assert world.clock.waited == [1.0]


def test_a_pace_is_kept(world: World) -> None:
    server = world.serve()
    server.repository("shop/app", [f"1.{n}.0" for n in range(5)])
    settings = {REGISTRY: RegistrySettings(requests_per_s=2)}
    client = world.client(settings=settings)
    for number in range(5):
        client.resolve(APP.with_tag(f"1.{number}.0"))
    assert world.clock.waited == [0.5] * 4


def test_no_more_requests_run_at_once_than_the_registry_grants(world: World) -> None:
    running, peak = 0, 0

    def count(exchange: Exchange, reply: Reply) -> Reply:
        nonlocal running, peak
        running += 1
        peak = max(peak, running)
        time.sleep(0.02)
        running -= 1
        return reply

    server = world.serve(count)
    for number in range(20):
        server.repository(f"shop/app{number}", ["1.0.0"])
    settings = {REGISTRY: RegistrySettings(max_parallel=3)}
    client = world.client(settings=settings, max_parallel=10, limits=attrs.evolve(QUICK, call_s=20))
    found = client.lookup_many(image(f"shop/app{number}:1.0.0") for number in range(20))
    assert set(found.values()) == {("1.0.0",)}
    assert 1 < peak <= 3
