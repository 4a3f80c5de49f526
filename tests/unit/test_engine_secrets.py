"""What a container's configuration holds in secret is in its snapshot and nowhere else."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest

from safeupdater.backends.memory import CRASHES, GOOD, Behaviour, MemoryBackend, MemoryWorld
from safeupdater.domain.artifact import ImageReference
from safeupdater.domain.change import Change, VersionChangeType
from safeupdater.domain.decision import Decision, Reason, Verdict
from safeupdater.domain.health import Sample
from safeupdater.domain.operation import (
    OnInconclusive,
    Outcome,
    Phase,
    Resolution,
    RollbackPolicy,
    StepStatus,
)
from safeupdater.domain.plan import PlannedUpdate
from safeupdater.errors import SafeUpdaterError
from safeupdater.protocols import OperationContext
from safeupdater.stores.open import open_store
from safeupdater.testing.clock import FakeClock
from safeupdater.update import acting
from safeupdater.update.executor import UpdateExecutor
from safeupdater.update.review import PolicyReview
from safeupdater.update.rollback import RollbackManager
from tests.simulation.settings import SETTINGS, AdmitAll, NoChecks, SimulatedPolicy

SECRETS = tuple(f"hunter{number}-planted-Zq9" for number in range(20))
HOLDING = attrs.evolve(SETTINGS, rollback=RollbackPolicy(on_inconclusive=OnInconclusive.HOLD))
BEHAVIOURS = (
    GOOD,
    CRASHES,
    Behaviour(ready_after_s=None),
    Behaviour(flaps_every=5),
    Behaviour(startable=False),
)


class Blabbing(MemoryBackend):
    """A runtime whose errors tell everything that it knows."""

    calls = 0

    def perform(self, operation: Any, phase: Phase, step: str, report: Any) -> Any:
        self._blab(operation)
        return super().perform(operation, phase, step, report)

    def observe(self, operation: Any, *, old: bool = False) -> Any:
        self._blab(operation)
        return super().observe(operation, old=old)

    def _blab(self, operation: Any) -> None:
        self.calls += 1
        if self.calls % 7 == 0:
            raise RuntimeError(f"that did not work with {operation.snapshot.data['config']}")


class Heard:
    """Whatever observers, progress reports and results say, in one text."""

    def __init__(self) -> None:
        self.text = ""

    def notify(self, happening: object) -> None:
        self.text += f"{happening!r} {happening}"


def begin_all(url: str, heard: Heard) -> tuple[Any, MemoryWorld]:
    """Updates twenty containers, each with a secret of its own, to releases that behave in every way."""
    clock = FakeClock()
    world = MemoryWorld(clock)
    store = open_store(url, clock)
    backend = Blabbing(world)
    ids = iter(range(100))
    executor = UpdateExecutor(
        [backend], store, clock=clock, checks=NoChecks(), admission=AdmitAll(), holder="test",
        review=PolicyReview(SimulatedPolicy(HOLDING), store), new_id=lambda: f"op{next(ids)}",
        observers=[heard], progress=heard.notify,
    )  # fmt: skip
    planned = [plan(world, backend, store, number) for number in range(len(SECRETS))]
    rollbacks = RollbackManager(executor, store, [backend], clock=clock)
    results = executor.run(planned[:18])
    for result in results:
        heard.notify(result)
        hear_error(heard, result.raise_for_outcome)
    for held in [result for result in results if result.outcome is Outcome.HELD]:
        heard.notify(rollbacks.resolve(held.target_id, Resolution.RESTORE, by="somebody"))
    succeeded = next(result for result in results if result.outcome is Outcome.SUCCEEDED)
    heard.notify(rollbacks.rollback(succeeded.target_id, by="somebody"))
    hear_error(heard, lambda: rollbacks.rollback("memory://local/none", by="somebody"))
    for item in planned[18:]:  # these two stay in the middle
        opened = executor.open(item)
        assert isinstance(opened, str)
        executor.advance(opened)
    heard.text += repr(executor) + repr(vars(executor)) + repr(store) + repr(vars(store)) + repr(planned)
    assert {result.outcome for result in results} >= {Outcome.SUCCEEDED, Outcome.ROLLED_BACK}
    return store, world


def plan(world: MemoryWorld, backend: MemoryBackend, store: Any, number: int) -> PlannedUpdate:
    name, secret = f"app{number}", SECRETS[number]
    config = {"environment": [f"PASSWORD={secret}"], "nested": {"token": secret}}
    old = world.run(name, f"{name}:1.0.0", **config)
    digest = world.publish(f"{name}:1.1.0", BEHAVIOURS[number % len(BEHAVIOURS)])
    new = ImageReference.parse(f"{name}:1.1.0").with_digest(digest)
    (asset,) = [asset for asset in backend.scan().assets if asset.name == name]
    store.put("asset", asset.id, asset)
    change = Change(asset_id=asset.id, current=old.image, new=new, change_type=VersionChangeType.MINOR)
    reason = Reason(code="test", message="approved", verdict=Verdict.APPROVE)
    return PlannedUpdate(
        target_id=asset.id, changes=(change,), decision=Decision.because(reason), policy_hash="simulated"
    )


def hear_error(heard: Heard, act: Callable[[], object]) -> None:
    try:
        act()
    except SafeUpdaterError as error:
        heard.notify(error)
        heard.text += repr(error.evidence)


def found_in(text: str) -> list[str]:
    return [secret for secret in SECRETS if secret in text]


@pytest.fixture
def heard(caplog: pytest.LogCaptureFixture) -> Heard:
    caplog.set_level(logging.DEBUG)
    return Heard()


def check_what_was_heard(heard: Heard, store: Any, caplog: pytest.LogCaptureFixture) -> None:
    snapshots = [stored.value for _, stored in store.iterate("snapshot")]
    assert len(snapshots) >= len(SECRETS)
    assert all(any(secret in repr(dict(item.data)) for item in snapshots) for secret in SECRETS)
    assert found_in(repr(snapshots) + str(snapshots)) == []
    assert found_in(repr(store.since(0, 10**6))) == []
    kinds = ("asset", "rollback", "quarantine", "approval", "plan", "setting")
    assert found_in(repr([list(store.iterate(kind)) for kind in kinds])) == []
    assert found_in(heard.text + caplog.text) == []


def text_of(path: Path) -> str:
    """What a file says; not all of a store's files are text."""
    return path.read_text(errors="replace")


