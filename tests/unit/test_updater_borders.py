"""The facade among parts that fail: one backend never stops the others, and everything is closed."""

from __future__ import annotations

from typing import Any

import pytest

from safeupdater.domain.operation import Outcome
from safeupdater.errors import BackendError, PluginError, RollbackError
from safeupdater.update.retention import snapshots
from tests.support.engine import WEB, Bench, outcomes, policy_with

DAY_S = 86_400.0


class Failing:
    """A backend of which some methods raise."""

    def __init__(self, inner: Any, error: BaseException, *names: str) -> None:
        self.inner, self.error, self.names = inner, error, names
        self.closed = 0

    def __getattr__(self, name: str) -> Any:
        if name in self.names:
            return self._fail
        return getattr(self.inner, name)

    def _fail(self, *arguments: Any) -> Any:
        raise self.error

    def close(self) -> None:
        self.closed += 1
        if "close" in self.names:
            raise self.error


BROKEN = RuntimeError("s3cret")
AWAY = BackendError("the daemon is away", transient=True)


# --- collecting ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("error", "alerts"), [(BROKEN, 1), (AWAY, 0)])
def test_a_backend_that_cannot_collect_stops_no_update_and_keeps_its_snapshots(
    error: Exception, alerts: int
) -> None:
    bench = Bench(policy_with(rollback={"retain": "7d"}))
    assert bench.run(bench.plan()).succeeded
    bench.clock.advance(8 * DAY_S)
    bench.publish("1.2.0")
    failing = Failing(bench.backend, error, "collect")
    bench.updater = bench.process(backends=[failing])
    assert outcomes(bench.apply()) == [Outcome.SUCCEEDED]
    assert len(list(snapshots(bench.store))) == 2, "the old one stays: nobody let go of what belongs to it"
    assert len(bench.recorder.alerts) == alerts
    assert "s3cret" not in str(bench.recorder.alerts)

    bench.updater = bench.process()
    bench.updater.rollbacks.collect()
    assert len(list(snapshots(bench.store))) == 1


def test_a_backend_that_cannot_even_say_what_is_its_own_stops_no_other() -> None:
    bench = Bench()
    broken = Failing(bench.backend, BROKEN, "owns", "scan", "collect")
    bench.publish()
    bench.updater = bench.process(backends=[broken, bench.backend])
    assert outcomes(bench.apply()) == [Outcome.SUCCEEDED]
    bench.clock.advance(8 * DAY_S)
    bench.apply()
    assert list(snapshots(bench.store)) == [], "the other backend did its part"


# --- closing ------------------------------------------------------------------------------------------------


class Closable:
    """Counts how often it is closed."""

    def __init__(self, inner: Any) -> None:
        self.inner, self.closed = inner, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def close(self) -> None:
        self.closed += 1


def test_whatever_one_raises_everything_is_closed() -> None:
    bench = Bench()
    backends = [Failing(bench.backend, BROKEN, "close"), Failing(bench.backend, BROKEN)]
    store, tags = Closable(bench.store), Closable(bench.world)
    updater = bench.process(backends=backends, store=store, tags=tags)
    with pytest.raises(PluginError, match="Failing raised RuntimeError"):
        updater.close()
    assert [backend.closed for backend in backends] == [1, 1]
    assert (store.closed, tags.closed) == (1, 1)


def test_the_error_of_the_body_is_not_hidden_by_closing() -> None:
    bench = Bench()
    updater = bench.process(backends=[bench.backend])
    with pytest.raises(RollbackError, match="no earlier version"), updater:
        updater.rollback(WEB, by="ada")


# --- stopping -----------------------------------------------------------------------------------------------


def test_what_was_stopped_begins_nothing_until_it_is_resumed() -> None:
    bench = Bench()
    bench.publish()
    bench.updater.stop()
    for _ in range(2):
        assert [(item.outcome, item.code) for item in bench.apply()] == [(Outcome.INTERRUPTED, "stopped")]
    bench.updater.resume()
    assert outcomes(bench.apply()) == [Outcome.SUCCEEDED]
