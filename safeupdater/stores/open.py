"""Opening a store by its URL."""

from __future__ import annotations

from typing import Any

from safeupdater.errors import ConfigurationError
from safeupdater.protocols import Clock, StateStore
from safeupdater.stores.jsonfile import JsonFileStore
from safeupdater.stores.memory import MemoryStore


def open_store(url: str, clock: Clock | None = None, **options: Any) -> StateStore:
    """The store that a URL names: ``memory:``, ``json:PATH``, ``sqlite:///PATH`` or ``postgresql://…``.

    ``options`` go to the store's class (``read_only`` for JSON, ``seal_key`` for SQL …).

    Raises:
        ConfigurationError: the URL names no store.
        MissingExtraError: the store's extra is not installed.
        StoreError: the store cannot be used.
    """
    scheme, colon, rest = url.partition(":")
    match scheme:
        case "memory" if colon and not rest:
            return MemoryStore(clock, **options)
        case "json" if rest:
            return JsonFileStore(rest, clock, **options)
        case "sqlite" | "postgresql" | "postgres" | "postgresql+psycopg" if colon:
            return _open_sql(url, clock, options)
    # Not the URL itself: it may hold a password.
    raise ConfigurationError(
        f"{ascii(scheme)[:30]} is not the beginning of a store's URL: expected memory:, json:PATH, "
        "sqlite:///PATH or postgresql://user@host/database"
    )


def _open_sql(url: str, clock: Clock | None, options: dict[str, Any]) -> StateStore:
    from safeupdater.stores.sql import SqlStore

    return SqlStore(url, clock, **options)
