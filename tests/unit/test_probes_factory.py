"""The factory of health checks, and the tcp, exec, runtime and plugin checks that it makes."""

from __future__ import annotations

import _thread
import contextlib
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import attrs
import pytest

from safeupdater.domain.health import Sample, SampleStatus
from safeupdater.errors import BackendError, ConfigurationError, PluginError
from safeupdater.probes import HealthCheckFactory
from safeupdater.protocols import ExecResult, HealthCheck, HealthChecks, ProbeTarget

OK, FAILED, VOID = SampleStatus.OK, SampleStatus.FAILED, SampleStatus.VOID


@attrs.define
class Target:
    """A target with a port and a command whose outcome is given."""

    port: int = 1
    exit_code: int = 0
    output: str = ""
    error: BackendError | None = None
    ran: list[tuple[tuple[str, ...], float]] = attrs.field(factory=list)

    def address(self, port: int | None) -> tuple[str, int] | None:
        return "127.0.0.1", self.port

    def execute(self, argv: Sequence[str], timeout_s: float) -> ExecResult:
        self.ran.append((tuple(argv), timeout_s))
        if self.error is not None:
            raise self.error
        return ExecResult(exit_code=self.exit_code, output=self.output)


def create(type: str, **options: object) -> HealthCheck:
    return HealthCheckFactory(plugins=False).create(type, **options)


# --- what can be made -------------------------------------------------------------------------------------


def test_the_factory_is_the_port_that_the_engine_asks() -> None:
    factory: HealthChecks = HealthCheckFactory()

    assert factory.create("tcp") == factory.create("tcp", port=8080)
    assert getattr(factory.create("http"), "path") == "/health"  # noqa: B009


@pytest.mark.parametrize(
    ("type", "options"),
    [
        ("http", {"port": 80, "path": "/", "timeout": 3}),
        ("http", {"expect": 200, "timeout": "1m", "verify": True, "headers": {}}),
        ("tcp", {"port": 6379}),
        ("exec", {"argv": ["true"]}),
        ("docker", {}),
        ("kubernetes", {}),
    ],
)
def test_every_check_can_fail(type: str, options: dict[str, object]) -> None:
    assert create(type, **options).self_test(1.0).status is FAILED


