"""What the author of a part tests it with: the contracts, as classes for pytest, and a clock that tests move.

The names are imported when they are first used: contracts need pytest, which an installation need not have.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from safeupdater.testing.backends import BackendContract as BackendContract
    from safeupdater.testing.clock import FakeClock as FakeClock
    from safeupdater.testing.gates import GateContract as GateContract
    from safeupdater.testing.stores import StateStoreContract as StateStoreContract

_HOMES = {
    "BackendContract": "backends",
    "FakeClock": "clock",
    "GateContract": "gates",
    "StateStoreContract": "stores",
}


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'safeupdater.testing' has no attribute {name!r}")
    return getattr(importlib.import_module(f"safeupdater.testing.{home}"), name)
