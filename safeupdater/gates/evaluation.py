"""Asking one gate, whatever it does: the only place where gates are called."""

from __future__ import annotations

import attrs

from safeupdater.domain.candidate import Candidate
from safeupdater.domain.decision import Decision, Reason, Verdict
from safeupdater.domain.text import is_text
from safeupdater.gates.reasons import says
from safeupdater.protocols import Gate

# Comparing ranks is several times cheaper than comparing enum members.
RANK = {verdict: rank for rank, verdict in enumerate(Verdict)}
_VERDICTS = tuple(Verdict)


class Composition:
    """A gate made of gates: it adds their answers up without building a decision on each level."""

    __slots__ = ()

    def tally(self, candidate: Candidate, reasons: set[Reason]) -> int:
        """Adds the reasons of its gates and gives the rank of the verdict."""
        raise NotImplementedError


def evaluate(gate: Gate, candidate: Candidate) -> Decision:
    """What a gate decides on a candidate, whatever it does; the only place where gates are called.

    A gate that raises or answers with nonsense rejects fatally. An approval that was given lifts here,
    where single gates answer. The decision's change type is the candidate's.
    """
    reasons: set[Reason] = set()
    verdict = _VERDICTS[tally(gate, candidate, reasons)]
    return Decision(verdict=verdict, reasons=tuple(reasons), change_type=candidate.change.change_type)


def tally(gate: Gate, candidate: Candidate, reasons: set[Reason]) -> int:
    """Adds a gate's reasons and gives the rank of its verdict."""
    if isinstance(gate, Composition):
        return gate.tally(candidate, reasons)
    decision = _ask(gate, candidate)
    if candidate.consent is not None and candidate.lifts(decision.verdict):
        decision = _lifted(decision, candidate)
    reasons.update(decision.reasons)
    return RANK[decision.verdict]


def _ask(gate: Gate, candidate: Candidate) -> Decision:
    try:
        answer: object = gate(candidate)
    except Exception as error:  # noqa: BLE001 - a border: whatever a gate raises, the candidate is rejected
        # The text of an exception may hold a secret; its type does not.
        return _broken(gate, "gate_error", f"raised {type(error).__name__}")
    if not isinstance(answer, Decision):
        return _broken(gate, "gate_invalid", f"gave {type(answer).__name__} instead of a decision")
    problem = _problem_with(answer)
    return _broken(gate, "gate_invalid", problem) if problem else answer


def _problem_with(decision: Decision) -> str:
    """What makes a decision unusable; "" for a good one."""
    explained = False
    for reason in decision.reasons:
        if reason.fatal and decision.verdict is not Verdict.REJECT:
            return "gave a fatal reason without rejecting"
        if not all(map(is_text, (reason.code, reason.message, reason.gate, reason.policy))):
            return "gave a reason that is no text"
        explained = explained or reason.verdict is decision.verdict
    return "" if explained else "gave a verdict without a reason for it"


def _broken(gate: Gate, code: str, what: str) -> Decision:
    name = name_of(gate)
    return says(name, Verdict.REJECT, code, f"Gate {name} {what}", fatal=True)


def _lifted(decision: Decision, candidate: Candidate) -> Decision:
    reasons = tuple(
        attrs.evolve(reason, verdict=Verdict.APPROVE, message=f"{reason.message}: approved")
        if candidate.lifts(reason.verdict)
        else reason
        for reason in decision.reasons
    )
    # A gate may have weighed several reasons itself: a deferral behind the lifted verdict comes to light.
    strictest = RANK[decision.verdict]
    left = max((rank for reason in reasons if (rank := RANK[reason.verdict]) < strictest), default=0)
    return Decision(verdict=_VERDICTS[left], reasons=reasons, change_type=decision.change_type)


def name_of(gate: object) -> str:
    """What a gate is called, also one that cannot say so: printable ASCII, at most 80 characters."""
    try:
        name = getattr(gate, "name", None) or getattr(gate, "__name__", None) or type(gate).__name__
    except Exception:  # noqa: BLE001 - a border: a broken gate must still be named
        name = type(gate).__name__
    return str(name).encode("ascii", "backslashreplace").decode()[:80]
