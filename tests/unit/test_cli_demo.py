"""The demonstration: what the README promises, in a few seconds, with nothing but the package."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from safeupdater.__main__ import main


def test_the_demo_applies_a_patch_rolls_back_a_bad_release_and_leaves_a_major_waiting(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["demo", "--in-memory"]) == 0
    shown = capsys.readouterr().out
    assert "shop  1.4.2 → 1.4.3" in shown
    assert "done: the new version runs and was watched" in shown
    assert "rolled back: the old version runs again" in shown
    assert "In quarantine: 2.1.1 failed before" in shown
    assert "15.4.0 → 16.0.0 (major)" in shown
    assert "Nothing of it is left" in shown


def test_the_demo_fits_80_columns(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    main(["demo", "--in-memory"])
    assert [line for line in capsys.readouterr().out.splitlines() if len(line) > 80] == []


def test_the_demo_leaves_no_file_behind(tmp_path: os.PathLike[str]) -> None:
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "XDG_STATE_HOME": str(tmp_path)}
    environment["PYTHONPATH"] = os.getcwd()
    began = time.monotonic()
    ran = subprocess.run(
        [sys.executable, "-m", "safeupdater", "demo", "--in-memory"],
        cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    assert os.listdir(tmp_path) == []
    assert time.monotonic() - began < 30


def test_ctrl_c_before_anything_was_begun_is_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("builtins.__import__", interrupted)
        code = main(["demo", "--in-memory"])
    assert code == 6


def test_without_a_daemon_it_says_why_and_plays_in_memory(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: os.PathLike[str]
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/nothing.sock")
    assert main(["demo"]) == 0
    shown = capsys.readouterr()
    assert "not on Docker: there is no Docker daemon at unix://" in shown.err
    assert "a little world in memory" in shown.out
