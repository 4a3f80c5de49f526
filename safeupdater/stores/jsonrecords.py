"""What the lines of a JSON store's journal say, as records: made here, and applied to a book here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from itertools import groupby
from typing import Any

import attrs

from safeupdater.codec import decode, decode_event, encode, encode_event, time_text
from safeupdater.domain.operation import JournalEntry
from safeupdater.errors import CorruptState
from safeupdater.stores.book import Book
from safeupdater.stores.leases import LeaseRow

FORMAT = "safeupdater-journal"
VERSION = 1


@attrs.frozen
class Header:
    """The first record of a journal: it goes at least as far as the line ``through``, and had that many
    bytes when it was last compacted."""

    through: int = 0
    compacted_bytes: int = 0

    @property
    def record(self) -> dict[str, Any]:
        """As it is stored."""
        return {"do": "begin", "format": FORMAT, "v": VERSION} | attrs.asdict(self)


def read_header(record: object, name: str) -> Header:
    """The header that a first record is.

    Raises:
        CorruptState: it is not our journal, or one of a newer version.
    """
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        raise CorruptState(f"{name} is not a safeupdater journal; nothing was changed", code="foreign_state")
    if record.get("v") != VERSION:
        raise CorruptState(
            f"{name} has format version {record.get('v')!a}, this safeupdater reads {VERSION}: "
            "it was written by a newer safeupdater; upgrade this one",
            code="newer_state",
        )
    through, compacted_bytes = record.get("through"), record.get("compacted_bytes")
    if type(through) is not int or type(compacted_bytes) is not int:
        raise CorruptState(f"{name} does not say how far it goes")
    return Header(through, compacted_bytes)


def put_record(kind: str, key: str, version: int, value: object) -> dict[str, Any]:
    """A record was written."""
    return {"do": "put", "kind": kind, "key": key, "version": version, "value": encode(value)}


def batch_record(records: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Several records that hold together or not at all."""
    return {"do": "batch", "records": list(records)}


def put_file_record(kind: str, key: str, version: int, file: str, sha256: str) -> dict[str, Any]:
    """A record was written whose value lies in a file of its own."""
    return {"do": "put_file", "kind": kind, "key": key, "version": version, "file": file, "sha256": sha256}


def delete_record(kind: str, key: str) -> dict[str, Any]:
    """A record was removed."""
    return {"do": "delete", "kind": kind, "key": key}


def floor_record(kind: str, version: int) -> dict[str, Any]:
    """Records of a kind were removed, the highest of them at that version."""
    return {"do": "floor", "kind": kind, "version": version}


def lease_record(row: LeaseRow) -> dict[str, Any]:
    """A lease was taken, renewed or given back."""
    return {
        "do": "lease",
        "key": row.key,
        "holder": row.holder,
        "epoch": row.epoch,
        "ttl_s": row.ttl_s,
        "renewed_at": time_text(row.renewed_at),
    }


def forget_record(operation_ids: Sequence[str]) -> dict[str, Any]:
    """The journals of ended operations were removed."""
    return {"do": "forget", "operations": list(operation_ids)}


def position_record(position: int) -> dict[str, Any]:
    """Entries were given positions up to that one; some of them are gone."""
    return {"do": "position", "position": position}


def append_record(entries: Sequence[JournalEntry]) -> dict[str, Any]:
    """Events were added to one operation, all by one append."""
    first = entries[0]
    return {
        "do": "append",
        "operation_id": first.operation_id,
        "target_id": first.target_id,
        "version": first.version,
        "position": first.position,
        "at": time_text(first.at),
        "epoch": first.epoch,
        "events": [encode_event(entry.event) for entry in entries],
    }


def append_records(journal: Sequence[JournalEntry]) -> Iterator[dict[str, Any]]:
    """A whole journal, in no more records than the appends that made it."""
    for _, run in groupby(journal, key=lambda entry: (entry.operation_id, entry.at, entry.epoch)):
        yield append_record(list(run))


def apply_record(book: Book, record: dict[str, Any], in_file: Callable[[str, str], object]) -> None:
    """Makes a book know what a record says; ``in_file`` gives what stands for a value in a file.

    Raises:
        CorruptState: the record says nothing that we know.
    """
    try:
        _APPLY[record["do"]](book, record, in_file)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CorruptState(f"its record cannot be read ({type(error).__name__})") from None


_InFile = Callable[[str, str], object]


def _apply_batch(book: Book, record: dict[str, Any], in_file: _InFile) -> None:
    for part in record["records"]:
        _APPLY[part["do"]](book, part, in_file)


def _apply_put(book: Book, record: dict[str, Any], _: _InFile) -> None:
    kind = record["kind"]
    book.apply_put(kind, record["key"], decode(kind, record["value"]), record["version"])


def _apply_put_file(book: Book, record: dict[str, Any], in_file: _InFile) -> None:
    value = in_file(record["file"], record["sha256"])
    book.apply_put(record["kind"], record["key"], value, record["version"])


def _apply_delete(book: Book, record: dict[str, Any], _: _InFile) -> None:
    book.apply_delete(record["kind"], record["key"])


def _apply_floor(book: Book, record: dict[str, Any], _: _InFile) -> None:
    book.apply_floor(record["kind"], record["version"])


def _apply_lease(book: Book, record: dict[str, Any], _: _InFile) -> None:
    book.apply_lease(
        LeaseRow(
            key=record["key"],
            holder=record["holder"],
            epoch=record["epoch"],
            ttl_s=record["ttl_s"],
            renewed_at=datetime.fromisoformat(record["renewed_at"]),
        )
    )


def _apply_forget(book: Book, record: dict[str, Any], _: _InFile) -> None:
    book.apply_forget(record["operations"])


def _apply_position(book: Book, record: dict[str, Any], _: _InFile) -> None:
    book.apply_position(record["position"])


def _apply_append(book: Book, record: dict[str, Any], _: _InFile) -> None:
    at = datetime.fromisoformat(record["at"])
    book.apply_entries(
        [
            JournalEntry(
                operation_id=record["operation_id"],
                target_id=record["target_id"],
                version=record["version"] + index,
                position=record["position"] + index,
                at=at,
                epoch=record["epoch"],
                event=decode_event(event),
            )
            for index, event in enumerate(record["events"])
        ]
    )


_APPLY: dict[str, Callable[[Book, dict[str, Any], _InFile], None]] = {
    "batch": _apply_batch,
    "put": _apply_put,
    "put_file": _apply_put_file,
    "delete": _apply_delete,
    "floor": _apply_floor,
    "lease": _apply_lease,
    "append": _apply_append,
    "forget": _apply_forget,
    "position": _apply_position,
}
