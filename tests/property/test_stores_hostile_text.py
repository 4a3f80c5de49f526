"""Text from outside never means anything to a store: not to SQL, not to the file system."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, given, settings

from safeupdater.protocols import StateStore
from safeupdater.stores.jsonfile import JsonFileStore
from safeupdater.stores.memory import MemoryStore
from safeupdater.stores.sql import SqlStore
from safeupdater.testing.clock import FakeClock
from safeupdater.testing.filesystem import MemoryFileSystem
from safeupdater.testing.stores import snapshot
from tests.support.hostile import HOSTILE, is_refused, keep_and_forget

OPENERS: dict[str, Callable[[Path], StateStore]] = {
    "memory": lambda place: MemoryStore(FakeClock()),
    "json": lambda place: JsonFileStore(place / "s", FakeClock(), files=MemoryFileSystem()),
    "sqlite": lambda place: SqlStore(f"sqlite:///{place}/s.db", FakeClock()),
}


@pytest.fixture(scope="module", params=OPENERS)
def store(request: pytest.FixtureRequest) -> Iterator[StateStore]:
    with tempfile.TemporaryDirectory() as place:
        opened = OPENERS[request.param](Path(place))
        yield opened
        opened.close()


def test_texts_that_mean_something_elsewhere_are_only_kept(store: StateStore) -> None:
    for text in HOSTILE:
        keep_and_forget(store, text)


PIECES = st.sampled_from([*(text for text in HOSTILE if len(text) < 80), "safeupdater_records", " ", "a"])
HOSTILE_TEXT = st.lists(PIECES | st.text(max_size=5), min_size=1, max_size=6).map("".join)


@given(HOSTILE_TEXT)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_any_text_is_kept_as_it_is_or_refused_as_a_key(store: StateStore, text: str) -> None:
    if not text or len(text) > 1024 or "\0" in text:
        assert is_refused(store, text)
    elif text != "bystander":
        keep_and_forget(store, text)


@pytest.mark.parametrize("text", ["", "a\0b", "\ud800", "x" * 1025])
def test_what_is_no_text_for_every_store_is_refused(store: StateStore, text: str) -> None:
    assert is_refused(store, text)


def test_no_key_leads_out_of_the_directory_or_into_a_file_name(tmp_path: Path) -> None:
    with JsonFileStore(tmp_path / "s", FakeClock()) as store:
        for text in HOSTILE:
            store.put("snapshot", text, snapshot(env=[text]))
    files = list((tmp_path / "s/snapshots").iterdir())
    assert len(files) == len(HOSTILE), "each key has a file of its own"
    assert all(set(path.name) <= set("0123456789abcdef-.json") for path in files)
    others = {path.name for path in tmp_path.rglob("*") if path not in files}
    assert others == {"s", "snapshots", "journal.jsonl", "state.json", "lock", "reserve"}
