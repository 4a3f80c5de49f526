"""What gates decide on: a change, what is known about it, and the time."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType

import attrs

from safeupdater.domain.asset import Asset
from safeupdater.domain.change import Change
from safeupdater.domain.decision import Verdict
from safeupdater.domain.quick import quick


def _frozen(value: Mapping[str, object]) -> Mapping[str, object]:
    return MappingProxyType(dict(value))


@attrs.frozen(kw_only=True)
class Facts:
    """What is known about a candidate. None is unknown, and unknown is never good.

    ``published_at`` is when the new version was published, ``first_seen`` when we first saw it;
    ``owner`` names who manages the asset, ``""`` for nobody. ``quarantined`` gives the reason why this
    (asset, digest) is not tried again, None where it is not in quarantine; ``clock_skew_s`` is how far the
    registry's clock is ahead of ours, in seconds. ``extra`` holds what further
    fact sources provide, by name.
    """

    published_at: datetime | None = None
    first_seen: datetime | None = None
    owner: str | None = None
    quarantined: str | None = None
    clock_skew_s: float | None = None
    extra: Mapping[str, object] = attrs.field(factory=dict, converter=_frozen, hash=False)

    def with_facts(self, found: Mapping[str, object]) -> Facts:
        """These facts and the found ones; a found None changes nothing."""
        known = {name: value for name, value in found.items() if value is not None}
        own = {name: known.pop(name) for name in tuple(known) if name in _OWN_FACTS}
        if not own and not known:
            return self
        return attrs.evolve(self, **own, extra={**self.extra, **known})  # type: ignore[arg-type]


_OWN_FACTS = frozenset({"published_at", "first_seen", "owner", "quarantined", "clock_skew_s"})


@quick
@attrs.frozen(kw_only=True)
class Candidate:
    """One change put before the gates. ``now`` is None where no time is given: time gates then defer.

    ``consent`` is the strictest verdict that a person's approval lifts (``review_required`` for one given
    in bulk, else ``manual_approval``), None where nobody approved. It lifts what single gates say, never
    a deferral or a rejection; ``consented_at`` is when it was given.
    """

    asset: Asset
    change: Change
    now: datetime | None = None
    facts: Facts = Facts()
    consent: Verdict | None = None
    consented_at: datetime | None = None

    def lifts(self, verdict: Verdict) -> bool:
        """Whether the approval that was given turns this verdict of a single gate into approve."""
        return self.consent is not None and Verdict.REVIEW_REQUIRED <= verdict <= self.consent
