"""The scripts in examples/ run and print what they say that they print; the plugin is found by name."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from safeupdater import MemoryBackend, MemoryWorld, Outcome, Policy, Updater
from safeupdater.backends.memory import CRASHES
from safeupdater.config.named import named_observer
from safeupdater.testing.clock import FakeClock
from tests.docs.markdown_blocks import printed_as_promised

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
PLUGIN = EXAMPLES / "plugin"
MARK = "# Output:\n"


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.name)
def test_a_script_prints_what_it_says(path: Path, tmp_path: Path) -> None:
    code, mark, comments = path.read_text(encoding="utf-8").partition(MARK)
    promised = "\n".join(line.removeprefix("#").removeprefix(" ") for line in comments.splitlines())
    ran = subprocess.run(
        [sys.executable, str(path)], cwd=tmp_path, text=True, capture_output=True, timeout=60, check=False
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert code
    assert mark, "a script ends with what it prints"
    assert printed_as_promised(promised, ran.stdout), ran.stdout


def test_the_readme_names_every_example() -> None:
    text = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    there = {path.name for path in EXAMPLES.iterdir() if path.suffix == ".py"} | {"plugin/"}
    assert {name for name in there if f"[{name}]" in text} == there


# --- the plugin package -----------------------------------------------------------------------------------


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The package as an installer leaves it: its module on the path, and its entry points beside it."""
    project = tomllib.loads((PLUGIN / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    info = tmp_path / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: 1.0\n")
    sections = [
        "\n".join([f"[{group}]", *(f"{name} = {target}" for name, target in points.items())])
        for group, points in project["entry-points"].items()
    ]
    (info / "entry_points.txt").write_text("\n\n".join(sections))
    (tmp_path / "acme_safeupdater.py").write_bytes((PLUGIN / "acme_safeupdater.py").read_bytes())
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    sys.modules.pop("acme_safeupdater", None)


def play(at: datetime, tmp_path: Path, release: str = "good") -> tuple[list[Outcome], str]:
    """One round by the plugin's own policy: the outcomes, and what its observer wrote down."""
    clock = FakeClock(start=at)
    world = MemoryWorld(clock, host="prod-1")
    world.run("web", "example/web:1.0.0")
    if release == "bad":
        world.publish("example/web:1.0.1", CRASHES)
    else:
        world.publish("example/web:1.0.1")
    log = tmp_path / "acme.log"
    with Updater(
        backends=[MemoryBackend(world)], tags=world, policy=Policy.load(PLUGIN / "policy.yaml"), clock=clock,
        observers=[named_observer("acme_log", {"ACME_LOG": str(log)})],
    ) as updater:  # fmt: skip
        updater.scan()
        outcomes = [result.outcome for result in updater.apply()]
    return outcomes, log.read_text() if log.exists() else ""


@pytest.mark.usefixtures("installed")
def test_the_plugins_gate_check_and_observer_are_found_by_name_and_used(tmp_path: Path) -> None:
    noon, night = datetime(2026, 3, 5, 12, tzinfo=UTC), datetime(2026, 3, 5, 23, tzinfo=UTC)
    assert play(noon, tmp_path) == ([Outcome.SUCCEEDED], "")
    assert play(night, tmp_path) == ([], "")
    outcomes, written = play(noon, tmp_path, "bad")
    assert (outcomes, "memory://prod-1/web" in written) == ([Outcome.ROLLED_BACK], True)
