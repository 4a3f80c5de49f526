"""One observer on a thread of its own: told everything in order, and waited for only so long."""

from __future__ import annotations

import contextlib
import contextvars
import queue
import threading
from collections.abc import Callable

import attrs

TOLD_S = 5.0
"""How long an observer may take before others go on without waiting for it."""
LAST_S = 30.0
"""How long one that is behind may take to catch up before the process goes."""
_KEPT = 1000
"""How many happenings are kept for an observer that is behind; what comes on top is dropped."""
_IDLE_S = 5.0


@attrs.define(eq=False)
class _Task:
    act: Callable[[], None]
    context: contextvars.Context = attrs.field(factory=contextvars.copy_context)
    done: threading.Event = attrs.field(factory=threading.Event)


class Listener:
    """Carries out what one observer is told, one after the other.

    While it keeps up, whoever tells it waits until it has taken it in. One that does not for ``told_s``
    seconds is left behind: it is told on, but nobody waits, until it has caught up. The thread ends when
    there has been nothing to tell for a while.
    """

    def __init__(self, name: str, *, told_s: float = TOLD_S, kept: int = _KEPT) -> None:
        self.name = name
        self.dropped = 0
        self._told_s = told_s
        self._tasks: queue.Queue[_Task] = queue.Queue(kept)
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._is_behind = False

    def tell(self, act: Callable[[], None]) -> Callable[[], bool]:
        """Takes one thing to tell, and gives what waits for it: false where it is behind since just now."""
        task = _Task(act)
        with self._lock:
            try:
                self._tasks.put_nowait(task)
            except queue.Full:
                self.dropped += 1
                return lambda: True
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._listen, name=f"safeupdater-{self.name}", daemon=True
                )
                self._thread.start()
        return lambda: self._await(task)

    def finish(self, timeout_s: float) -> None:
        """Waits until everything was told, or for that many seconds."""
        task = _Task(lambda: None)
        with self._lock:
            if self._thread is None or self._thread is threading.current_thread() or self._tasks.full():
                return
            self._tasks.put_nowait(task)
        task.done.wait(timeout_s)

    def _await(self, task: _Task) -> bool:
        if self._is_behind or threading.current_thread() is self._thread:
            return True  # its own doing: to wait for itself would be to wait for ever
        if task.done.wait(self._told_s):
            return True
        self._is_behind = not task.done.is_set()
        return not self._is_behind

    def _listen(self) -> None:
        while True:
            try:
                task = self._tasks.get(timeout=_IDLE_S)
            except queue.Empty:
                with self._lock:
                    if self._tasks.empty():
                        self._thread = None
                        return
                continue
            with contextlib.suppress(BaseException):  # a border: SystemExit here can only be the observer's
                task.context.run(task.act)
            task.done.set()
            if self._tasks.empty():
                self._is_behind = False
