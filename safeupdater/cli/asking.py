"""``history``: what was done, and how it ended."""

from __future__ import annotations

import click
from rich.text import Text

from safeupdater.cli import documents, tables
from safeupdater.cli.exits import Exit
from safeupdater.cli.options import Command
from safeupdater.cli.session import Session
from safeupdater.cli.targets import find_asset


@click.command(cls=Command)
@click.argument("asset", required=False)
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="At most so many.")
@click.pass_obj
def history(session: Session, asset: str | None, limit: int) -> int:
    """Show finished updates, newest first: of one ASSET or of all."""
    with session.records(reading=True) as updater:
        inventory = updater.inventory
        assets = [find_asset(inventory, asset)] if asset else inventory.assets(include_removed=True)
    entries = [(item.id, record) for item in assets for record in item.update_history]
    entries.sort(key=lambda entry: entry[1].finished, reverse=True)
    del entries[limit:]
    shown = tables.history(entries) if entries else Text("nothing was updated yet")
    session.result("History", documents.history(entries), shown)
    return Exit.DONE
