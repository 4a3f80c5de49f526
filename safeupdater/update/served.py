"""Which digests a tag served: noted when a registry has just told it, and at no other time."""

from __future__ import annotations

import contextlib
from datetime import datetime

from safeupdater.domain.artifact import Artifact
from safeupdater.domain.sighting import Served, TagHistory
from safeupdater.errors import StoreError
from safeupdater.protocols import StateStore, Stored

KIND = "tag"
_KEPT_DIGESTS = 10


def note_served(
    store: StateStore, version: Artifact, platform: str | None, now: datetime, *, first: bool = True
) -> None:
    """Notes the digest that a tag serves now, where it is another one than before; as well as can be.

    Where others note something meanwhile, or the store does not answer, nothing is noted. Without
    ``first`` nothing is begun either: then only a tag that was noted before is.
    """
    if version.digest is None:
        return
    with contextlib.suppress(StoreError):
        stored = store.get(KIND, _key(version, platform))
        served = _served(stored)
        if (served[-1:] and served[-1].digest == version.digest) or not (served or first):
            return
        history = TagHistory(served=(*served, Served(version.digest, now))[-_KEPT_DIGESTS:])
        expected = stored.version if stored is not None else 0
        store.put(KIND, _key(version, platform), history, expected=expected)


def served_at(store: StateStore, version: Artifact, platform: str | None) -> tuple[datetime, ...] | None:
    """When the tag was seen to serve each of its latest digests; None where it has no digest.

    Raises:
        StoreError: the store did not answer.
    """
    if version.digest is None:
        return None
    return tuple(item.at for item in _served(store.get(KIND, _key(version, platform))))


def _served(stored: Stored[object] | None) -> tuple[Served, ...]:
    return stored.value.served if stored is not None and isinstance(stored.value, TagHistory) else ()


def _key(version: Artifact, platform: str | None) -> str:
    """One tag has another digest on each platform."""
    return f"{version.name}:{version.version_text}|{platform or ''}"
