"""Taking known secrets, and what looks like a login, out of texts that are about to leave."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import parse_qsl, quote, quote_plus, unquote, urlsplit

from safeupdater.domain.secret import REDACTED, Secret

SHORTEST = 6
"""Shorter values are not looked for: they are part of too many words."""

_DEEPEST = 40

_LOGINS = (
    # the login of a URL: scheme://user:password@host
    (re.compile(r"(?i)\b([a-z][a-z0-9+.-]{1,20}://)[^\s/?#@'\"<>]+@"), rf"\1{REDACTED}@"),
    # a header, in whatever prints headers
    (
        re.compile(
            r"""(?ix) \b((?:proxy-)?authorization|x-registry-auth|x-registry-config|cookie|set-cookie)
            (["']?\s*[:=,]\s*\(?["']?)  (?:(?:basic|bearer|negotiate)\s+)?  [^\s"',;)}]+"""
        ),
        rf"\1\2{REDACTED}",
    ),
    (re.compile(r"(?i)\b(basic|bearer)\s+[a-z0-9._~+/=-]{16,}"), rf"\1 {REDACTED}"),
)
_NAMED = re.compile(
    r"(?i)pass(?:word|wd|phrase)|secret|token|credential|authorization|(?:private|api|seal)_?key|cookie"
    r"|registry[-_]auth|docker_auth|dsn$"
)
# What only says where a secret is kept, or what it is called. A path is told by the directory that it begins
# with: a secret may begin with a slash too.
_ABOUT_ONE = re.compile(r"(?i)_(?:file|dir|path|scope|name)$")
_PATH = re.compile(
    r"/(?:bin|boot|data|dev|etc|home|lib|media|mnt|opt|proc|root|run|srv|sys|tmp|usr|var|Users|private)/[^\s]*"
)

_PLAIN_WORD = re.compile(r"[A-Za-z]+|[0-9]{1,7}")


class Scrubber:
    """Replaces secrets by ``***``: those that it knows, however they are spelt, and logins by their form.

    A known secret is found as it is, quoted for URLs, in JSON and in ``repr``, in hexadecimal, and inside
    base64 of anything around it. One that is shorter than 6 characters is not looked for. Thread-safe.

    >>> Scrubber(["hunter2"]).text("GET https://me:x@h/?key=hunter2")
    'GET https://***@h/?key=***'
    """

    def __init__(self, secrets: Iterable[str | bytes | Secret[str] | Secret[bytes]] = ()) -> None:
        self._spellings: frozenset[str] = frozenset()
        self._known: re.Pattern[str] | None = None
        self.add(*secrets)

    def __repr__(self) -> str:
        return "Scrubber()"

    def add(self, *secrets: str | bytes | Secret[str] | Secret[bytes]) -> None:
        """Makes more secrets known."""
        found = {spelling for secret in secrets for spelling in _spellings(_bytes(secret))}
        if found - self._spellings:
            self._spellings |= found
            # Long ones first: where one holds another, the whole of it goes.
            self._known = re.compile("|".join(sorted(self._spellings, key=lambda item: (-len(item), item))))

    def text(self, text: str) -> str:
        """The text without secrets."""
        if self._known is not None:
            text = self._known.sub(REDACTED, text)
        for pattern, instead in _LOGINS:
            text = pattern.sub(instead, text)
        return text

    def value(self, value: object, *, name: str = "", depth: int = 0) -> Any:
        """The same value without secrets: texts, and everything in mappings, lists, sets and tuples.

        What stands under a name such as ``password``, ``token`` or ``Authorization`` is replaced as a whole;
        objects of other types become the scrubbed text of their ``repr``.
        """
        if value is None or isinstance(value, bool | int | float):
            return value
        if (name and _NAMED.search(name)) or depth > _DEEPEST:
            return REDACTED
        match value:
            case str():
                return self.text(value)
            case bytes() | bytearray():
                return self.text(bytes(value).decode("utf-8", "backslashreplace"))
            case Mapping():
                return {
                    self.text(str(key)): self.value(item, name=str(key), depth=depth + 1)
                    for key, item in value.items()
                }
            case list() | tuple() | set() | frozenset():
                return [self.value(item, depth=depth + 1) for item in value]
            case _:
                return self.text(repr(value))

    def before_send(self, event: Any, hint: object = None) -> Any:
        """A crash report without secrets, local variables of frames too; None (send nothing) if that fails.

        It has the form of Sentry's ``before_send`` and ``before_breadcrumb``.
        """
        try:
            return self.value(event)
        except Exception:  # noqa: BLE001 - a report that cannot be cleaned must not leave
            return None


def secrets_in(environ: Mapping[str, str]) -> tuple[str, ...]:
    """What is secret in an environment: logins and tokens in URLs, and values whose name says so.

    A plain word or number is left out, such as the ``postgres`` of ``POSTGRES_PASSWORD=postgres``: taken out
    of everything, it would hide what it is not. So are paths, and names that end in ``_FILE``, ``_DIR``,
    ``_PATH``, ``_SCOPE`` or ``_NAME``: they say where a secret is.
    """
    found: list[str] = []
    for name, value in environ.items():
        if name.endswith("_URL") or name in ("SAFEUPDATER_STORE", "DOCKER_HOST") or "://" in value[:40]:
            found += _of_url(name, value)
        elif _NAMED.search(name) and not _ABOUT_ONE.search(name) and not _PATH.fullmatch(value):
            found += [value, *_of_document(value)]
    return tuple(value for value in found if len(value) >= SHORTEST and not _PLAIN_WORD.fullmatch(value))


def _of_url(name: str, text: str) -> list[str]:
    try:
        parts = urlsplit(text)
        found = [unquote(parts.password or ""), parts.password or ""]
    except ValueError:
        return [text]
    # Many services put the token of a webhook into its path.
    if "WEBHOOK" in name.upper():
        found += [*parts.path.split("/"), parts.query, *(value for _, value in parse_qsl(parts.query))]
    return found


def _of_document(text: str) -> list[str]:
    """The values in a JSON document such as ``DOCKER_AUTH_CONFIG``, and what they say in base64."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return []
    values: list[str] = []
    left: list[Any] = [document]
    while left:
        match left.pop():
            case dict() as mapping:
                left += mapping.values()
            case list() as items:
                left += items
            case str() as value:
                values += [value, *_of_login(value)]
            case _:
                pass
    return values


