"""Who may begin: the concurrency limit, the budgets for rollbacks, and the breaker."""

from __future__ import annotations

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
from safeupdater.protocols import Admittance, StateStore
from safeupdater.update.accounts import cooldown_until

_DAY = timedelta(days=1)
_HOUR = timedelta(hours=1)


@attrs.frozen(kw_only=True)
class Limits:
    """How much may happen at once and by itself.

    ``max_concurrent`` counts operations per host, namespace and release; ``max_per_day`` and
    ``cooldown_s`` bound the rollbacks of one target; ``breaker_per_hour`` bounds those of all together.
    """

    max_concurrent: int = 1
    max_per_day: int = 2
    cooldown_s: float = 3600.0
    breaker_per_hour: int = 3


class LocalAdmission:
    """Admission by what one store remembers.

    Operations queue in the order in which they were opened, so two processes that open at the same time
    still run no more than ``max_concurrent`` of them side by side.
    """

    def __init__(
        self, store: StateStore, limits: Limits | Callable[[PlannedUpdate], Limits] | None = None
    ) -> None:
        self._store = store
        self._limits_of = limits if callable(limits) else _always(limits or Limits())

    def admit(self, planned: PlannedUpdate, now: datetime) -> Admittance:
        """Whether this update may begin now."""
        limits = self._limits_of(planned)
        return (
            self._breaker(limits, now)
            or self._budget(planned, limits, now)
            or self._turn(planned, limits)
            or _ADMITTED
        )

    def _breaker(self, limits: Limits, now: datetime) -> Admittance | None:
        recent = [item for item in self._rollbacks("", now) if _is_automatic(item, now - _HOUR, now)]
        if len(recent) < limits.breaker_per_hour:
            return None
        until = min(record.at for record in recent) + _HOUR
        return _refused("breaker_open", f"{len(recent)} updates were rolled back within an hour", until)

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
        """The remembered rollbacks; one from the future, which a wrong clock left behind, counts from now."""
        found = []
        for key, stored in self._store.iterate("rollback", prefix):
            record = stored.value
            if isinstance(record, RollbackRecord) and record.at > now:
                record = attrs.evolve(record, at=now)
                self._store.put("rollback", key, record)
            if isinstance(record, RollbackRecord):
                found.append(record)
        return found

    def _turn(self, planned: PlannedUpdate, limits: Limits) -> Admittance | None:
        domain = failure_domain(planned.target_id)
        peers = [
            opened
            for opened in self._store.unfinished()
            if failure_domain(opened.target_id) == domain and not self._is_parked(opened)
        ]
        ahead = _ahead_of(planned.target_id, peers)
        if ahead < limits.max_concurrent:
            return None
        return _refused("concurrency", f"{ahead} updates are under way in {domain}", None)

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
