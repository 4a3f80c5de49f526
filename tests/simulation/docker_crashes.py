"""The real engine and Docker backend over a fake daemon: every death and every mishap at every call, then
a second one at every call after it.

A *death* leaves the daemon and the store as they are at that moment, so one life shows what deaths at all
of its moments leave, and each of these is taken up by a fresh life. A *mishap* is a call without an answer, a
restarting daemon, somebody who asks to stop or who removes stopped containers; the process lives on, so its
life is played again with it. Nothing is random and nothing is shared between lives but what a death leaves.
"""

from __future__ import annotations

import enum
import functools
import itertools
import pickle
import re
import zlib
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator

import attrs

from tests.simulation.docker_checks import Before, CheckedLife
from tests.simulation.docker_essence import essence
from tests.simulation.docker_life import Fault, Moment, Violation
from tests.simulation.docker_world import REPOSITORY, SCENARIOS, Stage, make_stage

PAIRED = tuple(fault for fault in Fault if fault is not Fault.PRUNE)
"""What is tried as a second fault. Who removes stopped containers does so once."""


@attrs.frozen
class Start:
    """What every run of a scenario begins with."""

    stage: Stage
    moment: Moment
    before: Before


@functools.cache
def start_of(name: str) -> Start:
    """A scenario's daemon and store, with the updates done that come before the one to disturb."""
    stage = make_stage(SCENARIOS[name])
    moment = Moment(daemon=pickle.dumps(stage.daemon), written=(), at_s=0.0)
    earlier = int(stage.scenario.earlier)
    before = Before(stage, moment, 0)
    if earlier:
        life = CheckedLife(before, stage, moment)
        life.play(earlier)
        # A second name, given by somebody else: taking the first one off would succeed.
        life.daemon.tag(f"{REPOSITORY}:1.0.1", f"{REPOSITORY}:stable")
        moment = attrs.evolve(life.moment(), daemon=pickle.dumps(life.daemon))
        before = Before(stage, moment, earlier)
    return Start(stage, moment, before)


class Meanwhile(enum.Enum):
    """What happens while nobody is there."""

    NOTHING = ""
    RESTART = "+restart"
    PRUNE = "+prune"


@attrs.frozen
class Death:
    """The process dies at one of its moments; something may happen to the daemon before the next begins."""

    moment: int
    meanwhile: Meanwhile = Meanwhile.NOTHING

    def __str__(self) -> str:
        return f"death {self.moment}{self.meanwhile.value}"


@attrs.frozen
class Mishap:
    """Something happens at a call of a process, which lives on."""

    call: int
    fault: Fault

    def __str__(self) -> str:
        return f"{self.fault.name} {self.call}"


Schedule = tuple[Death | Mishap, ...]


@attrs.define
class Tally:
    """How many runs there were, how they ended, what was checked in them and what was wrong in which."""

    runs: int = 0
    violations: list[str] = attrs.Factory(list)
    checked: Counter[str] = attrs.Factory(Counter)
    outcomes: Counter[str] = attrs.Factory(Counter)

    def take(self, other: Tally) -> None:
        """Adds what another part found."""
        self.runs += other.runs
        self.violations += other.violations
        self.checked.update(other.checked)
        self.outcomes.update(other.outcomes)


@attrs.define
class Player:
    """Plays lives of one scenario and keeps count."""

    name: str
    explores: bool = False
    tally: Tally = attrs.Factory(Tally)

    @property
    def start(self) -> Start:
        """What every run begins with."""
        return start_of(self.name)

    def live(
        self,
        schedule: Schedule,
        begin: Moment,
        mishaps: Iterable[Mishap] = (),
        client: Callable[[CheckedLife], object] | None = None,
    ) -> CheckedLife:
        """One life with its mishaps, to its end and beyond."""
        start = self.start
        faults = {mishap.call: mishap.fault for mishap in mishaps}
        life = CheckedLife(start.before, start.stage, begin, faults, explores=self.explores)
        self.tally.runs += 1
        try:
            life.play(start.before.ended + 1, client(life) if client else None)
            life.check_end(is_undisturbed=not schedule)
            self.tally.outcomes[str(life.outcome)] += 1
            life.collect()
            life.check_collected()
        except (Violation, Exception) as error:  # noqa: BLE001  whatever is let out is a finding
            what = str(error) if isinstance(error, Violation) else f"it raised {error!r}"
            text = ", then ".join(map(str, schedule))
            where = life.calls[-1] if life.calls else "its start"
            self.tally.violations.append(
                f"{self.name}: {what} (at {where}; --replay 'docker:{self.name}:{text}')"
            )
        self.tally.checked.update(life.checked)
        return life

    # --- what can follow ------------------------------------------------------------------------------------

    def deaths(self, life: CheckedLife, since: int = 0) -> Iterator[tuple[Death, Moment]]:
        """What deaths in a life leave, from a call on."""
        for number, (call, moment) in enumerate(life.moments):
            if call >= since:
                yield Death(number), moment
                yield Death(number, Meanwhile.RESTART), moment.after_restart()
                pruned = moment.after_prune()
                if pruned is not moment:
                    yield Death(number, Meanwhile.PRUNE), pruned

    def mishaps(
        self, life: CheckedLife, since: int = 0, faults: Collection[Fault] = tuple(Fault)
    ) -> Iterator[Mishap]:
        """What can happen at the calls of a life, from a call on."""
        if since == 0 and life.number > 1:
            yield Mishap(0, Fault.ABORT)
        for call, fault in itertools.product(range(max(since, 1), len(life.calls) + 1), faults):
            if (call, fault) not in life.idle:
                yield Mishap(call, fault)


