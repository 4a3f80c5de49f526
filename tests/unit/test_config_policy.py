"""What a policy means: what holds for which asset, who says so, and what is wrong with it."""

import threading
from datetime import UTC, date, datetime
from pathlib import Path

import attrs
import pytest

from safeupdater.config import Policy
from safeupdater.domain.artifact import ChartReference, ImageReference
from safeupdater.domain.asset import Asset, AssetType
from safeupdater.domain.candidate import Candidate, Facts
from safeupdater.domain.change import Change, VersionChangeType
from safeupdater.domain.decision import Decision
from safeupdater.domain.health import HealthPolicy, ProbeSpec, Rule
from safeupdater.domain.operation import (
    Hook,
    HookPoint,
    OnInconclusive,
    OperationSettings,
    RollbackPolicy,
    Unrunnable,
)
from safeupdater.domain.plan import fingerprint
from safeupdater.domain.settings import JournalRetention
from safeupdater.errors import ConfigurationError
from safeupdater.gates import DiffGate, evaluate
from safeupdater.protocols import PolicySource

WEB = Asset(
    id="k8s://prod-1/shop-a/deployment/web",
    name="web",
    asset_type=AssetType.DEPLOYMENT,
    image=ImageReference.parse("nginx:1.27.0"),
    host="prod-1",
    namespace="shop-a",
    labels={"tier": "front"},
)
NOW = datetime(2026, 6, 3, 10, 0, tzinfo=UTC)  # a Wednesday


def complaints(mapping: object) -> list[str]:
    with pytest.raises(ConfigurationError) as raised:
        Policy.from_dict(mapping)  # type: ignore[arg-type]
    return [str(problem) for problem in raised.value.problems]


def decided(
    mapping: dict[str, object],
    *,
    to: str = "1.27.1",
    kind: VersionChangeType = VersionChangeType.PATCH,
    asset: Asset = WEB,
    now: datetime | None = NOW,
    **facts: object,
) -> Decision:
    assert isinstance(asset.image, ImageReference)
    change = Change(asset_id=asset.id, current=asset.image, new=asset.image.with_tag(to), change_type=kind)
    candidate = Candidate(asset=asset, change=change, now=now, facts=Facts(**facts))  # type: ignore[arg-type]
    return evaluate(Policy.from_dict(mapping).for_asset(asset).gate, candidate)


# --- defaults and the way into the core -----------------------------------------------------------------


def test_the_built_in_policy_is_what_an_empty_one_says() -> None:
    built_in = Policy.default().for_asset(WEB)

    assert built_in.settings == attrs.evolve(OperationSettings(), policy=built_in.settings.policy)
    assert built_in.enabled
    assert (built_in.constraint, built_in.allow_prerelease, built_in.family) == (None, False, "strict")
    assert (built_in.max_major_step, built_in.max_concurrent, built_in.approval_ttl_s) == (500, 1, 86_400.0)
    assert built_in == Policy.from_dict({}).for_asset(WEB) == Policy.default().defaults()


