"""Lists of tags, compared with what the same repository listed in earlier rounds and other processes.

A list that lost most of its tags, or a tag that is in use, is more often a registry in trouble than a
maintainer who clears up. It is not believed until a person says so, or until it was the same for a day.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import datetime, timedelta

import attrs

from safeupdater.domain.artifact import Artifact
from safeupdater.domain.sighting import Listing
from safeupdater.errors import RegistryError
from safeupdater.protocols import StateStore
from safeupdater.update.served import note_served

KIND = "listing"
SILENT_ROUNDS = 5
"""After so many rounds without an answer a person hears of it."""
_BELIEVED_AFTER = timedelta(days=1)
_FRESH = timedelta(days=1)
"""How old a record may be that says nothing new; older ones are written again, so that they are kept."""
_MAX_RUNNING = 50
_Answer = tuple[str, ...] | RegistryError


@attrs.define(eq=False)
class ListingMemory:
    """What repositories listed, kept in the store. ``silent`` names those that just fell silent."""

    store: StateStore
    now: datetime
    silent: list[str] = attrs.field(factory=list, init=False)

    def weigh(self, repository: str, answer: _Answer, running: Iterable[str]) -> _Answer:
        """The answer, or why its list is not believed.

        Raises:
            StoreError: the store did not answer.
        """
        stored = self.store.get(KIND, repository)
        known = stored.value if stored is not None and isinstance(stored.value, Listing) else None
        if isinstance(answer, RegistryError):
            self._write(repository, known, _after_failure(known or Listing(at=self.now)))
            return answer
        named = tuple(sorted(set(running) & set(answer)))[:_MAX_RUNNING]
        why = _doubt(known, answer, frozenset(running)) if known is not None else ""
        if known is None or not why or self._is_settled(known, answer):
            self._write(repository, known, Listing(count=len(answer), running=named, at=self.now))
            return answer
        self._write(repository, known, self._doubted(known, answer))
        return RegistryError(
            f"{repository} {why}: nothing of the list is used until it has been the same for a day; if it is "
            f"right, say so: safeupdater state forget {repository}",
            code="suspicious_listing",
        )

    def note_served(self, version: Artifact, platform: str | None, *, first: bool = True) -> None:
        """Notes what a tag was just said to serve; without ``first`` only of a tag that was noted before."""
        note_served(self.store, version, platform, self.now, first=first)

    def _is_settled(self, known: Listing, tags: tuple[str, ...]) -> bool:
        since = known.doubted_since
        is_old = since is not None and self.now - since >= _BELIEVED_AFTER
        return is_old and known.doubted == _hash(tags)

    def _doubted(self, known: Listing, tags: tuple[str, ...]) -> Listing:
        offered = _hash(tags)
        # A time in the future, which a wrong clock left behind, counts from now.
        is_same = known.doubted == offered and known.doubted_since is not None
        since = min(known.doubted_since or self.now, self.now) if is_same else self.now
        return attrs.evolve(known, doubted=offered, doubted_since=since, failures=0)

    def _write(self, repository: str, known: Listing | None, present: Listing) -> None:
        """Writes what is new; of several who write at once, and saw the same registry, the last one stays."""
        if present.failures == SILENT_ROUNDS and (known is None or known.failures < SILENT_ROUNDS):
            self.silent.append(repository)
        is_fresh = known is not None and abs(self.now - known.at) < _FRESH
        if known is None or not is_fresh or attrs.evolve(present, at=known.at) != known:
            self.store.put(KIND, repository, attrs.evolve(present, at=self.now))


def _after_failure(known: Listing) -> Listing:
    return attrs.evolve(known, failures=min(known.failures + 1, SILENT_ROUNDS))


def _doubt(known: Listing, tags: tuple[str, ...], running: frozenset[str]) -> str:
    """What makes a list doubtful; "" for nothing."""
    if 2 * len(tags) < known.count:
        return f"lists {len(tags)} tags where it had {known.count}"
    lost = sorted((running & frozenset(known.running)) - frozenset(tags))
    return f"does not list {lost[0]} any more, which runs" if lost else ""


def _hash(tags: tuple[str, ...]) -> str:
    return hashlib.sha256("\n".join(sorted(tags)).encode()).hexdigest()


def forget_listings(store: StateStore, before: datetime) -> None:
    """Forgets repositories that nobody asked for since."""
    for key, stored in store.iterate(KIND):
        if isinstance(stored.value, Listing) and stored.value.at < before:
            store.delete(KIND, key)
