"""What is remembered beside the journal: failures with their cause, first sightings, and what brakes know."""

from __future__ import annotations

import enum
from datetime import datetime

import attrs

from safeupdater.domain.quick import quick


def drawn(at: datetime, before: datetime | None, now: datetime) -> datetime | None:
    """From when a time counts that lies in the future: since it was found to; None where it does not.

    ``before`` is what this gave earlier. Either clock may be the wrong one, so the time itself is kept:
    once the clock has reached it, it counts again.
    """
    if at <= now:
        return None
    return before if before is not None and before <= now else now


class Blame(enum.Enum):
    """Whose fault a restore is: the release's (it is quarantined), the surroundings', or somebody's wish."""

    NOBODY = "nobody"
    RELEASE = "release"
    ENVIRONMENT = "environment"
    REQUEST = "request"

    def __str__(self) -> str:
        return self.value


@attrs.frozen(kw_only=True)
class Quarantine:
    """An (asset, digest) that failed and is not tried again by itself, until ``until`` (None: for good).

    ``asset_id`` is the ``repository`` itself where the release failed on several assets and is kept from
    all. ``blame`` says whose fault the failure was. ``counted_from`` is from when it counts while ``since``
    lies in the future (see ``drawn``).
    """

    asset_id: str
    digest: str
    version: str
    operation_id: str
    reason: str
    since: datetime
    until: datetime | None = None
    lifted_by: str | None = None
    repository: str = ""
    blame: Blame = Blame.NOBODY
    counted_from: datetime | None = None

    @property
    def is_shared(self) -> bool:
        """Whether it keeps the release from every asset of its repository."""
        return self.asset_id == self.repository

    def is_active(self, now: datetime) -> bool:
        """Whether it still forbids the update at that time."""
        ends = self.ends(now)
        return self.lifted_by is None and (ends is None or now < ends)

    def ends(self, now: datetime) -> datetime | None:
        """Until when it holds as this clock counts it; None for good."""
        begun = drawn(self.since, self.counted_from, now)
        return self.until if begun is None or self.until is None else begun + (self.until - self.since)

    def by_clock(self, now: datetime) -> Quarantine:
        """The same as this clock counts it."""
        return attrs.evolve(self, counted_from=drawn(self.since, self.counted_from, now))


@attrs.frozen(kw_only=True)
class RollbackRecord:
    """One rollback, remembered to bound how many happen by themselves.

    Nothing asks for it after ``until`` any more; None, as older records have it: for a year.
    ``counted_from`` is from when it counts while ``at`` lies in the future (see ``drawn``).
    """

    operation_id: str
    target_id: str
    at: datetime
    digests: tuple[str, ...]
    blame: Blame
    until: datetime | None = None
    counted_from: datetime | None = None

    def by_clock(self, now: datetime) -> RollbackRecord:
        """The same as this clock counts it."""
        return attrs.evolve(self, counted_from=drawn(self.at, self.counted_from, now))


@attrs.frozen(kw_only=True)
class FirstSeen:
    """When a digest was first seen by us under a name; ``last`` says, to the month, when it last was.

    ``counted_from`` is from when it counts while ``at`` lies in the future (see ``drawn``).
    """

    reference: str
    at: datetime
    last: datetime | None = None
    counted_from: datetime | None = None

    def by_clock(self, now: datetime) -> FirstSeen:
        """The same as this clock counts it."""
        return attrs.evolve(self, counted_from=drawn(self.at, self.counted_from, now))

    @property
    def counts_from(self) -> datetime:
        """From when the age is counted."""
        return self.counted_from or self.at


@quick
@attrs.frozen(kw_only=True)
class Attempt:
    """One operation that ended: it succeeded, went back by itself, or neither."""

    operation_id: str
    started: datetime
    ended: datetime
    succeeded: bool = False
    went_back: bool = False


@quick
@attrs.frozen(kw_only=True)
class Breaker:
    """What the breaker over all targets knows: what ended lately, newest last, and when it opened.

    ``opened`` is None where it never was open, and ``proven`` is when the update was begun whose success
    closed it. ``counted_from`` is from when the latest of all times here counts while that lies in the
    future (see ``drawn``).
    """

    attempts: tuple[Attempt, ...] = ()
    opened: datetime | None = None
    proven: datetime | None = None
    counted_from: datetime | None = None

    @property
    def latest(self) -> datetime | None:
        """The latest of all times here; None where nothing is known."""
        times = [item.ended for item in self.attempts] + [item.started for item in self.attempts]
        return max([*times, *filter(None, (self.opened, self.proven))], default=None)

    def by_clock(self, now: datetime) -> Breaker:
        """The same as this clock counts it."""
        latest = self.latest
        counted_from = latest and drawn(latest, self.counted_from, now)
        return self if counted_from == self.counted_from else attrs.evolve(self, counted_from=counted_from)
