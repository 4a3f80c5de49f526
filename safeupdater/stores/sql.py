"""A store in an SQL database: SQLite for many processes on one machine, PostgreSQL for many machines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

import attrs
from sqlalchemy import Connection, Engine, RowMapping, bindparam, delete, func, insert, select, update

from safeupdater.codec import decode, decode_event, dumps, encode, encode_event, kind_of, loads, time_text
from safeupdater.domain.operation import Event, JournalEntry, OperationPlanned
from safeupdater.errors import CorruptState, StoreError
from safeupdater.protocols import Clock, Lease, Stored
from safeupdater.stores import sqlschema as db
from safeupdater.stores.clock import SystemClock
from safeupdater.stores.holder import is_provably_dead
from safeupdater.stores.leases import IsDead, LeaseRow, LeaseWatch, current, renewed, taken
from safeupdater.stores.rules import (
    Head,
    Offer,
    check_version,
    is_end,
    make_offer,
    operation_open,
    record_conflict,
    require_key,
)
from safeupdater.stores.seal import Seal, is_sealed
from safeupdater.stores.sqlsession import Session, make_engine

_SNAPSHOT = "snapshot"


class SqlStore:
    """Records, journal and leases in tables prefixed ``safeupdater_``, shared by any number of processes.

    ``database`` is a URL, or an SQLAlchemy ``Engine`` that stays the caller's. In PostgreSQL, snapshots are
    sealed with ``seal_key`` (32 bytes); without one they are refused, unless ``allow_plain_snapshots``
    says that whoever can read the database may read them. Leases run on the database's clock in
    PostgreSQL, on ``clock`` in SQLite.

    Raises:
        StoreError: the database does not answer or cannot be used.
        CorruptState: its tables are of a newer version; they were left as they are.
    """

    def __init__(
        self,
        database: str | Engine,
        clock: Clock | None = None,
        *,
        seal_key: bytes | None = None,
        allow_plain_snapshots: bool = False,
        is_dead: IsDead = is_provably_dead,
    ) -> None:
        self._clock = clock or SystemClock()
        self._watch = LeaseWatch(self._clock, is_dead)
        self._seal = Seal(seal_key) if seal_key is not None else None
        self._allow_plain_snapshots = allow_plain_snapshots
        owned = isinstance(database, str)
        engine = make_engine(database) if isinstance(database, str) else database
        self._session = Session(engine, owned=owned)
        try:
            self._session.prepare()
        except BaseException:
            self._session.close()
            raise

    def __repr__(self) -> str:
        return f"SqlStore({self._session.name!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # records

    def get(self, kind: str, key: str) -> Stored[object] | None:
        """See ``StateStore.get``."""
        row = self._session.read(
            lambda connection: connection.execute(_SELECT_RECORD, _record(kind, key)).first()
        )
        return Stored(self._decode(kind, key, row.body), row.version) if row else None

    def put(self, kind: str, key: str, value: object, *, expected: int | None = None) -> int:
        """See ``StateStore.put``."""
        kind_of(kind, value)
        require_key(key)
        body = self._encode(kind, key, value)
        return self._session.write(lambda connection: _put(connection, kind, key, body, expected))

    def put_many(self, kind: str, values: Mapping[str, object]) -> None:
        """Writes many records of a kind in one transaction, whatever their versions are."""
        for key, value in values.items():
            kind_of(kind, value)
            require_key(key)
        bodies = {key: self._encode(kind, key, value) for key, value in values.items()}

        def put_all(connection: Connection) -> None:
            for key, body in bodies.items():
                _put(connection, kind, key, body, None)

        self._session.write(put_all)

    def delete(self, kind: str, key: str, *, expected: int | None = None) -> None:
        """See ``StateStore.delete``."""
        self._session.write(lambda connection: _delete(connection, kind, key, expected))

    def iterate(self, kind: str, prefix: str = "") -> Iterator[tuple[str, Stored[object]]]:
        """See ``StateStore.iterate``; what it yields is the state at the call."""
        columns = db.records.c
        query = select(columns.key, columns.version, columns.body).where(columns.kind == kind)
        if prefix:
            query = query.where(columns.key >= prefix)
        end = _end_of(prefix)
        if end is not None:
            query = query.where(columns.key < end)
        rows = self._session.read(lambda connection: connection.execute(query.order_by(columns.key)).all())
        return iter([(row.key, Stored(self._decode(kind, row.key, row.body), row.version)) for row in rows])

    # journal

    def append(
        self,
        operation_id: str,
        events: Sequence[Event],
        *,
        expected_version: int,
        at: datetime,
        lease: Lease | None = None,
    ) -> int:
        """See ``StateStore.append``."""
        offer = make_offer(operation_id, events, expected_version, at, lease.epoch if lease else 0)
        bodies = [_text(encode_event(event)) for event in offer.events]
        self._session.write(lambda connection: _append(connection, offer, bodies, lease))
        return offer.version

    def load(self, operation_id: str) -> tuple[JournalEntry, ...]:
        """See ``StateStore.load``."""
        query = select(db.journal).where(db.journal.c.operation_id == operation_id)
        return self._entries(query.order_by(db.journal.c.version))

    def unfinished(self) -> tuple[OperationPlanned, ...]:
        """See ``StateStore.unfinished``."""
        query = (
            select(db.journal)
            .join(db.open_operations, db.open_operations.c.position == db.journal.c.position)
            .order_by(db.journal.c.position)
        )
        events = [entry.event for entry in self._entries(query)]
        return tuple(event for event in events if isinstance(event, OperationPlanned))

    def since(self, cursor: int, limit: int = 1000) -> tuple[JournalEntry, ...]:
        """See ``StateStore.since``."""
        position = db.journal.c.position
        return self._entries(
            select(db.journal).where(position > cursor).order_by(position).limit(max(limit, 0))
        )

    # leases

    def acquire(self, key: str, holder: str, ttl_s: float) -> Lease | None:
        """See ``StateStore.acquire``."""
        require_key(key)

        def take(connection: Connection) -> Lease | None:
            row, now = _lease_row(connection, key), self._now(connection)
            after = taken(row, key, holder, ttl_s, now)
            if not self._watch.may_take(row, holder, now):
                return None
            _write_lease(connection, after, is_new=row is None)
            return after.as_lease()

        return self._session.write(take)

    def renew(self, lease: Lease, ttl_s: float) -> Lease:
        """See ``StateStore.renew``."""

        def renew(connection: Connection) -> Lease:
            row = renewed(_lease_row(connection, lease.key), lease, ttl_s, self._now(connection))
            _write_lease(connection, row)
            return row.as_lease()

        return self._session.write(renew)

    def release(self, lease: Lease) -> None:
        """See ``StateStore.release``."""

        def release(connection: Connection) -> None:
            row = _lease_row(connection, lease.key)
            if row is not None and row.belongs_to(lease):
                _write_lease(connection, attrs.evolve(row, holder=None))

        self._session.write(release)

    def close(self) -> None:
        """See ``StateStore.close``; an engine that was passed in stays open."""
        self._session.close()

    # inside

    def _now(self, connection: Connection) -> datetime:
        if not self._session.is_shared:
            return self._clock.now()
        # Machines differ about the time; the database they share does not.
        seconds = connection.execute(select(func.extract("epoch", func.clock_timestamp()))).scalar_one()
        return datetime.fromtimestamp(float(seconds), UTC)

    def _encode(self, kind: str, key: str, value: object) -> str:
        data: Mapping[str, Any] = encode(value)
        if kind != _SNAPSHOT or (self._seal is None and not self._session.is_shared):
            return _text(data)
        if self._seal is not None:
            return _text(self._seal.close(f"{kind} {key}", data))
        if not self._allow_plain_snapshots:
            raise StoreError(
                f"a snapshot holds secrets and {self._session.name} is a shared database: give "
                "seal_key=, or say allow_plain_snapshots=True; the snapshot was not stored",
                code="snapshot_not_sealed",
            )
        return _text(data)

    def _decode(self, kind: str, key: str, body: str) -> object:
        try:
            data = loads(body)
            if is_sealed(data):
                data = self._unseal(kind, key, data)
            return decode(kind, data)
        except CorruptState as error:
            raise CorruptState(f"{self._session.name}: {kind} {key}: {error}", code=error.code) from error

    def _unseal(self, kind: str, key: str, data: dict[str, Any]) -> Any:
        if self._seal is None:
            raise CorruptState(
                "it is sealed: open the store with the seal_key it was written with", code="wrong_key"
            )
        return self._seal.open(f"{kind} {key}", data)

    def _entries(self, query: Any) -> tuple[JournalEntry, ...]:
        rows = self._session.read(lambda connection: connection.execute(query).mappings().all())
        return tuple(self._entry(row) for row in rows)

    def _entry(self, row: RowMapping) -> JournalEntry:
        try:
            event, at = decode_event(loads(row["body"])), datetime.fromisoformat(row["at"])
        except CorruptState as error:
            where = f"{self._session.name}: journal position {row['position']}"
            raise CorruptState(f"{where}: {error}", code=error.code) from error
        return JournalEntry(
            operation_id=row["operation_id"],
            target_id=row["target_id"],
            version=row["version"],
            position=row["position"],
            at=at,
            epoch=row["epoch"],
            event=event,
        )


def _text(data: object) -> str:
    return dumps(data).decode()


def _end_of(prefix: str) -> str | None:
    """The first text after everything that begins with a prefix; None where there is none."""
    for index in range(len(prefix) - 1, -1, -1):
        point = ord(prefix[index])
        if point < 0x10FFFF:
            following = 0xE000 if point == 0xD7FF else point + 1  # surrogates are no text
            return prefix[:index] + chr(following)
    return None


# --- records, inside a transaction ------------------------------------------------------------------------


# Built once: putting a statement together takes SQLAlchemy longer than running it takes SQLite.
_THIS_RECORD = (db.records.c.kind == bindparam("of_kind"), db.records.c.key == bindparam("of_key"))
_SELECT_VERSION = select(db.records.c.version).where(*_THIS_RECORD)
_SELECT_RECORD = select(db.records.c.version, db.records.c.body).where(*_THIS_RECORD)
_DELETE_RECORD = delete(db.records).where(*_THIS_RECORD)
_UPDATE_RECORD = (
    update(db.records)
    .where(*_THIS_RECORD)
    .values(version=bindparam("new_version"), body=bindparam("new_body"))
)


def _record(kind: str, key: str) -> dict[str, str]:
    return {"of_kind": kind, "of_key": key}


def _check_record(connection: Connection, kind: str, key: str, expected: int | None) -> int:
    actual: int = connection.execute(_SELECT_VERSION, _record(kind, key)).scalar() or 0
    if expected is not None and expected != actual:
        raise record_conflict(kind, key, actual, expected)
    return actual


def _floor(connection: Connection, kind: str) -> int | None:
    value: int | None = connection.execute(
        select(db.floors.c.version).where(db.floors.c.kind == kind)
    ).scalar()
    return value


def _put(connection: Connection, kind: str, key: str, body: str, expected: int | None) -> int:
    actual = _check_record(connection, kind, key, expected)
    if actual:
        changed = {"new_version": actual + 1, "new_body": body}
        connection.execute(_UPDATE_RECORD, _record(kind, key) | changed)
        return actual + 1
    version = (_floor(connection, kind) or 0) + 1
    connection.execute(insert(db.records).values(kind=kind, key=key, version=version, body=body))
    return version


def _delete(connection: Connection, kind: str, key: str, expected: int | None) -> None:
    actual = _check_record(connection, kind, key, expected)
    if not actual:
        return
    connection.execute(_DELETE_RECORD, _record(kind, key))
    floor = _floor(connection, kind)
    if floor is None:
        connection.execute(insert(db.floors).values(kind=kind, version=actual))
    elif actual > floor:
        connection.execute(update(db.floors).where(db.floors.c.kind == kind).values(version=actual))


# --- the journal, inside a transaction --------------------------------------------------------------------


_SELECT_HEAD = select(db.operations.c.target_id, db.operations.c.version, db.operations.c.is_open).where(
    db.operations.c.operation_id == bindparam("of_operation")
)
_UPDATE_HEAD = (
    update(db.operations)
    .where(db.operations.c.operation_id == bindparam("of_operation"))
    .values(version=bindparam("new_version"), is_open=bindparam("new_is_open"))
)
_TAKE_POSITIONS = (
    update(db.counters)
    .where(db.counters.c.name == "position")
    .values(value=db.counters.c.value + bindparam("count"))
    .returning(db.counters.c.value)
)
_INSERT_ENTRIES = insert(db.journal)


def _append(connection: Connection, offer: Offer, bodies: Sequence[str], lease: Lease | None) -> None:
    if lease is not None:
        current(_lease_row(connection, lease.key), lease)
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
    row = connection.execute(_SELECT_HEAD, {"of_operation": operation_id}).first()
    return Head(row.target_id, row.version, bool(row.is_open)) if row else None


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
    last: int = connection.execute(_TAKE_POSITIONS, {"count": count}).scalar_one()
    return last - count + 1


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
    connection.execute(_UPDATE_HEAD, {"of_operation": offer.operation_id} | changed)
    if ends:
        connection.execute(delete(db.open_operations).where(db.open_operations.c.target_id == target_id))


# --- leases, inside a transaction -------------------------------------------------------------------------


_SELECT_LEASE = select(db.leases).where(db.leases.c.key == bindparam("of_key"))
_UPDATE_LEASE = (
    update(db.leases)
    .where(db.leases.c.key == bindparam("of_key"))
    .values({name: bindparam(f"new_{name}") for name in ("holder", "epoch", "ttl_s", "renewed_at")})
)


def _lease_row(connection: Connection, key: str) -> LeaseRow | None:
    row = connection.execute(_SELECT_LEASE, {"of_key": key}).mappings().first()
    if row is None:
        return None
    renewed_at = datetime.fromtimestamp(row["renewed_at"], UTC)
    return LeaseRow(
        key=key, holder=row["holder"], epoch=row["epoch"], ttl_s=row["ttl_s"], renewed_at=renewed_at
    )


def _write_lease(connection: Connection, row: LeaseRow, *, is_new: bool = False) -> None:
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
