"""One life of an updater over a daemon in memory: what it finds, what disturbs it, and every moment at which
it could die.

Everything but the wire is the real thing: the executor, the rollback manager, the Docker backend, a store.
A death leaves nothing but the daemon and the store, so a ``Moment`` that holds both is all that the next
life begins with, and one life shows what a death at any of its moments would leave.
"""

from __future__ import annotations

import enum
import pickle
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import attrs
import requests

from safeupdater.backends.docker import DockerBackend
from safeupdater.domain.operation import (
    AbortRequested,
    OperationPlanned,
    Verdict,
    VerdictReached,
)
from safeupdater.errors import BackendError
from safeupdater.protocols import Admittance
from safeupdater.stores.memory import MemoryStore
from safeupdater.testing.clock import FakeClock
from safeupdater.testing.fake_docker import FakeDocker
from safeupdater.testing.fake_docker_http import FakeTransport
from safeupdater.update.executor import UpdateExecutor
from safeupdater.update.machine import is_parked, replay
from safeupdater.update.result import Done, OperationResult, WakeAfter
from safeupdater.update.rollback import RollbackManager
from tests.simulation.docker_world import SETTINGS, TARGET, Stage

_RETAINED = timedelta(days=8)
_MAX_ADVANCES = 500


class Violation(BaseException):
    """A promise was broken. Not an ``Exception``: no border of the engine may swallow it."""


class Fault(enum.Enum):
    """What disturbs a life at one call to the daemon. Deaths are not among them: see ``Moment``."""

    NO_EFFECT = "no answer, no effect"
    NO_ANSWER = "no answer, but the effect"
    FAILS = "status 500, no effect"
    RESTART_BEFORE = "daemon restart before it"
    RESTART_INSTEAD = "daemon restart instead of it"
    RESTART_AFTER = "daemon restart after it, no answer"
    ABORT = "somebody asks to stop before it"
    PRUNE = "somebody removes all stopped containers before it"


# --- what outlives a process ------------------------------------------------------------------------------


@attrs.frozen
class Written:
    """One change to the store, which repeats it."""

    at_s: float
    method: str
    arguments: tuple[Any, ...]
    options: tuple[tuple[str, Any], ...]


@attrs.frozen(kw_only=True)
class Moment:
    """What a death at this moment leaves behind: the daemon, the store and the time.

    ``restarted`` says whether the daemon restarted so far, ``pruned`` which containers somebody removed, by
    id and name: that excuses what follows from it. ``collecting``: all had ended and is being cleared up.
    """

    daemon: bytes = attrs.field(repr=False)
    written: tuple[Written, ...] = attrs.field(repr=False)
    at_s: float
    restarted: bool = False
    pruned: frozenset[str] = frozenset()
    collecting: bool = False
    lives: int = 0

    def after_restart(self) -> Moment:
        """The same, with the daemon restarted meanwhile."""
        daemon = pickle.loads(self.daemon)
        daemon.restart()
        return attrs.evolve(self, daemon=pickle.dumps(daemon), restarted=True)

    def after_prune(self) -> Moment:
        """The same, after somebody removed all stopped containers meanwhile."""
        daemon = pickle.loads(self.daemon)
        pruned = prune(daemon)
        return (
            attrs.evolve(self, daemon=pickle.dumps(daemon), pruned=self.pruned | pruned) if pruned else self
        )


def prune(daemon: FakeDocker) -> frozenset[str]:
    """Removes all stopped containers, as ``docker container prune``; gives their ids and names."""
    stopped = [item for item in daemon.containers.values() if not item["State"]["Running"]]
    for container in stopped:
        daemon.remove(container["Id"], with_volumes=False)
    return frozenset(str(item[key]) for item in stopped for key in ("Id", "Name"))


class _LoggedStore:
    """A store in memory that remembers how it came to be what it is."""

    def __init__(self, inner: MemoryStore, clock: FakeClock, written: list[Written], changed: Any) -> None:
        self._inner = inner
        self._clock = clock
        self._written = written
        self._changed = changed

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._inner, name)
        if name not in ("put", "put_many", "delete", "append", "acquire", "renew", "release", "prune"):
            return method

        def change(*arguments: Any, **options: Any) -> Any:
            result = method(*arguments, **options)
            self._written.append(
                Written(self._clock.monotonic(), name, arguments, tuple(sorted(options.items())))
            )
            self._changed(name)
            return result

        return change


# --- the wire ---------------------------------------------------------------------------------------------


class _Response:
    """As much of an HTTP response as is looked at."""

    def __init__(self, status: int, body: bytes) -> None:
        self.status_code = status
        self.content = body
        self.raw = self

    def __enter__(self) -> _Response:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def json(self) -> Any:
        import json

        return json.loads(self.content)

    def read1(self, size: int) -> bytes:
        piece, self.content = self.content[:size], self.content[size:]
        return piece