def _of_login(encoded: str) -> list[str]:
    try:
        _, colon, password = base64.b64decode(encoded, validate=True).decode().partition(":")
    except ValueError:
        return []
    return [password] if colon else []


def _bytes(secret: str | bytes | Secret[str] | Secret[bytes]) -> bytes:
    plain = secret.reveal() if isinstance(secret, Secret) else secret
    return plain.encode("utf-8", "surrogatepass") if isinstance(plain, str) else plain


def _spellings(secret: bytes) -> set[str]:
    """Patterns of the forms in which a secret may stand in a text."""
    text = secret.decode("utf-8", "backslashreplace")
    if len(text) < SHORTEST:
        return set()
    escaped = (json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1], repr(text)[1:-1])
    quoted = [quote(secret), quote(secret, safe=""), quote_plus(secret)]
    quoted += [re.sub("%..", lambda code: code[0].lower(), item) for item in quoted]
    plain = {text, secret.hex(), secret.hex().upper(), *escaped, *quoted}
    return {re.escape(item) for item in plain} | _in_base64(secret)


def _in_base64(secret: bytes) -> set[str]:
    """Patterns for base64 that has the secret in it, at any of three offsets, in both alphabets."""
    patterns: set[str] = set()
    for offset in range(3):
        encoded = base64.b64encode(bytes(offset) + secret).decode("ascii")
        core = encoded[-(-offset * 4 // 3) : (offset + len(secret)) * 4 // 3]
        for alphabet in (core, core.replace("+", "-").replace("/", "_")):
            # The characters beside the core hold a few bits of the secret too.
            patterns.add(rf"[A-Za-z0-9+/_-]?{re.escape(alphabet)}[A-Za-z0-9+/_-]?={{0,2}}")
    return patterns
