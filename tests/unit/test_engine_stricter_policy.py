"""A policy that becomes stricter while an update is under way: it stops or goes back, nobody is blamed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import attrs
import pytest

from safeupdater.codec import decode_event, encode_event
from safeupdater.config import Policy
from safeupdater.domain.asset import Asset
from safeupdater.domain.operation import AbortRequested, Blame, OperationPlanned, Outcome, VerdictReached
from safeupdater.errors import PluginError
from safeupdater.protocols import AssetPolicy
from safeupdater.update.review import PolicyReview
from tests.support.engine import POLICY, WEB, Bench, outcomes, policy_with


class ChangingPolicy:
    """A policy that can be replaced while updates are under way."""

    def __init__(self, present: Policy) -> None:
        self.present = present

    def for_asset(self, asset: Asset) -> AssetPolicy:
        return self.present.for_asset(asset)

    def defaults(self) -> AssetPolicy:
        return self.present.defaults()


LONG = policy_with(health={"window": "5m", "interval": "10s"})
STRICTER: dict[str, dict[str, Any]] = {
    "off": {**LONG, "enabled": False},
    "frozen": {**LONG, "freeze": "quarter end"},
    "frozen days": {**LONG, "freezes": [{"from": "2020-01-01", "to": "2099-01-01"}]},
    "skipped": {**LONG, "skip_versions": ["1.1.0"]},
    "size": {**LONG, "semver_gates": {"minor": "skip"}},
}
MILDER_OR_OTHER: dict[str, dict[str, Any]] = {
    "auto": {**LONG, "semver_gates": {"minor": "auto", "major": "auto"}},
    "review": {**LONG, "semver_gates": {"minor": "manual"}},
    "window closed": {**LONG, "windows": [{"days": "mon", "from": "03:00", "to": "03:01"}]},
    "health": policy_with(health={"window": "1h"}),
    "too young now": {**LONG, "minimum_age": "30d"},
}


def under_way(state: str) -> tuple[Bench, ChangingPolicy, str]:
    bench = Bench(LONG)
    policy = ChangingPolicy(bench.policy)
    bench.updater = bench.process(policy=policy)
    operation_id = bench.open()
    bench.steps_until(operation_id, state)
    return bench, policy, operation_id


@pytest.mark.parametrize("name", STRICTER)
def test_before_the_switch_a_stricter_policy_aborts_and_nothing_was_touched(name: str) -> None:
    bench, policy, operation_id = under_way("Staging")
    before = bench.world.containers["web"].id
    policy.present = Policy.from_dict(STRICTER[name])

    result = bench.run(operation_id)

    assert (result.outcome, result.code) == (Outcome.ABORTED, "abort_requested")
    assert [item.id for item in bench.world.containers.values()] == [before]
    assert bench.updater.rollbacks.quarantined() == ()


@pytest.mark.parametrize("state", ["Settling", "Watching"])
@pytest.mark.parametrize("name", STRICTER)
def test_while_it_is_watched_a_stricter_policy_brings_the_old_version_back(name: str, state: str) -> None:
    bench, policy, operation_id = under_way(state)
    policy.present = Policy.from_dict(STRICTER[name])

    result = bench.run(operation_id)

    assert result.outcome is Outcome.ROLLED_BACK
    assert "the policy asked to stop" in result.message
    assert bench.running == {"web": "1.0.0"}
    (verdict,) = (event for event in bench.recorder.events if isinstance(event, VerdictReached))
    assert verdict.blame is Blame.REQUEST
    assert bench.updater.rollbacks.quarantined() == ()


@pytest.mark.parametrize("state", ["Staging", "Watching"])
@pytest.mark.parametrize("name", MILDER_OR_OTHER)
def test_any_other_change_lets_it_finish_under_the_policy_that_it_began_with(name: str, state: str) -> None:
    bench, policy, operation_id = under_way(state)
    policy.present = Policy.from_dict(MILDER_OR_OTHER[name])
    began_s = bench.clock.monotonic()
    assert bench.run(operation_id).outcome is Outcome.SUCCEEDED
    assert bench.clock.monotonic() - began_s < 400


def test_a_label_that_turns_updates_off_is_noticed_at_the_next_scan() -> None:
    bench, _, operation_id = under_way("Watching")
    stored = bench.store.get("asset", WEB)
    off = attrs.evolve(stored.value, labels={"safeupdater.enable": "false"})
    bench.store.put("asset", WEB, off)
    assert bench.run(operation_id).outcome is Outcome.ROLLED_BACK


def test_after_the_verdict_it_is_too_late() -> None:
    bench, policy, operation_id = under_way("Committing")
    policy.present = Policy.from_dict(STRICTER["frozen"])
    assert bench.run(operation_id).outcome is Outcome.SUCCEEDED


def test_going_back_by_hand_is_never_forbidden() -> None:
    bench = Bench(LONG)
    policy = ChangingPolicy(bench.policy)
    bench.updater = bench.process(policy=policy)
    assert bench.run(bench.plan()).succeeded
    policy.present = Policy.from_dict(STRICTER["frozen"])
    assert bench.updater.rollback(WEB, by="ada").succeeded
    assert bench.running == {"web": "1.0.0"}


def test_a_policy_that_cannot_be_asked_changes_nothing_for_what_has_begun() -> None:
    bench, policy, operation_id = under_way("Watching")
    policy.present = Policy.from_dict({**LONG, "gates": ["nobody-offers-this"]})
    assert bench.run(operation_id).outcome is Outcome.SUCCEEDED


def test_who_takes_over_asks_the_policy_of_then() -> None:
    bench, _, operation_id = under_way("Watching")
    bench.kill(bench.updater)
    late = bench.process(policy=Policy.from_dict(STRICTER["frozen"]))
    (result,) = late.recover()
    assert (result.operation_id, result.outcome) == (operation_id, Outcome.ROLLED_BACK)


# --- a policy that raises -----------------------------------------------------------------------------------


class RaisingPolicy(ChangingPolicy):
    """A plugin's policy that raises when it is told to, or answers nonsense."""

    answer: Any = None

    def for_asset(self, asset: Asset) -> AssetPolicy:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer or super().for_asset(asset)


