"""Observers: what the log and the webhook are told, and what never reaches them."""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from safeupdater import ImageReference
from safeupdater.domain.change import Change, VersionChangeType
from safeupdater.domain.decision import Decision, Reason, Verdict
from safeupdater.domain.notice import AlertRaised, Severity, UpdateEvaluated
from safeupdater.errors import ConfigurationError
from safeupdater.observers.logging import FieldsFormatter, LoggingObserver
from safeupdater.observers.webhook import WebhookNotifier

ALERT = AlertRaised(
    severity=Severity.CRITICAL, code="rollback_failed", message="the old version does not start",
    remedy="resolve it", target_id="memory://local/shop", operation_id="op1",
)  # fmt: skip


class Receiver:
    """A web server on loopback that keeps what it is sent."""

    def __init__(self, status: int = 200) -> None:
        self.requests: list[tuple[dict[str, str], bytes]] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.requests.append(({k.lower(): v for k, v in self.headers.items()}, body))
                self.send_response(status)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                return None

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hooks/token-in-path"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.server.shutdown()
    made.server.server_close()


def test_an_alert_arrives_signed(receiver: Receiver) -> None:
    with WebhookNotifier(receiver.url, secret="s3cret") as notifier:
        notifier.notify(ALERT)
    ((headers, body),) = receiver.requests
    document = json.loads(body)
    assert "rollback_failed" in json.dumps(document)
    signature = headers["x-safeupdater-signature"].removeprefix("sha256=")
    timestamp = headers["x-safeupdater-timestamp"]
    wanted = hmac.new(b"s3cret", f"{timestamp}.".encode() + body, hashlib.sha256).hexdigest()
    assert hmac.compare_digest(signature, wanted)


def test_what_is_milder_than_asked_for_is_not_sent(receiver: Receiver) -> None:
    with WebhookNotifier(receiver.url, min_severity=Severity.CRITICAL) as notifier:
        notifier.notify(AlertRaised(severity=Severity.WARNING, code="x", message="x", remedy="x"))
        notifier.notify(ALERT)
    assert len(receiver.requests) == 1


def test_a_receiver_that_is_away_holds_nobody_up_and_no_credential_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    notifier = WebhookNotifier(
        "http://127.0.0.1:1/hooks/token-in-path", secret="s3cret", timeout_s=0.2, pause=lambda _: None
    )
    for _ in range(400):
        notifier.notify(ALERT)
    notifier.close()
    told = caplog.text + repr(notifier)
    assert "token-in-path" not in told
    assert "s3cret" not in told


@pytest.mark.parametrize("url", ["ftp://x/y", "not a url", "http://user:pw@example.com/x"])
def test_a_bad_address_is_refused_without_repeating_its_password(url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        WebhookNotifier(url)
    assert "pw" not in str(caught.value)


def test_every_decision_is_logged_with_the_fields_of_the_original(caplog: pytest.LogCaptureFixture) -> None:
    old, new = (ImageReference.parse(f"nginx:{tag}") for tag in ("1.27.1", "1.27.2"))
    change = Change(asset_id="docker://h/web", current=old, new=new, change_type=VersionChangeType.PATCH)
    reason = Reason(
        code="patch_update_auto_approved",
        message="x",
        verdict=Verdict.APPROVE,
        policy="semver_gates.patch=auto",
    )
    caplog.set_level(logging.INFO)
    LoggingObserver().notify(
        UpdateEvaluated(asset_id="docker://h/web", change=change, decision=Decision.because(reason))
    )
    (record,) = caplog.records
    assert record.getMessage() == "update_decision"
    wanted = {
        "asset": "docker://h/web", "decision": "approve", "reason": "patch_update_auto_approved",
        "change_type": "patch", "policy_applied": "semver_gates.patch=auto",
    }  # fmt: skip
    assert {name: getattr(record, name) for name in wanted} == wanted
    line = FieldsFormatter("%(message)s").format(record)
    assert "\n" not in line
    assert "policy_applied=" in line
