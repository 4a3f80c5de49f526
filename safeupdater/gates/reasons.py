"""How gates put their decisions into words."""

from __future__ import annotations

from functools import lru_cache

from safeupdater.domain.decision import Decision, Reason, Verdict


@lru_cache(maxsize=512)
@lru_cache(maxsize=512)
def says(
    gate: str, verdict: Verdict, code: str, message: str, *, policy: str = "", fatal: bool = False
) -> Decision:
    """The decision with one reason that holds whatever the time. Remembered, as most repeat."""
    return Decision.because(
        Reason(code=code, message=message, verdict=verdict, gate=gate, policy=policy, fatal=fatal)
    )


def shown(text: str) -> str:
    """A text that somebody else wrote, fit for a sentence: printable ASCII, at most 80 characters."""
    return ascii(text if len(text) <= 80 else text[:77] + "...")


def printable(text: str) -> str:
    """A sentence that somebody else wrote: what cannot be printed is escaped, at most 200 characters."""
    cut = text if len(text) <= 200 else text[:197] + "..."
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in cut
    )
