"""``scan`` and ``plan``: looking without touching."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import click
from rich.text import Text

from safeupdater.cli import documents, tables
from safeupdater.cli.ahead import previewed
from safeupdater.cli.exits import Exit
from safeupdater.cli.options import Command
from safeupdater.cli.session import Session
from safeupdater.cli.tables import target_name
from safeupdater.cli.text import clean_lines
from safeupdater.codec import plan_from_json, plan_to_json
from safeupdater.domain.decision import Verdict
from safeupdater.domain.plan import Plan, PlannedUpdate
from safeupdater.errors import ConfigurationError, ScanError
from safeupdater.update.preview import Preview
from safeupdater.update.updater import Updater

_MOST_PLAN_BYTES = 64 * 1024 * 1024


@click.command(cls=Command)
@click.pass_obj
def scan(session: Session) -> int:
    """Find what runs, and remember it."""
    with session.updater() as updater:
        problems = scanned(session, updater)
        assets = updater.inventory.assets()
        counts = updater.inventory.statistics()
    session.result(
        "Inventory",
        documents.inventory(assets, counts, problems),
        *((tables.inventory(assets), Text()) if assets else ()),
        tables.statistics(counts),
    )
    return Exit.DONE


@click.command(cls=Command)
@click.option(
    "--save", type=click.Path(dir_okay=False), metavar="FILE", help="Keep the plan for `apply --plan`."
)
@click.option("--exit-code", is_flag=True, help="Exit with 3 when updates are available.")
@click.option("--no-scan", is_flag=True, help="Plan on what the last scan saw.")
@click.pass_obj
def plan(session: Session, save: str | None, exit_code: bool, no_scan: bool) -> int:
    """Say what would be done, and why; nothing is changed."""
    with session.records() if no_scan else session.updater() as updater:
        if not no_scan:
            scanned(session, updater)
        planned = looked_up(session, updater)
    if save is not None:
        save_plan(planned, Path(save))
        session.say(f"saved: safeupdater apply --plan {save}")
    show_plan(session, planned)
    is_on_offer = bool(planned.approved or planned.waiting)  # what is rejected is nothing to act on
    return Exit.UPDATES_AVAILABLE if exit_code and is_on_offer else Exit.DONE


def scanned(session: Session, updater: Updater) -> tuple[str, ...]:
    """Scans, warns of what did not answer, and says so when nothing did.

    Raises:
        ScanError: no runtime answered.
    """
    with session.busy("looking at what runs"):
        seen = updater.scan()
    for problem in seen.problems:
        session.warn(problem)
    if updater.backends and not seen.finished:
        raise ScanError("; ".join(seen.problems), code="scan_failed")
    return seen.problems


def looked_up(session: Session, updater: Updater) -> Plan:
    """Makes the plan, which may take a while at slow registries."""
    with session.busy("looking for newer versions"):
        return updater.plan()


def show_plan(session: Session, planned: Plan, ahead: Sequence[Preview] = ()) -> None:
    """Gives a plan with what looking ahead found, and says how to go on."""
    lines = tuple(previewed(session, ahead))
    session.result(
        "Plan", documents.plan(planned, ahead), Text(clean_lines(planned.explain())),
        *((Text(),) if lines else ()), *lines,
    )  # fmt: skip
    if session.options.json:
        return
    if planned.approved:
        session.say("\nto carry out what is approved: safeupdater apply", "dim")
    waiting = [
        update
        for update in planned.waiting
        if update.decision.verdict in (Verdict.REVIEW_REQUIRED, Verdict.MANUAL_APPROVAL)
    ]
    if waiting:
        name = target_name(waiting[0].target_id)
        session.say(f"to approve what waits for you: safeupdater approve {name}", "dim")
    failed = [update for update in planned.updates if _is_in_quarantine(update)]
    if failed:
        name = target_name(failed[0].target_id)
        session.say(
            f"to let a release in quarantine be tried again: safeupdater quarantine allow {name}", "dim"
        )


def _is_in_quarantine(update: PlannedUpdate) -> bool:
    return any(reason.code == "quarantined" for reason in update.decision.reasons)


def save_plan(planned: Plan, path: Path) -> None:
    """Writes a plan file, whole or not at all.

    Raises:
        ConfigurationError: the file cannot be written.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.write_text(plan_to_json(planned), encoding="utf-8")
        beside.replace(path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise ConfigurationError(f"cannot write {path}: {os.strerror(error.errno or 0)}") from error


def load_plan(path: Path) -> Plan:
    """The plan in a file; its hashes are checked.

    Raises:
        ConfigurationError: the file cannot be read, or is no plan of ours.
    """
    try:
        with path.open("rb") as file:
            data = file.read(_MOST_PLAN_BYTES + 1)
        text = data.decode("utf-8")
    except OSError as error:
        raise ConfigurationError(f"cannot read {path}: {os.strerror(error.errno or 0)}") from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path} is not a plan: make one with safeupdater plan --save") from error
    if len(data) > _MOST_PLAN_BYTES:
        raise ConfigurationError(f"{path} is too large to be a plan")
    return plan_from_json(text)
