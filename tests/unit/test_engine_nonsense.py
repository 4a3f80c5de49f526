"""Answers of the right class with nonsense in them prove no health and leave a journal that can be read."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from safeupdater.backends.memory import MemoryBackend
from safeupdater.domain.health import Condition, Observation, Sample, SampleStatus
from safeupdater.domain.operation import Outcome, PreflightReport, Snapshot, StepOutcome, Steps, StepStatus
from safeupdater.stores.jsonfile import JsonFileStore
from safeupdater.update.result import OperationResult
from tests.support.engine import WEB, Bench, FakeCheck, FakeChecks, policy_with

PROBED = policy_with(health={"checks": [{"type": "http", "port": 80}]})
STEPS = {"staging": ("pull",), "switching": ("park",), "restoring": ("unpark",)}


def read_again(path: Path, method: str, answer: Any, only: object = None) -> OperationResult:
    """One update by a backend with a broken method, over a store that must open again afterwards."""
    bench = Bench()
    bench.store = JsonFileStore(path / "s", bench.clock)
    bench.backend = MemoryBackend(bench.world)
    real = getattr(bench.backend, method)

    def broken(*arguments: Any, **keywords: Any) -> Any:
        is_meant = only is None or only in arguments or only in keywords.values()
        return answer if is_meant else real(*arguments, **keywords)

    setattr(bench.backend, method, broken)
    bench.updater = bench.process(observers=[])
    result = bench.run(bench.plan())
    bench.store.close()
    with JsonFileStore(path / "s", bench.clock) as again:
        assert again.unfinished() == ()
    assert bench.running == {"web": "1.0.0"}
    return result


REFUSED, DONE = StepStatus.REFUSED, StepStatus.DONE
OUTCOMES: tuple[Any, ...] = (
    StepOutcome("done"),  # type: ignore[arg-type]
    StepOutcome(REFUSED, None, "no"),  # type: ignore[arg-type]
    StepOutcome(REFUSED, "no", {"secret": 1}),  # type: ignore[arg-type]
    StepOutcome(DONE, "", 5),  # type: ignore[arg-type]
)


@pytest.mark.parametrize("answer", OUTCOMES, ids=repr)
@pytest.mark.parametrize(("step", "end"), [("pull", Outcome.ABORTED), ("park", Outcome.ROLLED_BACK)])
def test_an_outcome_with_nonsense_is_a_refusal(tmp_path: Path, step: str, end: Outcome, answer: Any) -> None:
    result = read_again(tmp_path, "perform", answer, only=step)
    assert (result.outcome, result.code) == (end, "backend_nonsense")
    assert "the backend answered a " in result.message


@pytest.mark.parametrize(
    "answer",
    [
        *(PreflightReport(refusal=outcome) for outcome in (*OUTCOMES, StepOutcome(), "no")),
        PreflightReport(warnings="careful"),
        PreflightReport(warnings=(5,)),
        PreflightReport(warnings=5),
        PreflightReport(running="yes"),
        PreflightReport(running=None),
    ],
    ids=repr,
)
def test_a_report_with_nonsense_is_a_refusal(tmp_path: Path, answer: Any) -> None:
    result = read_again(tmp_path, "preflight", answer)
    assert (result.outcome, result.code) == (Outcome.ABORTED, "backend_nonsense")


def test_a_snapshot_with_nonsense_is_a_refusal(tmp_path: Path) -> None:
    snapshot: Any = Snapshot(
        operation_id="op", target_id=WEB, format="x", taken_at=datetime(2026, 1, 1, tzinfo=UTC), data={},
        running="yes",  # type: ignore[arg-type]
    )  # fmt: skip
    assert read_again(tmp_path, "capture", snapshot).code == "backend_nonsense"


@pytest.mark.parametrize("names", [("park", 5), ["park"], "park", None], ids=repr)
def test_steps_with_nonsense_are_refused_before_anything_begins(tmp_path: Path, names: Any) -> None:
    result = read_again(tmp_path, "steps", Steps(**{**STEPS, "switching": names}))
    assert (result.outcome, result.code) == (Outcome.REFUSED, "plugin_error")


@pytest.mark.parametrize(
    "answer",
    [
        Observation("ready", "running"),  # type: ignore[arg-type]
        Observation(Condition.READY, None),  # type: ignore[arg-type]
        Observation(Condition.READY, "running", 5),  # type: ignore[arg-type]
        Observation(Condition.READY, "running", "", 5),  # type: ignore[arg-type]
    ],
    ids=repr,
)
def test_an_observation_with_nonsense_is_no_proof_of_health(tmp_path: Path, answer: Any) -> None:
    """Of the new version only: the old one can be seen."""
    assert read_again(tmp_path, "observe", answer, only=False).outcome is Outcome.ROLLED_BACK


@pytest.mark.parametrize("sample", [Sample("failed"), Sample(SampleStatus.OK, 0.0, 5)], ids=repr)  # type: ignore[arg-type]
def test_a_sample_with_nonsense_measured_nothing(sample: Any) -> None:
    bench = Bench(PROBED)
    bench.updater = bench.process(checks=FakeChecks(FakeCheck(lambda: sample)))
    result = bench.run(bench.plan())
    assert (result.outcome, result.code) == (Outcome.ROLLED_BACK, "no_data")
    assert bench.running == {"web": "1.0.0"}


def test_a_self_test_with_nonsense_does_not_show_that_a_probe_can_fail() -> None:
    bench = Bench(PROBED)
    bench.updater = bench.process(checks=FakeChecks(FakeCheck(tested=lambda: Sample("ok"))))  # type: ignore[arg-type]
    result = bench.run(bench.plan())
    assert "it answered nonsense" in " ".join(result.warnings)
