"""State that ends with the process, under backends that change something that does not."""

from __future__ import annotations

import warnings
from collections.abc import Iterable

from safeupdater.domain.notice import Severity
from safeupdater.protocols import Backend, StateStore
from safeupdater.update.notifier import Notifier

_CODE = "volatile_store"
_REMEDY = (
    "keep state on disk, with Updater(store=open_store('sqlite:///PATH')) or --store sqlite:///PATH: should "
    "this process die during an update, nothing would remember what to put back"
)


def is_volatile(store: StateStore, backends: Iterable[Backend]) -> bool:
    """Whether the store forgets everything at the end of the process, and a backend changes what does not.

    A store says so by ``is_volatile``, a backend whose world ends with the process by ``is_simulated``.
    """
    if not getattr(store, "is_volatile", False):
        return False
    return any(not getattr(backend, "is_simulated", False) for backend in backends)


def warn_of_volatile(notifier: Notifier) -> None:
    """Tells the observers; where there are none, whoever reads Python's warnings."""
    message = "state is kept in memory only, and what it is about is real"
    if notifier:
        notifier.alert(Severity.WARNING, _CODE, message, _REMEDY)
    else:
        warnings.warn(f"{message}: {_REMEDY}", RuntimeWarning, stacklevel=4)
