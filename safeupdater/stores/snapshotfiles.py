"""Snapshots hold secrets: in a JSON store each lies in a file of its own that only its owner can read."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path

import attrs

from safeupdater.codec import decode, dumps, encode, loads
from safeupdater.errors import CorruptState
from safeupdater.stores.filesystem import FileSystem

DIRECTORY = "snapshots"
_NAME = re.compile(r"[0-9a-f]{32}-[0-9]+\.json(\.new)?")


@attrs.frozen
class FileValue:
    """What stands in memory for a value that lies in a file: the file's name and its content's hash."""

    name: str
    sha256: str


class SnapshotFiles:
    """The snapshot files of one store."""

    def __init__(self, files: FileSystem, directory: Path) -> None:
        self._files = files
        self._directory = directory / DIRECTORY

    def write(self, key: str, version: int, value: object) -> FileValue:
        """Writes a snapshot durably, under a name that no other has. May raise ``OSError``."""
        data = dumps(encode(value)) + b"\n"
        name = f"{hashlib.sha256(key.encode()).hexdigest()[:32]}-{version}.json"
        self._files.make_directory(self._directory)
        self._files.create(self._directory / name, data)
        self._files.sync_directory(self._directory)
        return FileValue(name, hashlib.sha256(data).hexdigest())

    def read(self, reference: FileValue) -> object:
        """The snapshot in a file.

        Raises:
            CorruptState: the file is missing or is not what was written.
        """
        path = self._directory / reference.name
        data = self._files.read(path)
        if data is None:
            raise CorruptState(f"{path} is missing: restore it from a backup")
        if hashlib.sha256(data).hexdigest() != reference.sha256:
            raise CorruptState(f"{path} is damaged: its checksum does not match; restore it from a backup")
        return decode("snapshot", loads(data))

    def remove(self, reference: FileValue) -> None:
        """Removes a file that nothing refers to any more. May raise ``OSError``."""
        self._files.remove(self._directory / reference.name)

    def remove_all_but(self, kept: Iterable[FileValue]) -> None:
        """Removes what a crash left: files of ours that nothing refers to. May raise ``OSError``."""
        names = {reference.name for reference in kept}
        for name in self._files.names(self._directory):
            if name not in names and _NAME.fullmatch(name):
                self._files.remove(self._directory / name)
