"""Very many tags: little time, little memory, and past the limit an error instead of a shorter list."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


def measured(*arguments: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "testbed.big_listing", *arguments]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, text=True, timeout=120)
    return dict(json.loads(ran.stdout))


@pytest.mark.parametrize("page_size", ["1000", "0"], ids=["100 pages", "one body"])
def test_100_000_tags_take_under_2_s_and_64_mib(page_size: str) -> None:
    figures = measured("100000", page_size)
    assert figures["tags"] == 100_000
    assert figures["cpu_s"] < 2
    assert figures["grown_mib"] < 64


def test_a_million_tags_in_one_body_are_a_clean_error() -> None:
    figures = measured("1000000", "0")
    assert (figures["tags"], figures["error"]) == (0, "too_large")
    assert figures["cpu_s"] < 10
