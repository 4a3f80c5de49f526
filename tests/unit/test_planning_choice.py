"""Which version a plan takes: the newest that is approved, never hidden behind one that waits."""

from __future__ import annotations

import attrs
import pytest

from safeupdater.domain.artifact import ChartReference
from safeupdater.domain.asset import AssetType
from safeupdater.domain.candidate import Candidate
from safeupdater.domain.change import VersionChangeType
from safeupdater.domain.decision import Decision, Reason, Verdict
from safeupdater.errors import RateLimited, RegistryError
from safeupdater.gates import gate
from safeupdater.protocols import AssetPolicy
from safeupdater.registries.static import StaticTags
from safeupdater.update.planning import plan_updates
from tests.support.planning import (
    DAY,
    NOW,
    WEB,
    CountingTags,
    ages,
    asset,
    container,
    decided,
    digest_of,
    only,
    plan,
    registry,
    versions,
)

STEPS = ["1.0.0", "1.0.1", "1.0.2", "1.1.0", "1.2.0", "2.0.0", "3.0.0"]


# --- steps --------------------------------------------------------------------------------------------------


def test_the_newest_of_each_step_is_decided_and_an_approved_patch_is_not_hidden() -> None:
    update = only(plan(asset(), {"example/web": STEPS}))
    assert versions(update) == ["1.0.2"]
    assert decided(update) == {
        "3.0.0": "manual_approval",
        "1.2.0": "review_required",
        "1.0.2": "approve",
    }


def test_the_newest_approved_version_is_taken() -> None:
    allowed = {"semver_gates": {"patch": "auto", "minor": "auto", "major": "manual"}}
    assert versions(only(plan(asset(), {"example/web": STEPS}, allowed))) == ["1.2.0"]


def test_where_nothing_is_approved_the_newest_of_the_mildest_is_put_forward() -> None:
    update = only(plan(asset(), {"example/web": ["1.1.0", "1.2.0", "2.0.0"]}))
    assert (versions(update), str(update.decision.verdict)) == (["1.2.0"], "review_required")


def test_an_asset_with_nothing_newer_is_current() -> None:
    made = plan(asset(), {"example/web": ["0.9.0", "1.0.0"]})
    assert (made.current, made.updates, made.unknown) == ((WEB,), (), ())


def test_the_new_version_is_pinned_to_the_digest_that_was_decided_on() -> None:
    (change,) = only(plan(asset(), {"example/web": ["1.0.0", "1.0.1"]})).changes
    assert change.new.digest == digest_of("example/web:1.0.1")
    assert change.current.digest == digest_of("example/web:1.0.0")


def test_a_constraint_keeps_other_versions_out_of_the_plan() -> None:
    update = only(plan(asset(), {"example/web": STEPS}, {"constraint": "<1.2"}))
    assert set(decided(update)) == {"1.0.2", "1.1.0"}


def test_every_decision_is_told_once() -> None:
    notices = []
    update = only(plan(asset(), {"example/web": STEPS}, notices=notices))
    told = [notice.change.new.version_text for notice in notices]
    assert sorted(told) == sorted(decided(update))
    assert {notice.asset_id for notice in notices} == {WEB}


# --- maturity -----------------------------------------------------------------------------------------------

AGED = {"minimum_age": "3d", "semver_gates": {"patch": "auto"}}


def test_an_older_version_that_is_old_enough_wins_while_the_newest_is_too_young() -> None:
    facts = ages(v1_0_1=9, v1_0_2=5, v1_0_3=1)
    update = only(plan(asset(), {"example/web": ["1.0.1", "1.0.2", "1.0.3"]}, AGED, facts=[facts]))
    assert versions(update) == ["1.0.2"]
    assert decided(update) == {"1.0.3": "defer", "1.0.2": "approve"}


def test_daily_releases_do_not_starve_an_asset() -> None:
    """A release a day with three days of waiting: the asset follows, three days behind."""
    releases = {f"v1_0_{number}": 30.0 - number for number in range(1, 31)}
    listed = [f"1.0.{number}" for number in range(1, 31)]
    update = only(plan(asset(), {"example/web": listed}, AGED, facts=[ages(**releases)]))
    assert versions(update) == ["1.0.27"]


