"""A configuration document as plain nodes that know where they stand, and what is wrong with it.

A YAML file and a Python mapping become the same nodes, so one walker checks both. The limits hold while
the nodes are made: a document that unfolds to more is refused before anybody walks it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import date, datetime
from typing import NoReturn

import attrs

from safeupdater.errors import ConfigurationError, Problem

MAX_DEPTH = 32
MAX_NODES = 10_000
MAX_PROBLEMS = 100
_SHOWN = 40
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")

Plain = None | bool | int | float | str | list["Plain"] | dict[str, "Plain"]
"""JSON-like data; what canonical settings are written in."""

Scalar = None | bool | int | float | str | date


@attrs.frozen
class Mark:
    """A place in a file, both counted from 1."""

    line: int
    column: int


@attrs.frozen(eq=False)
class ScalarNode:
    """One value. ``text`` is how it was written, for messages: ``1.10`` stays ``1.10``."""

    value: Scalar
    text: str
    at: Mark | None = None
    size: int = 1
    height: int = 1


def _size_with_children(node: ListNode | MapNode) -> int:
    return 1 + node.keys + sum(child.size for child in node.children)


def _height_over_children(node: ListNode | MapNode) -> int:
    return 1 + max((child.height for child in node.children), default=0)


@attrs.frozen(eq=False)
class ListNode:
    """A sequence of nodes."""

    items: tuple[Node, ...]
    at: Mark | None = None
    size: int = attrs.field(default=attrs.Factory(_size_with_children, takes_self=True), init=False)
    height: int = attrs.field(default=attrs.Factory(_height_over_children, takes_self=True), init=False)

    @property
    def children(self) -> tuple[Node, ...]:
        """The nodes in it."""
        return self.items

    @property
    def keys(self) -> int:
        """How many keys it has."""
        return 0


@attrs.frozen(eq=False)
class Entry:
    """One value of a mapping, and where its key stands."""

    node: Node
    at: Mark | None = None


@attrs.frozen(eq=False)
class MapNode:
    """A mapping with text keys, in the order written."""

    entries: Mapping[str, Entry]
    at: Mark | None = None
    size: int = attrs.field(default=attrs.Factory(_size_with_children, takes_self=True), init=False)
    height: int = attrs.field(default=attrs.Factory(_height_over_children, takes_self=True), init=False)

    @property
    def children(self) -> tuple[Node, ...]:
        """The nodes in it."""
        return tuple(entry.node for entry in self.entries.values())

    @property
    def keys(self) -> int:
        """How many keys it has."""
        return len(self.entries)


@attrs.frozen(eq=False)
class BrokenNode:
    """What was already reported; the walker passes over it in silence."""

    at: Mark | None = None
    size: int = 1
    height: int = 1


Node = ScalarNode | ListNode | MapNode | BrokenNode


class Problems:
    """Collects what is wrong with one document: the first hundred things, in the order of the file."""

    def __init__(self, source: str | None = None) -> None:
        self.source = source
        self._found: list[Problem] = []
        self._more = 0

    @property
    def full(self) -> bool:
        """Whether further problems are only counted, so that their messages need not be made."""
        return len(self._found) >= MAX_PROBLEMS

    @property
    def count(self) -> int:
        """How many there are, those that are only counted included."""
        return len(self._found) + self._more

    def add(self, path: str, message: str, at: Mark | None = None) -> None:
        """Notes one problem."""
        if self.full:
            self._more += 1
            return
        line, column = (at.line, at.column) if at else (None, None)
        self._found.append(Problem(path=path, message=message, line=line, column=column))

    def fail(self, path: str, message: str, at: Mark | None = None) -> NoReturn:
        """Notes one problem after which nothing more can be read.

        Raises:
            ConfigurationError: always, with everything found so far.
        """
        self.add(path, message, at)
        raise self._error()

    def raise_if_any(self) -> None:
        """Ends the reading of a document.

        Raises:
            ConfigurationError: something was found; it lists everything at once.
        """
        if self._found:
            raise self._error()

    def _error(self) -> ConfigurationError:
        found = sorted(self._found, key=lambda problem: (problem.line or 0, problem.column or 0))
        if self._more:
            found.append(Problem(path="$", message=f"and {self._more} more problems"))
        count = self.count
        named = self.source or "policy"
        return ConfigurationError(
            f"{named}: {count} problem{'s' if count != 1 else ''}", problems=found, source=self.source
        )


def quoted(text: str) -> str:
    """A text as messages may show it: short, in quotes, ASCII only."""
    return ascii(text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "...")


def shown(node: Node) -> str:
    """What stands at a node, in a few words."""
    match node:
        case ScalarNode(value=None):
            return "nothing"
        case ScalarNode():
            return quoted(node.text)
        case ListNode():
            return "a list"
        case MapNode():
            return "a mapping"
        case BrokenNode():
            return "something unreadable"


def child(path: str, key: str) -> str:
    """The path of a key in the mapping at a path: ``$.health.window``."""
    return f"{path}.{key}" if _IDENTIFIER.fullmatch(key) else f"{path}[{quoted(key)}]"


# --- from Python data -------------------------------------------------------------------------------------


def from_python(value: object, problems: Problems) -> Node:
    """The nodes of JSON-like Python data.

    Raises:
        ConfigurationError: the data is deeper or larger than a document may be (or contains itself).
    """
    return _Converter(problems).convert(value, "$", 1)


class _Converter:
    def __init__(self, problems: Problems) -> None:
        self._problems = problems
        self._count = 0

    def convert(self, value: object, path: str, depth: int) -> Node:
        self._count += 1
        check_limits(self._problems, depth=depth, count=self._count, path=path)
        match value:
            case Mapping():
                return self._mapping(value, path, depth)
            case list() | tuple():
                items = (self.convert(item, f"{path}[{i}]", depth + 1) for i, item in enumerate(value))
                return ListNode(tuple(items))
            case datetime():
                return self._foreign(value, path)
            case None | bool() | int() | float() | str() | date():
                return ScalarNode(value, _written(value))
            case _:
                return self._foreign(value, path)

    def _mapping(self, value: Mapping[object, object], path: str, depth: int) -> MapNode:
        entries = {}
        for key, item in value.items():
            if not isinstance(key, str):
                self._problems.add(path, f"keys are text, got a key of type {type(key).__name__[:40]}")
                continue
            self._count += 1
            entries[str(key)] = Entry(self.convert(item, child(path, key), depth + 1))
        return MapNode(entries)

    def _foreign(self, value: object, path: str) -> BrokenNode:
        kind = type(value).__name__[:40]
        self._problems.add(path, f"expected text, a number, true or false, a list or a mapping, got {kind}")
        return BrokenNode()


def check_limits(
    problems: Problems, *, depth: int, count: int, path: str = "$", at: Mark | None = None
) -> None:
    """Refuses a document that is nested too deeply or unfolds to too many nodes.

    Raises:
        ConfigurationError: it is over a limit.
    """
    if depth > MAX_DEPTH:
        problems.fail(path, f"nested more than {MAX_DEPTH} levels deep: a policy needs six", at)
    if count > MAX_NODES:
        problems.fail(path, f"more than {MAX_NODES:,} values once aliases are unfolded: split the policy", at)


def _written(value: Scalar) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case int():
            # Python refuses to print numbers of more than 4,300 digits, and nobody wants to read them.
            return str(value) if abs(value) < 10**_SHOWN else "a huge number"
        case float():
            return repr(value) if math.isfinite(value) else "not a finite number"
        case str():
            return value
        case date():
            return value.isoformat()


def to_plain(node: Node) -> Plain:
    """Nodes as JSON-like data again; a date becomes its text, what is broken None."""
    match node:
        case ScalarNode(value=value):
            return node.text if isinstance(value, date) else value
        case ListNode():
            return [to_plain(item) for item in node.items]
        case MapNode():
            return {key: to_plain(entry.node) for key, entry in node.entries.items()}
        case BrokenNode():
            return None
