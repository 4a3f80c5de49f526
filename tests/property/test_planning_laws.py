"""Laws of planning: order means nothing, hashes mean exactly what they cover, nothing is lost."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import attrs
from hypothesis import given
from hypothesis import strategies as st

from safeupdater.codec import plan_from_json, plan_to_json
from safeupdater.domain.asset import Asset
from safeupdater.domain.decision import Verdict
from safeupdater.domain.plan import Plan, PlannedUpdate
from safeupdater.testing.strategies import plans
from tests.support.planning import CountingTags, asset, container, digest_of, plan, registry

_numbers = st.integers(0, 3)
_suffixes = st.sampled_from(["", "", "", "-alpine", "-rc.1"])
_tags = st.builds("{}.{}.{}{}".format, st.integers(1, 3), _numbers, _numbers, _suffixes)
_listings = st.lists(
    _tags | st.sampled_from(["latest", "edge", "sha-1a2b3c4"]), unique=True, min_size=3, max_size=12
)
_running = st.sampled_from(["1.0.0", "1.0.0", "1.0.1", "1.1.0", "1.0.0-alpine", "latest"])
_actions = st.sampled_from(["auto", "review", "manual", "skip"])
_policies = st.fixed_dictionaries(
    {}, optional={"semver_gates": st.dictionaries(st.sampled_from(["patch", "minor", "major"]), _actions)}
)


@st.composite
def _worlds(draw: st.DrawFn) -> tuple[list[Asset], dict[str, list[str]]]:
    """A few containers and workloads, and what their repositories list."""
    names = draw(st.lists(st.sampled_from(["app", "db", "proxy"]), min_size=2, max_size=3, unique=True))
    listings = {f"example/{name}": draw(_listings) for name in names}
    assets = []
    for number, name in enumerate(names):
        running = draw(_running)
        listings[f"example/{name}"] = sorted({*listings[f"example/{name}"], running})
        image = f"example/{name}:{running}"
        assets.append(asset(image, f"docker://prod/{name}{number}"))
        assets.append(container(name, image, workload="shop"))
    return assets, listings


@given(world=_worlds(), policy=_policies, seed=st.integers())
def test_shuffling_assets_and_tags_changes_nothing(
    world: tuple[list[Asset], dict[str, list[str]]], policy: dict[str, Any], seed: int
) -> None:
    assets, listings = world
    before = plan(assets, listings, policy)
    dice = random.Random(seed)
    shuffled = {name: dice.sample(tags, len(tags)) for name, tags in listings.items()}
    after = plan(dice.sample(assets, len(assets)), shuffled, policy)
    assert after == before
    assert after.hash == before.hash


@given(world=_worlds(), policy=_policies)
def test_every_asset_is_in_the_plan_exactly_once(
    world: tuple[list[Asset], dict[str, list[str]]], policy: dict[str, Any]
) -> None:
    assets, listings = world
    made = plan(assets, listings, policy)
    moving = {
        asset_id
        for update in made.updates
        for asset_id in [
            *(change.asset_id for change in update.changes),
            *(option.change.asset_id for option in update.alternatives),
        ]
    }
    counted = Counter([*moving, *made.current, *(item.asset_id for item in made.unknown)])
    assert counted == Counter(item.id for item in assets)


@given(world=_worlds(), policy=_policies)
def test_each_decision_is_told_once_and_is_the_one_in_the_plan(
    world: tuple[list[Asset], dict[str, list[str]]], policy: dict[str, Any]
) -> None:
    notices: list[Any] = []
    made = plan(*world, policy, notices=notices)
    told = Counter(notice.change for notice in notices)
    planned = Counter(
        change
        for update in made.updates
        for change in [*update.changes, *(option.change for option in update.alternatives)]
    )
    assert set(told.values()) <= {1}
    assert planned <= told


@given(world=_worlds(), policy=_policies)
def test_what_is_chosen_is_never_stricter_than_an_alternative_of_the_same_asset(
    world: tuple[list[Asset], dict[str, list[str]]], policy: dict[str, Any]
) -> None:
    for update in plan(*world, policy).updates:
        for option in update.alternatives:
            if (
                update.changes == (update.changes[0],)
                and option.change.asset_id == update.changes[0].asset_id
            ):
                assert update.decision.verdict <= option.decision.verdict


@given(world=_worlds(), policy=_policies, failing=st.sampled_from(["app", "db", "proxy"]))
def test_a_registry_that_fails_leaves_nothing_current(
    world: tuple[list[Asset], dict[str, list[str]]], policy: dict[str, Any], failing: str
) -> None:
    from safeupdater.errors import RegistryError
    from safeupdater.registries.static import StaticTags

    assets, listings = world
    error = RegistryError("down", code="unreachable")
    tags = StaticTags(listings, failures={f"example/{failing}": error})
    made = plan(assets, tags, policy)
    asked = {item.id for item in assets if item.image.name.endswith(failing)}
    assert asked.isdisjoint(made.current)
    assert asked <= {item.asset_id for item in made.unknown}


@given(world=_worlds(), policy=_policies)
def test_each_repository_is_listed_once(
    world: tuple[list[Asset], dict[str, list[str]]], policy: dict[str, Any]
) -> None:
    assets, listings = world
    tags = CountingTags(registry(listings))
    plan(assets, tags, policy)
    assert len(set(tags.resolved)) <= len(tags.resolved)
    assert len(tags.batches) == 1


# --- hashes -------------------------------------------------------------------------------------------------


def _first(made: Plan) -> PlannedUpdate | None:
    return next(iter(made.updates), None)


@given(made=plans())
def test_a_plan_comes_back_from_json_as_it_was(made: Plan) -> None:
    again = plan_from_json(plan_to_json(made))
    assert again == made
    assert again.hash == made.hash


@given(made=plans(), verdict=st.sampled_from(Verdict))
def test_the_hash_of_an_update_covers_neither_words_nor_alternatives(made: Plan, verdict: Verdict) -> None:
    update = _first(made)
    if update is None:
        return
    other = attrs.evolve(
        update, decision=attrs.evolve(update.decision, verdict=verdict, reasons=()), alternatives=()
    )
    assert other.hash == update.hash


@given(made=plans(), text=st.text(min_size=1))
def test_the_hash_of_an_update_covers_target_digests_and_policy(made: Plan, text: str) -> None:
    update = _first(made)
    if update is None:
        return
    first = update.changes[0]
    other_bits = attrs.evolve(first, new=attrs.evolve(first.new, digest=digest_of(text)))
    from_other_bits = attrs.evolve(first, current=attrs.evolve(first.current, digest=digest_of(text)))
    others = [
        attrs.evolve(update, target_id=update.target_id + "x"),
        attrs.evolve(update, policy_hash=update.policy_hash + "x"),
        attrs.evolve(update, changes=(other_bits, *update.changes[1:])),
        attrs.evolve(update, changes=(from_other_bits, *update.changes[1:])),
    ]
    assert len({update.hash, *(other.hash for other in others)}) == 5


@given(policy=_policies, other=_policies, days=st.integers(0, 9), listed=_listings)
def test_the_hash_follows_the_effective_policy_and_never_the_time_or_the_other_tags(
    policy: dict[str, Any], other: dict[str, Any], days: int, listed: list[str]
) -> None:
    from tests.support.planning import DAY, NOW, Policy

    tags = {"example/web": ["1.0.0", "1.0.1"]}
    before = plan(asset(), tags, policy).updates[0]
    later = plan(asset(), tags, policy, now=NOW + days * DAY).updates[0]
    assert later.hash == before.hash
    prints = [Policy.from_dict(item).for_asset(asset()).fingerprint for item in (policy, other)]
    under_other = plan(asset(), tags, other).updates[0]
    assert (under_other.hash == before.hash) is (prints[0] == prints[1])
    crowded = plan(asset(), {"example/web": [*tags["example/web"], *listed]}, policy).updates
    for update in crowded:
        if update.changes == before.changes:
            assert update.hash == before.hash
