"""A store in an SQL database: SQLite for many processes on one machine, PostgreSQL for many machines."""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

import attrs

from safeupdater.errors import CorruptState, MissingExtraError, StoreError

try:
    from sqlalchemy import Connection, Engine, RowMapping, func, select
except ImportError as missing:
    raise MissingExtraError(
        "an SQL store needs SQLAlchemy, which is not installed: pip install 'safeupdater[sql]'"
    ) from missing

from safeupdater.codec import decode, decode_event, dumps, encode, encode_event, kind_of, loads
from safeupdater.domain.operation import Event, JournalEntry, OperationPlanned
from safeupdater.protocols import Clock, Lease, LeaseSeen, Stored
from safeupdater.stores import sqlschema as db
from safeupdater.stores.clock import SystemClock
from safeupdater.stores.holder import is_provably_dead
from safeupdater.stores.leases import IsDead, LeaseWatch, renewed, taken
from safeupdater.stores.place import MountTable, system_mounts
from safeupdater.stores.rules import check_pruning, make_offer, require_key
from safeupdater.stores.seal import Seal, is_sealed
from safeupdater.stores.sqlfile import free_bytes
from safeupdater.stores.sqljournal import append, ended_before, forget
from safeupdater.stores.sqlleases import lease_row, write_lease
from safeupdater.stores.sqlrecords import delete_record, get_record, put_record
from safeupdater.stores.sqlsession import Session, make_engine, server_endpoint

_SNAPSHOT = "snapshot"
_FORGOTTEN_AT_ONCE = 200


class SqlStore:
    """Records, journal and leases in tables prefixed ``safeupdater_``, shared by any number of processes.

    ``database`` is a URL, or an SQLAlchemy ``Engine`` that stays the caller's. In PostgreSQL, snapshots are
    sealed with ``seal_key`` (32 bytes); without one they are refused, unless ``allow_plain_snapshots``
    says that whoever can read the database may read them. Leases run on the database's clock in
    PostgreSQL, on ``clock`` in SQLite. An SQLite file on a network file system is refused unless
    ``allow_network`` says that locks hold there.

    Raises:
        StoreError: the database does not answer or cannot be used, or its file is in no place for state
            (``network_file_system``, ``unsafe_place``).
        CorruptState: it is damaged, another program's or of a newer version; it was left as it is.
    """

    def __init__(
        self,
        database: str | Engine,
        clock: Clock | None = None,
        *,
        seal_key: bytes | None = None,
        allow_plain_snapshots: bool = False,
        allow_network: bool = False,
        mounts: MountTable = system_mounts,
        is_dead: IsDead = is_provably_dead,
    ) -> None:
        self._clock = clock or SystemClock()
        self._watch = LeaseWatch(self._clock, is_dead)
        self._seal = Seal(seal_key) if seal_key is not None else None
        self._allow_plain_snapshots = allow_plain_snapshots
        owned = isinstance(database, str)
        engine = (
            make_engine(database, allow_network=allow_network, mounts=mounts)
            if isinstance(database, str)
            else database
        )
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
        found = self._session.read(lambda connection: get_record(connection, kind, key))
        if found is None:
            return None
        version, body = found
        return Stored(self._decode(kind, key, body), version)

    def put(self, kind: str, key: str, value: object, *, expected: int | None = None) -> int:
        """See ``StateStore.put``."""
        kind_of(kind, value)
        require_key(key)
        body = self._encode(kind, key, value)
        return self._session.write(lambda connection: put_record(connection, kind, key, body, expected))

    def put_many(
        self, kind: str, values: Mapping[str, object], *, expected: Mapping[str, int] | None = None
    ) -> None:
        """See ``StateStore.put_many``: one transaction."""
        for key, value in values.items():
            kind_of(kind, value)
            require_key(key)
        bodies = {key: self._encode(kind, key, value) for key, value in values.items()}
        wanted = expected or {}

        def put_all(connection: Connection) -> None:
            for key, body in bodies.items():
                put_record(connection, kind, key, body, wanted.get(key))

        self._session.write(put_all)

    def delete(self, kind: str, key: str, *, expected: int | None = None) -> None:
        """See ``StateStore.delete``."""
        self._session.write(lambda connection: delete_record(connection, kind, key, expected))

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
        self._session.write(lambda connection: append(connection, offer, bodies, lease))
        return offer.version

    def load(self, operation_id: str, after: int = 0) -> tuple[JournalEntry, ...]:
        """See ``StateStore.load``."""
        columns = db.journal.c
        query = select(db.journal).where(columns.operation_id == operation_id, columns.version > after)
        return self._entries(query.order_by(columns.version))

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

    def prune(self, before: datetime, *, keep_per_target: int, keep: Collection[str] = ()) -> int:
        """See ``StateStore.prune``; in several transactions, so that others need not wait for all of it."""
        check_pruning(before, keep_per_target)
        found = self._session.read(lambda connection: ended_before(connection, before, keep_per_target))
        gone = [operation_id for operation_id in found if operation_id not in keep]
        for begin in range(0, len(gone), _FORGOTTEN_AT_ONCE):
            some = gone[begin : begin + _FORGOTTEN_AT_ONCE]
            self._session.write(functools.partial(forget, operation_ids=some))
        return len(gone)

    # leases

    def acquire(self, key: str, holder: str, ttl_s: float) -> Lease | None:
        """See ``StateStore.acquire``."""
        require_key(key)

        def take(connection: Connection) -> Lease | None:
            row, now = lease_row(connection, key), self._now(connection)
            after = taken(row, key, holder, ttl_s, now)
            if not self._watch.may_take(row, holder, now):
                return None
            write_lease(connection, after, is_new=row is None)
            return after.as_lease()

        return self._session.write(take)

    def lease_on(self, key: str) -> LeaseSeen | None:
        """See ``StateStore.lease_on``."""
        return self._session.read(
            lambda connection: self._watch.seen(lease_row(connection, key), self._now(connection))
        )

    def renew(self, lease: Lease, ttl_s: float) -> Lease:
        """See ``StateStore.renew``."""

        def renew(connection: Connection) -> Lease:
            row = renewed(lease_row(connection, lease.key), lease, ttl_s, self._now(connection))
            write_lease(connection, row)
            return row.as_lease()

        return self._session.write(renew)

    def release(self, lease: Lease) -> None:
        """See ``StateStore.release``."""

        def release(connection: Connection) -> None:
            row = lease_row(connection, lease.key)
            if row is not None and row.belongs_to(lease):
                write_lease(connection, attrs.evolve(row, holder=None))

        self._session.write(release)

    def free_bytes(self) -> int | None:
        """See ``MeasuredStore.free_bytes``: by disk and ``max_page_count`` in SQLite; else not known."""
        return None if self._session.is_shared else self._session.read(free_bytes)

    def server_endpoint(self) -> tuple[str, int] | None:
        """See ``RemoteStore.server_endpoint``: of PostgreSQL, unless it is reached over a Unix socket."""
        return self._session.read(server_endpoint) if self._session.is_shared else None

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
                "seal_key= (SAFEUPDATER_SEAL_KEY), or say allow_plain_snapshots=True; "
                "the snapshot was not stored",
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
