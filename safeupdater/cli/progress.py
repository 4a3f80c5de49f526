"""Live progress on a terminal: what is durable scrolls by, what is under way is one line per operation."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from safeupdater.cli.session import Session
from safeupdater.cli.tables import target_name
from safeupdater.cli.text import clean, shortened, size
from safeupdater.domain.health import Tally
from safeupdater.update.executor import Progressed
from safeupdater.update.updater import Updater

_ENDED = frozenset(
    {"succeeded", "aborted", "rolledback", "rollbackfailed", "held", "superseded", "targetgone"}
)

_LONGEST_NAME = 30


class Board:
    """The operations under way, as lines that are drawn anew several times a second."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._latest: dict[str, Progressed] = {}
        self._since_s: dict[str, float] = {}
        # Reentrant: a signal handler that prints in the middle of ``take`` draws the board too.
        self._lock = threading.RLock()

    def take(self, progressed: Progressed) -> None:
        """Takes in how one operation is getting on."""
        key = progressed.operation_id
        with self._lock:
            if progressed.state in _ENDED:
                self._latest.pop(key, None)
                return
            before = self._latest.get(key)
            if before is None or before.state != progressed.state:
                self._since_s[key] = self._monotonic()
            self._latest[key] = progressed

    def lines(self) -> list[Text]:
        """One line for each operation."""
        with self._lock:
            now_s = self._monotonic()
            return [described(item, now_s - self._since_s[key]) for key, item in self._latest.items()]

    def __rich__(self) -> Table:
        made = Table.grid(padding=(0, 1))
        for line in self.lines():
            made.add_row(Spinner("dots", style="cyan"), line)
        return made


def described(progressed: Progressed, for_s: float) -> Text:
    """One operation in one line: what it has been doing for how long, how many bytes, how the probes went."""
    parts = [shortened(target_name(progressed.target_id), _LONGEST_NAME), f"{progressed.state} {for_s:.0f} s"]
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
