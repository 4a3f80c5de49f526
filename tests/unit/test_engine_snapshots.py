"""The way back: it is read back before anything is changed, and never another one's."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from safeupdater.domain.operation import Outcome, SnapshotCaptured, StepIntended
from tests.support.engine import Bench


class LossyStore:
    """A store that takes snapshots and gives them back as ``given`` makes of them."""

    def __init__(self, inner: Any, given: Any) -> None:
        self.inner = inner
        self.given = given

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def get(self, kind: str, key: str) -> Any:
        stored = self.inner.get(kind, key)
        return self.given(stored) if kind == "snapshot" and stored is not None else stored


def _lost(stored: Any) -> None:
    return None


def _changed(stored: Any) -> Any:
    data = {**stored.value.data, "restart": "no"}
    return attrs.evolve(stored, value=attrs.evolve(stored.value, data=data))


def _nonsense(stored: Any) -> Any:
    return attrs.evolve(stored, value="a snapshot")


def _copied(stored: Any) -> Any:
    return attrs.evolve(stored, value=attrs.evolve(stored.value, data=dict(stored.value.data)))


@pytest.mark.parametrize("given", [_lost, _changed, _nonsense])
def test_a_snapshot_that_the_store_does_not_give_back_aborts_before_anything_is_touched(given: Any) -> None:
    bench = Bench()
    bench.store = LossyStore(bench.store, given)
    bench.updater = bench.process()
    before = dict(bench.world.containers)

    result = bench.run(bench.plan())

    assert (result.outcome, result.code) == (Outcome.ABORTED, "snapshot_unreadable")
    assert bench.world.containers == before
    assert not [event for event in bench.recorder.events if isinstance(event, StepIntended)]
    assert not [event for event in bench.recorder.events if isinstance(event, SnapshotCaptured)]


def test_a_snapshot_that_comes_back_as_another_object_of_the_same_content_is_good() -> None:
    bench = Bench()
    bench.store = LossyStore(bench.store, _copied)
    bench.updater = bench.process()
    assert bench.run(bench.plan()).outcome is Outcome.SUCCEEDED


def test_a_snapshot_that_changed_after_it_was_captured_is_never_gone_back_to() -> None:
    bench = Bench()
    operation_id = bench.open()
    bench.steps_until(operation_id, "Settling")
    bench.kill(bench.updater)
    stored = bench.store.get("snapshot", operation_id)
    bench.store.put("snapshot", operation_id, _changed(stored).value)
    before = {name: (item.id, item.running) for name, item in bench.world.containers.items()}

    (result,) = bench.process().recover()

    assert (result.outcome, result.code) == (Outcome.INTERRUPTED, "snapshot_damaged")
    assert {name: (item.id, item.running) for name, item in bench.world.containers.items()} == before
    (alert,) = bench.recorder.alerts
    assert (alert.code, alert.operation_id) == ("snapshot_damaged", operation_id)
    assert "s3cret" not in alert.message
