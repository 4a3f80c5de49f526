"""Regular expressions that work on every Python that we promise."""

from __future__ import annotations

import importlib
import pkgutil
import re
from re import _parser as parser  # type: ignore[attr-defined]  # the only place that says what a pattern is made of

import pytest

import safeupdater

MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(safeupdater.__path__, "safeupdater.")
    if not module.name.endswith("__main__")
)


def patterns_of(module: str) -> list[re.Pattern[str]]:
    return [
        value for value in vars(importlib.import_module(module)).values() if isinstance(value, re.Pattern)
    ]


def never_tries_again(pattern: re.Pattern[str]) -> bool:
    parsed = repr(parser.parse(pattern.pattern, pattern.flags & ~re.DEBUG))
    return "POSSESSIVE_REPEAT" in parsed or "ATOMIC_GROUP" in parsed


@pytest.mark.parametrize("module", MODULES)
def test_no_pattern_takes_for_good_what_python_3_11_2_then_fails_to_match(module: str) -> None:
    """Debian 12's Python reads ``(?:[a-z]+-)*+v`` otherwise than later ones (cpython #106052)."""
    assert [pattern.pattern for pattern in patterns_of(module) if never_tries_again(pattern)] == []


def test_such_patterns_are_recognised() -> None:
    assert never_tries_again(re.compile("(?:a|b)*+c"))
    assert never_tries_again(re.compile("(?>a|b)c"))
    assert not never_tries_again(re.compile("(?:a|b)*c"))
