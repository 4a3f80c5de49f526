"""Laws of policies: nothing foreign escapes, later wins, and a fingerprint says what holds."""

import contextlib
import json
from typing import Any

import attrs
import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from safeupdater.config import Policy
from safeupdater.config.effective import BUILT_IN, merge
from safeupdater.config.load import parse_yaml
from safeupdater.config.nodes import Problems, to_plain
from safeupdater.config.schema import all_keys, json_schema
from safeupdater.config.units import format_duration, parse_duration
from safeupdater.domain.artifact import ImageReference
from safeupdater.domain.asset import Asset, AssetType
from safeupdater.errors import ConfigurationError

WEB = Asset(
    id="docker://prod-1/web",
    name="web",
    asset_type=AssetType.CONTAINER,
    image=ImageReference.parse("nginx:1.27.0"),
    host="prod-1",
    labels={"tier": "front"},
)
VALIDATOR = jsonschema.Draft202012Validator(json_schema())

# --- good policies --------------------------------------------------------------------------------------

ACTIONS = st.sampled_from(["auto", "review", "manual", "skip"])
DURATIONS = st.one_of(
    st.integers(1, 10**6),
    st.floats(0.001, 10**5, allow_nan=False),
    st.sampled_from(["300s", "5m", "1h30m", "3d", "1w", "0.5s"]),
)
CLOCKS = st.builds("{:02d}:{:02d}".format, st.integers(0, 23), st.integers(0, 59))
DAYS = st.one_of(
    st.sampled_from(["daily", "mon-thu", "sat"]), st.lists(st.sampled_from(["mon", "fri"]), min_size=1)
)
GLOBS = st.lists(st.sampled_from(["*", "ghcr.io", "*-alpine", "[a-c]?"]), max_size=3)


def partial(**keys: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=keys)


WINDOWS = st.fixed_dictionaries(
    {"from": CLOCKS, "to": CLOCKS},
    optional={"days": DAYS, "timezone": st.sampled_from(["UTC", "Europe/Lisbon"])},
)
SETTINGS: dict[str, st.SearchStrategy[Any]] = {
    "semver_gates": partial(patch=ACTIONS, minor=ACTIONS, major=ACTIONS, prerelease=ACTIONS, digest=ACTIONS),
    "zero_major": st.sampled_from(["strict", "literal"]),
    "constraint": st.sampled_from(["^1.24", "none", "1.x || >=3"]),
    "minimum_age": st.one_of(DURATIONS, partial(age=DURATIONS, unknown=st.sampled_from(["defer", "reject"]))),
    "windows": st.lists(WINDOWS, max_size=2),
    "freeze": st.one_of(st.booleans(), st.sampled_from(["incident"])),
    "tags": partial(include=GLOBS, exclude=GLOBS),
    "registries": GLOBS,
    "stateful": st.sampled_from([True, False, "auto"]),
    "enabled": st.booleans(),
    "max_concurrent": st.integers(1, 10_000),
    "health": partial(
        window=DURATIONS,
        failure_rate=st.one_of(st.sampled_from(["10%", "0.5%"]), st.integers(0, 999).map(lambda n: n / 1000)),
        checks=st.lists(
            st.fixed_dictionaries({"type": st.just("tcp"), "port": st.integers(1, 65535)}), max_size=2
        ),
    ),
    "rollback": partial(cooldown=DURATIONS, max_per_day=st.integers(0, 9)),
}
SETS = partial(**SETTINGS)
MATCHES = st.sampled_from(
    [{"name": "web"}, {"host": "prod-*"}, {"labels": {"tier": "*"}}, {"name": "other"}, {"image": "nginx"}]
)
RULES = st.builds(lambda match, settings: {"match": match, **settings}, MATCHES, SETS)
RETENTION = partial(
    retention=partial(journals=DURATIONS, keep_journals=st.integers(0, 10_000), plans=DURATIONS)
)
POLICIES = st.builds(
    lambda settings, of_store, rules: {**settings, **of_store, "rules": rules},
    SETS, RETENTION, st.lists(RULES, max_size=3),
)  # fmt: skip


# --- junk -----------------------------------------------------------------------------------------------

KEYS = st.one_of(
    st.sampled_from(sorted({part.strip("[]") for name, _ in all_keys() for part in name.split(".")})),
    st.sampled_from(["rules", "match", "version", "host", "labels", "type"]),
    st.text(max_size=8),
)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=12),
    st.dates(),
    st.datetimes(),
    st.binary(max_size=4),
    st.sampled_from(
        ["10%", "3d", "09:00", "mon-thu", "re:(", "^1.2", "http", "auto", "2026-02-30", 10**4000]
    ),
)
JUNK = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(KEYS, inner, max_size=5),
        st.dictionaries(st.one_of(KEYS, st.integers(), st.none()), inner, max_size=2),
    ),
    max_leaves=20,
)


@given(st.one_of(JUNK, st.dictionaries(KEYS, JUNK, max_size=6)))
def test_any_junk_gives_a_policy_or_a_configuration_error(junk: Any) -> None:
    policy = policy_or_problems(junk)

    assert policy is None or policy.explain(WEB).asset_id == WEB.id


@given(POLICIES, KEYS, JUNK, st.data())
def test_a_good_policy_with_one_junk_value_gives_a_policy_or_a_configuration_error(
    policy: dict[str, Any], key: str, junk: Any, data: st.DataObject
) -> None:
    inside = [policy, *policy["rules"], *(value for value in policy.values() if isinstance(value, dict))]
    data.draw(st.sampled_from(inside))[key] = junk
    policy_or_problems(policy)


