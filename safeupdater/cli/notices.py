"""Who is told what happens while something is applied: who watches, the log, a webhook, and plugins."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator

from rich.text import Text

from safeupdater.cli.session import Session
from safeupdater.cli.story import Storyteller
from safeupdater.cli.text import clean_lines
from safeupdater.config.named import named_observer
from safeupdater.errors import SafeUpdaterError, border
from safeupdater.observers.logging import FieldsFormatter, LoggingObserver, ScrubbingFilter
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
            notifier = WebhookNotifier(url, secret=session.world.environ.get(SECRET_VARIABLE) or None)
            observers.append(stack.enter_context(notifier))
        observers += [stack.enter_context(_plugin(name, session)) for name in session.options.observers]
        yield tuple(observers)


@contextlib.contextmanager
def _plugin(name: str, session: Session) -> Iterator[Observer]:
    """A plugin, closed at the end where it can be; that it cannot be closed fails nothing."""
    observer = named_observer(name, session.world.environ)
    try:
        yield observer
    finally:
        try:
            with border(f"closing the observer {name}"):
                getattr(observer, "close", lambda: None)()
        except SafeUpdaterError as error:
            session.warn(str(error))


@contextlib.contextmanager
def _logging(session: Session) -> Iterator[Observer]:
    """Every record of ours on stderr while the body runs."""
    logger = logging.getLogger("safeupdater")
    handler = _Lines(session)
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield LoggingObserver(logger)
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)


class _Lines(logging.Handler):
    """Each record as one line on stderr, with its fields; never padded to the width of anything."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._console = session.err
        self.addFilter(ScrubbingFilter(session.scrubber))
        self.setFormatter(FieldsFormatter("%(asctime)s %(levelname)s %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        """See ``logging.Handler``."""
        try:
            self._console.print(Text(clean_lines(self.format(record))), soft_wrap=True)
        except Exception:  # noqa: BLE001 - what every handler does: logging never ends what it tells of
            self.handleError(record)
