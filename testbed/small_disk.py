"""A small disk of its own (tmpfs), for tests of what happens when it is full."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

from testbed.processes import Unavailable

_BALLAST = "ballast"


class SmallDisk:
    """A mounted file system of that many bytes at ``path``, gone when the block ends. Mounting needs root."""

    def __init__(self, size_bytes: int) -> None:
        self._size_bytes = size_bytes
        self._directory = tempfile.TemporaryDirectory(prefix="su-disk-")
        self.path = Path(self._directory.name)

    def __enter__(self) -> Self:
        options = f"size={self._size_bytes},mode=0700"
        command = ["mount", "-t", "tmpfs", "-o", options, "safeupdater-test", str(self.path)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            self._directory.cleanup()
            raise Unavailable(f"a small disk cannot be mounted: {done.stderr.strip()}")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        subprocess.run(["umount", "--lazy", str(self.path)], check=True)
        self._directory.cleanup()

    def fill(self) -> None:
        """Leaves not one byte free."""
        handle = os.open(self.path / _BALLAST, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            for size in (65_536, 4096, 1):
                self._write_while_it_fits(handle, bytes(size))
        finally:
            os.close(handle)

    def free(self) -> None:
        """Gives back what ``fill`` took."""
        (self.path / _BALLAST).unlink()

    def _write_while_it_fits(self, handle: int, data: bytes) -> None:
        try:
            while os.write(handle, data) == len(data):
                pass
        except OSError:
            return
