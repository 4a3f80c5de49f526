"""Answers of the right class with nonsense in them prove no health and leave a journal that can be read."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import attrs
import pytest

from safeupdater.backends.memory import MemoryBackend
from safeupdater.domain.candidate import Candidate
from safeupdater.domain.decision import Decision, Reason, Verdict
from safeupdater.domain.health import Condition, Observation, Sample, SampleStatus
from safeupdater.domain.operation import (
    Outcome,
    Phase,
    PreflightReport,
    Snapshot,
    StepOutcome,
    Steps,
    StepStatus,
)
from safeupdater.errors import BackendError
from safeupdater.gates import DiffGate, gate
from safeupdater.protocols import ScanReport
from safeupdater.stores.jsonfile import JsonFileStore
from safeupdater.update import acting
from safeupdater.update.result import OperationResult
from tests.support.engine import WEB, Bench, FakeCheck, FakeChecks, policy_with

PROBED = policy_with(health={"checks": [{"type": "http", "port": 80}]})
NOW = datetime(2026, 1, 5, tzinfo=UTC)
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


HALF = "caf\udce9"  # what a name that is no Unicode becomes with surrogateescape


@pytest.mark.parametrize(
    ("method", "answer"),
    [
        ("perform", StepOutcome(DONE, "", HALF)),
        ("observe", Observation(Condition.FAILED, "exited", HALF)),
        ("observe", Observation(Condition.READY, "running", "", HALF)),
        ("capture", Snapshot(operation_id="x", target_id=WEB, format="f", taken_at=NOW, data={})),
        ("capture", Snapshot(operation_id="x", target_id=WEB, format=3, taken_at=NOW, data={})),  # type: ignore[arg-type]
    ],
    ids=["message", "detail", "identity", "of another operation", "no format"],
)
def test_text_that_nobody_can_write_down_and_foreign_snapshots_end_well(
    tmp_path: Path, method: str, answer: Any
) -> None:
    result = read_again(tmp_path, method, answer, only=False if method == "observe" else None)
    assert result.outcome in (Outcome.ABORTED, Outcome.ROLLED_BACK)


def test_an_error_whose_text_nobody_can_write_down_ends_well(tmp_path: Path) -> None:
    failed = acting.failed(Phase.SWITCHING, "park", BackendError(HALF, code=HALF))
    assert (failed.code, failed.message) == ("caf?", "caf?")


class _SomebodyElses(MemoryBackend):
    """A backend of a plugin that finds assets of nonsense."""

    keeps_deadlines = False

    def __init__(self, bench: Bench, changes: Any) -> None:
        super().__init__(bench.world)
        self._changes = changes

    def scan(self) -> ScanReport:
        report = super().scan()
        assets = tuple(attrs.evolve(each, **self._changes) for each in report.assets)
        return attrs.evolve(report, assets=assets)


@pytest.mark.parametrize(
    "changes", [{"name": 5}, {"running": "yes"}, {"owner": HALF}, {"digests": frozenset({1})}], ids=repr
)
def test_assets_of_nonsense_are_a_problem_of_their_backend_alone(tmp_path: Path, changes: Any) -> None:
    bench = Bench()
    bench.store = JsonFileStore(tmp_path / "s", bench.clock)
    bench.backend = _SomebodyElses(bench, changes)
    bench.updater = bench.process(observers=[])
    (problem,) = bench.updater.scan().problems
    assert "nobody could read it again" in problem or "Unicode" in problem
    bench.store.close()
    with JsonFileStore(tmp_path / "s", bench.clock) as again:
        assert list(again.iterate("asset")) == []


@pytest.mark.parametrize("part", [{"code": None}, {"message": 5}, {"gate": 5}, {"message": HALF}], ids=repr)
def test_a_gate_whose_reason_is_no_text_rejects(part: Any) -> None:
    good = Reason(code="x", message="y", verdict=Verdict.APPROVE)

    @gate
    def nonsense(candidate: Candidate) -> Decision:
        return Decision(verdict=Verdict.APPROVE, reasons=(attrs.evolve(good, **part),))

    decision = DiffGate(nonsense).evaluate_update("1.0.0", "1.0.1")
    assert (decision.verdict, decision.reasons[0].code) == (Verdict.REJECT, "gate_invalid")
