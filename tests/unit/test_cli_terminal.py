"""What people see: 80 columns, narrower names, progress, and pipes where one line stays one line."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import click
import pytest
from rich.console import Console, RenderableType

from safeupdater.backends.memory import Behaviour, MemoryBackend, MemoryWorld
from safeupdater.cli import tables
from safeupdater.cli.progress import Board
from safeupdater.cli.story import Storyteller
from safeupdater.domain.artifact import ImageReference
from safeupdater.domain.asset import Asset, AssetType, UpdateRecord
from safeupdater.domain.change import VersionChangeType
from safeupdater.domain.health import Tally
from safeupdater.domain.operation import (
    BecameReady,
    Finished,
    JournalEntry,
    Outcome,
    PreflightPassed,
    Resumed,
    SnapshotCaptured,
)
from safeupdater.protocols import Progress
from safeupdater.update.executor import Progressed
from tests.support.cli import Shell

HOST = "LARJ:5NIR:AGRD:FG5H:LC6Y:CCOS:FPBN:PEM5:YDX3:NXZ6:TX65:4OH3"
AT = datetime(2026, 3, 2, 12, tzinfo=UTC)
LONG = "a-container-with-quite-a-long-name-that-nobody-should-have-chosen-1"


@pytest.fixture
def shell(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Shell:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("COLUMNS", raising=False)
    return Shell(tmp_path / "state", capsys)


def shown(renderable: RenderableType, width: int = 80) -> list[str]:
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
    console.print(renderable)
    assert isinstance(console.file, io.StringIO)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def container(name: str, image: str) -> Asset:
    return Asset(
        id=f"docker://{HOST}/{name}", name=name, asset_type=AssetType.CONTAINER,
        image=ImageReference.parse(image),
    )  # fmt: skip


# --- tables -----------------------------------------------------------------------------------------------


def test_a_long_image_gives_way_in_its_middle_so_that_its_tag_stays() -> None:
    image = "registry.example.com:5000/some/very/long/repository/path/that/goes/on-and-on/web:1.27.1-alpine"
    lines = shown(tables.inventory([container("web", image), container("api", "nginx:1.27")]))
    assert all(len(line) <= 80 for line in lines)
    (row,) = (line for line in lines if line.startswith("web"))
    assert "…" in row
    assert "/web:1.27.1-alpine  " in row


def test_a_long_name_is_folded_since_people_copy_it() -> None:
    lines = shown(tables.inventory([container(LONG, "nginx:1.27.1")]))
    assert all(len(line) <= 80 for line in lines)
    assert "".join(line.split("  ")[0] for line in lines[1:]) == LONG


@pytest.mark.parametrize("width", [80, 120])
def test_times_and_outcomes_stay_in_one_piece(width: int) -> None:
    record = UpdateRecord(
        operation_id="op-1", from_version="1.0.0", to_version="1.0.1", from_digest=None, to_digest=None,
        change_type=VersionChangeType.PATCH,
        decision="approve", outcome="rolled_back", reason="not ready within 300 s: HTTP 404",
        started=AT, finished=AT,
    )  # fmt: skip
    lines = shown(tables.history([(f"docker://{HOST}/{LONG}", record)]), width)
    assert all(len(line) <= width for line in lines)
    assert lines[1].startswith("2026-03-02 12:00Z  ")
    assert "  rolled_back  " in lines[1]


# --- pipes ------------------------------------------------------------------------------------------------


def test_in_a_pipe_one_line_stays_one_line(shell: Shell) -> None:
    shell.world.run(LONG, f"registry.example.com:5000/{'long/' * 20}web:1.0.0")
    (row,) = (line for line in shell("scan").out.splitlines() if LONG in line)
    assert f"{'long/' * 20}web:1.0.0" in row


def test_a_pipe_has_the_width_that_columns_says(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    shell.environ["COLUMNS"] = "60"
    monkeypatch.setenv("COLUMNS", "60")
    shell.world.run(LONG, "example/web:1.0.0")
    lines = shell("scan").out.splitlines()
    assert max(map(len, lines)) <= 60


# --- plans ------------------------------------------------------------------------------------------------


def test_a_plan_cuts_a_daemons_long_id_before_it_cuts_names(shell: Shell) -> None:
    shell.world = MemoryWorld(shell.clock, host=HOST)
    shell.backend = MemoryBackend(shell.world)
    shell.world.run("web", "example/web:1.0.0")
    shell.world.run(LONG, "example/other:1.0.0")
    shell.world.publish("example/web:1.0.1")
    out = shell("plan").out
    assert "memory://LARJ:…:4OH3/web\n" in out
    assert all(len(line) <= 80 for line in out.splitlines())
    assert "chosen-1" in out


def test_a_plan_says_how_a_release_in_quarantine_is_tried_again(shell: Shell) -> None:
    shell.world.run("web", "example/web:1.0.0")
    shell.world.publish("example/web:1.0.1", Behaviour(ready_after_s=1.0, exits_after_s=30.0))
    assert "quarantine allow" not in shell("plan").err
    shell("apply", "--yes")
    assert "safeupdater quarantine allow web" in shell("plan").err
    assert "safeupdater quarantine allow web" not in shell("plan", "-o", "json").err


# --- progress ---------------------------------------------------------------------------------------------


def under_way(state: str, **more: object) -> Progressed:
    return Progressed(operation_id="op-1", target_id=f"docker://{HOST}/{LONG}", state=state, **more)  # type: ignore[arg-type]


def test_progress_says_how_long_a_state_has_lasted_and_what_was_counted() -> None:
    now_s = [100.0]
    board = Board(lambda: now_s[0])
    board.take(
        under_way(
            "staging",
            step="pull",
            progress=Progress(step="pull", done=1_500_000, total=3_000_000, unit="bytes"),
        )
    )
    now_s[0] += 4
    (line,) = board.lines()
    assert line.plain.endswith("staging 4 s  pull  1.5 MB of 3.0 MB")
    board.take(under_way("watching"))
    now_s[0] += 65
    board.take(under_way("watching", tally=Tally(due=7, ok=6, failed=1)))
    (line,) = board.lines()
    assert line.plain.endswith("watching 65 s  probes: 6 good, 1 bad")
    board.take(under_way("succeeded"))
    assert board.lines() == []


def test_the_counts_of_an_operation_with_a_long_name_fit_80_columns() -> None:
    board = Board(lambda: 0.0)
    board.take(under_way("watching", tally=Tally(due=131, ok=120, failed=1, void=10)))
    (line,) = shown(board)
    assert len(line) <= 80
    assert line.endswith("probes: 120 good, 1 bad, 10 void")


# --- the story --------------------------------------------------------------------------------------------


def test_lines_say_whose_they_are_while_several_updates_are_under_way() -> None:
    console = Console(file=io.StringIO(), width=80)
    storyteller = Storyteller(console)
    for name, event in (
        ("web", Resumed(by="ann", epoch=2)),
        ("web", BecameReady(identity="c1", evidence="running")),
        ("api", Resumed(by="ann", epoch=2)),
        ("web", Finished(outcome=Outcome.SUCCEEDED)),
        ("api", BecameReady(identity="c1", evidence="running")),
        ("api", Finished(outcome=Outcome.SUCCEEDED)),
    ):
        storyteller.notify(
            JournalEntry(
                operation_id=f"op-{name}", target_id=f"docker://h/{name}", version=1, position=1, at=AT,
                epoch=1, event=event,
            )
        )  # fmt: skip
    assert isinstance(console.file, io.StringIO)
    assert [line.strip() for line in console.file.getvalue().splitlines()] == [
        "",
        "web",
        "0 s  ↻ taken up again after an interruption",
        "0 s  ✓ ready (running); now it is watched",
        "api",
        "0 s  ↻ api: taken up again after an interruption",
        "0 s  ✓ web: done: the new version runs and was watched",
        "0 s  ✓ api: ready (running); now it is watched",
        "0 s  ✓ done: the new version runs and was watched",
    ]


def test_a_warning_is_told_before_anything_is_touched() -> None:
    console = Console(file=io.StringIO(), width=80)
    storyteller = Storyteller(console)
    for event in (PreflightPassed(warnings=("3 files get lost",)), SnapshotCaptured(sha256="0" * 64)):
        storyteller.notify(
            JournalEntry(
                operation_id="op-1", target_id="docker://h/web", version=1, position=1, at=AT, epoch=1,
                event=event,
            )
        )  # fmt: skip
    assert isinstance(console.file, io.StringIO)
    _, _, warning, stored = console.file.getvalue().splitlines()
    assert warning.strip() == "! 3 files get lost"
    assert stored.endswith("before anything is touched")


def test_a_single_update_is_told_without_repeating_its_name(shell: Shell) -> None:
    shell.world.run("web", "example/web:1.0.0")
    shell.world.publish("example/web:1.0.1")
    told = shell("apply", "--yes").err
    assert "web  1.0.0 → 1.0.1\n" in told
    assert "web: " not in told


def test_an_update_that_is_taken_up_again_is_named(shell: Shell) -> None:
    shell.world.run("web", "example/web:1.0.0")
    shell.lose_power("example/web:1.0.1")
    told = shell("recover").err
    assert told.index("web\n") < told.index("taken up again")


def test_after_a_rollback_by_hand_it_says_that_the_version_stays_away(shell: Shell) -> None:
    shell.world.run("web", "example/web:1.0.0")
    shell.world.publish("example/web:1.0.1")
    shell("apply", "--yes")
    assert "1.0.1 is not applied again by itself; to allow it: safeupdater quarantine allow web" in (
        shell("rollback", "web").err
    )
    assert shell("apply", "--yes").code == 0
    assert shell.world.containers["web"].image.tag == "1.0.0"


@pytest.mark.parametrize("error", [KeyboardInterrupt, click.Abort])
def test_an_interruption_at_the_question_changes_nothing_and_says_so(
    shell: Shell, error: type[BaseException]
) -> None:
    def asked(question: str) -> bool:
        raise error

    shell.world.run("web", "example/web:1.0.0")
    shell.world.publish("example/web:1.0.1")
    shell.confirm = asked
    ran = shell("apply")
    assert (ran.code, ran.err.endswith("\nnothing was changed\n")) == (6, True)
    assert shell.world.containers["web"].image.tag == "1.0.0"


@pytest.mark.parametrize("group", [[], ["policy"], ["quarantine"], ["state"]])
def test_a_group_without_a_command_shows_its_help_in_lines(shell: Shell, group: list[str]) -> None:
    ran = shell(*group)
    shown = ran.out + ran.err  # click before 8.2 gives it as a result
    assert "\\n" not in shown
    assert shown.startswith(f"Usage: {' '.join(['safeupdater', *group])} [OPTIONS] COMMAND")
    assert len(shown.splitlines()) > 8


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_is_told_how_to_complete(shell: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "safeupdater"], text=True, capture_output=True, timeout=60, check=False,
        env={**os.environ, "_SAFEUPDATER_COMPLETE": f"{shell}_source"},
    )  # fmt: skip
    assert (done.returncode, "_SAFEUPDATER_COMPLETE" in done.stdout) == (0, True), done.stderr


@pytest.mark.parametrize(
    ("typed", "offered"),
    [("re", ["recover", "resolve"]), ("plan --ou", ["--output"]), ("--pol", ["--policy"])],
)
def test_a_shell_completes_commands_and_options_wherever_they_may_stand(
    typed: str, offered: list[str]
) -> None:
    words = f"safeupdater {typed}"
    done = subprocess.run(
        [sys.executable, "-m", "safeupdater"], text=True, capture_output=True, timeout=60, check=False,
        env={
            **os.environ, "COMP_WORDS": words, "COMP_CWORD": str(len(typed.split())),
            "_SAFEUPDATER_COMPLETE": "bash_complete",
        },
    )  # fmt: skip
    assert done.stdout.split() == [f"plain,{name}" for name in offered]
