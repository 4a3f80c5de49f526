"""The kinds of values that a policy is made of: each reads, checks, describes and writes one kind.

``read`` turns a node into canonical plain data (``300s`` and ``5m`` become the same text) and reports what
is wrong; ``value`` turns canonical data into what the code works with. Settings merge in plain form.
"""

from __future__ import annotations

import difflib
import enum
import unicodedata
from collections.abc import Callable, Mapping
from typing import Any, Generic, Protocol, TypeVar

import attrs

from safeupdater.config.nodes import (
    BrokenNode,
    ListNode,
    MapNode,
    Node,
    Plain,
    Problems,
    ScalarNode,
    child,
    quoted,
    shown,
    to_plain,
)

T = TypeVar("T")
E = TypeVar("E", bound=enum.Enum)
Schema = dict[str, Plain]
MAX_TEXT = 1024


class Kind(Protocol[T]):
    """One kind of value. ``expected`` completes the sentence "expected …"."""

    @property
    def expected(self) -> str:
        """What a value of it is, in a few words."""
        ...

    def read(self, node: Node, path: str, problems: Problems) -> Plain:
        """The canonical plain form of a node; None where something is wrong, which was then reported."""
        ...

    def value(self, plain: Plain) -> T:
        """The value of a canonical plain form."""
        ...

    def plain(self, value: T) -> Plain:
        """The canonical plain form of a value."""
        ...

    def schema(self) -> Schema:
        """Its JSON Schema: everything that ``read`` accepts fits it."""
        ...


class Rejected(ValueError):
    """A scalar is not of its kind; the text, if any, is a remedy."""


def suggestion(text: str, known: list[str]) -> str:
    """``: did you mean 'minor'?`` where a known word is near, else ""."""
    near = difflib.get_close_matches(text[:64], known, n=1)
    return f": did you mean {near[0]!r}?" if near else ""


# --- scalars ----------------------------------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class ScalarKind(Generic[T]):
    """A kind of single value, by the functions that read and write it.

    ``parse`` takes the raw scalar (or the canonical form) and raises ValueError; a ``Rejected`` brings a
    remedy. What stands where a ``secret`` kind belongs is never repeated in a message.
    """

    expected: str
    parse: Callable[[Any], T]
    dump: Callable[[T], Plain]
    json: Mapping[str, Plain]
    secret: bool = False

    def read(self, node: Node, path: str, problems: Problems) -> Plain:
        """See ``Kind``."""
        match node:
            case BrokenNode():
                return None
            case ScalarNode(value=value) if value is not None:
                try:
                    return self.dump(self.parse(value))
                except ValueError as error:
                    remedy = str(error) if isinstance(error, Rejected) else ""
            case _:
                remedy = ""
        if not problems.full:
            got = "something else" if self.secret else shown(node)
            problems.add(path, f"expected {self.expected}, got {got}{remedy}", node.at)
        return None

    def value(self, plain: Plain) -> T:
        """See ``Kind``."""
        return self.parse(plain)

    def plain(self, value: T) -> Plain:
        """See ``Kind``."""
        return self.dump(value)

    def schema(self) -> Schema:
        """See ``Kind``."""
        return dict(self.json)


def _same(value: Any) -> Any:
    return value


def is_clean(text: str, *, lines: bool = False) -> bool:
    """Whether a text has no control, surrogate or direction characters (line ends and tabs if ``lines``)."""
    allowed = "\n\t" if lines else ""
    return all(mark in allowed or unicodedata.category(mark) not in ("Cc", "Cs", "Cf") for mark in text)


def text(
    expected: str = "text",
    *,
    check: Callable[[str], object] = _same,
    pattern: str | None = None,
    lines: bool = False,
    secret: bool = False,
) -> ScalarKind[str]:
    """A text of 1 to 1024 characters that ``check`` does not object to by a ValueError."""

    def parse(value: object) -> str:
        written = as_text(value, lines=lines)
        check(written)
        return written

    json: Schema = {"type": "string", "minLength": 1, "maxLength": MAX_TEXT}
    if pattern:
        json["pattern"] = pattern
    return ScalarKind(expected=expected, parse=parse, dump=_same, json=json, secret=secret)


