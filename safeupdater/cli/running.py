"""``run``: the whole job again and again, as a service does it."""

from __future__ import annotations

import click

from safeupdater.cli.applying import recover_first, show_results
from safeupdater.cli.exits import Exit, exit_of
from safeupdater.cli.notices import observers_of
from safeupdater.cli.options import Command
from safeupdater.cli.progress import shown
from safeupdater.cli.returning import DURATION
from safeupdater.cli.scanning import looked_up, scanned
from safeupdater.cli.session import Session
from safeupdater.cli.signals import Drain, draining
from safeupdater.cli.text import counted
from safeupdater.domain.plan import Plan
from safeupdater.errors import SafeUpdaterError
from safeupdater.protocols import Observer
from safeupdater.update.result import OperationResult

_SHORTEST_S = 1.0


@click.command("run", cls=Command)
@click.option(
    "--every", "every_s", type=DURATION, default="1h", show_default=True, help="From one round to the next."
)
@click.option("--once", is_flag=True, help="One round, then exit with its code.")
@click.pass_obj
def run_command(session: Session, every_s: float, once: bool) -> int:
    """Recover, scan, plan and apply, again and again.

    SIGTERM or Ctrl-C lets what is under way come to a safe point; a second Ctrl-C exits at once.
    """
    if every_s < _SHORTEST_S:
        raise click.UsageError("--every needs at least one second, such as 1h")
    session.policy()  # a policy that cannot be used is said at once, not every hour
    with draining(session) as drain, observers_of(session) as observers:
        if once:
            return exit_of(_round(session, drain, observers))
        return _rounds(session, drain, observers, every_s)


def _rounds(session: Session, drain: Drain, observers: tuple[Observer, ...], every_s: float) -> int:
    clock = session.world.clock
    code = Exit.DONE
    while not drain.requested:
        began_s = clock.monotonic()
        try:
            code = exit_of(_round(session, drain, observers))
        except SafeUpdaterError as error:
            # A daemon or registry that is away now may be back in the next round.
            session.complain(f"this round failed: {error}")
        clock.wait(max(every_s - (clock.monotonic() - began_s), _SHORTEST_S), drain.is_requested)
    return Exit.INTERRUPTED if code is Exit.INTERRUPTED else Exit.DONE


def _round(session: Session, drain: Drain, observers: tuple[Observer, ...]) -> tuple[OperationResult, ...]:
    """One round with a fresh look at policy, runtimes and state."""
    with session.updater(observers=observers) as updater:
        drain.serve(updater)
        try:
            results = recover_first(session, updater)
            if drain.requested:
                return results
            scanned(session, updater)
            plan = looked_up(session, updater)
            with shown(session, updater):
                results += updater.apply(plan)
        finally:
            drain.serve(None)
    _report(session, plan, results)
    return results


def _report(session: Session, plan: Plan, results: tuple[OperationResult, ...]) -> None:
    show_results(session, results, plan)
    rejected = len(plan.updates) - len(plan.approved) - len(plan.waiting)
    session.say(
        f"{session.world.clock.now():%Y-%m-%d %H:%M:%S}Z  {counted(len(results), 'operation')}, "
        f"{len(plan.waiting)} waiting, {rejected} rejected, {len(plan.current)} current, "
        f"{len(plan.unknown)} unknown",
        "dim",
    )