class ShortWire:
    """Stands for docker-py's client: requests go straight to the daemon, the same bytes, without HTTP.

    HTTP would be most of the cost of a life. That it makes no difference is a test of its own.
    """

    base_url = "http+docker://localhost"
    credstore_env = None

    def __init__(self, life: Life) -> None:
        from docker.auth import AuthConfig

        self._life = life
        self._auth_configs = AuthConfig({"auths": {"nowhere.test": {}}})

    def request(self, method: str, url: str, *, data: str | None = None, **_: Any) -> _Response:
        return _Response(*self._life.exchange(method, url, data))

    def get_adapter(self, url: str) -> None:
        return None

    def close(self) -> None:
        return None


# --- a life -----------------------------------------------------------------------------------------------


class _NoChecks:
    def create(self, type: str, **options: object) -> Any:
        raise AssertionError("the policy names no probes")


class _AdmitAll:
    def admit(self, planned: object, now: object) -> Admittance:
        return Admittance(admitted=True)


class _Executor(UpdateExecutor):
    """Carries operations out one after another, as far as they go."""

    clock: FakeClock

    def run(self, updates: Any, **_: Any) -> tuple[OperationResult, ...]:
        return tuple(self._finish(operation_id) for operation_id in updates)

    def _finish(self, operation_id: str) -> OperationResult:
        for _ in range(_MAX_ADVANCES):
            match self.advance(operation_id):
                case Done(result):
                    return result
                case WakeAfter(delay_s):
                    self.clock.advance(delay_s)
        raise Violation(f"it does not end within {_MAX_ADVANCES} turns")


