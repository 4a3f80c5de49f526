"""Leases in an SQL store: what is done to them inside one transaction."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import Connection, bindparam, insert, select, update

from safeupdater.stores import sqlschema as db
from safeupdater.stores.leases import LeaseRow
from safeupdater.stores.sqlstatements import Prepared

_FIELDS = ("holder", "epoch", "ttl_s", "renewed_at")
_SELECT_LEASE = Prepared(
    select(*(db.leases.c[name] for name in _FIELDS)).where(db.leases.c.key == bindparam("of_key"))
)
_UPDATE_LEASE = Prepared(
    update(db.leases)
    .where(db.leases.c.key == bindparam("of_key"))
    .values({name: bindparam(f"new_{name}") for name in _FIELDS})
)


def lease_row(connection: Connection, key: str) -> LeaseRow | None:
    """The row of a lease; None where there never was one."""
    row = _SELECT_LEASE.first(connection, {"of_key": key})
    if row is None:
        return None
    holder, epoch, ttl_s, renewed_at = row
    return LeaseRow(
        key=key, holder=holder, epoch=epoch, ttl_s=ttl_s, renewed_at=datetime.fromtimestamp(renewed_at, UTC)
    )


def write_lease(connection: Connection, row: LeaseRow, *, is_new: bool = False) -> None:
    """Sets the row of a lease."""
    values = {
        "holder": row.holder,
        "epoch": row.epoch,
        "ttl_s": row.ttl_s,
        "renewed_at": row.renewed_at.timestamp(),
    }
    if is_new:
        connection.execute(insert(db.leases).values(key=row.key, **values))
    else:
        changed = {f"new_{name}": value for name, value in values.items()}
        _UPDATE_LEASE.rows(connection, {"of_key": row.key} | changed)
