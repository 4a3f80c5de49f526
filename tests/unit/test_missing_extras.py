"""What is optional and not installed is asked for by the name of its extra, and only when it is used."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

USES = {
    "sqlalchemy": (
        "sql",
        "SQLAlchemy",
        "from safeupdater.stores import open_store; open_store('sqlite:///x.db')",
    ),
    "sqlalchemy, imported": ("sql", "SQLAlchemy", "import safeupdater.stores.sql"),
    "sqlalchemy, by name": ("sql", "SQLAlchemy", "from safeupdater.stores import SqlStore"),
    "psycopg": (
        "sql",
        "psycopg",
        "from safeupdater.stores import open_store; open_store('postgresql://h/d')",
    ),
    "cryptography": ("sql", "cryptography", "from safeupdater.stores.seal import Seal; Seal(bytes(32))"),
    "re2": ("regex", "google-re2", "from safeupdater.gates.patterns import patterns; patterns(['re:^1'])"),
}
CATCHING = """
from safeupdater.errors import MissingExtraError
try:
    {code}
except MissingExtraError as error:
    print(error)
"""
CLI = {"click": "click", "rich": "rich"}


def run_without(module: str, code: str) -> subprocess.CompletedProcess[str]:
    """Runs code in a fresh interpreter that finds no such module."""
    blocked = f"import sys; sys.modules[{module!r}] = None\n"
    return subprocess.run(
        [sys.executable, "-c", blocked + code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def extras() -> dict[str, set[str]]:
    """The distributions of each extra."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return {
        name: {re.split(r"[\[<>=!;]", item)[0] for item in items}
        for name, items in project["optional-dependencies"].items()
    }


@pytest.mark.parametrize("use", USES)
def test_what_is_missing_is_named_with_an_extra_that_brings_it(use: str) -> None:
    extra, distribution, code = USES[use]
    ran = run_without(use.partition(",")[0], CATCHING.format(code=code))
    assert ran.returncode == 0, ran.stderr
    assert f"pip install 'safeupdater[{extra}]'" in ran.stdout
    assert distribution in ran.stdout
    assert distribution in extras()[extra]


@pytest.mark.parametrize("module", CLI)
def test_the_command_line_without_its_extra_says_so_in_one_line(module: str) -> None:
    ran = run_without(module, "import sys; from safeupdater.__main__ import main; sys.exit(main(['scan']))")
    assert ran.returncode == 2
    assert module in ran.stderr
    assert "pip install 'safeupdater[cli]'" in ran.stderr
    assert len(ran.stderr.splitlines()) == 1
    assert CLI[module] in extras()["cli"]


def test_the_command_line_brings_what_its_own_store_needs() -> None:
    assert "SQLAlchemy" in extras()["cli"]


@pytest.mark.parametrize(
    "module", ["docker", "kubernetes", "sqlalchemy", "psycopg", "cryptography", "re2", "click", "rich"]
)
def test_nothing_optional_is_needed_to_import_and_to_decide(module: str) -> None:
    ran = run_without(
        module,
        "from safeupdater import DiffGate, SemVerAnalyzer, Updater, Policy\n"
        "from safeupdater.stores import *\n"
        "assert SemVerAnalyzer().is_upgrade('1.0.0', '1.1.0')\n"
        "Updater(backends=[], policy=Policy.from_dict({'version': 1})).apply()",
    )
    assert ran.returncode == 0, ran.stderr


def test_docker_is_asked_for_by_its_package_only_when_it_is_used() -> None:
    code = "from safeupdater.backends.docker import DockerBackend; DockerBackend.from_env({})"
    ran = run_without("docker", CATCHING.format(code=code))
    assert ran.returncode == 0, ran.stderr
    assert "pip install docker" in ran.stdout
