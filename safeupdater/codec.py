"""Values as versioned JSON and back: what journals, records and saved plans hold.

Every stored object is ``{"type": …, "v": …, …}``. Reading is strict: an unknown field, a wrong type, a
hash that does not match or a version from the future is an error, never a guess. Older versions are brought
up to date by the upcasters of their schema. Instants are RFC 3339 in UTC, enums are stored by value, sets
are sorted, image references are text and chart references objects.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, TypeVar, cast, get_origin

import attrs
import msgspec
from cattrs import Converter, transform_error
from cattrs.gen import make_dict_structure_fn, make_dict_unstructure_fn

from safeupdater.domain.artifact import Artifact, ChartReference, ImageReference
from safeupdater.domain.asset import Asset
from safeupdater.domain.operation import (
    AbortRequested,
    BecameReady,
    Breaker,
    Event,
    Finished,
    FirstSeen,
    OperationPlanned,
    PreflightPassed,
    Quarantine,
    Resolved,
    Resumed,
    RollbackRecord,
    Snapshot,
    SnapshotCaptured,
    StepDone,
    StepFailed,
    StepIntended,
    VerdictReached,
)
from safeupdater.domain.plan import Approval, Plan, PlannedUpdate
from safeupdater.errors import ConfigurationError, CorruptState, StoreError

Upcaster = Callable[[dict[str, Any]], dict[str, Any]]
T = TypeVar("T")


@attrs.frozen(kw_only=True)
class Schema:
    """How one type is stored: its class and the version that is written now.

    ``upcasters[n]`` turns the fields of version n into those of version n + 1.
    """

    type: type
    version: int = 1
    upcasters: Mapping[int, Upcaster] = attrs.field(factory=dict)


SETTING = "setting"

KINDS: Mapping[str, type] = MappingProxyType(
    {
        "asset": Asset,
        "approval": Approval,
        "quarantine": Quarantine,
        "rollback": RollbackRecord,
        "breaker": Breaker,
        "plan": Plan,
        "snapshot": Snapshot,
        "first_seen": FirstSeen,
        SETTING: object,
    }
)
"""The kinds of records and the classes of their values; a ``setting`` is any plain JSON value."""

EVENTS: Mapping[str, type] = MappingProxyType(
    {
        "operation_planned": OperationPlanned,
        "preflight_passed": PreflightPassed,
        "snapshot_captured": SnapshotCaptured,
        "step_intended": StepIntended,
        "step_done": StepDone,
        "step_failed": StepFailed,
        "became_ready": BecameReady,
        "verdict_reached": VerdictReached,
        "abort_requested": AbortRequested,
        "resumed": Resumed,
        "resolved": Resolved,
        "finished": Finished,
    }
)
"""The types of journal events by the name under which they are stored."""

SCHEMAS: Mapping[str, Schema] = MappingProxyType(
    {name: Schema(type=type_) for name, type_ in {**KINDS, **EVENTS}.items() if name != SETTING}
)
"""The schema of every stored type."""

_NAMES = {schema.type: name for name, schema in SCHEMAS.items()}


# --- the converter ----------------------------------------------------------------------------------------


def plain(value: object) -> Any:
    """A copy of a JSON-like value made of dicts, lists, text, numbers, booleans and None only.

    Raises:
        StoreError: something in it has no exact JSON form; the message names its type and place.
    """
    return _plain(value, "$")


def _plain(value: object, path: str) -> Any:
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, int) and -(2**63) <= value < 2**64:
        return int(value)
    if isinstance(value, float) and math.isfinite(value):
        return float(value)
    if isinstance(value, Mapping):
        return {_text_key(key, path): _plain(item, f"{path}.{key}") for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, f"{path}[{index}]") for index, item in enumerate(value)]
    raise _not_storable(f"{path} is a {type(value).__name__} without an exact JSON form")


def _text_key(key: object, path: str) -> str:
    if not isinstance(key, str):
        raise _not_storable(f"{path} has a key that is a {type(key).__name__} instead of text")
    return key


def _not_storable(what: str) -> StoreError:
    return StoreError(f"the value cannot be stored: {what}", code="not_storable")


class _Unwelcome(ValueError):
    """A stored value that breaks its schema; the text says what was expected and shows no data."""


def _exactly(expected: str, *types: type) -> Callable[[Any, Any], Any]:
    accepted = frozenset(types)

    def structure(value: Any, _: Any) -> Any:
        if type(value) not in accepted:
            raise _Unwelcome(f"expected {expected}")
        return value

    return structure


def time_text(value: datetime) -> str:
    """An instant as RFC 3339 in UTC, to the microsecond."""
    if value.tzinfo is None:
        raise _not_storable("a time has no time zone")
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _time(value: Any, _: Any) -> datetime:
    if not isinstance(value, str) or not value.endswith("Z"):
        raise _Unwelcome("expected an RFC 3339 time in UTC")
    try:
        return datetime.fromisoformat(value)
    except ValueError:
        raise _Unwelcome("expected an RFC 3339 time in UTC") from None


def _image_form(image: ImageReference) -> object:
    text = str(image)
    if (image.tag or image.digest) and ImageReference.parse(text) == image:
        return text
    return {"registry": image.registry, "repository": image.repository} | (
        {"tag": image.tag, "digest": image.digest} if image.tag or image.digest else {}
    )


def _image(value: Any, _: Any) -> ImageReference:
    if isinstance(value, str):
        return ImageReference.parse(value)
    if isinstance(value, dict) and set(value) <= {"registry", "repository", "tag", "digest"}:
        return ImageReference(**value)
    raise _Unwelcome("expected an image reference")


def _chart_form(chart: ChartReference) -> object:
    return {
        "chart": chart.name,
        "version": chart.version,
        "repository": chart.repository,
        "digest": chart.digest,
    }


def _chart(value: Any, _: Any) -> ChartReference:
    if not isinstance(value, dict) or set(value) != {"chart", "version", "repository", "digest"}:
        raise _Unwelcome("expected a chart reference")
    return ChartReference(
        name=value["chart"],
        version=value["version"],
        repository=value["repository"],
        digest=value["digest"],
    )


def _artifact_form(artifact: Artifact) -> object:
    return _chart_form(artifact) if isinstance(artifact, ChartReference) else _image_form(artifact)


def _artifact(value: Any, type_: Any) -> Artifact:
    return _chart(value, type_) if isinstance(value, dict) and "chart" in value else _image(value, type_)


def _mapping(value: Any, _: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _Unwelcome("expected an object")
    return value


def _text_mapping(value: Any, _: Any) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
        raise _Unwelcome("expected an object of text")
    return value


def _arrays_only(
    type_: Any, hook_of: Callable[[Any], Callable[[Any, Any], Any]]
) -> Callable[[Any, Any], Any]:
    """Tuples and frozensets from JSON arrays only: text would be taken apart into characters."""
    item_type = type_.__args__[0]
    container = tuple if get_origin(type_) is tuple else frozenset
    list_type = list[item_type]  # type: ignore[valid-type]
    structure_list = hook_of(list_type)

    def structure(value: Any, _: Any) -> Any:
        if not isinstance(value, list):
            raise _Unwelcome("expected an array")
        return container(structure_list(value, list_type))

    return structure


def _keep_hash(converter: Converter, type_: type[T]) -> None:
    """Stores the hash of a value beside it and compares it when the value is read again."""
    structure_fields = make_dict_structure_fn(type_, converter, _cattrs_forbid_extra_keys=True)

    def structure(value: Any, _: Any) -> T:
        fields = dict(_mapping(value, None))
        stored = fields.pop("hash", None)
        made = structure_fields(fields, type_)
        if stored != made.hash:  # type: ignore[attr-defined]
            raise _Unwelcome(f"the hash of the {_NAMES.get(type_, 'planned update')} does not match it")
        return made

    converter.register_structure_hook(type_, structure)
    converter.register_unstructure_hook(
        type_,
        make_dict_unstructure_fn(type_, converter, _cattrs_include_init_false=True),
    )


def _converter(*, explain: bool) -> Converter:
    converter = Converter(
        forbid_extra_keys=True,
        detailed_validation=explain,
        unstruct_collection_overrides={tuple: list, frozenset: sorted},
    )
    for type_, expected in ((str, "text"), (int, "a whole number"), (bool, "true or false")):
        converter.register_structure_hook(type_, _exactly(expected, type_))
    converter.register_structure_hook(float, _exactly("a number", float, int))
    converter.register_structure_hook(datetime, _time)
    converter.register_unstructure_hook(datetime, time_text)
    converter.register_structure_hook(ImageReference, _image)
    converter.register_unstructure_hook(ImageReference, _image_form)
    converter.register_structure_hook(ChartReference, _chart)
    converter.register_unstructure_hook(ChartReference, _chart_form)
    converter.register_structure_hook(Artifact, _artifact)
    converter.register_unstructure_hook(Artifact, _artifact_form)
    converter.register_structure_hook_func(lambda type_: type_ == Mapping[str, object], _mapping)
    converter.register_structure_hook_func(lambda type_: type_ == Mapping[str, str], _text_mapping)
    converter.register_unstructure_hook_func(
        lambda type_: type_ in (Mapping[str, object], Mapping[str, str]), plain
    )
    converter.register_structure_hook_factory(
        _is_sequence, lambda type_: _arrays_only(type_, converter.get_structure_hook)
    )
    _keep_hash(converter, PlannedUpdate)
    _keep_hash(converter, Plan)
    return converter


def _is_sequence(type_: Any) -> bool:
    origin: object = get_origin(type_)
    return origin is frozenset or (origin is tuple and type_.__args__[-1] is Ellipsis)


# Explaining where a value is wrong costs time on every field, so it is done only after a failure.
_FAST = _converter(explain=False)
_EXPLAINING = _converter(explain=True)


# --- typed objects ----------------------------------------------------------------------------------------


def _encode(value: object, name: str, schemas: Mapping[str, Schema]) -> dict[str, Any]:
    return {"type": name, "v": schemas[name].version, **_FAST.unstructure(value)}


def _decode(name: str, data: object, schemas: Mapping[str, Schema]) -> Any:
    schema = schemas[name]
    fields = _current_fields(name, data, schema)
    try:
        return _FAST.structure(fields, schema.type)
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
        _EXPLAINING.structure(fields, type_)
    except Exception as detailed:  # noqa: BLE001 - any failure is what we came for
        return "; ".join(transform_error(detailed, path="$", format_exception=_say)[:5])
    return _say(error, None)


def _say(error: BaseException, _: object) -> str:
    if isinstance(error, _Unwelcome):
        return str(error)
    if isinstance(error, KeyError):
        return "a required field is missing"
    name = type(error).__name__
    return "unknown fields" if name == "ForbiddenExtraKeysError" else f"not a valid value ({name})"


def kind_of(kind: str, value: object) -> None:
    """Checks that a value belongs to a kind of records.

    Raises:
        StoreError: there is no such kind, or the value is of another class.
    """
    wanted = KINDS.get(kind)
    if wanted is None:
        raise StoreError(f"{kind!a} is not a kind of record: {', '.join(KINDS)}", code="unknown_kind")
    if not isinstance(value, wanted):
        raise StoreError(
            f"a record of kind {kind} holds a {wanted.__name__}, not a {type(value).__name__}",
            code="not_storable",
        )


def encode(value: object, *, schemas: Mapping[str, Schema] = SCHEMAS) -> dict[str, Any]:
    """A record's value as a JSON object; anything that is no known class is a ``setting``.

    Raises:
        StoreError: the value has no exact JSON form.
    """
    name = _NAMES.get(type(value))
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
    return _encode(event, _NAMES[type(event)], schemas)


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


# --- text -------------------------------------------------------------------------------------------------


def dumps(data: object) -> bytes:
    """A JSON-like object as compact UTF-8 without line breaks.

    Raises:
        StoreError: a text in it is not Unicode.
    """
    try:
        return msgspec.json.encode(data)
    except (UnicodeEncodeError, OverflowError):
        raise _not_storable("a text in it is not valid Unicode") from None


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
