"""Looking ahead: what updates would lose, bring along or be refused for, told before anybody consents."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.table import Table
from rich.text import Text

from safeupdater.cli.session import Session
from safeupdater.cli.tables import target_name
from safeupdater.cli.text import clean, counted
from safeupdater.domain.plan import Plan
from safeupdater.update.preview import Outlook, Preview
from safeupdater.update.updater import Updater

_MARKS = {Outlook.REFUSED: ("✗", "bold red", "would be refused"), Outlook.UNKNOWN: ("?", "yellow", "unknown")}


def looked_ahead(session: Session, updater: Updater, plan: Plan, count: int) -> tuple[Preview, ...]:
    """What carrying out a plan would meet; ``count`` is how many updates that is about."""
    with session.busy(f"looking ahead at {counted(count, 'update')}"):
        return updater.preview(plan)


def previewed(session: Session, ahead: Sequence[Preview]) -> Iterator[Table]:
    """A line for each warning, then for what nothing can be said of, then for what would be refused."""
    for preview in ahead:
        for warning in preview.warnings:
            yield _line(session, "!", "yellow", preview, warning)
    for outlook in (Outlook.UNKNOWN, Outlook.REFUSED):
        mark, style, word = _MARKS[outlook]
        for preview in ahead:
            if preview.outlook is outlook:
                yield _line(session, mark, style, preview, f"{word}: {preview.message or preview.code}")


def _line(session: Session, mark: str, style: str, preview: Preview, text: str) -> Table:
    """One line, or a few that are indented where the terminal is narrow."""
    line = Table.grid(padding=(0, 1, 0, 0))
    line.add_column(no_wrap=True)
    line.add_column(overflow="fold")
    told = clean(session.scrubber.text(f"{target_name(preview.target_id)}: {text}"))
    line.add_row(Text(mark, style), Text(told))
    return line
