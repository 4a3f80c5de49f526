"""Lists of tags, compared with what the same repository listed in earlier rounds and other processes.

A list that lost most of its tags, or a tag that is in use, is more often a registry in trouble than a
maintainer who clears up. It is not believed until a person says so, or until that was so for a day.
"""

from __future__ import annotations

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
_ROUND = timedelta(minutes=10)
_BELIEVED_AFTER = timedelta(days=1)
_FRESH = timedelta(days=1)
"""How old a record may be that says nothing new; older ones are written again, so that they are kept."""
_AWAY_AT_MOST = timedelta(days=7)
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
            self._write(repository, known, _after_failure(known or Listing(at=self.now), self.now))
            return answer
        named = tuple(sorted(set(running) & set(answer)))[:_MAX_RUNNING]
        doubt = _doubt(known, answer, frozenset(running), self.now) if known is not None else None
        if known is None or doubt is None or self._is_settled(doubt):
            self._write(repository, known, Listing(count=len(answer), running=named, at=self.now))
            return answer
        self._write(repository, known, doubt)
        why = _why(doubt)
        return RegistryError(
            f"{repository} {why}: nothing of the list is used until that has been so for a day; if it is "
            f"right, say so: safeupdater state forget {repository}",
            code="suspicious_listing",
        )

    def note_served(self, version: Artifact, platform: str | None, *, first: bool = True) -> None:
        """Notes what a tag was just said to serve; without ``first`` only of a tag that was noted before."""
        note_served(self.store, version, platform, self.now, first=first)

    def _is_settled(self, doubt: Listing) -> bool:
        return doubt.doubted_since is not None and self.now - doubt.doubted_since >= _BELIEVED_AFTER

    def _write(self, repository: str, known: Listing | None, present: Listing) -> None:
        """Writes what is new; of several who write at once, and saw the same registry, the last one stays."""
        if present.failures == SILENT_ROUNDS and (known is None or known.failures < SILENT_ROUNDS):
            self.silent.append(repository)
        is_fresh = known is not None and abs(self.now - known.at) < _FRESH
        if known is None or not is_fresh or attrs.evolve(present, at=known.at) != known:
            self.store.put(KIND, repository, attrs.evolve(present, at=self.now))


def _after_failure(known: Listing, now: datetime) -> Listing:
    """One more round without an answer; plans in quick succession are one round."""
    is_same_round = known.failed_at is not None and timedelta() <= now - known.failed_at < _ROUND
    if known.failures >= SILENT_ROUNDS or (known.failures and is_same_round):
        return known
    return attrs.evolve(known, failures=known.failures + 1, failed_at=now)


def _doubt(known: Listing, tags: tuple[str, ...], running: frozenset[str], now: datetime) -> Listing | None:
    """What is known after a list that is not believed; None where nothing makes it doubtful.

    The doubt is an old one where its reason is: no further tag that runs is lost, and a list that is too
    short has not become shorter since.
    """
    lost = frozenset(running & frozenset(known.running)) - frozenset(tags)
    is_short = _is_short(len(tags), known)
    if not is_short and not lost:
        return None
    is_same = lost <= frozenset(known.doubted_lost) and (
        not is_short or (_is_short(known.doubted_count, known) and len(tags) >= known.doubted_count)
    )
    # Where a clock leapt since the latest list, or nobody looked for long, it is doubted from now on.
    is_steady = abs(now - known.at) <= _AWAY_AT_MOST
    since = known.doubted_since
    since = since if since is not None and since <= now and is_same and is_steady else now
    return attrs.evolve(
        known, doubted="", doubted_since=since, doubted_count=len(tags), doubted_lost=tuple(sorted(lost)),
        failures=0, failed_at=None,
    )  # fmt: skip


def _is_short(count: int, known: Listing) -> bool:
    return 2 * count < known.count


def _why(doubt: Listing) -> str:
    if _is_short(doubt.doubted_count, doubt):
        return f"lists {doubt.doubted_count} tags where it had {doubt.count}"
    return f"does not list {doubt.doubted_lost[0]} any more, which runs"


def forget_listings(store: StateStore, before: datetime) -> None:
    """Forgets repositories that nobody asked for since."""
    for key, stored in store.iterate(KIND):
        if isinstance(stored.value, Listing) and stored.value.at < before:
            store.delete(KIND, key)
