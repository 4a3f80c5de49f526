"""What is stored: the kinds of records, the types of events, and the schema of each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import attrs

from safeupdater.domain.asset import Asset
from safeupdater.domain.operation import (
    AbortRequested,
    BecameReady,
    Breaker,
    Finished,
    FirstSeen,
    OperationPlanned,
    PreflightPassed,
    Quarantine,
    Resolved,
    Resumed,
    RollbackRecord,
    Snapshot,
    SnapshotCaptured,
    StepDone,
    StepFailed,
    StepIntended,
    VerdictReached,
)
from safeupdater.domain.plan import Approval, Plan
from safeupdater.domain.sighting import Listing, TagHistory
from safeupdater.errors import StoreError

Upcaster = Callable[[dict[str, Any]], dict[str, Any]]


@attrs.frozen(kw_only=True)
class Schema:
    """How one type is stored: its class and the version that is written now.

    ``upcasters[n]`` turns the fields of version n into those of version n + 1.
    """

    type: type
    version: int = 1
    upcasters: Mapping[int, Upcaster] = attrs.field(factory=dict)


SETTING = "setting"

KINDS: Mapping[str, type] = MappingProxyType(
    {
        "asset": Asset,
        "approval": Approval,
        "quarantine": Quarantine,
        "rollback": RollbackRecord,
        "breaker": Breaker,
        "plan": Plan,
        "snapshot": Snapshot,
        "first_seen": FirstSeen,
        "listing": Listing,
        "tag": TagHistory,
        SETTING: object,
    }
)
"""The kinds of records and the classes of their values; a ``setting`` is any plain JSON value."""

EVENTS: Mapping[str, type] = MappingProxyType(
    {
        "operation_planned": OperationPlanned,
        "preflight_passed": PreflightPassed,
        "snapshot_captured": SnapshotCaptured,
        "step_intended": StepIntended,
        "step_done": StepDone,
        "step_failed": StepFailed,
        "became_ready": BecameReady,
        "verdict_reached": VerdictReached,
        "abort_requested": AbortRequested,
        "resumed": Resumed,
        "resolved": Resolved,
        "finished": Finished,
    }
)
"""The types of journal events by the name under which they are stored."""

SCHEMAS: Mapping[str, Schema] = MappingProxyType(
    {name: Schema(type=type_) for name, type_ in {**KINDS, **EVENTS}.items() if name != SETTING}
)
"""The schema of every stored type."""

NAMES = {schema.type: name for name, schema in SCHEMAS.items()}


def kind_of(kind: str, value: object) -> None:
    """Checks that a value belongs to a kind of records.

    Raises:
        StoreError: there is no such kind, or the value is of another class.
    """
    wanted = KINDS.get(kind)
    if wanted is None:
        raise StoreError(f"{kind!a} is not a kind of record: {', '.join(KINDS)}", code="unknown_kind")
    if not isinstance(value, wanted):
        raise StoreError(
            f"a record of kind {kind} holds a {wanted.__name__}, not a {type(value).__name__}",
            code="not_storable",
        )
