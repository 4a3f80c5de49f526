"""Frozen values that are made all the time: the same attrs classes, made in half the time.

What else is slow where something happens with every sample: ``Condition.READY`` takes Python 3.11 twenty
times as long as a name of the module, so there the members that are asked for are bound to such names.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import attrs

Class = TypeVar("Class", bound=type)
Value = TypeVar("Value")

made = tuple.__new__
"""Makes a named tuple of all its fields, ``made(Sample, (status, at_s, detail))``: a third of the time that
calling the class takes, for what is made with every sample."""

_FACTORY: type = type(attrs.Factory(list))


def quick(cls: Class) -> Class:
    """The frozen attrs class with an ``__init__`` that sets every slot by the slot's own descriptor.

    attrs sets each field of a frozen class by its name, through ``object.__setattr__``, which takes two to
    three times as long. Signature, defaults, equality and being frozen stay as they were. Leaving it away
    only costs time, so it stands where measuring showed that it counts.

    Raises:
        TypeError: a field has a factory, a converter or a validator, or is not set by the caller.
    """
    fields = attrs.fields(cls)
    names = _setters(cls)
    names |= {f"default_{field.name}": field.default for field in fields}
    positional = [_parameter(field) for field in fields if not field.kw_only]
    by_name = [_parameter(field) for field in fields if field.kw_only]
    parameters = ["self", *positional, *(["*", *by_name] if by_name else ())]
    body = "".join(f"\n    set_{field.name}(self, {field.alias})" for field in fields)
    # Written out and compiled once, as attrs itself does it.
    exec(f"def __init__({', '.join(parameters)}):{body}", names)  # noqa: S102
    init: Callable[..., None] = names["__init__"]
    init.__qualname__ = f"{cls.__qualname__}.__init__"
    init.__annotations__ = getattr(cls, "__init__").__annotations__  # noqa: B009  mypy: of a class, on purpose
    setattr(cls, "__init__", init)  # noqa: B010
    return cls


def evolved(value: Value, /, **changes: Any) -> Value:
    """What ``attrs.evolve`` gives, in a third of the time, of a frozen attrs class with slots.

    What changes is taken as it is, without the field's converter and the checks of the class.

    Raises:
        TypeError: there is no such field.
    """
    cls = type(value)
    copy = _COPIES.get(cls) or _COPIES.setdefault(cls, _copying(cls))
    new = cls.__new__(cls)
    copy(value, new, changes)
    if changes:
        raise TypeError(f"{cls.__name__} has no {', '.join(changes)}")
    return new


_Copy = Callable[[Any, Any, dict[str, Any]], None]
_COPIES: dict[type, _Copy] = {}


def _copying(cls: type) -> _Copy:
    """What fills a new instance from another one and from changes, which it takes out."""
    names = _setters(cls)
    fields = [field.name for field in attrs.fields(cls)]
    body = "".join(
        f"\n    set_{name}(new, take({name!r}) if {name!r} in changes else self.{name})" for name in fields
    )
    exec(f"def copy(self, new, changes):\n    take = changes.pop{body}", names)  # noqa: S102
    copy: _Copy = names["copy"]
    return copy


def _setters(cls: type) -> dict[str, Any]:
    """What sets each field of an instance, by the name under which compiled code calls it."""
    return {f"set_{field.name}": getattr(cls, field.name).__set__ for field in attrs.fields(cls)}


def _parameter(field: attrs.Attribute[Any]) -> str:
    has_factory = isinstance(field.default, _FACTORY)
    if has_factory or field.converter is not None or field.validator is not None or not field.init:
        raise TypeError(f"{field.name} is not a plain field: attrs must make this class")
    return f"{field.alias}" if field.default is attrs.NOTHING else f"{field.alias}=default_{field.name}"
