"""A crowd of processes on one store, and what must be true of the journal that they leave."""

from __future__ import annotations

import os
import subprocess
import sys
import time

from safeupdater.domain.operation import JournalEntry
from safeupdater.protocols import StateStore
from safeupdater.testing.stores import START, planned
from testbed.appending import OPERATION, event

FULL = os.environ.get("SAFEUPDATER_FULL") == "1"
PROCESSES, APPENDS = (16, 1000) if FULL else (8, 100)


def start_crowd(url: str, processes: int = PROCESSES, appends: int = APPENDS) -> list[subprocess.Popen[str]]:
    """Starts the processes; each appends at once and waits for the end of its input."""
    return [
        subprocess.Popen(
            [sys.executable, "-m", "testbed.appending", url, f"p{number}", str(appends)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for number in range(processes)
    ]  # fmt: skip


def dismiss(crowd: list[subprocess.Popen[str]], timeout_s: float = 280) -> list[tuple[int, str]]:
    """Ends the processes; gives exit code and output of each."""
    answers = [process.communicate("", timeout=timeout_s) for process in crowd]
    return [(process.returncode, out + err) for process, (out, err) in zip(crowd, answers, strict=True)]


def check_crowd_on(url: str, store: StateStore) -> None:
    """Lets a crowd append to an empty store, reads along by cursor, and checks every promise."""
    store.append(OPERATION, [planned(OPERATION)], expected_version=0, at=START)
    crowd = start_crowd(url)
    seen: list[JournalEntry] = []
    while any(process.poll() is None for process in crowd) and len(seen) < PROCESSES * APPENDS + 1:
        seen += store.since(seen[-1].position if seen else 0, 50)
        time.sleep(0.01)
    for code, output in dismiss(crowd):
        assert code == 0, output
    entries = store.load(OPERATION)
    assert [entry.version for entry in entries] == list(range(1, PROCESSES * APPENDS + 2))
    details = [getattr(entry.event, "detail", None) for entry in entries[1:]]
    assert len(set(details)) == len(details), "an append is there twice"
    for number in range(PROCESSES):
        mine = [entry.event for entry in entries[1:] if f"p{number}:" in getattr(entry.event, "detail", "")]
        assert mine == [event(f"p{number}", count) for count in range(APPENDS)], "an append was lost"
    assert tuple(seen) == store.since(0, 10**6), "the reader that went along missed something"
