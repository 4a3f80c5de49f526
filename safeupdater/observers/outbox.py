"""Sending what a journal tells, in its order, at least once, however long the receiver is away."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from safeupdater.domain.operation import JournalEntry
from safeupdater.errors import SafeUpdaterError
from safeupdater.observers.posting import Message
from safeupdater.update.cursor import JournalCursor

_LOG = logging.getLogger(__name__)
_LONGEST_S = 300.0
_LOOK_S = 30.0
"""How long an outcome that another process journaled may wait for its turn."""

MessageOf = Callable[[JournalEntry], Message | None]
"""The message that an entry is worth, if any; the same one each time that it is asked for."""
Send = Callable[[Message], str]
"""Sends a message: "" when it is done with, else why it has to be sent again."""


class Outbox:
    """A thread that reads the journal from where its cursor stands, and moves it on with what was sent.

    Nothing is held in memory but one page of entries, and nobody waits for the receiver: what it did not
    take stays in the journal and is tried again, after ``retry_s`` seconds at first and after five minutes
    at last. What other processes journal is found by looking every ``look_s`` seconds.
    ``place`` is what the receiver is called in the log.
    """

    def __init__(
        self,
        cursor: JournalCursor,
        message_of: MessageOf,
        send: Send,
        *,
        place: str,
        retry_s: float = 1.0,
        look_s: float = _LOOK_S,
    ) -> None:
        self._cursor = cursor
        self._message_of = message_of
        self._send = send
        self._place = place
        self._retry_s = retry_s
        self._look_s = look_s
        self._problem = ""
        self._news = threading.Event()
        self._closing = threading.Event()
        self._ended = False
        self._news.set()  # a run before this one may have left something
        self._worker = threading.Thread(target=self._work, name="safeupdater-outbox", daemon=True)
        self._worker.start()

    def wake(self) -> None:
        """Says that the journal has grown; never waits."""
        self._news.set()

    def close(self, wait_s: float = 10.0) -> None:
        """Sends what the journal holds by now, for at most that many seconds and while it is taken."""
        self._closing.set()
        self._news.set()
        self._worker.join(wait_s)
        self._ended = True
        if self._worker.is_alive() or self._problem:
            _LOG.warning("webhook %s: the next run sends the outcomes that were not delivered", self._place)

    def _work(self) -> None:
        delay_s = self._retry_s
        while not self._ended:
            self._news.clear()
            closing = self._closing.is_set()  # before the last look: nothing is appended after it
            problem = self._send_all()
            self._tell(problem)
            if closing:
                return
            if problem:
                self._closing.wait(delay_s)
                delay_s = min(2 * delay_s, _LONGEST_S)
            else:
                delay_s = self._retry_s
                self._news.wait(self._look_s)

    def _send_all(self) -> str:
        """Sends until nothing is new, or one message is not taken: then why."""
        try:
            while page := self._cursor.read():
                for entry in page:
                    message = self._message_of(entry)
                    problem = self._sent(message, entry) if message else ""
                    if problem:
                        return problem
                self._cursor.keep(page[-1].position)
        except SafeUpdaterError as error:
            return error.code
        except Exception as error:  # noqa: BLE001 - this thread's border: whatever it is, it is tried again
            return type(error).__name__
        return ""

    def _sent(self, message: Message, entry: JournalEntry) -> str:
        problem = "closed" if self._ended else self._send(message)
        if not problem:
            self._cursor.keep(entry.position)
        return problem

    def _tell(self, problem: str) -> None:
        """Logs the first of several equal problems, and that it is over."""
        if problem == self._problem:
            return
        if problem:
            _LOG.warning("webhook %s: outcomes wait until they can be sent: %s", self._place, problem)
        else:
            _LOG.info("webhook %s: outcomes are sent again", self._place)
        self._problem = problem
