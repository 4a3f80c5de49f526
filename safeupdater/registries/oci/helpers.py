"""Docker credential helpers: a named program that is asked for one login, within bounds."""

from __future__ import annotations

import contextlib
import os
import re
import selectors
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping

import attrs
import msgspec

from safeupdater.errors import RegistryError

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,63}", re.ASCII)
_MAX_OUTPUT = 64 * 1024


class _Answer(msgspec.Struct):
    Username: str
    Secret: str


@attrs.frozen
class CredentialHelper:
    """``docker-credential-<name>``, found on the absolute directories of ``PATH`` and run without a shell."""

    name: str
    environ: Mapping[str, str] = attrs.field(repr=False)
    deadline_s: float = 10.0

    def get(self, server: str) -> tuple[str, str] | None:
        """User name and secret for a server; None where the helper has none.

        Raises:
            RegistryError: the helper is missing, cannot be run, hangs, fails or answers nonsense. What it
                printed is not repeated: it may hold the secret.
        """
        status, output = self._run(server)
        if status != 0:
            if b"credentials not found" in output[:1024].lower():
                return None
            raise self._failure(f"ended with status {status}: try `{self._program} get`")
        try:
            answer = msgspec.json.decode(output, type=_Answer)
        except (msgspec.MsgspecError, RecursionError, ValueError):
            raise self._failure("did not answer with a login in JSON") from None
        return (answer.Username, answer.Secret) if answer.Secret else None

    @property
    def _program(self) -> str:
        return f"docker-credential-{self.name}"

    def _run(self, server: str) -> tuple[int, bytes]:
        process = self._started()
        try:
            return self._converse(process, server)
        finally:
            # Its whole group: a helper that forked must not keep running with our question.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    with contextlib.suppress(OSError):
                        pipe.close()
            process.wait()

    def _started(self) -> subprocess.Popen[bytes]:
        program = self._located()
        try:
            return subprocess.Popen(
                [program, "get"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL, env=dict(self.environ), start_new_session=True, cwd="/",
            )  # fmt: skip
        except OSError as error:
            why = os.strerror(error.errno or 0)
            raise self._failure(
                f"cannot be run ({why}): install it for this machine, or remove it from the docker config"
            ) from None

    def _converse(self, process: subprocess.Popen[bytes], server: str) -> tuple[int, bytes]:
        assert process.stdin is not None
        assert process.stdout is not None
        ends_at = time.monotonic() + self.deadline_s
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(server.encode() + b"\n")
            process.stdin.close()
        output = self._read(process.stdout.fileno(), ends_at)
        try:
            return process.wait(max(0.0, ends_at - time.monotonic())), output
        except subprocess.TimeoutExpired:
            raise self._failure(f"did not end within {self.deadline_s:.0f} s") from None

    def _read(self, descriptor: int, ends_at: float) -> bytes:
        output = bytearray()
        with selectors.DefaultSelector() as selector:
            selector.register(descriptor, selectors.EVENT_READ)
            while True:
                if not selector.select(max(0.0, ends_at - time.monotonic())):
                    raise self._failure(f"did not answer within {self.deadline_s:.0f} s")
                chunk = os.read(descriptor, 8192)
                output += chunk
                if not chunk:
                    return bytes(output)
                if len(output) > _MAX_OUTPUT:
                    raise self._failure("answered with more than 64 KiB")

    def _located(self) -> str:
        if _NAME.fullmatch(self.name) is None:
            raise RegistryError(
                f"{self.name[:40]!a} is not the name of a credential helper: letters, digits and - only",
                code="credential_helper",
            )
        directories = self.environ.get("PATH", "/usr/local/bin:/usr/bin:/bin").split(os.pathsep)
        absolute = os.pathsep.join(directory for directory in directories if directory.startswith("/"))
        found = shutil.which(self._program, path=absolute)
        if found is None:
            raise self._failure("is not on PATH: install it, or remove it from the docker config")
        return found

    def _failure(self, what: str) -> RegistryError:
        return RegistryError(f"the credential helper {self._program} {what}", code="credential_helper")
