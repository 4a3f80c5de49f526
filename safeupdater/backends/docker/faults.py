"""The one table from what a daemon (or the way to it) says to our errors: code, retry or not, what to do."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TypeAlias

import attrs

from safeupdater.errors import BackendError, DockerConnectionError


@attrs.frozen
class Fault:
    """A code, whether the same call may work later, and a sentence that says what to do."""

    code: str
    transient: bool
    advice: str


DAEMON_ABSENT = Fault(
    "daemon_absent", True, "is Docker installed and running? (systemctl start docker; DOCKER_HOST)"
)
_PERMISSION = Fault(
    "permission_denied", False, "run as root or as a member of the group that owns the socket"
)
_TIMEOUT = Fault("daemon_timeout", True, "it did not answer in time; whether the call took effect is unknown")
_UNREACHABLE = Fault(
    "daemon_unreachable", True, "the connection broke; whether the call took effect is unknown"
)
_TLS = Fault(
    "tls_failed", False, "check DOCKER_CERT_PATH and that its ca.pem signed the daemon's certificate"
)
_DISK_FULL = Fault(
    "disk_full", False, "the daemon's disk is full: free space (docker system df) and try again"
)
_API_TOO_OLD = Fault("api_version", False, "upgrade safeupdater, or set an older minimum API on the daemon")
_API_TOO_NEW = Fault(
    "api_version", False, "upgrade the daemon: Docker 20.10 (API 1.41) is the oldest that works"
)

_HEADS: Mapping[str, str] = {
    DAEMON_ABSENT.code: "there is no Docker daemon at {where}",
    _PERMISSION.code: "this user may not use the Docker daemon at {where}",
}

_Patterns: TypeAlias = tuple[tuple[re.Pattern[str], Fault], ...]


def _patterns(*rows: tuple[str, Fault]) -> _Patterns:
    return tuple((re.compile(pattern, re.IGNORECASE), fault) for pattern, fault in rows)


_FROM_MESSAGE = _patterns(
    (r"no space left on device|disk quota exceeded", _DISK_FULL),
    (r"client version \S+ is too old", _API_TOO_OLD),
    (r"client version \S+ is too new", _API_TOO_NEW),
    (
        r"no matching manifest for|does not match the specified platform",
        Fault("platform_mismatch", False, "the image does not exist for this machine's platform"),
    ),
)

# Only a pull talks to a registry: a volume plugin, a log driver and the OCI runtime say the same words of
# something else.
_FROM_PULL = _FROM_MESSAGE + _patterns(
    (
        r"toomanyrequests|rate limit|HTTP status:? 429|HTTP 429 response",
        Fault("rate_limited", True, "the registry asks to come back later"),
    ),
    (
        r"server gave HTTP response to HTTPS client",
        Fault("registry_tls", False, "the registry speaks plain HTTP: see insecure-registries of the daemon"),
    ),
    (
        r"x509: |certificate signed by|tls: failed to verify|certificate has expired",
        Fault(
            "registry_tls",
            False,
            "the daemon does not trust the registry's certificate: see /etc/docker/certs.d",
        ),
    ),
    (
        r"unauthorized|authentication required|denied: |access denied|no basic auth"
        r"|HTTP status:? 40[13]|HTTP 40[13] response",
        Fault("registry_denied", False, "log in to the registry (docker login) as the user who runs this"),
    ),
    (
        r"verification failed|digest mismatch|unexpected commit digest",
        Fault("digest_mismatch", False, "the registry serves other bits than were decided on: plan again"),
    ),
    (
        r"manifest unknown|manifest for .* not found|not found: manifest|unknown blob|blob unknown"
        r"|failed to resolve reference .* not found|HTTP status:? 404|HTTP 404 response",
        Fault("image_gone", False, "the registry no longer has this image: plan again"),
    ),
    (
        r"HTTP status:? 5\d\d|HTTP 5\d\d response",
        Fault("registry_failed", True, "the registry itself failed: try again later, or look at its log"),
    ),
    (
        r"dial tcp|i/o timeout|connection refused|connection reset|TLS handshake|no such host|EOF$"
        r"|context deadline exceeded|request canceled",
        Fault(
            "registry_unreachable",
            True,
            "the daemon cannot reach the registry: check its network, DNS and proxy",
        ),
    ),
)

_NOT_ALLOWED = Fault("forbidden", False, "the daemon, or a proxy in front of it, does not allow this call")
_FROM_STATUS: Mapping[int, Fault] = {
    400: Fault("bad_request", False, "the daemon does not understand the request"),
    401: Fault("forbidden", False, "the daemon, or a proxy in front of it, wants authentication"),
    403: _NOT_ALLOWED,
    405: _NOT_ALLOWED,
    404: Fault("not_found", False, "it is not there any more"),
    409: Fault("conflict", False, "somebody else is changing it, or its name is taken"),
    501: Fault("not_supported", False, "this daemon does not offer this call"),
}
_SERVER_ERROR = Fault("daemon_error", True, "the daemon failed; see its log (journalctl -u docker)")


def fault_of_message(message: str, status: int = 500) -> Fault:
    """The fault that an error answer means: by its text where that is known, else by its status."""
    return _fault(_FROM_MESSAGE, message, status)


def fault_of_pull(message: str, status: int = 500) -> Fault:
    """The same for a pull, where the text may be a registry's."""
    return _fault(_FROM_PULL, message, status)


