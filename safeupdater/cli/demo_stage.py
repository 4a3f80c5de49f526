"""What a demonstration plays on."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from safeupdater.domain.operation import Outcome
from safeupdater.update.updater import Updater


@attrs.frozen(kw_only=True)
class Stage:
    """An updater over something that may be broken, where that is, and what is to come of it.

    ``outcomes`` are by container name; ``waits`` names the container whose update needs an approval.
    """

    updater: Updater
    place: str
    outcomes: Mapping[str, Outcome]
    waits: str
