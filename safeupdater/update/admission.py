"""Who may begin: the concurrency limit, the budgets for rollbacks, and the breaker."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from datetime import datetime, timedelta

import attrs

from safeupdater.domain.asset import AssetId
from safeupdater.domain.operation import (
    Blame,
    Finished,
    OperationPlanned,
    Resolved,
    RollbackRecord,
    Verdict,
    VerdictReached,
)
from safeupdater.domain.plan import PlannedUpdate
from safeupdater.errors import VersionConflict
from safeupdater.protocols import Admittance, StateStore
from safeupdater.update import breaker
from safeupdater.update.accounts import cooldown_until

_DAY = timedelta(days=1)


@attrs.frozen(kw_only=True)
class Limits:
    """How much may happen at once and by itself.

    ``max_concurrent`` counts operations per host, namespace and release; ``max_per_day`` and
    ``cooldown_s`` bound the rollbacks of one target. Those of all together are bounded by the breaker.
    ``replica_of`` names what the target is one of several replicas of, None where it stands for itself: of
    replicas one at a time is updated, whatever ``max_concurrent`` says.
    """

    max_concurrent: int = 1
    max_per_day: int = 2
    cooldown_s: float = 3600.0
    replica_of: str | None = None


class LocalAdmission:
    """Admission by what one store remembers.

    It is asked before an operation is opened and again before its first effect, when others can see it.
    Operations queue in the order in which they were opened, so of two that were opened at the same instant
    the later one waits.
    """

    keeps_deadlines = True

    def __init__(
        self, store: StateStore, limits: Limits | Callable[[PlannedUpdate], Limits] | None = None
    ) -> None:
        self._store = store
        self._limits_of = limits if callable(limits) else _always(limits or Limits())

    def admit(self, planned: PlannedUpdate, now: datetime) -> Admittance:
        """Whether this update may begin now."""
        limits = self._limits_of(planned)
        return (
            self._breaker(planned, now)
            or self._budget(planned, limits, now)
            or self._turn(planned, limits)
            or _ADMITTED
        )

    def _breaker(self, planned: PlannedUpdate, now: datetime) -> Admittance | None:
        known = breaker.look(self._store, now, asking=planned.target_id)
        if known.opened is None:
            return None
        until = known.opened + breaker.HOUR
        if now < until:
            return _refused("breaker_open", "too many updates of all targets were rolled back lately", until)
        if _ahead_of(planned.target_id, self._under_way()) == 0:
            return None
        message = "after too many rollbacks one update runs at a time, until one succeeds"
        return _refused("concurrency", message, None)

    def _budget(self, planned: PlannedUpdate, limits: Limits, now: datetime) -> Admittance | None:
        records = self._rollbacks(f"{planned.target_id}#", now)
        today = [record for record in records if _is_automatic(record, now - _DAY, now)]
        if len(today) >= limits.max_per_day:
            until = min(record.at for record in today) + _DAY
            message = f"{planned.target_id} was rolled back {len(today)} times within a day"
            return _refused("rollback_budget_spent", message, until)
        until_or_none = cooldown_until(records, limits.cooldown_s, now)
        if until_or_none is None:
            return None
        return _refused("cooldown", f"{planned.target_id} was rolled back a short while ago", until_or_none)

    def _rollbacks(self, prefix: str, now: datetime) -> list[RollbackRecord]:
        """The remembered rollbacks; one from the future counts from when it was first found to be.

        Its own time is kept: a clock that dips must not lend a target further rollbacks.
        """
        found = []
        for key, stored in self._store.iterate("rollback", prefix):
            if isinstance(stored.value, RollbackRecord):
                record = stored.value.by_clock(now)
                if record != stored.value:
                    with contextlib.suppress(VersionConflict):
                        self._store.put("rollback", key, record, expected=stored.version)
                found.append(attrs.evolve(record, at=record.counted_from or record.at))
        return found

    def _turn(self, planned: PlannedUpdate, limits: Limits) -> Admittance | None:
        domain = failure_domain(planned.target_id)
        peers = self._under_way(domain)
        ahead = _ahead_of(planned.target_id, peers)
        if ahead >= limits.max_concurrent:
            return _refused("concurrency", f"{ahead} updates are under way in {domain}", None)
        if limits.replica_of and ahead and self._is_behind_a_replica(planned, limits.replica_of, peers):
            message = f"another replica of {limits.replica_of} is being updated"
            return _refused("concurrency", message, None)
        return None

    def _is_behind_a_replica(
        self, planned: PlannedUpdate, replica_of: str, peers: list[OperationPlanned]
    ) -> bool:
        replicas = [
            opened
            for opened in peers
            if opened.target_id == planned.target_id
            or self._limits_of(opened.planned).replica_of == replica_of
        ]
        return _ahead_of(planned.target_id, replicas) > 0

    def _under_way(self, domain: str | None = None) -> list[OperationPlanned]:
        """The operations that somebody works on or should, oldest first; of one failure domain, or all."""
        return [
            opened
            for opened in self._store.unfinished()
            if domain in (None, failure_domain(opened.target_id)) and not self._is_parked(opened)
        ]

    def _is_parked(self, opened: OperationPlanned) -> bool:
        """Whether it waits for a person; what waits for a person holds nobody else up."""
        said = [
            entry.event
            for entry in self._store.load(opened.operation_id)
            if isinstance(entry.event, VerdictReached | Finished | Resolved)
        ]
        match said[-1:]:
            case [Finished()] | [VerdictReached(verdict=Verdict.HOLD)]:
                return True
            case _:
                return False


def _is_automatic(record: RollbackRecord, since: datetime, now: datetime) -> bool:
    """Whether a rollback happened by itself in that time; one that a person wished is in no budget."""
    return record.blame is not Blame.REQUEST and since < record.at <= now


def _always(limits: Limits) -> Callable[[PlannedUpdate], Limits]:
    return lambda _: limits


_ADMITTED = Admittance(admitted=True)


def _refused(code: str, message: str, until: datetime | None) -> Admittance:
    return Admittance(admitted=False, code=code, message=message, until=until)


def _ahead_of(target_id: str, peers: list[OperationPlanned]) -> int:
    targets = [opened.target_id for opened in peers]
    return targets.index(target_id) if target_id in targets else len(targets)


def failure_domain(target_id: str) -> str:
    """What fails together with a target: its host, its namespace, or its release."""
    parts = AssetId.parse(target_id)
    base = f"{parts.scheme}://{parts.host}"
    return f"{base}/{parts.namespace}" if parts.namespace else base
