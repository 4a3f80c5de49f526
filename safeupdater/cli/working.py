"""What every command that acts works with: an updater whose progress shows, and that can be told to stop."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from safeupdater.cli.notices import observers_of
from safeupdater.cli.session import Session
from safeupdater.cli.signals import Drain, draining
from safeupdater.update.updater import Updater


@contextlib.contextmanager
def working(session: Session) -> Iterator[tuple[Updater, Drain]]:
    """An updater on every runtime in reach, observed, and stopped by signals."""
    with (
        draining(session) as drain,
        observers_of(session) as observers,
        session.updater(observers=observers) as updater,
    ):
        drain.serve(updater)
        yield updater, drain
