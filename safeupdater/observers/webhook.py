"""Alerts and outcomes to a URL, signed, without ever holding up an update."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import http.client
import json
import logging
import queue
import secrets
import ssl
import threading
import time
import urllib.parse
from collections import OrderedDict
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import attrs

from safeupdater._version import API_VERSION, __version__
from safeupdater.domain.change import Change
from safeupdater.domain.notice import AlertRaised, Notice, Severity
from safeupdater.domain.operation import Finished, JournalEntry, OperationPlanned, Outcome
from safeupdater.errors import ConfigurationError

if TYPE_CHECKING:
    from urllib3.connection import HTTPConnection
    from urllib3.util import Url

_LOG = logging.getLogger(__name__)

_RANK = {severity: rank for rank, severity in enumerate(Severity)}
_SEVERITY_OF: Mapping[Outcome, Severity] = {
    Outcome.ABORTED: Severity.WARNING,
    Outcome.ROLLED_BACK: Severity.WARNING,
    Outcome.HELD: Severity.WARNING,
    Outcome.TARGET_GONE: Severity.WARNING,
    Outcome.ROLLBACK_FAILED: Severity.CRITICAL,
}
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_TRIES = 3
_LEAST_TIMEOUT_S = 0.001
_RETRY_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})
_REMEMBERED_OPERATIONS = 1024


@attrs.frozen(kw_only=True)
class _Message:
    id: str
    body: bytes = attrs.field(repr=False)


class WebhookNotifier:
    """Posts alerts and the ends of operations to ``url`` as JSON, from a thread of its own.

    ``secret`` signs each message: ``X-Safeupdater-Signature`` is ``sha256=`` and the HMAC-SHA256 of the
    timestamp header, a full stop and the body. What is milder than ``min_severity`` is not sent (a success
    is ``info``, a rollback ``warning``, a failed one ``critical``). A message is tried three times, each
    try with ``timeout_s`` seconds; its ``X-Safeupdater-Id`` stays the same. Up to ``queue_size`` messages
    wait; beyond that new ones are dropped, counted in ``dropped`` and logged. Redirects are not followed.

    The URL is never logged beyond its host: many services put their token into the path.

    Raises:
        ConfigurationError: the URL is not http or https, or would send a password in clear text.
    """

    def __init__(
        self,
        url: str,
        *,
        secret: str | bytes | None = None,
        min_severity: Severity = Severity.INFO,
        timeout_s: float = 5.0,
        queue_size: int = 256,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._url, self._headers, self._place = _endpoint(url)
        self._secret = secret.encode() if isinstance(secret, str) else secret
        self._min_rank = _RANK[min_severity]
        self._timeout_s = timeout_s
        self._now = now
        self._pause = pause
        self._queue: queue.Queue[_Message | None] = queue.Queue(maxsize=queue_size)
        self._changes: OrderedDict[str, tuple[Change, ...]] = OrderedDict()
        self._lock = threading.Lock()
        self._worker: threading.Thread | None = None
        self._closed = False
        self.dropped = 0
        self.failed = 0
        self.sent = 0

    def __repr__(self) -> str:
        return f"WebhookNotifier({self._place!r})"

    # --- taking in ------------------------------------------------------------------------------------------

    def notify(self, happening: JournalEntry | Notice) -> None:
        """Puts what is worth a message into the queue; never waits."""
        match happening:
            case AlertRaised():
                self._put(happening.severity, "alert", _alert(happening), self._now())
            case JournalEntry(event=OperationPlanned(changes=changes), operation_id=operation_id):
                self._remember(operation_id, changes)
            case JournalEntry(event=Finished() as end):
                severity = _SEVERITY_OF.get(end.outcome, Severity.INFO)
                changes = self._changes.get(happening.operation_id, ())
                self._put(severity, "outcome", _outcome(happening, end, changes), happening.at)

    def _remember(self, operation_id: str, changes: tuple[Change, ...]) -> None:
        self._changes[operation_id] = changes
        while len(self._changes) > _REMEMBERED_OPERATIONS:
            self._changes.popitem(last=False)

    def _put(self, severity: Severity, event: str, fields: Mapping[str, Any], at: datetime) -> None:
        if _RANK[severity] < self._min_rank or self._closed:
            return
        message_id = secrets.token_hex(16)
        document = {
            "apiVersion": API_VERSION,
            "kind": "Notification",
            "id": message_id,
            "at": at.astimezone(UTC).isoformat().replace("+00:00", "Z"),
            "event": event,
            "severity": str(severity),
            **fields,
        }
        try:
            self._queue.put_nowait(_Message(id=message_id, body=json.dumps(document).encode()))
        except queue.Full:
            self.dropped += 1
            _LOG.warning("webhook %s: %d messages dropped, the queue is full", self._place, self.dropped)
            return
        self._start()

    # --- sending --------------------------------------------------------------------------------------------

    def _start(self) -> None:
        with self._lock:
            if self._worker is None:
                self._worker = threading.Thread(target=self._work, name="safeupdater-webhook", daemon=True)
                self._worker.start()

    def _work(self) -> None:
        while (message := self._queue.get()) is not None:
            try:
                self._deliver(message)
            except Exception as error:  # noqa: BLE001 - one bad message must not end the thread
                self._give_up(message, type(error).__name__)

    def _deliver(self, message: _Message) -> None:
        problem = ""
        for attempt in range(_TRIES):
            if attempt:
                self._pause(0.5 * 2**attempt)
            problem = self._try(message)
            if not problem:
                self.sent += 1
                return
            if problem.startswith("refused"):
                break
        self._give_up(message, problem)

    def _try(self, message: _Message) -> str:
        """One attempt; "" when the receiver took it, else what was wrong, without the URL."""
        import urllib3

        try:
            status = self._post(message)
        except (urllib3.exceptions.HTTPError, http.client.HTTPException, OSError) as error:
            return type(error).__name__
        if 200 <= status < 300:
            return ""
        return f"{'status' if status in _RETRY_STATUSES else 'refused with status'} {status}"

    def _post(self, message: _Message) -> int:
        """The status of the answer; its body is nothing to us, and may never end.

        A connection of its own: a pool would log the whole URL at debug level, and with it the token.
        """
        from urllib3.util import parse_url

        url = parse_url(self._url)
        ends_at = time.monotonic() + self._timeout_s
        with contextlib.closing(_connection(url, self._timeout_s)) as connection:
            connection.connect()
            connection.sock.settimeout(max(ends_at - time.monotonic(), _LEAST_TIMEOUT_S))
            headers = self._signed(message)
            connection.request(
                "POST", url.request_uri, body=message.body, headers=headers, preload_content=False
            )
            return connection.getresponse().status

    def _signed(self, message: _Message) -> dict[str, str]:
        timestamp = str(int(self._now().timestamp()))
        headers = {
            **self._headers,
            "Content-Type": "application/json",
            "User-Agent": f"safeupdater/{__version__}",
            "X-Safeupdater-Id": message.id,
            "X-Safeupdater-Timestamp": timestamp,
        }
        if self._secret:
            headers["X-Safeupdater-Signature"] = signature(self._secret, timestamp, message.body)
        return headers

    def _give_up(self, message: _Message, problem: str) -> None:
        self.failed += 1
        _LOG.warning("webhook %s: message %s was not delivered: %s", self._place, message.id, problem)

    # --- ending ---------------------------------------------------------------------------------------------

    def close(self, wait_s: float = 10.0) -> None:
        """Takes no more, and waits up to ``wait_s`` seconds until what is queued was sent."""
        self._closed = True
        worker = self._worker
        if worker is None:
            return
        deadline = time.monotonic() + wait_s
        try:
            self._queue.put(None, timeout=wait_s)
        except queue.Full:
            _LOG.warning("webhook %s: closed with messages that were not sent", self._place)
            return
        worker.join(max(deadline - time.monotonic(), 0.0))
        if worker.is_alive():
            _LOG.warning("webhook %s: closed with messages that were not sent", self._place)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def signature(secret: bytes, timestamp: str, body: bytes) -> str:
    """What ``X-Safeupdater-Signature`` is for a message; a receiver compares with ``hmac.compare_digest``."""
    return "sha256=" + hmac.new(secret, timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()


def _endpoint(url: str) -> tuple[str, dict[str, str], str]:
    """The URL without its login, the headers that carry the login, and what may be shown of it."""
    try:
        parts = urllib.parse.urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        parts, host, port = urllib.parse.SplitResult("", "", "", "", ""), "", None
    if parts.scheme not in ("http", "https") or not host or not url.isprintable():
        raise ConfigurationError("the webhook's URL cannot be used: expected https://host/path")
    shown = f"[{host}]" if ":" in host else host
    netloc = shown if port is None else f"{shown}:{port}"
    headers: dict[str, str] = {}
    if parts.username is not None:
        if parts.scheme == "http" and host not in _LOOPBACK:
            raise ConfigurationError(
                f"the webhook at {netloc} would get its password in clear text: use https"
            )
        login = ":".join(urllib.parse.unquote(part or "") for part in (parts.username, parts.password))
        headers["Authorization"] = "Basic " + base64.b64encode(login.encode()).decode("ascii")
    clean = urllib.parse.urlunsplit((parts.scheme, netloc, parts.path or "/", parts.query, ""))
    return clean, headers, f"{parts.scheme}://{netloc}"


def _connection(url: Url, timeout_s: float) -> HTTPConnection:
    from urllib3.connection import HTTPConnection, HTTPSConnection

    host = (url.host or "").strip("[]")  # it puts the brackets of an IPv6 address back itself
    if url.scheme == "https":
        context = ssl.create_default_context()
        return HTTPSConnection(host, url.port, timeout=timeout_s, ssl_context=context)
    return HTTPConnection(host, url.port, timeout=timeout_s)


def _alert(alert: AlertRaised) -> dict[str, Any]:
    return {
        "code": alert.code,
        "message": alert.message,
        "remedy": alert.remedy,
        "target_id": alert.target_id,
        "operation_id": alert.operation_id,
    }


def _outcome(entry: JournalEntry, end: Finished, changes: tuple[Change, ...]) -> dict[str, Any]:
    return {
        "code": end.code,
        "message": end.message,
        "outcome": str(end.outcome),
        "target_id": entry.target_id,
        "operation_id": entry.operation_id,
        "changes": [
            {
                "asset_id": change.asset_id,
                "current": str(change.current),
                "new": str(change.new),
                "change_type": str(change.change_type),
            }
            for change in changes
        ],
    }
