"""A process that is killed by SIGKILL anywhere in an update leaves nothing that a new one cannot end.

The whole of it: ``python -m tests.simulation.kills --store sqlite --kills 200``.
"""

from __future__ import annotations

import signal
from pathlib import Path

import attrs
import pytest

from safeupdater.domain.operation import Finished
from safeupdater.stores.jsonfile import JsonFileStore
from tests.simulation.crashes import SCENARIOS
from tests.simulation.kills import Job, Kill, Nursery, Scene, run_kills, set_up

KILLS = 6
COMMIT = SCENARIOS[0]


@pytest.mark.parametrize("store", ["json", "sqlite"])
def test_killed_at_random_points_an_update_still_ends_well(store: str) -> None:
    tally = run_kills(store, KILLS, seed=11)

    assert tally.violations == []
    assert tally.killed >= KILLS - 1  # one may be over before somebody else's kill comes
    assert {"I1", "I4", "I11", "I14"} <= set(tally.checked)


def test_a_new_process_needs_no_wait_for_the_lease_of_a_killed_one(tmp_path: Path) -> None:
    url = f"json:{tmp_path}/state"
    set_up(tmp_path, url, COMMIT, ("app",))
    job = Job(seat=str(tmp_path), url=url, scenario=COMMIT.name, kill=Kill(point=60, after=True))
    with Nursery.opened() as nursery:
        code, _ = nursery.run(job)
        clock = Scene.load(str(tmp_path)).clock
        with JsonFileStore(tmp_path / "state", clock, is_dead=lambda holder: False) as store:
            (opened,) = store.unfinished()
            assert store.acquire(opened.target_id, "somebody", 1.0) is None, "the lease has not run out"
        nursery.run(attrs.evolve(job, kill=Kill(), recover=True))

    assert code == -signal.SIGKILL
    with JsonFileStore(tmp_path / "state", clock) as store:
        assert store.unfinished() == ()
        outcome = store.load(opened.operation_id)[-1].event
    assert isinstance(outcome, Finished)
