"""Every public name is documented where it is defined."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import safeupdater
import safeupdater.testing

PACKAGE = Path(safeupdater.__file__).parent
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path.name != "_version.py")

Definition = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def names_of_ports() -> frozenset[str]:
    """Methods that a protocol documents: an implementation says the same thing, so it need not repeat it."""
    tree = ast.parse((PACKAGE / "protocols.py").read_text())
    ports = (node for node in tree.body if isinstance(node, ast.ClassDef))
    return frozenset(each.name for port in ports for each in port.body if isinstance(each, ast.FunctionDef))


PORT_METHODS = names_of_ports()


def public_definitions(body: list[ast.stmt], inside: str = "") -> Iterator[tuple[str, Definition]]:
    """Public functions and classes, and the public members of public classes, with dotted names."""
    for node in body:
        if not isinstance(node, Definition) or node.name.startswith("_"):
            continue
        yield inside + node.name, node
        if isinstance(node, ast.ClassDef):
            yield from public_definitions(node.body, f"{inside}{node.name}.")


def needs_no_docstring(name: str, node: Definition) -> bool:
    """Overloads, setters, implementations of a documented port, and tests, whose name is their promise."""
    if isinstance(node, ast.ClassDef):
        return False
    if node.name.startswith("test_"):
        return True
    decorators = {ast.unparse(decorator).rpartition(".")[2] for decorator in node.decorator_list}
    is_method_of_port = "." in name and node.name in PORT_METHODS
    return is_method_of_port or bool(decorators & {"overload", "setter", "deleter", "override", "validator"})


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_every_public_name_has_a_docstring(module: Path) -> None:
    tree = ast.parse(module.read_text())
    assert ast.get_docstring(tree) or not tree.body, "the module has no docstring"
    missing = [
        f"{module.name}:{node.lineno} {name}"
        for name, node in public_definitions(tree.body)
        if not needs_no_docstring(name, node) and not ast.get_docstring(node)
    ]
    assert not missing, "without a docstring:\n" + "\n".join(missing)


def test_every_exported_name_exists_and_is_listed_once() -> None:
    assert len(safeupdater.__all__) == len(set(safeupdater.__all__))
    assert {name for name in safeupdater.__all__ if not hasattr(safeupdater, name)} == set()
    assert set(safeupdater.__all__) <= set(dir(safeupdater))


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    for module in (safeupdater, safeupdater.testing):
        with pytest.raises(AttributeError):
            _ = module.no_such_name


@pytest.mark.parametrize("name", ["BackendContract", "FakeClock", "GateContract", "StateStoreContract"])
def test_what_authors_of_parts_need_is_had_from_testing_itself(name: str) -> None:
    found = getattr(safeupdater.testing, name)
    assert (found.__name__, found.__module__.partition(".testing")[0]) == (name, "safeupdater")
