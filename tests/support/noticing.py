"""Whether a contract notices a bug: runs its tests on something broken and gives what they complain of."""

from __future__ import annotations

import inspect
import itertools
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from safeupdater.testing.clock import FakeClock


def complaints(suite: type) -> dict[str, str]:
    """What the failing tests of a suite say, by name; of a test with parameters, the first that fails.

    They are run without pytest, and given the fixtures of ``StateStoreContract``.
    """
    found: dict[str, str] = {}
    for name, test in inspect.getmembers(suite, inspect.isfunction):
        if not name.startswith("test_"):
            continue
        for arguments in _parameters(test):
            said = _complaint(suite, name, arguments)
            if said is not None:
                found[name] = said
                break
    return found


def _parameters(test: Any) -> Iterator[dict[str, object]]:
    """The arguments of each run of a test, by its ``parametrize`` marks."""
    choices: list[list[dict[str, object]]] = []
    for mark in getattr(test, "pytestmark", ()):
        names, rows = mark.args
        several = not isinstance(names, str)
        choices.append([dict(zip(names, row, strict=True)) if several else {names: row} for row in rows])
    for chosen in itertools.product(*choices):
        yield {name: value for arguments in chosen for name, value in arguments.items()}


def _complaint(suite: type, name: str, arguments: dict[str, object]) -> str | None:
    instance: Any = suite()
    test = getattr(instance, name)
    wanted = inspect.signature(test).parameters
    with tempfile.TemporaryDirectory() as place:
        clock = FakeClock()
        fixtures: dict[str, object] = {"clock": clock, "tmp_path": Path(place)}
        if "store" in wanted:
            fixtures["store"] = instance.open(Path(place), clock)
        try:
            test(**arguments, **{key: value for key, value in fixtures.items() if key in wanted})
        except pytest.skip.Exception:
            return None
        except (Exception, pytest.fail.Exception) as failure:  # noqa: BLE001 - whatever a broken part raises
            return f"{type(failure).__name__}: {failure}"
    return None
