"""A tag that is pushed again and again: the third digest within a day wants a person to look."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from safeupdater.domain.artifact import ImageReference
from safeupdater.domain.candidate import Candidate
from safeupdater.domain.change import Change, VersionChangeType
from safeupdater.domain.decision import Verdict
from safeupdater.gates import TagStability
from safeupdater.gates.stability import HISTORY
from safeupdater.stores.memory import MemoryStore
from safeupdater.testing.clock import FakeClock
from safeupdater.update.retention import JournalRetention
from safeupdater.update.served import note_served, served_at
from tests.support.engine import Bench, policy_with
from tests.support.planning import NOW, asset, digest_of

AUTO = policy_with(semver_gates={"digest": "auto", "minor": "auto"})


class Pushed:
    """The tag ``web:1.0.0``, pushed again and again; every round is a new process."""

    def __init__(self) -> None:
        self.bench = Bench(AUTO)

    def push(self, text: str, after: timedelta = timedelta(hours=1)) -> tuple[str, str]:
        """Pushes other bits; the verdict and the code that decided on them."""
        self.bench.clock.advance(after.total_seconds())
        self.bench.publish("1.0.0")
        self.bench.world.publish("web:1.0.0", digest=digest_of(text))
        updater = self.bench.process()
        updater.scan()
        (update,) = updater.plan().updates
        deciding = update.decision.deciding
        return str(update.decision.verdict), deciding.code if deciding else ""


def test_the_third_digest_of_a_day_needs_a_review() -> None:
    pushed = Pushed()
    assert pushed.push("one")[0] == "approve"
    assert pushed.push("two")[0] == "approve"
    assert pushed.push("three") == ("review_required", "tag_unstable")


def test_a_digest_that_comes_back_is_a_move_as_well() -> None:
    pushed = Pushed()
    pushed.push("one")
    pushed.push("two")
    assert pushed.push("one") == ("review_required", "tag_unstable")


def test_looking_again_at_the_same_bits_is_no_move() -> None:
    pushed = Pushed()
    for _ in range(10):
        assert pushed.push("one")[0] == "approve"


def test_one_push_a_day_is_a_habit() -> None:
    pushed = Pushed()
    for text in ("one", "two", "three", "four"):
        assert pushed.push(text, timedelta(hours=13))[0] == "approve"


def test_a_tag_that_settled_for_a_day_is_taken_again() -> None:
    pushed = Pushed()
    for text in ("one", "two", "three"):
        pushed.push(text)
    assert pushed.push("three", timedelta(hours=23))[0] == "approve"


def test_a_person_may_approve_it_and_that_holds() -> None:
    pushed = Pushed()
    for text in ("one", "two", "three"):
        pushed.push(text)
    updater = pushed.bench.updater = pushed.bench.process()
    (update,) = updater.plan().updates
    updater.approve(update, approver="ada")
    (result,) = updater.apply()
    assert result.succeeded


def test_the_history_is_bounded_and_forgotten() -> None:
    pushed = Pushed()
    for number in range(30):
        pushed.push(f"bits {number}")
    ((_, stored),) = pushed.bench.store.iterate("tag")
    assert len(stored.value.served) == 10
    pushed.bench.clock.advance(timedelta(days=91).total_seconds())
    pushed.bench.process(journal=JournalRetention()).rollbacks.collect()
    assert list(pushed.bench.store.iterate("tag")) == []


def test_a_person_who_approved_the_older_bits_does_not_make_the_tag_look_restless() -> None:
    pushed = Pushed()
    bench = pushed.bench = Bench(policy_with(semver_gates={"digest": "manual"}))
    pushed.push("one")
    updater = bench.process()
    (update,) = updater.plan().updates
    updater.approve(update, approver="ada")
    for _ in range(5):
        pushed.push("two", timedelta(minutes=5))
    for update in bench.process().plan().updates:
        decisions = [update.decision, *(option.decision for option in update.alternatives)]
        assert "tag_unstable" not in {reason.code for said in decisions for reason in said.reasons}
    ((_, stored),) = bench.store.iterate("tag")
    assert [item.digest for item in stored.value.served] == [digest_of("one"), digest_of("two")]


def test_bits_that_ran_and_came_back_are_a_move_as_well() -> None:
    pushed = Pushed()
    running = pushed.bench.world.tags["docker.io/library/web"]["1.0.0"]
    pushed.push("one")
    pushed.bench.clock.advance(60.0)
    pushed.bench.world.publish("web:1.0.0", digest=running)
    pushed.bench.process().plan()
    assert pushed.push("one") == ("review_required", "tag_unstable")


def test_two_platforms_of_one_tag_do_not_look_like_moves() -> None:
    store, new = MemoryStore(FakeClock()), ImageReference.parse("example/web:1.1.0")
    for number in range(6):
        platform = ("linux/amd64", "linux/arm64")[number % 2]
        version = new.with_digest(digest_of(platform))
        note_served(store, version, platform, NOW)
        assert served_at(store, version, platform) == (NOW,)


def test_what_others_noted_meanwhile_stands() -> None:
    store, new = MemoryStore(FakeClock()), ImageReference.parse("example/web:1.1.0")

    class Late:
        """Somebody else sees the tag move between our reading and our writing."""

        def __getattr__(self, name: str) -> Any:
            if name == "put":
                note_served(store, new.with_digest(digest_of("two")), None, NOW)
            return getattr(store, name)

    late: Any = Late()
    note_served(late, new.with_digest(digest_of("one")), None, NOW)
    ((_, stored),) = store.iterate("tag")
    assert [item.digest for item in stored.value.served] == [digest_of("two")]


@pytest.mark.parametrize(
    ("ages_h", "verdict"),
    [
        ((), Verdict.APPROVE),
        ((1, 2), Verdict.APPROVE),
        ((1, 2, 3), Verdict.REVIEW_REQUIRED),
        ((1, 2, 23.9), Verdict.REVIEW_REQUIRED),
        ((1, 2, 24), Verdict.APPROVE),
        ((-9, -8, 1), Verdict.REVIEW_REQUIRED),
    ],
)
def test_what_counts_is_the_last_day(ages_h: tuple[float, ...], verdict: Verdict) -> None:
    subject = asset()
    new = ImageReference.parse("example/web:1.1.0")
    change = Change(asset_id=subject.id, current=subject.image, new=new, change_type=VersionChangeType.MINOR)
    candidate = Candidate(asset=subject, change=change, now=NOW)
    history = tuple(NOW - timedelta(hours=age) for age in ages_h)
    seen = candidate.facts.with_facts({HISTORY: history})
    assert TagStability()(Candidate(asset=subject, change=change, now=NOW, facts=seen)).verdict is verdict


@pytest.mark.parametrize("history", [None, 3, "3", ("yesterday",) * 5])
def test_an_unknown_history_asks_for_nothing(history: object) -> None:
    subject = asset()
    change = Change(
        asset_id=subject.id, current=subject.image, new=subject.image, change_type=VersionChangeType.DIGEST
    )
    candidate = Candidate(asset=subject, change=change, now=NOW)
    seen = candidate.facts.with_facts({HISTORY: history})
    asked = Candidate(asset=subject, change=change, now=NOW, facts=seen)
    assert TagStability()(asked).verdict is Verdict.APPROVE
