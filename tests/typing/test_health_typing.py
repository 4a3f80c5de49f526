"""What type checkers conclude about health: checked by mypy and pyright, run by pytest."""

from __future__ import annotations

from typing import assert_type

from safeupdater.domain.health import Baseline, HealthPolicy, Sample, SampleStatus, Tally, WindowVerdict
from safeupdater.health import Window, baseline_refuses
from safeupdater.probes import ExecCheck, HealthCheckFactory, HttpCheck, RuntimeCheck, TcpCheck
from safeupdater.protocols import HealthCheck, HealthChecks


def test_a_window_gives_a_verdict_or_none() -> None:
    window = Window.open(HealthPolicy(), 0.0, Baseline(samples=30, failures=0))
    assert_type(window.add(Sample(SampleStatus.OK, 10.0)), Window)
    assert_type(window.judge(10.0), WindowVerdict | None)
    assert_type(window.tally, Tally)
    assert_type(window.next_due_s, float)
    assert_type(baseline_refuses(Baseline(samples=30, failures=0)), bool)


def test_every_check_is_a_health_check() -> None:
    checks: list[HealthCheck] = [
        HttpCheck(port=8080, path="/ready", expect="200-399", timeout="2s"),
        TcpCheck(),
        ExecCheck(argv=["true"]),
        RuntimeCheck(runtime="docker"),
    ]
    factory: HealthChecks = HealthCheckFactory(plugins=False)
    assert_type(factory.create("http"), HealthCheck)
    assert len(checks) == 4
