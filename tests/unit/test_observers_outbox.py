"""The outbox: whatever happens to us or to the receiver, every outcome is sent, in order."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from safeupdater.backends.memory import MemoryBackend, MemoryWorld
from safeupdater.config import Policy
from safeupdater.domain.notice import Severity
from safeupdater.domain.operation import Event, Finished, JournalEntry
from safeupdater.errors import StoreError
from safeupdater.observers.outbox import Outbox
from safeupdater.observers.posting import Message
from safeupdater.observers.webhook import WebhookNotifier
from safeupdater.protocols import Lease, Observer, StateStore
from safeupdater.stores import MemoryStore, open_store
from safeupdater.testing.clock import FakeClock
from safeupdater.update.cursor import JournalCursor
from safeupdater.update.updater import Updater
from tests.support.receiver import Receiver, closed_port, served

ROOT = Path(__file__).resolve().parents[2]


class Kept(MemoryStore):
    """A store that outlives the updaters that close it."""

    def close(self) -> None:
        pass


class Place:
    """A world with releases to come, and the store that remembers what was done there."""

    def __init__(self, store: StateStore) -> None:
        self.clock = FakeClock()
        self.world = MemoryWorld(self.clock, host="prod-1")
        self.world.run("web", "example/web:1.0.0")
        self.store = store
        self.patch = 0

    def updater(self, *observers: Observer) -> Updater:
        return Updater(
            backends=[MemoryBackend(self.world)], policy=Policy.default(), tags=self.world,
            store=self.store, clock=self.clock, observers=observers,
        )  # fmt: skip

    def update(self, *observers: Observer, times: int = 1) -> None:
        with self.updater(*observers) as updater:
            for _ in range(times):
                self.patch += 1
                self.world.publish(f"example/web:1.0.{self.patch}")
                updater.scan()
                (result,) = updater.apply()
                result.raise_for_outcome()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with served() as kept:
        yield kept


def notifier(address: str, **options: Any) -> WebhookNotifier:
    return WebhookNotifier(f"http://{address}/hook", **{"retry_s": 0.01, **options})


def versions(receiver: Receiver) -> list[str]:
    """The versions that the outcomes told of went to, in the order in which they came."""
    news = [change["new"] for item in receiver.documents for change in item.get("changes", ())]
    return [new.partition("@")[0].rpartition(":")[2] for new in news]


def until(is_so: Callable[[], bool]) -> None:
    ends_at = time.monotonic() + 10
    while not is_so():
        assert time.monotonic() < ends_at, "it did not come"
        time.sleep(0.005)


# --- a crash of ours --------------------------------------------------------------------------------------


class Killed(BaseException):
    """Stands for the end of the process."""


class Dying(Kept):
    """A store whose process is killed as soon as the end of an operation is durable."""

    is_deadly = True

    def append(
        self,
        operation_id: str,
        events: Sequence[Event],
        *,
        expected_version: int,
        at: datetime,
        lease: Lease | None = None,
    ) -> int:
        version = super().append(operation_id, events, expected_version=expected_version, at=at, lease=lease)
        if self.is_deadly and any(isinstance(event, Finished) for event in events):
            raise Killed
        return version


def test_an_outcome_whose_telling_was_cut_off_is_told_after_the_restart(receiver: Receiver) -> None:
    place = Place(Dying())
    place.world.publish("example/web:1.0.1")
    dead = place.updater(notifier(closed_port()))
    dead.scan()
    with pytest.raises(Killed):
        dead.apply()
    Dying.is_deadly = False
    with place.updater(notifier(receiver.address)):
        pass
    Dying.is_deadly = True
    assert versions(receiver) == ["1.0.1"]


CHILD = """
import os, signal, sys
from safeupdater.domain.operation import Finished, JournalEntry
from safeupdater.stores import open_store
from tests.unit.test_observers_outbox import Place, notifier

class Killer:
    def notify(self, happening):
        if isinstance(happening, JournalEntry) and isinstance(happening.event, Finished):
            os.kill(os.getpid(), signal.SIGKILL)