def as_text(value: object, *, lines: bool = False) -> str:
    """A raw scalar that has to be a text.

    Raises:
        Rejected: it is a number or a switch, empty, too long, or holds control characters.
    """
    if not isinstance(value, str):
        raise Rejected(": quote it") if value is not None else Rejected()
    if not value or len(value) > MAX_TEXT:
        raise Rejected(f": write 1 to {MAX_TEXT} characters")
    if not is_clean(value, lines=lines):
        raise Rejected(": remove the control characters")
    return value


def choice(*words: str) -> ScalarKind[str]:
    """One of a few words."""

    def parse(value: object) -> str:
        if not isinstance(value, str):
            raise Rejected
        if value not in words:
            raise Rejected(suggestion(value, list(words)))
        return value

    expected = f"one of {', '.join(words)}"
    return ScalarKind(expected=expected, parse=parse, dump=_same, json={"enum": list(words)})


def member(cls: type[E]) -> ScalarKind[E]:
    """One member of an enum, by its value."""
    words = choice(*(str(item.value) for item in cls))

    def parse(value: object) -> E:
        return cls(words.parse(value))

    return ScalarKind(
        expected=words.expected, parse=parse, dump=lambda item: str(item.value), json=words.json
    )


def whole(minimum: int, maximum: int) -> ScalarKind[int]:
    """A whole number within bounds."""

    def parse(value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not minimum <= value <= maximum:
            raise Rejected
        return value

    json: Schema = {"type": "integer", "minimum": minimum, "maximum": maximum}
    expected = f"a whole number from {minimum} to {maximum}"
    return ScalarKind(expected=expected, parse=parse, dump=_same, json=json)


def _parse_flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise Rejected
    return value


FLAG = ScalarKind(expected="true or false", parse=_parse_flag, dump=_same, json={"type": "boolean"})


def either(expected: str, *kinds: ScalarKind[Any]) -> ScalarKind[Any]:
    """What any of some scalar kinds takes; the first that does reads it."""

    def reader(value: object) -> ScalarKind[Any]:
        for kind in kinds:
            try:
                kind.parse(value)
            except ValueError:
                continue
            return kind
        raise Rejected

    # Switches and texts are their own canonical form, so no kind needs to be remembered for writing.
    return ScalarKind(
        expected=expected,
        parse=lambda value: reader(value).parse(value),
        dump=_same,
        json={"anyOf": [kind.schema() for kind in kinds]},
    )


def or_word(word: str, kind: ScalarKind[T]) -> ScalarKind[T | None]:
    """What a kind takes, or one word, whose value is None."""
    json: Schema = {"anyOf": [{"const": word}, kind.schema()]}
    return ScalarKind(
        expected=f"{kind.expected}, or {word}",
        parse=lambda value: None if value == word else kind.parse(value),
        dump=lambda value: word if value is None else kind.dump(value),
        json=json,
    )


def _parse_optional_text(value: object) -> str:
    return "" if value == "" else as_text(value)


OPTIONAL_TEXT = ScalarKind(
    expected="text", parse=_parse_optional_text, dump=_same, json={"type": "string", "maxLength": MAX_TEXT}
)


# --- lists and free mappings ------------------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class ListKind(Generic[T]):
    """A list of one kind. ``as_set``: order and repetition mean nothing, so the canonical form has none.

    ``distinct`` names a key of its mappings that no two of them share.
    """

    item: Kind[T]
    as_set: bool = False
    minimum: int = 0
    distinct: str | None = None

    @property
    def expected(self) -> str:
        """See ``Kind``."""
        return f"a list (each {self.item.expected})"

    def read(self, node: Node, path: str, problems: Problems) -> Plain:
        """See ``Kind``."""
        match node:
            case BrokenNode():
                return None
            case ListNode(items=items) if len(items) >= self.minimum:
                read = [
                    self.item.read(item, f"{path}[{index}]", problems) for index, item in enumerate(items)
                ]
                self._report_shared(read, node, path, problems)
                return self._canonical(read)
            case ListNode():
                problems.add(path, f"expected at least {self.minimum} in the list", node.at)
            case _:
                hint = ": write it in [ ]" if isinstance(node, ScalarNode) and node.value is not None else ""
                problems.add(path, f"expected a list, got {self._shown(node)}{hint}", node.at)
        return None

    def _shown(self, node: Node) -> str:
        return "something else" if getattr(self.item, "secret", False) else shown(node)

    def _report_shared(self, read: list[Plain], node: ListNode, path: str, problems: Problems) -> None:
        seen: set[str] = set()
        for index, item in enumerate(read):
            shared = item.get(self.distinct) if self.distinct and isinstance(item, dict) else None
            if isinstance(shared, str) and shared in seen:
                problems.add(f"{path}[{index}]", f"{quoted(shared)} is there already", node.items[index].at)
            if isinstance(shared, str):
                seen.add(shared)

    def _canonical(self, read: list[Plain]) -> Plain:
        if not self.as_set:
            return read
        return [*sorted({item for item in read if isinstance(item, str)})]

    def value(self, plain: Plain) -> tuple[T, ...]:
        """See ``Kind``."""
        assert isinstance(plain, list)
        return tuple(self.item.value(item) for item in plain)

    def plain(self, value: tuple[T, ...]) -> Plain:
        """See ``Kind``."""
        return [self.item.plain(item) for item in value]

    def schema(self) -> Schema:
        """See ``Kind``."""
        least: Schema = {"minItems": self.minimum} if self.minimum else {}
        return {"type": "array", "items": self.item.schema(), **least}


@attrs.frozen(kw_only=True)
class TextMapKind:
    """A mapping from any text to a text of one kind, such as labels to globs."""

    item: Kind[str]

    @property
    def expected(self) -> str:
        """See ``Kind``."""
        return f"a mapping (each {self.item.expected})"

    def read(self, node: Node, path: str, problems: Problems) -> Plain:
        """See ``Kind``."""
        entries = entries_of(node, path, problems, "a mapping")
        if entries is None:
            return None
        return {
            key: self.item.read(entry, child(path, key), problems) for key, entry in sorted(entries.items())
        }

    def value(self, plain: Plain) -> Mapping[str, str]:
        """See ``Kind``."""
        assert isinstance(plain, dict)
        return {key: self.item.value(item) for key, item in plain.items()}

    def plain(self, value: Mapping[str, str]) -> Plain:
        """See ``Kind``."""
        return dict(value)

    def schema(self) -> Schema:
        """See ``Kind``."""
        return {"type": "object", "additionalProperties": self.item.schema()}


def entries_of(node: Node, path: str, problems: Problems, expected: str) -> dict[str, Node] | None:
    """The nodes of a mapping by key; None, reported, where the node is something else."""
    match node:
        case MapNode(entries=entries):
            return {key: entry.node for key, entry in entries.items()}
        case BrokenNode():
            return None
        case _:
            problems.add(path, f"expected {expected}, got {shown(node)}", node.at)
            return None


# --- what is not ours to check ----------------------------------------------------------------------------


_LARGEST = 1e15


def free_value(node: Node, path: str, problems: Problems) -> Plain:
    """The plain form of a node of any shape; numbers must be finite and texts clean."""
    match node:
        case ScalarNode(value=str() as text) if not is_clean(text, lines=True):
            problems.add(path, "expected a text without control characters", node.at)
        case ScalarNode(value=int() | float() as number) if not abs(number) <= _LARGEST:
            # Written this way round so that NaN is refused too.
            problems.add(path, "expected an ordinary number", node.at)
        case ListNode(items=items):
            return [free_value(item, f"{path}[{index}]", problems) for index, item in enumerate(items)]
        case MapNode(entries=entries):
            return {key: free_value(entry.node, child(path, key), problems) for key, entry in entries.items()}
        case _:
            return to_plain(node)
    return None
