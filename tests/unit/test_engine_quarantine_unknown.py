"""A store that does not say what is in quarantine: nothing counts as good for it, and others go on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from safeupdater.backends.memory import CRASHES
from safeupdater.domain.candidate import Candidate
from safeupdater.domain.decision import Verdict
from safeupdater.domain.operation import Outcome
from safeupdater.errors import CorruptState, StoreError
from safeupdater.gates.hard import NotQuarantined
from safeupdater.testing.gates import make_candidate
from safeupdater.update.facts import with_facts
from tests.support.engine import WEB, Bench, BrokenStore, outcomes


@pytest.fixture
def bench() -> Bench:
    """``web`` went back from 1.1.0, whose bits are bad, and its cooldown is over."""
    made = Bench()
    made.store = BrokenStore(made.store)
    made.updater = made.process()
    made.publish(behaviour=CRASHES)
    assert outcomes(made.apply()) == [Outcome.ROLLED_BACK]
    made.clock.advance(2 * 3600.0)
    return made


def fail(bench: Bench, name: str, kind: str, error: Exception | None = None) -> None:
    bench.store.breaks = lambda method, arguments: method == name and arguments[0] == kind
    if error is not None:
        bench.store.error = error


def test_what_failed_is_not_tried_again_while_the_quarantine_cannot_be_read(bench: Bench) -> None:
    fail(bench, "get", "quarantine")
    plan = bench.process().plan()
    assert plan.updates == ()
    assert [(item.asset_id, item.code) for item in plan.unknown] == [(WEB, "store_error")]
    assert bench.process().apply() == ()
    assert bench.running == {"web": "1.0.0"}


def test_an_asset_whose_quarantine_can_be_read_is_updated_all_the_same(bench: Bench) -> None:
    bench.world.run("api", "api:1.0.0")
    bench.publish("1.1.0", name="api")
    bench.updater.scan()
    bench.store.breaks = lambda method, arguments: (
        method == "get" and arguments[0] == "quarantine" and arguments[1].startswith(WEB)
    )
    assert outcomes(bench.apply()) == [Outcome.SUCCEEDED]
    assert bench.running == {"web": "1.0.0", "api": "1.1.0"}


@pytest.mark.parametrize("error", [StoreError("full", code="disk_full"), CorruptState("foreign")])
@pytest.mark.parametrize("method", ["get", "put"])
@pytest.mark.parametrize("kind", ["tag", "first_seen"])
def test_what_failed_stays_in_quarantine_whatever_else_the_store_cannot_do(
    bench: Bench, kind: str, method: str, error: Exception
) -> None:
    for name in [key for key, _ in bench.store.iterate(kind)]:
        bench.store.delete(kind, name)
    fail(bench, method, kind, error)
    (update,) = bench.process().plan().updates
    assert update.decision.verdict is Verdict.REJECT
    assert "quarantined" in {reason.code for reason in update.decision.reasons}


class Keeper:
    """A source of somebody else that says it knows what is in quarantine, and fails."""

    provides = frozenset({"quarantined"})

    def facts(self, candidate: Candidate) -> Mapping[str, object]:
        raise ValueError("hunter2")


def test_a_source_of_quarantine_that_raises_keeps_the_version_back() -> None:
    gate = NotQuarantined()
    source: Any = Keeper()
    decision = gate(with_facts(make_candidate(), (source,), gate.needs))
    assert (decision.verdict, decision.reasons[0].code) == (Verdict.REJECT, "quarantined")
    assert "hunter2" not in decision.reason
