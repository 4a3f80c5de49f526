"""A host that is updated for years: what is forgotten, and what nothing may lose."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import attrs
import pytest

from safeupdater.backends.memory import CRASHES
from safeupdater.config import Policy
from safeupdater.domain.operation import Outcome
from safeupdater.domain.plan import Approval
from safeupdater.errors import CorruptState, PluginError, RollbackError
from safeupdater.update.policies import AskedPolicy
from safeupdater.update.retention import JournalRetention, snapshots
from tests.support.engine import WEB, Bench, held, outcomes, policy_with, stuck

DAY_S = 86_400.0
SHORT = JournalRetention(keep_s=10 * DAY_S, keep_per_target=3)
NONE = JournalRetention(keep_s=0.0, keep_per_target=0)


def operations(bench: Bench) -> list[str]:
    """The operations whose journals are there."""
    return list(dict.fromkeys(entry.operation_id for entry in bench.store.since(0, 1_000_000)))


def updated_daily(bench: Bench, days: int) -> None:
    """A new release on every day, and an updater that runs daily."""
    for day in range(days):
        bench.publish(f"1.{day + 1}.0")
        assert outcomes(bench.apply()) == [Outcome.SUCCEEDED]
        bench.clock.advance(DAY_S)


def test_journals_of_young_operations_stay_and_old_ones_go() -> None:
    bench = Bench(journal=SHORT)
    updated_daily(bench, 40)
    assert len(operations(bench)) <= 12
    ended = {entry.at for entry in bench.store.since(0, 1_000_000)}
    assert min(ended) > bench.clock.now() - timedelta(days=12)


def test_without_a_word_90_days_and_20_operations_of_each_target_are_kept() -> None:
    retention = JournalRetention()
    assert (retention.keep_s, retention.keep_per_target) == (90 * DAY_S, 20)
    bench = Bench()
    for number in range(30):
        assert bench.run(bench.plan(f"1.{number + 1}.0")).succeeded
    bench.clock.advance(89 * DAY_S)
    bench.updater.rollbacks.collect()
    assert len(operations(bench)) == 30
    bench.clock.advance(2 * DAY_S)
    bench.updater.rollbacks.collect()
    assert len(operations(bench)) == 20


def test_the_way_back_stays_open_however_old_its_operation_is() -> None:
    bench = Bench(policy_with(rollback={"retain": "300d"}), journal=NONE)
    assert bench.run(bench.plan()).succeeded
    bench.clock.advance(200 * DAY_S)
    assert bench.apply() == ()
    assert len(operations(bench)) == 1
    assert bench.updater.rollback(WEB, by="ada").succeeded
    assert bench.running == {"web": "1.0.0"}


def test_with_its_snapshot_the_journal_goes_too() -> None:
    bench = Bench(policy_with(rollback={"retain": "7d"}), journal=NONE)
    assert bench.run(bench.plan()).succeeded
    bench.clock.advance(8 * DAY_S)
    bench.updater.rollbacks.collect()
    assert operations(bench) == []
    with pytest.raises(RollbackError, match="no snapshot"):
        bench.updater.rollback(WEB, by="ada")


def test_a_snapshot_whose_journal_is_lost_is_evidence_and_stays() -> None:
    bench = Bench(journal=NONE)
    assert bench.run(bench.plan()).succeeded
    (known,) = snapshots(bench.store)
    bench.store.put("snapshot", "lost", attrs.evolve(known, operation_id="lost"))
    bench.clock.advance(1000 * DAY_S)
    bench.updater.rollbacks.collect()
    assert [snapshot.operation_id for snapshot in snapshots(bench.store)] == ["lost"]


@pytest.mark.parametrize("waiting", [held, stuck])
def test_what_waits_for_a_person_waits_with_its_journal(waiting: object) -> None:
    bench: Bench = waiting()  # type: ignore[operator]
    bench.updater = bench.process(journal=NONE)
    bench.clock.advance(1000 * DAY_S)
    bench.updater.rollbacks.collect()
    assert len(operations(bench)) == 1
    assert len(bench.store.unfinished()) == 1


def test_history_quarantine_and_brakes_outlive_the_journal() -> None:
    bench = Bench(policy_with(rollback={"cooldown": "300d"}), journal=NONE)
    assert bench.run(bench.plan(behaviour=CRASHES)).outcome is Outcome.ROLLED_BACK
    bench.clock.advance(100 * DAY_S)
    bench.updater.rollbacks.collect()
    assert operations(bench) == []
    assert [record.outcome for record in bench.updater.inventory.history(WEB)] == ["rolled_back"]
    assert [entry.version for entry in bench.updater.rollbacks.quarantined()] == ["1.1.0"]
    assert bench.run(bench.plan("1.2.0")).code == "cooldown"


def test_plans_and_approvals_are_forgotten_when_nobody_can_use_them_any_more() -> None:
    bench = Bench(policy_with(semver_gates={"minor": "review"}), journal=SHORT)
    for day in range(20):
        update = bench.plan(f"1.{day + 1}.0")
        bench.updater.approve(update, approver="ada", ttl_s=DAY_S)
        bench.clock.advance(DAY_S)
        bench.updater.rollbacks.collect()
    assert len(list(bench.store.iterate("plan"))) <= 2
    approvals = [stored.value for _, stored in bench.store.iterate("approval")]
    assert 0 < len(approvals) <= 12
    before = bench.clock.now() - timedelta(seconds=SHORT.keep_s)
    assert all(isinstance(item, Approval) and item.expires_at >= before for item in approvals)


def test_the_latest_plan_stays_however_old_it_is() -> None:
    bench = Bench()
    bench.plan()
    bench.clock.advance(500 * DAY_S)
    bench.updater.rollbacks.collect()
    assert len(list(bench.store.iterate("plan"))) == 1


def test_the_policy_says_how_long_the_past_is_kept_and_the_updater_knows_better() -> None:
    short = policy_with(retention={"journals": "10d", "keep_journals": 3, "plans": "5d"})
    bench = Bench(short)
    updated_daily(bench, 30)
    assert len(operations(bench)) <= 12
    assert 5 <= len(list(bench.store.iterate("plan"))) <= 7
    bench = Bench(short, journal=JournalRetention(keep_s=0.0, keep_per_target=1, plans_s=0.0))
    updated_daily(bench, 30)
    assert len(operations(bench)) <= 3
    assert len(list(bench.store.iterate("plan"))) <= 2


@pytest.mark.parametrize("waiting", [held, stuck])
def test_no_policy_drops_what_waits_for_a_person_or_the_way_back(waiting: object) -> None:
    bench: Bench = waiting()  # type: ignore[operator]
    nothing = {"journals": 0, "keep_journals": 0, "plans": 0}
    bench.policy = Policy.from_dict({**bench.policy.to_dict(), "retention": nothing})
    bench.updater = bench.process()
    bench.clock.advance(1000 * DAY_S)
    bench.updater.rollbacks.collect()
    assert len(operations(bench)) == len(bench.store.unfinished()) == 1
    bench = Bench(policy_with(rollback={"retain": "300d"}, retention=nothing))
    assert bench.run(bench.plan()).succeeded
    bench.clock.advance(200 * DAY_S)
    assert bench.apply() == ()
    assert bench.updater.rollback(WEB, by="ada").succeeded


def test_what_gates_judge_by_is_not_forgotten_with_the_journals() -> None:
    bench = Bench(policy_with(retention={"journals": 0, "keep_journals": 0}))
    updated_daily(bench, 3)
    kinds = ("listing", "tag", "first_seen")
    before = {kind: len(list(bench.store.iterate(kind))) for kind in kinds}
    bench.clock.advance(30 * DAY_S)
    bench.updater.rollbacks.collect()
    assert before == {kind: len(list(bench.store.iterate(kind))) for kind in kinds}
    assert sum(before.values()) > 0


def test_a_foreign_policy_says_it_too_or_says_nothing() -> None:
    class Foreign:
        def __init__(self, inner: Policy) -> None:
            self.for_asset = inner.for_asset
            self.defaults = inner.defaults

    foreign: Any = Foreign(Policy.default())
    assert AskedPolicy(foreign).retention == JournalRetention()
    foreign.retention = SHORT
    assert AskedPolicy(foreign).retention == SHORT
    foreign.retention = "90d"
    with pytest.raises(PluginError, match="is a str, no JournalRetention"):
        AskedPolicy(foreign).retention


def test_a_journal_that_cannot_be_read_keeps_its_snapshot_and_stops_no_forgetting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bench = Bench()
    updated_daily(bench, 4)
    oldest, *others = sorted(snapshots(bench.store), key=lambda item: item.taken_at)
    load = bench.store.load

    def partly(operation_id: str, after: int = 0) -> Any:
        if operation_id == oldest.operation_id:
            raise CorruptState("it was written by a newer safeupdater")
        return load(operation_id, after)

    monkeypatch.setattr(bench.store, "load", partly)
    bench.clock.advance(400 * DAY_S)
    bench.updater.rollbacks.collect()
    assert list(snapshots(bench.store)) == [oldest]
    assert others
