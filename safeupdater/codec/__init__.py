"""Values as versioned JSON and back: what journals, records and saved plans hold.

Every stored object is ``{"type": …, "v": …, …}``. Reading is strict: an unknown field, a wrong type, a
hash that does not match or a version from the future is an error, never a guess. Older versions are brought
up to date by the upcasters of their schema. Instants are RFC 3339 in UTC, enums are stored by value, sets
are sorted, image references are text and chart references objects.
"""

from __future__ import annotations

from safeupdater.codec.forms import plain, time_text
from safeupdater.codec.schemas import EVENTS, KINDS, SCHEMAS, SETTING, Schema, Upcaster, kind_of
from safeupdater.codec.text import dumps, loads, plan_from_json, plan_to_json
from safeupdater.codec.typed import decode, decode_event, encode, encode_event

__all__ = [
    "EVENTS",
    "KINDS",
    "SCHEMAS",
    "SETTING",
    "Schema",
    "Upcaster",
    "decode",
    "decode_event",
    "dumps",
    "encode",
    "encode_event",
    "kind_of",
    "loads",
    "plain",
    "plan_from_json",
    "plan_to_json",
    "time_text",
]