def test_every_setting_reaches_the_core_in_its_own_type() -> None:
    policy = Policy.from_dict(
        {
            "enabled": False,
            "constraint": "^1.24",
            "allow_prerelease": True,
            "family": "loose",
            "max_major_step": 7,
            "max_concurrent": 3,
            "approval_ttl": "2h",
            "unrunnable": "commit",
            "stop_timeout": "1m30s",
            "health": {
                "ready_timeout": "1m", "window": 90, "interval": "1.5s", "failure_rate": "25%",
                "rule": "failure_rate", "check_timeout": "2s", "baseline": "5s",
                "checks": [{"type": "http", "port": 8080, "path": "/up"}, {"type": "acme", "x": [1, None]}],
            },
            "rollback": {
                "cooldown": 0, "max_per_day": 5, "on_inconclusive": "hold", "keep_previous": 2,
                "retain": "1w", "quarantine": "30d",
            },
            "hooks": [
                {"name": "dump", "point": "before_switch", "command": ["sh", "-c", "a\nb"], "timeout": "1h"},
                {"name": "tell", "point": "after_commit", "command": ["true"], "in_container": False},
            ],
        }
    ).defaults()  # fmt: skip

    assert (policy.enabled, policy.constraint, policy.allow_prerelease, policy.family) == (
        False, "^1.24", True, "loose",
    )  # fmt: skip
    assert (policy.max_major_step, policy.max_concurrent, policy.approval_ttl_s) == (7, 3, 7200.0)
    assert policy.settings.unrunnable is Unrunnable.COMMIT
    assert policy.settings.stop_timeout_s == 90.0
    assert policy.settings.health == HealthPolicy(
        ready_timeout_s=60.0, window_s=90.0, interval_s=1.5, failure_rate=0.25, rule=Rule.FAILURE_RATE,
        check_timeout_s=2.0, baseline_s=5.0,
        checks=(
            ProbeSpec(type="http", options={"port": 8080, "path": "/up"}),
            ProbeSpec(type="acme", options={"x": [1, None]}),
        ),
    )  # fmt: skip
    assert policy.settings.rollback == RollbackPolicy(
        cooldown_s=0.0,
        max_per_day=5,
        on_inconclusive=OnInconclusive.HOLD,
        keep_previous=2,
        retain_s=604_800.0,
        quarantine_s=2_592_000.0,
    )
    assert policy.settings.hooks == (
        Hook(name="dump", point=HookPoint.BEFORE_SWITCH, argv=("sh", "-c", "a\nb"), timeout_s=3600.0),
        Hook(name="tell", point=HookPoint.AFTER_COMMIT, argv=("true",), in_container=False),
    )
    assert policy.fingerprint == fingerprint(dict(policy.settings.policy))


def test_how_long_the_past_is_kept_is_said_for_the_store_and_changes_no_plan() -> None:
    policy = Policy.from_dict({"retention": {"journals": "1w", "keep_journals": 2, "plans": "2d"}})

    assert policy.retention == JournalRetention(keep_s=604_800.0, keep_per_target=2, plans_s=172_800.0)
    assert Policy.from_dict({"retention": {"plans": 0}}).retention == JournalRetention(plans_s=0.0)
    assert Policy.default().retention == JournalRetention()
    assert policy.defaults() == Policy.default().defaults()
    assert policy.fingerprint != Policy.default().fingerprint
    assert Policy.from_dict(policy.to_dict()) == policy


@pytest.mark.parametrize(
    ("settings", "code"),
    [
        ({"semver_gates": {"patch": "manual"}}, "patch_update_manual_approval"),
        ({"constraint": "<1.27"}, "outside_constraint"),
        ({"minimum_age": "3d"}, "age_unknown"),
        ({"minimum_age": {"age": "3d", "unknown": "reject"}}, "age_unknown"),
        ({"windows": [{"days": "mon-tue", "from": "09:00", "to": "16:00"}]}, "outside_window"),
        ({"freezes": [{"from": "2026-06-01", "to": "2026-06-03"}]}, "frozen"),
        ({"freezes": [{"from": date(2026, 6, 3), "to": date(2026, 6, 3)}]}, "frozen"),
        ({"freeze": True}, "frozen"),
        ({"freeze": "incident 7"}, "frozen"),
        ({"tags": {"include": ["*-alpine"]}}, "tag_not_included"),
        ({"tags": {"exclude": ["1.27.*"]}}, "tag_excluded"),
        ({"registries": ["ghcr.io"]}, "registry_not_allowed"),
        ({"repositories": ["ghcr.io/acme/*"]}, "repository_not_allowed"),
        ({"skip_versions": ["1.27.1"]}, "version_skipped"),
    ],
)  # fmt: skip
def test_each_gate_of_a_policy_decides(settings: dict[str, object], code: str) -> None:
    blocked = decided(settings)

    assert not blocked.safe
    assert code in {reason.code for reason in blocked.reasons}
    assert decided({}).safe


