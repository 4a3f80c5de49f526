"""``apply`` and ``approve``: what changes something, and who said that it may."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import attrs
import click
from rich.text import Text

from safeupdater.cli import documents, tables
from safeupdater.cli.ahead import looked_ahead, previewed
from safeupdater.cli.exits import Exit, exit_of
from safeupdater.cli.options import Command
from safeupdater.cli.progress import shown
from safeupdater.cli.scanning import load_plan, looked_up, scanned, show_plan
from safeupdater.cli.session import Session
from safeupdater.cli.signals import Drain, interruptible
from safeupdater.cli.tables import target_name
from safeupdater.cli.targets import find_asset
from safeupdater.cli.text import clean, counted, minute
from safeupdater.cli.working import working
from safeupdater.domain.decision import Verdict
from safeupdater.domain.plan import Approval, Plan, PlannedUpdate
from safeupdater.update.preview import Preview
from safeupdater.update.result import OperationResult
from safeupdater.update.updater import Updater

_SHORTEST_HASH = 8
_BUSY, _UNREACHED = "target_busy", "no_backend"


@click.command(cls=Command)
@click.argument("targets", nargs=-1)
@click.option("--plan", "file", type=click.Path(dir_okay=False), help="Apply a plan that was saved.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@click.pass_obj
def apply(session: Session, targets: tuple[str, ...], file: str | None, yes: bool, dry_run: bool) -> int:
    """Carry out what is approved.

    That is everything, some TARGETs, or a saved plan.

    What an earlier run left unfinished is recovered first.
    """
    saved = load_plan(Path(file)) if file else None
    with working(session) as (updater, drain):
        if dry_run:
            return _say_only(session, updater, drain, saved, targets)
        return _apply(session, updater, drain, saved, targets, yes=yes)


def _say_only(
    session: Session, updater: Updater, drain: Drain, saved: Plan | None, targets: Sequence[str]
) -> int:
    plan = _narrowed(updater, _planned(session, updater, saved), targets)
    ahead = looked_ahead(session, updater, plan, len(_ready(updater, plan)))
    if drain.requested:
        return Exit.INTERRUPTED
    show_plan(session, plan, ahead)
    return Exit.DONE


def _apply(
    session: Session,
    updater: Updater,
    drain: Drain,
    saved: Plan | None,
    targets: Sequence[str],
    *,
    yes: bool,
) -> int:
    recovered = recover_first(session, updater)
    plan = _narrowed(updater, _planned(session, updater, saved), targets)
    ready = _ready(updater, plan)
    if not ready or drain.requested:
        if not drain.requested:
            with shown(session, updater):
                updater.rollbacks.collect()
        return _nothing_ready(session, plan, recovered, drain, is_named=bool(targets))
    if not yes:
        session.require_somebody()
    ahead = () if yes else looked_ahead(session, updater, plan, len(ready))
    if drain.requested:
        return _nothing_ready(session, plan, recovered, drain, is_named=bool(targets))
    refused = {item.target_id: item for preview in ahead if (item := preview.refusal) is not None}
    left = [update for update in ready if update.target_id not in refused]
    if not (yes or _agreed(session, left, ahead)):
        session.say("nothing was changed")
        return Exit.INTERRUPTED
    with shown(session, updater):
        results = updater.apply(plan, targets=[update.target_id for update in left])
    everything = (*recovered, *refused.values(), *results)
    show_results(session, everything, plan)
    return exit_of(everything)


def recover_first(session: Session, updater: Updater) -> tuple[OperationResult, ...]:
    """Finishes what an earlier run left; what another updater is at is no result of ours.

    An operation half-way where no backend reaches is ours: the exit code says it, as ``recover`` does.
    """
    with shown(session, updater):
        found = updater.recover()
    ours = tuple(result for result in found if result.code != _BUSY)
    finished = [result for result in ours if result.code != _UNREACHED]
    if finished:
        session.say(f"recovered {counted(len(finished), 'unfinished operation')}")
    for result in found:
        until = f" (until {minute(result.until)})" if result.until is not None else ""
        left_alone = f"{target_name(result.target_id)} is left alone: {result.message}{until}"
        if result.code == _BUSY:
            session.say(left_alone, "dim")
        elif result.code == _UNREACHED:
            session.warn(
                f"{left_alone}, and nobody works on it: it was abandoned half-way; "
                "safeupdater recover goes on with it, with --backend for its host"
            )
    return ours


def _planned(session: Session, updater: Updater, saved: Plan | None) -> Plan:
    if saved is not None:
        return saved
    scanned(session, updater)
    return looked_up(session, updater)


def _narrowed(updater: Updater, plan: Plan, targets: Sequence[str]) -> Plan:
    """The part of a plan that is about some targets."""
    if not targets:
        return plan
    wanted = {find_asset(updater.inventory, text).target_id for text in targets}
    return attrs.evolve(
        plan,
        updates=tuple(update for update in plan.updates if update.target_id in wanted),
        current=tuple(item for item in plan.current if _is_of(item, wanted)),
        unknown=tuple(item for item in plan.unknown if _is_of(item.asset_id, wanted)),
    )


def _is_of(asset_id: str, targets: set[str]) -> bool:
    return asset_id in targets or asset_id.rpartition("/")[0] in targets


def _ready(updater: Updater, plan: Plan) -> tuple[PlannedUpdate, ...]:
    approved = {approval.update_hash for approval in updater.approvals()}
    return tuple(update for update in plan.updates if update.is_approved or update.hash in approved)


def _nothing_ready(
    session: Session, plan: Plan, recovered: tuple[OperationResult, ...], drain: Drain, *, is_named: bool
) -> int:
    if drain.requested:
        show_results(session, recovered, plan)
        return max(exit_of(recovered), Exit.INTERRUPTED)
    if session.options.json or recovered:
        show_results(session, recovered, plan)
    if not session.options.json:
        show_plan(session, plan)
        session.say("nothing is approved to be applied", "dim")
    blocked = is_named and bool(plan.updates or plan.unknown)
    return exit_of(recovered) or (Exit.BLOCKED if blocked else Exit.DONE)


def _agreed(session: Session, left: Sequence[PlannedUpdate], ahead: Sequence[Preview]) -> bool:
    """Shows what would be done and what that would meet, and asks; of nothing there is nothing to ask."""
    if not left:
        return True
    for update in left:
        steps = ", ".join(f"{change} ({change.change_type})" for change in update.changes)
        session.err.print(
            Text.assemble("  ", (clean(target_name(update.target_id)), "bold"), f"  {clean(steps)}")
        )
    for line in previewed(session, ahead):
        session.err.print(line)
    try:
        with interruptible():
            return session.confirm(f"Apply {counted(len(left), 'update')}?")
    except (click.Abort, KeyboardInterrupt):
        session.say("")  # the cursor stands behind the question
        return False


def show_results(session: Session, results: Sequence[OperationResult], plan: Plan | None = None) -> None:
    """Gives what became of operations, and names what they warned of and left behind."""
    document = documents.apply_result(results, plan.hash if plan else None)
    session.result("ApplyResult", document, *([tables.results(results)] if results else []))
    for result in results:
        for warning in result.warnings:
            session.warn(f"{target_name(result.target_id)}: {warning}")
        for leftover in result.leftovers:
            session.warn(f"{target_name(result.target_id)}: left behind, harmless: {leftover}")


# --- approve ----------------------------------------------------------------------------------------------


@click.command(cls=Command)
@click.argument("what", required=False, metavar="HASH|TARGET")
@click.option("--by", metavar="NAME", help="Who approves. Default: the login name.")
@click.option("--to", "version", metavar="VERSION", help="Another version on offer than the chosen one.")
@click.option("--all-review", is_flag=True, help="Approve everything that waits for a review.")
@click.pass_obj
def approve(session: Session, what: str | None, by: str | None, version: str | None, all_review: bool) -> int:
    """Consent to an update of the last plan.

    An approval is good once, and for a limited time.
    """
    if (what is None) is not all_review:
        raise click.UsageError("give a TARGET or the HASH of an update, or --all-review")
    with session.records() as updater:
        plan = _last_plan(updater)
        if what is None:
            chosen = [item for item in plan.updates if item.decision.verdict is Verdict.REVIEW_REQUIRED]
        else:
            chosen = [_chosen(updater, plan, what, version)]
        approver = by or session.caller
        given: list[Approval] = [
            updater.approve(update, approver=approver, bulk=all_review) for update in chosen
        ]
    session.result("Approvals", documents.approvals(given), tables.approvals(given))
    session.say(
        "approved: safeupdater apply carries it out" if given else "nothing waits for a review", "dim"
    )
    return Exit.DONE


def _last_plan(updater: Updater) -> Plan:
    plans = [item.value for _, item in updater.store.iterate("plan") if isinstance(item.value, Plan)]
    if not plans:
        raise click.UsageError("there is no plan yet: safeupdater plan")
    return max(plans, key=lambda plan: plan.created_at.timestamp() if plan.created_at else 0.0)


def _chosen(updater: Updater, plan: Plan, what: str, version: str | None) -> PlannedUpdate:
    """The one update of a plan, or alternative to it, that was meant."""
    offers = [offer for update in plan.updates for offer in _offers(update)]
    by_hash = [
        offer for offer in offers if len(what) >= _SHORTEST_HASH and offer.hash.startswith(what.lower())
    ]
    if by_hash:
        return _only(by_hash, what)
    target_id = find_asset(updater.inventory, what).target_id
    mine = [update for update in plan.updates if update.target_id == target_id]
    if not mine:
        raise click.UsageError(f"the last plan has no update of {what}: safeupdater plan")
    if version is None:
        return mine[0]
    wanted = [
        offer
        for offer in _offers(mine[0])
        if any(change.new.version_text == version for change in offer.changes)
    ]
    if not wanted:
        raise click.UsageError(f"the last plan does not offer {version} for {what}: safeupdater plan")
    return _only(wanted, version)


def _only(offers: Sequence[PlannedUpdate], what: str) -> PlannedUpdate:
    if len({offer.hash for offer in offers}) > 1:
        raise click.UsageError(f"{what} fits several updates: give more of the hash")
    return offers[0]


def _offers(update: PlannedUpdate) -> Iterator[PlannedUpdate]:
    """The update itself, and each alternative as the update that it would be."""
    yield update
    for option in update.alternatives:
        yield PlannedUpdate(
            target_id=update.target_id,
            changes=(option.change,),
            decision=option.decision,
            policy_hash=update.policy_hash,
        )
