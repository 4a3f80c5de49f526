"""The webhook: what is sent, how it is signed, and that nothing about it can hold up an update."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from safeupdater.backends.memory import Behaviour, MemoryBackend, MemoryWorld
from safeupdater.config import Policy
from safeupdater.domain.notice import AlertRaised, Severity, severity_of
from safeupdater.domain.operation import Blame, Finished, JournalEntry, Outcome
from safeupdater.errors import ConfigurationError
from safeupdater.observers import posting
from safeupdater.observers.posting import signature
from safeupdater.observers.webhook import WebhookNotifier, _outcome
from safeupdater.testing.clock import FakeClock
from safeupdater.update.notifier import Notifier
from safeupdater.update.result import OperationResult
from safeupdater.update.updater import Updater
from testbed.certificates import Authority
from tests.support.receiver import Receiver, closed_port, served

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with served() as kept:
        yield kept


def alert(severity: Severity = Severity.WARNING, message: str = "m") -> AlertRaised:
    return AlertRaised(severity=severity, code="c", message=message, remedy="r", target_id="memory://a/b")


def notifier(receiver: Receiver, path: str = "/hook", **options: Any) -> WebhookNotifier:
    options.setdefault("pause", lambda _: None)
    return WebhookNotifier(f"http://{receiver.address}{path}", now=lambda: NOW, **options)


def play(observer: WebhookNotifier, behaviour: Behaviour | None = None) -> None:
    clock = FakeClock()
    world = MemoryWorld(clock, host="prod-1")
    world.run("web", "example/web:1.0.0")
    world.publish("example/web:1.0.1", behaviour or Behaviour())
    backends = [MemoryBackend(world)]
    with Updater(
        backends=backends, policy=Policy.default(), tags=world, clock=clock, observers=[observer]
    ) as updater:
        updater.scan()
        updater.apply()


# --- what is sent -----------------------------------------------------------------------------------------


def test_an_outcome_is_sent_with_its_changes(receiver: Receiver) -> None:
    with notifier(receiver) as observer:
        play(observer)
    (document,) = receiver.documents
    assert document["apiVersion"] == "safeupdater/v1"
    assert (document["event"], document["outcome"], document["severity"]) == ("outcome", "succeeded", "info")
    (change,) = document["changes"]
    assert (change["asset_id"], change["change_type"]) == ("memory://prod-1/web", "patch")


def test_a_rollback_is_a_warning_and_passes_where_successes_do_not(receiver: Receiver) -> None:
    with notifier(receiver, min_severity=Severity.WARNING) as observer:
        play(observer)
        play(observer, Behaviour(exits_after_s=20.0))
    outcomes = [item["outcome"] for item in receiver.documents if item["event"] == "outcome"]
    assert outcomes == ["rolled_back"]


@pytest.mark.parametrize("outcome", Outcome)
def test_an_outcome_is_as_loud_in_its_message_as_in_its_alert(outcome: Outcome) -> None:
    told: list[AlertRaised] = []
    notifier = Notifier([SimpleNamespace(notify=told.append)])
    result = OperationResult(operation_id="op-1", target_id="memory://local/web", outcome=outcome)
    notifier.alert_of(result, Blame.NOBODY)
    entry = JournalEntry(
        operation_id="op-1", target_id=result.target_id, version=9, position=9, at=NOW, epoch=1,
        event=Finished(outcome=outcome),
    )  # fmt: skip
    message = json.loads(_outcome("op-1-9", entry, Finished(outcome=outcome), ()).body)
    assert message["severity"] == str(severity_of(outcome))
    assert [alert.severity for alert in told] in ([], [severity_of(outcome)])


def test_only_what_needs_nobody_is_mild() -> None:
    mild = {outcome for outcome in Outcome if severity_of(outcome) is Severity.INFO}
    assert mild == {Outcome.SUCCEEDED, Outcome.REFUSED, Outcome.INTERRUPTED}


def test_an_alert_is_sent_with_its_remedy(receiver: Receiver) -> None:
    with notifier(receiver) as observer:
        observer.notify(alert(Severity.CRITICAL))
    (document,) = receiver.documents
    assert document["at"] == "2026-01-05T12:00:00Z"
    assert {key: document[key] for key in ("event", "severity", "code", "message", "remedy")} == {
        "event": "alert", "severity": "critical", "code": "c", "message": "m", "remedy": "r",
    }  # fmt: skip


def test_messages_arrive_in_order(receiver: Receiver) -> None:
    with notifier(receiver) as observer:
        for number in range(20):
            observer.notify(alert(message=str(number)))
    assert [item["message"] for item in receiver.documents] == [str(number) for number in range(20)]
    assert observer.sent == 20


# --- signature and secrets --------------------------------------------------------------------------------


@pytest.mark.parametrize("secret", ["hunter2", "whsec_" + base64.b64encode(b"hunter2").decode()])
def test_a_receiver_can_verify_id_time_and_body(receiver: Receiver, secret: str) -> None:
    with notifier(receiver, secret=secret) as observer:
        observer.notify(alert())
    headers, body = receiver.got[0]
    timestamp = headers["webhook-timestamp"]
    assert timestamp == str(int(NOW.timestamp()))
    signed = f"{headers['webhook-id']}.{timestamp}.".encode() + body
    expected = base64.b64encode(hmac.digest(b"hunter2", signed, hashlib.sha256)).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"


def test_the_signature_is_that_of_the_specification() -> None:
    """The example of Standard Webhooks' own libraries."""
    key = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    signed = signature(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", b'{"test": 2432232314}')
    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize("secret", ["", b"", "whsec_", "whsec_PLANTED!"])
def test_a_secret_that_cannot_sign_is_refused_without_repeating_it(secret: str | bytes) -> None:
    with pytest.raises(ConfigurationError, match="secret") as caught:
        WebhookNotifier("https://h/x", secret=secret)
    assert "PLANTED" not in str(caught.value)


def test_without_a_secret_nothing_is_signed(receiver: Receiver) -> None:
    with notifier(receiver) as observer:
        observer.notify(alert())
    assert "webhook-signature" not in receiver.got[0][0]


def test_a_login_in_the_url_becomes_a_header(receiver: Receiver) -> None:
    with WebhookNotifier(f"http://ann:p%40ss@{receiver.address}/hook") as observer:
        observer.notify(alert())
    sent = receiver.got[0][0]["Authorization"]
    assert base64.b64decode(sent.removeprefix("Basic ")).decode() == "ann:p@ss"


def test_a_receiver_with_an_ipv6_address_is_told_its_own_name() -> None:
    if not Path("/proc/net/if_inet6").exists():
        pytest.skip("this machine has no IPv6")
    with served("::1") as receiver, notifier(receiver) as observer:
        observer.notify(alert())
    assert [headers["Host"] for headers, _ in receiver.got] == [receiver.address]


@pytest.mark.parametrize("is_known", [True, False])
def test_only_a_receiver_with_a_certificate_that_this_machine_trusts_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_known: bool
) -> None:
    authority = Authority(tmp_path / "ca.pem")
    if is_known:
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    with (
        served(tls=authority.server_context("127.0.0.1")) as receiver,
        WebhookNotifier(f"https://{receiver.address}/hook", pause=lambda _: None) as observer,
    ):
        observer.notify(alert())
        observer.close()
    assert (observer.sent, observer.failed, len(receiver.got)) == ((1, 0, 1) if is_known else (0, 1, 0))


