"""The ways back: recovery, rollback by hand, abort, what people decide, quarantine and retention."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from safeupdater.backends.memory import CRASHES, GOOD, Behaviour
from safeupdater.domain.asset import AssetStatus
from safeupdater.domain.decision import Verdict
from safeupdater.domain.health import Condition, Observation
from safeupdater.domain.operation import AbortRequested, Blame, Outcome, Resolution
from safeupdater.errors import RollbackError, StoreError, VersionConflict
from tests.support.engine import (
    HOLD,
    WEB,
    Bench,
    BrokenStore,
    FakeCheck,
    FakeChecks,
    held,
    outcomes,
    policy_with,
    stuck,
)

DAY_S = 86_400.0


def old_digest(bench: Bench) -> str:
    return bench.world.tags["docker.io/library/web"]["1.0.0"]


# --- recovery -----------------------------------------------------------------------------------------------


def test_what_is_held_is_told_of_once_though_who_held_it_died_before() -> None:
    bench = held()
    stored = bench.store.get("asset", WEB)
    before = attrs.evolve(stored.value, update_history=(), status=AssetStatus.UPDATING)
    bench.store.put("asset", WEB, before)  # as it was when the verdict had just been journaled
    bench.kill(bench.updater)
    bench.recorder.told.clear()
    bench.updater = bench.process()
    assert outcomes(bench.updater.recover()) == [Outcome.HELD]
    assert [alert.target_id for alert in bench.recorder.alerts] == [WEB]
    assert bench.updater.inventory.get(WEB).status is AssetStatus.HELD
    assert bench.updater.recover() == ()
    assert len(bench.recorder.alerts) == 1


def test_what_is_held_is_told_of_though_the_store_takes_no_record_of_it() -> None:
    bench = Bench(HOLD)
    check = FakeCheck()
    store = BrokenStore(bench.store)
    bench.updater = bench.process(store=store, checks=FakeChecks(check))
    operation_id = bench.open()
    bench.steps_until(operation_id, "Watching")
    check.answer = ValueError("no measurement")
    store.error = StoreError("the disk is full", code="disk_full")
    store.breaks = lambda name, arguments: name in ("put", "put_many") and bench.state(operation_id) == "Held"
    bench.run(operation_id)
    assert [alert.target_id for alert in bench.recorder.alerts] == [WEB]


@pytest.mark.parametrize("state", ["Pending", "Staging", "Switching", "Settling", "Watching", "Committing"])
def test_recovering_twice_is_recovering_once(state: str) -> None:
    bench = Bench()
    operation_id = bench.open()
    bench.steps_until(operation_id, state)
    bench.kill(bench.updater)
    bench.updater = bench.process()
    (result,) = bench.updater.recover()
    assert result.outcome in (Outcome.SUCCEEDED, Outcome.ROLLED_BACK, Outcome.ABORTED)
    journal, world = bench.store.load(operation_id), repr(bench.world.containers)
    assert bench.updater.recover() == ()
    assert bench.process().recover() == ()
    assert (bench.store.load(operation_id), repr(bench.world.containers)) == (journal, world)
    assert list(bench.world.containers) == ["web"]


def test_a_dead_process_is_replaced_at_once_and_one_that_may_live_when_its_lease_expires() -> None:
    bench = Bench()
    operation_id = bench.open()
    bench.steps_until(operation_id, "Watching")
    other = bench.process()
    (busy,) = other.recover()
    assert (busy.outcome, busy.code) == (Outcome.INTERRUPTED, "target_busy")
    began_s = bench.clock.monotonic()
    (result,) = other.recover(wait_s=2 * 3600.0)
    assert result.succeeded
    assert bench.clock.monotonic() - began_s > 60.0


def test_recovery_does_not_wait_for_a_dead_holder() -> None:
    bench = Bench()
    operation_id = bench.open()
    bench.steps_until(operation_id, "Staging")
    bench.kill(bench.updater)
    began_s = bench.clock.monotonic()
    assert outcomes(bench.process().recover()) == [Outcome.ABORTED]
    assert bench.clock.monotonic() - began_s < 1.0


@pytest.mark.parametrize("make", [held, stuck])
def test_recovery_leaves_alone_what_waits_for_a_person(make: Any) -> None:
    bench = make()
    assert bench.updater.recover() == ()
    assert len(bench.store.unfinished()) == 1


# --- rollback by hand ---------------------------------------------------------------------------------------


def test_a_rollback_by_hand_brings_the_version_before_and_one_by_name_the_new_one_again() -> None:
    bench = Bench()
    assert bench.run(bench.plan()).succeeded
    config = dict(bench.world.containers["web"].config)
    assert bench.updater.rollback(WEB, by="ada").succeeded
    assert bench.running == {"web": "1.0.0"}
    assert bench.world.containers["web"].config == config
    assert bench.updater.rollback(WEB, by="ada", to="1.1.0").succeeded
    assert bench.running == {"web": "1.1.0"}
    assert bench.store.unfinished() == ()


def test_a_rollback_by_hand_puts_back_the_configuration_of_then() -> None:
    bench = Bench()
    bench.world.containers["web"].config = {"mode": "old"}
    assert bench.run(bench.plan()).succeeded
    bench.world.containers["web"].config = {"mode": "new"}
    assert bench.updater.rollback(WEB, by="ada").succeeded
    assert bench.world.containers["web"].config == {"mode": "old"}


def test_a_rollback_to_a_version_that_does_not_work_either_ends_where_it_began() -> None:
    bench = Bench()
    assert bench.run(bench.plan()).succeeded
    bench.world.behaviours[old_digest(bench)] = CRASHES
    assert bench.updater.rollback(WEB, by="ada").outcome is Outcome.ROLLED_BACK
    assert bench.running == {"web": "1.1.0"}


def test_without_a_snapshot_there_is_no_way_back_and_the_error_says_so() -> None:
    bench = Bench()
    with pytest.raises(RollbackError, match="no snapshot") as raised:
        bench.updater.rollback(WEB, by="ada")
    assert raised.value.code == "no_snapshot"
    assert bench.running == {"web": "1.0.0"}


def test_a_rolled_back_update_is_no_version_to_go_back_to() -> None:
    bench = Bench()
    assert bench.run(bench.plan(behaviour=CRASHES)).outcome is Outcome.ROLLED_BACK
    with pytest.raises(RollbackError, match="no snapshot"):
        bench.updater.rollback(WEB, by="ada")


def test_a_rollback_by_hand_turns_an_update_back_that_is_under_way() -> None:
    bench = Bench()
    operation_id = bench.open()
    bench.steps_until(operation_id, "Watching")
    assert bench.updater.rollback(WEB, by="ada").outcome is Outcome.ROLLED_BACK
    assert bench.running == {"web": "1.0.0"}


def test_a_rollback_by_hand_restores_what_is_held() -> None:
    bench = held()
    assert bench.updater.rollback(WEB, by="ada").outcome is Outcome.ROLLED_BACK
    assert bench.running == {"web": "1.0.0"}


# --- abort --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "outcome", "runs"),
    [
        ("Pending", Outcome.ABORTED, "1.0.0"),
        ("Capturing", Outcome.ABORTED, "1.0.0"),
        ("Staging", Outcome.ABORTED, "1.0.0"),
        ("Switching", Outcome.ROLLED_BACK, "1.0.0"),
        ("Settling", Outcome.ROLLED_BACK, "1.0.0"),
        ("Watching", Outcome.ROLLED_BACK, "1.0.0"),
        ("Committing", Outcome.SUCCEEDED, "1.1.0"),
    ],
)
def test_an_abort_by_another_process_stops_what_can_be_stopped(
    state: str, outcome: Outcome, runs: str
) -> None:
    bench = Bench()
    operation_id = bench.open()
    bench.steps_until(operation_id, state)
    people = bench.process()
    for _ in range(2):
        answer = people.abort(WEB, by="ada", reason="too late in the day")
        assert (bool(answer), answer.code) == ((True, "asked") if runs == "1.0.0" else (False, "too_late"))
    result = bench.run(operation_id)
    if state == "Switching":  # at its very beginning nothing was touched yet
        assert result.outcome in (Outcome.ABORTED, Outcome.ROLLED_BACK)
    else:
        assert result.outcome is outcome
    assert bench.running == {"web": runs}
    assert list(bench.world.containers) == ["web"]
    asked = [entry for entry in bench.store.load(operation_id) if isinstance(entry.event, AbortRequested)]
    assert asked[0].event.by == "ada"


def test_an_abort_is_noticed_within_seconds_of_a_long_watch() -> None:
    bench = Bench(policy_with(health={"window": "2h", "interval": "5s"}))
    operation_id = bench.open()
    bench.steps_until(operation_id, "Watching")
    bench.process().abort(WEB, by="ada")
    began_s = bench.clock.monotonic()
    assert bench.run(operation_id).outcome is Outcome.ROLLED_BACK
    assert bench.clock.monotonic() - began_s < 15.0


def test_an_aborted_update_of_a_dead_process_is_ended_by_recover() -> None:
    bench = Bench()
    operation_id = bench.open()
    bench.steps_until(operation_id, "Watching")
    bench.kill(bench.updater)
    other = bench.process()
    assert other.abort(WEB, by="ada")
    assert outcomes(other.recover()) == [Outcome.ROLLED_BACK]
    assert bench.running == {"web": "1.0.0"}


def test_there_is_nothing_to_abort_where_nothing_is_under_way() -> None:
    bench = Bench()
    assert not bench.updater.abort(WEB, by="ada")
    assert bench.run(bench.plan()).succeeded
    assert not bench.updater.abort(WEB, by="ada")


@pytest.mark.parametrize("waiting", [held, stuck])
def test_what_waits_for_a_person_is_not_asked_to_stop_but_to_be_resolved(waiting: Any) -> None:
    bench = waiting()
    answer = bench.updater.abort(WEB, by="ada")
    assert (bool(answer), answer.code) == (False, "waits_for_resolve")
    assert "resolve" in answer.message


@pytest.mark.parametrize("state", ["Restoring", "Verifying"])
def test_what_goes_back_already_says_so(state: str) -> None:
    bench = Bench()
    operation_id = bench.open(behaviour=CRASHES)
    bench.steps_until(operation_id, state)
    answer = bench.process().abort(WEB, by="ada")
    assert (bool(answer), answer.code) == (False, "going_back")
    assert "exited" in answer.message


def test_a_rollback_that_comes_while_the_new_version_is_kept_leaves_it_afterwards() -> None:
    bench = Bench()
    operation_id = bench.open()
    bench.steps_until(operation_id, "Committing")
    assert bench.updater.rollback(WEB, by="ada").succeeded
    assert bench.running == {"web": "1.0.0"}


# --- what people decide -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("resolution", "outcome", "runs"),
    [
        (Resolution.KEEP_NEW, Outcome.SUCCEEDED, "1.1.0"),
        (Resolution.RESTORE, Outcome.ROLLED_BACK, "1.0.0"),
    ],
)
def test_what_is_held_can_be_kept_or_taken_back(resolution: Resolution, outcome: Outcome, runs: str) -> None:
    bench = held()
    assert bench.updater.resolve(WEB, resolution, by="ada").outcome is outcome
    assert bench.running == {"web": runs}
    assert list(bench.world.containers) == ["web"]
    assert bench.store.unfinished() == ()


def test_what_somebody_took_back_while_it_was_held_does_not_come_again_by_itself() -> None:
    bench = held()
    bench.updater.resolve(WEB, Resolution.RESTORE, by="ada")
    (entry,) = bench.updater.rollbacks.quarantined()
    assert (entry.version, entry.blame) == ("1.1.0", Blame.REQUEST)
    assert entry.reason == "restore by ada"
    bench.updater.scan()
    (update,) = bench.updater.plan().updates
    assert update.decision.verdict is Verdict.REJECT


def test_what_is_held_can_be_let_be_and_the_next_update_may_begin() -> None:
    bench = held()
    containers = dict(bench.world.containers)
    bench.updater.resolve(WEB, Resolution.ABANDON, by="ada")
    assert bench.world.containers == containers
    assert bench.store.unfinished() == ()


def test_the_new_version_is_not_kept_after_a_failed_rollback_where_it_does_not_run() -> None:
    bench = stuck()
    with pytest.raises(RollbackError, match="does not run") as raised:
        bench.updater.resolve(WEB, Resolution.KEEP_NEW, by="ada")
    assert raised.value.code == "new_version_not_ready"
    assert len(bench.store.unfinished()) == 1


@pytest.mark.parametrize("condition", [Condition.UNREADY, Condition.STARTING])
def test_the_new_version_is_not_kept_after_a_failed_rollback_where_it_is_not_ready(
    condition: Condition,
) -> None:
    """Something was wrong with it: that it runs is not enough, as it is for one that is held."""
    bench = stuck()
    seen = Observation(condition, "not_yet", "it answers nobody yet", "c2")
    bench.updater.executor.observe = lambda *_, **__: seen
    with pytest.raises(RollbackError, match="it answers nobody yet") as raised:
        bench.updater.resolve(WEB, Resolution.KEEP_NEW, by="ada")
    assert raised.value.code == "new_version_not_ready"


def test_what_went_back_by_itself_and_is_put_back_by_hand_at_last_may_come_again() -> None:
    """Somebody mended the way back, and took nothing back: it had gone back by itself."""
    bench = Bench()
    operation_id = bench.open()
    bench.steps_until(operation_id, "Watching")
    bench.world.containers["web"].paused = True
    bench.world.behaviours[old_digest(bench)] = Behaviour(startable=False)
    assert bench.run(operation_id).outcome is Outcome.ROLLBACK_FAILED
    bench.world.behaviours[old_digest(bench)] = GOOD
    assert bench.updater.resolve(WEB, Resolution.RESTORE, by="ada").outcome is Outcome.ROLLED_BACK
    assert bench.updater.rollbacks.quarantined() == ()


def test_a_failed_rollback_is_restored_once_the_cause_is_gone() -> None:
    bench = stuck()
    bench.world.behaviours[old_digest(bench)] = GOOD
    assert bench.updater.resolve(WEB, Resolution.RESTORE, by="ada").outcome is Outcome.ROLLED_BACK
    assert bench.running == {"web": "1.0.0"}
    assert list(bench.world.containers) == ["web"]


def test_a_failed_rollback_that_is_restored_in_vain_waits_for_a_person_again() -> None:
    bench = stuck()
    assert bench.updater.resolve(WEB, Resolution.RESTORE, by="ada").outcome is Outcome.ROLLBACK_FAILED
    assert len(bench.store.unfinished()) == 1


def test_a_failed_rollback_can_be_let_be() -> None:
    bench = stuck()
    bench.updater.resolve(WEB, Resolution.ABANDON, by="ada")
    assert bench.store.unfinished() == ()


def test_a_failed_rollback_raises_a_critical_alert_that_says_what_to_do() -> None:
    (alert,) = stuck().recorder.alerts
    assert str(alert.severity) == "critical"
    assert "resolve" in alert.remedy


def test_a_held_version_that_has_died_meanwhile_is_not_kept() -> None:
    """The old version would be removed for one that does not run."""
    bench = held()
    container = bench.world.containers["web"]
    container.running, container.exit_code = False, 1
    with pytest.raises(RollbackError, match="does not run") as raised:
        bench.updater.resolve(WEB, Resolution.KEEP_NEW, by="ada")
    assert raised.value.code == "new_version_not_ready"
    assert bench.updater.resolve(WEB, Resolution.RESTORE, by="ada").outcome is Outcome.ROLLED_BACK
    assert bench.running == {"web": "1.0.0"}


@pytest.mark.parametrize("is_finished", [False, True], ids=["decided", "carried out"])
def test_of_two_people_who_decide_at_once_the_first_is_heard(is_finished: bool) -> None:
    """A second decision in the journal would make it one that no updater can read any more."""
    bench = held()
    other = bench.process()
    (opened,) = bench.store.unfinished()
    load, hurried = bench.store.load, []

    def somebody_is_faster(operation_id: str) -> Any:
        if not hurried:
            hurried.append("bob")
            other.rollbacks.decide(WEB, Resolution.RESTORE, by="bob")
            if is_finished:
                other.recover()
        return load(operation_id)

    def observe(*arguments: Any, **keywords: Any) -> Any:
        bench.store.load = somebody_is_faster
        return seen

    seen = bench.updater.executor.observe(opened.operation_id)
    bench.updater.executor.observe = observe
    with pytest.raises(RollbackError, match=r"decided about .* first"):
        bench.updater.resolve(WEB, Resolution.KEEP_NEW, by="ada")
    bench.process().recover()
    assert bench.state(opened.operation_id) == "RolledBack"


def test_there_is_nothing_to_resolve_where_nothing_waits() -> None:
    bench = Bench()
    with pytest.raises(RollbackError, match="waits for a person"):
        bench.updater.resolve(WEB, Resolution.RESTORE, by="ada")
    bench.open()
    with pytest.raises(RollbackError, match="waits for a person"):
        bench.updater.resolve(WEB, Resolution.RESTORE, by="ada")


# --- quarantine ---------------------------------------------------------------------------------------------


def test_a_bad_release_is_in_quarantine_until_a_person_allows_it_again() -> None:
    bench = Bench()
    update = bench.plan(behaviour=CRASHES)
    digest = update.changes[0].new.digest
    assert bench.run(update).outcome is Outcome.ROLLED_BACK
    (entry,) = bench.updater.rollbacks.quarantined()
    assert (entry.asset_id, entry.digest, entry.version) == (WEB, digest, "1.1.0")
    assert entry.reason
    bench.clock.advance(DAY_S)
    bench.world.behaviours[digest] = GOOD
    assert bench.apply() == ()
    allowed = bench.updater.rollbacks.allow_again(WEB, digest, by="ada")
    assert allowed.lifted_by == "ada"
    assert bench.updater.rollbacks.quarantined() == ()
    assert bench.updater.rollbacks.quarantined(include_lifted=True) == (allowed,)
    assert outcomes(bench.apply()) == [Outcome.SUCCEEDED]


def test_only_what_is_in_quarantine_can_be_allowed_again() -> None:
    with pytest.raises(RollbackError, match="not in quarantine") as raised:
        Bench().updater.rollbacks.allow_again(WEB, "sha256:" + "0" * 64, by="ada")
    assert raised.value.code == "not_quarantined"


def test_an_entry_that_somebody_writes_meanwhile_is_not_lost_by_allowing_the_one_before() -> None:
    bench = Bench()
    bench.run(bench.plan(behaviour=CRASHES))
    (entry,) = bench.updater.rollbacks.quarantined()
    again = attrs.evolve(entry, operation_id="another", reason="it failed again")
    get = bench.store.get

    def overtaken(kind: str, key: str) -> Any:
        found = get(kind, key)
        bench.store.put(kind, key, again)
        return found

    bench.store.get = overtaken
    with pytest.raises(VersionConflict):
        bench.updater.rollbacks.allow_again(WEB, entry.digest, by="ada")
    assert bench.updater.rollbacks.quarantined() == (again,)


def test_a_bad_digest_that_is_offered_under_100_tags_for_30_days_is_tried_once() -> None:
    bench = Bench()
    digest = bench.publish("1.1.0", CRASHES)
    seen: list[Outcome] = []
    for day in range(30):
        for number in range(4 * day, min(4 * day + 4, 100)):
            bench.world.publish(f"web:1.{number + 2}.0", digest=digest)
        for _ in range(2):
            seen += outcomes(bench.apply())
            bench.clock.advance(DAY_S / 2)
    assert len(bench.world.tags["docker.io/library/web"]) > 100
    assert [outcome for outcome in seen if outcome is not Outcome.REFUSED] == [Outcome.ROLLED_BACK]
    assert len(list(bench.store.iterate("rollback"))) == 1
    assert bench.running == {"web": "1.0.0"}
    assert bench.updater.inventory.get(WEB).status is AssetStatus.ROLLED_BACK


# --- retention ----------------------------------------------------------------------------------------------


def kept(bench: Bench) -> list[str]:
    """The versions whose snapshots are there, oldest first."""
    found = sorted((stored.value for _, stored in bench.store.iterate("snapshot")), key=lambda s: s.taken_at)
    return [str(snapshot.data["image"]).partition(":")[2].partition("@")[0] for snapshot in found]


@pytest.mark.parametrize(("keep", "left"), [(0, []), (1, ["1.2.0"]), (2, ["1.1.0", "1.2.0"])])
def test_the_newest_previous_versions_are_kept_and_older_ones_let_go(keep: int, left: list[str]) -> None:
    bench = Bench(policy_with(rollback={"keep_previous": keep}))
    for number in (1, 2, 3):
        assert bench.run(bench.plan(f"1.{number}.0")).succeeded
        bench.clock.advance(60.0)
    removed = bench.updater.rollbacks.collect()
    assert kept(bench) == left
    assert len(removed) == 3 - len(left)
    assert len(bench.world.kept) == len(left)
    assert bench.updater.rollbacks.collect() == ()


def test_what_is_older_than_retain_is_let_go() -> None:
    bench = Bench(policy_with(rollback={"retain": "7d"}))
    assert bench.run(bench.plan()).succeeded
    bench.clock.advance(6.9 * DAY_S)
    assert bench.updater.rollbacks.collect() == ()
    bench.clock.advance(0.2 * DAY_S)
    assert len(bench.updater.rollbacks.collect()) == 1
    with pytest.raises(RollbackError, match="no snapshot"):
        bench.updater.rollback(WEB, by="ada")


def test_the_snapshot_of_an_open_operation_is_kept_however_old() -> None:
    bench = held()
    bench.clock.advance(365 * DAY_S)
    assert bench.updater.rollbacks.collect() == ()
    assert bench.updater.resolve(WEB, Resolution.RESTORE, by="ada").outcome is Outcome.ROLLED_BACK


def test_a_failed_attempt_takes_no_place_among_the_previous_versions() -> None:
    bench = Bench()
    assert bench.run(bench.plan()).succeeded
    bench.clock.advance(60.0)
    assert bench.run(bench.plan("1.2.0", CRASHES)).outcome is Outcome.ROLLED_BACK
    bench.updater.rollbacks.collect()
    assert kept(bench) == ["1.0.0"]
    assert bench.updater.rollback(WEB, by="ada").succeeded
    assert bench.running == {"web": "1.0.0"}


def test_what_a_rollback_under_way_brings_back_is_kept_however_old() -> None:
    bench = Bench(policy_with(rollback={"retain": "7d"}))
    assert bench.run(bench.plan()).succeeded
    bench.updater.executor.stop()
    assert bench.updater.rollback(WEB, by="ada").outcome is Outcome.INTERRUPTED
    bench.clock.advance(8 * DAY_S)
    bench.updater = bench.process()
    assert bench.updater.rollbacks.collect() == ()
    bench.updater.recover()
    assert len(bench.updater.rollbacks.collect()) == 1
