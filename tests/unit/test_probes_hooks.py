"""Hooks as commands: no shell, no secrets, no end later than allowed, and what follows from each outcome."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from safeupdater.domain.artifact import ImageReference
from safeupdater.domain.operation import DONE, Hook, HookPoint, StepOutcome, StepStatus
from safeupdater.errors import BackendError
from safeupdater.probes.hooks import CommandHooks
from safeupdater.protocols import ExecResult
from safeupdater.testing.driving import operation_for
from tests.support.planning import WEB, asset


def beside(*argv: str, timeout_s: float = 30.0) -> Hook:
    return Hook(
        name="dump", point=HookPoint.BEFORE_SWITCH, argv=argv, in_container=False, timeout_s=timeout_s
    )


def run(hook: Hook, target: Any = None) -> StepOutcome:
    return CommandHooks().run(hook, operation_for(asset(), ImageReference.parse("example/web:1.1.0")), target)


def python(program: str, *arguments: str) -> tuple[str, ...]:
    return ("/usr/bin/env", "python3", "-I", "-c", program, *arguments)


# --- beside the updater -------------------------------------------------------------------------------------


def test_a_command_that_ends_well_is_done() -> None:
    assert run(beside("true")) == DONE


def test_arguments_reach_the_program_as_they_are_and_no_shell_reads_them(tmp_path: Path) -> None:
    seen, touched = tmp_path / "seen", tmp_path / "touched"
    odd = f"a b; touch {touched} $(touch {touched}) `touch {touched}` * \n'\""
    program = "import sys, pathlib; pathlib.Path(sys.argv[1]).write_text(sys.argv[2])"
    assert run(beside(*python(program, str(seen), odd))) == DONE
    assert seen.read_text() == odd
    assert not touched.exists()


def test_the_environment_holds_the_operation_and_nothing_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAFEUPDATER_WEBHOOK_SECRET", "hunter2")
    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    seen = tmp_path / "seen"
    program = "import os, sys, pathlib; pathlib.Path(sys.argv[1]).write_text(repr(dict(os.environ)))"
    assert run(beside(*python(program, str(seen)))) == DONE
    environment = dict(eval(seen.read_text()))
    environment.pop("LC_CTYPE", None)  # Python's own (PEP 538)
    assert set(environment) == {"PATH", "SAFEUPDATER_OPERATION", "SAFEUPDATER_TARGET"}
    assert environment["SAFEUPDATER_TARGET"] == WEB


def test_a_command_reads_nothing_from_us() -> None:
    assert run(beside(*python("import sys; assert sys.stdin.read() == ''"))) == DONE


def test_another_exit_code_refuses_and_says_which() -> None:
    outcome = run(beside("sh", "-c", "echo hunter2; echo hunter2 >&2; exit 3"))
    assert (outcome.status, outcome.code) == (StepStatus.REFUSED, "hook_failed")
    assert "exit code 3" in outcome.message
    assert "hunter2" not in repr(outcome)


def test_any_amount_of_output_is_taken_and_dropped() -> None:
    assert run(beside("sh", "-c", "head -c 20000000 /dev/zero")) == DONE


@pytest.mark.parametrize(
    "argv", [("/no/such/program", "hunter2"), ("/etc/passwd",), ("/", "hunter2"), ("true", "a\0b")]
)
def test_a_program_that_cannot_be_run_refuses_without_telling_its_arguments(argv: tuple[str, ...]) -> None:
    outcome = run(beside(*argv))
    assert (outcome.status, outcome.code) == (StepStatus.REFUSED, "hook_failed")
    assert "could not be run" in outcome.message
    assert "hunter2" not in repr(outcome)


def _is_alive(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def _ends_soon(pid: int) -> bool:
    until_s = time.monotonic() + 10
    while _is_alive(pid) and time.monotonic() < until_s:
        time.sleep(0.01)
    return not _is_alive(pid)


@pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="needs /proc to see processes")
@pytest.mark.parametrize("first", ["", "trap '' TERM; "], ids=["willing", "deaf"])
def test_when_its_time_is_over_it_ends_with_everything_that_it_started(tmp_path: Path, first: str) -> None:
    pids = tmp_path / "pids"
    script = f"{first}sleep 600 & echo $$ $! > {pids}.new; mv {pids}.new {pids}; wait; sleep 600"
    outcome = run(beside("sh", "-c", script, timeout_s=1.0))
    assert (outcome.status, outcome.code) == (StepStatus.REFUSED, "hook_timeout")
    assert "within 1 s" in outcome.message
    assert all(_ends_soon(int(pid)) for pid in pids.read_text().split())


# --- in the container ---------------------------------------------------------------------------------------


class Inside:
    """A container that answers as told."""

    def __init__(self, answer: ExecResult | Exception) -> None:
        self.answer = answer
        self.asked: list[tuple[Sequence[str], float]] = []

    def execute(self, argv: Sequence[str], timeout_s: float) -> ExecResult:
        self.asked.append((argv, timeout_s))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def inside(timeout_s: float = 7.0) -> Hook:
    return Hook(name="dump", point=HookPoint.BEFORE_SWITCH, argv=("pg_dump", "-Ft"), timeout_s=timeout_s)


def test_a_command_in_the_container_gets_its_arguments_and_its_time() -> None:
    target = Inside(ExecResult(exit_code=0))
    assert run(inside(), target) == DONE
    assert target.asked == [(("pg_dump", "-Ft"), 7.0)]


def test_a_command_that_fails_in_the_container_refuses_without_its_output() -> None:
    outcome = run(inside(), Inside(ExecResult(exit_code=1, output="password: hunter2")))
    assert (outcome.status, outcome.code) == (StepStatus.REFUSED, "hook_failed")
    assert "hunter2" not in repr(outcome)


def test_without_a_container_it_refuses() -> None:
    assert run(inside(), None).status is StepStatus.REFUSED


def test_a_runtime_that_does_not_answer_is_no_answer() -> None:
    with pytest.raises(BackendError):
        run(inside(), Inside(BackendError("no answer", transient=True)))
