"""Which faults hit operations in which states, which did not yet, and which cannot."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set

from safeupdater.update.machine import TABLE
from safeupdater.update.states import Ended
from tests.simulation.faults import Fault

Pair = tuple[str, Fault]

STATES = tuple(dict.fromkeys(state.__name__ for state, _ in TABLE if not issubclass(state, Ended)))
"""Every state in which an operation can be found in the journal before it ends."""

NO_SUCH_PART: Mapping[str, str] = {
    "partial tag list (F21)": "tags are listed while planning, before an operation is opened; see planning",
    "webhook storm (F25)": "nothing receives webhooks yet",
}
"""Faults of the failure model that no state can meet, and why."""

UNREACHABLE: Mapping[Fault, tuple[frozenset[str], str]] = {
    Fault.NO_REGISTRY: (frozenset({"Staging"}), "only staging pulls, by digest, before anything is touched"),
    Fault.TARGET_FULL: (
        frozenset({"Staging", "Switching", "Restoring"}),
        "only pulling, making and starting a container takes room on the target",
    ),
    Fault.SILENT: (
        frozenset({"Switching", "Settling", "Watching", "Verifying", "Deciding", "Held", "RollbackFailed"}),
        "elsewhere nothing is looked at; there is no watch beside the looks that could be cut",
    ),
    Fault.RIVAL: (
        frozenset({"Pending", "Deciding", "Committing", "Verifying", "Discarding", "Held"}),
        "elsewhere no record is written that others write too (a snapshot is its operation's own, and a way "
        "back is given up in the journal first); another writer of the journal is who asks to stop",
    ),
}
"""Pairs that cannot be hit: a fault → the states that can meet it, and why no other can."""


def is_reachable(state: str, fault: Fault) -> bool:
    """Whether an operation in a state can meet a fault."""
    return fault not in UNREACHABLE or state in UNREACHABLE[fault][0]


def missing(hit: Set[Pair]) -> list[Pair]:
    """The pairs that can be hit and were not."""
    pairs = [(state, fault) for state in STATES for fault in Fault]
    return [pair for pair in pairs if pair not in hit and is_reachable(*pair)]


def table(hit: Set[Pair]) -> str:
    """States by faults: ``x`` hit, ``?`` not, ``-`` cannot be."""
    widest = max(map(len, STATES))
    lines = [f"{'':<{widest}}  {'| ' * number}{fault.value}" for number, fault in enumerate(Fault)]
    for state in STATES:
        marks = " ".join(_mark(state, fault, hit) for fault in Fault)
        lines.append(f"{state:<{widest}}  {marks}")
    return "\n".join(lines)


def _mark(state: str, fault: Fault, hit: Set[Pair]) -> str:
    if (state, fault) in hit:
        return "x"
    return "?" if is_reachable(state, fault) else "-"


def reasons() -> Iterator[str]:
    """Why the pairs that cannot be hit cannot be."""
    for fault, (states, why) in UNREACHABLE.items():
        others = ", ".join(state for state in STATES if state not in states)
        yield f"unreachable: {fault.value} × {others}: {why}"
    for name, why in NO_SUCH_PART.items():
        yield f"unreachable: {name} × every state: {why}"
