"""How long a version must have been out before it is taken."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import attrs

from safeupdater.domain.candidate import Candidate
from safeupdater.domain.decision import Decision, Reason, Verdict
from safeupdater.errors import ConfigurationError
from safeupdater.gates.combinators import Composable
from safeupdater.gates.reasons import says
from safeupdater.gates.timing import clock_skew, is_skewed, is_usable, no_time

# Reproducible builds stamp images with 1970 or 1980. No container image is older than containers.
_FIRST_IMAGES = datetime(2013, 3, 1, tzinfo=UTC)
_UNKNOWN = {"defer": Verdict.DEFER, "review": Verdict.REVIEW_REQUIRED, "reject": Verdict.REJECT}
_BASES = ("published", "first_seen")
_MAX_AGE_S = 10 * 366 * 86_400.0


def _check_age(instance: object, attribute: object, value: float) -> None:
    if not (math.isfinite(value) and 0 <= value <= _MAX_AGE_S):
        raise ConfigurationError(f"minimum_age: expected seconds from 0 to ten years, got {value}")


def _check_choice(instance: object, attribute: attrs.Attribute[str], value: str) -> None:
    choices = _BASES if attribute.name == "basis" else tuple(_UNKNOWN)
    if value not in choices:
        wanted = " or ".join(choices)
        raise ConfigurationError(f"minimum_age.{attribute.name}: expected {wanted}, got {value!a}")


@attrs.frozen
class MinimumAge(Composable):
    """Defers a version until it has been out for ``age_s`` seconds, so that others find its faults first.

    ``basis`` is ``published``, when the publisher says it came out (where unknown, when we first saw it),
    or ``first_seen``, which no publisher can forge. ``unknown`` says what an unknown age means: defer,
    review or reject; it is never old enough. A time in the future counts from then. Where the registry's
    clock is known and more than five minutes from ours, nobody knows any age; where it is not, ours is
    believed.
    """

    age_s: float = attrs.field(validator=_check_age)
    basis: str = attrs.field(default="published", kw_only=True, validator=_check_choice)
    unknown: str = attrs.field(default="defer", kw_only=True, validator=_check_choice)
    name: str = attrs.field(default="minimum_age", kw_only=True)

    needs: frozenset[str] = attrs.field(
        default=frozenset({"published_at", "first_seen", "clock_skew_s"}), init=False, repr=False, eq=False
    )

    def __call__(self, candidate: Candidate) -> Decision:
        """Defer with ``too_young``, ``age_unknown``, ``clock_skew`` or ``no_time``, or approve."""
        now = candidate.now
        if not is_usable(now):
            return no_time(self.name)
        if is_skewed(candidate.facts.clock_skew_s):
            return clock_skew(self.name)
        since = self._since(candidate)
        if since is None:
            message = "Nobody knows how long this version has been out"
            return says(self.name, _UNKNOWN[self.unknown], "age_unknown", message, policy=self._policy)
        if (now - since).total_seconds() >= self.age_s:
            message = f"It has been out for {_words(self.age_s)}"
            return says(self.name, Verdict.APPROVE, "old_enough", message, policy=self._policy)
        return self._too_young(since)

    @property
    def _policy(self) -> str:
        return f"minimum_age={_words(self.age_s)}"

    def _since(self, candidate: Candidate) -> datetime | None:
        facts = candidate.facts
        published = facts.published_at if self.basis == "published" else None
        if is_usable(published) and published >= _FIRST_IMAGES:
            return published
        # A clock that was set back to 1970 sees what is there now long before there were images.
        seen = facts.first_seen
        return seen if is_usable(seen) and seen >= _FIRST_IMAGES else None

    def _too_young(self, since: datetime) -> Decision:
        try:
            until = since + timedelta(seconds=self.age_s)
        except OverflowError:
            until = None
        reason = Reason(
            code="too_young",
            message=f"It has not been out for {_words(self.age_s)} yet",
            verdict=Verdict.DEFER,
            gate=self.name,
            policy=self._policy,
            until=until,
        )
        return Decision.because(reason)


_UNITS = (("d", 86_400), ("h", 3_600), ("m", 60))


def _words(seconds: float) -> str:
    """A duration as policies write it: ``3d``, ``12h``, ``90s``."""
    for unit, size in _UNITS:
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:.0f}{unit}"
    return f"{seconds:g}s"
