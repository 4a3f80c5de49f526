"""Telling an update to somebody who watches: one line for every thing that matters, as it becomes durable."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from rich.console import Console
from rich.text import Text

from safeupdater.cli.tables import target_name
from safeupdater.cli.text import clean
from safeupdater.domain.notice import AlertRaised, Notice
from safeupdater.domain.operation import (
    BecameReady,
    Blame,
    Finished,
    JournalEntry,
    OperationPlanned,
    Outcome,
    Phase,
    PreflightPassed,
    Resumed,
    SnapshotCaptured,
    StepDone,
    StepFailed,
    Verdict,
    VerdictReached,
)

_Line = tuple[str, str, str]
_MARGIN = 11

_ENDS: Mapping[Outcome, tuple[str, str, str]] = {
    Outcome.SUCCEEDED: ("✓", "bold green", "done: the new version runs and was watched"),
    Outcome.ROLLED_BACK: ("↶", "bold yellow", "rolled back: the old version runs again"),
    Outcome.ROLLBACK_FAILED: ("✗", "bold red", "the way back failed: somebody must look"),
}


class Storyteller:
    """An observer that prints what happens to a console, with the time since each operation began.

    Where operations go on side by side, each line says whose it is.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._began: dict[str, datetime] = {}
        self._going_back: set[str] = set()
        self._latest: str | None = None

    def notify(self, happening: JournalEntry | Notice) -> None:
        """Prints one journal entry, if it is worth a line."""
        if isinstance(happening, JournalEntry):
            self._tell(happening)
        elif isinstance(happening, AlertRaised):
            message = f"alert ({happening.severity}): {happening.remedy}"
            self._print("!", "yellow", f"{self._whose(happening.target_id)}{message}")

    def _tell(self, entry: JournalEntry) -> None:
        if entry.operation_id not in self._began:
            self._begin(entry)
        if isinstance(entry.event, PreflightPassed):
            # Now, while nothing is touched: what gets lost is told too late once it is lost.
            for warning in entry.event.warnings:
                self._print("!", "yellow", f"{self._whose(entry.target_id)}{warning}")
        line = self._line(entry)
        if line is not None:
            mark, style, message = line
            since_s = (entry.at - self._began[entry.operation_id]).total_seconds()
            self._print(mark, style, f"{self._whose(entry.target_id)}{message}", at_s=since_s)
        if isinstance(entry.event, Finished):
            self._began.pop(entry.operation_id, None)
            self._going_back.discard(entry.operation_id)

    def _begin(self, entry: JournalEntry) -> None:
        """Names an operation that is new, or that is taken up again."""
        if not self._began:
            self._console.print()
        self._began[entry.operation_id] = entry.at
        changes = entry.event.changes if isinstance(entry.event, OperationPlanned) else ()
        steps = ", ".join(str(change) for change in changes)
        name = clean(target_name(entry.target_id))
        self._console.print(Text.assemble((name, "bold"), f"  {clean(steps)}" if steps else ""))
        self._latest = entry.target_id

    def _whose(self, target_id: str | None) -> str:
        """The name, where the lines before do not say it already."""
        is_clear = len(self._began) < 2 and target_id == self._latest
        self._latest = target_id
        return f"{target_name(target_id)}: " if target_id and not is_clear else ""

    def _print(self, mark: str, style: str, message: str, *, at_s: float | None = None) -> None:
        since = "" if at_s is None else f"{at_s:.0f} s"
        head = Text.assemble((f"{since:>7}  ", "dim"), (mark, style), " ")
        body = Text(clean(message), style=style if style.startswith("bold") else "")
        for index, line in enumerate(body.wrap(self._console, max(self._console.width - _MARGIN, 20))):
            self._console.print(Text.assemble(" " * _MARGIN if index else head, line), soft_wrap=True)

    def _line(self, entry: JournalEntry) -> _Line | None:
        match entry.event:
            case SnapshotCaptured():
                return "✓", "green", "everything needed to go back is stored, before anything is touched"
            case StepDone(phase=phase, step=step):
                return ("✓", "green", _did(phase, step)) if _did(phase, step) else None
            case StepFailed(message=message):
                return "✗", "red", message
            case BecameReady(evidence=evidence):
                if entry.operation_id in self._going_back:
                    return "✓", "green", f"the old version is up ({evidence or 'running'})"
                return "✓", "green", f"ready ({evidence or 'running'}); now it is watched"
            case VerdictReached(verdict=Verdict.COMMIT, message=message):
                return "✓", "green", f"healthy: {message}"
            case VerdictReached(message=message, blame=blame):
                self._going_back.add(entry.operation_id)
                return "✗", "red", f"{_BLAMED.get(blame, 'going back')}: {message}"
            case Resumed():
                return "↻", "yellow", "taken up again after an interruption"
            case Finished(outcome=outcome, message=message):
                return _ENDS.get(outcome, ("✗", "bold red", f"{outcome}: {message}"))
            case _:
                return None


_BLAMED: Mapping[Blame, str] = {Blame.RELEASE: "bad release", Blame.REQUEST: "going back as asked"}

_DID: Mapping[tuple[Phase, str], str] = {
    # the in-memory world's steps
    (Phase.STAGING, "pull"): "new image pulled by digest, while the old version runs on",
    (Phase.STAGING, "create"): "new container made beside the old one, stopped",
    (Phase.SWITCHING, "park"): "old container stopped and parked, not removed",
    (Phase.SWITCHING, "start"): "new container started under the name",
    (Phase.COMMITTING, "remove_old"): "old container removed",
    (Phase.RESTORING, "demote"): "bad container stopped and moved out of the way",
    (Phase.RESTORING, "start_old"): "old container started again",
    # Docker's
    (Phase.STAGING, "create_candidate"): "new container made beside the old one, stopped",
    (Phase.STAGING, "compare_candidate"): "new container compared with the old one: nothing is lost",
    (Phase.SWITCHING, "park_old"): "old container stopped and parked, not removed",
    (Phase.SWITCHING, "start_new"): "new container started under the name",
    (Phase.RESTORING, "stop_new"): "bad container stopped",
}


def _did(phase: Phase, step: str) -> str:
    return _DID.get((phase, step), "")
