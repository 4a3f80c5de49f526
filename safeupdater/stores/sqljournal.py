"""The journal in an SQL store: what is done to it inside one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection, bindparam, delete, func, insert, select, update

from safeupdater.codec import time_text
from safeupdater.protocols import Lease
from safeupdater.stores import sqlschema as db
from safeupdater.stores.leases import current
from safeupdater.stores.rules import Head, Offer, check_version, is_end, operation_open
from safeupdater.stores.sqlleases import lease_row
from safeupdater.stores.sqlstatements import Prepared

_SELECT_HEAD = Prepared(
    select(db.operations.c.target_id, db.operations.c.version, db.operations.c.is_open).where(
        db.operations.c.operation_id == bindparam("of_operation")
    )
)
_UPDATE_HEAD = Prepared(
    update(db.operations)
    .where(db.operations.c.operation_id == bindparam("of_operation"))
    .values(version=bindparam("new_version"), is_open=bindparam("new_is_open"))
)
_TAKE_POSITIONS = Prepared(
    update(db.counters)
    .where(db.counters.c.name == "position")
    .values(value=db.counters.c.value + bindparam("count"))
    .returning(db.counters.c.value)
)
_INSERT_ENTRIES = insert(db.journal)


def append(connection: Connection, offer: Offer, bodies: Sequence[str], lease: Lease | None) -> None:
    """Adds the events of an offer to its operation's journal; see ``StateStore.append``."""
    if lease is not None:
        current(lease_row(connection, lease.key), lease)
    head = _head(connection, offer.operation_id)
    if head is not None and head.version >= offer.version and _is_stored(connection, offer, bodies):
        return
    check_version(head, offer)
    target_id = head.target_id if head else _free_target(connection, offer)
    position = _next_position(connection, len(bodies))
    entries = offer.entries(target_id, position)
    connection.execute(
        _INSERT_ENTRIES,
        [
            {
                "position": entry.position,
                "operation_id": entry.operation_id,
                "version": entry.version,
                "target_id": target_id,
                "at": time_text(entry.at),
                "epoch": entry.epoch,
                "body": body,
            }
            for entry, body in zip(entries, bodies, strict=True)
        ],
    )
    _write_head(connection, offer, target_id, position, is_new=head is None)


def _head(connection: Connection, operation_id: str) -> Head | None:
    row = _SELECT_HEAD.first(connection, {"of_operation": operation_id})
    if row is None:
        return None
    target_id, version, is_open = row
    return Head(target_id, version, bool(is_open))


def _is_stored(connection: Connection, offer: Offer, bodies: Sequence[str]) -> bool:
    columns = db.journal.c
    query = select(columns.body, columns.epoch, columns.at).where(
        columns.operation_id == offer.operation_id,
        columns.version > offer.expected_version,
        columns.version <= offer.version,
    )
    stored = connection.execute(query.order_by(columns.version)).all()
    at = time_text(offer.at)
    return [row.body for row in stored] == list(bodies) and all(
        row.epoch == offer.epoch and (offer.epoch or row.at == at) for row in stored
    )


def _free_target(connection: Connection, offer: Offer) -> str:
    planned = offer.opens
    assert planned is not None, "make_offer saw to it"
    columns = db.open_operations.c
    query = select(columns.operation_id).where(columns.target_id == planned.target_id)
    busy: str | None = connection.execute(query).scalar()
    if busy is not None:
        raise operation_open(planned.target_id, busy)
    return planned.target_id


def _next_position(connection: Connection, count: int) -> int:
    ((last,),) = _TAKE_POSITIONS.rows(connection, {"count": count})
    return int(last) - count + 1


def _write_head(connection: Connection, offer: Offer, target_id: str, position: int, *, is_new: bool) -> None:
    ends = is_end(offer.events[-1])
    operation = {"operation_id": offer.operation_id, "target_id": target_id}
    if is_new:
        row = {"version": offer.version, "is_open": int(not ends)}
        connection.execute(insert(db.operations).values(**operation, **row))
        if not ends:
            connection.execute(insert(db.open_operations).values(**operation, position=position))
        return
    changed = {"new_version": offer.version, "new_is_open": int(not ends)}
    _UPDATE_HEAD.rows(connection, {"of_operation": offer.operation_id} | changed)
    if ends:
        connection.execute(delete(db.open_operations).where(db.open_operations.c.target_id == target_id))


# --- pruning ----------------------------------------------------------------------------------------------


def ended_before(connection: Connection, before: datetime, keep_per_target: int) -> list[str]:
    """The operations that ended before a time, without the newest few of every target."""
    heads, entries = db.operations.c, db.journal.c
    last = (entries.operation_id == heads.operation_id) & (entries.version == heads.version)
    newest_first = func.row_number().over(partition_by=heads.target_id, order_by=entries.position.desc())
    ends = (
        select(entries.operation_id, entries.at, newest_first.label("place"))
        .join_from(db.operations, db.journal, last)
        .where(heads.is_open == 0)
        .subquery()
    )
    # As text, times are in order but for the fraction of a second, which some of them lack.
    roughly = ends.c.at < time_text(before + timedelta(seconds=1))
    query = select(ends.c.operation_id, ends.c.at).where(ends.c.place > keep_per_target, roughly)
    rows = connection.execute(query).all()
    return [row.operation_id for row in rows if datetime.fromisoformat(row.at) < before]


def forget(connection: Connection, operation_ids: Sequence[str]) -> None:
    """Removes the journals of ended operations."""
    for rows in (db.journal, db.operations):
        connection.execute(delete(rows).where(rows.c.operation_id.in_(operation_ids)))
