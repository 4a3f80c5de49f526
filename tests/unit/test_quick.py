"""Classes that are made quickly are the classes that attrs would make."""

from __future__ import annotations

import copy
import inspect
import pickle

import attrs
import pytest

from safeupdater.domain.artifact import ImageReference
from safeupdater.domain.asset import Asset, AssetStatus, AssetType
from safeupdater.domain.operation import JournalEntry
from safeupdater.domain.quick import evolved, quick
from safeupdater.update.states import Switching, Watching


@attrs.frozen
class _Plain:
    a: int
    b: str = "b"
    c: tuple[int, ...] = attrs.field(default=(), kw_only=True)


@quick
@attrs.frozen
class _Quick:
    a: int
    b: str = "b"
    c: tuple[int, ...] = attrs.field(default=(), kw_only=True)


@quick
@attrs.frozen
class _Derived(_Quick):
    d: int = 4


def test_the_signature_is_that_of_attrs() -> None:
    assert inspect.signature(_Quick) == inspect.signature(_Plain)
    for hot in (JournalEntry, Switching, Watching):
        assert list(inspect.signature(hot).parameters) == [field.name for field in attrs.fields(hot)]


def test_what_is_given_is_set_and_the_rest_has_its_default() -> None:
    assert attrs.astuple(_Quick(1)) == (1, "b", ())
    assert attrs.astuple(_Quick(1, "x", c=(2,))) == (1, "x", (2,))
    assert attrs.astuple(_Derived(1, "x", 5, c=(2,))) == (1, "x", (2,), 5)


def test_it_stays_frozen_comparable_and_copyable() -> None:
    value = _Quick(1, c=(2,))
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        value.a = 2  # type: ignore[misc]
    assert value == _Quick(1, "b", c=(2,)) != _Quick(2)
    assert hash(value) == hash(_Quick(1, c=(2,)))
    assert attrs.evolve(value, a=3) == _Quick(3, c=(2,))
    assert copy.copy(value) == value == pickle.loads(pickle.dumps(value))


@pytest.mark.parametrize("arguments", [(), (1, "b", ())], ids=["too few", "by position"])
def test_a_call_that_attrs_would_refuse_is_refused(arguments: tuple[object, ...]) -> None:
    with pytest.raises(TypeError, match=r"_Quick\.__init__\(\)"):
        _Quick(*arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "field",
    [
        attrs.field(factory=list),
        attrs.field(default=0, converter=int),
        attrs.field(default=0, validator=attrs.validators.ge(0)),
        attrs.field(default=0, init=False),
    ],
    ids=["factory", "converter", "validator", "not set by the caller"],
)
def test_a_field_that_is_more_than_set_is_refused(field: object) -> None:
    made = attrs.make_class("_More", {"x": field}, frozen=True, slots=True)
    with pytest.raises(TypeError, match="x is not a plain field"):
        quick(made)


@pytest.mark.parametrize(
    ("value", "changes"),
    [
        (_Quick(1, c=(2,)), {"a": 3, "b": "c"}),
        (_Derived(1, c=(2,)), {"d": 5}),
        (
            Asset(
                id="memory://local/app", name="app", asset_type=AssetType.CONTAINER,
                image=ImageReference.parse("app:1.0.0"), labels={"a": "b"},
            ),
            {"status": AssetStatus.UPDATING},
        ),
    ],
    ids=["quick", "derived", "of attrs"],
)  # fmt: skip
def test_what_evolves_is_what_attrs_would_make(
    value: attrs.AttrsInstance, changes: dict[str, object]
) -> None:
    before = copy.copy(value)
    assert evolved(value, **changes) == attrs.evolve(value, **changes)
    assert evolved(value) == value == before
    with pytest.raises(TypeError, match="has no nothing, else"):
        evolved(value, nothing=1, **changes, **{"else": 2})