def test_the_reason_of_a_freeze_is_told() -> None:
    assert "incident 7" in decided({"freeze": "incident 7"}).reason


def test_zero_major_literal_takes_the_minor_action_of_a_0_x_version() -> None:
    old = attrs.evolve(WEB, image=ImageReference.parse("nginx:0.4.0"))
    gates = {"minor": "auto", "major": "manual"}
    minor = VersionChangeType.MINOR

    assert not decided({"semver_gates": gates}, to="0.5.0", kind=minor, asset=old).safe
    assert decided({"semver_gates": gates, "zero_major": "literal"}, to="0.5.0", kind=minor, asset=old).safe


def test_a_window_uses_the_clock_of_its_place() -> None:
    window = {"from": "10:00", "to": "12:00"}

    assert decided({"windows": [window]}).safe
    assert not decided({"windows": [{**window, "timezone": "Asia/Tokyo"}]}).safe


@pytest.mark.parametrize("value", ["false", "nonsense"])
def test_a_label_can_switch_off_what_the_policy_allows(value: str) -> None:
    labelled = attrs.evolve(WEB, labels={"safeupdater.enable": value})

    assert not decided({}, asset=labelled).safe


def test_a_label_cannot_allow_what_the_policy_forbids() -> None:
    labelled = attrs.evolve(WEB, labels={"safeupdater.enable": "true"})

    assert not decided({"semver_gates": {"patch": "skip"}}, asset=labelled).safe


def test_owned_assets_are_left_alone_unless_the_policy_allows_the_owner() -> None:
    owned = attrs.evolve(WEB, owner="argocd")

    assert not decided({}, asset=owned).safe
    assert decided({"allow_owners": ["argo*"]}, asset=owned).safe


def test_a_major_step_of_a_declared_or_known_database_is_never_automatic() -> None:
    allowed: dict[str, object] = {"semver_gates": {"major": "auto"}}
    database = attrs.evolve(WEB, image=ImageReference.parse("postgres:16.1"))
    major = VersionChangeType.MAJOR

    assert decided(allowed, to="2.0.0", kind=major).safe
    assert not decided({**allowed, "stateful": True}, to="2.0.0", kind=major).safe
    assert not decided(allowed, to="17.0", kind=major, asset=database).safe
    assert decided({**allowed, "stateful": False}, to="17.0", kind=major, asset=database).safe


@pytest.mark.parametrize(
    ("new", "decision", "applied", "code"),
    [
        ("1.2.4", "approve", "semver_gates.patch=auto", "patch_update_auto_approved"),
        ("1.3.0", "review_required", "semver_gates.minor=review", "minor_update_review_required"),
        ("2.0.0", "manual_approval", "semver_gates.major=manual", "major_update_manual_approval"),
        ("1.3.0-rc.1", "reject", "semver_gates.prerelease=skip", "prerelease_update_skipped"),
    ],
)
@pytest.mark.parametrize("mapping", [{}, {"constraint": ">=1.0.0", "tags": {"include": ["*"]}}])
def test_a_decision_names_the_rule_of_the_matrix_that_was_applied(
    mapping: dict[str, object], new: str, decision: str, applied: str, code: str
) -> None:
    found = DiffGate(Policy.from_dict(mapping)).evaluate_update("1.2.3", new)

    assert found.to_dict()["decision"] == decision
    assert found.to_dict()["policy_applied"] == applied
    assert found.deciding is not None
    assert found.deciding.code == code


