"""An update under way: what fails, stops, raises or answers nonsense beside it, and what follows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from safeupdater.backends.memory import CRASHES, MemoryBackend
from safeupdater.domain.health import SampleStatus
from safeupdater.domain.operation import (
    DONE,
    Finished,
    Hook,
    OperationPlanned,
    Outcome,
    StepFailed,
    StepOutcome,
    StepStatus,
)
from safeupdater.errors import (
    BackendError,
    ConfigurationError,
    ErrorClass,
    HealthCheckError,
    RollbackError,
    SafeUpdaterError,
    StoreError,
    UpdateError,
    VersionConflict,
)
from safeupdater.update.executor import Progressed
from safeupdater.update.result import Done, OperationResult
from tests.support.engine import WEB, Bench, BrokenStore, FakeCheck, FakeChecks, outcomes, policy_with

PROBED = policy_with(health={"checks": [{"type": "http", "port": 80}]})
HOOKED = policy_with(
    hooks=[
        {"name": "dump", "point": "before_switch", "command": ["/bin/dump"]},
        {"name": "warm", "point": "after_commit", "command": ["/bin/warm"]},
    ]
)


class Effects:
    """Every call of the backend to the world, by name."""

    LOOKS = frozenset({"list", "inspect", "observe"})

    def __init__(self, bench: Bench) -> None:
        self.names: list[str] = []
        self.on_call: Callable[[str], None] = lambda name: None
        bench.world.interfere = self._call

    def _call(self, name: str, effect: Callable[[], object]) -> object:
        self.on_call(name)
        self.names.append(name)
        return effect()

    @property
    def changes(self) -> list[str]:
        return [name for name in self.names if name not in self.LOOKS]


# --- the store ----------------------------------------------------------------------------------------------


def test_without_the_store_nothing_more_is_done_it_is_retried_and_at_last_interrupted() -> None:
    bench = Bench()
    store = BrokenStore(bench.store)
    bench.updater = bench.process(store=store)
    operation_id = bench.open()
    bench.steps_until(operation_id, "Settling")
    effects = Effects(bench)
    tries: list[str] = []

    def fails(name: str, arguments: tuple[Any, ...]) -> bool:
        tries.append(name)
        return True

    store.breaks = fails
    result = bench.run(operation_id)
    assert (result.outcome, result.code) == (Outcome.INTERRUPTED, "store_error")
    assert effects.changes == []
    assert tries.count("append") > 5
    assert bench.clock.monotonic() > 10.0
    store.breaks = lambda name, arguments: False
    assert outcomes(bench.updater.recover()) == [Outcome.ROLLED_BACK]
    assert bench.running == {"web": "1.0.0"}


def test_a_store_that_comes_back_in_time_interrupts_nothing() -> None:
    bench = Bench()
    store = BrokenStore(bench.store)
    bench.updater = bench.process(store=store)
    operation_id = bench.open()
    down_from, down_for = 5.0, 6.0
    store.breaks = lambda name, arguments: down_from <= bench.clock.monotonic() < down_from + down_for
    assert bench.run(operation_id).succeeded


def test_what_the_store_took_without_saying_so_is_known_again_and_not_written_twice() -> None:
    """Our stores find the same append done; with one that only compares versions we know it ourselves."""
    bench = Bench()
    store = BrokenStore(bench.store)
    bench.updater = bench.process(store=store)
    operation_id = bench.open()
    append, taken = bench.store.append, []

    def lose_every_other_answer(*arguments: Any, expected_version: int, **keywords: Any) -> int:
        if expected_version != len(bench.store.load(operation_id)):
            raise VersionConflict("it is at another version")
        version: int = append(*arguments, expected_version=expected_version, **keywords)
        taken.append(version)
        if len(taken) % 2:
            raise StoreError("the connection was lost", code="commit_unknown", transient=True)
        return version

    bench.store.append = lose_every_other_answer
    assert bench.run(operation_id).succeeded
    assert len(taken) > 5
    assert len(bench.store.load(operation_id)) == taken[-1]


@pytest.mark.parametrize("is_asked_to_stop", [False, True])
def test_an_answer_that_got_lost_before_more_happened_is_known_again(is_asked_to_stop: bool) -> None:
    bench = Bench()
    operation_id = bench.open()
    busy = [BackendError("busy", code="conflict", transient=True)]

    def once_busy(name: str, effect: Callable[[], Any]) -> Any:
        if name == "pull" and busy:
            raise busy.pop()
        return effect()

    bench.world.interfere = once_busy
    append = bench.store.append

    def lose_the_answer(*arguments: Any, **keywords: Any) -> int:
        version: int = append(*arguments, **keywords)
        if isinstance(arguments[1][-1], StepFailed):
            if is_asked_to_stop:
                assert bench.process().abort(WEB, by="somebody").stops
            raise StoreError("the connection was lost", code="commit_unknown", transient=True)
        return version

    bench.store.append = lose_the_answer
    wanted = Outcome.ABORTED if is_asked_to_stop else Outcome.SUCCEEDED
    assert bench.run(operation_id).outcome is wanted


def test_no_effect_is_begun_that_the_journal_does_not_hold_yet() -> None:
    bench = Bench()
    operation_id = bench.open()
    effects = Effects(bench)
    last: list[str] = []

    def remember(name: str) -> None:
        if name not in Effects.LOOKS:
            last.append(type(bench.store.load(operation_id)[-1].event).__name__)

    effects.on_call = remember
    assert bench.run(operation_id).succeeded
    assert set(last) == {"StepIntended"}
    assert len(last) == len(effects.changes) > 5


def test_a_store_that_cannot_be_read_leaves_one_operation_and_not_the_others() -> None:
    bench = Bench(policy_with(max_concurrent=5))
    store = BrokenStore(bench.store)
    bench.world.run("db", "db:1.0.0")
    good = bench.updater.executor.open(bench.plan_of("db", "1.1.0"))
    bad = bench.open()
    bench.kill(bench.updater)
    bench.updater = bench.process(store=store)
    store.error = StoreError("checksum", code="corrupt_state")
    store.breaks = lambda name, arguments: name == "load" and arguments[0] == bad
    results = bench.updater.executor.run([bad, good])
    assert [(item.outcome, item.code) for item in results] == [
        (Outcome.INTERRUPTED, "corrupt_state"),
        (Outcome.ABORTED, "interrupted"),
    ]


def test_an_operation_that_cannot_be_read_does_not_keep_others_from_being_recovered() -> None:
    bench = Bench(policy_with(max_concurrent=5))
    bench.world.run("db", "db:1.0.0")
    good = bench.updater.executor.open(bench.plan_of("db", "1.1.0"))
    bad = bench.open()
    bench.kill(bench.updater)
    store = BrokenStore(bench.store)
    store.error = StoreError("checksum", code="corrupt_state")
    store.breaks = lambda name, arguments: name == "load" and arguments[0] == bad
    results = bench.process(store=store).recover()
    assert {item.operation_id: item.code for item in results} == {good: "interrupted", bad: "corrupt_state"}


@pytest.mark.parametrize("state", ["Pending", "Watching", "Committing"])
def test_an_operation_whose_check_cannot_be_made_any_more_ends_all_the_same(state: str) -> None:
    """Its plugin was removed meanwhile: nothing is measured, and what was not measured is not kept."""
    bench = Bench(policy_with(health={"checks": [{"type": "http", "port": 80}]}))
    operation_id = bench.open()
    bench.steps_until(operation_id, state)
    bench.kill(bench.updater)
    (result,) = bench.process(checks=FakeChecks(ConfigurationError("no such check"))).recover()
    expected = {"Pending": Outcome.ABORTED, "Watching": Outcome.ROLLED_BACK, "Committing": Outcome.SUCCEEDED}
    assert result.outcome is expected[state]


def test_an_operation_that_cannot_be_taken_up_leaves_its_lease_to_others() -> None:
    bench = Bench()
    operation_id = bench.open()
    bench.kill(bench.updater)
    store = BrokenStore(bench.store)
    reads: list[str] = []

    def second_read(name: str, arguments: tuple[Any, ...]) -> bool:
        reads.append(name)
        return name == "load" and reads.count("load") == 2

    store.breaks = second_read
    assert isinstance(bench.process(store=store).executor.advance(operation_id), Done)
    bench.updater = bench.process()
    assert bench.run(operation_id).outcome is Outcome.ABORTED


@pytest.mark.parametrize("state", ["Staging", "Switching", "Watching"])
def test_after_its_lease_is_lost_an_updater_changes_nothing(state: str) -> None:
    bench = Bench()
    operation_id = bench.open()
    bench.steps_until(operation_id, state)
    late = bench.updater
    bench.clock.advance(5000.0)
    bench.updater = bench.process()
    assert bench.updater.executor.take_up(operation_id) is None
    effects = Effects(bench)
    result = late.executor.run([operation_id])[0]
    assert (result.outcome, result.code) == (Outcome.INTERRUPTED, "lease_lost")
    assert effects.changes == []
    ended = bench.run(operation_id)
    assert ended.outcome is (Outcome.SUCCEEDED if state == "Watching" else Outcome.ABORTED)
    assert list(bench.world.containers) == ["web"]
    assert late.executor.run([operation_id])[0].outcome is ended.outcome


def test_a_long_watch_keeps_its_lease() -> None:
    bench = Bench(policy_with(health={"window": "2h", "interval": "1m"}))
    assert bench.run(bench.plan()).succeeded


def test_a_lease_that_was_widened_for_staging_is_shortened_again() -> None:
    bench = Bench()
    store = BrokenStore(bench.store)
    bench.updater = bench.process(store=store)
    operation_id = bench.open()
    lasting: list[float] = []

    def widened(name: str, arguments: tuple[Any, ...]) -> bool:
        if name == "renew":
            lasting.append(arguments[1])
        return False

    store.breaks = widened
    bench.steps_until(operation_id, "Switching")
    assert max(lasting) >= 1800.0
    bench.steps_until(operation_id, "Settling")
    assert lasting[-1] <= 600.0


# --- stopping -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("at", ["pull", "create", "stop", "rename", "start", "observe", "remove"])
def test_stop_lets_the_effect_under_way_finish_and_recover_ends_what_is_left(at: str) -> None:
    bench = Bench()
    operation_id = bench.open()
    effects = Effects(bench)
    effects.on_call = lambda name: bench.updater.stop() if name == at else None
    result = bench.run(operation_id)
    effects.on_call = lambda name: None
    assert result.outcome in (Outcome.INTERRUPTED, Outcome.SUCCEEDED)
    made, held = len(effects.changes), bench.store.load(operation_id)
    if result.outcome is Outcome.INTERRUPTED:
        assert result.code == "stopped"
    assert bench.run(operation_id).code in ("stopped", "healthy")
    assert (len(effects.changes), bench.store.load(operation_id)) == (made, held)
    bench.updater = bench.process()
    (ended,) = bench.updater.recover() or (result,)
    assert ended.outcome in (Outcome.SUCCEEDED, Outcome.ROLLED_BACK, Outcome.ABORTED)
    assert bench.running == {"web": "1.1.0" if ended.succeeded else "1.0.0"}
    assert bench.updater.recover() == ()


def test_a_stopped_updater_begins_nothing() -> None:
    bench = Bench()
    update = bench.plan()
    bench.updater.stop()
    result = bench.run(update)
    assert (result.outcome, result.code, result.target_id) == (Outcome.INTERRUPTED, "stopped", WEB)
    assert bench.store.unfinished() == ()


def test_stop_cuts_a_wait_short() -> None:
    bench = Bench(policy_with(health={"window": "2h", "interval": "1m"}))
    operation_id = bench.open()
    bench.steps_until(operation_id, "Watching")
    began = bench.clock.monotonic()
    bench.updater.stop()
    assert bench.run(operation_id).code == "stopped"
    assert bench.clock.monotonic() == began


# --- hooks --------------------------------------------------------------------------------------------------


class FakeHooks:
    """Remembers the hooks that ran and what ran meanwhile; answers as told."""

    def __init__(self, bench: Bench, **answers: Any) -> None:
        self.bench = bench
        self.answers = answers
        self.ran: list[tuple[str, dict[str, str]]] = []

    def run(self, hook: Hook, operation: Any, target: Any) -> Any:
        self.ran.append((hook.name, self.bench.running))
        answer = self.answers.get(hook.name, DONE)
        if isinstance(answer, Exception):
            raise answer
        return answer


def hooked(**answers: Any) -> tuple[Bench, FakeHooks]:
    bench = Bench(HOOKED)
    hooks = FakeHooks(bench, **answers)
    bench.updater = bench.process(hooks=hooks)
    return bench, hooks


def test_hooks_run_before_the_switch_and_after_the_verdict() -> None:
    bench, hooks = hooked()
    assert bench.run(bench.plan()).succeeded
    assert hooks.ran == [("dump", {"web": "1.0.0"}), ("warm", {"web": "1.1.0"})]


@pytest.mark.parametrize(
    "answer",
    [StepOutcome(StepStatus.REFUSED, "hook_failed", "exit code 1"), ValueError("s3cret"), None, "done"],
)
def test_a_hook_before_the_switch_that_does_not_succeed_aborts_and_nothing_was_touched(answer: Any) -> None:
    bench, _ = hooked(dump=answer)
    before = bench.world.containers["web"].id
    result = bench.run(bench.plan())
    assert result.outcome is Outcome.ABORTED
    assert "s3cret" not in repr(result)
    assert bench.running == {"web": "1.0.0"}
    assert [item.id for item in bench.world.containers.values()] == [before]


def test_a_hook_after_the_commit_that_fails_does_not_undo_it() -> None:
    bench, _ = hooked(warm=StepOutcome(StepStatus.REFUSED, "hook_failed", "exit code 1"))
    result = bench.run(bench.plan())
    assert result.succeeded
    assert any("warm" in item for item in result.leftovers)
    assert bench.running == {"web": "1.1.0"}


def test_a_failed_hook_after_the_commit_is_told_to_observers() -> None:
    bench, _ = hooked(warm=StepOutcome(StepStatus.REFUSED, "hook_failed", "exit code 1"))
    bench.run(bench.plan())
    told = [event for event in bench.recorder.events if isinstance(event, StepFailed)]
    assert [(event.step, event.code) for event in told] == [("hook:warm", "hook_failed")]


@pytest.mark.parametrize(("point", "is_old"), [("before_switch", True), ("after_commit", False)])
def test_a_hook_in_the_container_runs_in_the_version_that_runs_then(point: str, is_old: bool) -> None:
    bench = Bench(policy_with(hooks=[{"name": "warm", "point": point, "command": ["warm"]}]))
    asked: list[bool] = []

    class Asked(MemoryBackend):
        def probe_target(self, operation: Any, *, old: bool = False) -> Any:
            asked.append(old)
            return super().probe_target(operation, old=old)

    bench.updater = bench.process(backends=[Asked(bench.world)], hooks=FakeHooks(bench), checks=None)
    assert bench.run(bench.plan()).succeeded
    assert asked == [is_old]


@pytest.mark.parametrize("point", ["before_switch", "after_commit"])
def test_the_lease_outlives_the_time_that_a_hook_may_take(point: str) -> None:
    hook = {"name": "dump", "point": point, "command": ["dump"], "timeout": "2h", "in_container": False}
    bench = Bench(policy_with(hooks=[hook]))
    left: list[float] = []

    class Looking(FakeHooks):
        def run(self, hook: Hook, operation: Any, target: Any) -> Any:
            (flight,) = bench.updater.executor._flights.values()
            left.append(flight.lease_until_s - bench.clock.monotonic())
            return DONE

    bench.updater = bench.process(hooks=Looking(bench))
    assert bench.run(bench.plan()).succeeded
    assert [seconds >= 7200.0 for seconds in left] == [True]


def test_an_update_with_hooks_that_nothing_can_run_aborts() -> None:
    bench = Bench(HOOKED)
    bench.updater = bench.process()
    bench.updater.executor._hooks = None
    result = bench.run(bench.plan())
    assert (result.outcome, result.code) == (Outcome.ABORTED, "hook_unavailable")


# --- backends that are plugins ------------------------------------------------------------------------------


class PluginBackend(MemoryBackend):
    """A backend of which one method does what it should not."""

    def __init__(self, bench: Bench, method: str, answer: Any, *, only_step: str = "") -> None:
        super().__init__(bench.world)
        real = getattr(self, method)

        def broken(*arguments: Any, **keywords: Any) -> Any:
            if only_step and only_step not in arguments:
                return real(*arguments, **keywords)
            if isinstance(answer, Exception):
                raise answer
            return answer

        setattr(self, method, broken)


NONSENSE: tuple[Any, ...] = (RuntimeError("token=s3cret"), None, 42, "done")


def plugged(method: str, answer: Any, **options: Any) -> tuple[Bench, OperationResult]:
    """One update by a backend with a broken method; the old version must run afterwards."""
    bench = Bench()
    bench.publish("1.1.0")
    bench.updater.scan()
    update = bench.updater.plan().updates[0]
    bench.backend = PluginBackend(bench, method, answer, **options)
    bench.updater = bench.process(backends=[bench.backend])
    result = bench.run(update)
    assert "s3cret" not in repr(result)
    assert "s3cret" not in repr(bench.recorder.told)
    return bench, result


@pytest.mark.parametrize("answer", NONSENSE, ids=repr)
@pytest.mark.parametrize("method", ["steps", "preflight", "capture"])
def test_a_backend_that_raises_or_answers_nonsense_before_the_switch_touches_nothing(
    method: str, answer: Any
) -> None:
    bench, result = plugged(method, answer)
    assert result.outcome in (Outcome.REFUSED, Outcome.ABORTED)
    assert result.code in ("plugin_error", "backend_nonsense", "backend_raised")
    assert type(answer).__name__ in result.message
    assert bench.running == {"web": "1.0.0"}
    assert list(bench.world.containers) == ["web"]
    assert [stored.value for _, stored in bench.store.iterate("snapshot") if stored.value is answer] == []


@pytest.mark.parametrize("answer", NONSENSE, ids=repr)
@pytest.mark.parametrize("step", ["pull", "create", "park", "promote", "start"])
def test_a_step_that_raises_or_answers_nonsense_brings_the_old_version_back(step: str, answer: Any) -> None:
    bench, result = plugged("perform", answer, only_step=step)
    assert result.outcome in (Outcome.ABORTED, Outcome.ROLLED_BACK)
    assert bench.running == {"web": "1.0.0"}
    assert list(bench.world.containers) == ["web"]


@pytest.mark.parametrize("answer", NONSENSE, ids=repr)
def test_a_backend_that_says_nothing_sensible_while_watching_is_no_proof_of_health(answer: Any) -> None:
    _, result = plugged("observe", answer)
    assert not result.succeeded


def test_an_error_of_a_backend_keeps_its_code_and_message() -> None:
    error = BackendError("no space left on device", code="disk_full")
    _, result = plugged("perform", error, only_step="pull")
    assert (result.outcome, result.code) == (Outcome.ABORTED, "disk_full")
    assert "no space left" in result.message


class RaisingAdmission:
    def admit(self, planned: Any, now: Any) -> Any:
        raise KeyError("s3cret")


def test_an_admission_that_raises_admits_nothing() -> None:
    bench = Bench()
    bench.updater = bench.process(admission=RaisingAdmission())
    result = bench.run(bench.plan())
    assert (result.outcome, result.code) == (Outcome.REFUSED, "plugin_error")
    assert "s3cret" not in repr(result)


# --- health checks ------------------------------------------------------------------------------------------


def checked(check: FakeCheck, policy: Any = PROBED) -> Bench:
    """A bench whose updater probes with this check."""
    bench = Bench(policy)
    bench.updater = bench.process(checks=FakeChecks(check))
    return bench


def test_a_check_that_passes_is_asked_and_the_update_commits() -> None:
    check = FakeCheck()
    bench = checked(check)
    assert bench.run(bench.plan()).succeeded
    assert check.calls >= 3


def test_a_check_that_fails_brings_the_old_version_back() -> None:
    bench = checked(check := FakeCheck())
    check.answer = lambda: (
        SampleStatus.FAILED if bench.world.containers["web"].image.tag == "1.1.0" else SampleStatus.OK
    )
    result = bench.run(bench.plan())
    assert result.outcome is Outcome.ROLLED_BACK
    assert bench.running == {"web": "1.0.0"}


@pytest.mark.parametrize("answer", [ValueError("s3cret"), "fine", None, 1], ids=repr)
def test_a_check_that_raises_or_answers_nonsense_measured_nothing(answer: Any) -> None:
    """Void is no proof of health, and no proof of a bad release either."""
    bench = checked(check := FakeCheck())
    operation_id = bench.open()
    bench.steps_until(operation_id, "Watching")
    check.answer = lambda: answer
    result = bench.run(operation_id)
    assert (result.outcome, result.code) == (Outcome.ROLLED_BACK, "no_data")
    assert result.tally.failed == 0
    assert result.tally.void > 0
    assert bench.updater.rollbacks.quarantined() == ()
    assert "s3cret" not in repr(result)


@pytest.mark.parametrize("made", [None, 42, "http", {}], ids=repr)
def test_what_is_no_check_refuses_the_update_before_it_begins(made: Any) -> None:
    bench = checked(made)
    result = bench.run(bench.plan())
    assert (result.outcome, result.code) == (Outcome.REFUSED, "plugin_error")
    assert f"'http' a {type(made).__name__}, without check and self_test" in result.message
    assert bench.store.unfinished() == ()
    assert bench.store.lease_on(WEB) is None


def test_a_probe_that_cannot_fail_is_refused_before_anything_is_touched() -> None:
    bench = checked(FakeCheck(tested=SampleStatus.OK))
    result = bench.run(bench.plan())
    assert (result.outcome, result.code) == (Outcome.ABORTED, "probe_cannot_fail")
    assert "FakeCheck" in result.message
    assert list(bench.world.containers) == ["web"]


@pytest.mark.parametrize("tested", [SampleStatus.VOID, lambda: ValueError("s3cret"), lambda: None, lambda: 7])
def test_a_probe_that_cannot_be_tested_is_used_with_a_warning(tested: Any) -> None:
    bench = checked(FakeCheck(tested=tested))
    result = bench.run(bench.plan())
    assert result.succeeded
    assert any("could not be tested" in warning for warning in result.warnings)
    assert "s3cret" not in repr(result)


@pytest.mark.parametrize("ignores", [True, False, ValueError("no answer"), "nonsense"])
def test_a_probe_that_passes_for_any_path_is_used_with_a_warning(ignores: Any) -> None:
    class Blind(FakeCheck):
        def ignores_path(self, target: Any, timeout_s: float) -> Any:
            if isinstance(ignores, Exception):
                raise ignores
            return ignores

    bench = Bench(policy_with(health={"checks": [{"type": "http", "port": 80}]}))
    bench.updater = bench.process(checks=FakeChecks(Blind()))
    result = bench.run(bench.plan())
    assert result.succeeded
    warned = [warning for warning in result.warnings if warning.startswith("probe_ignores_path: ")]
    assert len(warned) == (1 if ignores is True else 0)


def test_an_old_version_that_fails_its_probes_refuses_the_update() -> None:
    """Else the new version would be blamed, or worse: a rollback would bring back what does not work."""
    bench = checked(
        FakeCheck(SampleStatus.FAILED),
        policy_with(health={"checks": [{"type": "http", "port": 80}], "baseline": "5s"}),
    )
    result = bench.run(bench.plan())
    assert (result.outcome, result.code) == (Outcome.ABORTED, "baseline_unhealthy")
    assert list(bench.world.containers) == ["web"]


def test_what_could_not_be_measured_of_the_old_version_does_not_speak_for_it() -> None:
    answers = iter([SampleStatus.FAILED])
    bench = checked(
        FakeCheck(lambda: next(answers, SampleStatus.VOID)),
        policy_with(health={"checks": [{"type": "http", "port": 80}], "baseline": "5s"}),
    )
    result = bench.run(bench.plan())
    assert (result.outcome, result.code) == (Outcome.ABORTED, "baseline_unhealthy")
    assert "1 of 1 probes" in result.message


def test_a_target_that_does_not_run_is_left_alone() -> None:
    bench = Bench()
    update = bench.plan()
    bench.world.stop("web")
    result = bench.run(update)
    assert (result.outcome, result.code) == (Outcome.ABORTED, "not_running")


def test_a_target_that_does_not_run_is_updated_unverified_where_the_policy_says_commit() -> None:
    bench = Bench(policy_with(unrunnable="commit"))
    bench.world.stop("web")
    assert bench.run(bench.plan()).succeeded
    new = bench.world.containers["web"]
    assert (new.image.tag, new.running) == ("1.1.0", False)


# --- telling ------------------------------------------------------------------------------------------------


class Raising:
    def notify(self, happening: Any) -> None:
        raise OSError("the webhook is down")


def test_observers_that_raise_stop_neither_the_update_nor_other_observers() -> None:
    bench = Bench()
    bench.updater = bench.process(observers=[Raising(), bench.recorder])
    assert bench.run(bench.plan()).succeeded
    assert isinstance(bench.recorder.events[-1], Finished)
    failures = bench.updater.executor._notifier.failures
    assert failures
    assert {type(error) for _, error in failures} == {OSError}


@pytest.mark.parametrize("behaviour", ["GOOD", "CRASHES"])
def test_observers_hear_every_event_once_in_order_and_only_when_it_is_durable(behaviour: str) -> None:
    from safeupdater.backends import memory

    bench = Bench()
    operation_id = bench.open(behaviour=getattr(memory, behaviour))
    bench.run(operation_id)
    assert bench.recorder.events == [entry.event for entry in bench.store.load(operation_id)]
    assert isinstance(bench.recorder.events[0], OperationPlanned)
    assert bench.recorder.early == []


def _stop_at_the_end(executor: Any, progressed: Progressed) -> None:
    """Stops when all steps are done and the ending is about to be journaled."""
    if (progressed.state, progressed.step) == ("discarding", ""):
        executor.stop()


def test_an_ending_that_is_journaled_while_stopping_still_raises_its_alert() -> None:
    bench = Bench()
    operation_id = bench.open(behaviour=CRASHES)
    executor = bench.updater.executor
    executor.on_progress(lambda progressed: _stop_at_the_end(executor, progressed))
    assert bench.run(operation_id).outcome is Outcome.ROLLED_BACK
    assert [alert.operation_id for alert in bench.recorder.alerts] == [operation_id]


def test_an_ending_of_which_the_store_did_not_say_whether_it_holds_it_is_told_but_not_claimed() -> None:
    bench = Bench()
    store = BrokenStore(bench.store)
    bench.updater = bench.process(store=store)
    operation_id = bench.open(behaviour=CRASHES)
    store.breaks = lambda name, arguments: name == "append" and isinstance(arguments[1][-1], Finished)
    result = bench.run(operation_id)
    assert result.outcome is Outcome.INTERRUPTED
    assert [alert.operation_id for alert in bench.recorder.alerts] == [operation_id]


def test_progress_is_shown_state_by_state_and_cannot_stop_the_update() -> None:
    shown: list[Progressed] = []

    def show(progressed: Progressed) -> None:
        shown.append(progressed)
        raise RuntimeError("the terminal is gone")

    bench = Bench()
    bench.updater = bench.process(progress=show)
    assert bench.run(bench.plan()).succeeded
    states = list(dict.fromkeys(item.state for item in shown))
    assert states == [
        "pending", "capturing", "staging", "switching", "settling", "deciding", "watching", "committing",
        "succeeded",
    ]  # fmt: skip
    assert {item.target_id for item in shown} == {WEB}
    assert "pull" in {item.step for item in shown}
    assert max(item.tally.due for item in shown) == 3


@pytest.mark.parametrize(
    ("outcome", "error"),
    [
        (Outcome.ROLLED_BACK, HealthCheckError),
        (Outcome.ROLLBACK_FAILED, RollbackError),
        *((item, UpdateError) for item in Outcome
          if item not in (Outcome.SUCCEEDED, Outcome.ROLLED_BACK, Outcome.ROLLBACK_FAILED)),
    ],
)  # fmt: skip
def test_raise_for_outcome_raises_what_fits_with_code_and_evidence(
    outcome: Outcome, error: type[SafeUpdaterError]
) -> None:
    result = OperationResult(operation_id="op", target_id=WEB, outcome=outcome, code="why", message="because")
    with pytest.raises(error, match="because") as raised:
        result.raise_for_outcome()
    assert raised.value.code == "why"
    assert raised.value.evidence == {"operation_id": "op", "target_id": WEB}
    assert isinstance(raised.value.error_class, ErrorClass)


def test_the_alert_of_a_rollback_says_what_to_do_about_what_was_to_blame() -> None:
    bench = Bench()
    assert bench.run(bench.plan("1.1.0", CRASHES)).outcome is Outcome.ROLLED_BACK
    (alert,) = bench.recorder.alerts
    assert "in quarantine" in alert.remedy

    bench = Bench()
    operation_id = bench.open()
    bench.steps_until(operation_id, "Watching")
    bench.updater.abort(WEB, by="somebody")
    assert bench.run(operation_id).outcome is Outcome.ROLLED_BACK
    (alert,) = bench.recorder.alerts
    assert "asked for it" in alert.remedy
