"""Reads a policy file: a regular file of bounded size, YAML without tags, merge keys and surprises.

Nothing is ever constructed from what a file says: PyYAML only splits it into events. A plain scalar that
YAML 1.1 and YAML 1.2 read differently (``yes``, ``16:00``, ``010``) is an error that asks for quotes.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

import attrs
import yaml

from safeupdater.config.nodes import (
    BrokenNode,
    Entry,
    ListNode,
    MapNode,
    Mark,
    Node,
    Problems,
    ScalarNode,
    check_limits,
    child,
    quoted,
)

MAX_BYTES = 1024 * 1024

# --- the file ---------------------------------------------------------------------------------------------


def read_nodes(path: str | os.PathLike[str]) -> Node:
    """The nodes of a policy file.

    Raises:
        ConfigurationError: it cannot be read, is not to be trusted, or is not a YAML document.
    """
    problems = Problems(os.fspath(path))
    text = _decoded(_read_bytes(Path(path), problems), problems)
    node = parse_yaml(text, problems)
    problems.raise_if_any()
    return node


def _read_bytes(path: Path, problems: Problems) -> bytes:
    try:
        descriptor = _opened(path)
        try:
            _check_trusted(os.fstat(descriptor), problems)
            data = _read_all(descriptor)
        finally:
            os.close(descriptor)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "not a path"
        hint = ": it is a symbolic link, name the file itself" if _is_link(path) else ""
        problems.fail("", f"cannot be read ({reason}){hint}")
    if len(data) > MAX_BYTES:
        problems.fail("", f"larger than {MAX_BYTES:,} bytes: that is no policy")
    return data


def _opened(path: Path) -> int:
    # A fifo would block for ever at open without O_NONBLOCK; O_NOFOLLOW refuses planted links.
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    return os.open(_volume_target(path), flags | getattr(os, "O_CLOEXEC", 0))


def _read_all(descriptor: int) -> bytes:
    data = b""
    while len(data) <= MAX_BYTES and (more := os.read(descriptor, MAX_BYTES + 1)):
        data += more
    return data


def _volume_target(path: Path) -> Path:
    # Kubernetes mounts ConfigMaps as links to "..data/<name>": the one link that is followed.
    if _is_link(path) and os.readlink(path) == f"..data/{path.name}":
        return path.resolve()
    return path


def _is_link(path: Path) -> bool:
    try:
        return path.is_symlink()
    except (OSError, ValueError):
        return False


def _check_trusted(status: os.stat_result, problems: Problems) -> None:
    if not stat.S_ISREG(status.st_mode):
        problems.fail("", "is not a regular file")
    if os.name != "posix":
        return
    if status.st_mode & stat.S_IWOTH:
        problems.fail("", "can be written by everybody: chmod o-w it")
    if status.st_uid not in (0, os.geteuid()):
        problems.fail("", "belongs to another user: chown it to the user that runs this, or to root")


def _decoded(data: bytes, problems: Problems) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start]
        column = error.start - (before.rfind(b"\n") + 1) + 1
        at = Mark(before.count(b"\n") + 1, column)
        problems.fail("$", f"not UTF-8 (byte 0x{data[error.start]:02x}): save the file as UTF-8", at)


# --- YAML events to nodes ---------------------------------------------------------------------------------


def parse_yaml(text: str, problems: Problems) -> Node:
    """The nodes of a YAML text that holds one document; what is wrong goes into ``problems``.

    Raises:
        ConfigurationError: it is not YAML, holds no document or several, or exceeds a limit.
    """
    builder = _Builder(problems)
    for event in _events(text, problems):
        builder.take(event)
    if builder.document is None:
        problems.fail("$", "the file is empty: write at least `version: 1`, or remove the file", Mark(1, 1))
    return builder.document


def _events(text: str, problems: Problems) -> Iterator[yaml.Event]:
    at: Mark | None = None
    try:
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            at = _mark(event.end_mark)
            yield event
    except yaml.MarkedYAMLError as error:
        problems.fail(
            "$",
            f"not YAML: {error.problem or error.context}",
            _mark(error.problem_mark or error.context_mark),
        )
    except yaml.reader.ReaderError as error:
        at = Mark(text.count("\n", 0, error.position) + 1, 1)
        problems.fail("$", "not YAML: a control character in this line: remove it", at)
    except (yaml.YAMLError, ValueError, OverflowError, LookupError) as error:
        # PyYAML lets some of Python's own errors out, such as chr()'s for "\UFFFFFFFF".
        problems.fail(
            "$", f"not YAML: a malformed escape or directive after here ({type(error).__name__})", at
        )


def _mark(mark: object) -> Mark | None:
    line, column = getattr(mark, "line", None), getattr(mark, "column", None)
    return Mark(line + 1, column + 1) if isinstance(line, int) and isinstance(column, int) else None


@attrs.define(eq=False)
class _Open:
    """A list or a mapping that is still being read."""

    is_mapping: bool
    anchor: str | None
    at: Mark | None
    path: str
    items: list[Node] = attrs.field(factory=list)
    entries: dict[str, Entry] = attrs.field(factory=dict)
    key: str | None = None
    key_at: Mark | None = None
    wants_value: bool = False


class _Builder:
    """Builds nodes from events without recursion, and stops at the first exceeded limit."""

    def __init__(self, problems: Problems) -> None:
        self.document: Node | None = None
        self._problems = problems
        self._stack: list[_Open] = []
        self._anchors: dict[str, Node | None] = {}
        self._count = 0

    def take(self, event: yaml.Event) -> None:
        """One event."""
        at = _mark(event.start_mark)
        match event:
            case yaml.DocumentStartEvent() if self.document is not None:
                self._problems.fail("$", "a second document: a policy is one document", at)
            case yaml.ScalarEvent():
                self._add(self._scalar(event, at), event.anchor, at)
            case yaml.AliasEvent():
                self._add(self._alias(event, at), None, at)
            case yaml.MappingStartEvent() | yaml.SequenceStartEvent():
                self._start(event, at)
            case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                self._end()

    def _start(self, event: yaml.MappingStartEvent | yaml.SequenceStartEvent, at: Mark | None) -> None:
        if event.tag is not None:
            self._refuse_tag(event.tag, at)
        if event.anchor:
            self._anchors[event.anchor] = None
        self._grow(1, 1, at)
        is_mapping = isinstance(event, yaml.MappingStartEvent)
        self._stack.append(_Open(is_mapping=is_mapping, anchor=event.anchor, at=at, path=self._path()))

    def _end(self) -> None:
        done = self._stack.pop()
        node = MapNode(done.entries, done.at) if done.is_mapping else ListNode(tuple(done.items), done.at)
        self._add(node, done.anchor, done.at)

    def _grow(self, size: int, height: int, at: Mark | None) -> None:
        self._count += size
        depth = len(self._stack) + height
        check_limits(self._problems, depth=depth, count=self._count, path=self._path(), at=at)

    def _add(self, node: Node, anchor: str | None, at: Mark | None) -> None:
        if anchor:
            self._anchors[anchor] = node
        if not self._stack:
            self.document = node
        elif self._stack[-1].is_mapping:
            self._add_to_mapping(self._stack[-1], node, at)
        else:
            self._stack[-1].items.append(node)

    def _add_to_mapping(self, mapping: _Open, node: Node, at: Mark | None) -> None:
        if not mapping.wants_value:
            mapping.key, mapping.key_at, mapping.wants_value = self._key(mapping, node, at), at, True
            return
        mapping.wants_value = False
        if mapping.key is not None:
            mapping.entries[mapping.key] = Entry(node, mapping.key_at)

    def _key(self, mapping: _Open, node: Node, at: Mark | None) -> str | None:
        match node:
            case BrokenNode():
                return None
            case ScalarNode(value=str() as key) if key in mapping.entries:
                first = mapping.entries[key].at
                where = f" (first in line {first.line})" if first else ""
                self._problems.add(mapping.path, f"the key {quoted(key)} is written twice{where}", at)
                return None
            case ScalarNode(value=str() as key):
                return key
            case ScalarNode():
                self._problems.add(mapping.path, f"keys are text: quote {quoted(node.text)}", at)
            case _:
                self._problems.add(mapping.path, "keys are text, not lists or mappings", at)
        return None

    def _path(self) -> str:
        if not self._stack:
            return "$"
        top = self._stack[-1]
        if not top.is_mapping:
            return f"{top.path}[{len(top.items)}]"
        is_inside = top.wants_value and top.key is not None
        return child(top.path, str(top.key)) if is_inside else top.path

    # --- leaves

    def _scalar(self, event: yaml.ScalarEvent, at: Mark | None) -> Node:
        text = event.value
        self._grow(1, 1, at)
        if event.tag == "tag:yaml.org,2002:str" or (event.tag is None and not event.implicit[0]):
            return ScalarNode(text, text, at)
        if event.tag is not None:
            return self._refuse_tag(event.tag, at)
        problem = _surprise(text)
        if problem:
            self._problems.add(self._path(), problem, at)
            return BrokenNode(at)
        return ScalarNode(_resolved(text), text, at)

    def _refuse_tag(self, tag: str, at: Mark | None) -> BrokenNode:
        self._problems.add(self._path(), f"YAML tags are not allowed: remove {quoted(tag)}", at)
        return BrokenNode(at)

    def _alias(self, event: yaml.AliasEvent, at: Mark | None) -> Node:
        name = str(event.anchor)
        if name not in self._anchors:
            self._problems.add(self._path(), f"no anchor named {quoted(name)} stands before this alias", at)
            return BrokenNode(at)
        node = self._anchors[name]
        if node is None:
            self._problems.fail(self._path(), f"the alias {quoted(name)} contains itself", at)
        self._grow(node.size, node.height, at)
        return node


# --- plain scalars ----------------------------------------------------------------------------------------

_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_TRUE = frozenset({"true", "True", "TRUE"})
_FALSE = frozenset({"false", "False", "FALSE"})
_YES_NO = re.compile(r"yes|no|on|off", re.IGNORECASE)
_INT = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,30})")
_FLOAT = re.compile(r"[-+]?(?:[0-9]{1,30}\.[0-9]{0,30}|\.[0-9]{1,30})(?:[eE][-+][0-9]{1,4})?")
# What one YAML version reads as a number and the other as a text, or as another number.
_ODD_NUMBER = re.compile(
    r"""[-+]?(?:
        [0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?     # 16:00 is 960 in YAML 1.1
      | 0[0-9_]+ | 0o[0-7_]+ | 0x[0-9a-fA-F_]+ | 0b[01_]+
      | [0-9][0-9_]*_[0-9_]*(?:\.[0-9_]*)?
      | (?:[0-9]+\.?[0-9]*|\.[0-9]+)[eE][-+]?[0-9]+
      | [0-9]{31,} | [0-9]{31,}\.[0-9]* | [0-9]*\.[0-9]{31,}
      | \.(?:inf|Inf|INF|nan|NaN|NAN)
    )""",
    re.VERBOSE,
)
_LONGEST_NUMBER = 64
_NUMBER_LIKE = re.compile(r"[-+0-9_.:]+")
_CLOCK = re.compile(r"0[0-9]:[0-5][0-9]")


def _surprise(text: str) -> str:
    """Why a plain scalar may not stand as it is; "" where it may."""
    if text == "<<":
        return "merge keys are not supported: write the keys out, or use rules"
    if _YES_NO.fullmatch(text):
        return f"YAML readers disagree on {quoted(text)}: write true or false, or quote it"
    if len(text) > _LONGEST_NUMBER:
        odd = _NUMBER_LIKE.fullmatch(text) is not None
    else:
        odd = _ODD_NUMBER.fullmatch(text) is not None and not (
            _FLOAT.fullmatch(text) or _CLOCK.fullmatch(text)
        )
    if odd:
        return f"YAML readers disagree on {quoted(text)}: quote it, or write a plain decimal number"
    return ""


def _resolved(text: str) -> bool | int | float | str | None:
    if text in _NULL:
        return None
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    if _INT.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    return text
