"""A policy as it is written: read from nodes into canonical plain form, every problem at once."""

from __future__ import annotations

import attrs

from safeupdater.config.kinds import entries_of
from safeupdater.config.nodes import ListNode, MapNode, Node, Plain, Problems, ScalarNode, shown
from safeupdater.config.schema import MATCH, SETTINGS, VERSION
from safeupdater.config.store_settings import STORE_SETTINGS

_OF_STORE = tuple(key.name for key in STORE_SETTINGS.keys)


@attrs.frozen(kw_only=True)
class RuleDocument:
    """One rule: which assets, and the settings in canonical plain form."""

    match: dict[str, Plain]
    settings: dict[str, Plain]


@attrs.frozen(kw_only=True)
class Document:
    """A whole policy in canonical plain form: what the top level sets, and the rules in order.

    ``of_store`` is what the top level alone may set.
    """

    settings: dict[str, Plain] = attrs.field(factory=dict)
    of_store: dict[str, Plain] = attrs.field(factory=dict)
    rules: tuple[RuleDocument, ...] = ()

    def plain(self) -> dict[str, Plain]:
        """The mapping that reads as this document."""
        rules: list[Plain] = [{"match": rule.match, **rule.settings} for rule in self.rules]
        return {"version": VERSION, **self.settings, **self.of_store, **({"rules": rules} if rules else {})}


def read_document(node: Node, problems: Problems) -> Document:
    """The document at a node.

    Raises:
        ConfigurationError: something is wrong with it; all of it is listed.
    """
    entries = entries_of(node, "$", problems, "a mapping such as {version: 1}") or {}
    rules: tuple[RuleDocument, ...] = ()
    if "version" in entries:
        _check_version(entries["version"], problems)
    settings, of_store = {}, {}
    if isinstance(node, MapNode):
        settings = SETTINGS.read_keys(node, "$", problems, also=("version", "rules", *_OF_STORE)) or {}
        of_store = STORE_SETTINGS.read_keys(_only(node, _OF_STORE), "$", problems) or {}
    if "rules" in entries:
        rules = _read_rules(entries["rules"], problems)
    problems.raise_if_any()
    return Document(settings=settings, of_store=of_store, rules=rules)


def _only(node: MapNode, names: tuple[str, ...]) -> MapNode:
    """The mapping with these keys alone."""
    return attrs.evolve(node, entries={name: node.entries[name] for name in names if name in node.entries})


def _check_version(node: Node, problems: Problems) -> None:
    match node:
        case ScalarNode(value=int() as version) if version is not True and version == VERSION:
            return
        case _:
            problems.add(
                "$.version", f"expected {VERSION}, the only version there is, got {shown(node)}", node.at
            )


def _read_rules(node: Node, problems: Problems) -> tuple[RuleDocument, ...]:
    if not isinstance(node, ListNode):
        problems.add("$.rules", f"expected a list of rules, got {shown(node)}", node.at)
        return ()
    rules = (_read_rule(item, f"$.rules[{index}]", problems) for index, item in enumerate(node.items))
    return tuple(rule for rule in rules if rule is not None)


def _read_rule(node: Node, path: str, problems: Problems) -> RuleDocument | None:
    entries = entries_of(node, path, problems, "a rule such as {match: {host: prod-*}, constraint: ^1.24}")
    if entries is None or not isinstance(node, MapNode):
        return None
    settings = SETTINGS.read_keys(node, path, problems, also=("match", *_OF_STORE))
    for name in _OF_STORE:
        if name in entries:
            problems.add(
                f"{path}.{name}", "no rule can say it: it belongs to the top level", node.entries[name].at
            )
    match entries.get("match"):
        case MapNode(entries=criteria) as found if criteria:
            matched = MATCH.read_keys(found, f"{path}.match", problems)
            return RuleDocument(match=matched or {}, settings=settings or {})
        case None | MapNode():
            hint = "say which assets it is for; what holds for all belongs to the top level"
            problems.add(f"{path}.match", hint, node.at)
        case other:
            entries_of(other, f"{path}.match", problems, "a mapping such as {host: prod-*}")
    return None