def policy_or_problems(data: Any) -> Policy | None:
    with contextlib.suppress(ConfigurationError):
        return Policy.from_dict(data)
    with pytest.raises(ConfigurationError) as raised:
        Policy.from_dict(data)
    assert raised.value.problems
    assert all(str(problem).isprintable() and problem.path for problem in raised.value.problems)
    return None


@given(st.text())
def test_any_text_is_a_document_or_a_configuration_error(text: str) -> None:
    read_or_refused(text)


@given(st.text(alphabet="ab01:-?[]{}&*!|>'\"%@`#,.\\xUu \t\n~<=", max_size=60))
def test_any_text_of_yaml_signs_is_a_document_or_a_configuration_error(text: str) -> None:
    read_or_refused(text)


def read_or_refused(text: str) -> None:
    with contextlib.suppress(ConfigurationError):
        parse_yaml(text, Problems("policy.yaml"))


# --- laws -----------------------------------------------------------------------------------------------


@given(POLICIES)
def test_what_to_dict_gives_reads_as_the_same_policy(mapping: dict[str, Any]) -> None:
    policy = Policy.from_dict(mapping)
    again = Policy.from_dict(policy.to_dict())

    assert again == policy
    assert again.to_dict() == policy.to_dict()
    assert again.fingerprint == policy.fingerprint
    assert again.for_asset(WEB) == policy.for_asset(WEB)


@given(POLICIES)
def test_yaml_and_mapping_give_the_same_policy(mapping: dict[str, Any]) -> None:
    canonical = Policy.from_dict(mapping).to_dict()
    problems = Problems()
    node = parse_yaml(json.dumps(canonical), problems)  # JSON is YAML

    problems.raise_if_any()
    assert to_plain(node) == canonical


@given(POLICIES)
def test_what_the_loader_takes_fits_the_schema(mapping: dict[str, Any]) -> None:
    policy = Policy.from_dict(mapping)

    VALIDATOR.validate(mapping)
    VALIDATOR.validate(policy.to_dict())
    VALIDATOR.validate({**policy.for_asset(WEB).settings.policy})


@given(SETS, SETS, SETS)
def test_merging_is_associative_and_later_wins(one: Any, two: Any, three: Any) -> None:
    first, second, third = (Policy.from_dict(settings).to_dict() for settings in (one, two, three))

    assert merge(merge(first, second), third) == merge(first, merge(second, third))
    assert merge(first, first) == first
    assert merge({}, first) == first
    merged = merge(first, second)
    for key, value in second.items():
        if isinstance(value, dict):
            assert {**value} == {name: merged[key][name] for name in value}  # type: ignore[index, call-overload]
        else:
            assert merged[key] == value


@given(SETS, st.lists(SETS, max_size=3))
def test_rules_that_all_match_are_the_same_as_their_merge(top: Any, settings: list[Any]) -> None:
    rules = [{"match": {"name": "web"}, **each} for each in settings]
    merged = merge(BUILT_IN, Policy.from_dict(top).to_dict())
    for each in settings:
        merged = merge(merged, Policy.from_dict(each).to_dict())
    merged.pop("version")

    assert Policy.from_dict({**top, "rules": rules}).for_asset(WEB).settings.policy == merged


@given(POLICIES, SETS, st.integers(0, 3), st.randoms())
def test_the_fingerprint_ignores_key_order_and_rules_that_do_not_match(
    mapping: dict[str, Any], irrelevant: dict[str, Any], place: int, random: Any
) -> None:
    rules = list(mapping["rules"])
    rules.insert(place, {"match": {"name": "nobody"}, **irrelevant})
    shuffled = list({**mapping, "rules": rules}.items())
    random.shuffle(shuffled)

    assert Policy.from_dict(dict(shuffled)).for_asset(WEB).fingerprint == fingerprint_of(mapping)


@given(POLICIES, POLICIES)
def test_fingerprints_are_equal_exactly_when_effective_policies_are(one: Any, other: Any) -> None:
    first, second = Policy.from_dict(one).for_asset(WEB), Policy.from_dict(other).for_asset(WEB)

    assert (first.fingerprint == second.fingerprint) == (first.settings.policy == second.settings.policy)
    assert (first.fingerprint == second.fingerprint) == (first == second)


@given(POLICIES, st.text(max_size=8))
def test_the_policy_of_an_asset_does_not_hang_on_its_version(mapping: dict[str, Any], note: str) -> None:
    later = attrs.evolve(WEB, image=ImageReference.parse("nginx:9.9"), metadata={"note": note})

    assert Policy.from_dict(mapping).for_asset(later).fingerprint == fingerprint_of(mapping)


def fingerprint_of(mapping: dict[str, Any]) -> str:
    return Policy.from_dict(mapping).for_asset(WEB).fingerprint


@given(st.integers(0, 10**12))
def test_a_duration_reads_back_to_the_millisecond(milliseconds: int) -> None:
    text = format_duration(milliseconds / 1000)

    assert round(parse_duration(text) * 1000) == milliseconds
    assert format_duration(parse_duration(text)) == text


@given(POLICIES)
def test_an_explanation_fits_80_columns_and_names_every_setting(mapping: dict[str, Any]) -> None:
    policy = Policy.from_dict(mapping)
    explanation = policy.explain(WEB)

    assert max(map(len, str(explanation).splitlines())) <= 80
    assert explanation.fingerprint == policy.for_asset(WEB).fingerprint
    assert {setting.key for setting in explanation.settings} == {
        name for name, key in all_keys() if "[]" not in name and not name_is_section(name)
    }


def name_is_section(name: str) -> bool:
    return name in {"semver_gates", "minimum_age", "tags", "health", "rollback"}
