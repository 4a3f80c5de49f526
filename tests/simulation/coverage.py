"""Which faults hit which states, which cannot, and which should have and did not."""

from __future__ import annotations

from collections.abc import Mapping, Set

from safeupdater.update.machine import TABLE
from safeupdater.update.states import Ended
from tests.simulation.faults import Fault

Pair = tuple[str, Fault]

STATES = tuple(dict.fromkeys(state.__name__ for state, _ in TABLE if not issubclass(state, Ended)))
"""Every state in which an operation can be found in the journal before it ends."""

RUNTIME_FAULTS = (Fault.RESTART, Fault.CONFLICT, Fault.TIMEOUT_BEFORE, Fault.TIMEOUT_AFTER)

UNREACHABLE: Mapping[Pair, str] = {
    ("Deciding", fault): "no call to the runtime is made: the next thing is to journal what was decided"
    for fault in RUNTIME_FAULTS
}


def missing(hit: Set[Pair]) -> list[Pair]:
    """The pairs that are reachable and were not hit."""
    pairs = ((state, fault) for state in STATES for fault in Fault)
    return [pair for pair in pairs if pair not in hit and pair not in UNREACHABLE]


def contradicted(hit: Set[Pair]) -> list[Pair]:
    """The pairs that were hit although they are listed as unreachable."""
    return [pair for pair in UNREACHABLE if pair in hit]


def table(hit: Set[Pair]) -> str:
    """States by faults: ``x`` hit, ``-`` unreachable, ``?`` missing; then the reasons."""
    widest = max(map(len, STATES))
    lines: list[str] = []
    for number, fault in enumerate(Fault):
        lines.append(f"{'':<{widest}}  {'| ' * number}{fault.value}")
    for state in STATES:
        marks = (_mark((state, fault), hit) for fault in Fault)
        lines.append(f"{state:<{widest}}  {' '.join(marks)}")
    lines += [f"unreachable: {state} × {fault.value}: {why}" for (state, fault), why in UNREACHABLE.items()]
    return "\n".join(lines)


def _mark(pair: Pair, hit: Set[Pair]) -> str:
    if pair in hit:
        return "x"
    return "-" if pair in UNREACHABLE else "?"
