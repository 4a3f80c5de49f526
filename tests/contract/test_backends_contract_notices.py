"""The backend contract notices what a backend must not do, and says what is wrong.

The bugs are those of the simulation that lie in the backend in memory, and one more; with each of them most
updates go well.
"""

from __future__ import annotations

import pytest

from safeupdater.backends.memory.backend import _Act
from safeupdater.testing.backends import BackendContract
from tests.contract.test_backends_contract import MemoryStage
from tests.simulation import broken_steps as steps
from tests.simulation.broken_engine import replaced
from tests.simulation.bugs import BUGS, Bug, planted
from tests.support.noticing import complaints

SAID = {
    "candidate created with restart=always": "web.su-new is stopped, but its restart policy 'always'",
    "A's restart policy not disabled": "web.su-old is stopped, but its restart policy 'always'",
    "Watchtower order: stop, remove, create": "the old version is removed before the commit",
    "the restart policy is forgotten": "the old version runs with the restart policy '', it had 'always'",
    "the new one gets no restart policy": "the restart policy of web is '', the old version's is 'always'",
    "the configuration is forgotten": "somebody else changed the container meanwhile",
    "the old image is made again": "not registry.test/app:1.0.1@sha256:",
    "another image than was decided": "not registry.test/app:1.0.1@sha256:",
    "the new one starts before the old one stops": "a switch that was not to be changed something",
    "what others edited is parked": "what somebody else edited is stopped, started or renamed",
    "what others edited is removed": "what somebody else edited is removed",
    "what others edited is set back": "what somebody else configured is overwritten",
    "another container is stopped": "web is stopped, but its restart policy 'always'",
    "a commit brings the old version back": "not registry.test/app:1.0.1@sha256:",
    "the candidate is left behind": "something of ours is left behind",
    "the old version is left behind": "after the commit something is left behind",
    "the old version is cleared away too": "the old version is removed, though nothing is committed",
    "no re-ensure at watch resume": "after a power failure and the steps of resuming: web does not run",
    "restart policy restored after start in rollback": "it has to come before the start",
}


UNPROTECTED = Bug("the new one gets no restart policy", "I1", replaced(_Act, "start", steps.start_beside))


class MemoryContract(BackendContract):
    def make_stage(self) -> MemoryStage:
        return MemoryStage()


def test_nothing_is_said_of_a_good_backend() -> None:
    assert complaints(MemoryContract) == {}


@pytest.mark.parametrize("name", SAID)
def test_the_contract_notices(name: str) -> None:
    (bug,) = (bug for bug in (*BUGS, UNPROTECTED) if bug.name == name)
    with planted(bug):
        said = complaints(MemoryContract)
    assert any(SAID[name] in text for text in said.values()), said
