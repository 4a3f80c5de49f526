"""Live tests skip with a reason on a workstation, and may not skip under CI."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]

SKIPS = "import pytest\ndef test_it():\n    pytest.skip('no server here')\n"
MODULE_SKIPS = "import pytest\npytest.skip('no server here', allow_module_level=True)\n"
ASKS_FOR_A_SERVER = (
    "import pytest\n"
    "@pytest.fixture\n"
    "def docker_host():\n    pytest.skip('no server here')\n"
    "def test_it(docker_host):\n    pass\n"
)
EXPECTED_FAILURE = "import pytest\n@pytest.mark.xfail(strict=True)\ndef test_it():\n    assert False\n"


def run_pytest(directory: Path, place: str, text: str, *, ci: str) -> subprocess.CompletedProcess[str]:
    """Runs one test module under this project's conftest."""
    (directory / "tests" / place).parent.mkdir(parents=True)
    shutil.copy(TESTS / "conftest.py", directory / "tests" / "conftest.py")
    (directory / "tests" / place).write_text(text)
    (directory / "pytest.ini").write_text("[pytest]\nmarkers = live: x\n")
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-ra", "-p", "no:cacheprovider", "tests"],
        cwd=directory,
        env={**os.environ, "CI": ci, "PYTHONPATH": str(TESTS.parent)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("text", [SKIPS, MODULE_SKIPS, ASKS_FOR_A_SERVER])
def test_a_live_test_that_skips_under_ci_is_a_failure_with_the_reason(tmp_path: Path, text: str) -> None:
    ran = run_pytest(tmp_path, "live/test_x.py", text, ci="true")
    assert ran.returncode != 0
    assert "a live test must not skip under CI" in ran.stdout
    assert "no server here" in ran.stdout


@pytest.mark.parametrize("text", [SKIPS, MODULE_SKIPS, ASKS_FOR_A_SERVER])
def test_a_live_test_may_skip_on_a_workstation(tmp_path: Path, text: str) -> None:
    ran = run_pytest(tmp_path, "live/test_x.py", text, ci="")
    assert ran.returncode in {0, 5}  # 5: nothing was collected, as a whole module skipped itself
    assert "1 skipped" in ran.stdout


def test_whatever_asks_for_a_server_is_live_wherever_it_lies(tmp_path: Path) -> None:
    ran = run_pytest(tmp_path, "unit/test_x.py", ASKS_FOR_A_SERVER, ci="true")
    assert "a live test must not skip under CI" in ran.stdout


def test_other_tests_may_skip_under_ci(tmp_path: Path) -> None:
    assert run_pytest(tmp_path, "unit/test_x.py", SKIPS, ci="true").returncode == 0


def test_an_expected_failure_of_a_live_test_is_no_skip(tmp_path: Path) -> None:
    assert run_pytest(tmp_path, "live/test_x.py", EXPECTED_FAILURE, ci="true").returncode == 0
