"""One message to one receiver over HTTP: signed, bounded in time, and only its host is ever told."""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import hmac
import http.client
import socket
import ssl
import urllib.parse
from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

import attrs

from safeupdater._version import __version__
from safeupdater.deadlines import call_with_deadline
from safeupdater.domain.secret import Secret
from safeupdater.errors import ConfigurationError

if TYPE_CHECKING:
    from urllib3.connection import HTTPConnection
    from urllib3.util import Url

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_LATER = frozenset({408, 425, 429, 500, 502, 503, 504})
_UNWANTED = frozenset({400, 413, 415, 422})
_SECRET_PREFIX = "whsec_"  # noqa: S105 - how Standard Webhooks marks a secret in base64


@attrs.frozen(kw_only=True)
class Message:
    """What is posted; the id stays the same however often that is done."""

    id: str
    body: bytes = attrs.field(repr=False)


@attrs.frozen
class Answer:
    """What came of one try: "" where the message was taken, else what was wrong, without the URL.

    ``may_recover``: the same try may succeed in a moment. ``is_unwanted``: the receiver works, and does not
    want this message.
    """

    problem: str = ""
    may_recover: bool = False
    is_unwanted: bool = False


class Receiver:
    """Where messages go.

    Raises:
        ConfigurationError: the URL or the secret cannot be used; neither is repeated.
    """

    def __init__(
        self, url: str, secret: str | bytes | None, *, timeout_s: float, now: Callable[[], datetime]
    ) -> None:
        self._url, self._login, self.place = _endpoint(url)
        self._key = None if secret is None else _key(secret)
        self._timeout_s = timeout_s
        self._now = now

    def __repr__(self) -> str:
        return f"Receiver({self.place!r})"

    def post(self, message: Message) -> Answer:
        """One try, which ends by the timeout, whatever the receiver does. Redirects are not followed."""
        import urllib3

        try:
            status = self._status(message)
        except (urllib3.exceptions.HTTPError, http.client.HTTPException, OSError) as error:
            return Answer(type(error).__name__, may_recover=True)
        if 200 <= status < 300:
            return Answer()
        if status in _LATER:
            return Answer(f"status {status}", may_recover=True)
        return Answer(f"refused with status {status}", is_unwanted=status in _UNWANTED)

    def _status(self, message: Message) -> int:
        """The status of the answer; its body is nothing to us, and may never end.

        A connection of its own: a pool would log the whole URL at debug level, and with it the token.
        """
        from urllib3.util import parse_url

        url = parse_url(self._url.reveal())
        with contextlib.closing(_connection(url, self._timeout_s)) as connection:
            ask = partial(self._asked, connection, url, message)
            try:
                return call_with_deadline(ask, self._timeout_s, name=f"posting to {self.place}")
            except TimeoutError:
                _cut(connection)  # or its thread would read on for as long as the receiver sends
                raise

    def _asked(self, connection: HTTPConnection, url: Url, message: Message) -> int:
        """The time-outs of a socket are for one read each: a slow receiver can have any number of them."""
        headers = self._signed(message)
        connection.request("POST", url.request_uri, body=message.body, headers=headers, preload_content=False)
        return connection.getresponse().status

    def _signed(self, message: Message) -> dict[str, str]:
        timestamp = str(int(self._now().timestamp()))
        headers = {
            **({"Authorization": self._login.reveal()} if self._login else {}),
            "Content-Type": "application/json",
            "User-Agent": f"safeupdater/{__version__}",
            "webhook-id": message.id,
            "webhook-timestamp": timestamp,
        }
        if self._key is not None:
            headers["webhook-signature"] = signature(self._key.reveal(), message.id, timestamp, message.body)
        return headers


def signature(key: bytes, message_id: str, timestamp: str, body: bytes) -> str:
    """The ``webhook-signature`` of a message (Standard Webhooks 1.0.0, "Signature scheme")."""
    signed = b".".join((message_id.encode(), timestamp.encode(), body))
    return "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode("ascii")


def _key(secret: str | bytes) -> Secret[bytes]:
    """The bytes to sign with: ``whsec_`` and base64 stand for the bytes meant, all else for itself."""
    data = secret.encode() if isinstance(secret, str) else secret
    if data.startswith(_SECRET_PREFIX.encode()):
        try:
            data = base64.b64decode(data.removeprefix(_SECRET_PREFIX.encode()), validate=True)
        except binascii.Error:
            raise ConfigurationError(
                f"the webhook's secret cannot be used: after {_SECRET_PREFIX}, base64 is expected"
            ) from None
    if not data:
        raise ConfigurationError("the webhook's secret is empty: leave it out to send unsigned messages")
    return Secret(data)


def _endpoint(url: str) -> tuple[Secret[str], Secret[str] | None, str]:
    """The URL without its login, the value of the header that carries the login, and what may be shown."""
    try:
        parts = urllib.parse.urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        parts, host, port = urllib.parse.SplitResult("", "", "", "", ""), "", None
    if parts.scheme not in ("http", "https") or not host or not url.isprintable():
        raise ConfigurationError("the webhook's URL cannot be used: expected https://host/path")
    shown = f"[{host}]" if ":" in host else host
    netloc = shown if port is None else f"{shown}:{port}"
    header = None
    if parts.username is not None:
        if parts.scheme == "http" and host not in _LOOPBACK:
            raise ConfigurationError(
                f"the webhook at {netloc} would get its password in clear text: use https"
            )
        login = ":".join(urllib.parse.unquote(part or "") for part in (parts.username, parts.password))
        header = Secret("Basic " + base64.b64encode(login.encode()).decode("ascii"))
    clean = urllib.parse.urlunsplit((parts.scheme, netloc, parts.path or "/", parts.query, ""))
    return Secret(clean), header, f"{parts.scheme}://{netloc}"


def _cut(connection: HTTPConnection) -> None:
    """Ends what another thread waits for on this connection."""
    with contextlib.suppress(OSError, AttributeError):  # it may not be connected yet
        connection.sock.shutdown(socket.SHUT_RDWR)


def _connection(url: Url, timeout_s: float) -> HTTPConnection:
    from urllib3.connection import HTTPConnection, HTTPSConnection

    host = (url.host or "").strip("[]")  # it puts the brackets of an IPv6 address back itself
    if url.scheme == "https":
        context = ssl.create_default_context()
        return HTTPSConnection(host, url.port, timeout=timeout_s, ssl_context=context)
    return HTTPConnection(host, url.port, timeout=timeout_s)
