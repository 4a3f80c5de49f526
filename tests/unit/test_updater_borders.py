"""The facade among parts that fail: one backend never stops the others, and everything is closed."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from safeupdater.domain.notice import Severity
from safeupdater.domain.operation import Outcome, Steps
from safeupdater.domain.plan import PlannedUpdate
from safeupdater.errors import (
    BackendError,
    PluginError,
    RegistryError,
    RollbackError,
    ScanError,
    StoreError,
)
from safeupdater.protocols import Admittance, ScanReport
from safeupdater.update.retention import snapshots
from tests.support.engine import WEB, Bench, BrokenStore, outcomes, policy_with

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


# --- scanning -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "alerts"), [(AWAY, 0), (BROKEN, 1), (RegistryError("no"), 1), (ScanError("no"), 1)]
)
def test_a_backend_that_cannot_be_scanned_is_a_problem_and_the_others_are_scanned(
    error: Exception, alerts: int
) -> None:
    bench = Bench()
    bench.updater = bench.process(backends=[Failing(bench.backend, error, "scan"), bench.backend])
    scan = bench.updater.scan()
    assert [asset.id for asset in scan.assets] == [WEB]
    (problem,) = scan.problems
    assert problem.startswith("memory on local: ")
    assert len(bench.recorder.alerts) == alerts, "what may pass by itself needs nobody"
    assert "s3cret" not in problem + str(bench.recorder.alerts)


class Away:
    """A runtime that cannot even say which host it is on while it is away, as a Docker daemon."""

    name = "docker"

    @property
    def host(self) -> str:
        raise AWAY

    def scan(self) -> Any:
        raise AWAY

    def owns(self, target_id: str) -> bool:
        raise AWAY


def test_a_runtime_that_is_away_is_named_though_it_cannot_say_its_host() -> None:
    bench = Bench()
    bench.updater = bench.process(backends=[Away(), bench.backend])
    scan = bench.updater.scan()
    assert scan.problems == ("Away: the daemon is away",)
    assert [asset.id for asset in bench.updater.inventory.assets()] == [WEB]


@pytest.mark.parametrize("answer", [42, None, ScanReport(assets=("web",), scope="memory://local/")])  # type: ignore[arg-type]
def test_a_backend_that_answers_nonsense_to_a_scan_is_a_problem_and_stops_no_other(answer: Any) -> None:
    bench = Bench()
    nonsense = Failing(bench.backend, BROKEN)
    nonsense.scan = lambda: answer  # type: ignore[attr-defined]
    bench.updater = bench.process(backends=[nonsense, bench.backend])
    scan = bench.updater.scan()
    assert [asset.id for asset in bench.updater.inventory.assets()] == [WEB]
    (problem,) = scan.problems
    assert problem.endswith("answered something else than a ScanReport of assets")


def test_a_store_that_fails_ends_a_scan() -> None:
    bench = Bench()
    broken = BrokenStore(bench.store)
    updater = bench.process(store=broken)
    broken.breaks = lambda name, arguments: True
    with pytest.raises(StoreError):
        updater.scan()


# --- nonsense -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "steps", [Steps(switching=("go",), restoring=()), Steps(switching=(), restoring=("back",))]
)
def test_a_backend_that_declares_no_way_there_or_none_back_begins_nothing(steps: Steps) -> None:
    bench = Bench()
    bench.backend.steps = lambda planned, settings: steps
    bench.publish()
    (result,) = bench.apply()
    assert (result.outcome, result.code) == (Outcome.REFUSED, "plugin_error")
    assert bench.store.unfinished() == ()


class Admitting:
    """Admission that answers nonsense about one target."""

    def __init__(self, nonsense: Any) -> None:
        self._nonsense = nonsense

    def admit(self, planned: PlannedUpdate, now: datetime) -> Any:
        return self._nonsense if planned.target_id == WEB else Admittance(admitted=True)


@pytest.mark.parametrize(
    "nonsense",
    [
        None,
        Admittance(admitted="no"),  # type: ignore[arg-type]
        Admittance(admitted=False, code=None),  # type: ignore[arg-type]
        Admittance(admitted=False, until="tomorrow"),  # type: ignore[arg-type]
    ],
    ids=repr,
)
def test_admission_that_answers_nonsense_refuses_one_update_and_no_other(nonsense: Any) -> None:
    bench = Bench(admission=Admitting(nonsense))
    bench.world.run("api", "api:1.0.0")
    for name in ("api", "web"):
        bench.publish(name=name)
    results = {result.target_id: result for result in bench.apply()}
    assert results.pop(WEB).code == "plugin_error"
    assert outcomes(results.values()) == [Outcome.SUCCEEDED]
    assert bench.running == {"web": "1.0.0", "api": "1.1.0"}


def test_an_observer_that_cannot_be_told_anything_stops_no_update() -> None:
    bench = Bench(observers=[object()])
    bench.publish()
    assert outcomes(bench.apply()) == [Outcome.SUCCEEDED]


# --- what nobody expected -----------------------------------------------------------------------------------


def test_what_nobody_expected_interrupts_one_operation_and_a_person_hears_of_it() -> None:
    bench = Bench(policy_with(max_concurrent=2))
    broken = BrokenStore(bench.store)
    broken.error = KeyError("s3cret")
    bench.world.run("api", "api:1.0.0")
    for name in ("api", "web"):
        bench.publish(name=name)
    bench.updater = bench.process(store=broken)
    web = bench.open()
    bench.steps_until(web, "Watching")
    broken.breaks = lambda name, arguments: name == "append" and arguments[0] == web

    (other,) = (item for item in bench.updater.plan().updates if item.target_id.endswith("/api"))
    first, second = bench.updater.executor.run([web, other])

    assert (first.outcome, first.code) == (Outcome.INTERRUPTED, "unexpected_error")
    assert first.message.startswith("KeyError was raised in ")
    assert second.succeeded
    (alert,) = (alert for alert in bench.recorder.alerts if alert.operation_id == web)
    assert (alert.severity, alert.code) == (Severity.CRITICAL, "unexpected_error")
    assert "s3cret" not in str(alert) + str(first)
    broken.breaks = lambda name, arguments: False
    assert outcomes(bench.process().recover()) == [Outcome.SUCCEEDED]


def test_what_nobody_expected_of_one_operation_keeps_no_other_from_recovery() -> None:
    bench = Bench(policy_with(max_concurrent=2))
    broken = BrokenStore(bench.store)
    broken.error = KeyError("s3cret")
    bench.world.run("api", "api:1.0.0")
    bench.publish(name="api")
    web = bench.open()
    (other,) = (item for item in bench.updater.plan().updates if item.target_id.endswith("/api"))
    bench.updater.executor.open(other)
    bench.kill(bench.updater)
    late = bench.process(store=broken)
    broken.breaks = lambda name, arguments: name == "load" and arguments[0] == web
    results = {item.operation_id: item for item in late.recover()}
    assert (results.pop(web).outcome, late.executor._flights) == (Outcome.INTERRUPTED, {})
    assert outcomes(results.values()) == [Outcome.ABORTED], "it had not begun"


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
