"""Looking ahead: what an update would lose or be refused for is known before it is begun, and nothing is."""

from __future__ import annotations

import threading
from typing import Any

import attrs
import pytest

from safeupdater import Outlook, Preview
from safeupdater.backends.docker import DockerBackend
from safeupdater.backends.docker.glance import Seen
from safeupdater.backends.memory import MemoryBackend
from safeupdater.domain.artifact import ImageReference
from safeupdater.domain.operation import PreflightReport, StepOutcome, StepStatus
from safeupdater.errors import BackendError
from safeupdater.stores.clock import SystemClock
from safeupdater.stores.memory import MemoryStore
from safeupdater.testing.driving import operation_for
from safeupdater.testing.fake_docker import FakeDocker
from safeupdater.testing.fake_docker_http import FakeTransport
from safeupdater.update.guarded import GuardedBackend, read_together
from safeupdater.update.preview import LOOK_AHEAD_S
from tests.support.engine import HOLD, WEB, Bench, BrokenStore, FakeCheck, FakeChecks, policy_with

AWAY = BackendError("the daemon is away", transient=True)
DENIED = BackendError("the socket lets nobody in", code="permission_denied")


class Telling:
    """A runtime whose preflight answers as told, for each target."""

    def __init__(self, inner: Any, **answers: Any) -> None:
        self.inner = inner
        self.answers = answers
        self.asked: list[Any] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def preflight(self, operation: Any) -> Any:
        self.asked.append(operation)
        answer = self.answers.get(operation.target_id.rpartition("/")[2])
        if isinstance(answer, BaseException):
            raise answer
        return answer or self.inner.preflight(operation)


def telling(
    *, others: int = 0, policy: dict[str, Any] | None = None, **answers: Any
) -> tuple[Bench, Telling]:
    bench = Bench(policy)
    for number in range(others):
        bench.world.run(f"app{number}", "web:1.0.0")
    runtime = Telling(bench.backend, **answers)
    bench.updater = bench.process(backends=[runtime])
    bench.publish()
    return bench, runtime


def only(previews: tuple[Preview, ...]) -> Preview:
    (preview,) = previews
    return preview


def everything(store: Any) -> list[Any]:
    kinds = ("asset", "approval", "plan", "snapshot", "quarantine", "rollback", "operation", "listing")
    return [list(store.iterate(kind)) for kind in kinds] + [store.unfinished()]


# --- what it says -------------------------------------------------------------------------------------------


def test_warnings_are_known_before_anything_is_begun() -> None:
    bench, runtime = telling(web=PreflightReport(warnings=("its ports move",)))
    bench.updater.scan()
    plan = bench.updater.plan()
    before = everything(bench.store), list(bench.recorder.told)
    preview = only(bench.updater.preview(plan))
    assert (preview.target_id, preview.outlook, preview.warnings) == (WEB, Outlook.READY, ("its ports move",))
    assert preview.refusal is None
    assert (everything(bench.store), bench.recorder.told) == before
    assert bench.store.lease_on(WEB) is None
    assert [operation.snapshot for operation in runtime.asked] == [None]


@pytest.mark.parametrize(
    ("answer", "outlook", "code", "message"),
    [
        (PreflightReport(refusal=StepOutcome(StepStatus.REFUSED, "paused", "unpause it")),
         Outlook.REFUSED, "paused", "unpause it"),
        (PreflightReport(refusal=StepOutcome(StepStatus.GONE, "gone", "scan again")),
         Outlook.REFUSED, "gone", "scan again"),
        (PreflightReport(running=False), Outlook.REFUSED, "not_running", "does not run"),
        (DENIED, Outlook.REFUSED, "permission_denied", "lets nobody in"),
        (AWAY, Outlook.UNKNOWN, "backend_error", "away"),
        (RuntimeError("s3cret"), Outlook.UNKNOWN, "backend_raised", "RuntimeError"),
        ("nonsense", Outlook.REFUSED, "backend_nonsense", "PreflightReport"),
    ],
)  # fmt: skip
def test_what_stands_in_the_way_of_one_says_nothing_of_the_others(
    answer: Any, outlook: Outlook, code: str, message: str
) -> None:
    bench, _ = telling(others=1, web=answer)
    bench.updater.scan()
    found = {preview.target_id: preview for preview in bench.updater.preview(bench.updater.plan())}
    web = found.pop(WEB)
    assert (web.outlook, web.code) == (outlook, code)
    assert message in web.message
    assert "s3cret" not in web.message
    assert [preview.outlook for preview in found.values()] == [Outlook.READY]