@pytest.mark.parametrize("is_reached", [True, False])
def test_no_part_of_a_credential_is_logged_or_shown(
    receiver: Receiver, caplog: pytest.LogCaptureFixture, is_reached: bool
) -> None:
    receiver.statuses = [500, 500, 500]
    address = receiver.address if is_reached else closed_port()
    with caplog.at_level(logging.DEBUG):
        observer = WebhookNotifier(
            f"http://ann:PLANTED1@{address}/PLANTED2?token=PLANTED3",
            secret="PLANTED4",
            pause=lambda _: None,
        )
        with observer:
            observer.notify(alert())
    assert observer.failed == 1
    assert "was not delivered" in caplog.text
    # Nor do the libraries below us tell it.
    assert "PLANTED" not in repr(observer) + repr(vars(observer)["_queue"]) + caplog.text


@pytest.mark.parametrize(
    "url",
    [
        "", "ftp://h/x", "/x", "http://", "http://h:99999/", "http://a:b@example.com/", "https://h/\nX: y",
        "https://[broken/", "javascript:1",
    ],
)  # fmt: skip
def test_a_url_that_cannot_be_used_is_said_without_repeating_it(url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        WebhookNotifier(url)
    assert "a:b" not in str(caught.value)


# --- receivers that misbehave -----------------------------------------------------------------------------


def test_a_receiver_that_stumbles_gets_the_same_message_again(receiver: Receiver) -> None:
    receiver.statuses = [503, 429]
    pauses: list[float] = []
    with notifier(receiver, pause=pauses.append) as observer:
        observer.notify(alert())
    assert len({headers["webhook-id"] for headers, _ in receiver.got}) == 1
    assert (len(receiver.got), observer.sent, observer.failed) == (3, 1, 0)
    assert pauses == [1.0, 2.0]


def test_a_refusal_is_not_repeated(receiver: Receiver, caplog: pytest.LogCaptureFixture) -> None:
    receiver.statuses = [401]
    with notifier(receiver) as observer:
        observer.notify(alert())
    assert (len(receiver.got), observer.failed) == (1, 1)
    assert "refused with status 401" in caplog.text


def test_a_redirect_is_not_followed(receiver: Receiver) -> None:
    receiver.statuses = [302]
    receiver.headers = {"Location": f"http://{receiver.address}/elsewhere"}
    with notifier(receiver) as observer:
        observer.notify(alert())
    assert (len(receiver.got), observer.failed) == (1, 1)


@pytest.fixture
def silent() -> Iterator[str]:
    """A server that takes connections and never answers."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(16)
        yield f"127.0.0.1:{listening.getsockname()[1]}"


def quickly(act: Callable[[], None]) -> float:
    began = time.monotonic()
    act()
    return time.monotonic() - began


def test_a_silent_receiver_does_not_hold_up_an_update(silent: str) -> None:
    observer = WebhookNotifier(f"http://{silent}/", timeout_s=2.0, pause=lambda _: None)
    clock, world = FakeClock(), MemoryWorld(FakeClock(), host="prod-1")
    world.run("web", "example/web:1.0.0")
    world.publish("example/web:1.0.1")
    updater = Updater(
        backends=[MemoryBackend(world)], policy=Policy.default(), tags=world, clock=clock,
        observers=[observer],
    )  # fmt: skip
    updater.scan()
    assert quickly(updater.apply) < 0.5
    assert quickly(lambda: observer.close(wait_s=0.2)) < 0.4


def test_a_try_ends_by_its_time_however_slowly_the_receiver_answers() -> None:
    cut = threading.Event()

    def trickle(server: socket.socket) -> None:
        connection, _ = server.accept()
        with connection:
            connection.recv(65_536)
            connection.sendall(b"HTTP/1.1 200 OK\r\n")
            try:
                for number in range(200):
                    connection.sendall(b"X-%d: y\r\n" % number)
                    time.sleep(0.05)
            except OSError:
                cut.set()

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=trickle, args=(server,), daemon=True).start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}/"
        began_s = time.monotonic()
        answer = posting.Receiver(url, None, timeout_s=0.3, now=lambda: NOW).post(
            posting.Message(id="1", body=b"{}")
        )
        assert time.monotonic() - began_s < 3
        assert (answer.problem, answer.may_recover) == ("TimeoutError", True)
        assert cut.wait(5), "it is not read any more"


def test_what_does_not_fit_the_queue_is_dropped_and_counted(
    silent: str, caplog: pytest.LogCaptureFixture
) -> None:
    observer = WebhookNotifier(f"http://{silent}/", timeout_s=0.3, queue_size=4, pause=lambda _: None)

    def flood() -> None:
        for _ in range(50):
            observer.notify(alert())

    assert quickly(flood) < 0.5
    assert observer.dropped >= 45
    assert "alerts dropped" in caplog.text
    observer.close(wait_s=0.0)


def test_after_closing_nothing_is_taken(receiver: Receiver) -> None:
    observer = notifier(receiver)
    observer.close()
    observer.notify(alert())
    observer.close()
    assert receiver.got == []
