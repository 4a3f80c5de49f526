"""What type checkers conclude about what plugins offer, and about what is had by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import assert_type

from safeupdater.config.named import named_backend, named_facts, named_observer, named_registry
from safeupdater.domain.candidate import Candidate
from safeupdater.domain.notice import Notice
from safeupdater.domain.operation import JournalEntry
from safeupdater.protocols import Backend, Clock, FactSource, Observer, StateStore, TagSource
from safeupdater.registries.static import StaticTags
from safeupdater.stores import MemoryStore, open_store


class Mood:
    provides: frozenset[str] = frozenset({"acme.mood"})

    def facts(self, candidate: Candidate) -> Mapping[str, object]:
        return {"acme.mood": "good"}


class Listener:
    def notify(self, happening: JournalEntry | Notice) -> None:
        """Hears it."""


def open_it(url: str, clock: Clock | None, **options: object) -> MemoryStore:
    return MemoryStore(clock)


def make_tags(environ: Mapping[str, str]) -> StaticTags:
    return StaticTags({"nginx": [environ["ACME_TAG"]]})


def make_facts(environ: Mapping[str, str]) -> Mood:
    return Mood()


def make_observer(environ: Mapping[str, str]) -> Listener:
    return Listener()


def test_callables_that_make_the_ports_are_what_entry_points_offer() -> None:
    tags: Callable[[Mapping[str, str]], TagSource] = make_tags
    facts: Callable[[Mapping[str, str]], FactSource] = make_facts
    observer: Callable[[Mapping[str, str]], Observer] = make_observer
    store: Callable[[str, Clock | None], StateStore] = open_it
    assert (tags, facts, observer, store) == (make_tags, make_facts, make_observer, open_it)


def check_named(environ: Mapping[str, str]) -> None:
    """Never called: that it passes the type checkers is the test."""
    assert_type(named_backend("docker", environ), Backend)
    assert_type(named_registry("oci", environ), TagSource)
    assert_type(named_facts(["mood"], environ), tuple[FactSource, ...])
    assert_type(named_observer("ears", environ), Observer)
    assert_type(open_store("acme:place"), StateStore)