def bench_preview(bench: Bench) -> Preview:
    return only(bench.updater.preview(bench.updater.plan(), targets=[WEB]))


def test_what_would_be_refused_is_what_apply_refuses() -> None:
    bench, _ = telling(web=PreflightReport(refusal=StepOutcome(StepStatus.REFUSED, "paused", "unpause it")))
    bench.updater.scan()
    refusal = bench_preview(bench).refusal
    assert refusal is not None
    (result,) = bench.updater.apply()
    assert (refusal.target_id, refusal.code) == (result.target_id, result.code)
    assert refusal.operation_id is None


def test_only_what_would_be_carried_out_is_asked_about() -> None:
    bench, runtime = telling(policy=policy_with(semver_gates={"patch": "review", "minor": "review"}))
    bench.updater.scan()
    plan = bench.updater.plan()
    assert bench.updater.preview(plan) == ()
    assert runtime.asked == []
    bench.updater.approve(plan.updates[0], approver="ann")
    assert only(bench.updater.preview(plan)).outlook is Outlook.READY


def test_a_policy_that_changed_since_the_plan_is_a_refusal() -> None:
    bench, runtime = telling()
    bench.updater.scan()
    plan = bench.updater.plan()
    plan = attrs.evolve(plan, updates=tuple(attrs.evolve(u, policy_hash="0" * 64) for u in plan.updates))
    assert only(bench.updater.preview(plan)).code == "policy_changed"
    assert runtime.asked == []


def test_what_waits_for_a_person_is_a_refusal() -> None:
    bench = Bench(HOLD, checks=FakeChecks(FakeCheck()))
    planned = bench.plan()
    assert isinstance(bench.updater.executor.open(planned), str)
    assert only(bench.updater.executor.preview([planned])).code == "operation_open"


def test_what_another_updater_is_at_is_a_refusal() -> None:
    bench = Bench()
    planned = bench.plan()
    assert bench.store.acquire(WEB, "another@elsewhere:1", 60.0) is not None
    preview = only(bench.updater.executor.preview([planned]))
    assert (preview.outlook, preview.code) == (Outlook.REFUSED, "target_busy")
    assert preview.until is not None


def test_what_no_backend_reaches_is_a_refusal() -> None:
    bench = Bench()
    planned = bench.plan()
    bench.updater = bench.process(backends=[])
    assert only(bench.updater.executor.preview([planned])).code == "no_backend"


def test_neither_probes_nor_hooks_run_for_it() -> None:
    check = FakeCheck(tested=AssertionError("it was tested"))
    bench = Bench(HOLD, checks=FakeChecks(check))
    bench.plan()
    assert bench_preview(bench).outlook is Outlook.READY
    assert check.calls == 0


def test_a_stop_leaves_the_rest_unasked() -> None:
    bench, runtime = telling(others=2)
    bench.updater.scan()
    plan = bench.updater.plan()
    bench.updater.stop()
    assert {preview.code for preview in bench.updater.preview(plan)} == {"stopped"}
    assert runtime.asked == []


def test_no_operation_can_have_the_id_that_a_look_ahead_goes_by() -> None:
    bench, runtime = telling(others=1)
    bench.updater.scan()
    bench.updater.preview(bench.updater.plan())
    ids = [operation.operation_id for operation in runtime.asked]
    assert len(set(ids)) == 2
    assert all(item.startswith("preview:") for item in ids)