# --- matching -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "match",
    [
        {"host": "prod-*"},
        {"namespace": "shop-?"},
        {"name": "w[aeiou]b"},
        {"type": "deploy*"},
        {"image": "nginx"},
        {"image": "docker.io/library/nginx"},
        {"image": "docker.io/*"},
        {"labels": {"tier": "f*"}},
        {"host": "prod-1", "namespace": "*", "name": "*", "type": "*", "image": "*", "labels": {"tier": "*"}},
    ],
)
def test_a_rule_applies_where_everything_matches(match: dict[str, object]) -> None:
    policy = Policy.from_dict({"rules": [{"match": match, "max_concurrent": 9}]})

    assert policy.for_asset(WEB).max_concurrent == 9
    assert policy.defaults().max_concurrent == 1


@pytest.mark.parametrize(
    "match",
    [
        {"host": "PROD-*"},
        {"host": "rod-1"},
        {"namespace": "shop"},
        {"type": "container"},
        {"image": "library/nginx"},
        {"image": "ngin"},
        {"labels": {"tier": "db"}},
        {"labels": {"owner": "*"}},
        {"host": "prod-1", "name": "db"},
    ],
)
def test_a_rule_does_not_apply_where_something_does_not_match(match: dict[str, object]) -> None:
    policy = Policy.from_dict({"rules": [{"match": match, "max_concurrent": 9}]})

    assert policy.for_asset(WEB).max_concurrent == 1


def test_what_has_no_namespace_matches_no_namespace() -> None:
    policy = Policy.from_dict({"rules": [{"match": {"namespace": "*"}, "max_concurrent": 9}]})

    assert policy.for_asset(attrs.evolve(WEB, namespace=None)).max_concurrent == 1


@pytest.mark.parametrize("pattern", ["redis", "https://charts.example.com/stable/redis", "https://*"])
def test_a_chart_matches_by_name_and_by_repository(pattern: str) -> None:
    chart = ChartReference(name="redis", version="1.0.0", repository="https://charts.example.com/stable")
    policy = Policy.from_dict({"rules": [{"match": {"image": pattern}, "max_concurrent": 9}]})

    assert policy.for_asset(attrs.evolve(WEB, image=chart)).max_concurrent == 9


# --- merging --------------------------------------------------------------------------------------------


def test_mappings_merge_by_key_lists_are_replaced_and_later_wins() -> None:
    policy = Policy.from_dict(
        {
            "semver_gates": {"patch": "review", "minor": "review"},
            "windows": [{"from": "09:00", "to": "10:00"}, {"from": "11:00", "to": "12:00"}],
            "minimum_age": {"age": "1d", "basis": "first_seen"},
            "rules": [
                {"match": {"name": "web"}, "semver_gates": {"minor": "manual"}, "minimum_age": "3d"},
                {"match": {"name": "other"}, "semver_gates": {"patch": "skip"}},
                {"match": {"name": "w*"}, "semver_gates": {"minor": "auto"}, "windows": []},
            ],
        }
    )
    effective = policy.for_asset(WEB).settings.policy

    assert effective["semver_gates"] == {
        "patch": "review", "minor": "auto", "major": "manual", "prerelease": "skip", "digest": "review",
    }  # fmt: skip
    assert effective["minimum_age"] == {"age": "3d", "basis": "first_seen", "unknown": "defer"}
    assert effective["windows"] == []


def test_a_later_rule_can_lift_a_constraint() -> None:
    rules = [{"match": {"name": "web"}, "constraint": "none"}]

    assert Policy.from_dict({"constraint": "^1", "rules": rules}).for_asset(WEB).constraint is None


