"""Which faults hit operations in which states, and which did not yet."""

from __future__ import annotations

from collections.abc import Set

from safeupdater.update.machine import TABLE
from safeupdater.update.states import Ended
from tests.simulation.faults import Fault

Pair = tuple[str, Fault]

STATES = tuple(dict.fromkeys(state.__name__ for state, _ in TABLE if not issubclass(state, Ended)))
"""Every state in which an operation can be found in the journal before it ends.

No pair of a state and a fault is unreachable: where an operation itself makes no call to a runtime (held,
deciding), what happens to its neighbour happens to the world that they share.
"""


def missing(hit: Set[Pair]) -> list[Pair]:
    """The pairs that were not hit."""
    return [(state, fault) for state in STATES for fault in Fault if (state, fault) not in hit]


def table(hit: Set[Pair]) -> str:
    """States by faults: ``x`` hit, ``?`` not."""
    widest = max(map(len, STATES))
    lines = [f"{'':<{widest}}  {'| ' * number}{fault.value}" for number, fault in enumerate(Fault)]
    for state in STATES:
        marks = " ".join("x" if (state, fault) in hit else "?" for fault in Fault)
        lines.append(f"{state:<{widest}}  {marks}")
    return "\n".join(lines)