def test_it_writes_nothing_even_of_a_plan_that_was_made_elsewhere() -> None:
    bench, _ = telling(others=1)
    bench.updater.scan()
    plan = bench.updater.plan()
    store = BrokenStore(MemoryStore(bench.clock))
    called: set[str] = set()
    store.breaks = lambda name, arguments: bool(called.add(name))
    bench.updater = bench.process(store=store)
    called.clear()
    assert [preview.outlook for preview in bench.updater.preview(plan)] == [Outlook.READY] * 2
    assert called <= {"get", "iterate", "unfinished", "lease_on", "free_bytes"}


def test_a_store_that_does_not_answer_leaves_it_unknown() -> None:
    bench, _ = telling()
    bench.updater.scan()
    store = BrokenStore(bench.store)
    planned = bench.updater.plan().updates
    bench.updater = bench.process(store=store)
    store.breaks = lambda name, arguments: name == "unfinished"
    preview = only(bench.updater.executor.preview(planned))
    assert (preview.outlook, preview.message) == (Outlook.UNKNOWN, "the store does not answer")


# --- many, and what hangs -----------------------------------------------------------------------------------


def test_many_are_asked_about_at_once_and_never_more_than_allowed() -> None:
    bench, _ = telling(others=19)
    bench.updater.scan()
    plan = bench.updater.plan()
    lock, now, most = threading.Lock(), 0, 0
    full = threading.Barrier(4)

    class Counting(Telling):
        keeps_deadlines = True

        def preflight(self, operation: Any) -> Any:
            nonlocal now, most
            with lock:
                now += 1
                most = max(most, now)
            full.wait(10.0)
            with lock:
                now -= 1
            return super().preflight(operation)

    bench.updater.executor._threads = True
    bench.updater.executor._ports.backends = (Counting(bench.backend),)
    previews = bench.updater.preview(plan, max_in_flight=4)
    assert [preview.target_id for preview in previews] == [update.target_id for update in plan.updates]
    assert {preview.outlook for preview in previews} == {Outlook.READY}
    assert most == 4


def test_a_target_at_which_the_runtime_hangs_keeps_no_other_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("safeupdater.update.preview.CALL_DEADLINE_S", 0.2)
    bench, _ = telling(others=3)
    bench.updater.scan()
    plan = bench.updater.plan()
    gate = threading.Event()

    class Hanging(Telling):
        def preflight(self, operation: Any) -> Any:
            if operation.target_id == WEB:
                gate.wait(30.0)
            return super().preflight(operation)

    bench.updater.executor._ports.backends = (GuardedBackend(Hanging(bench.backend)),)
    found = {preview.target_id: preview for preview in bench.updater.preview(plan)}
    gate.set()
    assert (found[WEB].outlook, found[WEB].code) == (Outlook.UNKNOWN, "backend_hangs")
    assert [p.outlook for target, p in found.items() if target != WEB] == [Outlook.READY] * 3


def test_where_it_takes_too_long_the_rest_is_unknown() -> None:
    bench, runtime = telling(others=3, web=PreflightReport())
    bench.updater.scan()
    plan = bench.updater.plan()

    class Slow(Telling):
        def preflight(self, operation: Any) -> Any:
            bench.clock.advance(LOOK_AHEAD_S / 2)
            return super().preflight(operation)

    bench.updater.executor._ports.backends = (Slow(runtime),)
    found = [(preview.outlook, preview.code) for preview in bench.updater.preview(plan)]
    assert found == [(Outlook.READY, "")] * 2 + [(Outlook.UNKNOWN, "too_late")] * 2


def test_a_guarded_backend_looks_ahead_guarded() -> None:
    bench = Bench()

    class Once(Telling):
        def reading_once(self) -> Any:
            return Telling(self.inner, web=PreflightReport(warnings=("read once",)))

    guarded = GuardedBackend(Once(bench.backend))
    twin = guarded.reading_once()
    assert isinstance(twin, GuardedBackend)
    assert twin.preflight(bench_operation(bench)).warnings == ("read once",)
    assert guarded.preflight(bench_operation(bench)).warnings == ()
    plain = GuardedBackend(MemoryBackend(bench.world))
    assert plain.reading_once() is plain


def test_who_wraps_a_backend_is_asked_itself() -> None:
    host = DockerHost(1)
    wrapping: Any = Telling(host.backend, web0=PreflightReport(warnings=("asked",)))
    assert wrapping.reading_once() is not wrapping, "it hands on what it does not know"
    assert read_together(wrapping) is None
    assert isinstance(read_together(host.backend), DockerBackend)


