"""Writes the parts of the pages that come from the code: ``python docs/generated.py``.

A page holds ``<!-- generated: NAME -->`` and ``<!-- end -->``; what stands between them is replaced by what
the function of that name below gives. A test compares the pages with the code.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

from safeupdater import errors
from safeupdater.domain.asset import STATUS_TRANSITIONS, AssetStatus

DOCS = Path(__file__).parent
REGION = re.compile(r"(<!-- generated: (?P<name>[\w-]+) -->\n)(?P<body>.*?)(<!-- end -->)", re.DOTALL)


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
    summary = (error.__doc__ or "").split("\n\n")[0].replace("\n", " ").replace("``", "`").strip()
    return (
        f"| {'&nbsp;&nbsp;&nbsp;' * depth}`{error.__name__}` | `{error.code}` | {usual.value} | {summary} |"
    )


def asset_states() -> str:
    """The life cycle of an asset as a table."""
    rows = ["| From | May become |", "|---|---|"]
    for status in AssetStatus:
        following = sorted(str(after) for after in STATUS_TRANSITIONS[status] if after is not status)
        rows.append(f"| `{status}` | {', '.join(f'`{after}`' for after in following)} |")
    return "\n".join(rows)


def layer_diagram() -> str:
    """The layers of import-linter's contract, outermost first; an arrow means "may import"."""
    project = tomllib.loads((DOCS.parent / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = project["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    names = [layer.replace("safeupdater.", "").strip("()") for layer in layers]
    boxes = [f'  L{number}["{name}"]' for number, name in enumerate(names)]
    arrows = [f"  L{number} --> L{number + 1}" for number in range(len(names) - 1)]
    return "\n".join(["```mermaid", "graph TD", *boxes, *arrows, "```"])


REGIONS: dict[str, Callable[[], str]] = {
    "errors": error_table,
    "asset-states": asset_states,
    "layers": layer_diagram,
}


def regenerated(text: str) -> str:
    """A page with every generated region as the code wants it now."""
    return REGION.sub(lambda found: f"{found[1]}\n{REGIONS[found['name']]()}\n\n{found[4]}", text)


def main() -> int:
    """Rewrites the pages that differ and names them."""
    for page in sorted(DOCS.rglob("*.md")):
        before = page.read_text(encoding="utf-8")
        after = regenerated(before)
        if after != before:
            page.write_text(after, encoding="utf-8")
            print("rewrote", page.relative_to(DOCS.parent))
    return 0


if __name__ == "__main__":
    sys.exit(main())
