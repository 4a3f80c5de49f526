"""What is committed works elsewhere: no file names a place that only this machine has."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TEXT_SUFFIXES = frozenset(
    {".py", ".toml", ".md", ".yml", ".yaml", ".json", ".cfg", ".txt", ".sh", ".service", ""}
)


def committed_files() -> list[Path]:
    """The files under version control; in an unpacked sdist there are none to ask for."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    return [ROOT / name for name in listed.stdout.split("\0") if name]


def places_of_this_machine() -> set[str]:
    """Where this checkout, this interpreter and this user live."""
    places = {str(ROOT), sys.prefix, sys.base_prefix, f"{Path.home()}/."}
    return {place for place in places if place not in {"/", "/usr", "/usr/local"}}


def test_no_committed_file_names_a_place_of_this_machine() -> None:
    places = places_of_this_machine()
    found = [
        f"{path.relative_to(ROOT)}: {place}"
        for path in committed_files()
        if path.suffix in TEXT_SUFFIXES and path.is_file()
        for place in places
        if place in path.read_text(encoding="utf-8", errors="replace")
    ]
    assert found == []


def test_no_large_file_is_committed() -> None:
    large = [path.name for path in committed_files() if path.is_file() and path.stat().st_size > 500_000]
    assert large == []
