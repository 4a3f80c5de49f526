"""The samples that the contract of stores puts into them leave no field as it would be by itself."""

from __future__ import annotations

import attrs
import pytest

from safeupdater.codec import EVENTS, KINDS
from safeupdater.testing.store_filled import filled_events, filled_records


def test_there_is_one_of_each() -> None:
    assert set(filled_records()) == set(KINDS)
    assert sorted(type(event).__name__ for event in filled_events()) == sorted(
        type_.__name__ for type_ in EVENTS.values()
    )


@pytest.mark.parametrize(
    "value", [*filled_records().values(), *filled_events()], ids=lambda v: type(v).__name__
)
def test_no_field_is_left_as_it_would_be_by_itself(value: object) -> None:
    if not attrs.has(type(value)):
        return  # a setting is plain JSON
    left = [
        field.name
        for field in attrs.fields(type(value))
        if field.init
        and not isinstance(field.default, attrs.Factory)
        and getattr(value, field.name) == field.default
    ]
    assert left == []
