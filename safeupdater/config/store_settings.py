"""What the top level of a policy may set and a rule may not: it holds for the whole store."""

from __future__ import annotations

import attrs

from safeupdater.config.fields import duration
from safeupdater.config.kinds import whole
from safeupdater.config.sections import SectionKind, key
from safeupdater.domain.settings import JournalRetention

_LONGEST_S = 3650 * 86_400.0
_RETENTION = JournalRetention()


@attrs.frozen(kw_only=True)
class Retention:
    """How long the past is kept."""

    journals: float = key(
        duration(0, _LONGEST_S),
        "How long the journal of an update is kept after its end, and an approval after it expired.",
        default=_RETENTION.keep_s,
    )
    keep_journals: int = key(
        whole(0, 10_000), "How many journals of each target stay, however old they are.",
        default=_RETENTION.keep_per_target,
    )  # fmt: skip
    plans: float = key(
        duration(0, _LONGEST_S), "How long a plan is kept; the latest stays.", default=_RETENTION.plans_s
    )

    def policy(self) -> JournalRetention:
        """The same as the core takes it."""
        return JournalRetention(keep_s=self.journals, keep_per_target=self.keep_journals, plans_s=self.plans)


@attrs.frozen(kw_only=True)
class StoreSettings:
    """Everything that only the top level may set."""

    retention: Retention = key(SectionKind(cls=Retention), "How long the past is kept.", default=Retention())


STORE_SETTINGS: SectionKind[StoreSettings] = SectionKind(cls=StoreSettings)
