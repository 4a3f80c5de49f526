"""Live progress on a terminal: what is durable scrolls by, what is under way is one line per operation."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

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
        # Reentrant: a signal handler that prints in the middle of ``take`` draws the board too.
        self._lock = threading.RLock()

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
def shown(session: Session, updater: Updater, console: Console | None = None) -> Iterator[None]:
    """Shows progress while the body runs, where the console (stderr by default) is a terminal."""
    console = console or session.err
    if session.options.quiet or not console.is_terminal:
        yield
        return
    board = Board()
    updater.executor.on_progress(board.take)
    with Live(board, console=console, transient=True, refresh_per_second=8):
        try:
            yield
        finally:
            updater.executor.on_progress(None)