def test_a_version_that_waits_for_time_alone_says_until_when() -> None:
    update = only(plan(asset(), {"example/web": ["1.0.1"]}, AGED, facts=[ages(v1_0_1=1)]))
    assert (update.decision.verdict, update.decision.until) == (Verdict.DEFER, NOW + 2 * DAY)


def test_a_mature_version_is_offered_for_review_rather_than_one_that_must_still_wait() -> None:
    policy = {"minimum_age": "3d", "semver_gates": {"minor": "review"}}
    facts = ages(v1_1_0=9, v1_2_0=1)
    update = only(plan(asset(), {"example/web": ["1.1.0", "1.2.0"]}, policy, facts=[facts]))
    assert versions(update) == ["1.1.0"]
    assert set(decided(update)) == {"1.1.0", "1.2.0"}


def test_a_closed_window_is_not_asked_of_every_older_version() -> None:
    notices = []
    closed = {"windows": [{"days": "sun", "from": "01:00", "to": "02:00"}]}
    update = only(plan(asset(), {"example/web": ["1.0.1", "1.0.2", "1.0.3"]}, closed, notices=notices))
    assert versions(update) == ["1.0.3"]
    assert len(notices) == 1


def test_only_so_many_older_versions_are_looked_at() -> None:
    notices = []
    listed = [f"1.0.{number}" for number in range(1, 200)]
    facts = ages(**{f"v1_0_{number}": 0.1 for number in range(1, 200)})
    update = only(plan(asset(), {"example/web": listed}, AGED, facts=[facts], notices=notices))
    assert versions(update) == ["1.0.199"]
    assert len(notices) <= 12


# --- what nobody knows --------------------------------------------------------------------------------------

DOWN = RegistryError("the registry is down", code="unreachable", transient=True)


def unknown_code(made: object) -> str:
    """The code of the one unknown asset of a plan that says nothing else."""
    assert made.updates == ()  # type: ignore[attr-defined]
    assert made.current == ()  # type: ignore[attr-defined]
    (unknown,) = made.unknown  # type: ignore[attr-defined]
    assert unknown.message
    return str(unknown.code)


def test_a_listing_that_fails_makes_the_asset_unknown() -> None:
    tags = StaticTags({"example/web": STEPS}, failures={"example/web": DOWN})
    assert unknown_code(plan(asset(), tags)) == "unreachable"


def test_a_listing_that_is_not_answered_at_all_makes_the_asset_unknown() -> None:
    class Silent(CountingTags):
        def lookup_many(self, images: object) -> dict[str, tuple[str, ...]]:
            return {}

    assert unknown_code(plan(asset(), Silent(registry({"example/web": STEPS})))) == "registry_error"


def test_a_digest_that_cannot_be_looked_up_makes_the_asset_unknown() -> None:
    tags = CountingTags(registry({"example/web": ["1.0.0", "1.0.1"]}), unresolvable={"*": DOWN})
    assert unknown_code(plan(asset(), tags)) == "unreachable"


def test_the_digest_of_the_running_tag_that_cannot_be_looked_up_makes_the_asset_unknown() -> None:
    tags = CountingTags(registry({"example/web": ["1.0.0"]}), unresolvable={"1.0.0": DOWN})
    assert unknown_code(plan(asset(), tags)) == "unreachable"


def test_an_asset_that_is_pinned_by_digest_is_unknown() -> None:
    pinned = asset(f"example/web@{digest_of('x')}", digests=frozenset())
    assert unknown_code(plan(pinned, {"example/web": STEPS})) == "pinned_by_digest"


def test_no_registry_is_asked_for_what_was_built_on_its_host() -> None:
    tags = CountingTags(registry({"example/web": STEPS}))
    built = asset(digests=frozenset(), metadata={"local_build": True})
    assert unknown_code(plan(built, tags)) == "local_build"
    assert tags.listed == tags.resolved == []


def test_a_disabled_asset_is_unknown_and_no_registry_is_asked() -> None:
    tags = CountingTags(registry({"example/web": STEPS}))
    made = plan(asset(), tags, {"enabled": False})
    assert unknown_code(made) == "disabled"
    assert tags.listed == tags.resolved == []


def test_a_floating_tag_whose_running_bits_are_not_known_is_unknown() -> None:
    floating = asset("example/web:latest", digests=frozenset())
    assert unknown_code(plan(floating, {"example/web": ["latest"]})) == "digest_unknown"