def _fault(patterns: _Patterns, message: str, status: int) -> Fault:
    known = (fault for pattern, fault in patterns if pattern.search(message))
    return next(known, _FROM_STATUS.get(status, _SERVER_ERROR))


def refusal(doing: str, status: int, message: str, *, is_pull: bool = False) -> BackendError:
    """The error for an answer that the caller did not expect."""
    fault = fault_of_pull(message, status) if is_pull else fault_of_message(message, status)
    said = one_line(message)
    return _error(f"Docker could not {doing}" + (said and f": {said}"), fault, status=status)


def failure(doing: str, where: str, error: Exception) -> BackendError:
    """The error for a call that got no answer, by what went wrong beneath."""
    fault = _fault_of_exception(error)
    head = _HEADS.get(fault.code, "the Docker daemon at {where} did not answer when it was to {doing}")
    return _error(head.format(where=where, doing=doing), fault)


def _error(message: str, fault: Fault, **evidence: object) -> BackendError:
    return BackendError(f"{message}: {fault.advice}", code=fault.code, transient=fault.transient, **evidence)


def _fault_of_exception(error: Exception) -> Fault:
    import requests

    beneath = list(_causes(error))
    if any(isinstance(cause, PermissionError) for cause in beneath):
        return _PERMISSION
    if isinstance(error, requests.exceptions.SSLError):
        return _TLS
    if any(isinstance(cause, FileNotFoundError | ConnectionRefusedError) for cause in beneath):
        return DAEMON_ABSENT
    if isinstance(error, requests.exceptions.Timeout) or "timed out" in str(error).lower():
        return _TIMEOUT
    return _UNREACHABLE


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """The error, what caused it, and what either carries as an argument (as urllib3's errors do)."""
    seen: set[int] = set()
    waiting: list[object] = [error]
    while waiting:
        current = waiting.pop()
        if not isinstance(current, BaseException) or id(current) in seen:
            continue
        seen.add(id(current))
        yield current
        waiting += [current.__cause__, current.__context__, getattr(current, "reason", None), *current.args]


def one_line(text: str, limit: int = 300) -> str:
    """Foreign text made fit for a message: no control characters, not too long."""
    clean = "".join(char if char.isprintable() else " " for char in text).strip()
    return clean if len(clean) <= limit else clean[: limit - 1] + "…"


@contextmanager
def as_scan_error() -> Iterator[None]:
    """Turns what the client raises into what a scan may raise."""
    try:
        yield
    except BackendError as error:
        raise DockerConnectionError(
            error.message, code=error.code, transient=error.transient, **error.evidence
        ) from error