Place(open_store(sys.argv[1])).update(Killer(), notifier(sys.argv[2]))
"""


@pytest.mark.parametrize("kind", ["sqlite:///", "json:"])
def test_a_process_killed_between_append_and_notify_loses_no_outcome(
    receiver: Receiver, tmp_path: Path, kind: str
) -> None:
    url = f"{kind}{tmp_path / 'state'}"
    child = subprocess.run(
        [sys.executable, "-c", CHILD, url, receiver.address], cwd=ROOT, timeout=60, check=False
    )
    assert (child.returncode, receiver.got) == (-9, [])
    with Place(open_store(url)).updater(notifier(receiver.address)):
        until(lambda: len(receiver.got) == 1)
    with Place(open_store(url)).updater(notifier(receiver.address)):
        pass  # what was taken is not sent again
    assert versions(receiver) == ["1.0.1"]


def test_the_same_outcome_has_the_same_id_whoever_sends_it(receiver: Receiver) -> None:
    place = Place(Kept())
    with place.updater(notifier(closed_port(), name="first"), notifier(closed_port(), name="second")):
        pass
    place.update()
    with place.updater(notifier(receiver.address, name="first"), notifier(receiver.address, name="second")):
        pass
    assert len(receiver.got) == 2
    assert len({headers["webhook-id"] for headers, _ in receiver.got}) == 1


# --- a receiver that is away ------------------------------------------------------------------------------


def test_a_receiver_that_was_away_for_long_gets_everything_in_order(receiver: Receiver) -> None:
    place = Place(Kept())
    place.update(notifier(closed_port()), times=300)  # more than any queue here holds, or any page
    place.update(notifier(receiver.address))
    assert versions(receiver) == [f"1.0.{number}" for number in range(1, 302)]


def test_a_receiver_that_fails_for_a_while_gets_everything_in_order_without_a_restart(
    receiver: Receiver,
) -> None:
    receiver.statuses = [503, 401, 404, 500, 302]
    place = Place(Kept())
    with place.updater(observer := notifier(receiver.address)) as updater:
        for number in range(1, 4):
            place.world.publish(f"example/web:1.0.{number}")
            updater.scan()
            updater.apply()
        until(lambda: observer.sent == 3)
    assert versions(receiver) == ["1.0.1"] * 6 + ["1.0.2", "1.0.3"]
    assert (observer.failed, observer.dropped) == (0, 0)


def test_a_message_that_the_receiver_does_not_want_holds_up_no_other(
    receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    receiver.statuses = [422]
    place = Place(Kept())
    place.update(observer := notifier(receiver.address), times=2)
    assert versions(receiver) == ["1.0.1", "1.0.2"]
    assert (observer.sent, observer.failed) == (1, 1)
    assert "refused with status 422" in caplog.text


def test_who_waits_is_told_once_that_something_waits(caplog: pytest.LogCaptureFixture) -> None:
    place = Place(Kept())
    place.update(notifier(closed_port()), times=20)
    assert caplog.text.count("outcomes wait until they can be sent") == 1
    assert caplog.text.count("the next run sends the outcomes") == 1


# --- where it begins --------------------------------------------------------------------------------------


def test_what_happened_before_anybody_wanted_to_know_is_not_told(receiver: Receiver) -> None:
    place = Place(Kept())
    place.update(times=3)
    place.update(notifier(receiver.address))
    assert versions(receiver) == ["1.0.4"]


def test_what_another_process_journaled_is_sent_without_a_word_from_ours() -> None:
    place = Place(Kept(FakeClock()))
    sent: list[Message] = []

    def message_of(entry: JournalEntry) -> Message | None:
        return Message(id="m", body=b"") if isinstance(entry.event, Finished) else None

    def send(message: Message) -> str:
        sent.append(message)
        return ""

    outbox = Outbox(JournalCursor(place.store, "w"), message_of, send, place="there", look_s=0.01)
    try:
        until(lambda: not outbox._news.is_set())
        place.update()
        until(lambda: len(sent) == 1)
    finally:
        outbox.close(1.0)


def test_what_is_too_mild_is_passed_over(receiver: Receiver) -> None:
    place = Place(Kept())
    place.update(notifier(receiver.address, min_severity=Severity.WARNING))
    place.update(notifier(receiver.address))
    assert versions(receiver) == ["1.0.2"]


def test_a_store_that_fails_stops_the_telling_and_no_update(receiver: Receiver) -> None:
    class Broken(Kept):
        def since(self, cursor: int, limit: int = 1000) -> Any:
            raise StoreError("the disk is gone")

    place = Place(Broken())
    place.update(notifier(receiver.address))
    assert place.world.containers["web"].image.tag == "1.0.1"
    assert receiver.got == []
