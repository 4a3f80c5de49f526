"""Leases in an SQL store: what is done to them inside one transaction."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import Connection, bindparam, insert, select, update

from safeupdater.stores import sqlschema as db
from safeupdater.stores.leases import LeaseRow

_SELECT_LEASE = select(db.leases).where(db.leases.c.key == bindparam("of_key"))
_UPDATE_LEASE = (
    update(db.leases)
    .where(db.leases.c.key == bindparam("of_key"))
    .values({name: bindparam(f"new_{name}") for name in ("holder", "epoch", "ttl_s", "renewed_at")})
)


def lease_row(connection: Connection, key: str) -> LeaseRow | None:
    """The row of a lease; None where there never was one."""
    row = connection.execute(_SELECT_LEASE, {"of_key": key}).mappings().first()
    if row is None:
        return None
    renewed_at = datetime.fromtimestamp(row["renewed_at"], UTC)
    return LeaseRow(
        key=key, holder=row["holder"], epoch=row["epoch"], ttl_s=row["ttl_s"], renewed_at=renewed_at
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
        connection.execute(_UPDATE_LEASE, {"of_key": row.key} | changed)
