"""Room that a JSON store keeps for the way back of an update, should the disk be full by then."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from safeupdater.stores.filesystem import FileSystem

NAME = "reserve"
SIZE_BYTES = 64 * 1024


class Reserve:
    """A file of 64 KiB that is removed when its room is needed, and made again when there is some."""

    def __init__(self, files: FileSystem, directory: Path) -> None:
        self._files = files
        self._path = directory / NAME
        self._is_there = False

    def fill(self) -> None:
        """Makes it, where it is missing. A disk without room for it is not an error."""
        if self._is_there:
            return
        try:
            if len(self._files.read(self._path) or b"") != SIZE_BYTES:
                # Random, since a file system that compresses would keep no room for zeros.
                self._files.create(self._path, os.urandom(SIZE_BYTES))
            self._is_there = True
        except OSError:
            with contextlib.suppress(OSError):
                self._files.remove(self._path)  # a part of it would only take up what is left

    def release(self) -> bool:
        """Gives its room back to the disk; whether there was any to give."""
        if not self._is_there:
            return False
        self._is_there = False
        self._files.remove(self._path)
        return True
