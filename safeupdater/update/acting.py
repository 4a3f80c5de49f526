"""Performing one command through the ports: whatever comes back, or does not, becomes an event."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import attrs

from safeupdater.domain.health import Baseline, Condition, Sample, SampleStatus
from safeupdater.domain.operation import (
    Hook,
    HookPoint,
    Observed,
    OperationSettings,
    Phase,
    PreflightPassed,
    PreflightReport,
    Snapshot,
    SnapshotCaptured,
    StepDone,
    StepFailed,
    StepOutcome,
    StepStatus,
    Unrunnable,
)
from safeupdater.domain.quick import evolved, made
from safeupdater.domain.text import written
from safeupdater.errors import BackendError, SafeUpdaterError, StoreError
from safeupdater.health import baseline_refuses
from safeupdater.protocols import (
    Backend,
    Clock,
    HealthCheck,
    Hooks,
    OperationContext,
    PathCheck,
    ProbeTarget,
    Report,
    StateStore,
)
from safeupdater.update.answers import is_observation, is_sample, is_snapshot, nonsense, outcome_in, report_in
from safeupdater.update.states import Perform

_StepTime = Callable[[OperationContext, Phase, str], float]
HOOK_PREFIX = "hook:"
ROOM_BYTES = 16 * 1024 * 1024
"""What a store must have left before an update begins; its journal takes up some 5 kB."""
CALL_DEADLINE_S = 120.0
"""How long one call to a runtime may take, unless its phase says otherwise."""
STAGING_DEADLINE_S = 1800.0
"""How long one call of the staging phase may take: it pulls images."""
SLOWEST_STEP_S = 7 * 86_400.0
"""The most that a backend gets for a step that it says to be slow, as hooks do: a lease has to end."""
_HOOK_MARGIN_S = 10.0
"""What ending a hook that is late takes at most."""
_BASELINE_INTERVAL_S = 0.5
_OK, _DONE, _STAGING = SampleStatus.OK, StepStatus.DONE, Phase.STAGING  # bound: see ``domain.quick``
_SELF_TEST_TIMEOUT_S = 1.0


@attrs.frozen
class Unmeasurable:
    """Stands for a health check that cannot be made any more: it measures nothing."""

    cause: str

    def check(self, target: ProbeTarget, timeout_s: float) -> Sample:
        """Void."""
        return Sample(SampleStatus.VOID, 0.0, self.cause)

    def self_test(self, timeout_s: float) -> Sample:
        """Void."""
        return Sample(SampleStatus.VOID, 0.0, self.cause)


def failed(phase: Phase, step: str, error: Exception) -> StepFailed:
    """The event for a call that raised: its effect is unknown, so the step is made sure of again."""
    if isinstance(error, SafeUpdaterError):
        retry = error.transient or phase is Phase.RESTORING
        status, code, message = (
            StepStatus.RETRY if retry else StepStatus.REFUSED,
            written(error.code),
            written(error.message),
        )
    else:
        # Foreign text may hold anything, secrets included: the type is all that is kept.
        status, code = StepStatus.RETRY, "backend_raised"
        message = f"the backend raised {type(error).__name__}"
    unanswered = isinstance(error, BackendError) and error.transient
    return StepFailed(
        phase=phase, step=step, status=status, code=code, message=message, unanswered=unanswered
    )


def refused(phase: Phase, step: str, outcome: StepOutcome) -> StepFailed:
    """The event for an answer that is not "done"."""
    return StepFailed(
        phase=phase, step=step, status=outcome.status, code=outcome.code, message=outcome.message
    )


def preflight(
    backend: Backend, context: OperationContext, checks: Sequence[HealthCheck], clock: Clock
) -> PreflightPassed | StepFailed:
    """Looks whether the target is as planned and can be put back, and whether the probes can fail."""
    phase, step = Phase.PREFLIGHT, Phase.PREFLIGHT.value
    report = looked_over(backend, context)
    if isinstance(report, StepFailed):
        return report
    try:
        warnings, broken = _self_tests(checks)
        if broken:
            message = f"a probe passes against a closed port, so it can never fail: {broken}"
            return refused(phase, step, StepOutcome(StepStatus.REFUSED, "probe_cannot_fail", message))
        is_measured = report.running and context.wanted is None
        warnings += _blind_spots(backend, context, checks) if is_measured else ()
        baseline = _baseline(backend, context, checks, clock) if is_measured else None
    except Exception as error:  # noqa: BLE001  a border: backends and probes are foreign code
        return failed(phase, step, error)
    if baseline is not None and baseline_refuses(baseline):
        message = f"the old version fails {baseline.failures} of {baseline.samples} probes"
        return refused(phase, step, StepOutcome(StepStatus.REFUSED, "baseline_unhealthy", message))
    return PreflightPassed(warnings=(*report.warnings, *warnings), running=report.running, baseline=baseline)


def looked_over(backend: Backend, context: OperationContext) -> PreflightReport | StepFailed:
    """What a runtime says before anything is touched, or why it would not be. Reads only."""
    phase, step = Phase.PREFLIGHT, Phase.PREFLIGHT.value
    try:
        report = report_in(backend.preflight(context))
    except Exception as error:  # noqa: BLE001  a border: backends are foreign code
        return failed(phase, step, error)
    if report.refusal is not None:
        return refused(phase, step, report.refusal)
    # Whoever goes back by hand does so because what runs is bad, or does not even run.
    is_return = context.wanted is not None
    if not report.running and not is_return and context.settings.unrunnable is Unrunnable.DEFER:
        message = "it does not run, so a new version could not be verified (unrunnable: commit allows it)"
        return refused(phase, step, StepOutcome(StepStatus.REFUSED, "not_running", message))
    return report


def endpoint_of(store: StateStore) -> tuple[str, int] | None:
    """Where a store's server is (see ``RemoteStore``), where it says so.

    Raises:
        StoreError: it did not answer.
    """
    ask: Callable[[], tuple[str, int] | None] | None = getattr(store, "server_endpoint", None)
    return ask() if ask is not None else None


def lacks_room(store: StateStore) -> StepFailed | None:
    """The refusal where a store says that the journal of an update might not fit any more.

    Raises:
        StoreError: it did not answer.
    """
    measure: Callable[[], int | None] | None = getattr(store, "free_bytes", None)
    free = measure() if measure is not None else None
    if free is None or free >= ROOM_BYTES:
        return None
    message = (
        f"the store has room for {free:,} bytes only, and an update is begun with {ROOM_BYTES:,} or more: "
        "free space where state is kept"
    )
    phase = Phase.PREFLIGHT
    return refused(phase, phase.value, StepOutcome(StepStatus.REFUSED, "store_full", message))


def _self_tests(checks: Sequence[HealthCheck]) -> tuple[tuple[str, ...], str]:
    warnings = []
    for check in checks:
        sample = _self_test(check)
        if sample.status is SampleStatus.OK:
            return (), type(check).__name__
        if sample.status is SampleStatus.VOID:
            warnings.append(f"{type(check).__name__} could not be tested: {sample.detail}")
    return tuple(warnings), ""


def _blind_spots(
    backend: Backend, context: OperationContext, checks: Sequence[HealthCheck]
) -> tuple[str, ...]:
    """Warnings of probes that pass on the old version whatever path they ask for."""
    warnings = []
    for check in checks:
        if isinstance(check, PathCheck) and _ignores_path(check, backend, context):
            warnings.append(
                f"probe_ignores_path: {type(check).__name__} passes for a path that cannot exist as well, "
                "so a wrong path would not be noticed; let it look for a text (contains) or a field (fields)"
            )
    return tuple(warnings)


def _ignores_path(check: PathCheck, backend: Backend, context: OperationContext) -> bool:
    try:
        target = backend.probe_target(context, old=True)
        return check.ignores_path(target, _SELF_TEST_TIMEOUT_S) is True
    except Exception:  # noqa: BLE001  a border: what cannot be asked is no reason for a warning
        return False


def _self_test(check: HealthCheck) -> Sample:
    try:
        sample = check.self_test(_SELF_TEST_TIMEOUT_S)
    except Exception as error:  # noqa: BLE001  a border: probes are foreign code
        return Sample(SampleStatus.VOID, 0.0, f"it raised {type(error).__name__}")
    return sample if is_sample(sample) else Sample(SampleStatus.VOID, 0.0, "it answered nonsense")


def _baseline(
    backend: Backend, context: OperationContext, checks: Sequence[HealthCheck], clock: Clock
) -> Baseline | None:
    """Up to ``health.baseline_s`` seconds of samples of the old version; None where none are wanted."""
    wanted_s = context.settings.health.baseline_s
    if not checks or wanted_s <= 0:
        return None
    until_s = clock.monotonic() + wanted_s
    samples: list[Sample] = []
    while clock.monotonic() < until_s:
        # The probes only: nothing is captured yet by which a backend could know the old version.
        samples.append(_measure(backend, context, checks, old=True))
        clock.wait(_BASELINE_INTERVAL_S, lambda: False)
    valid = [sample for sample in samples if sample.status is not SampleStatus.VOID]
    failures = sum(sample.status is SampleStatus.FAILED for sample in valid)
    return Baseline(samples=len(valid), failures=failures) if valid else None


def capture(
    backend: Backend, context: OperationContext, store: StateStore
) -> tuple[OperationContext, SnapshotCaptured | StepFailed]:
    """Reads the snapshot, stores it durably and reads it back, before the journal says that there is one."""
    phase, step = Phase.CAPTURING, Phase.CAPTURING.value
    try:
        snapshot = backend.capture(context)
        if not is_snapshot(snapshot, context.operation_id, context.target_id):
            return context, refused(phase, step, nonsense(snapshot, "Snapshot"))
        store.put("snapshot", context.operation_id, snapshot)
    except StoreError:
        raise
    except Exception as error:  # noqa: BLE001  a border: backends are foreign code
        return context, failed(phase, step, error)
    sha256 = snapshot.sha256
    if not _is_readable(store, snapshot, sha256):
        return context, refused(phase, step, _UNREADABLE)
    captured = SnapshotCaptured(sha256=sha256, running=snapshot.running)
    return evolved(context, snapshot=snapshot), captured


_UNREADABLE = StepOutcome(
    StepStatus.REFUSED,
    "snapshot_unreadable",
    "the store does not give back the snapshot that was put into it, so there would be no way back",
)


def _is_readable(store: StateStore, snapshot: Snapshot, sha256: str) -> bool:
    """Whether the store gives back what was captured: a way back that cannot be read is none.

    Raises:
        StoreError: it did not answer, or what it holds is damaged.
    """
    stored = store.get("snapshot", snapshot.operation_id)
    found = stored.value if stored is not None else None
    return found is snapshot or (isinstance(found, Snapshot) and found.sha256 == sha256)


def perform(
    backend: Backend, context: OperationContext, hooks: Hooks | None, command: Perform, report: Report
) -> StepDone | StepFailed:
    """Makes one step true."""
    phase, step = command.phase, command.step
    try:
        if step.startswith(HOOK_PREFIX):
            answer = _run_hook(backend, context, hooks, step.removeprefix(HOOK_PREFIX))
        else:
            answer = backend.perform(context, phase, step, report)
        outcome = outcome_in(answer)
    except Exception as error:  # noqa: BLE001  a border: backends are foreign code
        return failed(phase, step, error)
    if outcome.status is _DONE:
        return StepDone(phase=phase, step=step, detail=outcome.message)
    return refused(phase, step, outcome)


def _run_hook(backend: Backend, context: OperationContext, hooks: Hooks | None, name: str) -> StepOutcome:
    hook = _hook_named(context.settings, name)
    if hooks is None or hook is None:
        return StepOutcome(StepStatus.REFUSED, "hook_unavailable", f"nothing here can run the hook {name}")
    # After the commit the old version is parked, and the new one is what there is to run in.
    is_old = hook.point is HookPoint.BEFORE_SWITCH
    target = backend.probe_target(context, old=is_old) if hook.in_container else None
    return hooks.run(hook, context, target)


def deadline_s(backend: Backend, context: OperationContext, command: Perform) -> float:
    """How long a step may take: its phase's time, or its own where that is longer."""
    phase_s = STAGING_DEADLINE_S if command.phase is _STAGING else CALL_DEADLINE_S
    if command.step.startswith(HOOK_PREFIX):
        hook = _hook_named(context.settings, command.step.removeprefix(HOOK_PREFIX))
        return max(phase_s, hook.timeout_s + _HOOK_MARGIN_S) if hook is not None else phase_s
    return max(phase_s, _own_time_s(backend, context, command))