def test_policies_of_many_threads_and_assets_are_the_same_object() -> None:
    policy = Policy.from_dict({"rules": [{"match": {"name": "w*"}, "constraint": "^1"}]})
    found: list[object] = []
    threads = [
        threading.Thread(target=lambda: found.extend(policy.for_asset(WEB) for _ in range(200)))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(found) == 1600
    assert {item.constraint for item in found} == {"^1"}  # type: ignore[attr-defined]
    assert policy.for_asset(WEB) is policy.for_asset(attrs.evolve(WEB, id="docker://prod-1/web"))


# --- fingerprints ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({}, {"version": 1}),
        ({}, {"rules": [{"match": {"name": "else"}, "freeze": True}]}),
        ({}, {"semver_gates": {"patch": "auto"}}),
        ({"minimum_age": "3d"}, {"minimum_age": {"age": 259_200}}),
        (
            {"health": {"window": "5m", "failure_rate": "10%"}},
            {"health": {"failure_rate": 0.1, "window": 300}},
        ),
        ({"registries": ["b", "a"]}, {"registries": ["a", "b", "a"]}),
        ({"freeze": True}, {"rules": [{"match": {"name": "web"}, "freeze": True}]}),
        (
            {"windows": [{"days": ["tue", "mon"], "from": "09:00", "to": "10:00"}]},
            {"windows": [{"days": "mon-tue", "from": "09:00", "to": "10:00", "timezone": "UTC"}]},
        ),
    ],
)
def test_the_fingerprint_stays_while_the_effective_policy_does(
    one: dict[str, object], other: dict[str, object]
) -> None:
    assert (
        Policy.from_dict(one).for_asset(WEB).fingerprint == Policy.from_dict(other).for_asset(WEB).fingerprint
    )


@pytest.mark.parametrize(
    "change",
    [
        {"semver_gates": {"patch": "review"}},
        {"zero_major": "literal"},
        {"constraint": "^1"},
        {"minimum_age": 1},
        {"gates": ["acme"]},
        {"health": {"checks": [{"type": "tcp"}]}},
        {"hooks": [{"name": "a", "point": "after_commit", "command": ["x"]}]},
        {"rules": [{"match": {"name": "web"}, "freeze": True}]},
    ],
)
def test_the_fingerprint_changes_with_the_effective_policy(change: dict[str, object]) -> None:
    assert Policy.from_dict(change).explain(WEB).fingerprint != Policy.default().explain(WEB).fingerprint


# --- identity -------------------------------------------------------------------------------------------


def test_policies_that_say_the_same_are_equal_and_the_repr_holds_no_secret() -> None:
    hooks = [{"name": "a", "point": "after_commit", "command": ["login", "hunter2"]}]
    policy = Policy.from_dict({"hooks": hooks, "health": {"checks": [{"type": "acme", "token": "hunter2"}]}})

    assert policy == Policy.from_dict(policy.to_dict())
    assert hash(policy) == hash(Policy.from_dict(policy.to_dict()))
    assert policy != Policy.default()
    assert "hunter2" not in repr(policy)
    assert "hunter2" not in str(policy.explain(WEB))
    assert "hunter2" not in repr(policy.explain(WEB))


def test_changing_what_to_dict_gave_changes_nothing() -> None:
    policy = Policy.from_dict({"registries": ["a"]})
    policy.to_dict()["registries"].append("b")  # type: ignore[union-attr]

    assert policy.to_dict()["registries"] == ["a"]


def test_a_policy_is_a_policy_source() -> None:
    source: PolicySource = Policy.default()

    assert source.for_asset(WEB).enabled


# --- explaining -----------------------------------------------------------------------------------------


def test_an_explanation_says_who_set_what_on_80_columns() -> None:
    policy = Policy.from_dict(
        {
            "constraint": "^1.24",
            "registries": [f"registry-{number}.example.com" for number in range(8)],
            "rules": [
                {"match": {"name": "else"}, "freeze": True},
                {"match": {"host": "prod-*", "labels": {"tier": "*"}}, "semver_gates": {"minor": "manual"}},
            ],
        }
    )
    explanation = policy.explain(WEB)
    set_by = {setting.key: (setting.value, setting.set_by) for setting in explanation.settings}

    assert [(rule.index, rule.match) for rule in explanation.rules] == [(1, "host: prod-*, labels.tier: *")]
    assert set_by["semver_gates.minor"] == ("manual", "rules[1]")
    assert set_by["constraint"] == ("^1.24", "top level")
    assert set_by["freeze"] == ("false", "built-in")
    assert explanation.fingerprint == policy.for_asset(WEB).fingerprint
    lines = str(explanation).splitlines()
    assert max(map(len, lines)) <= 80
    assert "rules[1] matches host: prod-*, labels.tier: *" in lines
    assert any(line.split() == ["semver_gates.minor", "manual", "rules[1]"] for line in lines)
    assert "registry-7.example.com" in str(explanation)


