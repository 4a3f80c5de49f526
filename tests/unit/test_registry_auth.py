"""Logins go where they belong, in the scope that is needed, and a refused one is not hammered."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from urllib.parse import parse_qs

import attrs
import pytest

from safeupdater.errors import MalformedResponse, RegistryError
from safeupdater.registries.oci import Credentials, EgressDenied, RegistrySettings
from safeupdater.registries.oci.auth import Challenge, parse_challenge
from testbed.registry_world import REGISTRY, World, image
from testbed.scripted_registry import Basic, Bearer, Exchange, Reply, token_for

APP = image("shop/app:1.0.0")
LOGIN = Credentials(username="ci", password="pa55")
USERS = {"ci": "pa55"}
BASIC = "Basic " + base64.b64encode(b"ci:pa55").decode()


@pytest.fixture
def world() -> Iterator[World]:
    with World() as made:
        yield made


@pytest.mark.parametrize(
    ("header", "challenge"),
    [
        ('Bearer realm="https://a/t",service="s",scope="x"', Challenge("bearer", "https://a/t", "s")),
        ('bearer  Realm="https://a/t" , Service=s', Challenge("bearer", "https://a/t", "s")),
        ('Basic realm="a, \\"b\\""', Challenge("basic", 'a, "b"', "")),
        ('Basic realm="x", Bearer realm="https://a/t"', Challenge("bearer", "https://a/t", "")),
        ('Negotiate, Basic realm="x"', Challenge("basic", "x", "")),
        ("Basic", Challenge("basic", "", "")),
        ("Digest realm=x", None),
        ("", None),
        ("=,=,", None),
        ('Bearer realm="', Challenge("bearer", "", "")),
    ],
)
def test_challenges_are_read_as_the_standard_writes_them(header: str, challenge: Challenge | None) -> None:
    assert parse_challenge(header) == challenge


def test_an_anonymous_token_is_asked_for_with_our_own_scope(world: World) -> None:
    def widen(exchange: Exchange, reply: Reply) -> Reply:
        if reply.status == 401:
            challenge = (
                f'Bearer realm="https://{REGISTRY}/token",service="a&b#c",scope="repository:*:push,pull"'
            )
            return reply.with_header("WWW-Authenticate", challenge)
        return reply

    server = world.serve(widen, auth=Bearer())
    server.repository("shop/app", ["1.0.0"])
    assert world.client().get_available_tags(APP) == ("1.0.0",)
    (token,) = server.asked("token")
    assert token.query == {"service": "a&b#c", "scope": "repository:shop/app:pull"}
    assert token.authorization == ""


@pytest.mark.parametrize("service", ["a\tb", "caf\u00e9", "x" * 257], ids=["control", "not ASCII", "long"])
def test_b5_a_service_in_no_proper_text_is_not_sent_on(world: World, service: str) -> None:
    def name_it(exchange: Exchange, reply: Reply) -> Reply:
        challenge = f'Bearer realm="https://{REGISTRY}/token",service="{service}"'
        return reply.with_header("WWW-Authenticate", challenge) if reply.status == 401 else reply

    server = world.serve(name_it, auth=Bearer(users=USERS))
    server.repository("shop/app", ["1.0.0"])
    with pytest.raises(MalformedResponse, match="in no proper text"):
        world.client({REGISTRY: LOGIN}).get_available_tags(APP)
    assert server.asked("token") == []


@pytest.mark.parametrize("field", ["token", "access_token"])
def test_a_token_is_fetched_once_for_a_repository(world: World, field: str) -> None:
    server = world.serve(auth=Bearer(users=USERS, token_field=field))
    server.repository("shop/app", ["1.0.0", "1.1.0"])
    client = world.client({REGISTRY: LOGIN})
    client.get_available_tags(APP)
    client.resolve(APP)
    client.resolve(APP.with_tag("1.1.0"))
    assert [token.authorization for token in server.asked("token")] == [BASIC]
    assert {each.authorization for each in server.asked("manifest")} == {f"Bearer {token_for('shop/app')}"}
    assert BASIC not in {each.authorization for each in server.seen if each.kind != "token"}


def test_the_second_repository_needs_no_challenge(world: World) -> None:
    server = world.serve(auth=Bearer())
    server.repository("shop/app", ["1.0.0"])
    server.repository("shop/web", ["1.0.0"])
    client = world.client()
    client.get_available_tags(APP)
    client.get_available_tags(image("shop/web:1.0.0"))
    assert [each.kind for each in server.seen] == ["tags", "token", "tags", "token", "tags"]


def test_an_expired_token_is_renewed_once_and_quietly(world: World) -> None:
    server = world.serve(auth=Bearer(expires_in=3600))
    server.repository("shop/app", ["1.0.0", "1.1.0"])
    client = world.client()
    client.resolve(APP)
    refused = []

    def expire(exchange: Exchange, reply: Reply) -> Reply:
        if exchange.kind == "manifest" and not refused:
            refused.append(exchange)
            headers = (("WWW-Authenticate", f'Bearer realm="https://{REGISTRY}/token"'),)
            return Reply(status=401, headers=headers)
        return reply

    server.filters.append(expire)
    client.resolve(APP.with_tag("1.1.0"))
    assert len(server.asked("token")) == 2


@pytest.mark.parametrize(
    ("claimed", "kept_s"),
    [(-1, 54), (0, 54), (1e12, 3600), ("x", 60), (None, 60), (True, 60), (300, 270), ([], 60)],
)
def test_a_tokens_life_is_bounded_whatever_is_claimed(world: World, claimed: object, kept_s: float) -> None:
    server = world.serve(auth=Bearer(expires_in=claimed))
    server.repository("shop/app", ["1.0.0"])
    client = world.client(ttl_s=1)
    for wait_s, tokens in ((0, 1), (kept_s - 2, 1), (3, 2)):
        world.clock.time_s += wait_s
        client.resolve(APP)
        assert len(server.asked("token")) == tokens


@pytest.mark.parametrize(
    "body",
    [b"", b"{}", b"[]", b'{"token": 1}', b'{"token": ""}', b'{"token": "a\\r\\nX: y"}', b"[" * 50_000],
)
def test_an_answer_without_a_token_is_an_error(world: World, body: bytes) -> None:
    server = world.serve(lambda exchange, reply: Reply(body=body) if exchange.kind == "token" else reply)
    server.auth = Bearer(realm=f"https://{REGISTRY}/token")
    with pytest.raises(MalformedResponse, match="gave no token"):
        world.client().get_available_tags(APP)


def test_a_huge_token_answer_is_not_read(world: World) -> None:
    server = world.serve(
        lambda exchange, reply: Reply(body=b"x" * 100_000) if exchange.kind == "token" else reply,
        auth=Bearer(),
    )
    with pytest.raises(MalformedResponse, match="more than 65536 bytes"):
        world.client().get_available_tags(APP)
    assert len(server.asked("token")) == 1


def test_an_identity_token_is_exchanged_by_form(world: World) -> None:
    server = world.serve(auth=Bearer())
    server.repository("shop/app", ["1.0.0"])
    client = world.client({REGISTRY: Credentials(identity_token="idt0k3n")})
    assert client.get_available_tags(APP) == ("1.0.0",)
    (token,) = server.asked("token")
    form = parse_qs(token.body.decode())
    assert token.method == "POST"
    assert form["refresh_token"] == ["idt0k3n"]
    assert form["grant_type"] == ["refresh_token"]
    assert "idt0k3n" not in token.target


@pytest.mark.parametrize(
    "realm",
    [
        "https://evil.example/token",
        "https://auth.evil.example/token",
        f"https://{REGISTRY}.evil.example/token",
        f"https://{REGISTRY}:8443/token",
        f"http://{REGISTRY}/token",
        "http://evil.example/token",
        "https://169.254.169.254/token",
        "https://[fd00:ec2::254]/token",
        "https://127.1/token",
        "https://0x7f.1/token",
        "https://2130706433/token",
        "https://[64:ff9b::a9fe:a9fe]/token",
        "https://[2002:7f00:1::]/token",
        rf"https://{REGISTRY}\@evil.example/token",
        rf"https://evil.example\@{REGISTRY}/token",
        f"https://{REGISTRY}@evil.example/token",
        "",
        "x",
    ],
)
@pytest.mark.parametrize("login", [LOGIN, Credentials(identity_token="idt0k3n")])
def test_a_login_is_never_sent_to_a_foreign_realm(world: World, realm: str, login: Credentials) -> None:
    evil = world.serve(host="evil.example", address="93.184.216.99")
    world.network.servers["93.184.216.34", 8443] = evil.port
    world.network.servers["93.184.216.34", 80] = evil.port
    server = world.serve(auth=Bearer(realm=realm or " ", users=USERS))
    server.repository("shop/app", ["1.0.0"])
    with pytest.raises(EgressDenied):
        world.client({REGISTRY: login}).get_available_tags(APP)
    assert evil.seen == []
    assert all(not exchange.authorization for exchange in server.seen)
    assert set(world.network.attempts) == {("93.184.216.34", 443)}


@pytest.mark.parametrize(
    "address", ["169.254.169.254", "127.0.0.1", "10.0.0.5", "fd00:ec2::254", "100.100.100.200", "::1"]
)
def test_an_anonymous_token_is_not_fetched_from_a_forbidden_address(world: World, address: str) -> None:
    evil = world.serve(host="auth.elsewhere.example", address=address)
    server = world.serve(auth=Bearer(realm="https://auth.elsewhere.example/token"))
    server.repository("shop/app", ["1.0.0"])
    with pytest.raises(EgressDenied, match="resolves to a"):
        world.client().get_available_tags(APP)
    assert evil.connections == 0
    assert set(world.network.attempts) == {("93.184.216.34", 443)}


def test_an_anonymous_token_is_not_fetched_over_plain_http_for_an_https_registry(world: World) -> None:
    server = world.serve(auth=Bearer(realm="http://auth.elsewhere.example/token"))
    server.repository("shop/app", ["1.0.0"])
    with pytest.raises(EgressDenied, match="over plain HTTP"):
        world.client().get_available_tags(APP)
    assert set(world.network.attempts) == {("93.184.216.34", 443)}


def test_an_anonymous_token_may_come_from_another_public_host(world: World) -> None:
    tokens = world.serve(host="auth.elsewhere.example", address="93.184.216.50", auth=Bearer())
    server = world.serve(auth=Bearer(realm="https://auth.elsewhere.example/token"))
    server.repository("shop/app", ["1.0.0"])
    assert world.client().get_available_tags(APP) == ("1.0.0",)
    assert len(tokens.asked("token")) == 1


def test_a_declared_token_host_gets_the_login(world: World) -> None:
    tokens = world.serve(host="auth.elsewhere.example", address="93.184.216.50", auth=Bearer(users=USERS))
    server = world.serve(auth=Bearer(realm="https://auth.elsewhere.example/token"))
    server.repository("shop/app", ["1.0.0"])
    settings = {REGISTRY: RegistrySettings(token_hosts=frozenset({"Auth.Elsewhere.example"}))}
    assert world.client({REGISTRY: LOGIN}, settings=settings).get_available_tags(APP) == ("1.0.0",)
    assert tokens.asked("token")[0].authorization == BASIC


def test_a_token_service_that_redirects_is_refused(world: World) -> None:
    def away(exchange: Exchange, reply: Reply) -> Reply:
        if exchange.kind != "token":
            return reply
        return Reply(status=307, headers=(("Location", "https://evil.example/token"),))

    evil = world.serve(host="evil.example", address="93.184.216.99")
    world.serve(away, auth=Bearer(users=USERS))
    with pytest.raises(EgressDenied, match="redirects"):
        world.client({REGISTRY: LOGIN}).get_available_tags(APP)
    assert evil.seen == []


def test_basic_is_sent_up_front_once_it_is_known(world: World) -> None:
    server = world.serve(auth=Basic(USERS))
    server.repository("shop/app", ["1.0.0", "1.1.0"])
    client = world.client({REGISTRY: LOGIN})
    client.get_available_tags(APP)
    client.resolve(APP)
    assert [each.authorization for each in server.seen] == ["", BASIC, BASIC]


@pytest.mark.parametrize("auth", [Basic({"ci": "other"}), Bearer(users={"ci": "other"})])
def test_a_refused_login_is_not_sent_again_for_a_while(world: World, auth: Basic | Bearer) -> None:
    server = world.serve(auth=auth)
    client = world.client({REGISTRY: LOGIN})
    for number in range(20):
        with pytest.raises(RegistryError, match=r"docker login registry\.example") as raised:
            client.get_available_tags(image(f"shop/app{number}:1"))
        assert raised.value.code == "unauthorized"
        assert "pa55" not in str(raised.value)
    sent = [each for each in server.seen if each.authorization]
    assert len(sent) == 1
    world.clock.time_s += 301
    server.auth = Basic(USERS) if isinstance(auth, Basic) else attrs.evolve(server.auth, users=USERS)  # type: ignore[type-var]
    server.repository("shop/app", ["1.0.0"])
    assert client.get_available_tags(APP) == ("1.0.0",)


def test_one_forbidden_repository_does_not_stop_the_others(world: World) -> None:
    def hide(exchange: Exchange, reply: Reply) -> Reply:
        if exchange.repository == "shop/hidden" and exchange.kind == "tags":
            headers = (("WWW-Authenticate", f'Bearer realm="https://{REGISTRY}/token"'),)
            return Reply(status=401, headers=headers)
        return reply

    server = world.serve(hide, auth=Bearer(users=USERS))
    server.repository("shop/app", ["1.0.0"])
    client = world.client({REGISTRY: LOGIN})
    with pytest.raises(RegistryError, match="or the repository does not exist"):
        client.get_available_tags(image("shop/hidden:1"))
    assert client.get_available_tags(APP) == ("1.0.0",)
    assert len([each for each in server.asked("tags") if each.repository == "shop/hidden"]) == 2


def test_a_401_for_ever_is_asked_twice_and_no_more(world: World) -> None:
    server = world.serve(
        lambda exchange, reply: (
            Reply(status=401, headers=(("WWW-Authenticate", f'Bearer realm="https://{REGISTRY}/token"'),))
            if exchange.kind == "tags"
            else reply
        ),
        auth=Bearer(),
    )
    client = world.client()
    for _ in range(5):
        with pytest.raises(RegistryError, match="wants a login"):
            client.get_available_tags(APP)
    assert len(server.asked("tags")) == 2
    assert len(server.asked("token")) == 1


@pytest.mark.parametrize("redirect", [301, 302, 303, 307, 308])
def test_a_redirect_carries_no_login_to_another_origin(world: World, redirect: int) -> None:
    cdn = world.serve(host="cdn.example", address="93.184.216.70")
    server = world.serve(auth=Basic(USERS))
    digest = server.repository("shop/app").add_image("1.0.0")
    cdn.repositories.update(server.repositories)

    def away(exchange: Exchange, reply: Reply) -> Reply:
        if exchange.kind != "blob" or reply.status != 200:
            return reply
        return Reply(status=redirect, headers=(("Location", f"https://cdn.example{exchange.target}?sig=x"),))

    server.filters.append(away)
    config = world.client({REGISTRY: LOGIN}).image_config(APP)
    assert config.created is not None
    assert digest
    assert [each.authorization for each in cdn.seen] == [""]
    assert json.dumps([dict(each.headers) for each in cdn.seen]).count("pa55") == 0


def test_a_challenge_from_where_we_were_sent_is_not_answered_at_the_registry(world: World) -> None:
    challenge = (("WWW-Authenticate", 'Basic realm="cdn"'),)
    world.serve(lambda *_: Reply(status=401, headers=challenge), host="cdn.example", address="93.184.216.70")
    server = world.serve(
        lambda exchange, reply: (
            Reply(status=307, headers=(("Location", "https://cdn.example/blob"),))
            if exchange.kind == "blob"
            else reply
        )
    )
    server.repository("shop/app").add_image("1.0.0")
    with pytest.raises(RegistryError):
        world.client({REGISTRY: LOGIN}).image_config(APP)
    assert len(server.asked("blob")) == 1
    assert {each.authorization for each in server.seen} == {""}


@pytest.mark.parametrize(
    "location",
    [
        "https://169.254.169.254/latest/meta-data/",
        "https://metadata.example/latest/",
        "https://127.0.0.1/",
        "https://10.0.0.5/",
        "http://cdn.example/blob",
        rf"https://{REGISTRY}\@evil.example/",
        "ftp://cdn.example/",
        "",
    ],
)
def test_a_redirect_to_a_forbidden_place_is_not_followed(world: World, location: str) -> None:
    world.network.names["metadata.example"] = [["169.254.169.254"]]
    cdn = world.serve(host="cdn.example", address="93.184.216.70", plain=True)

    def away(exchange: Exchange, reply: Reply) -> Reply:
        return Reply(status=302, headers=(("Location", location),)) if exchange.kind == "tags" else reply

    world.serve(away)
    with pytest.raises(EgressDenied):
        world.client().get_available_tags(APP)
    assert set(world.network.attempts) == {("93.184.216.34", 443)}
    assert cdn.connections == 0


def test_a_redirect_loop_ends(world: World) -> None:
    server = world.serve(lambda exchange, reply: Reply(status=302, headers=(("Location", exchange.target),)))
    with pytest.raises(MalformedResponse, match="redirects more than 5 times"):
        world.client().get_available_tags(APP)
    assert len(server.seen) == 6


def test_a_name_that_moves_after_the_check_is_checked_again(world: World) -> None:
    world.serve()
    world.network.names[REGISTRY] = [["93.184.216.34"], ["169.254.169.254"]]

    def close(exchange: Exchange, reply: Reply) -> Reply:
        return reply.with_header("Connection", "close")

    server = world.serve(close, host="moving.example", address="93.184.216.80")
    server.repository("shop/app", ["1.0.0"])
    world.network.names["moving.example"] = [["93.184.216.80"], ["169.254.169.254"]]
    settings = {"moving.example": RegistrySettings()}
    client = world.client(settings=settings)
    assert client.get_available_tags(image("shop/app:1.0.0", "moving.example")) == ("1.0.0",)
    with pytest.raises(EgressDenied, match="forbidden address"):
        client.resolve(image("shop/app:1.0.0", "moving.example"))
    assert ("169.254.169.254", 443) not in world.network.attempts


def test_a_login_does_not_travel_over_plain_http(world: World, caplog: pytest.LogCaptureFixture) -> None:
    server = world.serve(auth=Basic(USERS), plain=True, host="registry.lan", address="10.0.0.8")
    server.repository("shop/app", ["1.0.0"])
    plain = RegistrySettings(plain_http=True)
    app = image("shop/app:1.0.0", "registry.lan")
    login = {"registry.lan": LOGIN}
    with pytest.raises(EgressDenied, match="plain HTTP"):
        world.client(login, settings={"registry.lan": plain}).get_available_tags(app)
    assert not any(each.authorization for each in server.seen)
    allowed = attrs.evolve(plain, credentials_over_plain_http=True)
    client = world.client(login, settings={"registry.lan": allowed})
    assert client.get_available_tags(app) == ("1.0.0",)
    assert "registry.lan is spoken to over plain HTTP" in caplog.text


def test_plain_http_is_not_spoken_unless_declared(world: World) -> None:
    server = world.serve(plain=True, host="registry.lan", address="10.0.0.8")
    world.network.servers["10.0.0.8", 443] = server.port
    with pytest.raises(RegistryError) as raised:
        world.client(settings={}).get_available_tags(image("shop/app:1", "registry.lan"))
    assert raised.value.code == "tls_error"
    assert "plain_http" in str(raised.value)
    assert server.seen == []