def _own_time_s(backend: Backend, context: OperationContext, command: Perform) -> float:
    """What a backend asks for a step, a week at most; 0 where it asks for nothing, or for nonsense."""
    own: _StepTime | None = getattr(backend, "step_time_s", None)
    if own is None:
        return 0.0
    try:
        asked_s = own(context, command.phase, command.step)
        return min(asked_s, SLOWEST_STEP_S) if asked_s > 0 else 0.0
    except Exception:  # noqa: BLE001  a border: an update under way must end, so it has the usual time
        return 0.0


def _hook_named(settings: OperationSettings, name: str) -> Hook | None:
    return next((hook for hook in settings.hooks if hook.name == name), None)


_LAST_WORDS = (
    Condition.FAILED, Condition.ABSENT, Condition.FOREIGN, Condition.STOPPED, Condition.PAUSED,
)  # fmt: skip
"""Of a version in such a condition there is nothing to measure."""


def look(
    backend: Backend,
    context: OperationContext,
    checks: Sequence[HealthCheck],
    clock: Clock,
    *,
    old: bool = False,
) -> Observed:
    """One look: what the runtime says and, where that is not the last word, what the probes measure."""
    try:
        observation = backend.observe(context, old=old)
    except Exception as error:  # noqa: BLE001  a border: backends are foreign code
        detail = error.message if isinstance(error, BackendError) else type(error).__name__
        now_s = clock.monotonic()
        return Observed(now_s, None, Sample(SampleStatus.VOID, now_s, detail))
    if not is_observation(observation):
        now_s = clock.monotonic()
        return Observed(now_s, None, Sample(SampleStatus.VOID, now_s, "the backend answered nonsense"))
    if old or not checks or observation.condition in _LAST_WORDS:
        now_s = clock.monotonic()
        return made(Observed, (now_s, observation, made(Sample, (_OK, now_s, ""))))
    sample = _measure(backend, context, checks, old=False)
    now_s = clock.monotonic()
    return Observed(now_s, observation, Sample(sample.status, now_s, sample.detail))


def _measure(
    backend: Backend, context: OperationContext, checks: Sequence[HealthCheck], *, old: bool
) -> Sample:
    """All checks together: failed when one failed, void when one could not measure, else good."""
    void: Sample | None = None
    try:
        target: ProbeTarget = backend.probe_target(context, old=old)
        for check in checks:
            sample = check.check(target, context.settings.health.check_timeout_s)
            if not is_sample(sample):
                void = Sample(SampleStatus.VOID, 0.0, f"{type(check).__name__} answered nonsense")
            elif sample.status is SampleStatus.FAILED:
                return sample
            elif sample.status is SampleStatus.VOID:
                void = sample
    except Exception as error:  # noqa: BLE001  a border: probes are foreign code
        return Sample(SampleStatus.VOID, 0.0, f"the probe raised {type(error).__name__}")
    return void or Sample(SampleStatus.OK)
