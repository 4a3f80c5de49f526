"""The converter of whole values, and its twin that explains what is wrong."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, TypeVar, get_origin

from cattrs import Converter
from cattrs.gen import make_dict_structure_fn, make_dict_unstructure_fn

from safeupdater.codec.forms import (
    Unwelcome,
    arrays_only,
    artifact_form,
    chart_form,
    exactly,
    image_form,
    plain,
    read_artifact,
    read_chart,
    read_image,
    read_mapping,
    read_text_mapping,
    read_time,
    time_text,
)
from safeupdater.codec.schemas import NAMES
from safeupdater.domain.artifact import Artifact, ChartReference, ImageReference
from safeupdater.domain.plan import Plan, PlannedUpdate

T = TypeVar("T")


def _keep_hash(converter: Converter, type_: type[T]) -> None:
    """Stores the hash of a value beside it and compares it when the value is read again."""
    structure_fields = make_dict_structure_fn(type_, converter, _cattrs_forbid_extra_keys=True)

    def structure(value: Any, _: Any) -> T:
        fields = dict(read_mapping(value, None))
        stored = fields.pop("hash", None)
        made = structure_fields(fields, type_)
        if stored != made.hash:  # type: ignore[attr-defined]
            raise Unwelcome(f"the hash of the {NAMES.get(type_, 'planned update')} does not match it")
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
        converter.register_structure_hook(type_, exactly(expected, type_))
    converter.register_structure_hook(float, exactly("a number", float, int))
    converter.register_structure_hook(datetime, read_time)
    converter.register_unstructure_hook(datetime, time_text)
    converter.register_structure_hook(ImageReference, read_image)
    converter.register_unstructure_hook(ImageReference, image_form)
    converter.register_structure_hook(ChartReference, read_chart)
    converter.register_unstructure_hook(ChartReference, chart_form)
    converter.register_structure_hook(Artifact, read_artifact)
    converter.register_unstructure_hook(Artifact, artifact_form)
    converter.register_structure_hook_func(lambda type_: type_ == Mapping[str, object], read_mapping)
    converter.register_structure_hook_func(lambda type_: type_ == Mapping[str, str], read_text_mapping)
    converter.register_unstructure_hook_func(
        lambda type_: type_ in (Mapping[str, object], Mapping[str, str]), plain
    )
    converter.register_structure_hook_factory(
        _is_sequence, lambda type_: arrays_only(type_, converter.get_structure_hook)
    )
    _keep_hash(converter, PlannedUpdate)
    _keep_hash(converter, Plan)
    return converter


def _is_sequence(type_: Any) -> bool:
    origin: object = get_origin(type_)
    return origin is frozenset or (origin is tuple and type_.__args__[-1] is Ellipsis)


# Explaining where a value is wrong costs time on every field, so it is done only after a failure.
FAST = _converter(explain=False)
EXPLAINING = _converter(explain=True)
