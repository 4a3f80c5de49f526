"""What the author of a part tests it with: the contracts, as classes for pytest, and a clock that tests move.

The names are imported when they are first used: contracts need pytest, which an installation need not have.
"""

from __future__ import annotations

import importlib
import pkgutil
import sys
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

if "pytest" in sys.modules:
    # Only of modules that it is told of does pytest show what the two sides of a failed assertion were.
    sys.modules["pytest"].register_assert_rewrite(
        *(f"{__name__}.{module.name}" for module in pkgutil.iter_modules(__path__))
    )


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'safeupdater.testing' has no attribute {name!r}")
    return getattr(importlib.import_module(f"safeupdater.testing.{home}"), name)
