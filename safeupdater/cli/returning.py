"""The ways back: ``rollback``, ``recover``, ``resolve``, ``abort`` and ``quarantine``."""

from __future__ import annotations

from collections.abc import Iterable

import click
from rich.text import Text

from safeupdater.cli import documents, tables
from safeupdater.cli.applying import show_results
from safeupdater.cli.exits import Exit, exit_of
from safeupdater.cli.options import Command, Group
from safeupdater.cli.progress import shown
from safeupdater.cli.session import Session
from safeupdater.cli.tables import target_name
from safeupdater.cli.targets import find_asset
from safeupdater.cli.working import working
from safeupdater.config.units import parse_duration
from safeupdater.domain.operation import Outcome, Quarantine, Resolution

_BY = click.option("--by", metavar="NAME", help="Who wants it. Default: the login name.")
_REASON = click.option("--reason", default="", metavar="TEXT", help="Why, for the record.")


class Duration(click.ParamType):  # type: ignore[type-arg]  # generic from click 8.3 on only
    """A duration such as ``90s``, ``1h30m`` or ``1d``; its value is in seconds."""

    name = "duration"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Seconds."""
        if isinstance(value, float):
            return value
        try:
            return parse_duration(value)
        except ValueError:
            self.fail(f"{str(value)!a} is not a duration such as 90s, 1h30m or 1d", param, ctx)


DURATION = Duration()


@click.command(cls=Command)
@click.argument("target")
@click.option("--to", metavar="VERSION", help="An earlier version or digest. Default: the one before.")
@_BY
@click.pass_obj
def rollback(session: Session, target: str, to: str | None, by: str | None) -> int:
    """Bring back the version before, and watch it like any update."""
    with working(session) as (updater, _):
        target_id = find_asset(updater.inventory, target).target_id
        with shown(session, updater):
            result = updater.rollback(target_id, by=by or session.caller, to=to)
    show_results(session, [result])
    if result.outcome is Outcome.SUCCEEDED:
        left = result.changes[0].current.version_text
        hint = f"safeupdater quarantine allow {target_name(target_id)}"
        session.say(f"{left} is not applied again by itself; to allow it: {hint}", "dim")
    # Turning back an update that is under way is what was asked for here.
    return Exit.DONE if result.outcome is Outcome.ROLLED_BACK else exit_of([result])


@click.command(cls=Command)
@click.option("--wait", type=DURATION, default=0.0, help="Wait that long for others who may still be at it.")
@click.pass_obj
def recover(session: Session, wait: float) -> int:
    """Finish what was interrupted; safe at any time."""
    with working(session) as (updater, _), shown(session, updater):
        results = updater.recover(wait_s=wait)
    show_results(session, results)
    if not results:
        session.say("nothing was interrupted")
    return exit_of(results)


@click.command(cls=Command)
@click.argument("target")
@click.argument("resolution", type=click.Choice([str(item) for item in Resolution]))
@_BY
@_REASON
@click.pass_obj
def resolve(session: Session, target: str, resolution: str, by: str | None, reason: str) -> int:
    """Decide what waits for a person.

    That is an update which is held, or one whose way back failed.
    """
    with working(session) as (updater, _):
        target_id = find_asset(updater.inventory, target).target_id
        decided = Resolution(resolution)
        with shown(session, updater):
            result = updater.resolve(target_id, decided, by=by or session.caller, reason=reason)
    show_results(session, [result])
    as_asked = result.outcome is Outcome.ROLLED_BACK and resolution == str(Resolution.RESTORE)
    return Exit.DONE if as_asked else exit_of([result])


@click.command(cls=Command)
@click.argument("target")
@_BY
@_REASON
@click.pass_obj
def abort(session: Session, target: str, by: str | None, reason: str) -> int:
    """Ask an update under way to stop; it ends with the old version."""
    with session.records() as updater:
        target_id = find_asset(updater.inventory, target).target_id
        answer = updater.abort(target_id, by=by or session.caller, reason=reason)
    document = {
        "target_id": target_id, "requested": answer.stops, "code": answer.code, "message": answer.message,
    }  # fmt: skip
    session.result("AbortRequest", document, Text(answer.message))
    return Exit.DONE if answer else Exit.FAILURE


# --- quarantine -------------------------------------------------------------------------------------------


@click.group(cls=Group)
def quarantine() -> None:
    """Releases that failed and are not tried again."""


@quarantine.command("list")
@click.option("--all", "everything", is_flag=True, help="Those that were allowed again, too.")
@click.pass_obj
def list_quarantine(session: Session, everything: bool) -> int:
    """Show what is in quarantine, and why."""
    with session.records(reading=True) as updater:
        entries = updater.rollbacks.quarantined(include_lifted=everything)
    shown_as = tables.quarantine(entries) if entries else Text("nothing is in quarantine")
    session.result("Quarantine", documents.quarantine(entries), shown_as)
    return Exit.DONE


@quarantine.command("allow", short_help="Let a release be tried again.")
@click.argument("target")
@click.argument("version", required=False)
@_BY
@click.pass_obj
def allow(session: Session, target: str, version: str | None, by: str | None) -> int:
    """Let a release be tried again; VERSION (or its digest) where there are several.

    TARGET may be a repository, where a release failed on several targets and is kept from all.
    """
    with session.records() as updater:
        quarantined = updater.rollbacks.quarantined()
        asset_id = _kept_from(quarantined, target) or find_asset(updater.inventory, target).id
        entries = [
            item
            for item in quarantined
            if item.asset_id == asset_id and version in (None, item.version, item.digest)
        ]
        if len(entries) != 1:
            raise click.UsageError(_which(target, [item.version for item in entries], version))
        entry = updater.rollbacks.allow_again(asset_id, entries[0].digest, by=by or session.caller)
    session.result("Quarantine", documents.quarantine([entry]), tables.quarantine([entry]))
    return Exit.DONE


def _kept_from(quarantined: Iterable[Quarantine], text: str) -> str | None:
    """The repository of a quarantine that a text names in full."""
    repositories = (item.repository for item in quarantined if item.is_shared)
    return text if text in repositories else None


def _which(target: str, versions: list[str], version: str | None) -> str:
    if versions:
        return f"several releases of {target} are in quarantine: name one of {', '.join(versions)}"
    what = f"{version} of {target} is not" if version else f"nothing of {target} is"
    return f"{what} in quarantine: safeupdater quarantine list"
