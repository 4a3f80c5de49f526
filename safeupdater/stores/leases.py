"""When a lease may be taken from its holder: one rule for every store.

Time decides only when to *try*: that two holders never act both is guaranteed by the epoch, which every
append compares. So a clock that jumps may cost a holder its lease, never the target its one actor.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import attrs

from safeupdater.domain.quick import quick
from safeupdater.errors import LeaseLost
from safeupdater.protocols import Clock, Lease, LeaseSeen

IsDead = Callable[[str], bool]
"""Whether the process behind a holder text is gone for certain."""


@quick
@attrs.frozen(kw_only=True)
class LeaseRow:
    """What a store keeps of a lease; ``holder`` is None once it was given back. The epoch never shrinks."""

    key: str
    holder: str | None
    epoch: int
    ttl_s: float
    renewed_at: datetime

    @property
    def until(self) -> datetime:
        """When it runs out unless it is renewed."""
        return self.renewed_at + timedelta(seconds=self.ttl_s)

    def belongs_to(self, lease: Lease) -> bool:
        """Whether that lease is the current one."""
        return self.epoch == lease.epoch and self.holder == lease.holder

    def as_lease(self) -> Lease:
        """The lease that this row stands for."""
        return Lease(key=self.key, holder=self.holder or "", epoch=self.epoch, ttl_s=self.ttl_s)


class LeaseWatch:
    """Judges when a lease has run out, by the wall clock and by having watched it.

    A wall clock that went back would keep a dead holder's lease for years: therefore a lease that this
    process has seen unrenewed for its whole time on the monotonic clock has run out as well.
    """

    def __init__(self, clock: Clock, is_dead: IsDead) -> None:
        self._clock = clock
        self._is_dead = is_dead
        self._seen: dict[str, tuple[int, datetime, float]] = {}

    def may_take(self, row: LeaseRow | None, holder: str, now: datetime) -> bool:
        """Whether that holder may take the lease now; ``now`` is the store's wall clock."""
        is_own = row is not None and row.holder == holder
        return is_own or self.seen(row, now) is None

    def seen(self, row: LeaseRow | None, now: datetime) -> LeaseSeen | None:
        """Who holds the lease against all others; None where nobody does any more."""
        if row is None or row.holder is None or self._has_run_out(row, now) or self._is_dead(row.holder):
            return None
        return LeaseSeen(holder=row.holder, until=row.until)

    def _has_run_out(self, row: LeaseRow, now: datetime) -> bool:
        if now >= row.until:
            return True
        tick = self._clock.monotonic()
        epoch, renewed_at, since = self._seen.get(row.key, (0, row.renewed_at, tick))
        if (epoch, renewed_at) != (row.epoch, row.renewed_at):
            self._seen[row.key] = (row.epoch, row.renewed_at, tick)
            return False
        return tick - since >= row.ttl_s


def taken(row: LeaseRow | None, key: str, holder: str, ttl_s: float, now: datetime) -> LeaseRow:
    """The row after a holder took the lease: a new epoch, always."""
    require_ttl(ttl_s)
    if not holder:
        raise ValueError("a lease needs a holder")
    epoch = row.epoch + 1 if row else 1
    return LeaseRow(key=key, holder=holder, epoch=epoch, ttl_s=ttl_s, renewed_at=now)


def renewed(row: LeaseRow | None, lease: Lease, ttl_s: float, now: datetime) -> LeaseRow:
    """The row after a renewal. A lease that ran out and that nobody took can still be renewed.

    Raises:
        LeaseLost: the lease is no longer the current one.
    """
    require_ttl(ttl_s)
    found = current(row, lease)
    return LeaseRow(key=found.key, holder=found.holder, epoch=found.epoch, ttl_s=ttl_s, renewed_at=now)


def current(row: LeaseRow | None, lease: Lease) -> LeaseRow:
    """The row of a lease that is the current one.

    Raises:
        LeaseLost: it is not.
    """
    if row is None or not row.belongs_to(lease):
        epoch = row.epoch if row else 0
        raise LeaseLost(
            f"the lease on {lease.key} is lost: epoch {lease.epoch} is over, the store is at {epoch}; "
            "no further step may be taken with it",
            key=lease.key,
            epoch=lease.epoch,
            current_epoch=epoch,
        )
    return row


def require_ttl(ttl_s: float) -> None:
    """Refuses a time to live that is no positive, sensible number of seconds."""
    if not 0 < ttl_s <= 30 * 86_400:
        raise ValueError(f"a lease lives for more than 0 seconds and at most 30 days, got {ttl_s!r}")
