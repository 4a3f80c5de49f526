"""What is known about candidates: gathered from fact sources, and remembered by the store."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import attrs

from safeupdater.domain.candidate import Candidate
from safeupdater.domain.operation import FirstSeen
from safeupdater.domain.quick import evolved
from safeupdater.errors import StoreError, VersionConflict
from safeupdater.gates.stability import HISTORY
from safeupdater.protocols import FactSource, StateStore
from safeupdater.update.quarantine import why_quarantined
from safeupdater.update.served import served_at


def with_facts(candidate: Candidate, sources: Sequence[FactSource], needs: frozenset[str]) -> Candidate:
    """The candidate with the facts that its gates need; what a source fails to give stays unknown.

    Each source is told what those before it said. A clock that is wrong is of interest to all.

    Raises:
        StoreError: nobody knows whether it is in quarantine, since the store did not answer.
    """
    needs = needs | _ALWAYS
    for source in sources:
        found = _ask(source, candidate, needs)
        if found:
            candidate = evolved(candidate, facts=candidate.facts.with_facts(found))
    return candidate


_TRIES = 10
_NOTED_EVERY = timedelta(days=30)
"""How often it is noted that a version is still on offer: what is not may be forgotten at last."""
_ANEW_AFTER = timedelta(days=90)
_ALWAYS = frozenset({"clock_skew_s"})


def _ask(source: FactSource, candidate: Candidate, needs: frozenset[str]) -> Mapping[str, object]:
    """Those of the needed facts that a source has; it is only asked where it says that it knows of one.

    Where a source that knows of quarantine fails, the version counts as kept from: without that fact it
    would count as free.
    """
    wanted: frozenset[str] = frozenset()
    try:
        wanted = needs & source.provides
        found = source.facts(candidate) if wanted else {}
        return {name: found[name] for name in wanted if name in found}
    except Exception as error:
        if "quarantined" not in wanted:
            return {}
        if isinstance(error, StoreError):
            raise
        return {"quarantined": "whether it failed before could not be found out"}


class StoreFacts:
    """Quarantine, first sighting and the digests of a tag, from what the store remembers.

    A version that is asked about for the first time is remembered as seen at the candidate's ``now``: by
    the registry's clock, where that is known. A time in the future, which a wrong clock left behind or a
    wrong clock finds there, counts from when it was found to be; it is not written over.

    A store that does not answer leaves the sightings unknown, but never the quarantine: what failed before
    would count as good. Without ``notes`` nothing is written: then it says what it would say now.
    """

    provides = frozenset({"quarantined", "first_seen", HISTORY})

    def __init__(self, store: StateStore, *, notes: bool = True) -> None:
        self._store = store
        self._notes = notes

    def facts(self, candidate: Candidate) -> Mapping[str, object]:
        """Why it is in quarantine, where it is, and when it was first seen.

        Raises:
            StoreError: nobody knows whether it is in quarantine.
        """
        why = why_quarantined(self._store, candidate.asset.id, candidate.change.new, candidate.now)
        found: dict[str, object] = {"quarantined": why}
        if candidate.now is not None:
            with contextlib.suppress(StoreError):
                found["first_seen"] = self._first_seen(candidate, candidate.now)
            with contextlib.suppress(StoreError):
                found[HISTORY] = served_at(self._store, candidate.change.new, candidate.asset.platform)
        return found

    def _first_seen(self, candidate: Candidate, now: datetime) -> datetime:
        new = candidate.change.new
        key, now = new.digest or str(new), _by_the_registry(now, candidate.facts.clock_skew_s)
        for _ in range(_TRIES):
            stored = self._store.get("first_seen", key)
            seen = stored.value if stored is not None and isinstance(stored.value, FirstSeen) else None
            noted = _seen_now(seen, now) if seen else FirstSeen(reference=str(new), at=now, last=now)
            if noted == seen or not self._notes:
                return noted.counts_from
            with contextlib.suppress(VersionConflict):
                version = stored.version if stored is not None else 0
                self._store.put("first_seen", key, noted, expected=version)
                return noted.counts_from
        raise VersionConflict(f"{new} is being seen by others all the time: try again")


def _seen_now(seen: FirstSeen, now: datetime) -> FirstSeen:
    """A sighting when the version is seen again.

    What nobody saw for so long that it may have been forgotten is seen anew: a clock that leaps ahead makes
    nothing old.
    """
    last = seen.last or seen.at
    if now - last > _ANEW_AFTER:
        return FirstSeen(reference=seen.reference, at=now, last=now)
    seen = seen.by_clock(now)
    if seen.last is not None and now - last < _NOTED_EVERY:
        return seen
    return attrs.evolve(seen, last=max(last, now))


def _by_the_registry(now: datetime, skew_s: float | None) -> datetime:
    """The time by the registry's clock; ours where that is not known or says nothing sensible."""
    try:
        return now + timedelta(seconds=skew_s or 0.0)
    except (OverflowError, ValueError):
        return now
