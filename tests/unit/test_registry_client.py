"""The client as planning uses it: answers are shared, errors stay by themselves, facts are honest."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import attrs
import pytest

from safeupdater.domain.artifact import ChartReference
from safeupdater.domain.asset import Asset, AssetType
from safeupdater.domain.candidate import Candidate
from safeupdater.domain.change import Change, VersionChangeType
from safeupdater.errors import RegistryError
from safeupdater.protocols import FactSource, TagSource
from safeupdater.registries.oci import RateLimit, RegistryClient, RegistrySettings
from safeupdater.registries.oci.cache import SharedCache
from testbed.registry_world import QUICK, REGISTRY, World, image
from testbed.scripted_registry import Exchange, Reply

APP = image("shop/app:1.0.0")


@pytest.fixture
def world() -> Iterator[World]:
    with World() as made:
        yield made


def test_a_listing_is_kept_for_its_time_and_no_longer(world: World) -> None:
    server = world.serve()
    repository = server.repository("shop/app", ["1.0.0"])
    client = world.client()
    assert client.get_available_tags(APP) == ("1.0.0",)
    repository.add_image("1.1.0")
    world.clock.time_s += 299
    assert client.get_available_tags(APP) == ("1.0.0",)
    world.clock.time_s += 2
    assert client.get_available_tags(APP) == ("1.0.0", "1.1.0")
    assert len(server.asked("tags")) == 2


def test_forgetting_asks_anew(world: World) -> None:
    server = world.serve()
    server.repository("shop/app", ["1.0.0"])
    client = world.client()
    for _ in range(2):
        client.get_available_tags(APP)
        client.resolve(APP)
        client.forget()
    assert [each.kind for each in server.seen] == ["tags", "manifest"] * 2


def test_many_assets_share_one_listing_for_each_repository(world: World) -> None:
    server = world.serve()
    tags = [f"1.{minor}.0" for minor in range(25)]
    for number in range(4):
        server.repository(f"shop/app{number}", tags)
    images = [image(f"shop/app{number}:{tag}") for number in range(4) for tag in tags]
    client = world.client(limits=attrs.evolve(QUICK, call_s=20))
    found = client.lookup_many(images)
    assert found == {f"{REGISTRY}/shop/app{number}": tuple(tags) for number in range(4)}
    assert len(server.asked("tags")) == len(server.seen) == 4


def test_threads_that_ask_the_same_at_once_share_one_request(world: World) -> None:
    def slow(exchange: Exchange, reply: Reply) -> Reply:
        time.sleep(0.05)
        return reply

    server = world.serve(slow)
    server.repository("shop/app", ["1.0.0"])
    client = world.client()
    answers: list[tuple[str, ...]] = []
    threads = [
        threading.Thread(target=lambda: answers.append(client.get_available_tags(APP))) for _ in range(10)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert answers == [("1.0.0",)] * 10
    assert len(server.seen) == 1


def test_an_error_stands_only_in_its_own_place(world: World) -> None:
    server = world.serve(
        lambda exchange, reply: Reply(status=500) if exchange.repository == "shop/broken" else reply
    )
    server.repository("shop/app", ["1.0.0"])
    broken, missing, chart = (
        image("shop/broken:1"),
        image("shop/none:1"),
        ChartReference(name="c", version="1"),
    )
    client = world.client()
    found = client.lookup_many([APP, broken, missing, chart])
    assert found[APP.name] == ("1.0.0",)
    codes = {name: error.code for name, error in found.items() if isinstance(error, RegistryError)}
    assert codes == {broken.name: "server_error", missing.name: "not_found", "c": "not_an_image"}
    digests = client.resolve_many([APP, missing])
    assert digests[str(APP)].reference.digest is not None  # type: ignore[union-attr]
    assert isinstance(digests[str(missing)], RegistryError)


def test_a_registry_that_hangs_delays_no_other(world: World) -> None:
    world.serve(lambda exchange, reply: Reply(writer=lambda wire: wire.stopping.wait(20) and None))
    good = world.serve(host="good.example", address="93.184.216.40")
    good.repository("shop/app", ["1.0.0"])
    settings = {REGISTRY: RegistrySettings(), "good.example": RegistrySettings()}
    client = world.client(settings=settings, limits=attrs.evolve(QUICK, attempts=1))
    began = time.monotonic()
    found = client.lookup_many(
        [*(image(f"shop/app{n}:1") for n in range(100)), image("shop/app:1.0.0", "good.example")]
    )
    assert found["good.example/shop/app"] == ("1.0.0",)
    assert time.monotonic() - began < 5


def test_a_registry_that_hangs_costs_a_few_time_outs_and_not_hundreds(world: World) -> None:
    server = world.serve(lambda exchange, reply: Reply(writer=lambda wire: wire.stopping.wait(20) and None))
    client = world.client(limits=attrs.evolve(QUICK, attempts=1))
    began = time.monotonic()
    found = client.lookup_many(image(f"shop/app{n}:1") for n in range(200))
    assert time.monotonic() - began < 5
    assert all(isinstance(answer, RegistryError) and answer.transient for answer in found.values())
    assert len(server.seen) < 30
    server.filters.clear()
    server.repository("shop/app", ["1.0.0"])
    world.clock.time_s += 61
    assert client.get_available_tags(APP) == ("1.0.0",)


def test_a_kept_refusal_does_not_grow_with_every_asking(world: World) -> None:
    world.serve()
    client = world.client()
    depths = set()
    for _ in range(50):
        with pytest.raises(RegistryError) as raised:
            client.resolve(APP)
        depths.add(len(raised.traceback))
    assert len(depths) <= 2


def test_the_cache_is_bounded_by_weight_too() -> None:
    cache: SharedCache[int, tuple[int, ...]] = SharedCache(
        ttl_s=60, max_entries=100, monotonic=lambda: 0.0, weigh=len, max_weight=10
    )
    for number in range(50):
        cache.get(number, lambda: (0,) * 4)
    assert len(cache) == 2
    cache.forget(49)
    cache.get(50, lambda: (0,) * 400)
    assert len(cache) == 1
    cache.forget()
    for number in range(10):
        cache.get(number, lambda: (0,))
    assert len(cache) == 10


def test_the_cache_is_bounded() -> None:
    cache: SharedCache[int, int] = SharedCache(ttl_s=60, max_entries=10, monotonic=lambda: 0.0)
    for number in range(1000):
        assert cache.get(number, lambda found=number: found) == number
    assert len(cache) == 10
    asked: list[int] = []
    cache.get(999, lambda: asked.append(999) or 1)
    cache.get(0, lambda: asked.append(0) or 1)
    assert asked == [0]


def test_rate_limits_are_told(world: World) -> None:
    headers = {"ratelimit-limit": "100;w=21600", "ratelimit-remaining": "76;w=21600"}

    def allow(exchange: Exchange, reply: Reply) -> Reply:
        for name, value in headers.items():
            reply = reply.with_header(name, value)
        return reply

    server = world.serve(allow)
    server.repository("shop/app", ["1.0.0", "1.1.0"])
    client = world.client()
    client.resolve(APP)
    assert client.rate_limits() == {REGISTRY: RateLimit(limit=100, remaining=76, window_s=21600)}
    headers.update({"ratelimit-limit": "x;w=-", "ratelimit-remaining": "many"})
    client.resolve(APP.with_tag("1.1.0"))
    assert client.rate_limits() == {REGISTRY: RateLimit()}


def test_docker_hub_is_asked_where_its_api_is(world: World) -> None:
    server = world.serve(host="registry-1.docker.io")
    server.repository("library/nginx", ["1.27.0"])
    client = world.client(settings={"docker.io": RegistrySettings()})
    assert client.get_available_tags(image("nginx:1.27.0", "docker.io")) == ("1.27.0",)
    assert server.seen[0].path == "/v2/library/nginx/tags/list"
    assert server.seen[0].headers["host"] == "registry-1.docker.io"


@pytest.mark.parametrize("key", ["reg.example/team", ""])
def test_settings_for_no_registry_are_refused(key: str) -> None:
    with pytest.raises(ValueError, match="not a registry"):
        RegistryClient(registries={key: RegistrySettings()}, environ={})


# --- facts


def candidate(platform: str | None = None) -> Candidate:
    asset = Asset(
        id="docker://local/web", name="web", asset_type=AssetType.CONTAINER, image=APP, platform=platform
    )
    change = Change(
        asset_id=asset.id, current=APP, new=APP.with_tag("1.1.0"), change_type=VersionChangeType.MINOR
    )
    return Candidate(asset=asset, change=change)


def test_the_publication_time_is_a_fact_of_the_new_image(world: World) -> None:
    server = world.serve()
    server.repository("shop/app").add_image("1.1.0", created="2026-05-01T10:00:00Z")
    source: FactSource = world.client()
    assert source.provides == {"published_at", "image_changes", "clock_skew_s"}
    assert source.facts(candidate("linux/amd64")) == {"published_at": datetime(2026, 5, 1, 10, tzinfo=UTC)}
    assert source.facts(candidate()) == source.facts(candidate("linux/amd64"))
    assert len(server.asked("blob")) == 1


@pytest.mark.parametrize("created", ["1970-01-01T00:00:00Z", "1980-01-01T00:00:00Z", "2099-01-01T00:00:00Z"])
def test_a_fixed_or_future_time_is_unknown(world: World, created: str) -> None:
    server = world.serve()
    server.repository("shop/app").add_image("1.1.0", created=created)
    assert world.client().facts(candidate()) == {}


def test_a_fact_that_cannot_be_had_is_unknown(world: World) -> None:
    server = world.serve(lambda exchange, reply: Reply(status=403) if exchange.kind == "blob" else reply)
    server.repository("shop/app").add_image("1.1.0")
    assert world.client().facts(candidate()) == {}


def dated(exchange: Exchange, reply: Reply) -> Reply:
    """The same answer, by a clock that is ten minutes ahead of ours when the test begins."""
    return attrs.evolve(reply, headers=(*reply.headers, ("Date", "Mon, 01 Jun 2026 00:10:00 GMT")))


def test_how_far_the_registrys_clock_is_ahead_is_a_fact_without_a_question(world: World) -> None:
    server = world.serve(dated)
    server.repository("shop/app", ["1.0.0"])
    client = world.client()
    assert "clock_skew_s" not in client.facts(candidate())
    client.get_available_tags(APP)
    asked = len(server.seen)
    assert client.facts(candidate())["clock_skew_s"] == 600.0
    world.clock.time_s += 60.0
    assert client.facts(candidate())["clock_skew_s"] == 600.0, "both clocks went on"
    assert len(server.seen) == asked


def test_tags_alone_fetch_no_config(world: World) -> None:
    server = world.serve()
    server.repository("shop/app", ["1.0.0"])
    client: TagSource = world.client()
    client.get_available_tags(APP)
    client.resolve(APP)
    assert server.asked("blob") == []


def test_the_client_is_imported_without_urllib3() -> None:
    program = "import sys, safeupdater.registries.oci; sys.exit('urllib3' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