def test_a_json_store_has_secrets_in_its_snapshot_files_only(
    tmp_path: Path, heard: Heard, caplog: pytest.LogCaptureFixture
) -> None:
    store, _ = begin_all(f"json:{tmp_path}/s", heard)
    check_what_was_heard(heard, store, caplog)
    store.checkpoint()
    store.close()

    files = [path for path in (tmp_path / "s").rglob("*") if path.is_file()]
    outside = [path for path in files if path.parent.name != "snapshots"]
    assert {"journal.jsonl", "state.json"} <= {path.name for path in outside}
    assert found_in("".join(map(text_of, outside))) == []
    assert found_in("".join(map(text_of, files))) == list(SECRETS), "the test can find them"


def test_an_sql_store_has_secrets_in_its_snapshots_only(
    tmp_path: Path, heard: Heard, caplog: pytest.LogCaptureFixture
) -> None:
    store, _ = begin_all(f"sqlite:///{tmp_path}/state.db", heard)
    check_what_was_heard(heard, store, caplog)
    store.close()

    with sqlite3.connect(tmp_path / "state.db") as database:
        tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type='table'")]
        rows = [row for table in tables for row in database.execute(f"SELECT * FROM {table}").fetchall()]
    snapshots = [row for row in rows if row[0] == "snapshot"]
    assert found_in(repr([row for row in rows if row not in snapshots])) == []
    assert found_in(repr(snapshots)) == list(SECRETS), "the test can find them"


class Telling:
    """A probe whose errors hold what it was given."""

    def check(self, target: object, timeout_s: float) -> Sample:
        raise OSError(f"https://user:{SECRETS[0]}@app/health refused")

    def self_test(self, timeout_s: float) -> Sample:
        raise OSError(f"https://user:{SECRETS[1]}@app/health refused")


def test_a_probe_that_tells_a_secret_in_its_error_is_not_quoted() -> None:
    """Probes are foreign code: of what they raise, the type is kept and the text is not."""
    clock = FakeClock()
    backend = MemoryBackend(MemoryWorld(clock))
    planned = plan(backend.world, backend, open_store("memory:", clock), 0)
    context = OperationContext(operation_id="op", epoch=1, planned=planned, settings=SETTINGS)
    context = attrs.evolve(context, snapshot=backend.capture(context))

    tested = acting.preflight(backend, context, [Telling()], clock)
    for phase in (Phase.STAGING, Phase.SWITCHING):
        for step in backend.steps(planned, SETTINGS).of(phase):
            assert backend.perform(context, phase, step, lambda progress: None).status is StepStatus.DONE
    seen = acting.look(backend, context, [Telling()], clock)

    assert "OSError" in repr(tested)
    assert "the probe raised OSError" in repr(seen)
    assert found_in(repr(tested) + repr(seen)) == []
