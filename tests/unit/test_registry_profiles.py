"""The registries that people use, each with its own way to log in, to page and to fail."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator

import attrs
import pytest

from safeupdater.errors import RateLimited, RegistryError
from safeupdater.registries.oci import Credentials, RegistrySettings
from testbed.registry_world import World, image
from testbed.scripted_registry import Basic, Bearer, Exchange, Filter, Reply, ScriptedRegistry

TAGS = [f"1.{minor}.0" for minor in range(120)]


@pytest.fixture
def world() -> Iterator[World]:
    with World() as made:
        yield made


def error(status: int, body: str, **headers: str) -> Reply:
    pairs = tuple((name.replace("_", "-"), value) for name, value in headers.items())
    return Reply(status=status, body=body.encode(), headers=pairs)


def linked(make: Callable[[str, int], str]) -> Filter:
    """Rewrites the Link of a page in a registry's own style from (repository, position)."""

    def rewrite(exchange: Exchange, reply: Reply) -> Reply:
        link = dict(reply.headers).get("Link")
        if link is None:
            return reply
        position = int(link.partition("cursor=c")[2].partition(">")[0])
        return reply.with_header("Link", make(exchange.repository, position))

    return rewrite


def cursors(server: ScriptedRegistry, parameter: str, decode: Callable[[str], int]) -> None:
    """Lets the server read a cursor in another parameter."""
    proper = server._tags

    def serve(exchange: Exchange, repository: object) -> Reply:
        cursor = exchange.query.get(parameter)
        position = decode(cursor) if cursor else 0
        return proper(attrs.evolve(exchange, target=f"{exchange.target}&cursor=c{position}"), repository)  # type: ignore[arg-type]

    server._tags = serve  # type: ignore[method-assign]


# --- Docker Hub


def hub(world: World, *filters: Filter) -> ScriptedRegistry:
    tokens = world.serve(host="auth.docker.io", address="93.184.216.41", auth=Bearer(expires_in=300))
    auth = Bearer(realm="https://auth.docker.io/token", service="registry.docker.io")
    server = world.serve(*filters, host="registry-1.docker.io", auth=auth, page_size=100)
    server.repository("library/nginx", TAGS)
    tokens.repository("library/nginx")
    return server


HUB = {"docker.io": RegistrySettings()}


def test_docker_hub_gives_tokens_under_another_name(world: World) -> None:
    server = hub(world, lambda _, reply: reply.with_header("ratelimit-limit", "100;w=21600"))
    login = {"docker.io": Credentials(username="me", password="p")}
    client = world.client(login, settings=HUB)
    assert client.get_available_tags(image("nginx:1.1.0", "docker.io")) == tuple(TAGS)
    assert {each.authorization.partition(" ")[0] for each in server.seen} == {"", "Bearer"}
    assert client.rate_limits()["docker.io"].limit == 100


def test_docker_hub_limits_pulls(world: World) -> None:
    body = '{"errors":[{"code":"TOOMANYREQUESTS","message":"You have reached your pull rate limit"}]}'
    server = hub(world)
    server.filters.append(lambda exchange, reply: error(429, body))
    with pytest.raises(RateLimited, match="log in for a larger allowance"):
        world.client(settings=HUB).resolve(image("nginx:1.1.0", "docker.io"))


def test_docker_hub_hides_what_is_missing_behind_a_401(world: World) -> None:
    body = '{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}'
    challenge = (
        'Bearer realm="https://auth.docker.io/token",service="registry.docker.io",error="insufficient_scope"'
    )
    server = hub(world)
    server.filters.append(lambda exchange, reply: error(401, body, WWW_Authenticate=challenge))
    with pytest.raises(RegistryError, match="or the repository does not exist") as raised:
        world.client(settings=HUB).get_available_tags(image("me/none:1", "docker.io"))
    assert raised.value.evidence["registry_codes"] == ("UNAUTHORIZED",)


# --- GitHub Packages


def test_github_pages_by_last_and_gives_tokens_without_expiry(world: World) -> None:
    def without_expiry(exchange: Exchange, reply: Reply) -> Reply:
        return reply if exchange.kind != "token" else attrs.evolve(
            reply, body=reply.body.replace(b', "expires_in": 300', b"")
        )  # fmt: skip

    link = linked(lambda name, at: f'</v2/{name}/tags/list?last={TAGS[at - 1]}&n=50>; rel="next"')
    server = world.serve(without_expiry, link, host="ghcr.io", auth=Bearer(service="ghcr.io"), page_size=50)
    server.repository("me/app", TAGS)
    cursors(server, "last", lambda last: TAGS.index(last) + 1)
    client = world.client(settings={"ghcr.io": RegistrySettings()})
    assert client.get_available_tags(image("me/app:1.1.0", "ghcr.io")) == tuple(TAGS)
    assert len(server.asked("tags")) == 4


def test_github_denies_at_the_token_service(world: World) -> None:
    body = '{"errors":[{"code":"DENIED","message":"requested access to the resource is denied"}]}'
    server = world.serve(
        lambda exchange, reply: error(403, body) if exchange.kind == "token" else reply,
        host="ghcr.io", auth=Bearer(),
    )  # fmt: skip
    client = world.client(settings={"ghcr.io": RegistrySettings()})
    with pytest.raises(RegistryError, match="ask for the right to pull") as raised:
        client.get_available_tags(image("me/private:1", "ghcr.io"))
    assert raised.value.code == "forbidden"
    assert len(server.asked("token")) == 1


# --- Google


