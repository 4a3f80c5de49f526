"""Carrying state from one store to another: export to one JSON object, import, copy."""

from __future__ import annotations

from datetime import datetime
from itertools import groupby
from typing import Any

from safeupdater.codec import KINDS, SETTING, decode, decode_event, encode, encode_event, time_text
from safeupdater.domain.operation import Event, JournalEntry, OperationPlanned
from safeupdater.errors import ConfigurationError, CorruptState, StoreError
from safeupdater.protocols import StateStore
from safeupdater.stores.original import assets_in, is_state_file
from safeupdater.update.cursor import CURSORS

FORMAT = "safeupdater-state"
VERSION = 1


def export_state(store: StateStore) -> dict[str, Any]:
    """Everything that a store remembers, as a JSON-like object. Snapshots in it hold secrets.

    Leases and the cursors of journal readers are left out, and epochs and positions begin anew: they
    belong to running processes, or to the one store. Nobody should write to the store meanwhile.
    """
    return {
        "format": FORMAT,
        "v": VERSION,
        "records": [
            {"kind": kind, "key": key, "value": encode(stored.value)}
            for kind in KINDS
            for key, stored in store.iterate(kind)
            if not _is_cursor(kind, key)
        ],
        "journal": [_entry(entry) for entry in _whole_journal(store)],
    }


def import_state(state: object, target: StateStore, *, overwrite: bool = False) -> None:
    """Puts exported state into a store, or the assets of a ``state.json``.

    Everything is read before anything is written.

    With ``overwrite``, records of the same key are replaced; operations that the target already has must
    be the same ones. Without it, the target has to be empty.

    Raises:
        ConfigurationError: the object is no export that this version can read.
        StoreError: the target is not empty, or did not take something.
    """
    records, journal = _read(state)
    if not overwrite and not is_empty(target):
        raise StoreError(
            "the target store is not empty: choose an empty one, or allow overwriting", code="not_empty"
        )
    _check_operations(journal, target)
    for kind, group in groupby(records, key=lambda record: record[0]):
        target.put_many(kind, {key: value for _, key, value in group})
    # One run per append keeps the order of positions, which readers by cursor go by.
    for _, run in groupby(journal, key=lambda entry: (entry.operation_id, entry.at, entry.epoch)):
        _append(target, list(run))


def copy_state(source: StateStore, target: StateStore, *, overwrite: bool = False) -> None:
    """Copies everything but leases from one store to another; see ``import_state``."""
    import_state(export_state(source), target, overwrite=overwrite)


def is_empty(store: StateStore) -> bool:
    """Whether a store has neither records nor a journal."""
    return not store.since(0, 1) and not any(True for kind in KINDS for _ in store.iterate(kind))


def _is_cursor(kind: str, key: str) -> bool:
    return kind == SETTING and key.startswith(CURSORS)


def _whole_journal(store: StateStore) -> list[JournalEntry]:
    entries: list[JournalEntry] = []
    while page := store.since(entries[-1].position if entries else 0):
        entries += page
    return entries


def _entry(entry: JournalEntry) -> dict[str, Any]:
    return {
        "operation_id": entry.operation_id,
        "target_id": entry.target_id,
        "version": entry.version,
        "at": time_text(entry.at),
        "epoch": entry.epoch,
        "event": encode_event(entry.event),
    }


def _read(state: object) -> tuple[list[tuple[str, str, object]], list[JournalEntry]]:
    if isinstance(state, dict) and is_state_file(state):
        return [("asset", asset.id, asset) for asset in assets_in(state)], []
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise ConfigurationError("this is not an export of safeupdater's state", code="invalid_export")
    if state.get("v") != VERSION:
        raise ConfigurationError(
            f"the export has version {state.get('v')!a}, this safeupdater reads {VERSION}; upgrade it",
            code="invalid_export",
        )
    try:
        records = [
            (item["kind"], item["key"], decode(item["kind"], item["value"])) for item in state["records"]
        ]
        journal = [_read_entry(item, position) for position, item in enumerate(state["journal"], start=1)]
    except CorruptState as error:
        raise ConfigurationError(f"the export cannot be used: {error}", code="invalid_export") from error
    except (KeyError, TypeError, ValueError, StoreError) as error:
        raise ConfigurationError(
            f"the export cannot be used: it is damaged ({type(error).__name__})", code="invalid_export"
        ) from error
    return records, journal


def _read_entry(item: dict[str, Any], position: int) -> JournalEntry:
    return JournalEntry(
        operation_id=item["operation_id"],
        target_id=item["target_id"],
        version=item["version"],
        position=position,
        at=datetime.fromisoformat(item["at"]),
        epoch=item["epoch"],
        event=decode_event(item["event"]),
    )


def _check_operations(journal: list[JournalEntry], target: StateStore) -> None:
    operations: dict[str, list[Event]] = {}
    for entry in journal:
        events = operations.setdefault(entry.operation_id, [])
        events.append(entry.event)
        is_first = isinstance(entry.event, OperationPlanned)
        if entry.version != len(events) or is_first != (len(events) == 1):
            raise ConfigurationError(
                f"the export cannot be used: events of operation {entry.operation_id} are missing",
                code="invalid_export",
            )
    for operation_id, events in operations.items():
        there = [entry.event for entry in target.load(operation_id)]
        if there and there != events:
            raise StoreError(
                f"the target store has another operation {operation_id}: nothing was imported",
                code="not_empty",
            )


def _append(target: StateStore, run: list[JournalEntry]) -> None:
    first = run[0]
    if target.load(first.operation_id, run[-1].version - 1):
        return
    target.append(
        first.operation_id,
        [entry.event for entry in run],
        expected_version=first.version - 1,
        at=first.at,
    )
