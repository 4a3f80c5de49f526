"""How much of everything is tried: in the default run, a small one, and a full one."""

from __future__ import annotations

import attrs

STORES = ("memory", "json", "sqlite")


@attrs.frozen(kw_only=True)
class Size:
    """How much of everything is tried."""

    histories: int
    kills: int
    windows: int
    second_every: int
    """Of the second faults on the durable stores every n-th is tried; 0: none at all."""
    first_every: int = 1
    """Of the first faults of a pair, on every store."""
    is_quick: bool = False
    is_full: bool = False


QUICK = Size(histories=500, kills=10, windows=1200, second_every=0, first_every=6, is_quick=True)
DEFAULT = Size(histories=10_000, kills=200, windows=20_000, second_every=15, first_every=7)
THOROUGH = Size(histories=10_000, kills=200, windows=20_000, second_every=1, first_every=1)
FULL = Size(histories=1_000_000, kills=200, windows=20_000, second_every=1, is_full=True)
