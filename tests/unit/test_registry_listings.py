"""Listings that lie, through the real client and the real planning: never a downgrade, never "current".

Rows B11 and B12 of the registry part of the security checklist: what is listed is empty, a part, in another
order, or as it was long ago, while the registry goes on serving what runs.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterator

import attrs
import pytest

from safeupdater.config import Policy
from safeupdater.domain.asset import Asset, AssetType
from safeupdater.domain.plan import Plan
from safeupdater.domain.version import Version
from safeupdater.registries.oci import RegistryClient
from safeupdater.update.planning import plan_updates
from testbed.registry_world import QUICK, World, image
from testbed.scripted_registry import Exchange, Reply

OLDER = tuple(f"1.{minor}.0" for minor in range(30))
RUNNING, NEWER = "1.30.0", ("1.30.1", "1.31.0", "2.0.0")
EVERYTHING = [*OLDER, RUNNING, *NEWER]
APP = image(f"shop/app:{RUNNING}")
PATIENT = attrs.evolve(QUICK, connect_s=5, read_s=10, total_s=20, call_s=60, slow_after_s=5)
POLICY = Policy.from_dict(
    {"version": 1, "semver_gates": dict.fromkeys(("patch", "minor", "major"), "auto") | {"digest": "auto"}}
)


class Liar:
    """A registry that serves everything and lists what it is told to; a client and an asset for it."""

    def __init__(self, world: World) -> None:
        registry = world.serve(self._listing)
        registry.repository("shop/app", EVERYTHING)
        self.client: RegistryClient = world.client(limits=PATIENT)
        self.now = world.clock.now
        self.listed = list(EVERYTHING)
        digest = self.client.resolve(APP, "linux/amd64").reference.digest
        assert digest is not None
        self.asset = Asset(
            id="docker://test/app", name="app", image=APP, digests=frozenset({digest}),
            asset_type=AssetType.CONTAINER,
        )  # fmt: skip

    def _listing(self, exchange: Exchange, reply: Reply) -> Reply:
        if exchange.kind != "tags":
            return reply
        return attrs.evolve(reply, body=json.dumps({"name": "shop/app", "tags": self.listed}).encode())

    def plan(self, listed: list[str]) -> Plan:
        """What is planned when this is what the registry lists."""
        self.listed = listed
        self.client.forget()
        return plan_updates([self.asset], self.client, POLICY, now=self.now())


@pytest.fixture
def liar() -> Iterator[Liar]:
    with World() as world:
        yield Liar(world)


def lying_list(chance: random.Random) -> list[str]:
    """Nothing, a part, the beginning (an older time), or all of it; in any order."""
    kept = chance.choice([0, chance.randint(1, len(EVERYTHING)), len(EVERYTHING)])
    chosen = EVERYTHING[:kept] if chance.random() < 0.5 else chance.sample(EVERYTHING, kept)
    return chance.sample(chosen, len(chosen))


def newest_of(listed: list[str]) -> str:
    return max(listed, key=EVERYTHING.index)


def outcome_of(plan: Plan, listed: list[str]) -> str:
    """What became of the one asset; every promise about it is checked on the way."""
    if plan.unknown:
        (unknown,) = plan.unknown
        assert (plan.updates, plan.current) == ((), ())
        return unknown.code
    assert RUNNING in listed, "a list that hides what runs was believed"
    if plan.current:
        assert newest_of(listed) == RUNNING
        return "current"
    (update,) = plan.updates
    for change in (*update.changes, *(option.change for option in update.alternatives)):
        assert Version.parse(change.new.tag or "") > Version.parse(RUNNING), "a downgrade"
    assert update.is_approved
    (change,) = update.changes
    assert change.new.tag == newest_of(listed)
    return "update"


def test_without_a_lie_the_newest_is_planned(liar: Liar) -> None:
    assert outcome_of(liar.plan(EVERYTHING), EVERYTHING) == "update"
    assert outcome_of(liar.plan([*OLDER, RUNNING]), [*OLDER, RUNNING]) == "current"


@pytest.mark.parametrize(
    "listed",
    [[], list(OLDER), ["1.0.0"], [tag for tag in EVERYTHING if tag != RUNNING], [*NEWER]],
    ids=["B12 empty", "B12 an older time", "B12 one old tag", "B12 without what runs", "B12 newer ones only"],
)
def test_a_list_that_hides_what_runs_makes_it_unknown(liar: Liar, listed: list[str]) -> None:
    assert outcome_of(liar.plan(listed), listed) == "suspicious_listing"


def test_a_list_that_lost_more_than_half_is_believed_only_when_it_comes_twice(liar: Liar) -> None:
    assert outcome_of(liar.plan(EVERYTHING), EVERYTHING) == "update"
    short = ["1.30.0", "1.30.1"]
    assert outcome_of(liar.plan(short), short) == "suspicious_listing"
    assert outcome_of(liar.plan(short), short) == "update"


def test_of_5_000_lying_lists_none_brings_a_downgrade_or_hides_an_update(liar: Liar) -> None:
    chance = random.Random(20260601)
    counted: Counter[str] = Counter()
    for _ in range(5000):
        listed = lying_list(chance)
        counted[outcome_of(liar.plan(listed), listed)] += 1
    assert set(counted) == {"update", "current", "suspicious_listing"}
    assert counted["suspicious_listing"] > 1000
    assert counted["update"] > 1000
