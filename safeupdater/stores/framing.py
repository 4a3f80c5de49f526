"""The lines of a journal file: numbered, measured, checksummed, and what damage to them means.

A line is JSON as a whole: ``{"seq":7,"sha256":"<16 hex>","bytes":42,"record":{…}}``. The checksum covers the
number and the record. A crash can leave the last line unfinished; then it was never acknowledged and may go.
A finished line that is not what was written is damage, and nothing is guessed about it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator

import attrs

from safeupdater.codec import dumps
from safeupdater.errors import CorruptState

_HEAD = re.compile(rb'\{"seq":(\d{1,18}),"sha256":"([0-9a-f]{16})","bytes":(\d{1,12}),"record":')


@attrs.frozen
class Line:
    """One good line: its number, its record's JSON and its checksum."""

    seq: int
    record: bytes
    checksum: str

    @property
    def raw(self) -> bytes:
        """The whole line as it is in the file, with its end."""
        return b'{"seq":%d,"sha256":"%s","bytes":%d,"record":%s}\n' % (
            self.seq,
            self.checksum.encode(),
            len(self.record),
            self.record,
        )


@attrs.frozen
class Scan:
    """What a journal file holds: its good lines, how many bytes they are, and what follows them.

    ``tail`` is what a crash left unfinished. ``unterminated`` says that the last good line is complete
    but for its end: it counts, and its end has to be written.
    """

    lines: tuple[Line, ...]
    good_bytes: int
    tail: bytes = b""
    unterminated: bool = False


def frame(seq: int, record: object) -> Line:
    """The line that holds a record."""
    body = dumps(record)
    return Line(seq, body, _checksum(seq, body))


def scan(data: bytes, name: str) -> Scan:
    """The lines of a journal file.

    Raises:
        CorruptState: a finished line is damaged, or one is missing; ``name`` is the file's.
    """
    lines: list[Line] = []
    begin = 0
    for number, raw in enumerate(_finished(data), start=1):
        line = _parse(raw)
        if line is None:
            raise _damaged(name, number, begin, "its checksum does not match what it holds")
        _expect_next(lines, line, name, number, begin)
        lines.append(line)
        begin += len(raw) + 1
    return _with_tail(lines, data[begin:], begin, name)


def _finished(data: bytes) -> Iterator[bytes]:
    begin = 0
    while (end := data.find(b"\n", begin)) >= 0:
        yield data[begin:end]
        begin = end + 1


def _expect_next(lines: list[Line], line: Line, name: str, number: int, begin: int) -> None:
    if lines and line.seq != lines[-1].seq + 1:
        raise _damaged(
            name, number, begin, f"it has number {line.seq} after {lines[-1].seq}: lines are missing"
        )


def _with_tail(lines: list[Line], tail: bytes, begin: int, name: str) -> Scan:
    unfinished = tail.rstrip(b"\0")
    if not unfinished:
        return Scan(tuple(lines), begin, tail)
    line = _parse(unfinished)
    if line is not None:
        _expect_next(lines, line, name, len(lines) + 1, begin)
        return Scan((*lines, line), begin + len(unfinished), tail[len(unfinished) :], unterminated=True)
    head = _HEAD.match(unfinished)
    if head is not None and len(unfinished) > head.end() + int(head[3]):
        raise _damaged(name, len(lines) + 1, begin, "it is complete but ends wrongly")
    return Scan(tuple(lines), begin, tail)


def _parse(raw: bytes) -> Line | None:
    head = _HEAD.match(raw)
    if head is None or len(raw) != head.end() + int(head[3]) + 1 or not raw.endswith(b"}"):
        return None
    seq, body = int(head[1]), raw[head.end() : -1]
    checksum = _checksum(seq, body)
    return Line(seq, body, checksum) if checksum == head[2].decode() else None


def _checksum(seq: int, body: bytes) -> str:
    return hashlib.sha256(b"%d:%s" % (seq, body)).hexdigest()[:16]


def _damaged(name: str, number: int, begin: int, what: str) -> CorruptState:
    return CorruptState(
        f"{name}: line {number} (byte {begin}) is damaged: {what}. Nothing was changed: "
        "restore the directory from a backup, or import an export into a new one",
        line=number,
        byte=begin,
    )
