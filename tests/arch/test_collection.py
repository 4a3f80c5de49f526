"""Every process finds the same tests in the same order, so that they can be shared out among processes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
COLLECT = [
    sys.executable,
    "-m",
    "pytest",
    "--collect-only",
    "-q",
    "-p",
    "no:randomly",
    "-p",
    "no:cacheprovider",
]


def start_collecting(hash_seed: int) -> subprocess.Popen[str]:
    """Collects in a process of its own, whose sets of strings have another order for another seed."""
    return subprocess.Popen(
        [*COLLECT, "tests/unit", "tests/contract", "tests/property"],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": str(hash_seed), "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
def test_two_processes_collect_the_same_tests_in_the_same_order() -> None:
    collecting = [start_collecting(seed) for seed in (1, 2)]
    first, second = (
        [line for line in process.communicate()[0].splitlines() if "::" in line] for process in collecting
    )
    assert [process.returncode for process in collecting] == [0, 0]
    assert len(first) > 1000
    assert [pair for pair in zip(first, second, strict=True) if pair[0] != pair[1]] == []
