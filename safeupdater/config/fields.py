"""The kinds of values that only policies have: durations, time zones, version ranges, globs, checks."""

from __future__ import annotations

import re
import zoneinfo
from typing import cast

from safeupdater.analysis import VersionRange
from safeupdater.config import units
from safeupdater.config.kinds import (
    ListKind,
    Rejected,
    ScalarKind,
    Schema,
    as_text,
    entries_of,
    free_value,
    suggestion,
    text,
)
from safeupdater.config.nodes import ListNode, MapNode, Mark, Node, Plain, Problems, child, to_plain
from safeupdater.config.units import (
    WEEKDAYS,
    format_clock,
    format_duration,
    format_weekdays,
    parse_clock,
    parse_day,
    parse_duration,
    parse_share,
    parse_weekdays,
)
from safeupdater.domain.asset import AssetType
from safeupdater.domain.health import ProbeSpec
from safeupdater.errors import ConfigurationError, InvalidVersion
from safeupdater.gates import SkippedVersions
from safeupdater.gates.patterns import patterns


def duration(minimum_s: float, maximum_s: float) -> ScalarKind[float]:
    """A duration within bounds, in seconds."""

    def parse(value: object) -> float:
        seconds = parse_duration(value)
        if not minimum_s <= seconds <= maximum_s:
            raise Rejected(f": from {format_duration(minimum_s)} to {format_duration(maximum_s)}")
        return seconds

    forms: list[Plain] = [
        {"type": "string", "pattern": f"^(?=.){units.DURATION}$"},
        {"type": "number", "minimum": minimum_s, "maximum": maximum_s},
    ]
    return ScalarKind(
        expected="a duration such as 300s, 5m or 3d",
        parse=parse,
        dump=format_duration,
        json={"anyOf": forms},
    )


def _parse_rate(value: object) -> float:
    share = parse_share(value)
    if not 0 <= share < 1:
        raise Rejected(": from 0% to below 100%")
    return share


RATE = ScalarKind(
    expected="a share such as 10% or 0.1",
    parse=_parse_rate,
    dump=lambda share: share,
    json={
        "anyOf": [
            {"type": "string", "pattern": f"^{units.SHARE}$"},
            {"type": "number", "minimum": 0, "exclusiveMaximum": 1},
        ]
    },
)

CLOCK = ScalarKind(
    expected="HH:MM",
    parse=parse_clock,
    dump=format_clock,
    json={"type": "string", "pattern": f"^{units.CLOCK}$"},
)
DATE = ScalarKind(
    expected="a date such as 2026-12-20",
    parse=parse_day,
    dump=lambda day: day.isoformat(),
    json={"type": "string", "pattern": f"^{units.DAY}$"},
)


def _check_timezone(name: str) -> None:
    # The pattern comes first: zoneinfo would take other keys for paths.
    if re.fullmatch(r"[A-Za-z0-9_+-]{1,32}(?:/[A-Za-z0-9_+-]{1,32}){0,3}", name) is None:
        raise Rejected
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        raise Rejected(suggestion(name, sorted(zoneinfo.available_timezones()))) from None


TIMEZONE = text("a time zone such as Europe/Lisbon or UTC", check=_check_timezone)


def _parse_constraint(value: object) -> str | None:
    written = as_text(value)
    if written == "none":
        return None
    try:
        VersionRange.parse(written)
    except InvalidVersion as error:
        raise Rejected(f" ({error})") from None
    return written


CONSTRAINT: ScalarKind[str | None] = ScalarKind(
    expected="a version range such as ^1.24, or none",
    parse=_parse_constraint,
    dump=lambda constraint: constraint or "none",
    json={"type": "string", "minLength": 1},
)

_MAX_GLOB = 256


def _check_glob(pattern: str) -> None:
    if len(pattern) > _MAX_GLOB:
        raise Rejected(f": at most {_MAX_GLOB} characters")
    if pattern.startswith("re:"):
        raise Rejected(": regular expressions are for tags, registries and repositories only")


def _check_image_glob(pattern: str) -> None:
    _check_glob(pattern)
    if "@" in pattern or ":" in pattern.rpartition("/")[2]:
        raise Rejected(": it is matched against names without tag and digest")


def _check_type_glob(pattern: str) -> None:
    _check_glob(pattern)
    words = [str(item) for item in AssetType]
    if pattern not in words and not any(mark in pattern for mark in "*?["):
        raise Rejected(suggestion(pattern, words) or f": known are {', '.join(words)}")


def _check_pattern(pattern: str) -> None:
    try:
        patterns((pattern,))
    except ConfigurationError as error:
        raise Rejected(f" ({error.message})") from None


def _check_skipped(version: str) -> None:
    try:
        SkippedVersions((version,))
    except ConfigurationError as error:
        raise Rejected(f" ({error.message})") from None


