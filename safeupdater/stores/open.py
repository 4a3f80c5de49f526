"""Opening a store by its URL."""

from __future__ import annotations

import re
from typing import Any

from safeupdater.errors import ConfigurationError
from safeupdater.protocols import Clock, StateStore
from safeupdater.stores.jsonfile import JsonFileStore
from safeupdater.stores.memory import MemoryStore
from safeupdater.stores.place import place_of

_SQL = frozenset({"sqlite", "postgresql", "postgres", "postgresql+psycopg"})
BUILT_IN = _SQL | {"memory", "json"}
"""The schemes of the stores that come with safeupdater; no plugin can take them."""

_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*")


def open_store(url: str, clock: Clock | None = None, **options: Any) -> StateStore:
    """The store that a URL names: ``memory:``, ``json:PATH``, ``sqlite:///PATH`` or ``postgresql://…``.

    ``options`` go to the store's class (``read_only`` for JSON, ``seal_key`` for SQL …). Any other scheme is
    looked up among the installed plugins of the group ``safeupdater.stores``, and what is found there is
    called with the URL, the clock and the options. ``?allow_network=1`` after the path of ``json:`` and
    ``sqlite:`` accepts a network file system.

    Raises:
        ConfigurationError: the URL names no store.
        MissingExtraError: the store's extra is not installed.
        PluginError: a plugin is claimed twice, does not load, raised, or made something else than a store.
        StoreError: the store cannot be used.
    """
    scheme, colon, rest = url.partition(":")
    match scheme:
        case "memory" if colon and not rest:
            return MemoryStore(clock, **options)
        case "json" if rest:
            place = place_of(rest)
            options.setdefault("allow_network", place.allow_network)
            return JsonFileStore(place.path, clock, **options)
        case _ if colon and scheme in _SQL:
            return _open_sql(url, clock, options)
        case _ if colon and scheme not in BUILT_IN and _SCHEME.fullmatch(scheme):
            return _open_plugin(scheme, url, clock, options)
    raise _not_a_store(scheme)


def _open_plugin(scheme: str, url: str, clock: Clock | None, options: dict[str, Any]) -> StateStore:
    from safeupdater.plugins import make_plugin  # metadata of every package: only where it is used

    made: StateStore | None = make_plugin("stores", scheme, StateStore, url, clock, **options)
    if made is None:
        raise _not_a_store(scheme)
    return made


def _not_a_store(scheme: str) -> ConfigurationError:
    from safeupdater.plugins import plugin_names

    installed = ", ".join(f"{name}:" for name in plugin_names("stores"))
    # Not the URL itself: it may hold a password.
    return ConfigurationError(
        f"{ascii(scheme)[:30]} is not the beginning of a store's URL: expected memory:, json:PATH, "
        "sqlite:///PATH or postgresql://user@host/database" + (installed and f"; installed are {installed}")
    )


def _open_sql(url: str, clock: Clock | None, options: dict[str, Any]) -> StateStore:
    from safeupdater.stores.sql import SqlStore

    return SqlStore(url, clock, **options)
