"""A target on which nothing can be healthy: what a probe is tried on to see that it can fail."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from types import TracebackType

from safeupdater.protocols import ExecResult


class ClosedPort:
    """A port on loopback that refuses connections for as long as the ``with`` block lasts.

    The port stays bound without listening, so that nobody else can open it meanwhile. Commands fail.
    """

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)

    def __enter__(self) -> ClosedPort:
        self._socket.bind(("127.0.0.1", 0))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    def address(self, port: int | None) -> tuple[str, int]:
        """The closed port, whichever is asked for."""
        return "127.0.0.1", self._socket.getsockname()[1]

    def execute(self, argv: Sequence[str], timeout_s: float) -> ExecResult:
        """No command succeeds here."""
        return ExecResult(exit_code=127)
