"""Exit codes, and which outcome leads to which."""

from __future__ import annotations

import enum
from collections.abc import Iterable

from safeupdater.domain.operation import Outcome
from safeupdater.update.result import OperationResult


class Exit(enum.IntEnum):
    """What the process tells its caller."""

    DONE = 0
    FAILURE = 1
    USAGE = 2
    UPDATES_AVAILABLE = 3
    BLOCKED = 4
    ROLLED_BACK = 5
    INTERRUPTED = 6


_EXIT_OF = {
    Outcome.SUCCEEDED: Exit.DONE,
    Outcome.ROLLED_BACK: Exit.ROLLED_BACK,
    Outcome.INTERRUPTED: Exit.INTERRUPTED,
    Outcome.REFUSED: Exit.BLOCKED,
}
# What a caller must hear first: something failed, something is unfinished, something went back, …
_ORDER = (Exit.FAILURE, Exit.INTERRUPTED, Exit.ROLLED_BACK, Exit.BLOCKED)


def exit_of(results: Iterable[OperationResult]) -> Exit:
    """The exit code for what became of some operations: that of the gravest."""
    codes = {_EXIT_OF.get(result.outcome, Exit.FAILURE) for result in results}
    return next((code for code in _ORDER if code in codes), Exit.DONE)