def test_an_asset_without_rules_is_explained_too() -> None:
    assert "no rule matches" in str(Policy.default().explain(WEB))


# --- finding --------------------------------------------------------------------------------------------


def write(path: Path, limit: int) -> Path:
    path.write_text(f"version: 1\nmax_concurrent: {limit}\n")
    return path


def test_a_policy_is_looked_for_in_order(tmp_path: Path) -> None:
    explicit, named = write(tmp_path / "a.yaml", 2), write(tmp_path / "b.yaml", 3)
    environ = {"SAFEUPDATER_POLICY": str(named)}

    def limit(**where: object) -> int:
        return Policy.find(cwd=tmp_path, **where).defaults().max_concurrent  # type: ignore[arg-type]

    assert limit(environ={}) == 1
    write(tmp_path / "policy.yaml", 4)
    assert limit(environ={}) == 4
    assert limit(environ={"SAFEUPDATER_POLICY": ""}) == 4
    assert limit(environ=environ) == 3
    assert limit(environ=environ, explicit=explicit) == 2


def test_a_file_that_cannot_be_used_is_never_passed_over(tmp_path: Path) -> None:
    write(tmp_path / "policy.yaml", 4)
    for where in (
        {"explicit": tmp_path / "none"},
        {"environ": {"SAFEUPDATER_POLICY": "/none"}},
        {"explicit": ""},
    ):
        with pytest.raises(ConfigurationError):
            Policy.find(cwd=tmp_path, **where)  # type: ignore[arg-type]

    (tmp_path / "policy.yaml").unlink()
    (tmp_path / "policy.yaml").symlink_to(tmp_path / "nowhere.yaml")
    with pytest.raises(ConfigurationError):
        Policy.find(environ={}, cwd=tmp_path)


# --- what is wrong with it ------------------------------------------------------------------------------


