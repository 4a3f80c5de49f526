"""Foreign code that may hang: it is called on a thread of its own, and waited for only so long.

Python cannot stop a thread, so a call that does not come back is abandoned: its late result goes nowhere, and
while it hangs the same thing is not asked again, so that what hangs costs a thread and not one per question.
"""

from __future__ import annotations

import contextvars
import queue
import threading
from collections.abc import Callable
from typing import TypeVar

import attrs

Result = TypeVar("Result")


def call_with_deadline(call: Callable[[], Result], timeout_s: float, *, name: str) -> Result:
    """What a call returns or raises, waited for at most that long on a thread of its own.

    Raises:
        TimeoutError: it was abandoned.
    """
    outcome: queue.SimpleQueue[tuple[Result | None, BaseException | None]] = queue.SimpleQueue()
    context = contextvars.copy_context()

    def run() -> None:
        try:
            outcome.put((context.run(call), None))
        except BaseException as error:  # noqa: BLE001 - carried over to the caller's thread, cause and all
            outcome.put((None, error))

    threading.Thread(target=run, name=name, daemon=True).start()
    try:
        result, error = outcome.get(timeout=timeout_s)
    except queue.Empty:
        raise TimeoutError(f"{name} did not come back within {timeout_s:g} s") from None
    if error is not None:
        raise error
    return result  # type: ignore[return-value]  # an outcome without an error holds a result


@attrs.define(eq=False)
class Patience:
    """Calls one foreign thing with deadlines. What hangs is not begun again under the same key.

    Where ``most`` calls hang, each on a thread that nobody can stop, no other is begun.
    """

    what: str
    most: float = 32
    _hanging: set[str] = attrs.field(factory=set, init=False, repr=False)

    def ask(self, call: Callable[[], Result], timeout_s: float, *, key: str = "") -> Result:
        """What the call returns or raises.

        Raises:
            TimeoutError: it did not come back in time, or an earlier one has not yet, or too many.
        """
        if key in self._hanging:
            raise TimeoutError(f"{self.what} still hangs in an earlier call")
        if len(self._hanging) >= self.most:
            raise TimeoutError(f"{self.what}: {len(self._hanging)} calls hang, so no other is begun")
        done = threading.Event()

        def run() -> Result:
            try:
                return call()
            finally:
                done.set()
                self._hanging.discard(key)

        try:
            return call_with_deadline(run, timeout_s, name=f"safeupdater-{self.what}")
        except TimeoutError as error:
            if done.is_set():
                raise  # its own, not ours
            self._hanging.add(key)
            if done.is_set():  # it came back just now
                self._hanging.discard(key)
            raise TimeoutError(f"{self.what} did not answer within {timeout_s:g} s") from error
