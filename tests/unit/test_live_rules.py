"""Live tests skip with a reason on a workstation, and may not skip under CI."""

from __future__ import annotations

import os
import re
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
STARTS_A_SERVER = (
    "from testbed.processes import Unavailable\ndef test_it():\n    raise Unavailable('no server here')\n"
)
EXPECTED_FAILURE = "import pytest\n@pytest.mark.xfail(strict=True)\ndef test_it():\n    assert False\n"


MODULES = {
    "live/test_skips.py": SKIPS,
    "live/test_module_skips.py": MODULE_SKIPS,
    "unit/test_asks_for_a_server.py": ASKS_FOR_A_SERVER,
    "live/test_starts_a_server.py": STARTS_A_SERVER,
    "unit/test_other_skip.py": SKIPS,
    "live/test_expected_failure.py": EXPECTED_FAILURE,
    "live/test_not_applicable.py": SKIPS.replace("no server here", "does not apply: it has no clock"),
}
LIVE_SKIPS = (
    "live/test_skips.py",
    "live/test_module_skips.py",
    "live/test_starts_a_server.py",
    "unit/test_asks_for_a_server.py",
)


def report_of_run(directory: Path, *, ci: str) -> str:
    """What pytest says about these modules under this project's conftest."""
    for place, text in MODULES.items():
        (directory / "tests" / place).parent.mkdir(parents=True, exist_ok=True)
        (directory / "tests" / place).write_text(text)
    shutil.copy(TESTS / "conftest.py", directory / "tests" / "conftest.py")
    (directory / "pytest.ini").write_text("[pytest]\nmarkers = live: talks to a server\n")
    argv = ["-rA", "--continue-on-collection-errors", "-p", "no:cacheprovider", "tests"]
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", *argv],
        cwd=directory,
        env={**os.environ, "CI": ci, "PYTHONPATH": str(TESTS.parent)},
        capture_output=True,
        text=True,
        check=False,
    )
    return ran.stdout


@pytest.fixture(scope="module")
def under_ci(tmp_path_factory: pytest.TempPathFactory) -> str:
    return report_of_run(tmp_path_factory.mktemp("ci"), ci="true")


@pytest.fixture(scope="module")
def on_a_workstation(tmp_path_factory: pytest.TempPathFactory) -> str:
    return report_of_run(tmp_path_factory.mktemp("workstation"), ci="")


@pytest.mark.parametrize("module", LIVE_SKIPS)
def test_a_live_test_that_skips_under_ci_is_a_failure(under_ci: str, module: str) -> None:
    assert re.search(rf"^(FAILED|ERROR) tests/{module}", under_ci, re.MULTILINE)


def test_the_failure_says_why_the_test_wanted_to_skip(under_ci: str) -> None:
    assert under_ci.count("a live test must not skip under CI: Skipped: no server here") >= len(LIVE_SKIPS)


def test_live_tests_may_skip_on_a_workstation(on_a_workstation: str) -> None:
    assert "6 skipped, 1 xfailed" in on_a_workstation


def test_other_tests_may_skip_under_ci(under_ci: str) -> None:
    assert re.search(r"^SKIPPED .* tests/unit/test_other_skip.py", under_ci, re.MULTILINE)


def test_a_promise_that_does_not_apply_may_skip_under_ci(under_ci: str) -> None:
    assert re.search(r"^SKIPPED .* tests/live/test_not_applicable.py", under_ci, re.MULTILINE)


def test_an_expected_failure_of_a_live_test_is_no_skip(under_ci: str) -> None:
    assert "XFAIL tests/live/test_expected_failure.py" in under_ci
