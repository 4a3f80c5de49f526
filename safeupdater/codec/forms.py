"""The JSON forms of single values: instants, references, mappings and arrays, strictly read."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, get_origin

from safeupdater.domain.artifact import Artifact, ChartReference, ImageReference
from safeupdater.errors import StoreError

_AS_IT_IS = frozenset({str, bool, type(None)})


def plain(value: object) -> Any:
    """A copy of a JSON-like value made of dicts, lists, text, numbers, booleans and None only.

    Raises:
        StoreError: something in it has no exact JSON form; the message names its type and place.
    """
    return _plain(value, "$")


def _plain(value: object, path: str) -> Any:
    if type(value) in _AS_IT_IS or isinstance(value, str):
        return value
    if isinstance(value, int) and -(2**63) <= value < 2**64:
        return int(value)
    if isinstance(value, float) and math.isfinite(value):
        return float(value)
    if isinstance(value, Mapping):
        return {_text_key(key, path): _plain(item, f"{path}.{key}") for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, f"{path}[{index}]") for index, item in enumerate(value)]
    raise not_storable(f"{path} is a {type(value).__name__} without an exact JSON form")


def _text_key(key: object, path: str) -> str:
    if not isinstance(key, str):
        raise not_storable(f"{path} has a key that is a {type(key).__name__} instead of text")
    return key


def not_storable(what: str) -> StoreError:
    """The refusal of a value without an exact JSON form."""
    return StoreError(f"the value cannot be stored: {what}", code="not_storable")


class Unwelcome(ValueError):
    """A stored value that breaks its schema; the text says what was expected and shows no data."""


def exactly(expected: str, *types: type) -> Callable[[Any, Any], Any]:
    """Reads a value of exactly these types: no text for a number, no number for yes or no."""
    accepted = frozenset(types)

    def structure(value: Any, _: Any) -> Any:
        if type(value) not in accepted:
            raise Unwelcome(f"expected {expected}")
        return value

    return structure


def time_text(value: datetime) -> str:
    """An instant as RFC 3339 in UTC, to the microsecond."""
    if value.tzinfo is None:
        raise not_storable("a time has no time zone")
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z")


def read_time(value: Any, _: Any) -> datetime:
    """The instant that a text in UTC stands for."""
    if not isinstance(value, str) or not value.endswith("Z"):
        raise Unwelcome("expected an RFC 3339 time in UTC")
    try:
        return datetime.fromisoformat(value)
    except ValueError:
        raise Unwelcome("expected an RFC 3339 time in UTC") from None


def image_form(image: ImageReference) -> object:
    """A reference as text where the text says all of it, else as an object."""
    text = str(image)
    if (image.tag or image.digest) and ImageReference.parse(text) == image:
        return text
    return {"registry": image.registry, "repository": image.repository} | (
        {"tag": image.tag, "digest": image.digest} if image.tag or image.digest else {}
    )


def read_image(value: Any, _: Any) -> ImageReference:
    """The image reference that a text or an object stands for."""
    if isinstance(value, str):
        return ImageReference.parse(value)
    if isinstance(value, dict) and set(value) <= {"registry", "repository", "tag", "digest"}:
        return ImageReference(**value)
    raise Unwelcome("expected an image reference")


def chart_form(chart: ChartReference) -> object:
    """A chart reference as an object."""
    return {
        "chart": chart.name,
        "version": chart.version,
        "repository": chart.repository,
        "digest": chart.digest,
    }


def read_chart(value: Any, _: Any) -> ChartReference:
    """The chart reference that an object stands for."""
    if not isinstance(value, dict) or set(value) != {"chart", "version", "repository", "digest"}:
        raise Unwelcome("expected a chart reference")
    return ChartReference(
        name=value["chart"],
        version=value["version"],
        repository=value["repository"],
        digest=value["digest"],
    )


def artifact_form(artifact: Artifact) -> object:
    """An image or a chart as it is stored."""
    return chart_form(artifact) if isinstance(artifact, ChartReference) else image_form(artifact)


def read_artifact(value: Any, type_: Any) -> Artifact:
    """The image or the chart that a stored form stands for."""
    return (
        read_chart(value, type_) if isinstance(value, dict) and "chart" in value else read_image(value, type_)
    )


def read_mapping(value: Any, _: Any) -> dict[str, Any]:
    """An object as it is."""
    if not isinstance(value, dict):
        raise Unwelcome("expected an object")
    return value


def read_text_mapping(value: Any, _: Any) -> dict[str, str]:
    """An object whose values are text."""
    if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
        raise Unwelcome("expected an object of text")
    return value


def arrays_only(type_: Any, hook_of: Callable[[Any], Callable[[Any, Any], Any]]) -> Callable[[Any, Any], Any]:
    """Tuples and frozensets from JSON arrays only: text would be taken apart into characters."""
    item_type = type_.__args__[0]
    container = tuple if get_origin(type_) is tuple else frozenset
    list_type = list[item_type]  # type: ignore[valid-type]
    structure_list = hook_of(list_type)

    def structure(value: Any, _: Any) -> Any:
        if not isinstance(value, list):
            raise Unwelcome("expected an array")
        return container(structure_list(value, list_type))

    return structure
