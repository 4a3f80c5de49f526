"""A store in memory under something real: said once, before anything is changed."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest

from safeupdater.backends.memory import MemoryBackend
from safeupdater.domain.notice import AlertRaised
from safeupdater.stores import JsonFileStore, MemoryStore, open_store
from safeupdater.update.volatile import is_volatile
from tests.support.engine import Bench


class RealBackend(MemoryBackend):
    """A backend whose world outlives the process."""

    is_simulated = False


def bench_of(*, is_real: bool, allow: bool = False, **options: object) -> Bench:
    bench = Bench()
    if is_real:
        bench.backend = RealBackend(bench.world)
    bench.store = MemoryStore(bench.clock, allow_volatile=allow)
    bench.updater = bench.process(**options)
    return bench


def volatile_alerts(bench: Bench) -> list[AlertRaised]:
    return [alert for alert in bench.recorder.alerts if alert.code == "volatile_store"]


def test_an_updater_says_once_that_its_state_ends_with_the_process() -> None:
    bench = bench_of(is_real=True)
    bench.publish("1.0.1")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(bench.apply()) == 1
    (alert,) = volatile_alerts(bench)
    assert bench.recorder.told.index(alert) < bench.recorder.told.index(
        next(item for item in bench.recorder.told if getattr(item, "operation_id", None))
    ), "before anything is begun"
    assert "sqlite" in alert.remedy
    bench.publish("1.0.2")
    assert len(bench.apply()) == 1
    assert len(volatile_alerts(bench)) == 1


def test_where_nobody_observes_python_warns() -> None:
    bench = bench_of(is_real=True, observers=[])
    bench.publish("1.0.1")
    with pytest.warns(RuntimeWarning, match="in memory only") as caught:
        bench.apply()
    assert len(caught) == 1


@pytest.mark.parametrize(("is_real", "allow"), [(False, False), (True, True)])
def test_a_world_in_memory_and_a_store_that_is_meant_so_need_no_warning(is_real: bool, allow: bool) -> None:
    bench = bench_of(is_real=is_real, allow=allow)
    bench.publish("1.0.1")
    assert len(bench.apply()) == 1
    assert volatile_alerts(bench) == []


def test_nothing_is_said_where_nothing_is_changed() -> None:
    bench = bench_of(is_real=True)
    bench.apply()
    assert volatile_alerts(bench) == []


def test_a_store_on_disk_is_not_volatile(tmp_path: Path) -> None:
    bench = bench_of(is_real=True)
    with JsonFileStore(tmp_path / "s") as store:
        assert not is_volatile(store, [bench.backend])
    assert is_volatile(open_store("memory:"), [bench.backend])
    assert not is_volatile(open_store("memory:", allow_volatile=True), [bench.backend])
