"""What can fail, and what a caller may do about it.

An answer we do not like is a value; *not getting an answer* is an exception. Every exception carries a
stable ``code``, whether trying again later may help (``transient``), and its evidence as attributes.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from types import TracebackType
from typing import ClassVar

import attrs


class ErrorClass(enum.Enum):
    """What to do about an error: retry it, stop and tell somebody, or roll back."""

    TRANSIENT = "transient"
    PERMANENT = "permanent"
    RECOVERABLE = "recoverable"


class SafeUpdaterError(Exception):
    """Base of everything that safeupdater raises.

    ``code`` is stable and machine-readable; ``transient`` says that the same call may work later;
    ``evidence`` holds what was seen. None of them ever holds a credential.
    """

    code: str = "error"
    transient: bool = False
    error_class: ClassVar[ErrorClass] = ErrorClass.PERMANENT

    def __init__(
        self, message: str, *, code: str | None = None, transient: bool | None = None, **evidence: object
    ) -> None:
        super().__init__(message)
        self.message = message
        self.evidence: dict[str, object] = evidence
        if code is not None:
            self.code = code
        if transient is not None:
            self.transient = transient

    def __str__(self) -> str:
        return self.message


def classify(error: BaseException) -> ErrorClass:
    """The class of an error: transient → retry with backoff, permanent → fail fast, recoverable → roll back.

    A foreign exception is permanent: we do not know that trying again is safe.
    """
    if not isinstance(error, SafeUpdaterError):
        return ErrorClass.PERMANENT
    return ErrorClass.TRANSIENT if error.transient else error.error_class


# --- configuration ---------------------------------------------------------------------------------------


@attrs.frozen
class Problem:
    """One thing wrong with a configuration file: where it is and what was expected."""

    path: str
    message: str
    line: int | None = None
    column: int | None = None

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


class ConfigurationError(SafeUpdaterError):
    """A configuration cannot be used; ``problems`` lists everything that is wrong with it at once."""

    code = "configuration_error"

    def __init__(
        self,
        message: str,
        *,
        problems: Iterable[Problem] = (),
        source: str | None = None,
        code: str | None = None,
    ) -> None:
        super().__init__(message, code=code)
        self.problems = tuple(problems)
        self.source = source

    def __str__(self) -> str:
        lines = [self._located(problem) for problem in self.problems]
        return "\n".join(lines) if lines else self.message

    def _located(self, problem: Problem) -> str:
        place = [self.source or "policy"]
        if problem.line is not None:
            place += [str(problem.line), str(problem.column or 1)]
        return f"{':'.join(place)}: {problem}"


class MissingExtraError(ConfigurationError):
    """An optional part was used without its extra being installed."""

    code = "missing_extra"


# --- parsing ---------------------------------------------------------------------------------------------


class InvalidVersion(SafeUpdaterError, ValueError):
    """A text is not a version."""

    code = "invalid_version"


class InvalidReference(SafeUpdaterError, ValueError):
    """A text is not an image reference, a chart reference or an asset id."""

    code = "invalid_reference"


# --- discovery -------------------------------------------------------------------------------------------


class ScanError(SafeUpdaterError):
    """A runtime could not be scanned."""

    code = "scan_error"


class DockerConnectionError(ScanError):
    """The Docker daemon did not answer."""

    code = "docker_connection_error"


class KubernetesAuthError(ScanError):
    """The Kubernetes API refused our identity."""

    code = "kubernetes_auth_error"


class RegistryError(SafeUpdaterError):
    """A registry gave no usable answer. Never read as "up to date"."""

    code = "registry_error"


class RateLimited(RegistryError):
    """A registry asked us to come back later, after ``retry_after_s`` seconds where it said so."""

    code = "rate_limited"
    transient = True

    def __init__(
        self, message: str, *, retry_after_s: float | None = None, code: str | None = None, **evidence: object
    ) -> None:
        super().__init__(message, code=code, transient=None, **evidence)
        self.retry_after_s = retry_after_s


class MalformedResponse(RegistryError):
    """A server answered with something that breaks its own protocol or our limits."""

    code = "malformed_response"


# --- updating --------------------------------------------------------------------------------------------


class UpdateError(SafeUpdaterError):
    """An update did not succeed."""

    code = "update_error"
    error_class = ErrorClass.RECOVERABLE


class HealthCheckError(UpdateError):
    """The new version was judged unhealthy."""

    code = "health_check_error"


class BackendError(UpdateError):
    """A runtime did not answer a call, or refused it; whether the call took effect is *unknown*.

    ``transient`` means that the same step may be tried again: steps observe before they act.
    """

    code = "backend_error"


class RollbackError(SafeUpdaterError):
    """The old version could not be restored, or there is nothing to restore it from."""

    code = "rollback_error"


class IllegalTransition(SafeUpdaterError):
    """An event that the present state does not allow; nothing was changed."""

    code = "illegal_transition"


# --- state -----------------------------------------------------------------------------------------------


class StoreError(SafeUpdaterError):
    """The state store did not do what was asked; nothing may be assumed to be durable."""

    code = "store_error"


class VersionConflict(StoreError):
    """Somebody else wrote first: reload and decide again."""

    code = "version_conflict"


class StoreLocked(StoreError):
    """Another process writes to this store; ``pid`` names it where it is known."""

    code = "store_locked"
    transient = True

    def __init__(
        self, message: str, *, pid: int | None = None, code: str | None = None, **evidence: object
    ) -> None:
        super().__init__(message, code=code, transient=None, **evidence)
        self.pid = pid


class LeaseLost(StoreError):
    """The lease on a target is no longer ours: no further effect may be issued."""

    code = "lease_lost"


class CorruptState(StoreError):
    """Stored state is damaged, foreign or from a newer version; it was left exactly as it is."""

    code = "corrupt_state"


# --- extension -------------------------------------------------------------------------------------------


class PluginError(SafeUpdaterError):
    """A plugin is missing, claimed twice, raised, hung or returned nonsense."""

    code = "plugin_error"


class border:  # noqa: N801  written in a ``with``, as ``contextlib.suppress`` is
    """Foreign code is called in the body: what it raises is said without its text, which may hold anything.

    Raises:
        PluginError: it raised something else than an error of this tree, or tried to end the process.
    """

    __slots__ = ("_what",)

    def __init__(self, what: str) -> None:
        self._what = what

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, SafeUpdaterError) or not isinstance(error, Exception | SystemExit):
            return
        raise PluginError(f"{self._what} raised {type(error).__name__}") from error
