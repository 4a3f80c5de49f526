"""What people mean by a target: an id, a name, or the old form of an id."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

import click

from safeupdater.cli.text import clean
from safeupdater.domain.asset import Asset
from safeupdater.update.inventory import Inventory


def find_asset(inventory: Inventory, text: str) -> Asset:
    """The one asset that a text names.

    Raises:
        click.UsageError: none has that name, or several have.
    """
    assets = inventory.assets(include_removed=True)
    exact = [asset for asset in assets if text in (asset.id, asset.target_id)]
    named = exact or [asset for asset in assets if text in (asset.name, asset.legacy_id, _short_id(asset))]
    targets = sorted({asset.target_id for asset in named})
    if not named:
        raise click.UsageError(_nothing(text, assets))
    if len(targets) > 1:
        raise click.UsageError(f"{clean(text)} may be any of {', '.join(targets)}: give the whole id")
    return named[0]


def _short_id(asset: Asset) -> str:
    """The id without its scheme: ``prod-1/web``."""
    return asset.target_id.partition("://")[2]


def _nothing(text: str, assets: Sequence[Asset]) -> str:
    if not assets:
        return "nothing is known to run yet: safeupdater scan"
    close = difflib.get_close_matches(text, [name for asset in assets for name in (asset.name, asset.id)], 1)
    meant = f"did you mean {close[0]}?" if close else "safeupdater scan shows what is there"
    return f"nothing known is called {clean(text)[:120]}: {meant}"
