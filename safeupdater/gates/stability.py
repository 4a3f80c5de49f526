"""Tags that move again and again: something is being worked on there."""

from __future__ import annotations

from datetime import datetime, timedelta

import attrs

from safeupdater.domain.candidate import Candidate
from safeupdater.domain.decision import Decision, Verdict
from safeupdater.gates.combinators import Composable
from safeupdater.gates.reasons import says
from safeupdater.gates.timing import is_usable

HISTORY = "digest_history"
"""The fact that it reads: when the tag was first seen to serve each of its digests, in turn."""
_WITHIN = timedelta(hours=24)
_MOVES = 3


@attrs.frozen
class TagStability(Composable):
    """Asks for a review where a tag served three digests within a day, one after the other.

    Whoever pushes a tag again and again has not finished; the next one may come in a minute.
    """

    name: str = attrs.field(default="tag_stability", kw_only=True)

    needs: frozenset[str] = attrs.field(default=frozenset({HISTORY}), init=False, repr=False, eq=False)

    def __call__(self, candidate: Candidate) -> Decision:
        """Review with ``tag_unstable``, or approve."""
        now, history = candidate.now, candidate.facts.extra.get(HISTORY)
        if not is_usable(now) or not isinstance(history, tuple):
            return _STABLE
        recent = [at for at in history if isinstance(at, datetime) and is_usable(at) and now - at < _WITHIN]
        if len(recent) < _MOVES:
            return _STABLE
        message = f"The tag served {len(recent)} digests within a day: wait until it settles"
        return says(self.name, Verdict.REVIEW_REQUIRED, "tag_unstable", message)


_STABLE = says("tag_stability", Verdict.APPROVE, "tag_stable", "The tag does not move again and again")
