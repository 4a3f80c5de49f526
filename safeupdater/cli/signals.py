"""Signals: the first asks for an orderly end, the second gets one at once."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType

from rich.console import Console
from rich.text import Text

from safeupdater.cli.exits import Exit
from safeupdater.cli.session import Session
from safeupdater.update.updater import Updater

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Drain:
    """Turns the first SIGINT or SIGTERM into ``stop``; a second SIGINT exits at once if it ``may_leave``."""

    def __init__(self, console: Console, *, may_leave: bool = True) -> None:
        self._console = console
        self._may_leave = may_leave
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
        if self.requested and number == signal.SIGINT and self._may_leave:
            # Whatever is under way is journaled: being killed here is what recovery is made for.
            sys.stdout.flush()
            _leave()
        first, self.requested = not self.requested, True
        if self._updater is not None:
            self._updater.stop()
        if first:
            hint = " (Ctrl-C again: at once)" if self._may_leave else ""
            self._console.print(Text(f"stopping: what is under way is brought to a safe point{hint}"))


def _leave() -> None:
    os._exit(Exit.INTERRUPTED)


@contextlib.contextmanager
def draining(session: Session, *, may_leave: bool = True) -> Iterator[Drain]:
    """Handles signals while the body runs; nothing is handled outside the main thread."""
    drain = Drain(session.err, may_leave=may_leave)
    with _handling(drain):
        yield drain


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Lets a signal interrupt the body, as is natural where somebody is asked and nothing is under way."""
    with _handling(signal.default_int_handler):
        yield


@contextlib.contextmanager
def deferred() -> Iterator[None]:
    """Holds a signal back until the body is done: for what is quick and must not be left half-done.

    Raises:
        KeyboardInterrupt: there was a signal meanwhile.
    """
    held: list[int] = []
    with _handling(lambda number, frame: held.append(number)):
        yield
    if held:
        raise KeyboardInterrupt


@contextlib.contextmanager
def _handling(handler: Callable[[int, FrameType | None], object]) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, handler) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, previous in before.items():
            signal.signal(number, previous)
