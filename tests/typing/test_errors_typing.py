"""What type checkers conclude about errors: checked by mypy and pyright, run by pytest."""

from __future__ import annotations

from typing import assert_type

from safeupdater.errors import (
    ConfigurationError,
    ErrorClass,
    Problem,
    RateLimited,
    RegistryError,
    SafeUpdaterError,
    StoreLocked,
    classify,
)


def test_evidence_of_errors_is_typed() -> None:
    limited = RateLimited("slow down", retry_after_s=3.0)
    assert_type(limited.retry_after_s, float | None)
    assert_type(limited.code, str)
    assert_type(limited.evidence, dict[str, object])
    assert_type(StoreLocked("busy", pid=7).pid, int | None)
    problems = ConfigurationError("bad", problems=[Problem("$.a", "no")]).problems
    assert_type(problems, tuple[Problem, ...])
    assert_type(problems[0].line, int | None)


def test_the_class_of_any_error_is_a_value() -> None:
    assert_type(classify(ValueError()), ErrorClass)
    error: SafeUpdaterError = RegistryError("gone")
    assert_type(error.transient, bool)
