"""An updater that dies, a daemon that restarts, people who interfere, at every call of an update on Docker.

The second fault is sampled here; ``python -m tests.simulation docker --full`` tries all of them.
"""

from __future__ import annotations

import pytest

from safeupdater.testing.fake_docker_http import FakeTransport
from tests.simulation.docker_bugs import BUGS, Bug, look_for
from tests.simulation.docker_crashes import (
    Death,
    Meanwhile,
    Mishap,
    Player,
    Sample,
    distinct,
    first_faults,
    one_fault,
    parse,
    replay,
    two_faults,
)
from tests.simulation.docker_essence import essence
from tests.simulation.docker_life import Fault
from tests.simulation.docker_world import SCENARIOS


@pytest.mark.parametrize("name", SCENARIOS)
def test_undisturbed_each_update_ends_as_it_should(name: str) -> None:
    player = Player(name)
    player.live((), player.start.moment)
    assert player.tally.violations == []
    assert list(player.tally.outcomes) == [str(SCENARIOS[name].expected)]


@pytest.mark.parametrize("name", ["good", "bad", "with a stopped sidecar", "back by hand"])
def test_one_fault_at_any_call_ends_with_exactly_one_version(name: str) -> None:
    tally = one_fault(name)
    assert tally.violations == []
    assert tally.runs >= 150


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_second_fault_at_any_later_call_changes_nothing(name: str) -> None:
    tally = two_faults(name, first_faults(name)[::40], Sample(every=40))
    assert tally.violations == []
    assert tally.runs >= 3


def test_http_in_between_makes_no_difference() -> None:
    """The simulation leaves out HTTP, which would be most of its cost."""
    short = Player("bad with a sidecar").live((), Player("bad with a sidecar").start.moment)
    player = Player("bad with a sidecar")
    transports: list[FakeTransport] = []

    def over_http(daemon: object) -> object:
        transport = FakeTransport(daemon)  # type: ignore[arg-type]
        transports.append(transport)
        return transport

    life = player.live((), player.start.moment, client=lambda life: life.daemon.client(over_http))
    assert player.tally.violations == []
    assert life.daemon == short.daemon
    assert [url.removeprefix("http+docker://localhost") for url in transports[0].urls] == [
        call.partition(" ")[2] for call in short.calls
    ]


def test_what_is_not_played_again_would_come_out_the_same() -> None:
    player = Player("bad", explores=True)
    life = player.live((), player.start.moment)
    deaths = dict(player.deaths(life))
    kept = dict(distinct(deaths.items()))
    assert len(kept) < len(deaths)
    ends = {death: player.live((death,), moment).daemon for death, moment in deaths.items()}
    same = {essence(moment): death for death, moment in kept.items()}
    assert all(ends[death] == ends[same[essence(moment)]] for death, moment in deaths.items())
    assert player.tally.violations == []


def test_a_schedule_can_be_replayed_from_its_text() -> None:
    schedule = (Death(12, Meanwhile.RESTART), Mishap(3, Fault.NO_ANSWER))
    text = ", then ".join(map(str, schedule))
    assert parse(text) == schedule
    assert replay("good", schedule).violations == []


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_each_planted_design_bug_is_noticed_by_what_it_breaks(bug: Bug) -> None:
    caught = look_for(bug)
    assert caught.violation is not None, "not noticed"
    assert f"{bug.scenario}: {bug.breaks}:" in caught.violation


def test_what_ends_between_the_first_look_and_the_snapshot_is_left_as_it_is() -> None:
    player = Player("not restarted")
    calls = player.live((), player.start.moment).calls
    looks = [number for number, call in enumerate(calls, start=1) if call.endswith("/containers/web/json")]
    assert replay("not restarted", (Mishap(looks[1], Fault.RESTART_BEFORE),)).violations == []
