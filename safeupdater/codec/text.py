"""JSON text: compact for stores, indented for plan files."""

from __future__ import annotations

from typing import Any, cast

import msgspec

from safeupdater.codec.forms import not_storable
from safeupdater.codec.typed import decode, encode
from safeupdater.domain.plan import Plan
from safeupdater.errors import ConfigurationError, CorruptState


def dumps(data: object) -> bytes:
    """A JSON-like object as compact UTF-8 without line breaks.

    Raises:
        StoreError: a text in it is not Unicode.
    """
    try:
        return msgspec.json.encode(data)
    except (UnicodeEncodeError, OverflowError):
        raise not_storable("a text in it is not valid Unicode") from None


def loads(text: bytes | str) -> Any:
    """The JSON value that a text holds.

    Raises:
        CorruptState: the text is not JSON.
    """
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        raise CorruptState("stored data is not JSON") from None


def plan_to_json(plan: Plan) -> str:
    """A plan as text that can be saved, looked at and applied later."""
    return msgspec.json.format(dumps(encode(plan)), indent=2).decode() + "\n"


def plan_from_json(text: str) -> Plan:
    """The plan that a saved text holds; its hashes are computed anew and compared.

    Raises:
        ConfigurationError: the text is no plan, was edited, or comes from a newer version.
    """
    try:
        return cast("Plan", decode("plan", loads(text)))
    except CorruptState as error:
        raise ConfigurationError(
            f"this is not a usable plan file: {error}; make a new one with: safeupdater plan",
            code="invalid_plan",
        ) from error