class Life:
    """A process from its start to its end, disturbed at some of its calls (from 1; 0: before the first)."""

    def __init__(
        self,
        stage: Stage,
        begin: Moment,
        faults: Mapping[int, Fault] | None = None,
        *,
        explores: bool = False,
    ) -> None:
        self.stage = stage
        self.faults = dict(faults or {})
        self.restarted, self.pruned, self.collecting = begin.restarted, begin.pruned, begin.collecting
        self.number = begin.lives + 1
        self.daemon: FakeDocker = pickle.loads(begin.daemon)
        self.clock = FakeClock()
        self.written = list(begin.written)
        inner = MemoryStore(self.clock, is_dead=lambda holder: True)
        for change in begin.written:
            self.clock.advance(change.at_s - self.clock.monotonic())
            getattr(inner, change.method)(*change.arguments, **dict(change.options))
        self.clock.advance(begin.at_s - self.clock.monotonic())
        self.store: Any = _LoggedStore(inner, self.clock, self.written, self._store_changed)
        self.transport = FakeTransport(self.daemon)
        self.moments: list[tuple[int, Moment]] = []
        """Every moment at which a death leaves something else than at the one before, with the number of
        calls so far; found only where ``explores`` says so."""
        self.calls: list[str] = []
        self.idle: set[tuple[int, Fault]] = set()
        """What would make no difference at which call, or the same as at the call before; see ``_find_idle``.
        Found only where ``explores`` says so."""
        self.explores = explores
        self._opened: list[OperationPlanned] | None = None
        self._read_at: tuple[int, float] | None = None
        self._state = begin.daemon
        self._process: tuple[_Executor, RollbackManager] | None = None

    # --- the process ----------------------------------------------------------------------------------------

    def boot(self, client: Any = None) -> RollbackManager:
        """A process over the store and the daemon as they are."""
        wire: Any = client or ShortWire(self)
        backend = DockerBackend(wire, host="test", own_container=None, clock=self.clock.now)
        executor = _Executor(
            [backend], self.store, clock=self.clock, checks=_NoChecks(),
            review=lambda planned, now, approval: SETTINGS, holder=f"p{self.number}",
            new_id=lambda: f"op-{len(self.opened()) + 1}", admission=_AdmitAll(),
        )  # fmt: skip
        executor.clock = self.clock
        manager = RollbackManager(executor, self.store, [backend], clock=self.clock)
        self._process = executor, manager
        return manager

    def opened(self) -> list[OperationPlanned]:
        """Every operation that was ever opened."""
        if self._opened is None:
            events = (entry.event for entry in self.store.since(0, 100_000))
            self._opened = [event for event in events if isinstance(event, OperationPlanned)]
        return self._opened

    def play(self, updates: int, client: Any = None) -> None:
        """Carries out that many updates, going on with what earlier lives left."""
        self.boot(client)
        assert self._process is not None
        executor, manager = self._process
        if self.faults.get(0) is Fault.ABORT:
            self._abort()
        for _ in range(10):
            if any(not is_parked(state) for state in self.states(unfinished=True)):
                manager.recover(wait_s=600.0)
            elif self.store.unfinished() or len(self.opened()) >= updates:
                return
            elif len(self.opened()) < len(self.stage.planned):
                opened = executor.open(self.stage.planned[len(self.opened())])
                assert isinstance(opened, str), opened
            else:
                manager.rollback(TARGET, by="somebody")
        raise Violation("operations do not end")

    def collect(self) -> None:
        """Lets all times of keeping pass and clears up, as the next runs of the updater do.

        What the daemon did not answer for is left for the next time.
        """
        self.collecting = True
        self.clock.advance(_RETAINED.total_seconds())
        assert self._process is not None
        for attempt in range(4):
            try:
                self._process[1].collect()
            except BackendError:
                if attempt == 3:
                    raise
                continue
            if not any(True for _ in self.store.iterate("snapshot")):
                return

    def states(self, *, unfinished: bool = False) -> list[Any]:
        """The states of all operations, or of those that have not ended."""
        chosen = self.store.unfinished() if unfinished else self.opened()
        return [replay(self.events(opened.operation_id)) for opened in chosen]

    def events(self, operation_id: str) -> list[Any]:
        """The journal of an operation."""
        return [entry.event for entry in self.store.load(operation_id)]

    # --- the wire -------------------------------------------------------------------------------------------

    def exchange(self, method: str, url: str, body: str | None) -> tuple[int, bytes]:
        """One call to the daemon, disturbed as was wanted."""
        self.calls.append(f"{method} {url.removeprefix(ShortWire.base_url)}")
        if self.explores:
            self._find_idle(method)
        fault = self.faults.get(len(self.calls))
        if fault is None:
            return self._carry_out(method, url, body)
        match fault:
            case Fault.NO_EFFECT:
                raise _silence()
            case Fault.FAILS:
                return 500, b'{"message": "something went wrong"}'
            case Fault.NO_ANSWER:
                self._carry_out(method, url, body)
                raise _silence()
            case Fault.RESTART_BEFORE:
                self._restart()
            case Fault.RESTART_INSTEAD:
                self._restart()
                raise _reset()
            case Fault.RESTART_AFTER:
                self._carry_out(method, url, body)
                self._restart()
                raise _reset()
            case Fault.ABORT:
                self._abort()
            case Fault.PRUNE:
                self._prune()
        return self._carry_out(method, url, body)

    def _find_idle(self, method: str) -> None:
        """Notes which mishaps at this call are the same as others, so that they need not be played.

        A step that has only read so far is broken off here as at its last call, and requests are looked for
        after it only. Restarting a daemon that comes back as it was is a call without an answer at most.
        Every step, look and turn begins with something written or with time that passed.
        """
        here, call = (len(self.written), self.clock.monotonic()), len(self.calls)
        if self._read_at == here:
            self.idle.add((call, Fault.ABORT))
            if method == "GET":
                self.idle |= {(call, Fault.NO_EFFECT), (call, Fault.RESTART_INSTEAD)}
        if method == "GET":
            self.idle |= {(call, Fault.NO_ANSWER), (call, Fault.RESTART_AFTER), (call, Fault.FAILS)}
        self._read_at = here if method == "GET" else None
        restarted: FakeDocker = pickle.loads(self._state)
        restarted.restart()
        if restarted == self.daemon:
            self.idle |= {(call, Fault.RESTART_BEFORE), (call, Fault.RESTART_INSTEAD)}
        if all(container["State"]["Running"] for container in self.daemon.containers.values()):
            self.idle.add((call, Fault.PRUNE))

    def _carry_out(self, method: str, url: str, body: str | None) -> tuple[int, bytes]:
        if method == "GET":
            return self.transport.answer(method, url, body)
        self.check_before(method, url)
        answer = self.transport.answer(method, url, body)
        self._daemon_changed()
        return answer

    def _restart(self) -> None:
        self.restarted = True
        self.daemon.restart()
        self._daemon_changed()

    def _prune(self) -> None:
        self.pruned |= prune(self.daemon)
        self._daemon_changed()

    def _abort(self) -> None:
        assert self._process is not None
        self._process[1].abort(TARGET, by="somebody")

    # --- moments --------------------------------------------------------------------------------------------

    def moment(self) -> Moment:
        """This very moment."""
        return Moment(
            daemon=self._state if self.explores else pickle.dumps(self.daemon),
            written=tuple(self.written),
            at_s=self.clock.monotonic(),
            restarted=self.restarted,
            pruned=self.pruned,
            collecting=self.collecting,
            lives=self.number,
        )

    def _store_changed(self, method: str) -> None:
        if method == "append":
            self._opened = None
        if self.explores:
            self.moments.append((len(self.calls), self.moment()))

    def _daemon_changed(self) -> None:
        if self.explores:
            state = pickle.dumps(self.daemon)
            if state != self._state:
                self._state = state
                self.moments.append((len(self.calls), self.moment()))
        self.check_always()

    # --- what must hold all the time ------------------------------------------------------------------------

    def check_before(self, method: str, url: str) -> None:
        """Before a call that changes something."""

    def check_always(self) -> None:
        """After each change of the daemon."""

    def verdict(self) -> Verdict | None:
        """The verdict of the last operation, once it is durable."""
        opened = self.opened()
        events = self.events(opened[-1].operation_id) if opened else []
        return next((event.verdict for event in events if isinstance(event, VerdictReached)), None)

    def last_word(self) -> Any:
        """The last record of the last operation that is not a request."""
        events = self.events(self.opened()[-1].operation_id)
        return next(event for event in reversed(events) if not isinstance(event, AbortRequested))


def _silence() -> Exception:
    return requests.exceptions.ReadTimeout("read timed out")


def _reset() -> Exception:
    return requests.exceptions.ConnectionError("connection reset by peer")