@pytest.mark.parametrize("answer", [KeyError("s3cret"), "nonsense"])
def test_a_policy_that_raises_while_an_update_is_watched_ends_nothing(answer: Any) -> None:
    bench = Bench(LONG)
    policy = RaisingPolicy(bench.policy)
    bench.updater = bench.process(policy=policy)
    operation_id = bench.open()
    bench.steps_until(operation_id, "Watching")
    policy.answer = answer
    assert bench.run(operation_id).outcome is Outcome.SUCCEEDED


def test_a_policy_that_raises_forbids_no_recovery() -> None:
    bench, policy, _ = under_way("Watching")
    bench.kill(bench.updater)
    broken = RaisingPolicy(policy.present)
    broken.answer = KeyError("s3cret")
    assert outcomes(bench.process(policy=broken).recover()) == [Outcome.SUCCEEDED]


def test_under_a_policy_that_raises_nothing_begins() -> None:
    bench = Bench(policy_with(semver_gates={"minor": "manual"}))
    policy = RaisingPolicy(bench.policy)
    bench.updater = bench.process(policy=policy)
    planned = bench.plan()
    policy.answer = KeyError("s3cret")
    result = bench.run(planned)
    assert (result.outcome, result.code) == (Outcome.REFUSED, "plugin_error")
    assert result.message == "the policy raised KeyError"
    for ask in (bench.updater.plan, lambda: bench.updater.approve(planned, approver="ada")):
        with pytest.raises(PluginError, match="the policy raised KeyError"):
            ask()


# --- the file -----------------------------------------------------------------------------------------------


def written(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o600)


def test_a_file_that_is_changed_while_an_update_is_watched_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    mild = "version: 1\nsemver_gates: {minor: auto}\nhealth: {window: 5m}\n"
    written(path, mild)
    bench = Bench()
    bench.updater = bench.process(policy=Policy.load(path))
    operation_id = bench.open()
    bench.steps_until(operation_id, "Watching")
    written(path, mild + "freeze: incident 12\n")

    result = bench.run(operation_id)

    assert result.outcome is Outcome.ROLLED_BACK
    assert "incident 12" in result.message
    asked = [event for event in bench.recorder.events if isinstance(event, AbortRequested)]
    assert [event.by for event in asked] == ["the policy"]


