"""How the operations without an end stand: somebody is at them, they wait for a person, or nobody is."""

from __future__ import annotations

import attrs

from safeupdater.domain.operation import OperationPlanned
from safeupdater.errors import CorruptState, IllegalTransition, PluginError, border
from safeupdater.protocols import LeaseSeen, StateStore
from safeupdater.update.machine import is_ended, is_parked, replay
from safeupdater.update.states import State


@attrs.frozen(kw_only=True)
class Standing:
    """One operation without an end. Neither held nor waiting: it was abandoned, and ``recover`` goes on."""

    opened: OperationPlanned
    held: LeaseSeen | None = None
    waits_for_a_person: bool = False


def standings(store: StateStore) -> tuple[Standing, ...]:
    """Every operation without an end, oldest first. Nothing is taken.

    Raises:
        StoreError: the store did not answer.
    """
    return tuple(found for opened in store.unfinished() if (found := _standing(store, opened)) is not None)


def _standing(store: StateStore, opened: OperationPlanned) -> Standing | None:
    # The lease before the journal: what ends in between has ended, and is not abandoned.
    held = store.lease_on(opened.target_id)
    state = _state(store, opened.operation_id)
    if state is not None and is_ended(state):
        return None
    is_parked_now = state is not None and is_parked(state)
    return Standing(opened=opened, held=None if is_parked_now else held, waits_for_a_person=is_parked_now)


def _state(store: StateStore, operation_id: str) -> State | None:
    """None where the journal cannot be understood: ``recover`` says what is wrong with it."""
    try:
        with border("reading the operation"):
            return replay(entry.event for entry in store.load(operation_id))
    except (CorruptState, IllegalTransition, PluginError):
        return None
