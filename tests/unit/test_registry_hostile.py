"""A hostile registry, every misbehaviour alone and with every other: no secret leaks, nothing hangs.

Each switch is a row of the registry part (B1 to B24) of the security checklist. Whatever is switched on, the
answer is the true one or an error.
"""

from __future__ import annotations

import base64
import ipaddress
import itertools
import json
import logging
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import attrs
import pytest

from safeupdater.domain.artifact import ImageReference
from safeupdater.errors import RegistryError
from safeupdater.registries.oci import Credentials, Limits, RegistryClient
from safeupdater.registries.oci.egress import Reach, classify_address
from safeupdater.registries.oci.manifests import OCI_INDEX
from testbed.registry_world import QUICK, REGISTRY, World, image
from testbed.scripted_registry import Bearer, Exchange, Filter, Reply, ScriptedRegistry, token_for

APP = image("shop/app:1.0.0")
TAGS = ("1.0.0", "1.1.0", "1.2.0")
SECRET, OTHER_SECRET = "s3cr3t-pa55", "0ther-s3cr3t"
LOGIN = Credentials(username="ci", password=SECRET)
# Time-outs divided for short runs; patient ones where nothing is meant to be slow.
LIMITS = attrs.evolve(QUICK, read_s=0.6, total_s=0.8, call_s=4, slow_after_s=0.1, attempts=1)
PATIENT = attrs.evolve(LIMITS, connect_s=5, read_s=10, total_s=20, call_s=60, slow_after_s=5)
EVIL = "evil.example"
FORBIDDEN = "169.254.169.254"


def on(kind: str, change: Callable[[Exchange, Reply], Reply]) -> Filter:
    """A filter for the good answers of one kind only."""
    return lambda exchange, reply: (
        change(exchange, reply) if exchange.kind == kind and reply.status == 200 else reply
    )


def realm(text: str, service: str = "scripted") -> Filter:
    """Every challenge names this realm."""

    def change(exchange: Exchange, reply: Reply) -> Reply:
        if reply.status != 401:
            return reply
        return reply.with_header("WWW-Authenticate", f'Bearer realm="{text}",service="{service}"')

    return change


def redirect(kind: str, location: str) -> Filter:
    """Sends on to a place; ``{path}`` in it stands for the path that was asked for."""
    return on(
        kind,
        lambda exchange, reply: Reply(
            status=302, headers=(("Location", location.replace("{path}", exchange.path)),)
        ),
    )


def header(kind: str, name: str, value: str) -> Filter:
    return on(kind, lambda exchange, reply: reply.with_header(name, value))


def body(kind: str, content: bytes) -> Filter:
    return on(kind, lambda exchange, reply: attrs.evolve(reply, body=content))


def foreign_layers(exchange: Exchange, reply: Reply) -> Reply:
    document = json.loads(reply.body)
    document["layers"] = [{"urls": [f"https://{EVIL}/layer"], "digest": "sha256:" + "a" * 64}]
    return attrs.evolve(reply, body=json.dumps(document).encode())


def other_platform(exchange: Exchange, reply: Reply) -> Reply:
    entry = {
        "digest": "sha256:" + "b" * 64,
        "mediaType": "x",
        "platform": {"os": "plan9", "architecture": "z"},
    }
    content = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry]}).encode()
    return Reply(headers=(("Content-Type", OCI_INDEX),), body=content)


def refuse_large_pages(exchange: Exchange, reply: Reply) -> Reply:
    return Reply(status=400) if int(exchange.query.get("n", "0")) > 100 else reply


def short_list(exchange: Exchange, reply: Reply) -> Reply:
    return attrs.evolve(reply, body=b'{"tags": []}')


