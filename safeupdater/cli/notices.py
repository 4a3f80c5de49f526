"""Who is told what happens while something is applied: who watches, the log, and a webhook."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator

from rich.logging import RichHandler

from safeupdater.cli.session import Session
from safeupdater.cli.story import Storyteller
from safeupdater.observers.logging import LoggingObserver
from safeupdater.observers.webhook import WebhookNotifier
from safeupdater.protocols import Observer

URL_VARIABLE = "SAFEUPDATER_WEBHOOK_URL"
SECRET_VARIABLE = "SAFEUPDATER_WEBHOOK_SECRET"  # noqa: S105 - the name of a variable


@contextlib.contextmanager
def observers_of(session: Session) -> Iterator[tuple[Observer, ...]]:
    """The observers of one run; what they still hold is delivered at its end."""
    with contextlib.ExitStack() as stack:
        observers: list[Observer] = []
        if session.options.verbose:
            observers.append(stack.enter_context(_logging(session)))
        elif not session.options.quiet:
            observers.append(Storyteller(session.err))
        url = session.world.environ.get(URL_VARIABLE)
        if url:
            notifier = WebhookNotifier(url, secret=session.world.environ.get(SECRET_VARIABLE))
            observers.append(stack.enter_context(notifier))
        yield tuple(observers)


@contextlib.contextmanager
def _logging(session: Session) -> Iterator[Observer]:
    """Every record of ours on stderr while the body runs."""
    logger = logging.getLogger("safeupdater")
    handler = RichHandler(console=session.err, show_path=False, markup=False, highlighter=None)
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield LoggingObserver(logger)
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)
