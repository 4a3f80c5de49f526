"""The layers of the package, held as code, and what importing it costs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
LAZY = frozenset(
    {
        "docker",
        "kubernetes",
        "urllib3",
        "yaml",
        "msgspec",
        "cattrs",
        "tenacity",
        "sqlalchemy",
        "click",
        "rich",
    }
)


def test_inner_layers_never_import_outer_ones() -> None:
    program = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    linted = subprocess.run(
        [sys.executable, "-c", program, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert linted.returncode == 0, linted.stdout + linted.stderr
    assert "0 broken" in linted.stdout


def test_importing_safeupdater_loads_no_client_and_no_optional_library() -> None:
    program = "import json, sys, safeupdater; print(json.dumps(sorted(sys.modules)))"
    imported = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    loaded = {name.partition(".")[0] for name in json.loads(imported.stdout)}
    assert "safeupdater" in loaded
    assert loaded & LAZY == set()
