"""Driving many operations to their ends: one after the other as they fall due, or side by side on threads."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

import attrs

from safeupdater.domain.operation import Outcome
from safeupdater.domain.plan import Approval, PlannedUpdate
from safeupdater.errors import SafeUpdaterError
from safeupdater.protocols import Clock
from safeupdater.update.result import Advance, Done, OperationResult, WakeAfter, refusal

_TURN_POLL_S = 1.0


@attrs.frozen(kw_only=True)
class Pilot:
    """What driving needs of an executor: to open, to go on, and to ``drain`` when a thread is given up."""

    open: Callable[[PlannedUpdate, Approval | None], str | OperationResult]
    advance: Callable[[str], Advance]
    is_stopping: Callable[[], bool]
    drain: Callable[[], None]
    clock: Clock


class Drive:
    """One ``run``: what it has still to begin, what is under way, and what has come of the rest.

    Updates that must wait for their turn are tried again when something has ended, or a second later;
    where nothing of ours is under way, for ``turn_timeout_s`` seconds at most, since those who are ahead
    may be gone.
    """

    def __init__(
        self,
        pilot: Pilot,
        items: Iterable[PlannedUpdate | str],
        approvals: Iterable[Approval],
        *,
        max_in_flight: int,
        turn_timeout_s: float,
    ) -> None:
        self._pilot = pilot
        self._clock = pilot.clock
        self._waiting = list(enumerate(items))
        self._approvals = {approval.update_hash: approval for approval in approvals}
        self._max_in_flight = max_in_flight
        self._turn_timeout_s = turn_timeout_s
        self._results: dict[int, OperationResult] = {}
        self._try_again_s = self._idle_since_s = self._clock.monotonic()

    # --- two ways -------------------------------------------------------------------------------------------

    def in_turns(self) -> tuple[OperationResult, ...]:
        """Everything on the calling thread, in an order that only the clock decides."""
        flying: list[tuple[float, int, str]] = []
        clock, is_stopping, advance = self._clock, self._pilot.is_stopping, self._pilot.advance
        now_s = clock.monotonic()
        while flying or self._waiting:
            if self._waiting:
                for index, operation_id in self._launched(len(flying)):
                    heapq.heappush(flying, (clock.monotonic(), index, operation_id))
                now_s = clock.monotonic()
                if not flying:
                    self._pause()
                    continue
            due_s, index, operation_id = flying[0]
            if due_s > now_s:
                clock.wait(due_s - now_s, is_stopping)
            answer = advance(operation_id)
            now_s = clock.monotonic()
            if isinstance(answer, WakeAfter):
                heapq.heapreplace(flying, (now_s + answer.delay_s, index, operation_id))
            else:
                heapq.heappop(flying)
                self._ended(index, answer)
        return self._in_order()

    def side_by_side(self) -> tuple[OperationResult, ...]:
        """Each operation on a thread of its own, so that a long step of one keeps no other waiting."""
        flying: dict[Future[Done], int] = {}
        with ThreadPoolExecutor(self._max_in_flight, thread_name_prefix="safeupdater") as threads:
            try:
                while flying or self._waiting:
                    for index, operation_id in self._launched(len(flying)):
                        flying[threads.submit(self._fly, operation_id)] = index
                    if not flying:
                        self._pause()
                        continue
                    for future in wait(flying, _TURN_POLL_S, FIRST_COMPLETED).done:
                        self._ended(flying.pop(future), future.result())
            except BaseException:
                self._pilot.drain()  # or the threads would go on to the ends of their operations
                raise
        return self._in_order()

    def _fly(self, operation_id: str) -> Done:
        while isinstance(answer := self._pilot.advance(operation_id), WakeAfter):
            self._clock.wait(answer.delay_s, self._pilot.is_stopping)
        return answer

    # --- beginning and ending -------------------------------------------------------------------------------

    def _launched(self, flying: int) -> Iterator[tuple[int, str]]:
        """Opens as many as may fly, one by one; those that must wait for their turn stay where they are."""
        if not self._waiting or flying >= self._max_in_flight or self._clock.monotonic() < self._try_again_s:
            return
        candidates, self._waiting = self._waiting, []
        for index, item in candidates:
            if self._pilot.is_stopping() or flying >= self._max_in_flight:
                self._waiting.append((index, item))
                continue
            opened = item if isinstance(item, str) else self._try_open(item)
            if isinstance(opened, str):
                flying += 1
                yield index, opened
            elif opened.code == "concurrency":
                self._waiting.append((index, item))
            else:
                self._results[index] = opened
        self._try_again_s = self._clock.monotonic() + _TURN_POLL_S

    def _try_open(self, planned: PlannedUpdate) -> str | OperationResult:
        """Opens one, where an error is this update's alone: the others go on."""
        try:
            return self._pilot.open(planned, self._approvals.get(planned.hash))
        except SafeUpdaterError as error:
            return refusal(planned, error.code, error.message)

    def _ended(self, index: int, answer: Done) -> None:
        self._results[index] = answer.result
        self._try_again_s = self._idle_since_s = self._clock.monotonic()

    def _pause(self) -> None:
        """Nothing of ours is under way: waits for the turn of what is left, or gives it up."""
        if self._pilot.is_stopping():
            self._give_up()
        elif self._waiting and self._clock.monotonic() - self._idle_since_s >= self._turn_timeout_s:
            self._refuse()
        elif self._waiting:
            self._clock.wait(_TURN_POLL_S, self._pilot.is_stopping)

    def _give_up(self) -> None:
        for index, item in self._waiting:
            self._results[index] = OperationResult(
                operation_id=item if isinstance(item, str) else None,
                target_id="" if isinstance(item, str) else item.target_id,
                outcome=Outcome.INTERRUPTED,
                code="stopped",
                message="stopped before it began",
            )
        self._waiting = []

    def _refuse(self) -> None:
        message = (
            f"no turn within {self._turn_timeout_s:g} s: finish what others began (recover), then apply again"
        )
        for index, item in self._waiting:
            assert not isinstance(item, str), "what is open already never waits"
            self._results[index] = refusal(item, "concurrency", message)
        self._waiting = []

    def _in_order(self) -> tuple[OperationResult, ...]:
        return tuple(self._results[index] for index in sorted(self._results))
