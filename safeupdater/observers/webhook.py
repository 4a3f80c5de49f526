"""Alerts and outcomes to a URL, signed, without ever holding up an update."""

from __future__ import annotations

import json
import logging
import queue
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

from safeupdater._version import API_VERSION
from safeupdater.domain.change import Change
from safeupdater.domain.notice import AlertRaised, Notice, Severity, severity_of
from safeupdater.domain.operation import Finished, JournalEntry, OperationPlanned
from safeupdater.observers.outbox import Outbox
from safeupdater.observers.posting import Answer, Message, Receiver
from safeupdater.protocols import StateStore
from safeupdater.update.cursor import JournalCursor

_LOG = logging.getLogger(__name__)

_RANK = {severity: rank for rank, severity in enumerate(Severity)}
_TRIES = 3


class WebhookNotifier:
    """Posts alerts and the ends of operations to ``url`` as JSON, from threads of its own.

    **Outcomes** are read from the journal, by a cursor that the store keeps under ``name``: once an
    ``Updater`` has been given the notifier, none is lost, in a crash either, and a receiver that was away
    gets all of them in their order when it is back. One may come twice, with the same ``webhook-id``.
    **Alerts** are in no journal: up to ``queue_size`` wait, each is tried three times, and what is beyond
    that is dropped, counted in ``dropped`` and logged.

    ``secret`` signs each message as Standard Webhooks 1.0.0 says (``webhook-id``, ``webhook-timestamp``,
    ``webhook-signature``); ``whsec_…`` is understood. What is milder than ``min_severity`` is not sent (a
    success is ``info``, a rollback ``warning``, a failed one ``critical``). Each try has ``timeout_s``
    seconds. Redirects are not followed. Two notifiers with one store need two names.

    The URL is never logged beyond its host: many services put their token into the path.

    Raises:
        ConfigurationError: the URL is not http or https, or would send a password in clear text; or the
            secret is empty or no base64 after ``whsec_``.
    """

    def __init__(
        self,
        url: str,
        *,
        secret: str | bytes | None = None,
        name: str = "webhook",
        min_severity: Severity = Severity.INFO,
        timeout_s: float = 5.0,
        queue_size: int = 256,
        retry_s: float = 1.0,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._receiver = Receiver(url, secret, timeout_s=timeout_s, now=now)
        self._name = name
        self._min_rank = _RANK[min_severity]
        self._retry_s = retry_s
        self._now = now
        self._pause = pause
        self._queue: queue.Queue[Message | None] = queue.Queue(maxsize=queue_size)
        self._lock = threading.Lock()
        self._worker: threading.Thread | None = None
        self._outbox: Outbox | None = None
        self._closed = False
        self.dropped = 0
        self.failed = 0
        self.sent = 0

    def __repr__(self) -> str:
        return f"WebhookNotifier({self._receiver.place!r})"

    # --- taking in ------------------------------------------------------------------------------------------

    def notify(self, happening: JournalEntry | Notice) -> None:
        """Puts an alert into the queue, and looks into the journal where an operation ended; never waits."""
        match happening:
            case AlertRaised(severity=severity):
                if self._is_wanted(severity) and not self._closed:
                    self._put(_alert(secrets.token_hex(16), happening, self._now()))
            case JournalEntry(event=Finished()) if self._outbox is not None:
                self._outbox.wake()
            case _:
                pass

    def follow(self, store: StateStore) -> None:
        """Reads outcomes from this store's journal from now on; an ``Updater`` calls it for its store.

        Raises:
            StoreError: the store did not answer.
        """
        self.leave(0.0)
        self._outbox = Outbox(
            JournalCursor(store, self._name),
            lambda entry: self._outcome_of(store, entry),
            self._send_outcome,
            place=self._receiver.place,
            retry_s=self._retry_s,
        )

    def leave(self, wait_s: float = 4.0) -> None:
        """Sends what the journal holds, for up to ``wait_s`` seconds, and reads no more of it."""
        outbox, self._outbox = self._outbox, None
        if outbox is not None:
            outbox.close(wait_s)

    def _is_wanted(self, severity: Severity) -> bool:
        return _RANK[severity] >= self._min_rank

    def _outcome_of(self, store: StateStore, entry: JournalEntry) -> Message | None:
        """The message about the end of an operation; its id is that of the entry, whoever sends it."""
        match entry.event:
            case Finished(outcome=outcome) as end if self._is_wanted(severity_of(outcome)):
                first = next((item.event for item in store.load(entry.operation_id)), None)
                changes = first.changes if isinstance(first, OperationPlanned) else ()
                return _outcome(f"{entry.operation_id}-{entry.version}", entry, end, changes)
            case _:
                return None

    def _put(self, message: Message) -> None:
        try:
            self._queue.put_nowait(message)
        except queue.Full:
            self.dropped += 1
            _LOG.warning("webhook %s: %d alerts dropped, the queue is full", self._place, self.dropped)
            return
        self._start()

    # --- sending --------------------------------------------------------------------------------------------

    @property
    def _place(self) -> str:
        return self._receiver.place

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

    def _deliver(self, message: Message) -> None:
        answer = Answer()
        for attempt in range(_TRIES):
            if attempt:
                self._pause(0.5 * 2**attempt)
            answer = self._post(message)
            if not answer.may_recover:
                break
        if answer.problem:
            self._give_up(message, answer.problem)

    def _send_outcome(self, message: Message) -> str:
        """See ``outbox.Send``: what the receiver does not want itself would hold up all that follow it."""
        answer = self._post(message)
        if answer.is_unwanted:
            self._give_up(message, answer.problem)
            return ""
        return answer.problem

    def _post(self, message: Message) -> Answer:
        answer = self._receiver.post(message)
        if not answer.problem:
            self.sent += 1
        return answer

    def _give_up(self, message: Message, problem: str) -> None:
        self.failed += 1
        _LOG.warning("webhook %s: message %s was not delivered: %s", self._place, message.id, problem)

    # --- ending ---------------------------------------------------------------------------------------------

    def close(self, wait_s: float = 10.0) -> None:
        """Takes no more, and waits up to ``wait_s`` seconds until what is there was sent."""
        self._closed = True
        deadline = time.monotonic() + wait_s
        self.leave(wait_s)
        worker = self._worker
        if worker is None:
            return
        left_s = max(deadline - time.monotonic(), 0.0)
        try:
            self._queue.put(None, timeout=left_s)
        except queue.Full:
            _LOG.warning("webhook %s: closed with alerts that were not sent", self._place)
            return
        worker.join(max(deadline - time.monotonic(), 0.0))
        if worker.is_alive():
            _LOG.warning("webhook %s: closed with alerts that were not sent", self._place)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _message(
    message_id: str, event: str, severity: Severity, at: datetime, fields: Mapping[str, Any]
) -> Message:
    document = {
        "apiVersion": API_VERSION,
        "kind": "Notification",
        "id": message_id,
        "at": at.astimezone(UTC).isoformat().replace("+00:00", "Z"),
        "event": event,
        "severity": str(severity),
        **fields,
    }
    return Message(id=message_id, body=json.dumps(document).encode())


def _alert(message_id: str, alert: AlertRaised, at: datetime) -> Message:
    fields = {
        "code": alert.code,
        "message": alert.message,
        "remedy": alert.remedy,
        "target_id": alert.target_id,
        "operation_id": alert.operation_id,
    }
    return _message(message_id, "alert", alert.severity, at, fields)


def _outcome(message_id: str, entry: JournalEntry, end: Finished, changes: tuple[Change, ...]) -> Message:
    fields = {
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
    return _message(message_id, "outcome", severity_of(end.outcome), entry.at, fields)
