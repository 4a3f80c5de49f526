"""Frozen values that are made all the time: the same attrs classes, made in half the time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import attrs

Class = TypeVar("Class", bound=type)

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
    names: dict[str, Any] = {f"set_{field.name}": getattr(cls, field.name).__set__ for field in fields}
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


def _parameter(field: attrs.Attribute[Any]) -> str:
    has_factory = isinstance(field.default, _FACTORY)
    if has_factory or field.converter is not None or field.validator is not None or not field.init:
        raise TypeError(f"{field.name} is not a plain field: attrs must make this class")
    return f"{field.alias}" if field.default is attrs.NOTHING else f"{field.alias}=default_{field.name}"
