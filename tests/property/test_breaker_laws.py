"""The breaker, against one that forgets nothing, and under clocks that jump and clocks that dip."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import attrs
from hypothesis import example, given, settings
from hypothesis import strategies as st

from safeupdater.domain.operation import Attempt, Breaker
from safeupdater.update import breaker
from safeupdater.update.breaker import HOUR

START = datetime(2026, 1, 5, tzinfo=UTC)

minutes = st.sampled_from([0, 0, 1, 3, 10, 29, 30, 31, 59, 60, 61])
waits = minutes.map(lambda count: [timedelta(minutes=count)])
jumps = st.sampled_from([-3650, -1, 1, 3650]).map(lambda days: [timedelta(days=days)])
begins = st.integers(1, 5).map(lambda count: ["begin"] * count)
ends = st.lists(st.sampled_from(["succeeded", "succeeded", "went back", "neither"]), min_size=1, max_size=4)
rows = st.tuples(st.integers(1, 20), st.sampled_from(["succeeded", "went back"])).map(
    lambda drawn: ["begin", drawn[1]] * drawn[0]
)


def flat(parts: list[list[object]]) -> list[object]:
    return [step for part in parts for step in part]


steps = st.lists(waits | begins | ends | rows, min_size=4, max_size=40).map(flat)
steps_with_jumps = st.lists(waits | jumps | begins | ends | rows, min_size=4, max_size=40).map(flat)
dips = st.sampled_from([-3650, -30, -1, 1, 30, 3650]).map(lambda days: timedelta(days=days))


@attrs.define
class World:
    """A clock, a breaker that is told of everything, and all that ever happened."""

    now: datetime = START
    known: Breaker = Breaker()
    begun: dict[str, datetime] = attrs.Factory(dict)
    ended: list[Attempt] = attrs.Factory(list)
    count: int = 0

    def take(self, step: object) -> None:
        if isinstance(step, timedelta):
            self.now += step
        elif step == "begin":
            self.count += 1
            self.begun[f"op-{self.count:03}"] = self.now
        elif self.begun:
            self._end(str(step))
        self.known = breaker.tripped(self.known, lambda: self.begun, self.now)

    def _end(self, how: str) -> None:
        name = next(iter(self.begun))
        attempt = Attempt(
            operation_id=name,
            started=self.begun.pop(name),
            ended=self.now,
            succeeded=how == "succeeded",
            went_back=how == "went back",
        )
        self.known = breaker.after(self.known, attempt, lambda: self.begun, self.now)
        self.ended.append(attempt)

    @property
    def opened(self) -> datetime | None:
        return breaker.counted(self.known, self.now).opened

    @property
    def lets_through(self) -> bool:
        return self.opened is None or self.now >= self.opened + HOUR


@attrs.define
class Oracle:
    """The rules word by word, over all that ever happened since the breaker last closed."""

    opened: datetime | None = None
    since: int = 0
    told: int = 0

    def follow(self, world: World) -> None:
        for attempt in world.ended[self.told :]:
            self.told += 1
            if self.opened and attempt.succeeded and attempt.started >= self.opened + HOUR:
                self.opened, self.since = None, self.told
            elif self.opened and attempt.went_back:
                self.opened = world.now
        if self.opened is None and self._is_too_much(world):
            self.opened = world.now

    def _is_too_much(self, world: World) -> bool:
        ended = world.ended[self.since :]
        rollbacks = sum(item.went_back and world.now - item.ended < HOUR for item in ended)
        starts = [*world.begun.values(), *(item.started for item in ended)]
        started = sum(world.now - start < HOUR for start in starts)
        return rollbacks >= 3 or (started >= 5 and rollbacks / started >= 0.2)


GOOD, BAD = ["begin", "succeeded"], ["begin", "went back"]


@given(steps)
@example([*GOOD * 10, *BAD, *GOOD * 16, *BAD * 2]).via("a rollback counts however many went well since")
@settings(max_examples=300)
def test_it_decides_like_a_breaker_that_forgets_nothing(taken: list[object]) -> None:
    world, oracle = World(), Oracle()
    for step in taken:
        world.take(step)
        oracle.follow(world)
        assert world.opened == oracle.opened


@given(steps_with_jumps)
def test_no_clock_keeps_it_shut_for_longer_than_an_hour(taken: list[object]) -> None:
    world = World()
    for step in taken:
        world.take(step)
    world.take(HOUR)
    assert world.lets_through


@given(steps_with_jumps)
def test_one_success_after_the_hour_closes_it_whatever_was_before(taken: list[object]) -> None:
    world = World()
    for step in taken:
        world.take(step)
    while world.begun:
        world.take("neither")
    for step in (HOUR, "begin", "succeeded"):
        world.take(step)
    assert world.opened is None


@given(steps_with_jumps)
def test_it_remembers_only_so_many(taken: list[object]) -> None:
    world = World()
    for step in taken:
        world.take(step)
        assert len(world.known.attempts) <= 15 + 3


@given(steps_with_jumps)
def test_what_a_wrong_clock_left_behind_counts_for_no_longer_than_an_hour(taken: list[object]) -> None:
    world = World()
    for step in taken:
        world.take(step)
    begun = {f"new-{number}": world.now + HOUR for number in range(5)}
    closed = attrs.evolve(world.known, opened=None, proven=None).by_clock(world.now)
    assert breaker.tripped(closed, lambda: begun, world.now + HOUR).opened is None


@given(steps_with_jumps)
def test_being_told_twice_is_being_told_once(taken: list[object]) -> None:
    world = World()
    for step in taken:
        world.take(step)
        if world.known.attempts:
            last = attrs.evolve(world.known.attempts[-1], ended=world.now)
            assert breaker.after(world.known, last, lambda: world.begun, world.now) == world.known


@given(steps, dips, st.lists(waits, max_size=5).map(flat))
def test_a_dip_of_the_clock_in_which_nothing_happens_leaves_everything_as_it_was(
    taken: list[object], dip: timedelta, looks: list[object]
) -> None:
    world = World()
    for step in taken:
        world.take(step)
    while world.begun:
        world.take("neither")
    before = world.known
    for step in (dip, *looks):
        world.take(step)
        assert world.known.attempts == before.attempts
    world.take(-dip - sum([step for step in looks if isinstance(step, timedelta)], timedelta()))
    assert world.known == before


@given(steps, dips, steps)
@example([*BAD * 3], timedelta(days=3650), [*GOOD]).via("a success in a dip ahead closed it for good")
@example([*BAD * 3], timedelta(days=-3650), [*BAD]).via("a rollback in a dip back opened it years ago")
@example([*BAD * 2], timedelta(days=-3650), [*BAD]).via("so did one that opened it")
def test_what_happens_in_a_dip_of_the_clock_ends_no_hour_early(
    taken: list[object], dip: timedelta, in_the_dip: list[object]
) -> None:
    world = World()
    for step in taken:
        world.take(step)
    until = world.opened + HOUR if world.opened else None
    rollbacks = [item.ended for item in world.known.attempts if item.went_back]
    world.take(dip)
    for step in in_the_dip:
        world.take(step)
    if until is None and world.opened is not None and rollbacks:
        until = max(rollbacks) + HOUR
    world.take(-dip)
    assert until is None or world.now >= until or not world.lets_through
