"""Live progress on a terminal: what is durable scrolls by, what is under way is one line per operation."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType

from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from safeupdater.cli.exits import Exit
from safeupdater.cli.session import Session
from safeupdater.cli.tables import target_name
from safeupdater.cli.text import clean, size
from safeupdater.domain.health import Tally
from safeupdater.update.executor import Progressed
from safeupdater.update.updater import Updater

_ENDED = frozenset(
    {"succeeded", "aborted", "rolledback", "rollbackfailed", "held", "superseded", "targetgone"}
)


class Board:
    """The operations under way, as lines that are drawn anew whenever something happens."""

    def __init__(self) -> None:
        self._lines: dict[str, Text] = {}
        self._lock = threading.Lock()

    def take(self, progressed: Progressed) -> None:
        """Takes in how one operation is getting on."""
        with self._lock:
            if progressed.state in _ENDED:
                self._lines.pop(progressed.operation_id, None)
            else:
                self._lines[progressed.operation_id] = described(progressed)

    def __rich__(self) -> Table:
        with self._lock:
            lines = list(self._lines.values())
        made = Table.grid(padding=(0, 1))
        for line in lines:
            made.add_row(Spinner("dots", style="cyan"), line)
        return made


def described(progressed: Progressed) -> Text:
    """One operation in one line: what it is doing, how many bytes, how the probes went."""
    parts = [target_name(progressed.target_id), progressed.state]
    if progressed.step:
        parts.append(progressed.step.replace("_", " "))
    if progressed.progress is not None:
        parts.append(_amount(progressed))
    elif progressed.state == "watching":
        parts.append(_probes(progressed.tally))
    return Text(clean("  ".join(part for part in parts if part)), no_wrap=True, overflow="ellipsis")


def _amount(progressed: Progressed) -> str:
    step = progressed.progress
    assert step is not None
    if step.unit != "bytes":
        return step.message or (f"{step.done} of {step.total} {step.unit}" if step.total else "")
    return f"{size(step.done)} of {size(step.total)}" if step.total else size(step.done)


def _probes(tally: Tally) -> str:
    void = f", {tally.void} void" if tally.void else ""
    return f"probes: {tally.ok} good, {tally.failed} bad{void}"


@contextlib.contextmanager
def shown(session: Session, updater: Updater) -> Iterator[None]:
    """Shows progress on stderr while the body runs, where stderr is a terminal."""
    if session.options.quiet or not session.err.is_terminal:
        yield
        return
    board = Board()
    updater.executor.on_progress(board.take)
    with Live(board, console=session.err, transient=True, refresh_per_second=8):
        try:
            yield
        finally:
            updater.executor.on_progress(None)


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
    import os

    os._exit(Exit.INTERRUPTED)


@contextlib.contextmanager
def draining(session: Session) -> Iterator[Drain]:
    """Handles signals while the body runs; nothing is handled outside the main thread."""
    drain = Drain(session.err)
    if threading.current_thread() is not threading.main_thread():
        yield drain
        return
    before = {number: signal.signal(number, drain) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield drain
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
