"""The JSON Schema of policy files: shipped, up to date, and taking what the loader takes."""

import json
from importlib import resources
from typing import Any

import jsonschema
import pytest

from safeupdater.config import Policy
from safeupdater.config.schema import all_keys, json_schema
from safeupdater.config.store_settings import STORE_SETTINGS
from safeupdater.errors import ConfigurationError

VALIDATOR = jsonschema.Draft202012Validator(json_schema())

GOOD: list[dict[str, Any]] = [
    {},
    {"version": 1},
    {"semver_gates": {"patch": "skip"}, "zero_major": "literal"},
    {"constraint": "^1.24 || 2.x", "allow_prerelease": True, "family": "loose", "max_major_step": 10},
    {"minimum_age": "1h30m"},
    {"minimum_age": 0},
    {"minimum_age": {"age": 12.5, "basis": "first_seen", "unknown": "reject"}},
    {"windows": [{"days": "fri-mon", "from": "22:00", "to": "04:00", "timezone": "America/New_York"}]},
    {"windows": [{"days": ["mon-tue", "sat"], "from": "00:00", "to": "00:00"}]},
    {"freezes": [{"from": "2026-12-20", "to": "2027-01-03", "reason": "end of year"}]},
    {"freeze": True, "stateful": False},
    {"freeze": "incident", "stateful": "auto"},
    {
        "tags": {"include": ["*-alpine"], "exclude": []},
        "registries": ["ghcr.io"],
        "repositories": ["*/shop/*"],
    },
    {"approvers": ["ann", "oncall-*"]},
    {"image_changes": "review"},
    {"skip_versions": ["1.25.3", "latest"], "allow_owners": ["helm/*"], "gates": ["acme.hours"]},
    {"enabled": False, "max_concurrent": 2, "approval_ttl": "12h", "unrunnable": "commit", "stop_timeout": 0},
    {"image_changes": "review"},
    {"health": {"failure_rate": "12.5%", "rule": "failure_rate", "checks": [{"type": "tcp", "port": 80}]}},
    {"health": {"failure_rate": 0, "window": 10, "checks": [{"type": "acme", "any": [{"thing": None}]}]}},
    {"rollback": {"quarantine": "forever"}},
    {"rollback": {"cooldown": 0, "max_per_day": 0, "on_inconclusive": "hold", "retain": "4w"}},
    {"hooks": [{"name": "a", "point": "before_switch", "command": ["a", "b"], "in_container": False}]},
    {"retention": {"journals": "1w", "keep_journals": 0, "plans": 3600}},
    {"rules": []},
    {"rules": [{"match": {"host": "*", "labels": {"a": "b"}}, "freeze": True, "health": {"window": "1m"}}]},
]

BAD: list[Any] = [
    [],
    None,
    {"version": 2},
    {"autoo_update": True},
    {"semver_gates": {"patch": "yes"}},
    {"semver_gates": {"pach": "auto"}},
    {"constraint": 1.1},
    {"constraint": None},
    {"minimum_age": "three days"},
    {"minimum_age": ""},
    {"minimum_age": True},
    {"minimum_age": -1},
    {"minimum_age": {"ages": 1}},
    {"windows": [{"from": "9:00", "to": "16:00"}]},
    {"windows": [{"from": "09:00", "to": 960}]},
    {"windows": [{"from": "09:00"}]},
    {"windows": [{"days": "daily-mon", "from": "09:00", "to": "10:00"}]},
    {"windows": [{"days": [], "from": "09:00", "to": "10:00"}]},
    {"freezes": [{"from": "20.12.2026", "to": "2027-01-03"}]},
    {"freeze": 1},
    {"stateful": "yes"},
    {"registries": "ghcr.io"},
    {"gates": ["a b"]},
    {"enabled": "true"},
    {"max_concurrent": 0},
    {"max_concurrent": 1.5},
    {"retention": None},
    {"retention": "90d"},
    {"retention": {"journal": "90d"}},
    {"retention": {"keep_journals": -1}},
    {"retention": {"plans": "11y"}},
    {"rules": [{"match": {"name": "web"}, "retention": {"plans": "2d"}}]},
    {"unrunnable": "ignore"},
    {"stop_timeout": 7200},
    {"stop_timeout": -1},
    {"image_changes": True},
    {"health": {"failure_rate": 1}},
    {"health": {"failure_rate": "10"}},
    {"health": {"checks": [{"port": 80}]}},
    {"health": []},
    {"hooks": [{"name": "a", "point": "sometimes", "command": ["a"]}]},
    {"hooks": [{"name": "a", "point": "after_commit", "command": []}]},
    {"hooks": [{"name": "a", "point": "after_commit", "command": "a b"}]},
    {"rules": {}},
    {"rules": [{"freeze": True}]},
    {"rules": [{"match": {}, "freeze": True}]},
    {"rules": [{"match": {"host": 1}}]},
    {"rules": [{"match": {"hots": "x"}}]},
]


def loads(document: Any) -> bool:
    try:
        Policy.from_dict(document)
    except ConfigurationError:
        return False
    return True


def test_the_shipped_schema_is_that_of_the_classes() -> None:
    shipped = resources.files("safeupdater.config").joinpath("policy.schema.json").read_text(encoding="utf-8")

    assert json.loads(shipped) == json_schema(), "run `python docs/generated.py`"


def test_the_schema_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(json_schema())


@pytest.mark.parametrize("document", GOOD, ids=json.dumps)
def test_schema_and_loader_take_a_good_policy_and_its_canonical_form(document: dict[str, Any]) -> None:
    assert loads(document)
    VALIDATOR.validate(document)
    VALIDATOR.validate(Policy.from_dict(document).to_dict())


@pytest.mark.parametrize("document", BAD, ids=json.dumps)
def test_schema_and_loader_refuse_a_bad_policy(document: Any) -> None:
    assert not loads(document)
    assert not VALIDATOR.is_valid(document)


def test_every_key_is_described_and_has_a_good_example() -> None:
    keys = {**dict(all_keys()), **dict(all_keys(STORE_SETTINGS))}
    used = "".join(json.dumps(document) for document in GOOD)

    assert len(keys) > 50
    assert all(key.help.endswith(".") for key in keys.values())
    untested = [name for name in keys if "." not in name and f'"{name}"' not in used]
    assert untested == []


def test_the_defaults_in_the_schema_are_good_values() -> None:
    properties = json_schema()["properties"]
    assert isinstance(properties, dict)
    defaults = {key: value["default"] for key, value in properties.items() if "default" in value}  # type: ignore[index, operator]

    assert len(defaults) > 10
    assert Policy.from_dict(defaults).defaults().fingerprint == Policy.default().defaults().fingerprint
