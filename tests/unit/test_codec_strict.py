"""Reading is strict: nothing unknown, damaged or newer is ever taken for something else."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import attrs
import pytest

from safeupdater.codec import (
    EVENTS,
    KINDS,
    SCHEMAS,
    Schema,
    decode,
    decode_event,
    dumps,
    encode,
    encode_event,
    loads,
    plan_from_json,
    plan_to_json,
)
from safeupdater.domain.artifact import ChartReference, ImageReference
from safeupdater.domain.operation import Event, FirstSeen, StepIntended
from safeupdater.domain.plan import Plan
from safeupdater.errors import ConfigurationError, CorruptState, StoreError
from safeupdater.testing.stores import INTENDED, START, asset, planned, snapshot


def changed(data: dict[str, Any], path: str, value: object) -> dict[str, Any]:
    """A copy of stored data with one field set."""
    copy = json.loads(json.dumps(data))
    *parents, last = path.split(".")
    place = copy
    for name in parents:
        place = place[int(name)] if isinstance(place, list) else place[name]
    place[last] = value
    return copy


def test_every_event_of_the_union_has_a_stored_name() -> None:
    assert set(EVENTS.values()) == set(Event.__args__)


def test_the_stored_form_of_an_event_is_what_it_was() -> None:
    assert dumps(encode_event(INTENDED)) == b'{"type":"step_intended","v":1,"phase":"staging","step":"pull"}'


@pytest.mark.parametrize(
    ("path", "value", "where"),
    [
        ("name", 5, "$.name"),
        ("asset_type", "spaceship", "$.asset_type"),
        ("running", "false", "$.running"),
        ("running", 1, "$.running"),
        ("digests", "sha256:0", "$.digests"),
        ("last_scan", "2026-03-01T12:00:00", "$.last_scan"),
        ("last_scan", "yesterday Z", "$.last_scan"),
        ("last_scan", 5, "$.last_scan"),
        ("image", "UPPER case", "$.image"),
        ("image", {"registry": "x"}, "$.image"),
        ("labels", {"a": 1}, "$.labels"),
        ("metadata", [], "$.metadata"),
        ("colour", "red", "unknown fields"),
        ("id", "not an id", "not a valid value"),
    ],
)
def test_a_field_that_breaks_its_schema_is_refused_with_its_place(
    path: str, value: object, where: str
) -> None:
    with pytest.raises(CorruptState) as refused:
        decode("asset", changed(encode(asset()), path, value))
    assert where in str(refused.value)


def test_a_missing_field_is_refused() -> None:
    data = encode(asset())
    del data["id"]
    with pytest.raises(CorruptState, match="missing"):
        decode("asset", data)


def test_an_error_shows_no_stored_value() -> None:
    data = changed(encode(snapshot(env=["hunter2"])), "taken_at", "hunter2")
    with pytest.raises(CorruptState) as refused:
        decode("snapshot", data)
    error: BaseException | None = refused.value
    while error is not None:
        assert "hunter2" not in f"{error!s}{error!r}"
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


@pytest.mark.parametrize("data", [None, 5, [], {}, {"type": "approval", "v": 1}, {"type": "asset"}])
def test_another_kind_of_object_is_refused(data: object) -> None:
    with pytest.raises(CorruptState):
        decode("asset", data)


@pytest.mark.parametrize(
    "data", [None, {}, {"type": ["x"]}, {"type": "unheard_of", "v": 1}, {"type": "asset"}]
)
def test_what_is_no_event_is_refused(data: object) -> None:
    with pytest.raises(CorruptState):
        decode_event(data)


@pytest.mark.parametrize("kind", list(KINDS))
def test_a_newer_version_says_which_and_what_to_do(kind: str) -> None:
    with pytest.raises(CorruptState, match=r"version 99.*upgrade") as refused:
        decode(kind, {"type": kind, "v": 99})
    assert refused.value.code == "newer_state"


@pytest.mark.parametrize("version", [0, -1, "1", None, True, 1.0])
def test_a_senseless_version_is_refused(version: object) -> None:
    with pytest.raises(CorruptState):
        decode("asset", changed(encode(asset()), "v", version))


def test_older_versions_are_brought_up_to_date_step_by_step() -> None:
    def rename(fields: dict[str, Any]) -> dict[str, Any]:
        return {("step" if name == "task" else name): value for name, value in fields.items()}

    def add_phase(fields: dict[str, Any]) -> dict[str, Any]:
        return fields | {"phase": "staging"}

    third = Schema(type=StepIntended, version=3, upcasters={1: rename, 2: add_phase})
    schemas = {**SCHEMAS, "step_intended": third}
    assert decode_event({"type": "step_intended", "v": 1, "task": "pull"}, schemas=schemas) == INTENDED
    assert decode_event({"type": "step_intended", "v": 2, "step": "pull"}, schemas=schemas) == INTENDED
    assert encode_event(INTENDED, schemas=schemas)["v"] == 3


def test_every_schema_can_read_all_versions_before_its_own() -> None:
    for name, schema in SCHEMAS.items():
        assert set(schema.upcasters) == set(range(1, schema.version)), name


def test_images_are_text_and_charts_are_objects() -> None:
    image = ImageReference.parse("ghcr.io/a/b:1@sha256:" + "0" * 64)
    chart = ChartReference(name="shop", version="1.2.3", repository="oci://r.example/charts")
    stored = encode(attrs.evolve(asset(), image=image))
    assert stored["image"] == str(image)
    stored = encode(attrs.evolve(asset(), image=chart, current_version="1"))
    assert stored["image"] == {
        "chart": "shop",
        "version": "1.2.3",
        "repository": "oci://r.example/charts",
        "digest": None,
    }


@pytest.mark.parametrize(
    "image",
    [
        ImageReference(registry="docker.io", repository="library/nginx"),
        ImageReference(registry="registry", repository="a/b", tag="1"),
        ImageReference(registry="index.docker.io", repository="library/nginx", tag="1"),
    ],
)
def test_an_image_whose_text_means_another_one_comes_back_all_the_same(image: ImageReference) -> None:
    data = encode(attrs.evolve(asset(), image=image, current_version="1"))
    assert decode("asset", loads(dumps(data))).image == image


def test_times_are_stored_in_utc() -> None:
    lisbon = datetime(2026, 7, 1, 12, 0, tzinfo=timezone(timedelta(hours=1)))
    data = encode(FirstSeen(reference="a", at=lisbon))
    assert data["at"] == "2026-07-01T11:00:00Z"
    assert decode("first_seen", data).at == lisbon.astimezone(UTC)
    with pytest.raises(StoreError, match="time zone"):
        encode(FirstSeen(reference="a", at=lisbon.replace(tzinfo=None)))


@pytest.mark.parametrize(
    "bad", [float("nan"), float("inf"), 2**70, b"bytes", {1, 2}, {5: 1}, START, [object()]]
)
def test_a_value_without_an_exact_json_form_is_refused(bad: object) -> None:
    with pytest.raises(StoreError) as refused:
        encode(attrs.evolve(asset(), metadata={"bad": bad}))
    assert refused.value.code == "not_storable"


def test_text_that_is_no_unicode_is_refused() -> None:
    with pytest.raises(StoreError, match="Unicode"):
        dumps(encode({"a": "\ud800"}))


# --- hashes and plan files --------------------------------------------------------------------------------


def a_plan() -> Plan:
    return Plan(updates=(planned().planned,), current=("memory://here/db",), created_at=START)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("planned.changes.0.new", "registry.example/web:6.6.6"),
        ("planned.policy_hash", "1" * 64),
        ("planned.target_id", "memory://here/other"),
        ("planned.hash", "0" * 64),
        ("planned.hash", None),
    ],
)
def test_a_planned_update_that_was_edited_does_not_match_its_hash(path: str, value: object) -> None:
    with pytest.raises(CorruptState, match="hash"):
        decode_event(changed(encode_event(planned()), path, value))


def test_a_plan_without_one_of_its_updates_does_not_match_its_hash() -> None:
    with pytest.raises(CorruptState, match="hash"):
        decode("plan", changed(encode(a_plan()), "updates", []))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[]",
        "null",
        "not json",
        '{"type": "plan", "v": 1}',
        '{"type": "plan", "v": 2}',
        '{"type": "asset", "v": 1}',
        "[" * 100_000,
        plan_to_json(a_plan()).replace("1.2.4", "6.6.6"),
        plan_to_json(a_plan()).replace('"approve"', '"approved"'),
        plan_to_json(a_plan())[:-20],
        "\ud800",
    ],
)
def test_a_bad_plan_file_is_a_configuration_error(text: str) -> None:
    with pytest.raises(ConfigurationError, match="safeupdater plan"):
        plan_from_json(text)


def test_a_plan_file_is_readable_by_people() -> None:
    text = plan_to_json(a_plan())
    assert text.startswith('{\n  "type": "plan",\n  "v": 1,\n')
    assert plan_from_json(text) == a_plan()
