"""``safeupdater demo``: the whole job in a few seconds, on something that nobody needs."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from safeupdater.cli.demo_docker import Unsuitable, docker_stage
from safeupdater.cli.demo_memory import memory_stage
from safeupdater.cli.demo_stage import Stage
from safeupdater.cli.exits import Exit
from safeupdater.cli.options import Command
from safeupdater.cli.progress import shown
from safeupdater.cli.session import Session
from safeupdater.cli.signals import draining, interruptible
from safeupdater.cli.story import Storyteller
from safeupdater.cli.text import artifact_text, clean_lines, plain
from safeupdater.domain.asset import Asset
from safeupdater.domain.plan import Plan
from safeupdater.update.result import OperationResult


@click.command(cls=Command)
@click.option("--in-memory", is_flag=True, help="Leave Docker out of it.")
@click.pass_obj
def demo(session: Session, in_memory: bool) -> int:
    """Show an update, a rollback and an approval.

    They happen to things of its own: three small containers on this machine's Docker
    daemon where that works, else a world in memory.
    """
    console = session.out
    try:
        with interruptible(), _stage(session, in_memory=in_memory) as stage:
            code = _play(stage, console, session)
    except KeyboardInterrupt:
        session.complain("interrupted; the demonstration has cleaned up")
        return Exit.INTERRUPTED
    console.print("Nothing of it is left: the demonstration has cleaned up.", style="dim")
    return code


@contextlib.contextmanager
def _stage(session: Session, *, in_memory: bool) -> Iterator[Stage]:
    """On Docker where that works, else in memory."""
    storyteller = Storyteller(session.out)
    with contextlib.ExitStack() as stack:
        stage = None
        if not in_memory:
            try:
                stage = stack.enter_context(docker_stage(storyteller, session.world.environ))
            except Unsuitable as reason:
                session.say(f"not on Docker: {reason}", "dim")
        yield stage or stack.enter_context(memory_stage(storyteller, is_watched=sys.stdout.isatty()))


def _play(stage: Stage, console: Console, session: Session) -> Exit:
    updater = stage.updater
    console.print(Text.assemble(("safeupdater demo", "bold"), f" on {stage.place}"))
    _heading(console, "1. What runs")
    console.print(_inventory(updater.scan().assets))
    _heading(console, "2. What is newer, and what the policy says")
    plan = updater.plan()
    console.print(Text(clean_lines(plan.explain())))
    _heading(console, "3. Applying what is approved")
    with draining(session, may_leave=False) as drain, shown(session, updater, session.out):
        drain.serve(updater)
        results = updater.apply(plan)
    if drain.requested:
        raise KeyboardInterrupt
    _heading(console, "4. What runs now, and what is left to do")
    updater.scan()
    console.print(_inventory(updater.inventory.assets()))
    console.print()
    again = updater.plan()
    console.print(Text(clean_lines(again.explain())))
    return _verdict(console, stage, results, again)


def _heading(console: Console, text: str) -> None:
    console.print()
    console.print(Text(text, style="bold cyan"))
    console.print()


def _inventory(assets: tuple[Asset, ...]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in ("container", "image", "status"):
        table.add_column(column, header_style="dim")
    for asset in assets:
        table.add_row(plain(asset.name), plain(artifact_text(asset.image)), plain(asset.status))
    return table


def _verdict(console: Console, stage: Stage, results: tuple[OperationResult, ...], again: Plan) -> Exit:
    """Says what was shown; a demonstration that went otherwise is a failure."""
    console.print()
    outcomes = {result.target_id.rpartition("/")[2]: result.outcome for result in results}
    waiting = [update.target_id.rpartition("/")[2] for update in again.waiting]
    if outcomes != stage.outcomes or waiting != [stage.waits]:
        console.print(
            Text(f"It should have gone otherwise: {outcomes}, waiting: {waiting}", style="bold red")
        )
        return Exit.FAILURE
    for mark, style, text in (
        ("✓", "green", "The good patch was applied, and watched before the old version was let go."),
        ("↶", "yellow", "The bad release was caught and rolled back; it will not be tried again."),
        ("…", "cyan", "The major version waits for somebody: safeupdater approve <target> --by <name>"),
    ):
        console.print(Text.assemble((mark, f"bold {style}"), f" {text}"))
    return Exit.DONE
