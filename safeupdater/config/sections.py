"""Mappings with known keys: classes whose attributes are declared as keys of the policy file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Generic

import attrs

from safeupdater.config.kinds import Kind, Schema, T, entries_of, suggestion
from safeupdater.config.nodes import MapNode, Mark, Node, Plain, Problems, ScalarNode, child, quoted


@attrs.frozen(kw_only=True)
class Key:
    """One key of a section: its name in the file, its attribute, kind, meaning and built-in default."""

    name: str
    attribute: str
    kind: Kind[Any]
    help: str
    default: object

    @property
    def is_required(self) -> bool:
        """Whether it has no default."""
        return self.default is attrs.NOTHING


_METADATA = "policy key"


def key(kind: Kind[Any], help: str, *, default: Any = attrs.NOTHING, name: str | None = None) -> Any:
    """Declares an attribute of a section class as a key of the policy file."""
    return attrs.field(default=default, metadata={_METADATA: (kind, help, name)})


def keys_of(cls: type) -> Iterator[Key]:
    """The keys that a section class declares, in order."""
    for field in attrs.fields(cls):
        kind, meaning, name = field.metadata[_METADATA]
        yield Key(
            name=name or field.name, attribute=field.name, kind=kind, help=meaning, default=field.default
        )


@attrs.frozen(kw_only=True)
class SectionKind(Generic[T]):
    """A mapping with the keys of a section class.

    A section merges key by key with others of its kind, so each one may be partial. ``whole`` sections
    (list items) stand alone: required keys must be there and the class may object to the combination.
    ``shorthand`` names the key that a bare scalar sets.
    """

    cls: type[T]
    whole: bool = False
    shorthand: str | None = None
    keys: tuple[Key, ...] = attrs.field(
        default=attrs.Factory(lambda self: tuple(keys_of(self.cls)), takes_self=True), init=False
    )

    @property
    def expected(self) -> str:
        """See ``Kind``."""
        if self.shorthand is None:
            return "a mapping"
        return f"{self._key(self.shorthand).kind.expected}, or a mapping"

    def _key(self, name: str) -> Key:
        return next(key for key in self.keys if key.name == name)

    def read(self, node: Node, path: str, problems: Problems) -> Plain:
        """See ``Kind``."""
        if self.shorthand and isinstance(node, ScalarNode):
            short = self._key(self.shorthand).kind.read(node, path, problems)
            return None if short is None else {self.shorthand: short}
        if not isinstance(node, MapNode):
            entries_of(node, path, problems, self.expected)
            return None
        return self.read_keys(node, path, problems)

    def read_keys(
        self, node: MapNode, path: str, problems: Problems, also: tuple[str, ...] = ()
    ) -> dict[str, Plain] | None:
        """The canonical form of a mapping, keys in the order of the class; ``also``: keys read elsewhere."""
        before = problems.count
        known = {key.name: key for key in self.keys}
        for name, entry in node.entries.items():
            if name not in known and name not in also:
                self._report_unknown(name, [*known, *also], path, problems, entry.at)
        plain: dict[str, Plain] = {}
        for name, key in known.items():
            if name in node.entries:
                plain[name] = key.kind.read(node.entries[name].node, child(path, name), problems)
        if not self.whole:
            return plain
        return self._completed(plain, node, path, problems) if problems.count == before else None

    def _report_unknown(
        self, name: str, known: list[str], path: str, problems: Problems, at: Mark | None
    ) -> None:
        hint = ""
        if not problems.full:
            hint = suggestion(name, known) or f": known are {', '.join(sorted(known))}"
        problems.add(path, f"unknown key {quoted(name)}{hint}", at)

    def _completed(
        self, plain: dict[str, Plain], node: MapNode, path: str, problems: Problems
    ) -> dict[str, Plain] | None:
        missing = [key.name for key in self.keys if key.is_required and key.name not in plain]
        if missing:
            problems.add(path, f"missing: {', '.join(missing)}", node.at)
            return None
        try:
            return self.plain(self.value(plain))
        except ValueError as error:
            problems.add(path, str(error), node.at)
            return None

    def value(self, plain: Plain) -> T:
        """See ``Kind``."""
        assert isinstance(plain, dict)
        given = {key.attribute: key.kind.value(plain[key.name]) for key in self.keys if key.name in plain}
        return self.cls(**given)

    def plain(self, value: T) -> dict[str, Plain]:
        """See ``Kind``."""
        return {key.name: key.kind.plain(getattr(value, key.attribute)) for key in self.keys}

    def schema(self) -> Schema:
        """See ``Kind``."""
        properties: Schema = {key.name: _documented(key) for key in self.keys}
        section: Schema = {"type": "object", "properties": properties, "additionalProperties": False}
        required: list[Plain] = [key.name for key in self.keys if key.is_required]
        if self.whole and required:
            section["required"] = required
        if self.shorthand is None:
            return section
        return {"anyOf": [self._key(self.shorthand).kind.schema(), section]}


def _documented(key: Key) -> Schema:
    schema: Schema = {"description": key.help, **key.kind.schema()}
    if key.is_required or isinstance(key.kind, SectionKind) or key.default is None:
        return schema
    return {**schema, "default": key.kind.plain(key.default)}
