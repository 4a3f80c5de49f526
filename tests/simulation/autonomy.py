"""What updates may do by themselves (I9), kept apart from the records by which the engine bounds them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs

from safeupdater.domain.operation import Blame, Finished, OperationPlanned, Outcome, Resolved, Verdict
from safeupdater.update.quarantine import bits_of

_DAY_S = 86_400.0
_HOUR_S = 3_600.0
_WENT_BACK = frozenset({Outcome.ROLLED_BACK, Outcome.ROLLBACK_FAILED})


@attrs.frozen(kw_only=True)
class Return:
    """A rollback that nobody asked for, by the clock that never jumps."""

    operation_id: str
    target_id: str
    bits: frozenset[str]
    blame: Blame
    at_s: float


@attrs.define
class Autonomy:
    """Every automatic rollback of a run, and what follows from them."""

    returns: list[Return] = attrs.Factory(list)
    taken_back: set[tuple[str, frozenset[str]]] = attrs.Factory(set)
    """What people took back while it was held: the target, and the bits."""

    def ended(self, events: Sequence[Any], verdicts: Sequence[Any], now_s: float) -> None:
        """Remembers an operation that went back by itself."""
        opened, last = events[0], events[-1]
        went_back = isinstance(last, Finished) and last.outcome in _WENT_BACK
        is_decided = any(isinstance(event, Resolved) for event in events)
        if went_back and is_decided and verdicts[0].verdict is Verdict.HOLD:
            self.taken_back.add((opened.target_id, _bits(opened)))
            return
        by_itself = bool(verdicts) and verdicts[0].blame is not Blame.REQUEST
        if not (went_back and by_itself) or any(r.operation_id == opened.operation_id for r in self.returns):
            return
        self.returns.append(
            Return(
                operation_id=opened.operation_id, target_id=opened.target_id, bits=_bits(opened),
                blame=verdicts[0].blame, at_s=now_s,
            )
        )  # fmt: skip

    def forbids(self, opened: OperationPlanned, now_s: float) -> str:
        """Why an operation may not begin by itself now; empty where it may."""
        mine = [item for item in self.returns if item.target_id == opened.target_id]
        bits = _bits(opened)
        if any(target_id == opened.target_id and left & bits for target_id, left in self.taken_back):
            return "again with what somebody took back"
        if any(item.blame is Blame.RELEASE and item.bits & bits for item in mine):
            return "a second time with a digest that failed"
        if sum(item.blame is Blame.ENVIRONMENT and bool(item.bits & bits) for item in mine) >= 2:
            return "a third time with a digest that the surroundings failed twice"
        if sum(item.at_s > now_s - _DAY_S for item in mine) >= 2:
            return "after two rollbacks of the target within a day"
        if sum(item.at_s > now_s - _HOUR_S for item in self.returns) >= 3:
            return "after three rollbacks of all targets within an hour"
        return ""


def _bits(opened: OperationPlanned) -> frozenset[str]:
    return frozenset(bits_of(change.new) for change in opened.planned.changes)