@pytest.mark.parametrize(
    ("type", "options", "problem"),
    [
        ("htpp", {}, "unknown health check type 'htpp' (did you mean 'http'?)"),
        ("", {}, "known: http, tcp, exec, docker, kubernetes"),
        ("http", {"prot": 80}, "health check http: prot: unknown option (did you mean 'port'?)"),
        ("http", {"port": "80"}, "port: expected a port from 1 to 65535, got '80'"),
        ("http", {"port": True}, "port: expected a port"),
        ("http", {"port": 65536}, "port: expected a port"),
        ("http", {"path": "health"}, "path: expected a path that begins with '/', got 'health'"),
        ("http", {"path": "/a b"}, "path: expected printable ASCII"),
        ("http", {"path": "/a\r\nX: y"}, "path: expected printable ASCII"),
        ("http", {"path": "/é"}, "percent-encode"),
        ("http", {"scheme": "file"}, "scheme: expected http or https, got 'file'"),
        ("http", {"scheme": "gopher"}, "scheme: expected http or https"),
        ("http", {"scheme": ["http"]}, "scheme: expected http or https"),
        ("http", {"method": "POST"}, "method: expected GET or HEAD, got 'POST'"),
        ("http", {"method": "HEAD", "contains": "x"}, "method HEAD gives no body"),
        ("http", {"host": "user:pw@evil"}, "host: expected a host name"),
        ("http", {"host": "a\r\nb"}, "host: expected a host name"),
        ("http", {"headers": {"Host": "x"}}, "headers: the header 'Host' cannot be set (use host)"),
        ("http", {"headers": {"A b": "x"}}, "headers: 'A b' is not a header name"),
        ("http", {"headers": ["x"]}, "headers: expected a mapping"),
        ("http", {"expect": "2xx"}, "expect: expected statuses like 200"),
        ("http", {"expect": []}, "expect: expected statuses"),
        ("http", {"expect": "299-200"}, "expect: expected statuses"),
        ("http", {"expect": 99}, "expect: expected statuses"),
        ("http", {"timeout": 0}, "timeout: expected more than 0"),
        ("http", {"timeout": "soon"}, "timeout: expected more than 0"),
        ("http", {"timeout": float("nan")}, "timeout: expected more than 0"),
        ("http", {"timeout": "6m"}, "at most 300 seconds"),
        ("http", {"verify": "no"}, "verify: expected true or false"),
        ("http", {"contains": 7}, "contains: expected text"),
        ("http", {"fields": {"a": []}}, "fields: the field 'a' must be compared with"),
        ("http", {"scheme": "https", "ca_file": "/nowhere/ca.pem"}, "ca_file cannot be used"),
        ("tcp", {"port": None}, "port: expected a port"),
        ("tcp", {"path": "/"}, "path: unknown option"),
        ("exec", {}, "argv: is required"),
        ("exec", {"argv": "curl -f localhost"}, "argv: expected a list like ['pg_isready', '-q']"),
        ("exec", {"argv": []}, "argv: expected a list of texts"),
        ("exec", {"argv": ["a", 1]}, "argv: expected a list of texts"),
        ("docker", {"port": 1}, "health check docker: port: unknown option"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_what_was_expected(
    type: str, options: dict[str, object], problem: str
) -> None:
    with pytest.raises(ConfigurationError) as refused:
        create(type, **options)

    assert problem in str(refused.value)


def test_every_problem_is_told_at_once() -> None:
    with pytest.raises(ConfigurationError) as refused:
        create("http", port=0, path="x", colour="red")

    assert {problem.path for problem in refused.value.problems} == {"port", "path", "colour"}


# --- tcp --------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def listening(serve: Callable[[socket.socket], None]) -> Iterator[Target]:
    """A target whose port does with one connection what is said, and then waits for its end."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def run() -> None:
            with contextlib.suppress(OSError):
                connection, _ = listener.accept()
                with connection:
                    serve(connection)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        yield Target(port=listener.getsockname()[1])
        thread.join(5)


@pytest.mark.parametrize(
    ("serve", "status"),
    [
        (lambda held: held.recv(1), OK),
        (lambda held: held.sendall(b"+OK ready\r\n"), OK),
        (lambda held: None, FAILED),
    ],
    ids=["waits", "greets", "a forwarder with nobody behind it"],
)
def test_tcp_wants_a_connection_that_stays(
    serve: Callable[[socket.socket], None], status: SampleStatus
) -> None:
    with listening(serve) as target:
        assert create("tcp", port=6379).check(target, 2.0).status is status


def test_tcp_sends_nothing() -> None:
    received: list[bytes] = []
    with listening(lambda held: received.append(held.recv(100))) as target:
        create("tcp").check(target, 2.0)

    assert received == [b""]


def test_tcp_refused_is_failed_and_metadata_is_void() -> None:
    class Metadata(Target):
        def address(self, port: int | None) -> tuple[str, int] | None:
            return "169.254.169.254", 80

    assert create("tcp").self_test(1.0).detail == "connection failed (ECONNREFUSED)"
    assert create("tcp").check(Metadata(), 1.0).status is VOID


# --- exec (F7) --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("exit_code", "status"), [(0, OK), (1, FAILED), (127, FAILED), (-9, FAILED)])
def test_f7_exec_judges_by_the_exit_code_and_keeps_no_output(exit_code: int, status: SampleStatus) -> None:
    target = Target(exit_code=exit_code, output="password=hunter2")

    sample = create("exec", argv=["sh", "-c", "$LABEL; exit"]).check(target, 3.0)

    assert sample.status is status
    assert target.ran == [(("sh", "-c", "$LABEL; exit"), 3.0)]
    assert "hunter2" not in repr(sample)


def test_f7_exec_is_given_ten_seconds_at_most_unless_it_asks_for_more() -> None:
    target = Target()

    create("exec", argv=["x"]).check(target, 60.0)
    create("exec", argv=["x"], timeout=30).check(target, 60.0)

    assert [timeout_s for _, timeout_s in target.ran] == [10.0, 30.0]


@pytest.mark.parametrize(("code", "status"), [("exec_timeout", FAILED), ("exec_refused", VOID)])
def test_a_command_that_hangs_is_failed_one_that_was_not_run_is_void(code: str, status: SampleStatus) -> None:
    target = Target(error=BackendError("token=hunter2", code=code))

    sample = create("exec", argv=["x"]).check(target, 1.0)

    assert sample.status is status
    assert "hunter2" not in sample.detail


# --- docker, kubernetes -----------------------------------------------------------------------------------


@pytest.mark.parametrize("runtime", ["docker", "kubernetes"])
def test_the_runtimes_own_state_is_left_to_decide(runtime: str) -> None:
    assert create(runtime).check(Target(), 1.0).status is OK


# --- plugins ----------------------------------------------------------------------------------------------


class Scripted:
    """A third party's check that does what it is told."""

    def __init__(self, behaviour: Callable[[], object] = lambda: Sample(OK)) -> None:
        self.behaviour = behaviour

    def check(self, target: ProbeTarget, timeout_s: float) -> Sample:
        return self.behaviour()  # type: ignore[return-value]

    def self_test(self, timeout_s: float) -> Sample:
        return self.behaviour()  # type: ignore[return-value]


def raising(error: BaseException) -> Callable[[], object]:
    def behave() -> object:
        raise error

    return behave


def foreign(behaviour: Callable[[], object]) -> HealthCheck:
    return HealthCheckFactory(types={"theirs": Scripted}).create("theirs", behaviour=behaviour)


def test_a_check_of_ones_own_needs_no_registration() -> None:
    assert foreign(lambda: Sample(FAILED, 7.0, "seen")).check(Target(), 1.0) == Sample(FAILED, 7.0, "seen")


@pytest.mark.parametrize(
    "behaviour",
    [
        raising(ValueError("token=hunter2")),
        raising(SystemExit(3)),
        raising(KeyboardInterrupt()),
        raising(TimeoutError()),
        lambda: None,
        lambda: True,
        lambda: "ok",
        lambda: Sample("ok"),  # type: ignore[arg-type]
        lambda: Sample,
    ],
)
def test_a_plugin_that_raises_or_talks_nonsense_is_void(behaviour: Callable[[], object]) -> None:
    sample = foreign(behaviour).check(Target(), 1.0)

    assert sample.status is VOID
    assert "theirs" in sample.detail
    assert "hunter2" not in sample.detail


def test_a_plugin_that_hangs_is_abandoned_once_and_taken_back_when_it_returns() -> None:
    release, calls = threading.Event(), []

    def hang() -> object:
        calls.append(1)
        release.wait(10)
        return Sample(OK)

    check, before = foreign(hang), set(threading.enumerate())
    began = time.monotonic()
    samples = [check.check(Target(), 0.1) for _ in range(20)]

    assert {sample.status for sample in samples} == {VOID}
    assert time.monotonic() - began < 1.0
    assert (len(calls), len(set(threading.enumerate()) - before)) == (1, 1)

    release.set()
    deadline = time.monotonic() + 5
    while check.check(Target(), 0.5).status is VOID and time.monotonic() < deadline:
        time.sleep(0.01)
    assert check.check(Target(), 0.5).status is OK


def test_a_plugin_that_cannot_fail_is_found_out() -> None:
    assert foreign(lambda: Sample(OK)).self_test(1.0).status is OK
    assert foreign(raising(RuntimeError())).self_test(1.0).status is VOID


def test_an_interrupt_while_a_plugin_runs_is_ours() -> None:
    def interrupt() -> object:
        _thread.interrupt_main()
        time.sleep(0.5)
        return Sample(OK)

    # A shell starts what runs in the background with SIGINT ignored, and then nothing interrupts.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            foreign(interrupt).check(Target(), 5.0)
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("maker", [raising(RuntimeError("token=hunter2")), lambda: object(), lambda: None])
def test_a_plugin_that_makes_no_check_is_refused(maker: Callable[..., HealthCheck]) -> None:
    with pytest.raises(PluginError, match="'theirs'") as refused:
        HealthCheckFactory(types={"theirs": maker}).create("theirs")
    assert "hunter2" not in str(refused.value)


def test_no_plugin_takes_the_name_of_a_built_in_check() -> None:
    with pytest.raises(ConfigurationError, match="is built in"):
        HealthCheckFactory(types={"http": Scripted})


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Installs a package with an entry point, as importlib.metadata sees one."""

    def installed(package: str, name: str, source: str = "", attribute: str = "Check") -> None:
        root = tmp_path / package
        info = root / f"{package}-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(
            f"[safeupdater.health_checks]\n{name} = {package}_checks:{attribute}\n"
        )
        (root / f"{package}_checks.py").write_text(source)
        monkeypatch.syspath_prepend(root)

    return installed


REDIS = """
from safeupdater.domain.health import Sample, SampleStatus

class Check:
    def __init__(self, *, database=0):
        self.database = database
    def check(self, target, timeout_s):
        return Sample(SampleStatus.OK, 1.0, f"database {self.database}")
    def self_test(self, timeout_s):
        return Sample(SampleStatus.FAILED)
"""


def test_an_installed_plugin_is_found_by_its_name(install: Callable[..., None]) -> None:
    install("plugin_one", "redis", REDIS)
    install("plugin_broken", "unused", "raise RuntimeError('nobody asked for me')")

    check = HealthCheckFactory().create("redis", database=3)

    assert check.check(Target(), 1.0).detail == "database 3"
    assert check.self_test(1.0).status is FAILED
    with pytest.raises(ConfigurationError, match="unknown health check type"):
        HealthCheckFactory(plugins=False).create("redis")


def test_a_name_claimed_twice_is_refused_naming_both(install: Callable[..., None]) -> None:
    install("plugin_two", "mysql", REDIS)
    install("plugin_three", "mysql", REDIS)

    with pytest.raises(PluginError, match=r"plugin_three .* and plugin_two"):
        HealthCheckFactory().create("mysql")


def test_a_plugin_that_does_not_load_is_refused(install: Callable[..., None]) -> None:
    install("plugin_four", "broken", "raise RuntimeError('no')")

    with pytest.raises(PluginError, match="does not load: RuntimeError"):
        HealthCheckFactory().create("broken")


def test_an_installed_name_is_suggested(install: Callable[..., None]) -> None:
    install("plugin_five", "cassandra", REDIS)

    with pytest.raises(ConfigurationError, match=r"did you mean 'cassandra'\?"):
        HealthCheckFactory().create("casandra")
