"""What may be appended to an operation's journal: one rule for every store."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import pairwise
from typing import NamedTuple

import attrs

from safeupdater.domain.operation import (
    Event,
    Finished,
    JournalEntry,
    OperationPlanned,
    Outcome,
    Phase,
    StepDone,
    StepFailed,
    StepIntended,
    Verdict,
    VerdictReached,
)
from safeupdater.domain.quick import made
from safeupdater.domain.text import is_text
from safeupdater.errors import StoreError, VersionConflict

ENDS = frozenset(
    {
        Outcome.SUCCEEDED,
        Outcome.ABORTED,
        Outcome.ROLLED_BACK,
        Outcome.SUPERSEDED,
        Outcome.TARGET_GONE,
    }
)
"""The outcomes that end an operation and free its target. Held and failed ones keep it."""

_MAX_KEY = 1024


@attrs.frozen
class Head:
    """Where the journal of one operation stands."""

    target_id: str = ""
    version: int = 0
    is_open: bool = True


class Offer(NamedTuple):
    """Events that somebody wants to append, with everything that decides whether they may."""

    operation_id: str
    events: tuple[Event, ...]
    expected_version: int
    at: datetime
    epoch: int

    @property
    def version(self) -> int:
        """The version of the journal after it."""
        return self.expected_version + len(self.events)

    @property
    def opens(self) -> OperationPlanned | None:
        """The first event of a new operation; None for one that goes on."""
        first = self.events[0]
        return first if isinstance(first, OperationPlanned) else None

    def entries(self, target_id: str, position: int) -> list[JournalEntry]:
        """What the journal will hold, the first one at that position."""
        operation_id, events, expected_version, at, epoch = self
        return [
            JournalEntry(
                operation_id=operation_id, target_id=target_id, version=expected_version + number,
                position=position + number - 1, at=at, epoch=epoch, event=event,
            )
            for number, event in enumerate(events, start=1)
        ]  # fmt: skip

    def is_stored_as(self, stored: Sequence[JournalEntry]) -> bool:
        """Whether exactly this offer was stored before: its answer got lost and it is made again.

        An epoch has one holder, so equal events under it are the same offer. Without a lease two
        strangers may offer equal events, so the time must be equal as well.
        """
        return len(stored) == len(self.events) and all(
            entry.event == event and entry.epoch == self.epoch and (self.epoch or entry.at == self.at)
            for entry, event in zip(stored, self.events, strict=True)
        )


def is_end(event: Event) -> bool:
    """Whether an event ends its operation."""
    return isinstance(event, Finished) and event.outcome in ENDS


def is_way_back(event: Event) -> bool:
    """Whether an event leads an update back or ends it: what a store makes room for even on a full disk."""
    match event:
        case Finished():
            return True
        case VerdictReached(verdict=verdict):
            return verdict is Verdict.RESTORE
        case StepIntended(phase=phase) | StepDone(phase=phase) | StepFailed(phase=phase):
            return phase in (Phase.RESTORING, Phase.DISCARDING)
        case _:
            return False


def make_offer(
    operation_id: str, events: Sequence[Event], expected_version: int, at: datetime, epoch: int
) -> Offer:
    """An offer that is well formed in itself.

    Raises:
        ValueError: it has no events, no time zone, or its first event is not where it belongs.
    """
    events = tuple(events)
    if not events:
        raise ValueError("an append needs at least one event")
    if at.tzinfo is None:
        raise ValueError("an append needs a time with a time zone")
    first = events[0]
    opens = first if isinstance(first, OperationPlanned) else None
    if expected_version < 0 or (opens is not None) != (expected_version == 0):
        raise ValueError("an operation begins with OperationPlanned at expected version 0, and only there")
    if opens is not None and opens.operation_id != operation_id:
        raise ValueError(f"OperationPlanned is of {opens.operation_id}, not of {operation_id}")
    for before, event in pairwise(events) if len(events) > 1 else ():
        if isinstance(event, OperationPlanned):
            raise ValueError("OperationPlanned can only be the first event of an operation")
        if is_end(before):
            raise ValueError("nothing follows the end of an operation")
    return made(Offer, (operation_id, events, expected_version, at, epoch))


def check_version(head: Head | None, offer: Offer) -> None:
    """Refuses an offer that does not fit where the operation's journal stands.

    Raises:
        VersionConflict: ``operation_finished``, or the journal is at another version.
    """
    actual = head.version if head else 0
    if head is not None and not head.is_open:
        raise VersionConflict(
            f"operation {offer.operation_id} is finished: nothing can be added to its journal",
            code="operation_finished",
            version=actual,
        )
    if actual != offer.expected_version:
        raise VersionConflict(
            f"operation {offer.operation_id} is at version {actual}, not {offer.expected_version}: "
            "somebody else wrote first; reload it and decide again",
            version=actual,
        )


def operation_open(target_id: str, operation_id: str) -> VersionConflict:
    """The refusal of a second open operation for one target."""
    return VersionConflict(
        f"{target_id} has the open operation {operation_id}: finish, recover or resolve it first",
        code="operation_open",
        operation_id=operation_id,
    )


def check_pruning(before: datetime, keep_per_target: int) -> None:
    """Refuses what pruning cannot mean.

    Raises:
        ValueError: the time has no zone, or the count is negative.
    """
    if before.tzinfo is None or keep_per_target < 0:
        raise ValueError("pruning needs a time with a time zone, and a count from 0")


def outdated(ends: Iterable[JournalEntry], before: datetime, keep: int) -> list[JournalEntry]:
    """Of the last entries of one target's ended operations, those before a time but for the newest few."""
    newest_first = sorted(ends, key=lambda end: end.position, reverse=True)
    return [end for end in newest_first[keep:] if end.at < before]


def record_conflict(kind: str, key: str, actual: int, expected: int) -> VersionConflict:
    """The refusal to overwrite what somebody else wrote."""
    found = f"at version {actual}" if actual else "not there"
    return VersionConflict(
        f"the {kind} {key} is {found}, expected {f'version {expected}' if expected else 'none'}: "
        "somebody else wrote first; read it and decide again",
        version=actual,
    )


def require_key(key: str) -> None:
    """Refuses a key that not every store can hold.

    Raises:
        StoreError: it is empty, too long, or holds NUL or text that is not Unicode.
    """
    if not key or len(key) > _MAX_KEY or "\0" in key or not is_text(key):
        raise StoreError(
            f"a key has 1 to {_MAX_KEY} characters of Unicode text without NUL, got {ascii(key)[:60]}",
            code="invalid_key",
        )