def bench_operation(bench: Bench) -> Any:
    (asset,) = bench.backend.scan().assets
    return operation_for(asset, asset.image)


# --- Docker -------------------------------------------------------------------------------------------------


class DockerHost:
    """A daemon in memory with some containers on 1.0.0, looked after by an updater."""

    APP = "registry.test/app"

    def __init__(self, count: int) -> None:
        self.daemon = FakeDocker()
        self.daemon.release(f"{self.APP}:1.0.0", pulled=True)
        self.digest = self.daemon.release(f"{self.APP}:1.0.1")
        for number in range(count):
            self.daemon.run(f"web{number}", f"{self.APP}:1.0.0")
        self.transport = FakeTransport(self.daemon)
        self.backend = DockerBackend(
            self.daemon.client(lambda _: self.transport), host="test", own_container=None
        )

    def calls(self, act: Any) -> list[str]:
        before = len(self.transport.calls)
        act()
        return self.transport.calls[before:]


def operations(host: DockerHost) -> list[Any]:
    new = ImageReference.parse(f"{host.APP}:1.0.1@{host.digest}")
    return [operation_for(asset, new) for asset in host.backend.scan().assets]


@pytest.mark.parametrize("count", [5, 40])
def test_a_look_ahead_at_a_docker_host_reads_each_container_once(count: int) -> None:
    host = DockerHost(count)
    asked = operations(host)
    twin = host.backend.reading_once()
    calls = host.calls(lambda: [twin.preflight(operation) for operation in asked])
    assert calls.count("GET /containers/json") == 1
    assert len(calls) <= 6 * count + 5


def test_a_look_ahead_at_a_docker_host_only_reads() -> None:
    host = DockerHost(2)
    host.daemon.run("aside", f"{host.APP}:1.0.0", HostConfig={"NetworkMode": "container:web0"})
    asked = operations(host)
    before = dict(host.daemon.containers)
    twin = host.backend.reading_once()
    calls = host.calls(lambda: [twin.preflight(operation) for operation in asked])
    assert {call.split()[0] for call in calls} == {"GET"}
    assert host.daemon.containers == before


def test_it_says_what_a_look_at_one_says() -> None:
    host = DockerHost(2)
    host.daemon.run("aside", f"{host.APP}:1.0.0", HostConfig={"NetworkMode": "container:web0"})
    host.daemon.run("ports", f"{host.APP}:1.0.0", HostConfig={"PublishAllPorts": True})
    host.daemon.run("rm", f"{host.APP}:1.0.0", HostConfig={"AutoRemove": True})
    twin = host.backend.reading_once()
    for operation in operations(host):
        assert twin.preflight(operation) == host.backend.preflight(operation)


def test_two_looks_ahead_do_not_share_what_was_seen() -> None:
    host = DockerHost(1)
    (operation,) = operations(host)
    assert host.backend.reading_once().preflight(operation).refusal is None
    host.daemon.remove("web0", with_volumes=False, force=True)
    refusal = host.backend.reading_once().preflight(operation).refusal
    assert refusal is not None
    assert refusal.code == "gone"


def test_an_answer_that_did_not_come_is_asked_for_again() -> None:
    seen, answers = Seen(), iter([AWAY, "here"])

    def ask() -> Any:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    with pytest.raises(BackendError):
        seen.once("container", "web", ask)
    assert [seen.once("container", "web", ask) for _ in range(2)] == ["here", "here"]


def test_who_asks_the_same_at_the_same_time_waits_for_the_first() -> None:
    seen, gate, asked = Seen(), threading.Event(), []

    def ask() -> str:
        asked.append(SystemClock().monotonic())
        gate.wait(10.0)
        return "here"

    answers: list[str] = []
    threads = [
        threading.Thread(target=lambda: answers.append(seen.once("container", "web", ask))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    gate.set()
    for thread in threads:
        thread.join(10.0)
    assert (answers, len(asked)) == (["here"] * 4, 1)
