"""What went wrong, in one sentence that says what to do: the one table of errors of the registry client."""

from __future__ import annotations

import http.client
import re
import socket
import ssl
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import attrs
import msgspec

from safeupdater.errors import MalformedResponse, RateLimited, RegistryError
from safeupdater.registries.oci.settings import Limits


def from_exception(error: Exception, host: str) -> RegistryError:
    """Our error for one of the transport's; the caller raises it from the original."""
    import urllib3.exceptions

    cause = _innermost(error)
    if isinstance(cause, RegistryError):
        return cause
    if isinstance(cause, ssl.SSLError):
        return RegistryError(_tls_message(cause, host), code="tls_error", host=host)
    if isinstance(cause, TimeoutError | urllib3.exceptions.TimeoutError):
        return RegistryError(
            f"{host} did not answer in time: try again later, or check the network to it",
            code="timeout", transient=True, host=host,
        )  # fmt: skip
    if isinstance(cause, socket.gaierror):
        return RegistryError(
            f"{host} does not resolve: check its name and the DNS",
            code="unresolved",
            transient=True,
            host=host,
        )
    if isinstance(cause, http.client.IncompleteRead | urllib3.exceptions.IncompleteRead):
        return RegistryError(
            f"{host} broke off in the middle of an answer: try again later",
            code="incomplete", transient=True, host=host,
        )  # fmt: skip
    if isinstance(cause, OSError):
        return RegistryError(
            f"{host} cannot be reached ({_reason(cause)}): check that it runs and the network to it",
            code="unreachable", transient=True, host=host,
        )  # fmt: skip
    return MalformedResponse(
        f"{host} does not speak proper HTTP ({type(cause).__name__}): check that it is a registry", host=host
    )


def _innermost(error: BaseException) -> BaseException:
    """What the transport wrapped: its own wrappers carry the cause as last argument or as context."""
    import urllib3.exceptions

    seen = error
    while isinstance(seen, urllib3.exceptions.ProtocolError | urllib3.exceptions.SSLError):
        inner = seen.args[-1] if seen.args else None
        if not isinstance(inner, BaseException) or isinstance(seen, urllib3.exceptions.IncompleteRead):
            break
        seen = inner
    return seen


def _tls_message(error: ssl.SSLError, host: str) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        why = re.sub(r"[^A-Za-z0-9 .,'_-]", "", error.verify_message)[:120]
        return f"the certificate of {host} is not trusted ({why}): name its authority with ca_file"
    why = re.sub(r"[^A-Za-z0-9 _]", "", error.reason or "TLS error")[:60]
    return f"no TLS connection to {host} ({why}): if it serves plain HTTP, declare plain_http"


def _reason(error: OSError) -> str:
    return re.sub(r"[^A-Za-z0-9 ,'-]", "", error.strerror or type(error).__name__)[:60]


@attrs.frozen
class Asked:
    """What a request was about, for error messages."""

    registry: str
    repository: str
    what: str
    logged_in: bool = False

    def __str__(self) -> str:
        return f"{self.what} of {self.registry}/{self.repository}"


def from_status(
    status: int, headers: Mapping[str, str], body: bytes, asked: Asked, limits: Limits, now: datetime
) -> RegistryError:
    """Our error for an answer that is not the one that was asked for."""
    codes = error_codes(body)
    evidence = {
        "status": status, "registry": asked.registry, "repository": asked.repository, "registry_codes": codes,
    }  # fmt: skip
    if status == 429 or "TOOMANYREQUESTS" in codes:
        return _rate_limited(headers, asked, limits, now, evidence)
    code, transient, message = _by_status(status, asked)
    return RegistryError(message, code=code, transient=transient, **evidence)


def _by_status(status: int, asked: Asked) -> tuple[str, bool, str]:
    registry = asked.registry
    login = f"`docker login {registry}`"
    match status:
        case 401 if asked.logged_in:
            hint = f"renew them with {login}, or the repository does not exist"
            return "unauthorized", False, f"{registry} refuses our credentials for the {asked}: {hint}"
        case 401:
            hint = f"run {login} or pass credentials, or the repository does not exist"
            return "unauthorized", False, f"{registry} wants a login for the {asked}: {hint}"
        case 403:
            hint = f"ask for the right to pull, or renew an expired login with {login}"
            return "forbidden", False, f"{registry} denies us the {asked}: {hint}"
        case 404:
            return "not_found", False, f"{registry} has no {asked.what} of {asked.repository}: check the name"
        case _ if status >= 500:
            return "server_error", True, f"{registry} answered {status} for the {asked}: try again later"
        case _:
            hint = "check that it is a registry and its name"
            return "unexpected_status", False, f"{registry} answered {status} for the {asked}: {hint}"


def _rate_limited(
    headers: Mapping[str, str], asked: Asked, limits: Limits, now: datetime, evidence: Mapping[str, object]
) -> RateLimited:
    wait_s = retry_after_s(headers.get("retry-after"), limits, now)
    when = f"in {wait_s:.0f} s" if wait_s is not None else "later"
    hint = "" if asked.logged_in else ", or log in for a larger allowance"
    error = RateLimited(
        f"{asked.registry} asks us to slow down: try again {when}{hint}", retry_after_s=wait_s
    )
    error.evidence.update(evidence)
    return error


def retry_after_s(text: str | None, limits: Limits, now: datetime) -> float | None:
    """The seconds of a ``Retry-After`` (RFC 9110 §10.2.3), within our bounds; None where there is none."""
    if text is None:
        return None
    text = text.strip()
    if re.fullmatch(r"[0-9]{1,12}", text, re.ASCII):
        wanted = float(text)
    else:
        try:
            moment = parsedate_to_datetime(text[:64])
        except (ValueError, TypeError, IndexError, OverflowError):
            return limits.retry_after_min_s
        wanted = ((moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - now).total_seconds()
    return min(max(wanted, limits.retry_after_min_s), limits.retry_after_max_s)


class _Detail(msgspec.Struct):
    code: object = None


class _Errors(msgspec.Struct):
    errors: list[_Detail] = []


def error_codes(body: bytes) -> tuple[str, ...]:
    """The machine-readable codes of an OCI error body; its free text is never repeated by us."""
    try:
        details = msgspec.json.decode(body[:65536], type=_Errors).errors[:10]
    except (msgspec.MsgspecError, RecursionError, ValueError):
        return ()
    codes = (detail.code for detail in details)
    return tuple(code for code in codes if isinstance(code, str) and re.fullmatch(r"[A-Z_]{1,40}", code))
