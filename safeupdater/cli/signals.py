"""Signals: the first asks for an orderly end, the second gets one at once."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType

from rich.console import Console
from rich.text import Text

from safeupdater.cli.exits import Exit
from safeupdater.cli.session import Session
from safeupdater.update.updater import Updater

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Drain:
    """Turns the first SIGINT or SIGTERM into ``stop``; a second SIGINT ends the process at once."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._updater: Updater | None = None
        self.requested = False

    def serve(self, updater: Updater | None) -> None:
        """Names the updater that is to be stopped."""
        self._updater = updater
        if updater is not None and self.requested:
            updater.stop()

    def is_requested(self) -> bool:
        """Whether somebody asked to stop."""
        return self.requested

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """The signal handler."""
        if self.requested and number == signal.SIGINT:
            # Whatever is under way is journaled: being killed here is what recovery is made for.
            sys.stdout.flush()
            _leave()
        first, self.requested = not self.requested, True
        if self._updater is not None:
            self._updater.stop()
        if first:
            self._console.print(
                Text("stopping: what is under way is brought to a safe point (Ctrl-C again: at once)")
            )


def _leave() -> None:
    os._exit(Exit.INTERRUPTED)


@contextlib.contextmanager
def draining(session: Session) -> Iterator[Drain]:
    """Handles signals while the body runs; nothing is handled outside the main thread."""
    drain = Drain(session.err)
    if threading.current_thread() is not threading.main_thread():
        yield drain
        return
    before = {number: signal.signal(number, drain) for number in _SIGNALS}
    try:
        yield drain
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Lets a signal interrupt the body, as is natural where somebody is asked and nothing is under way."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, signal.default_int_handler) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
