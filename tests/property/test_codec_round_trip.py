"""Whatever is stored comes back equal, through real JSON text."""

from __future__ import annotations

from hypothesis import given

from safeupdater.codec import (
    decode,
    decode_event,
    dumps,
    encode,
    encode_event,
    loads,
    plan_from_json,
    plan_to_json,
)
from safeupdater.domain.operation import Event
from safeupdater.domain.plan import Plan
from safeupdater.testing import strategies as su


@given(su.events())
def test_every_event_comes_back_equal(event: Event) -> None:
    assert decode_event(loads(dumps(encode_event(event)))) == event


@given(su.records())
def test_every_record_comes_back_equal(record: tuple[str, object]) -> None:
    kind, value = record
    assert decode(kind, loads(dumps(encode(value)))) == value


@given(su.plans())
def test_a_saved_plan_comes_back_equal_with_its_hashes(plan: Plan) -> None:
    again = plan_from_json(plan_to_json(plan))
    assert again == plan
    assert again.hash == plan.hash
    assert [update.hash for update in again.updates] == [update.hash for update in plan.updates]
