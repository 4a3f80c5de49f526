"""Stores of other packages: found by the scheme of a URL."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from safeupdater.cli.places import shown_store
from safeupdater.errors import ConfigurationError, PluginError, StoreError
from safeupdater.stores import MemoryStore, open_store
from safeupdater.testing.clock import FakeClock
from tests.support.packages import Site

URL = "acme+kv://user:hunter2@host/place"


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.syspath_prepend(tmp_path)
    made = Site(tmp_path)
    yield made
    made.forget()


def offer(site: Site, code: str, scheme: str = "acme+kv") -> None:
    site.install("acme", "acme_store", code, group="stores", **{scheme: "open_it"})


def test_a_scheme_of_a_package_opens_its_store_with_url_clock_and_options(site: Site) -> None:
    offer(
        site,
        """
        from safeupdater.stores import MemoryStore

        asked = []

        def open_it(url, clock, **options):
            asked.append((url, clock, options))
            return MemoryStore(clock)
        """,
    )
    clock = FakeClock()

    store = open_store(URL, clock, table="t")

    assert isinstance(store, MemoryStore)
    assert sys.modules["acme_store"].asked == [(URL, clock, {"table": "t"})]


@pytest.mark.parametrize("scheme", ["memory", "json", "sqlite", "postgresql", "postgres"])
def test_no_package_can_take_the_scheme_of_a_built_in_store(scheme: str, site: Site) -> None:
    offer(site, "raise SystemExit('loaded')", scheme)
    with pytest.raises(ConfigurationError):
        open_store(f"{scheme}:" if scheme != "memory" else "memory:x")
    assert "acme_store" not in sys.modules


@pytest.mark.parametrize("url", ["acme", "ACME+KV://host", "/acme:x", ":x", "", "acme kv:x"])
def test_a_text_without_a_scheme_on_offer_names_those_that_are(url: str, site: Site) -> None:
    offer(site, "raise SystemExit('loaded')")
    with pytest.raises(ConfigurationError, match=r"expected memory:, .*; installed are acme\+kv:$"):
        open_store(url)


def test_where_no_package_offers_a_store_none_is_named() -> None:
    with pytest.raises(ConfigurationError, match=r"postgresql://user@host/database$"):
        open_store("acme+kv://host")


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("def open_it(url, clock): raise ValueError(url)", "raised ValueError"),
        ("def open_it(url, clock): raise SystemExit(url)", "raised SystemExit"),
        ("def open_it(): pass", "raised TypeError"),
        (
            "def open_it(url, clock): return url",
            "made a str, which is no StateStore: it has no acquire",
        ),
        ("open_it = 'hunter2'", "is a str, and not a callable"),
        ("raise ValueError('hunter2')", "does not load: ValueError"),
    ],
)
def test_what_makes_no_store_is_a_plugin_error_without_the_foreign_text(
    code: str, says: str, site: Site
) -> None:
    offer(site, code)
    with pytest.raises(PluginError, match=says) as raised:
        open_store(URL)
    assert "hunter2" not in str(raised.value)


def test_an_error_of_ours_that_a_package_raises_stays_what_it_is(site: Site) -> None:
    offer(
        site,
        """
        from safeupdater.errors import StoreError

        def open_it(url, clock):
            raise StoreError("the place is full", code="full")
        """,
    )
    with pytest.raises(StoreError, match="the place is full"):
        open_store(URL)


def test_a_scheme_claimed_twice_names_both(site: Site) -> None:
    offer(site, "")
    site.install("acme-two", "acme_two", "", group="stores", **{"acme+kv": "open_it"})
    with pytest.raises(PluginError, match=r"acme \(acme_store:open_it\) and acme-two \(acme_two:open_it\)"):
        open_store(URL)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://me:hunter2@host/db?sslmode=require", "postgresql://me@host/db"),
        ("json:/var/lib/state", "json:/var/lib/state"),
        ("memory:", "memory:"),
        (URL, "acme+kv:…"),
        ("acme:token=hunter2", "acme:…"),
    ],
)
def test_a_shown_url_holds_no_secret(url: str, shown: str) -> None:
    assert shown_store(url) == shown