def test_a_floating_tag_of_which_the_registry_names_no_digest_is_unknown() -> None:
    tags = StaticTags({"example/web": ["latest"]})
    assert unknown_code(plan(asset("example/web:latest"), tags)) == "digest_unknown"


def test_one_registry_that_fails_says_nothing_of_the_other_assets() -> None:
    tags = StaticTags({"example/web": STEPS}, failures={"example/db": DOWN})
    made = plan([asset(), asset("example/db:1.0.0", "docker://prod-1/db")], tags)
    assert [update.target_id for update in made.updates] == [WEB]
    assert [item.asset_id for item in made.unknown] == ["docker://prod-1/db"]


@pytest.mark.parametrize("error", [DOWN, RateLimited("too many requests")])
def test_a_registry_that_gives_no_digests_is_not_asked_for_every_older_tag(error: RegistryError) -> None:
    tags = CountingTags(
        registry({"example/web": [f"1.0.{number}" for number in range(500)]}), unresolvable={"*": error}
    )
    assert unknown_code(plan(asset(), tags)) == error.code
    assert len(tags.resolved) <= 3


def test_a_listed_tag_without_a_manifest_gives_way_to_the_next_older_one() -> None:
    gone = RegistryError("no such manifest", code="manifest_unknown")
    tags = CountingTags(registry({"example/web": ["1.0.0", "1.0.1", "1.0.2"]}), unresolvable={"1.0.2": gone})
    assert versions(only(plan(asset(), tags))) == ["1.0.1"]


# --- the same tag -------------------------------------------------------------------------------------------

OTHER = digest_of("other bits")
AUTO_DIGEST = {"semver_gates": {"digest": "auto"}}


@pytest.mark.parametrize("tag", ["1.0.0", "latest", "stable", "prod"])
def test_the_same_tag_with_other_bits_is_a_digest_update(tag: str) -> None:
    running = asset(f"example/web:{tag}", digests=frozenset({OTHER}))
    update = only(plan(running, {"example/web": [tag]}, AUTO_DIGEST))
    (change,) = update.changes
    assert change.change_type is VersionChangeType.DIGEST
    assert (change.current.digest, change.new.digest) == (OTHER, digest_of(f"example/web:{tag}"))
    assert update.is_approved


def test_any_shared_digest_means_the_same_bits() -> None:
    running = asset("example/web:latest", digests=frozenset({OTHER, digest_of("example/web:latest")}))
    assert plan(running, {"example/web": ["latest"]}).current == (WEB,)


def test_a_reference_that_is_pinned_beside_its_tag_is_compared_by_that_digest() -> None:
    running = asset(f"example/web:1.0.0@{OTHER}", digests=frozenset())
    update = only(plan(running, {"example/web": ["1.0.0"]}, AUTO_DIGEST))
    assert update.changes[0].change_type is VersionChangeType.DIGEST


def test_a_newer_version_is_preferred_to_new_bits_of_the_running_one() -> None:
    running = asset(digests=frozenset({OTHER}))
    policy = {"semver_gates": {"digest": "auto", "patch": "auto"}}
    update = only(plan(running, {"example/web": ["1.0.0", "1.0.1"]}, policy))
    assert versions(update) == ["1.0.1"]
    assert decided(update) == {"1.0.1": "approve", "1.0.0": "approve"}


# --- targets of several assets ------------------------------------------------------------------------------


def test_an_approved_container_does_not_wait_for_its_neighbour() -> None:
    app, sidecar = container("app", "example/app:1.0.0"), container("sidecar", "example/sidecar:2.0.0")
    made = plan([app, sidecar], {"example/app": ["1.0.1"], "example/sidecar": ["3.0.0"]})
    update = only(made)
    assert update.target_id == "k8s://prod/web/deployment/shop"
    assert [change.asset_id for change in update.changes] == [app.id]
    assert update.is_approved
    assert [option.change.asset_id for option in update.alternatives] == [sidecar.id]


def test_approved_containers_of_one_workload_move_together() -> None:
    app, sidecar = container("app", "example/app:1.0.0"), container("sidecar", "example/sidecar:2.0.0")
    update = only(plan([app, sidecar], {"example/app": ["1.0.1"], "example/sidecar": ["2.0.1"]}))
    assert [change.asset_id for change in update.changes] == sorted([app.id, sidecar.id])


