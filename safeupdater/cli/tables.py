"""Results as tables that fit 80 columns and use what a wider terminal gives."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import attrs
from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from safeupdater.cli.text import artifact_text, clean, counted, minute, plain, shortened
from safeupdater.domain.asset import Asset, UpdateRecord
from safeupdater.domain.operation import Outcome, Quarantine
from safeupdater.domain.plan import Approval
from safeupdater.update.inventory import Statistics
from safeupdater.update.result import OperationResult

STYLES: Mapping[str, str] = {
    "healthy": "green",
    "succeeded": "green",
    "update_available": "cyan",
    "updating": "cyan",
    "interrupted": "yellow",
    "rolled_back": "yellow",
    "held": "yellow",
    "refused": "yellow",
    "superseded": "yellow",
    "failed": "red",
    "aborted": "red",
    "rollback_failed": "bold red",
    "removed": "dim",
    "unknown": "dim",
}


_UNBROKEN = frozenset({"finished", "since", "until", "good until", "outcome", "status"})


def table(*columns: str) -> Table:
    """An open table; on a narrow terminal, names and sentences give way before times and outcomes do."""
    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for name in columns:
        made.add_column(name, overflow="fold", min_width=4, no_wrap=name in _UNBROKEN)
    return made


def _telling(made: Table) -> Table:
    """The table without its last column where that says nothing."""
    if not any(str(cell) for cell in made.columns[-1].cells):
        made.columns.pop()
    return made


@attrs.frozen
class Shortened:
    """Text whose middle is cut out where its column is too narrow: of an image, the tag is what matters."""

    text: str

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The text in the width that there is."""
        yield Text(shortened(self.text, options.max_width))

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        """All of it, or a little at least."""
        return Measurement(min(len(self.text), _SHORTEST), len(self.text))


_SHORTEST = 24


def status(value: object) -> Text:
    """A status or outcome in its colour."""
    return plain(value, STYLES.get(str(value), ""))


def inventory(assets: Sequence[Asset]) -> Table:
    """What runs, one line each; several hosts are told apart."""
    several = len({asset.host for asset in assets}) > 1
    made = table(*(["host"] if several else []), "name", "image", "status", "available")
    for asset in assets:
        where = [plain(asset.host)] if several else []
        where_and_name = [*where, plain(_name(asset), "bold")]
        made.add_row(
            *where_and_name,
            Shortened(clean(artifact_text(asset.image))),
            status(asset.status),
            _available(asset),
        )
    return made


def _name(asset: Asset) -> str:
    return f"{asset.namespace}/{asset.name}" if asset.namespace else asset.name


def _available(asset: Asset) -> Text:
    if asset.available_version:
        return plain(asset.available_version, "cyan")
    return plain(f"? {asset.unknown_cause.partition(':')[0]}", "dim") if asset.unknown_cause else Text("")


def statistics(counts: Statistics) -> Text:
    """Totals by type and by status, in two lines at most."""
    types = ", ".join(counted(count, kind) for kind, count in counts.by_type.items())
    states = ", ".join(f"{count} {state}" for state, count in counts.by_status.items())
    head = counted(counts.total_assets, "asset")
    return Text(f"{head}: {types}; {states}" if counts.total_assets else "0 assets", style="dim")


def results(items: Iterable[OperationResult]) -> Table:
    """What became of operations."""
    made = table("target", "change", "outcome", "why")
    for result in items:
        change = ", ".join(str(change) for change in result.changes)
        why = "" if result.outcome is Outcome.SUCCEEDED else result.message or result.code
        # The column before names the target already, and ids are long.
        why = why.replace(result.target_id, target_name(result.target_id)) if result.target_id else why
        if result.until is not None:
            why += f" (until {minute(result.until)})"
        made.add_row(
            plain(target_name(result.target_id), "bold"), plain(change), status(result.outcome), plain(why)
        )
    return _telling(made)


def target_name(target_id: str) -> str:
    """The part of a target id that people know: all after the host."""
    return target_id.partition("://")[2].partition("/")[2] or target_id


def history(entries: Iterable[tuple[str, UpdateRecord]]) -> Table:
    """Finished updates, newest first."""
    made = table("finished", "target", "change", "outcome", "why")
    for asset_id, record in entries:
        succeeded = record.outcome == str(Outcome.SUCCEEDED)
        made.add_row(
            plain(minute(record.finished), "dim"),
            plain(target_name(asset_id), "bold"),
            plain(f"{record.from_version} → {record.to_version}"),
            status(record.outcome),
            plain("" if succeeded else _why(record)),
        )
    return _telling(made)


def _why(record: UpdateRecord) -> str:
    return record.reason if record.attempts == 1 else f"{record.reason} ({record.attempts} times)"


def quarantine(entries: Iterable[Quarantine]) -> Table:
    """What is not tried again."""
    made = table("target", "version", "since", "until", "why")
    for item in entries:
        lifted = f"allowed by {item.lifted_by}"
        made.add_row(
            plain(item.repository if item.is_shared else target_name(item.asset_id), "bold"),
            plain(item.version),
            plain(minute(item.since), "dim"),
            plain(lifted if item.lifted_by else minute(item.until) if item.until else "for good"),
            plain(item.reason),
        )
    return made


def approvals(items: Iterable[Approval]) -> Table:
    """Approvals given."""
    made = table("target", "change", "approved by", "good until")
    for item in items:
        change = ", ".join(str(change) for change in item.changes)
        made.add_row(
            plain(target_name(item.target_id), "bold"),
            plain(change),
            plain(item.approver),
            plain(minute(item.expires_at)),
        )
    return made


def bullet(mark: str, style: str, text: str) -> Text:
    """One line with a mark before it."""
    return Text.assemble((f"{mark} ", style), clean(text))
