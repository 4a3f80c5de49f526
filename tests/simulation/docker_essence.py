"""What a death leaves, without what makes no difference to the life that takes it up."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import attrs

from safeupdater.domain.operation import AbortRequested, Event, Resumed, VerdictReached
from safeupdater.update.machine import evolve, is_ended, is_parked, replay
from tests.simulation.docker_life import Moment

# Words are passed on and read by people only; times are those of a process that is gone; how an operation
# was opened is the same in all runs of a scenario.
_WITHOUT_CONSEQUENCE = frozenset({"opened", "message", "detail", "evidence", "by", "reason", "leftovers"})


def essence(moment: Moment) -> Hashable:
    """What decides how it goes on from here: the daemon, the state that the journal leads to once it is taken
    up, and which records there are. Two moments with the same essence are lived on in the same way."""
    journals: dict[str, list[Event]] = {}
    records: set[tuple[str, str]] = set()
    for change in moment.written:
        match change.method:
            case "append":
                operation_id, events = change.arguments
                journals.setdefault(operation_id, []).extend(events)
            case "put":
                records.add(change.arguments[:2])
            case "delete":
                records.discard(change.arguments[:2])
    return (
        moment.daemon, moment.restarted, moment.pruned, moment.collecting, frozenset(records),
        tuple(_journal(events) for events in journals.values()),
    )  # fmt: skip


def _journal(events: list[Event]) -> Hashable:
    state = replay(events)
    if not (is_ended(state) or is_parked(state)):
        state = evolve(state, Resumed(by="", epoch=0))
    kinds = [type(event) for event in events if isinstance(event, AbortRequested | VerdictReached)]
    return _plain(state), kinds[:1] == [AbortRequested]


def _plain(value: Any) -> Hashable:
    if not attrs.has(type(value)):
        return value  # type: ignore[no-any-return]
    fields = (field.name for field in attrs.fields(type(value)) if field.name not in _WITHOUT_CONSEQUENCE)
    return type(value).__name__, *(_plain(getattr(value, name)) for name in fields)