def test_containers_that_wait_are_put_forward_together_under_the_strictest_verdict() -> None:
    app, sidecar = container("app", "example/app:1.0.0"), container("sidecar", "example/sidecar:2.0.0")
    update = only(plan([app, sidecar], {"example/app": ["1.1.0"], "example/sidecar": ["3.0.0"]}))
    assert len(update.changes) == 2
    assert update.decision.verdict is Verdict.MANUAL_APPROVAL
    assert update.decision.change_type is VersionChangeType.MAJOR


def test_a_rejected_container_is_not_taken_along() -> None:
    app, sidecar = container("app", "example/app:1.0.0"), container("sidecar", "example/sidecar:2.0.0")
    policy = {"semver_gates": {"major": "skip"}}
    update = only(plan([app, sidecar], {"example/app": ["1.1.0"], "example/sidecar": ["3.0.0"]}, policy))
    assert [change.asset_id for change in update.changes] == [app.id]
    assert update.decision.verdict is Verdict.REVIEW_REQUIRED


# --- questions to registries --------------------------------------------------------------------------------


def test_a_listing_is_asked_for_once_however_many_assets_share_it() -> None:
    tags = CountingTags(registry({"example/web": STEPS}))
    plan([asset(asset_id=f"docker://prod-1/web{number}") for number in range(50)], tags)
    assert tags.listed == ["docker.io/example/web"]
    assert len(tags.resolved) == len(set(tags.resolved))


def test_an_asset_that_is_given_twice_is_planned_once() -> None:
    made = plan([asset(), asset()], {"example/web": STEPS})
    assert len(made.updates) == 1


# --- gates that misbehave -----------------------------------------------------------------------------------


@attrs.frozen
class OneGate:
    """A policy that is one gate."""

    policy: AssetPolicy

    def for_asset(self, asset: object) -> AssetPolicy:
        return self.policy

    def defaults(self) -> AssetPolicy:
        return self.policy


def test_a_gate_that_raises_rejects_and_the_next_asset_is_planned_all_the_same() -> None:
    @gate
    def picky(candidate: Candidate) -> Decision:
        if candidate.asset.name == "web":
            raise RuntimeError("boom")
        return Decision.because(Reason(code="fine", message="fine", verdict=Verdict.APPROVE))

    made = plan_updates(
        [asset(), asset(asset_id="docker://prod-1/web2")],
        registry({"example/web": ["1.0.1"]}),
        OneGate(AssetPolicy(gate=picky, fingerprint="f")),
        now=NOW,
    )
    assert [(update.target_id[-4:], str(update.decision.verdict)) for update in made.updates] == [
        ("/web", "reject"),
        ("web2", "approve"),
    ]


def test_a_fact_source_that_raises_leaves_the_fact_unknown() -> None:
    class Broken:
        provides = frozenset({"published_at"})

        def facts(self, candidate: Candidate) -> dict[str, object]:
            raise RuntimeError("boom")

    update = only(plan(asset(), {"example/web": ["1.0.1"]}, AGED, facts=[Broken()]))
    assert (update.decision.verdict, update.decision.deciding.code) == (Verdict.DEFER, "age_unknown")


def test_charts_of_one_name_from_two_repositories_are_not_mixed_up() -> None:
    class Charts(CountingTags):
        def lookup_many(self, images: object) -> dict[str, tuple[str, ...]]:
            return {
                chart.name: ("17.0.0",) if "bitnami" in chart.repository else ("1.0.1",)
                for chart in images  # type: ignore[attr-defined]
            }

    releases = [
        attrs.evolve(
            asset(asset_id=f"helm://prod/web/{name}"),
            image=ChartReference(name="redis", version="1.0.0", repository=f"https://{name}.example"),
            digests=frozenset(),
            asset_type=AssetType.HELM_RELEASE,
        )
        for name in ("bitnami", "ours")
    ]
    made = plan(releases, Charts(registry({})))
    assert {update.target_id[-7:]: versions(update) for update in made.updates} == {
        "bitnami": ["17.0.0"],
        "eb/ours": ["1.0.1"],
    }
