"""Writes the parts of the pages that come from the code: ``python docs/generated.py``.

A page holds ``<!-- generated: NAME -->`` and ``<!-- end -->``; what stands between them is replaced by what
the function of that name below gives. ``FILES`` are written whole. A test compares both with the code.
"""

from __future__ import annotations

import json
import re
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import click

import safeupdater
from safeupdater import errors
from safeupdater.cli import app
from safeupdater.config import schema, sections
from safeupdater.config.store_settings import STORE_SETTINGS
from safeupdater.config.variables import VARIABLES
from safeupdater.domain.asset import STATUS_TRANSITIONS, AssetStatus
from safeupdater.gates import matrix
from safeupdater.update import machine

DOCS = Path(__file__).parent
CORE = frozenset({"update", "gates", "health", "analysis", "protocols", "domain", "errors"})
REGION = re.compile(r"(<!-- generated: (?P<name>[\w-]+) -->\n)(?P<body>.*?)(<!-- end -->)", re.DOTALL)


def commands() -> str:
    """The help of the program and of every command, 80 columns wide."""
    return "\n\n".join(_helps(app.cli, "safeupdater"))


def _helps(command: click.Command, name: str) -> Iterator[str]:
    context = click.Context(
        command, info_name=name, terminal_width=80, max_content_width=80,
        help_option_names=["-h", "--help"],
    )  # fmt: skip
    yield f"## {name}\n\n```text\n{command.get_help(context).rstrip()}\n```"
    if isinstance(command, click.Group):
        for child in command.list_commands(context):
            found = command.get_command(context, child)
            assert found is not None
            yield from _helps(found, f"{name} {child}")


def variables() -> str:
    """The environment variables that have a meaning."""
    rows = ["| Variable | Names |", "|---|---|"]
    return "\n".join([*rows, *(f"| `{name}` | {meaning} |" for name, meaning in VARIABLES.items())])


def public_names() -> str:
    """Every exported name with its home and the first line of its docstring."""
    rows = ["| Name | Home | What it is |", "|---|---|---|"]
    for name in sorted(set(safeupdater.__all__) - {"__version__"}, key=str.lower):
        value = getattr(safeupdater, name)
        first = (value.__doc__ or "").strip().partition("\n")[0]
        rows.append(f"| `{name}` | `{value.__module__}` | {first} |")
    return "\n".join(rows)


def error_table() -> str:
    """Each error class with its code, its usual class and the first line of its docstring."""
    rows = ["| Error | Code | Class | Means |", "|---|---|---|---|"]
    rows += [error_row(depth, error) for depth, error in error_tree(errors.SafeUpdaterError)]
    return "\n".join(rows)


def error_tree(root: type[errors.SafeUpdaterError], depth: int = 0) -> Iterator[tuple[int, type]]:
    """The classes of ``safeupdater.errors`` under a root, each below its base, in the order of the module."""
    yield depth, root
    for child in root.__subclasses__():
        if child.__module__ == errors.__name__:
            yield from error_tree(child, depth + 1)


def error_row(depth: int, error: type[errors.SafeUpdaterError]) -> str:
    """One row; the indentation shows the base class."""
    usual = errors.ErrorClass.TRANSIENT if error.transient else error.error_class
    name = f"{'&nbsp;&nbsp;&nbsp;' * depth}`{error.__name__}`"
    return f"| {name} | `{error.code}` | {usual.value} | {first_paragraph(error)} |"


def first_paragraph(documented: type) -> str:
    """The first paragraph of a docstring on one line, as Markdown."""
    return " ".join((documented.__doc__ or "").split("\n\n")[0].replace("``", "`").split())


def asset_states() -> str:
    """The life cycle of an asset as a table."""
    rows = ["| From | May become |", "|---|---|"]
    for status in AssetStatus:
        following = sorted(str(after) for after in STATUS_TRANSITIONS[status] if after is not status)
        rows.append(f"| `{status}` | {', '.join(f'`{after}`' for after in following)} |")
    return "\n".join(rows)


