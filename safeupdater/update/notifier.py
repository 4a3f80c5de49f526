"""Telling observers, none of which can stop an update."""

from __future__ import annotations

from collections.abc import Iterable

from safeupdater.domain.notice import AlertRaised, Notice, Severity
from safeupdater.domain.operation import JournalEntry
from safeupdater.protocols import Observer


class Notifier:
    """Tells every observer what happened, in order; what one raises ends in ``failures``."""

    def __init__(self, observers: Iterable[Observer] = (), *, keep: int = 100) -> None:
        self._observers = tuple(observers)
        self._keep = keep
        self.failures: list[tuple[Observer, Exception]] = []

    def __bool__(self) -> bool:
        return bool(self._observers)

    def tell(self, happening: JournalEntry | Notice) -> None:
        """Tells one entry or notice."""
        for observer in self._observers:
            try:
                observer.notify(happening)
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