def test_google_lists_more_than_tags(world: World) -> None:
    def more(exchange: Exchange, reply: Reply) -> Reply:
        if exchange.kind != "tags" or reply.status != 200:
            return reply
        extra = b'{"child": [], "manifest": {"sha256:aa": {"tag": ["1.0.0"], "imageSizeBytes": "5"}}, '
        return attrs.evolve(reply, body=extra + reply.body[1:])

    host = "europe-docker.pkg.dev"
    auth = Bearer(realm=f"https://{host}/v2/token", service=host)
    server = world.serve(more, host=host, auth=auth)
    server.repository("proj/repo/app", TAGS)
    token = attrs.evolve(auth)

    def at_v2_token(exchange: Exchange, reply: Reply) -> Reply:
        if exchange.path != "/v2/token":
            return reply
        return server._token(exchange, token)

    server.filters.append(at_v2_token)
    login = {host: Credentials(username="oauth2accesstoken", password="ya29.secret")}
    client = world.client(login, settings={host: RegistrySettings()})
    assert client.get_available_tags(image("proj/repo/app:1.1.0", host)) == tuple(TAGS)
    assert [each.path for each in server.seen if each.authorization.startswith("Basic")] == ["/v2/token"]


# --- Amazon ECR

ECR = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"


def ecr(world: World) -> ScriptedRegistry:
    def cursor(position: int) -> str:
        return base64.b64encode(f"opaque{position}/+==".encode()).decode()

    link = linked(lambda name, at: f'<https://{ECR}/v2/{name}/tags/list?last={cursor(at)}&n=50>; rel="next"')
    server = world.serve(link, host=ECR, auth=Basic({"AWS": "ecrtoken"}), page_size=50)
    server.repository("app", TAGS)
    cursors(server, "last", lambda text: int(base64.b64decode(text.replace(" ", "+"))[6:].split(b"/")[0]))
    return server


def test_ecr_pages_by_absolute_links_with_opaque_cursors(world: World) -> None:
    server = ecr(world)
    login = {ECR: Credentials(username="AWS", password="ecrtoken")}
    client = world.client(login, settings={ECR: RegistrySettings()})
    assert client.get_available_tags(image("app:1.1.0", ECR)) == tuple(TAGS)
    assert len({each.target for each in server.asked("tags")}) == 3


def test_ecr_sends_blobs_from_s3_without_our_login(world: World) -> None:
    server = ecr(world)
    s3 = world.serve(host="prod-eu-west-1-starport.s3.eu-west-1.amazonaws.com", address="93.184.216.77")
    s3.repositories.update(server.repositories)

    def away(exchange: Exchange, reply: Reply) -> Reply:
        if exchange.kind != "blob" or reply.status != 200:
            return reply
        signed = (
            f"https://prod-eu-west-1-starport.s3.eu-west-1.amazonaws.com{exchange.path}?X-Amz-Signature=abc"
        )
        return Reply(status=307, headers=(("Location", signed),))

    server.filters.append(away)
    login = {ECR: Credentials(username="AWS", password="ecrtoken")}
    config = world.client(login, settings={ECR: RegistrySettings()}).image_config(image("app:1.1.0", ECR))
    assert config.created is not None
    assert [each.authorization for each in s3.seen] == [""]


def test_an_expired_ecr_login_says_so(world: World) -> None:
    server = ecr(world)
    body = '{"errors":[{"code":"DENIED","message":"Your authorization token has expired. Reauthenticate"}]}'
    server.filters.append(lambda exchange, reply: error(403, body))
    login = {ECR: Credentials(username="AWS", password="ecrtoken")}
    with pytest.raises(RegistryError, match="renew an expired login with `docker login"):
        world.client(login, settings={ECR: RegistrySettings()}).get_available_tags(image("app:1", ECR))


# --- Quay


def test_quay_pages_by_its_own_token_and_refuses_large_pages(world: World) -> None:
    def small_only(exchange: Exchange, reply: Reply) -> Reply:
        too_large = exchange.kind == "tags" and int(exchange.query.get("n", "0")) > 100
        return error(400, "<html>bad request</html>") if too_large and reply.status == 200 else reply

    link = linked(lambda name, at: f'</v2/{name}/tags/list?n=50&next_page=gAAAAAB{at}%3D>; rel="next"')
    auth = Bearer(realm="https://quay.io/v2/auth", service="quay.io")
    server = world.serve(link, small_only, host="quay.io", auth=auth, page_size=50)
    server.filters.append(
        lambda exchange, reply: server._token(exchange, auth) if exchange.path == "/v2/auth" else reply
    )
    server.repository("org/app", TAGS)
    cursors(server, "next_page", lambda text: int(text.removeprefix("gAAAAAB").rstrip("=")))
    client = world.client(settings={"quay.io": RegistrySettings()})
    assert client.get_available_tags(image("org/app:1.1.0", "quay.io")) == tuple(TAGS)
    assert "next_page=gAAAAAB50%3D" in server.asked("tags")[-2].target


def test_quay_answers_in_html_and_only_our_words_are_shown(world: World) -> None:
    page = "<html>\x1b[31m<script>alert(1)</script></html>"
    world.serve(lambda exchange, reply: error(502, page), host="quay.io")
    with pytest.raises(RegistryError) as raised:
        world.client(settings={"quay.io": RegistrySettings()}).get_available_tags(
            image("org/app:1", "quay.io")
        )
    assert str(raised.value) == "quay.io answered 502 for the tag list of quay.io/org/app: try again later"
