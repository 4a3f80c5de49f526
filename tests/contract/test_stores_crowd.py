"""Many processes on one store: nothing is lost, nothing is there twice, a reader misses nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from safeupdater.stores.jsonfile import JsonFileStore
from safeupdater.stores.sql import SqlStore
from safeupdater.testing.stores import START, planned
from testbed.appending import OPERATION
from testbed.crowd import APPENDS, PROCESSES, check_crowd_on, dismiss, start_crowd


@pytest.mark.timeout(1800)
def test_many_processes_append_to_one_sqlite_file(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/state.db"
    with SqlStore(url) as store:
        check_crowd_on(url, store)


def test_all_but_one_process_find_a_json_store_locked(tmp_path: Path) -> None:
    with JsonFileStore(tmp_path / "s") as store:
        store.append(OPERATION, [planned(OPERATION)], expected_version=0, at=START)
    first, *others = start_crowd(f"json:{tmp_path}/s", processes=1)
    assert first.stdout is not None
    assert first.stdout.readline().startswith(f"{APPENDS} appended")
    others = start_crowd(f"json:{tmp_path}/s", processes=PROCESSES - 1)
    answers = dismiss(others)
    assert answers == [(3, f"locked by {first.pid}\n")] * (PROCESSES - 1)
    assert [code for code, _ in dismiss([first])] == [0]
    with JsonFileStore(tmp_path / "s") as store:
        assert len(store.load(OPERATION)) == APPENDS + 1