DRIP = on(
    "tags",
    lambda _, reply: Reply(
        writer=lambda wire: wire.drip(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n", b" ", 0.03)
    ),
)
HUGE_HEADER = on(
    "manifest",
    lambda _, reply: Reply(writer=lambda wire: wire.write(b"HTTP/1.1 200 OK\r\nX: " + b"a" * 99_999)),
)
LOOP = on("tags", lambda exchange, reply: reply.with_header("Link", f'<{exchange.target}>; rel="next"'))

SWITCHES: dict[str, Filter] = {
    "B1 foreign realm": realm(f"https://{EVIL}/token"),
    "B2 plain realm": realm(f"http://{REGISTRY}/token"),
    "B3 metadata realm": realm(f"https://{FORBIDDEN}/token"),
    "B4 two-faced realm": realm(rf"https://{REGISTRY}\@{EVIL}/token"),
    "B5 injected service": realm(f"https://{REGISTRY}/token", "a&scope=repository:*:push#"),
    "B6 huge token": body("token", b"x" * 100_000),
    "B7 redirect to a stranger": redirect("blob", f"https://{EVIL}{{path}}?sig=1"),
    "B7 redirect to metadata": redirect("manifest", f"https://{FORBIDDEN}/latest/"),
    "B9 pages elsewhere": header("tags", "Link", f'<https://{EVIL}/v2/shop/app/tags/list>; rel="next"'),
    "B10 pages in a loop": LOOP,
    "B11 large pages refused": on("tags", refuse_large_pages),
    "B12 empty list": on("tags", short_list),
    "B13 drip": DRIP,
    "B14 compressed": header("blob", "Content-Encoding", "gzip"),
    "B15 schema 1": header(
        "manifest", "Content-Type", "application/vnd.docker.distribution.manifest.v1+json"
    ),
    "B16 lying digest": header("manifest", "Docker-Content-Digest", "sha256:" + "c" * 64),
    "B17 foreign layers": on("manifest", foreign_layers),
    "B18 no platform": on("manifest", other_platform),
    "B19 refused for ever": on(
        "tags",
        lambda *_: Reply(
            status=401, headers=(("WWW-Authenticate", f'Bearer realm="https://{REGISTRY}/token"'),)
        ),
    ),
    "B20 wait for years": on("tags", lambda *_: Reply(status=429, headers=(("Retry-After", "99999999"),))),
    "B23 down to plain http": redirect("tags", f"http://{EVIL}/v2/shop/app/tags/list"),
    "B24 huge header": HUGE_HEADER,
}
ENVIRONMENTS = {
    "B8 proxy and netrc": {"HTTPS_PROXY": f"http://u:{OTHER_SECRET}@{EVIL}", "NETRC": "/dev/null"},
    "B21 crooked helper": {"DOCKER_AUTH_CONFIG": '{"credsStore": "../../evil"}'},
    "B22 look-alike keys": {
        "DOCKER_AUTH_CONFIG": json.dumps(
            {
                "auths": {
                    key: {"auth": base64.b64encode(f"ci:{OTHER_SECRET}".encode()).decode()}
                    for key in (f"evil-{REGISTRY}", f"{REGISTRY}.evil", "example", f"{REGISTRY}/shop", EVIL)
                }
            }
        )
    },
}
NAMES = [*SWITCHES, *ENVIRONMENTS]


@attrs.frozen
class Scene:
    world: World
    registry: ScriptedRegistry
    evil: ScriptedRegistry

    def client(self, *names: str, limits: Limits = LIMITS) -> RegistryClient:
        """A client with a login before a registry with these switches on."""
        self.registry.filters[:] = [SWITCHES[name] for name in names if name in SWITCHES]
        self.registry.seen.clear()
        environ = {key: value for name in names for key, value in ENVIRONMENTS.get(name, {}).items()}
        return self.world.client({REGISTRY: LOGIN}, limits=limits, environ=environ)


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    with World() as world:
        registry = world.serve(auth=Bearer(users={"ci": SECRET}))
        registry.repository("shop/app", TAGS)
        evil = world.serve(host=EVIL, address="93.184.216.99", auth=None)
        evil.repositories.update(registry.repositories)
        for address in (FORBIDDEN, "93.184.216.99", "93.184.216.34"):
            world.network.servers[address, 80] = evil.port
        world.network.servers[FORBIDDEN, 443] = evil.port
        yield Scene(world, registry, evil)


def outcomes(client: RegistryClient) -> list[object]:
    """What the three kinds of questions give: an answer or an error."""

    def asked(question: Callable[[], object]) -> object:
        try:
            return question()
        except RegistryError as error:
            return error

    return [
        asked(lambda: client.get_available_tags(APP)),
        asked(lambda: client.resolve(APP, "linux/amd64").reference),
        asked(lambda: client.image_config(APP).created is not None),
    ]


@pytest.fixture(scope="module")
def truth(scene: Scene) -> list[object]:
    return outcomes(scene.client(limits=PATIENT))


def test_without_a_switch_everything_is_answered(truth: list[object]) -> None:
    tags, reference, has_time = truth
    assert tags == TAGS
    assert isinstance(reference, ImageReference)
    assert has_time is True


@pytest.mark.parametrize("name", NAMES)
def test_every_switch_alone_and_in_every_pair_does_no_harm(
    scene: Scene, truth: list[object], name: str
) -> None:
    others = NAMES[NAMES.index(name) + 1 :]
    for pair in [(name,), *((name, other) for other in others)]:
        began = time.monotonic()
        found = outcomes(scene.client(*pair))
        assert time.monotonic() - began < 5, pair
        for answer, true_answer in zip(found, truth, strict=True):
            assert isinstance(answer, RegistryError) or answer == true_answer, (pair, answer)
    assert_nothing_leaked(scene)


# These are answered truthfully: we encode, follow without our login, ask for smaller pages.
HARMLESS = {"B5 injected service", "B7 redirect to a stranger", "B11 large pages refused"}
HARMFUL = [name for name in SWITCHES if name not in HARMLESS]


@pytest.mark.parametrize("name", HARMFUL)
def test_every_harmful_switch_is_noticed(scene: Scene, truth: list[object], name: str) -> None:
    found = outcomes(scene.client(name))
    assert any(isinstance(answer, RegistryError) for answer in found)


@pytest.mark.parametrize("name", sorted(HARMLESS | {"B8 proxy and netrc", "B22 look-alike keys"}))
def test_every_harmless_switch_changes_no_answer(scene: Scene, truth: list[object], name: str) -> None:
    assert outcomes(scene.client(name, limits=PATIENT)) == truth


def assert_nothing_leaked(scene: Scene) -> None:
    raw = "\n".join(f"{each.target} {dict(each.headers)} {each.body!r}" for each in scene.evil.seen)
    for secret in (SECRET, OTHER_SECRET, token_for("shop/app")):
        for form in encodings(secret):
            assert form not in raw
    assert not any(each.authorization for each in scene.evil.seen)
    reached = {ipaddress.ip_address(address) for address, _ in scene.world.network.attempts}
    assert {classify_address(address) for address in reached} == {Reach.PUBLIC}
    registry = "\n".join(f"{dict(each.headers)}" for each in scene.registry.seen)
    assert OTHER_SECRET not in registry


def encodings(secret: str) -> tuple[str, ...]:
    """How a secret may look in a log: as it is, in base64 at each of three offsets, in hex."""
    shifted = (base64.b64encode(b"x" * shift + secret.encode()).decode()[4:-4] for shift in range(3))
    return (secret, secret.encode().hex(), *shifted)


# --- twenty planted secrets

PLANTED = [f"pl4nted-{number:02d}-{number * 7919 % 9973:04d}" for number in range(20)]


def leak_paths(directory: Path) -> dict[str, object]:
    """Credentials by every way that we know, each with secrets of its own."""
    helper = directory / "docker-credential-leaky"
    helper.write_text(f"#!/bin/sh\necho {PLANTED[0]}; echo {PLANTED[1]} >&2; exit 2\n")
    helper.chmod(0o755)
    answering = directory / "docker-credential-good"
    answering.write_text(f"""#!/bin/sh\necho '{{"Username":"{PLANTED[2]}","Secret":"{PLANTED[3]}"}}'\n""")
    answering.chmod(0o755)

    def docker(**content: object) -> dict[str, str]:
        return {"DOCKER_AUTH_CONFIG": json.dumps(content), "PATH": f"{directory}:/usr/bin:/bin"}

    auth = base64.b64encode(f"u:{PLANTED[4]}".encode()).decode()
    return {
        "helper fails": docker(credsStore="leaky"),
        "helper answers": docker(credHelpers={REGISTRY: "good"}),
        "auth": docker(auths={REGISTRY: {"auth": auth}}),
        "broken auth": docker(auths={REGISTRY: {"auth": f"%{PLANTED[5]}"}}),
        "broken config": {"DOCKER_AUTH_CONFIG": f'{{"auths": "{PLANTED[6]}'},
        "identity token": docker(auths={REGISTRY: {"identitytoken": PLANTED[7]}}),
        "password": Credentials(username="u", password=PLANTED[8]),
        "token": Credentials(identity_token=PLANTED[9]),
        "proxy": {"HTTPS_PROXY": f"http://u:{PLANTED[10]}@proxy.example"},
    }


def leaky_replies() -> list[Filter]:
    """Answers of a server that repeats secrets at us, to see whether we repeat them too."""
    basic = {"WWW-Authenticate": f'Basic realm="{PLANTED[11]}"'}

    def say(status: int, text: str, **headers: str) -> Filter:
        pairs = tuple(({"www": "WWW-Authenticate"}.get(k, k), v) for k, v in headers.items())
        return lambda exchange, reply: Reply(status=status, headers=pairs, body=text.encode())

    errors = json.dumps({"errors": [{"code": PLANTED[12], "message": PLANTED[13]}]})
    return [
        say(401, errors, www=basic["WWW-Authenticate"]),
        say(401, errors, www=f'Bearer realm="https://{REGISTRY}/token?k={PLANTED[14]}"'),
        say(401, errors, www=f'Bearer realm="https://u:{PLANTED[15]}@{EVIL}/"'),
        say(403, errors),
        say(404, errors),
        say(429, errors, Retry_After=PLANTED[13]),
        say(500, errors),
        say(200, f'{{"tags": ["{PLANTED[12]} x"]}}'),
        say(200, f'{{"token": "{PLANTED[16]}", "tags": []}}'),
        say(302, "", Location=f"https://{FORBIDDEN}/?sig={PLANTED[17]}"),
        say(302, "", Location=f"http://u:{PLANTED[18]}@{EVIL}/"),
        say(200, '{"tags": ["1.0.0"]}', Link=f'<https://{EVIL}/?last={PLANTED[19]}>; rel="next"'),
        lambda exchange, reply: Reply(writer=lambda wire: wire.write(f"{PLANTED[16]}\r\n\r\n".encode())),
        lambda exchange, reply: reply,
    ]


def test_twenty_planted_secrets_are_in_no_error_log_or_repr(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    shown: list[str] = []
    with World() as world:
        server = world.serve(auth=Bearer(users={"u": PLANTED[4]}))
        server.repository("shop/app", TAGS)
        ways, replies = leak_paths(tmp_path), leaky_replies()
        for way, reply in itertools.product(ways.values(), replies):
            server.filters[:] = [reply]
            login = {REGISTRY: way} if isinstance(way, Credentials) else None
            environ = way if isinstance(way, dict) else {}
            client = world.client(login, limits=LIMITS, environ=environ)
            for answer in outcomes(client):
                if isinstance(answer, RegistryError):
                    shown += everything_about(answer)
            shown += [repr(client), repr(vars(client)), repr(login)]
    assert len(shown) > 1000
    text = "\n".join([*shown, caplog.text, *capfd.readouterr()])
    for secret in PLANTED:
        for form in encodings(secret):
            assert form not in text


def everything_about(error: RegistryError) -> list[str]:
    """All that a log could show of an error, the locals of its frames and its causes included."""
    found = traceback.TracebackException.from_exception(error, capture_locals=True)
    return [str(error), repr(error), repr(error.evidence), "".join(found.format(chain=True))]