Chosen = Callable[[Schedule], bool]


def everything(schedule: Schedule) -> bool:
    """Chooses all schedules."""
    return True


@attrs.frozen
class Sample:
    """Chooses about one in ``every`` schedules, the same ones for the same seed."""

    every: int
    seed: int = 1

    def __call__(self, schedule: Schedule) -> bool:
        return zlib.crc32(f"{self.seed} {schedule}".encode()) % self.every == 0


def one_fault(name: str, *, stop_at: int = 0) -> Tally:
    """The undisturbed run, then every death and every mishap at every call.

    Ends early after that many violations, 0: never.
    """
    player = Player(name)
    begin = player.start.moment
    player.live((), begin)
    life = Player(name, explores=True).live((), begin)
    for death, moment in player.deaths(life):
        if _is_enough(player, stop_at):
            return player.tally
        player.live((death,), moment)
    for mishap in player.mishaps(life):
        if _is_enough(player, stop_at):
            return player.tally
        player.live((mishap,), begin, [mishap])
    return player.tally


def _is_enough(player: Player, stop_at: int) -> bool:
    return 0 < stop_at <= len(player.tally.violations)


def first_faults(name: str) -> list[Death | Mishap]:
    """Everything that can happen first; of deaths that leave the same to be done, one."""
    player = Player(name, explores=True)
    life = player.live((), player.start.moment)
    return [death for death, _ in distinct(player.deaths(life))] + list(player.mishaps(life))


def distinct(deaths: Iterable[tuple[Death, Moment]]) -> Iterator[tuple[Death, Moment]]:
    """The deaths that leave something else than those before them."""
    seen: set[object] = set()
    for death, moment in deaths:
        left = essence(moment)
        if left not in seen:
            seen.add(left)
            yield death, moment


def two_faults(name: str, firsts: Iterable[Death | Mishap], chosen: Chosen = everything) -> Tally:
    """After each of these first faults, every death and every mishap at every later call.

    A death that leaves what another one left is not played again. The lives that only show what can happen
    second are not counted: ``one_fault`` has them.
    """
    player = Player(name)
    explorer = Player(name, explores=True)
    undisturbed = explorer.live((), player.start.moment)
    left = dict(player.deaths(undisturbed))
    seen: set[object] = set()
    for first in firsts:
        begin = left[first] if isinstance(first, Death) else player.start.moment
        mishaps = [first] if isinstance(first, Mishap) else []
        life = explorer.live((first,), begin, mishaps)
        since = first.call if isinstance(first, Mishap) else 0
        for death, moment in player.deaths(life, since):
            if chosen((first, death)) and not _is_known(moment, seen):
                player.live((first, death), moment)
        for mishap in player.mishaps(life, since and since + 1, PAIRED):
            if chosen((first, mishap)):
                player.live((first, mishap), begin, [*mishaps, mishap])
    return player.tally


def _is_known(moment: Moment, seen: set[object]) -> bool:
    left = essence(moment)
    is_known = left in seen
    seen.add(left)
    return is_known


# --- replaying ----------------------------------------------------------------------------------------------


def parse(text: str) -> Schedule:
    """A schedule as a violation names it: ``death 12+restart, then NO_ANSWER 7``."""
    return tuple(_parsed(part) for part in text.split(", then ") if part)


def _parsed(text: str) -> Death | Mishap:
    found = re.fullmatch(r"death (\d+)(\+\w+)?", text)
    if found:
        return Death(int(found[1]), Meanwhile(found[2] or ""))
    fault, _, call = text.partition(" ")
    return Mishap(int(call), Fault[fault])


def replay(name: str, schedule: Schedule) -> Tally:
    """Plays one schedule again."""
    player = Player(name)
    begin, mishaps = player.start.moment, []
    for number, step in enumerate(schedule, start=1):
        if isinstance(step, Mishap):
            mishaps.append(step)
            continue
        life = Player(name, explores=True).live(schedule[:number], begin, mishaps)
        begin, mishaps = dict(player.deaths(life))[step], []
    player.live(schedule, begin, mishaps)
    return player.tally