GLOB = text("a glob such as prod-*", check=_check_glob)
IMAGE_GLOB = text("a glob such as ghcr.io/acme/*", check=_check_image_glob)
TYPE_GLOB = text("a glob over asset types such as deployment", check=_check_type_glob)
PATTERN = text("a glob such as *-alpine, or re: and a regular expression", check=_check_pattern)
SKIPPED = text("a tag, a digest or a version range such as 1.25.3", check=_check_skipped)

PLUGIN_NAME = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}"


def named(expected: str, pattern: str) -> ScalarKind[str]:
    """A text that a regular expression describes as a whole."""

    def check(name: str) -> None:
        if re.fullmatch(pattern, name) is None:
            raise Rejected

    return text(expected, check=check, pattern=f"^{pattern}$")


def set_of(item: ScalarKind[str]) -> ListKind[str]:
    """A list in which order and repetition mean nothing."""
    return ListKind(item=item, as_set=True)


_DAY_PATTERN = f"^(?:daily|(?:{'|'.join(WEEKDAYS)})(?:-(?:{'|'.join(WEEKDAYS)}))?)$"
_WEEKDAY = ScalarKind(
    expected="daily, a day such as mon, or days such as mon-thu",
    parse=lambda value: parse_weekdays(as_text(value)),
    dump=format_weekdays,
    json={"type": "string", "pattern": _DAY_PATTERN},
)


class WeekdaysKind:
    """``daily``, ``mon-thu``, or a list of such; in canonical form always the list of single days."""

    expected = "daily, mon-thu, or a list such as [mon, wed]"

    def read(self, node: Node, path: str, problems: Problems) -> Plain:
        """See ``Kind``."""
        if not isinstance(node, ListNode):
            return self.plain(self._days(node, path, problems))
        if not node.items:
            problems.add(path, "expected at least one day", node.at)
        items = enumerate(node.items)
        return self.plain(
            frozenset().union(*(self._days(item, f"{path}[{i}]", problems) for i, item in items))
        )

    def _days(self, node: Node, path: str, problems: Problems) -> frozenset[int]:
        if _WEEKDAY.read(node, path, problems) is None:
            return frozenset()
        return _WEEKDAY.value(to_plain(node))

    def value(self, plain: Plain) -> frozenset[int]:
        """See ``Kind``."""
        assert isinstance(plain, list)
        return frozenset(WEEKDAYS.index(str(day)) for day in plain)

    def plain(self, value: frozenset[int]) -> Plain:
        """See ``Kind``."""
        return [WEEKDAYS[day] for day in sorted(value)]

    def schema(self) -> Schema:
        """See ``Kind``."""
        day = _WEEKDAY.schema()
        return {"anyOf": [day, {"type": "array", "items": day, "minItems": 1}]}


class CheckKind:
    """One health check: its type, and options that the check of that type knows."""

    expected = "a mapping such as {type: http, port: 8080}"
    _type = named("the name of a health check such as http", PLUGIN_NAME)

    def read(self, node: Node, path: str, problems: Problems) -> Plain:
        """See ``Kind``."""
        entries = entries_of(node, path, problems, self.expected)
        if entries is None:
            return None
        if "type" not in entries:
            problems.add(path, f"missing: type; expected {self.expected}", node.at)
            return None
        before = problems.count
        options = {name: free_value(item, child(path, name), problems) for name, item in entries.items()}
        options["type"] = self._type.read(entries["type"], child(path, "type"), problems)
        if problems.count == before:
            _report_options(self.value(options), node, path, problems)
        return options

    def value(self, plain: Plain) -> ProbeSpec:
        """See ``Kind``."""
        assert isinstance(plain, dict)
        options = {name: item for name, item in plain.items() if name != "type"}
        return ProbeSpec(type=str(plain["type"]), options=options)

    def plain(self, value: ProbeSpec) -> Plain:
        """See ``Kind``."""
        return {"type": value.type, **cast(dict[str, Plain], dict(value.options))}

    def schema(self) -> Schema:
        """See ``Kind``."""
        return {"type": "object", "properties": {"type": self._type.schema()}, "required": ["type"]}


def _report_options(spec: ProbeSpec, node: Node, path: str, problems: Problems) -> None:
    """What the check itself finds wrong with its options; plugins are asked when they are used."""
    from safeupdater.probes.factory import BUILT_IN, HealthCheckFactory  # brings ssl, which is dear

    if spec.type not in BUILT_IN:
        return
    if "self" in spec.options:  # would be taken for an argument of Python's own
        problems.add(path, "unknown option 'self'", node.at)
        return
    try:
        HealthCheckFactory(plugins=False).create(spec.type, **spec.options)
    except ConfigurationError as error:
        for problem in error.problems:
            at = _place(node, problem.path)
            problems.add(child(path, problem.path) if problem.path else path, problem.message, at)


def _place(node: Node, option: str) -> Mark | None:
    if isinstance(node, MapNode) and option in node.entries:
        return node.entries[option].node.at
    return node.at