def layers() -> list[list[str]]:
    """The layers of import-linter's contract, outermost first; those in one row are independent."""
    project = tomllib.loads((DOCS.parent / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = project["tool"]["importlinter"]["contracts"]
    rows = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    return [row.replace("safeupdater.", "").strip("()").split(" | ") for row in rows]


def layer_diagram() -> str:
    """The layers as stacked boxes: an SVG file, which shows everywhere without a script."""
    rows = layers()
    width, height, gap = 640, 36, 8
    boxes = []
    for row, names in enumerate(rows):
        box_width = (width - gap * (len(names) - 1)) / len(names)
        for column, name in enumerate(names):
            x, y = column * (box_width + gap), row * (height + gap)
            boxes.append(layer_box(name, x, y, box_width, height))
    view_box = f"0 0 {width} {len(rows) * (height + gap) - gap}"
    style = 'font-family="sans-serif" font-size="14" text-anchor="middle"'
    svg = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{view_box}" {style}>'
    return "\n".join([svg, *boxes, "</svg>", ""])


def layer_box(name: str, x: float, y: float, width: float, height: float) -> str:
    """One labelled box; the core's are filled darker."""
    fill = "#00796b" if name in CORE else "#4db6ac"
    rect = f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="6" fill="{fill}"/>'
    text = f'<text x="{x + width / 2:g}" y="{y + height / 2 + 5:g}" fill="#ffffff">{name}</text>'
    return rect + text


def policy_keys() -> str:
    """Every key of a policy, what it takes and what holds without it."""
    return _key_table(schema.all_keys())


def _key_table(keys: Iterator[tuple[str, sections.Key]]) -> str:
    rows = ["| Key | Takes | Default | Means |", "|---|---|---|---|"]
    for name, key in keys:
        rows.append(f"| `{name}` | {key.kind.expected} | {policy_default(key)} | {key.help} |")
    return "\n".join(rows)


def policy_store_keys() -> str:
    """The same of the keys that only the top level takes."""
    return _key_table(schema.all_keys(STORE_SETTINGS))


def policy_default(key: sections.Key) -> str:
    """The default as it would be written; required keys have none, sections theirs per key."""
    if key.is_required:
        return "required"
    if isinstance(key.kind, sections.SectionKind):
        return ""
    default = key.kind.plain(key.default)
    return f"`{default if isinstance(default, str) and default else json.dumps(default)}`"


def policy_schema() -> str:
    """The JSON Schema of policy files."""
    return json.dumps(schema.json_schema(), indent=2) + "\n"


def machine_steps() -> dict[type, dict[type, list[str]]]:
    """From which state an operation may come to which other, and by what happenings."""
    steps: dict[type, dict[type, list[str]]] = {}
    for (state, happening), rule in machine.TABLE.items():
        ways = steps.setdefault(state, {})
        for following in sorted(rule.to - {state}, key=lambda each: each.__name__):
            ways.setdefault(following, []).append(happening.__name__)
    return steps


def machine_states() -> str:
    """Each state of an operation with its meaning and the states that may follow."""
    steps = machine_steps()
    states = list(dict.fromkeys([*steps, *(following for ways in steps.values() for following in ways)]))
    rows = ["| State | Means | May lead to |", "|---|---|---|"]
    for state in states:
        following = ", ".join(f"`{each.__name__}`" for each in steps.get(state, ())) or "(end)"
        rows.append(f"| `{state.__name__}` | {first_paragraph(state)} | {following} |")
    return "\n".join(rows)


def machine_ways() -> str:
    """Each way from one state to another, with the happenings that take it."""
    rows = ["| From | To | When |", "|---|---|---|"]
    for state, ways in machine_steps().items():
        for following, happenings in ways.items():
            when = ", ".join(f"`{happening}`" for happening in happenings)
            rows.append(f"| `{state.__name__}` | `{following.__name__}` | {when} |")
    return "\n".join(rows)


def machine_diagram() -> str:
    """The same as arcs beside the list of states: an SVG file, which shows everywhere without a script.

    Arcs on the right lead down the list, arcs on the left lead back up.
    """
    steps = machine_steps()
    names = [state.__name__ for state in ordered(steps)]
    ends = set(names) - {state.__name__ for state in steps}
    arcs = [
        arc(names.index(state.__name__), names.index(following.__name__))
        for state, ways in steps.items()
        for following in ways
    ]
    labels = [state_box(name, row, is_end=name in ends) for row, name in enumerate(names)]
    view_box = f"0 0 640 {len(names) * ROW}"
    style = 'font-family="sans-serif" font-size="14" text-anchor="middle"'
    marker = (
        '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
        'orient="auto"><path d="M0 0 8 4 0 8z" fill="#607d8b"/></marker></defs>'
    )
    svg = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{view_box}" {style}>'
    return "\n".join([svg, marker, *arcs, *labels, "</svg>", ""])


ROW, BOX, MIDDLE = 36, 120, 320


def ordered(steps: dict[type, dict[type, list[str]]]) -> list[type]:
    """The states as they usually follow: the good way first, then the ways back, then the other ends."""
    found: list[type] = []
    waiting = [next(iter(steps))]
    while waiting:
        state = waiting.pop()
        if state not in found:
            found.append(state)
            # The last one pushed is looked at first: what goes on rather than what gives up.
            waiting += sorted(steps.get(state, ()), key=lambda each: GIVING_UP.get(each.__name__, 0))[::-1]
    return found


GIVING_UP = {"Deciding": 1, "Held": 2, "Restoring": 3, "RollbackFailed": 4, "Discarding": 5}


def arc(start: int, end: int) -> str:
    """A half ellipse from one row to another."""
    side = 1 if end > start else -1
    x, reach = MIDDLE + side * BOX / 2, abs(end - start) * 13
    y1, y2 = (row * ROW + ROW / 2 for row in (start, end))
    return (
        f'<path d="M{x:g} {y1:g}C{x + side * reach:g} {y1:g} {x + side * reach:g} {y2:g} {x:g} {y2:g}" '
        'fill="none" stroke="#607d8b" marker-end="url(#head)"/>'
    )


def state_box(name: str, row: int, *, is_end: bool) -> str:
    """One labelled box; where it ends, it is light."""
    fill, text = ("#b2dfdb", "#004d40") if is_end else ("#00796b", "#ffffff")
    y = row * ROW + 5
    rect = f'<rect x="{MIDDLE - BOX / 2:g}" y="{y}" width="{BOX}" height="{ROW - 10}" rx="6" fill="{fill}"/>'
    return f'{rect}<text x="{MIDDLE}" y="{y + 18}" fill="{text}">{name}</text>'


REGIONS: dict[str, Callable[[], str]] = {
    "errors": error_table,
    "public-names": public_names,
    "variables": variables,
    "commands": commands,
    "machine-ways": machine_ways,
    "machine-states": machine_states,
    "asset-states": asset_states,
    "decision-matrix": matrix.render,
    "policy-keys": policy_keys,
    "policy-store-keys": policy_store_keys,
}

FILES: dict[str, Callable[[], str]] = {
    "explanation/layers.svg": layer_diagram,
    "reference/operation-states.svg": machine_diagram,
    "../safeupdater/config/policy.schema.json": policy_schema,
}


def regenerated(text: str) -> str:
    """A page with every generated region as the code wants it now."""
    return REGION.sub(lambda found: f"{found[1]}\n{REGIONS[found['name']]()}\n\n{found[4]}", text)


def wanted_files() -> Iterator[tuple[Path, str]]:
    """Every page, and every generated file, as the code wants it now."""
    for page in sorted(DOCS.rglob("*.md")):
        yield page, regenerated(page.read_text(encoding="utf-8"))
    for name, generate in FILES.items():
        yield DOCS / name, generate()


def main() -> int:
    """Rewrites what differs and names it."""
    for path, wanted in wanted_files():
        if not path.exists() or path.read_text(encoding="utf-8") != wanted:
            path.write_text(wanted, encoding="utf-8")
            print("rewrote", path.relative_to(DOCS.parent))
    return 0


if __name__ == "__main__":
    sys.exit(main())
