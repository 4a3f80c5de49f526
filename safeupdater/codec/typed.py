"""Typed objects: values with their type's name and version, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from cattrs import transform_error

from safeupdater.codec.converting import EXPLAINING, FAST
from safeupdater.codec.forms import Unwelcome, not_storable, plain
from safeupdater.codec.schemas import EVENTS, KINDS, NAMES, SCHEMAS, SETTING, Schema
from safeupdater.domain.operation import (
    Event,
)
from safeupdater.errors import CorruptState, StoreError


def _encode(value: object, name: str, schemas: Mapping[str, Schema]) -> dict[str, Any]:
    """The form of a value, which can be read back: what cannot would spoil all that is stored with it."""
    form = {"type": name, "v": schemas[name].version, **FAST.unstructure(value)}
    try:
        _decode(name, form, schemas)
    except CorruptState as error:
        raise not_storable(f"nobody could read it again: {error.message}") from None
    return form


def _decode(name: str, data: object, schemas: Mapping[str, Schema]) -> Any:
    schema = schemas[name]
    fields = _current_fields(name, data, schema)
    try:
        return FAST.structure(fields, schema.type)
    except Exception as error:  # noqa: BLE001 - whatever the value breaks, it is the stored value that is bad
        explanation = _explanation(fields, schema.type, error)
        raise CorruptState(f"a stored {name} cannot be read: {explanation}") from None


def _current_fields(name: str, data: object, schema: Schema) -> dict[str, Any]:
    if not isinstance(data, dict) or data.get("type") != name:
        found = data.get("type") if isinstance(data, dict) else None
        raise CorruptState(f"expected a stored {name}, found {ascii(found)[:60]}", code="foreign_state")
    version = data.get("v")
    if type(version) is not int or version < 1:
        raise CorruptState(f"a stored {name} has no version")
    if version > schema.version:
        raise CorruptState(
            f"a stored {name} has version {version}, this safeupdater reads up to {schema.version}: "
            "it was written by a newer safeupdater; upgrade this one",
            code="newer_state",
        )
    fields = {key: item for key, item in data.items() if key not in ("type", "v")}
    for old in range(version, schema.version):
        fields = schema.upcasters[old](fields)
    return fields


def _explanation(fields: object, type_: type, error: Exception) -> str:
    # The text of a foreign exception may show the value, and the value may hold a secret.
    try:
        EXPLAINING.structure(fields, type_)
    except Exception as detailed:  # noqa: BLE001 - any failure is what we came for
        return "; ".join(transform_error(detailed, path="$", format_exception=_say)[:5])
    return _say(error, None)


def _say(error: BaseException, _: object) -> str:
    if isinstance(error, Unwelcome):
        return str(error)
    if isinstance(error, KeyError):
        return "a required field is missing"
    name = type(error).__name__
    return "unknown fields" if name == "ForbiddenExtraKeysError" else f"not a valid value ({name})"


def encode(value: object, *, schemas: Mapping[str, Schema] = SCHEMAS) -> dict[str, Any]:
    """A record's value as a JSON object; anything that is no known class is a ``setting``.

    Raises:
        StoreError: the value has no exact JSON form.
    """
    name = NAMES.get(type(value))
    if name is None:
        return {"type": SETTING, "v": 1, "value": plain(value)}
    return _encode(value, name, schemas)


def decode(kind: str, data: object, *, schemas: Mapping[str, Schema] = SCHEMAS) -> Any:
    """The value of a record of that kind.

    Raises:
        CorruptState: the object is damaged, of another kind, or from a newer version.
    """
    if kind not in KINDS:
        raise StoreError(f"{kind!a} is not a kind of record: {', '.join(KINDS)}", code="unknown_kind")
    if kind == SETTING:
        return _decode_setting(data)
    return _decode(kind, data, schemas)


def _decode_setting(data: object) -> Any:
    fields = _current_fields(SETTING, data, Schema(type=object))
    if set(fields) != {"value"}:
        raise CorruptState("a stored setting cannot be read: expected exactly one value")
    return fields["value"]


def encode_event(event: Event, *, schemas: Mapping[str, Schema] = SCHEMAS) -> dict[str, Any]:
    """A journal event as a JSON object.

    Raises:
        StoreError: the event has no exact JSON form.
    """
    return _encode(event, NAMES[type(event)], schemas)


def decode_event(data: object, *, schemas: Mapping[str, Schema] = SCHEMAS) -> Event:
    """The journal event that an object holds.

    Raises:
        CorruptState: the object is damaged, no event, or from a newer version.
    """
    name = data.get("type") if isinstance(data, dict) else None
    if not isinstance(name, str) or name not in EVENTS:
        raise CorruptState(
            f"a journal entry of the unknown type {ascii(name)[:60]}: "
            "it is foreign, or was written by a newer safeupdater",
            code="newer_state" if isinstance(name, str) else "foreign_state",
        )
    return cast("Event", _decode(name, data, schemas))
