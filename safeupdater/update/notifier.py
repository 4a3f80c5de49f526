"""Telling observers, none of which can stop an update."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from types import MappingProxyType

from safeupdater.domain.notice import AlertRaised, Notice, Severity, severity_of
from safeupdater.domain.operation import Blame, JournalEntry, Outcome
from safeupdater.errors import ErrorClass, SafeUpdaterError, classify
from safeupdater.protocols import JournalReader, Observer, StateStore
from safeupdater.update.listening import LAST_S, TOLD_S, Listener
from safeupdater.update.result import OperationResult

_ALARMS: Mapping[Outcome, str] = MappingProxyType(
    {
        Outcome.ROLLBACK_FAILED: "see what runs, then resolve it: keep_new, restore or abandon",
        Outcome.HELD: "look at the new version, then resolve it: keep_new or restore",
        Outcome.ROLLED_BACK: "see history for what went wrong; it is tried again later",
        Outcome.SUPERSEDED: "somebody else changed the target; scan and plan again",
        Outcome.TARGET_GONE: "somebody else removed the target; scan again",
    }
)
"""The outcomes that a person hears of at once, and what to do about them."""
_BAD_RELEASE = "the release is in quarantine: wait for a newer one, or allow it again with quarantine allow"
_ASKED_FOR = "somebody asked for it: nothing needs to be done"


class Notifier:
    """Tells every observer what happened, in order, one at a time; what one raises ends in ``failures``.

    With ``threads`` each is told on a thread of its own and waited for a few seconds at most: one that hangs
    is left behind, the others get an alert, and nothing else waits for it.
    """

    def __init__(
        self,
        observers: Iterable[Observer] = (),
        *,
        keep: int = 100,
        threads: bool = False,
        told_s: float = TOLD_S,
        last_s: float = LAST_S,
    ) -> None:
        self._observers = tuple(observers)
        self._listeners = {
            id(observer): Listener(f"the observer {type(observer).__name__}", told_s=told_s)
            for observer in self._observers
            if threads
        }
        self._keep = keep
        self._last_s = last_s
        self._turn = threading.RLock()
        self.failures: list[tuple[Observer | JournalReader, Exception]] = []

    def __bool__(self) -> bool:
        return bool(self._observers)

    def tell(self, happening: JournalEntry | Notice) -> None:
        """Tells one entry or notice."""
        self._ask_all([(observer, partial(_notify, observer, happening)) for observer in self._observers])

    def follow(self, store: StateStore) -> None:
        """Tells those that read the journal which store it is in."""
        self._ask_all([(reader, partial(reader.follow, store)) for reader in self._readers()])

    def leave(self) -> None:
        """Tells those that read the journal that its store is about to close; others may catch up."""
        self._ask_all([(reader, reader.leave) for reader in self._readers()])
        for listener in self._listeners.values():
            listener.finish(self._last_s)

    def _readers(self) -> list[JournalReader]:
        return [observer for observer in self._observers if isinstance(observer, JournalReader)]

    def _ask_all(self, questions: Sequence[tuple[Observer | JournalReader, Callable[[], None]]]) -> None:
        """Asks each, in the same order for everybody; those on threads are then waited for."""
        waits: list[tuple[Listener, Callable[[], bool]]] = []
        with self._turn:
            for observer, act in questions:
                listener = self._listeners.get(id(observer))
                if listener is None:
                    self._ask(observer, act)
                else:
                    waits.append((listener, listener.tell(partial(self._ask, observer, act))))
        for listener, has_kept_up in waits:
            if not has_kept_up():
                self.alert(
                    Severity.WARNING, "observer_hangs", f"{listener.name} does not come back: nothing waits "
                    "for it any more", "see what it waits for; it is told what it missed when it goes on",
                )  # fmt: skip

    def _ask(self, observer: Observer | JournalReader, act: Callable[[], None]) -> None:
        try:
            act()
        except Exception as error:  # noqa: BLE001  a border: observers are foreign code
            self.failures = [*self.failures, (observer, error)][-self._keep :]

    def alert(
        self,
        severity: Severity,
        code: str,
        message: str,
        remedy: str,
        *,
        target_id: str | None = None,
        operation_id: str | None = None,
    ) -> None:
        """Tells that something needs a person."""
        self.tell(
            AlertRaised(
                severity=severity, code=code, message=message, remedy=remedy,
                target_id=target_id, operation_id=operation_id,
            )
        )  # fmt: skip

    def alert_if_permanent(
        self,
        error: SafeUpdaterError,
        remedy: str,
        *,
        where: str = "",
        target_id: str | None = None,
        operation_id: str | None = None,
    ) -> None:
        """Tells of an error that does not go away by itself; nothing of one that may."""
        if classify(error) is ErrorClass.PERMANENT:
            message = f"{where}: {error.message}" if where else error.message
            self.alert(
                Severity.WARNING, error.code, message, remedy, target_id=target_id, operation_id=operation_id
            )

    def alert_of_store(self, result: OperationResult) -> None:
        """Tells that an operation rests where it is because the store failed."""
        self.alert(
            Severity.CRITICAL, result.code,
            f"the store failed, and the update rests where it is: {result.message}",
            "mend the place where state is kept, then recover",
            target_id=result.target_id, operation_id=result.operation_id,
        )  # fmt: skip

    def alert_of(self, result: OperationResult, blame: Blame) -> bool:
        """Tells of an outcome that a person should hear of, by what was to blame; whether it is one."""
        remedy = _ALARMS.get(result.outcome)
        if remedy is None:
            return False
        if result.outcome is Outcome.ROLLED_BACK:
            remedy = {Blame.RELEASE: _BAD_RELEASE, Blame.REQUEST: _ASKED_FOR}.get(blame, remedy)
        self.alert(
            severity_of(result.outcome), result.code or str(result.outcome),
            f"{result.outcome}: {result.message}", remedy,
            target_id=result.target_id, operation_id=result.operation_id,
        )  # fmt: skip
        return True


def _notify(observer: Observer, happening: JournalEntry | Notice) -> None:
    """Tells one observer; that it has no such method is its own error too."""
    observer.notify(happening)
