"""What ``apply`` says before it asks: warnings, and what would be refused; the question counts the rest."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path
from typing import Any

import pytest

from safeupdater.domain.operation import PreflightReport, StepOutcome, StepStatus
from safeupdater.errors import BackendError
from tests.support.cli import Shell

PATCH = "1.0.1"
LOSS = (
    "/srv/compose.yaml still says example/web:1.0.0: the next `compose up` goes back to it unless you write "
    "example/web:1.0.1 there"
)
PAUSED = PreflightReport(refusal=StepOutcome(StepStatus.REFUSED, "paused", "api is paused: unpause it first"))
AWAY = BackendError("the daemon is away", transient=True)


@pytest.fixture
def shell(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Shell:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    made = Shell(tmp_path / "state", capsys, environ={"COLUMNS": "80"})
    for name in ("web", "api", "db"):
        made.world.run(name, f"example/{name}:1.0.0")
        made.world.publish(f"example/{name}:{PATCH}")
    return made


def told(shell: Shell, **answers: Any) -> list[str]:
    """Lets preflights answer as told, by name; the names that were asked about."""
    asked: list[str] = []
    inner = shell.backend.preflight

    def preflight(operation: Any) -> PreflightReport:
        name = operation.target_id.rpartition("/")[2]
        asked.append(name)
        answer = answers.get(name) or inner(operation)
        if isinstance(answer, Exception):
            raise answer
        assert isinstance(answer, PreflightReport)
        return answer

    shell.backend.preflight = preflight  # type: ignore[method-assign]
    return asked


def running(shell: Shell) -> dict[str, str]:
    return {name: str(item.image.tag) for name, item in shell.world.containers.items()}


def told_of_all(shell: Shell) -> list[str]:
    return told(shell, web=PreflightReport(warnings=(LOSS, "its ports move")), api=PAUSED, db=AWAY)


def marked(text: str) -> list[str]:
    return re.findall(r"^([!?✗] \w+: .*(?:\n  \S.*)*)", text, re.MULTILINE)


# --- the dry run --------------------------------------------------------------------------------------------


def test_a_dry_run_says_what_would_be_lost_and_refused(shell: Shell) -> None:
    told_of_all(shell)
    ran = shell("apply", "--dry-run")
    assert ran.code == 0
    loss, ports, unknown, refused = marked(ran.out)
    assert " ".join(loss.split()) == f"! web: {LOSS}"
    assert ports == "! web: its ports move"
    assert unknown == "? db: unknown: the daemon is away"
    assert refused == "✗ api: would be refused: api is paused: unpause it first"
    assert ran.out.index(f"1.0.0 → {PATCH}") < ran.out.index(loss)
    assert set(running(shell).values()) == {"1.0.0"}


def test_every_line_fits_80_columns(shell: Shell) -> None:
    told_of_all(shell)
    lines = shell("apply", "--dry-run").out.splitlines()
    block = lines[next(number for number, line in enumerate(lines) if line.startswith("! web")) :]
    assert len(block) > 4, "the long one is broken"
    assert max(map(len, block)) <= 80


def test_a_pipe_gets_one_line_each(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS")
    del shell.environ["COLUMNS"]
    told_of_all(shell)
    lines = shell("apply", "--dry-run").out.splitlines()
    assert f"! web: {LOSS}" in [line.rstrip() for line in lines]
    assert max(map(len, lines)) < 400


def test_foreign_text_does_nothing_to_the_terminal(shell: Shell) -> None:
    told(shell, web=PreflightReport(warnings=("\x1b[31mred\n[bold]fat[/bold]",)))
    out = shell("apply", "--dry-run").out
    assert "\x1b[31mred" not in out
    assert r"\x1b[31mred\n[bold]fat[/bold]" in out


def test_the_plan_document_says_it_too(shell: Shell) -> None:
    told_of_all(shell)
    document = shell.json("apply", "--dry-run")
    found = {update["target_id"].rpartition("/")[2]: update["preview"] for update in document["updates"]}
    assert found["web"] == {
        "outlook": "ready", "code": "", "message": "", "until": None, "warnings": [LOSS, "its ports move"],
    }  # fmt: skip
    assert (found["api"]["outlook"], found["api"]["code"]) == ("refused", "paused")
    assert (found["db"]["outlook"], found["db"]["message"]) == ("unknown", "the daemon is away")


def test_plan_alone_asks_no_runtime_and_what_waits_has_no_preview(shell: Shell) -> None:
    asked = told_of_all(shell)
    assert {update["preview"] for update in shell.json("plan")["updates"]} == {None}
    shell.world.publish("example/web:2.0.0")
    Path("policy.yaml").write_text("version: 1\nsemver_gates: {patch: review}\n")
    assert {update["preview"] for update in shell.json("apply", "--dry-run")["updates"]} == {None}
    assert asked == []


def test_a_dry_run_looks_at_the_named_targets_only(shell: Shell) -> None:
    asked = told_of_all(shell)
    shell("apply", "web", "--dry-run")
    assert asked == ["web"]


@pytest.mark.parametrize("arguments", [["--dry-run"], []])
def test_a_stop_meanwhile_ends_it_without_a_question(shell: Shell, arguments: list[str]) -> None:
    def interrupted(operation: Any) -> PreflightReport:
        os.kill(os.getpid(), signal.SIGINT)
        return PreflightReport()

    shell.backend.preflight = interrupted  # type: ignore[method-assign]
    shell.confirm = lambda question: pytest.fail("it asked")
    ran = shell("apply", *arguments)
    assert ran.code == 6
    assert marked(ran.out + ran.err) == []
    assert set(running(shell).values()) == {"1.0.0"}


# --- the question -------------------------------------------------------------------------------------------


def test_the_question_counts_what_would_be_carried_out(shell: Shell) -> None:
    told(shell, web=PreflightReport(warnings=(LOSS,)), api=PAUSED)
    questions: list[str] = []
    shell.confirm = lambda question: bool(questions.append(question))
    ran = shell("apply")
    assert questions == ["Apply 2 updates?"]
    assert [line[:5] for line in marked(ran.err)] == ["! web", "✗ api"]
    listed = [line.split()[0] for line in ran.err.splitlines() if f"→ {PATCH}" in line]
    assert sorted(listed) == ["db", "web"]
    assert ran.code == 6


def test_after_a_yes_only_that_is_carried_out(shell: Shell) -> None:
    asked = told(shell, api=PAUSED)
    shell.confirm = lambda question: True
    ran = shell("apply", "--output", "json")
    assert running(shell) == {"web": PATCH, "api": "1.0.0", "db": PATCH}
    outcomes = {item["target_id"].rpartition("/")[2]: item for item in ran.document["operations"]}
    assert (outcomes["api"]["outcome"], outcomes["api"]["code"]) == ("refused", "paused")
    assert outcomes["api"]["operation_id"] is None
    assert outcomes["web"]["outcome"] == "succeeded"
    assert ran.code == 4, "part of it was blocked"
    assert asked.count("api") == 1


def test_where_everything_would_be_refused_nothing_is_asked(shell: Shell) -> None:
    told(shell, web=PAUSED, api=PAUSED, db=PAUSED)
    shell.confirm = lambda question: pytest.fail("it asked")
    ran = shell("apply")
    assert ran.code == 4
    assert ran.out.count("refused") == 3, "the result says it"
    assert marked(ran.err) == []
    assert set(running(shell).values()) == {"1.0.0"}


def test_what_nothing_can_be_said_of_is_tried(shell: Shell) -> None:
    told(shell, db=AWAY)
    questions: list[str] = []
    shell.confirm = lambda question: bool(questions.append(question))
    shell("apply")
    assert questions == ["Apply 3 updates?"]


def test_with_yes_nobody_looks_twice(shell: Shell) -> None:
    asked = told(shell)
    assert shell("apply", "--yes").code == 0
    assert sorted(asked) == ["api", "db", "web"]


def test_what_is_said_holds_no_secret_of_the_environment(shell: Shell) -> None:
    shell.environ["SHOP_PASSWORD"] = "zq9-Kd7-0x1"
    told(shell, web=PreflightReport(warnings=("it holds zq9-Kd7-0x1",)))
    (line,) = marked(shell("apply", "--dry-run").out)
    assert line.startswith("! web: it holds ")
    assert "zq9-Kd7-0x1" not in line