def test_every_problem_of_a_file_is_told_at_once_with_its_place(tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text(
        """\
version: 2
semver_gates: {minro: auto, major: atuo}
constraint: 1.10
rules:
  - match: {hots: "prod-*"}
    windows:
      - days: mon-fry
        from: 9
        to: "16:00"
        timezone: Europe/Lisbn
    health: {window: 0, failure_rate: 10, checks: [{type: http, prot: 1}]}
  - constriant: "^1"
"""
    )
    with pytest.raises(ConfigurationError) as raised:
        Policy.load(path)

    assert str(raised.value).replace(f"{tmp_path}/", "").splitlines() == [
        "policy.yaml:1:10: $.version: expected 1, the only version there is, got '2'",
        "policy.yaml:2:16: $.semver_gates: unknown key 'minro': did you mean 'minor'?",
        "policy.yaml:2:36: $.semver_gates.major: expected one of auto, review, manual, skip, got 'atuo': "
        "did you mean 'auto'?",
        "policy.yaml:3:13: $.constraint: expected a version range such as ^1.24, or none, got '1.10': "
        "quote it",
        "policy.yaml:5:13: $.rules[0].match: unknown key 'hots': did you mean 'host'?",
        "policy.yaml:7:15: $.rules[0].windows[0].days: expected daily, a day such as mon, or days such as "
        "mon-thu, got 'mon-fry'",
        "policy.yaml:8:15: $.rules[0].windows[0].from: expected HH:MM, got '9'",
        "policy.yaml:10:19: $.rules[0].windows[0].timezone: expected a time zone such as Europe/Lisbon or "
        "UTC, got 'Europe/Lisbn': did you mean 'Europe/Lisbon'?",
        "policy.yaml:11:22: $.rules[0].health.window: expected a duration such as 300s, 5m or 3d, got '0': "
        "from 0.001s to 29d23h59m59s",
        "policy.yaml:11:39: $.rules[0].health.failure_rate: expected a share such as 10% or 0.1, got '10': "
        "from 0% to below 100%",
        "policy.yaml:11:71: $.rules[0].health.checks[0].prot: unknown option (did you mean 'port'?)",
        "policy.yaml:12:5: $.rules[1]: unknown key 'constriant': did you mean 'constraint'?",
        "policy.yaml:12:5: $.rules[1].match: say which assets it is for; what holds for all belongs to the "
        "top level",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("mapping", "expected"),
    [
        ([], "$: expected a mapping such as {version: 1}, got a list"),
        (None, "$: expected a mapping such as {version: 1}, got nothing"),
        ({"version": True}, "$.version: expected 1"),
        ({"autoo_update": 1}, "$: unknown key 'autoo_update': known are"),
        ({"windows": None}, "$.windows: expected a list, got nothing"),
        ({"constraint": None}, "got nothing"),
        ({"constraint": ">=x y"}, "expected a version range"),
        ({"constraint": "a" * 2000}, "write 1 to 1024 characters"),
        ({"registries": "ghcr.io"}, "$.registries: expected a list, got 'ghcr.io': write it in [ ]"),
        ({"registries": ["a\x1b[31m"]}, "remove the control characters"),
        ({"registries": ["\ud800"]}, "remove the control characters"),
        ({"registries": ["\u202eio.rhcg"]}, "remove the control characters"),
        ({"tags": {"include": [1.27]}}, "$.tags.include[0]: expected a glob such as *-alpine"),
        ({"tags": {"include": ["re:(" + "a" * 200]}}, "$.tags.include[0]: expected"),
        ({"skip_versions": [1.1]}, "got '1.1': quote it"),
        ({"skip_versions": ["not a version"]}, "$.skip_versions[0]: expected a tag, a digest or a version"),
        ({"minimum_age": "3 days"}, "$.minimum_age: expected a duration such as 300s, 5m or 3d, got '3 "),
        ({"minimum_age": -1}, "got '-1': from 0s to 3650d"),
        ({"minimum_age": 10**5000}, "got 'a huge number'"),
        ({"minimum_age": float("nan")}, "got 'not a finite number'"),
        ({"minimum_age": float("inf")}, "got 'not a finite number'"),
        ({"minimum_age": True}, "got 'true'"),
        ({"minimum_age": "٣d"}, "expected a duration"),
        ({"minimum_age": ""}, "expected a duration"),
        ({"max_concurrent": 0}, "expected a whole number from 1 to 10000, got '0'"),
        ({"max_concurrent": 1.5}, "expected a whole number"),
        ({"max_concurrent": True}, "expected a whole number"),
        ({"enabled": "yes"}, "$.enabled: expected true or false, got 'yes'"),
        ({"freeze": ""}, "$.freeze: expected true, false or the reason as text"),
        ({"freeze": 1}, "$.freeze: expected true, false or the reason as text"),
        ({"stateful": "maybe"}, "$.stateful: expected true, false or auto"),
        ({"windows": [{"from": "09:00"}]}, "$.windows[0]: missing: to"),
        ({"windows": [{"from": 960, "to": "16:60"}]}, "$.windows[0].to: expected HH:MM, got '16:60'"),
        ({"windows": [{"days": [], "from": "09:00", "to": "10:00"}]}, "expected at least one day"),
        ({"windows": [{"from": "09:00", "to": "10:00", "timezone": "../../etc"}]}, "a time zone such as"),
        ({"windows": [{"from": "09:00", "to": "10:00", "timezone": "Europe"}]}, "a time zone such as"),
        ({"freezes": [{"from": "2026-02-30", "to": "2026-03-01"}]}, "expected a date such as 2026-12-20"),
        ({"freezes": [{"from": "2026-03-02", "to": "2026-03-01"}]}, "swap from and to"),
        ({"gates": ["../evil"]}, "expected the name of a plugin gate"),
        ({"health": {"checks": [{"port": 1}]}}, "$.health.checks[0]: missing: type"),
        ({"health": {"checks": [{"type": "http", "port": 0}]}}, "$.health.checks[0].port: expected a port"),
        ({"health": {"checks": [{"type": "http", "self": 1}]}}, "unknown option 'self'"),
        ({"health": {"checks": [{"type": "x", "n": float("nan")}]}}, "expected an ordinary number"),
        ({"health": {"failure_rate": "100%"}}, "from 0% to below 100%"),
        ({"hooks": [{"name": "a", "point": "after_commit", "command": []}]}, "expected at least 1"),
        ({"hooks": [{"name": "A b", "point": "after_commit", "command": ["x"]}]}, "a name of lower-case"),
        ({"retention": {"journals": "-1d"}}, "$.retention.journals: expected a duration"),
        ({"retention": {"journals": "3651d"}}, "from 0s to 3650d"),
        ({"retention": {"keep": 1}}, "$.retention: unknown key 'keep'"),
        (
            {"rules": [{"match": {"name": "x"}, "retention": {"plans": 1}}]},
            "$.rules[0].retention: no rule can say it: it belongs to the top level",
        ),
        ({"rules": {}}, "$.rules: expected a list of rules, got a mapping"),
        ({"rules": ["x"]}, "$.rules[0]: expected a rule such as"),
        ({"rules": [{"match": {}}]}, "say which assets it is for"),
        ({"rules": [{"match": "web"}]}, "$.rules[0].match: expected a mapping such as"),
        ({"rules": [{"match": {"image": "nginx:1.27"}}]}, "matched against names without tag"),
        ({"rules": [{"match": {"type": "deplyoment"}}]}, "did you mean 'deployment'?"),
        ({"rules": [{"match": {"name": "re:.*"}}]}, "regular expressions are for tags"),
        ({"rules": [{"match": {"labels": {"a": 1}}}]}, "$.rules[0].match.labels.a: expected a glob"),
        ({"rules": [{"match": {"name": "x"}, "version": 1}]}, "$.rules[0]: unknown key 'version'"),
    ],
)  # fmt: skip
def test_a_bad_value_is_told_with_place_and_remedy(mapping: object, expected: str) -> None:
    assert any(expected in complaint for complaint in complaints(mapping)), complaints(mapping)


def test_hooks_need_names_of_their_own() -> None:
    hook = {"name": "a", "point": "after_commit", "command": ["x"]}

    assert complaints({"hooks": [hook, hook]}) == ["$.hooks[1]: 'a' is there already"]


def test_a_command_is_never_repeated_in_a_message() -> None:
    for command in ("login hunter2", ["login", "hunter2\0"], [["hunter2"]], {"hunter2": 1}):
        hook = {"name": "a", "point": "after_commit", "command": command}
        assert "hunter2" not in "".join(complaints({"hooks": [hook]}))


def test_nothing_in_a_policy_is_expanded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "hunter2")
    policy = Policy.from_dict({"freeze": "${SECRET} $SECRET {{SECRET}} ~"})

    assert policy.to_dict()["freeze"] == "${SECRET} $SECRET {{SECRET}} ~"


def test_a_glob_takes_bounded_time_on_hostile_names() -> None:
    policy = Policy.from_dict({"rules": [{"match": {"name": "*a" * 40 + "b"}, "freeze": True}]})
    hostile = attrs.evolve(WEB, name="a" * 5000)

    assert policy.for_asset(hostile).settings.policy["freeze"] is False
