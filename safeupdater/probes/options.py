"""Reading the options of a health check: each function takes what was written and gives the value meant.

All raise ``ValueError`` with what was expected; none repeats a value that may be a secret.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

_SECONDS = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m)?")
_UNITS_S = {None: 1.0, "s": 1.0, "ms": 0.001, "m": 60.0}
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_AUTHORITY = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._-]*[A-Za-z0-9_])?(?::\d{1,5})?")
_STATUSES = re.compile(r"([1-5]\d\d)(?:\s*-\s*([1-5]\d\d))?")
_OURS = frozenset({"host", "connection", "content-length", "transfer-encoding", "accept-encoding"})
MAX_TIMEOUT_S = 300.0

LINE_PROTOCOL_PORTS = frozenset({21, 22, 23, 25, 110, 119, 143, 465, 587, 993, 995, 6379, 11211})
"""Ports of protocols that read commands line by line: an HTTP request there may be taken for some."""


def port(value: object) -> int:
    """A TCP port."""
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 65535:
        raise ValueError(f"expected a port from 1 to 65535, got {value!r}")
    return value


def http_port(value: object) -> int | None:
    """A port that may be spoken HTTP to; None: the only published one."""
    if value is None:
        return None
    number = port(value)
    if number in LINE_PROTOCOL_PORTS:
        raise ValueError(f"port {number} belongs to a protocol other than HTTP; use type: tcp")
    return number


def path(value: object) -> str:
    """A path with an optional query, as it goes onto the request line."""
    if not isinstance(value, str) or not value.startswith("/"):
        raise ValueError(f"expected a path that begins with '/', got {value!r}")
    if not all("!" <= character <= "~" for character in value) or "#" in value or "\\" in value:
        raise ValueError("expected printable ASCII without spaces, '#' and '\\'; percent-encode the rest")
    return value


def scheme(value: object) -> str:
    """``http`` or ``https``."""
    if value not in ("http", "https"):
        raise ValueError(f"expected http or https, got {value!r}")
    return str(value)


def method(value: object) -> str:
    """``GET`` or ``HEAD``: a probe changes nothing."""
    if not isinstance(value, str) or value.upper() not in ("GET", "HEAD"):
        raise ValueError(f"expected GET or HEAD, got {value!r}")
    return value.upper()


def timeout(value: object) -> float | None:
    """Seconds, as a number or as text like ``5s``, ``500ms``, ``1m``; None: what the caller allows."""
    if value is None:
        return None
    match = _SECONDS.fullmatch(str(value)) if isinstance(value, str | int | float) else None
    seconds = float(match[1]) * _UNITS_S[match[2]] if match and not isinstance(value, bool) else 0.0
    if not 0 < seconds <= MAX_TIMEOUT_S:
        raise ValueError(f"expected more than 0 and at most {MAX_TIMEOUT_S:g} seconds like 5s, got {value!r}")
    return seconds


def host(value: object) -> str:
    """A host name for the Host header and TLS, with an optional port; empty: the target's own."""
    if not isinstance(value, str) or (value and not _AUTHORITY.fullmatch(value)):
        raise ValueError(f"expected a host name, with a port where needed, got {value!r}")
    return value


def headers(value: object) -> Mapping[str, str]:
    """Further request headers. Values are never repeated: they may be credentials."""
    if not isinstance(value, Mapping):
        raise ValueError("expected a mapping of header names to values")
    for name, content in value.items():
        if not isinstance(name, str) or not _TOKEN.fullmatch(name):
            raise ValueError(f"{name!r} is not a header name")
        if name.lower() in _OURS:
            raise ValueError(
                f"the header {name!r} cannot be set" + (" (use host)" * (name.lower() == "host"))
            )
        if not isinstance(content, str) or not all(" " <= character <= "~" for character in content):
            raise ValueError(f"the header {name!r} must have one line of printable ASCII as its value")
    return MappingProxyType(dict(value))


def statuses(value: object) -> tuple[tuple[int, int], ...]:
    """Ranges of HTTP statuses with both ends: ``200``, ``"200-299"``, ``"200-299, 401"``, a list of those."""
    if isinstance(value, tuple | list):
        if value and all(isinstance(pair, tuple) for pair in value):
            return tuple(value)
        parts = [str(part) for part in value]
    else:
        parts = str(value).split(",")
    matches = [_STATUSES.fullmatch(part.strip()) for part in parts]
    ranges = tuple((int(match[1]), int(match[2] or match[1])) for match in matches if match)
    if not parts or not all(matches) or any(first > last for first, last in ranges):
        raise ValueError(f"expected statuses like 200, '200-299' or '200-299, 401', got {value!r}")
    return ranges


def text(value: object) -> str:
    """Any text."""
    if not isinstance(value, str):
        raise ValueError(f"expected text, got {value!r}")
    return value


def flag(value: object) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise ValueError(f"expected true or false, got {value!r}")
    return value


def fields(value: object) -> Mapping[str, object]:
    """Fields of a JSON object by dotted name, and what each must be."""
    if not isinstance(value, Mapping) or not all(isinstance(name, str) and name for name in value):
        raise ValueError("expected a mapping of dotted field names to values")
    for name, content in value.items():
        if not isinstance(content, str | int | float | bool | None):
            raise ValueError(
                f"the field {name!r} must be compared with a text, a number, true, false or null"
            )
    return MappingProxyType(dict(value))


def argv(value: object) -> tuple[str, ...]:
    """A command as a list: there is no shell to split a text."""
    if isinstance(value, str) or not isinstance(value, list | tuple):
        raise ValueError("expected a list like ['pg_isready', '-q']: no shell is used")
    if not value or not value[0] or not all(isinstance(word, str) and "\0" not in word for word in value):
        raise ValueError("expected a list of texts that begins with the program")
    return tuple(value)
