"""Why an asset has the policy that it has: which rules matched, and who set what."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import attrs

from safeupdater.config.kinds import Kind, ListKind, ScalarKind
from safeupdater.config.nodes import Plain
from safeupdater.config.schema import SETTINGS
from safeupdater.config.sections import SectionKind
from safeupdater.domain.health import ProbeSpec

_WIDTH = 80
_KEY, _SOURCE = 26, 10
_VALUE = _WIDTH - _KEY - _SOURCE - 2


@attrs.frozen(kw_only=True)
class MatchedRule:
    """A rule that is for the asset: its place in the list (from 0), and its match in one line."""

    index: int
    match: str


@attrs.frozen(kw_only=True)
class Setting:
    """One setting: its dotted key, its value as text, and who set it.

    ``set_by`` is ``built-in``, ``top level`` or ``rules[n]``. A command or a probe's options are not in
    the text: people write passwords there.
    """

    key: str
    value: str
    set_by: str


@attrs.frozen(kw_only=True)
class Explanation:
    """The effective policy of one asset with its origins; ``str()`` is a table of 80 columns."""

    asset_id: str
    source: str
    fingerprint: str
    rules: tuple[MatchedRule, ...]
    settings: tuple[Setting, ...]

    def __str__(self) -> str:
        return "\n".join([*self._heading(), "", *self._table()])

    def _heading(self) -> Iterator[str]:
        yield from _wrapped(self.asset_id, "")
        yield from _wrapped(f"policy: {self.source} ({self.fingerprint[:12]})", "  ")
        if not self.rules:
            yield "no rule matches"
        for rule in self.rules:
            yield from _wrapped(f"rules[{rule.index}] matches {rule.match}", "  ")

    def _table(self) -> Iterator[str]:
        yield _row("setting", "value", "set by")
        for setting in self.settings:
            first, *more = textwrap.wrap(setting.value, _VALUE) or ["-"]
            yield _row(setting.key, first, setting.set_by)
            yield from (_row("", line, "") for line in more)


def settings_of(layers: Sequence[tuple[str, Mapping[str, Plain]]]) -> tuple[Setting, ...]:
    """Every setting with its origin, from layers (name and settings) of which later ones win."""
    return tuple(_settings(SETTINGS, "", layers))


def _settings(
    section: SectionKind[Any], prefix: str, layers: Sequence[tuple[str, Mapping[str, Plain]]]
) -> Iterator[Setting]:
    for key in section.keys:
        setting = [(name, plain[key.name]) for name, plain in layers if key.name in plain]
        if isinstance(key.kind, SectionKind):
            below = [(name, value) for name, value in setting if isinstance(value, dict)]
            yield from _settings(key.kind, f"{prefix}{key.name}.", below)
        else:
            name, value = setting[-1]
            yield Setting(key=prefix + key.name, value=shown(key.kind, value), set_by=name)


def shown(kind: Kind[Any], plain: Plain) -> str:
    """A canonical value as people read it, without what may be a secret."""
    match kind, plain:
        case ListKind(item=item), list() as values:
            return ", ".join(shown(item, value) for value in values)
        case ScalarKind(secret=True), _:
            return "***"
        case _, bool():
            return "true" if plain else "false"
        case _, str() | int() | float():
            return str(plain)
    value = kind.value(plain)
    if isinstance(value, ProbeSpec):
        port = value.options.get("port")
        return f"{value.type}:{port}" if isinstance(port, int) else value.type
    return str(value)


def _row(key: str, value: str, source: str) -> str:
    return f"{key:<{_KEY}} {value:<{_VALUE}} {source}".rstrip()


def _wrapped(text: str, indent: str) -> list[str]:
    return textwrap.wrap(text, _WIDTH, subsequent_indent=indent, break_on_hyphens=False)
