"""``state.json``: the assets and their statistics in the original's form, for people and other tools.

It is derived: the journal beside it is what counts, and a change made here by hand changes nothing. It also
remembers how far the journal went, so that a journal that was cut off is noticed.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import attrs
import msgspec

from safeupdater.codec import dumps, encode, loads, time_text
from safeupdater.domain.asset import Asset
from safeupdater.errors import CorruptState
from safeupdater.update.inventory import statistics_of

VERSION = "1.0"


@attrs.frozen
class Reach:
    """How far the journal went when ``state.json`` was written: its last line and that line's checksum."""

    sequence: int
    checksum: str


def state_of(assets: Sequence[Asset], now: datetime) -> dict[str, Any]:
    """The state of these assets: version, last_updated, assets, statistics."""
    return {
        "version": VERSION,
        "last_updated": time_text(now),
        "assets": [_fields(asset) for asset in assets],
        "statistics": attrs.asdict(statistics_of(assets)),
    }


def checkpoint_text(assets: Sequence[Asset], now: datetime, reach: Reach) -> bytes:
    """The content of ``state.json``."""
    state = state_of(assets, now) | {"journal": attrs.asdict(reach)}
    return msgspec.json.format(dumps(state), indent=2) + b"\n"


def read_reach(data: bytes, name: str) -> Reach:
    """How far the journal must go, by what ``state.json`` holds.

    Raises:
        CorruptState: it is damaged, not ours, or of a newer version.
    """
    try:
        state = loads(data)
    except CorruptState:
        raise CorruptState(
            f"{name} is damaged: it is not JSON. It is derived from journal.jsonl beside it: "
            "move it away to go on without it; nothing was changed"
        ) from None
    if not isinstance(state, dict) or not isinstance(state.get("journal"), dict):
        raise CorruptState(
            f"{name} was not written by this store; nothing was changed: choose another directory",
            code="foreign_state",
        )
    if state.get("version") != VERSION:
        raise CorruptState(
            f"{name} has version {state.get('version')!a}, this safeupdater reads {VERSION}: "
            "it was written by a newer safeupdater; upgrade this one",
            code="newer_state",
        )
    sequence, checksum = state["journal"].get("sequence"), state["journal"].get("checksum")
    if type(sequence) is not int or not isinstance(checksum, str):
        raise CorruptState(f"{name} is damaged: it does not say how far the journal goes; move it away")
    return Reach(sequence, checksum)


def _fields(asset: Asset) -> dict[str, Any]:
    return {name: value for name, value in encode(asset).items() if name not in ("type", "v")}