ALLOWS = "version: 1\nsemver_gates: {major: auto}\nhealth: {window: 5m}\n"
SKIPS = "version: 1\nsemver_gates: {major: skip}\n"


def interrupted_under(path: Path) -> Bench:
    """A major update, watched under the policy of a file, whose process is gone."""
    bench = Bench()
    bench.updater = bench.process(policy=Policy.load(path))
    bench.steps_until(bench.open("2.0.0"), "Watching")
    bench.kill(bench.updater)
    return bench


@pytest.mark.parametrize(
    ("text", "outcome"),
    [
        (SKIPS, Outcome.SUCCEEDED),
        ("version: 1\nskip_versions: [2.0.0]\n", Outcome.SUCCEEDED),
        ("version: 1\nfreeze: incident 12\n", Outcome.ROLLED_BACK),
        ("version: 1\nenabled: false\n", Outcome.ROLLED_BACK),
    ],
)
def test_who_recovers_under_another_file_turns_back_only_what_nothing_may_touch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, outcome: Outcome
) -> None:
    for folder, content in (("one", ALLOWS), ("other", text)):
        (tmp_path / folder).mkdir()
        written(tmp_path / folder / "policy.yaml", content)
    monkeypatch.chdir(tmp_path / "one")
    bench = interrupted_under(Path("policy.yaml"))
    monkeypatch.chdir(tmp_path / "other")
    other = bench.process(policy=Policy.find(environ={}))
    assert outcomes(other.recover()) == [outcome]


def test_who_recovers_under_the_built_in_policy_finishes_what_a_file_allowed(tmp_path: Path) -> None:
    written(tmp_path / "policy.yaml", ALLOWS)
    bench = interrupted_under(tmp_path / "policy.yaml")
    assert outcomes(bench.process(policy=Policy.default()).recover()) == [Outcome.SUCCEEDED]


def test_who_recovers_under_the_same_file_goes_by_what_it_says_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "policy.yaml"
    written(path, ALLOWS)
    bench = interrupted_under(path)
    written(path, SKIPS)
    monkeypatch.chdir(tmp_path)
    assert outcomes(bench.process(policy=Policy.find(environ={})).recover()) == [Outcome.ROLLED_BACK]


def test_a_label_counts_under_any_policy(tmp_path: Path) -> None:
    written(tmp_path / "policy.yaml", ALLOWS)
    bench = interrupted_under(tmp_path / "policy.yaml")
    off = attrs.evolve(bench.store.get("asset", WEB).value, labels={"safeupdater.enable": "false"})
    bench.store.put("asset", WEB, off)
    assert outcomes(bench.process(policy=Policy.default()).recover()) == [Outcome.ROLLED_BACK]


def test_a_journal_that_says_nothing_of_the_origin_is_read_and_goes_on() -> None:
    bench, _, operation_id = under_way("Watching")
    entry = bench.store.load(operation_id)[0]
    written_before = encode_event(entry.event)
    del written_before["settings"]["policy_origin"]
    old = decode_event(written_before)
    assert isinstance(old, OperationPlanned)
    assert old.settings.policy_origin == ""
    strict = PolicyReview(Policy.from_dict(STRICTER["size"]), bench.store)
    frozen = PolicyReview(Policy.from_dict(STRICTER["frozen"]), bench.store)
    assert strict.objection(old, bench.clock.now()) is None
    assert frozen.objection(old, bench.clock.now()) is not None


def test_a_file_that_is_broken_meanwhile_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    written(path, "version: 1\nsemver_gates: {minor: auto}\n")
    bench = Bench()
    bench.updater = bench.process(policy=Policy.load(path))
    operation_id = bench.open()
    bench.steps_until(operation_id, "Watching")
    written(path, "version: [\n")
    assert bench.run(operation_id).outcome is Outcome.SUCCEEDED


def test_a_policy_is_read_again_only_when_its_file_changed(tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    written(path, "version: 1\n")
    policy = Policy.load(path)
    assert policy.reread() is policy
    os.utime(path, ns=(1, 1))
    again = policy.reread()
    assert again is not policy
    assert again == policy
    assert again.reread() is again
    fixed = Policy.from_dict(POLICY)
    assert fixed.reread() is fixed
