"""The store in a directory: its files, its lock, its damage rules and what a failing disk does to it."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from safeupdater.domain.asset import AssetStatus
from safeupdater.errors import CorruptState, StoreError, StoreLocked
from safeupdater.stores.framing import frame
from safeupdater.stores.jsonfile import JsonFileStore
from safeupdater.testing.clock import FakeClock
from safeupdater.testing.filesystem import MemoryFileSystem
from safeupdater.testing.stores import DONE, INTENDED, START, asset, planned, snapshot
from tests.support.jsonstore import JOURNAL, abandon, events_of, fill


def in_memory(journal: bytes) -> MemoryFileSystem:
    """A directory ``s`` in memory with that journal."""
    return MemoryFileSystem({JOURNAL: bytearray(journal)})


def journal_of_10_kb(tmp_path: Path) -> tuple[bytes, list[object]]:
    """A journal's bytes, and the events that it holds."""
    store = fill(tmp_path / "s", 10_000)
    events = events_of(store.load("op-1"))
    abandon(store)
    return (tmp_path / "s/journal.jsonl").read_bytes(), events


def copy_with(source: Path, target: Path, journal: bytes) -> Path:
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target)
    (target / "journal.jsonl").write_bytes(journal)
    return target


# --- what lies in the directory ---------------------------------------------------------------------------


def test_state_json_has_the_original_form(tmp_path: Path) -> None:
    with JsonFileStore(tmp_path / "s", FakeClock(START)) as store:
        store.put("asset", "memory://here/web", asset())
        job = asset("job", "2.0.0").with_status(AssetStatus.FAILED)
        store.put("asset", "memory://here/job", job)
    text = (tmp_path / "s/state.json").read_text()
    state = json.loads(text)
    assert list(state) == ["version", "last_updated", "assets", "statistics", "journal"]
    assert state["version"] == "1.0"
    assert state["last_updated"] == START.isoformat().replace("+00:00", "Z")
    assert [found["name"] for found in state["assets"]] == ["job", "web"]
    assert state["statistics"] == {
        "total_assets": 2,
        "by_type": {"container": 2},
        "by_status": {"failed": 1, "healthy": 1},
    }
    golden = json.loads(Path(__file__).with_name("test_stores_state_golden.json").read_text())
    assert state["assets"][1] == golden


def test_only_the_owner_can_read_the_files(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        with JsonFileStore(tmp_path / "s") as store:
            store.put("snapshot", "op-1", snapshot(env=["SECRET=1"]))
    finally:
        os.umask(old)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "s").rglob("*")}
    assert modes.pop("snapshots") == 0o700
    assert set(modes.values()) == {0o600}
    assert stat.S_IMODE((tmp_path / "s").stat().st_mode) == 0o700


def test_a_link_in_the_place_of_a_file_of_ours_is_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("somebody else's")
    (tmp_path / "s").mkdir()
    (tmp_path / "s/journal.jsonl.new").symlink_to(tmp_path / "notes")
    with pytest.raises(StoreError):
        JsonFileStore(tmp_path / "s")
    assert (tmp_path / "notes").read_text() == "somebody else's"


def test_secrets_of_snapshots_are_in_their_own_files_only(tmp_path: Path) -> None:
    secrets = [f"planted-{number}-secret" for number in range(20)]
    with JsonFileStore(tmp_path / "s") as store:
        store.put("asset", "memory://here/web", asset())
        for number, secret in enumerate(secrets):
            store.put("snapshot", f"op-{number}", snapshot(f"op-{number}", env=[f"PASSWORD={secret}"]))
            store.append(
                f"op-{number}", [planned(f"op-{number}", f"t{number}")], expected_version=0, at=START
            )
        store.checkpoint()
        held = repr(store) + repr(vars(store)) + repr(list(store.iterate("snapshot")))
    for path in (tmp_path / "s").iterdir():
        if path.is_file():
            held += path.read_bytes().decode(errors="replace")
    assert not [secret for secret in secrets if secret in held]
    in_files = "".join(path.read_text() for path in (tmp_path / "s/snapshots").iterdir())
    assert all(secret in in_files for secret in secrets), "the test itself must be able to find them"


def test_an_outdated_snapshot_file_is_removed(tmp_path: Path) -> None:
    with JsonFileStore(tmp_path / "s") as store:
        version = store.put("snapshot", "op-1", snapshot(a=1))
        store.put("snapshot", "op-1", snapshot(a=2), expected=version)
        store.put("snapshot", "op-2", snapshot("op-2"))
        store.delete("snapshot", "op-2")
        assert len(list((tmp_path / "s/snapshots").iterdir())) == 1


def test_a_snapshot_that_a_crash_left_without_its_journal_line_is_removed(tmp_path: Path) -> None:
    with JsonFileStore(tmp_path / "s") as store:
        store.put("snapshot", "op-1", snapshot(env=["kept"]))
    (kept,) = (tmp_path / "s/snapshots").iterdir()
    for name in (f"{'0' * 32}-1.json", f"{'1' * 32}-2.json.new"):
        kept.with_name(name).write_text("a secret")
    other = kept.with_name("notes.txt")
    other.write_text("somebody else's")
    JsonFileStore(tmp_path / "s").close()
    assert set((tmp_path / "s/snapshots").iterdir()) == {kept, other}


@pytest.mark.parametrize("damage", ["flip", "remove"])
def test_a_damaged_snapshot_file_is_refused(tmp_path: Path, damage: str) -> None:
    with JsonFileStore(tmp_path / "s") as store:
        store.put("snapshot", "op-1", snapshot(a="hunter2"))
        (path,) = (tmp_path / "s/snapshots").iterdir()
        if damage == "flip":
            path.write_bytes(path.read_bytes().replace(b"hunter2", b"hunter3"))
        else:
            path.unlink()
        with pytest.raises(CorruptState) as refused:
            store.get("snapshot", "op-1")
    assert "hunter" not in str(refused.value)


def test_a_long_life_is_compacted_and_loses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with JsonFileStore(path, FakeClock()) as store:
        store.put("snapshot", "op-1", snapshot())
        store.put("setting", "gone", 1)
        store.delete("setting", "gone")
        lease = store.acquire("k", "me", 60)
        assert lease is not None
        store.append("op-1", [planned(), INTENDED], expected_version=0, at=START)
        store.append("op-1", [DONE], expected_version=2, at=START)
        for number in range(1200):
            store.put("asset", "memory://here/web", asset(version=f"1.0.{number}"))
        long = (path / "journal.jsonl").stat().st_size
        before = everything(store)
        store.checkpoint()
        assert (path / "journal.jsonl").stat().st_size < long / 100
        assert everything(store) == before
        store.append("op-1", [INTENDED], expected_version=3, at=START)
        before = everything(store)
    with JsonFileStore(path, FakeClock()) as store:
        assert everything(store) == before
        assert store.put("setting", "gone", 2) == 2, "the version of a removed record must not come back"
        assert store.renew(lease, 60) == lease


def test_batches_are_compacted_too(tmp_path: Path) -> None:
    names = [f"a{number}" for number in range(300)]
    with JsonFileStore(tmp_path / "s", FakeClock()) as store:
        for version in range(6):
            store.put_many("asset", {name: asset(name, f"1.0.{version}") for name in names})
            store.checkpoint()
        before = everything(store)
        one_batch = len(names) * 500
        assert (tmp_path / "s/journal.jsonl").stat().st_size < 4 * one_batch
    with JsonFileStore(tmp_path / "s", FakeClock()) as store:
        assert everything(store) == before
        assert [stored.version for _, stored in store.iterate("asset")] == [6] * len(names)
        store.put("setting", "k", 1)
    JsonFileStore(tmp_path / "s").close()


def test_line_numbers_go_on_after_a_compaction(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with JsonFileStore(path, FakeClock()) as store:
        for number in range(4):
            store.put("setting", "long", str(number) * 100_000)
        long = (path / "journal.jsonl").stat().st_size
        store.checkpoint()
        assert (path / "journal.jsonl").stat().st_size < long
        store.put("setting", "k", 1)
    JsonFileStore(path, read_only=True).close()
    whole = (path / "journal.jsonl").read_bytes()
    cut = b"".join(whole.splitlines(keepends=True)[:-1])
    with pytest.raises(CorruptState, match="ends at line 4, but it had 5 when"):
        JsonFileStore(copy_with(path, tmp_path / "copy", cut))
    with pytest.raises(CorruptState, match="line number 6: "):
        JsonFileStore(copy_with(path, tmp_path / "copy", whole + frame(6, {"do": "nonsense"}).raw))


def everything(store: JsonFileStore) -> list[object]:
    kinds = ("asset", "snapshot", "setting")
    return [list(store.iterate(kind)) for kind in kinds] + [store.since(0), store.unfinished()]


# --- one writer -------------------------------------------------------------------------------------------


def test_a_second_writer_is_told_who_the_first_is(tmp_path: Path) -> None:
    with JsonFileStore(tmp_path / "s") as store:
        store.put("setting", "k", 1)
        with pytest.raises(StoreLocked) as refused:
            JsonFileStore(tmp_path / "s")
        assert refused.value.pid == os.getpid()
        assert str(os.getpid()) in str(refused.value)
        with JsonFileStore(tmp_path / "s", read_only=True) as reader:
            found = reader.get("setting", "k")
            assert found is not None
            assert found.value == 1
            with pytest.raises(StoreError) as read_only:
                reader.put("setting", "k", 2)
            assert read_only.value.code == "read_only"
    with JsonFileStore(tmp_path / "s") as store:
        store.put("setting", "k", 2)


def test_a_killed_writer_leaves_no_lock(tmp_path: Path) -> None:
    code = (
        "import os, sys\nfrom safeupdater.stores import JsonFileStore\n"
        "s = JsonFileStore(sys.argv[1])\ns.put('setting', 'k', 'from the dead')\nos.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "s")], check=False)
    assert done.returncode == -9
    with JsonFileStore(tmp_path / "s") as store:
        found = store.get("setting", "k")
        assert found is not None
        assert found.value == "from the dead"


def test_a_forked_child_may_not_write(tmp_path: Path) -> None:
    with JsonFileStore(tmp_path / "s") as store:
        child = os.fork()
        if child == 0:
            try:
                store.put("setting", "k", 1)
            except StoreError:
                os._exit(7)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        store.put("setting", "k", 2)


# --- damage -----------------------------------------------------------------------------------------------


def test_every_flipped_byte_of_a_10_kb_journal_is_refused(tmp_path: Path) -> None:
    data, _ = journal_of_10_kb(tmp_path)
    for place in range(len(data)):
        flipped = bytearray(data)
        flipped[place] ^= 1 << (place % 8)
        files = in_memory(flipped)
        for read_only in (True, False):
            with pytest.raises(CorruptState):
                JsonFileStore("s", read_only=read_only, files=files)
        assert files.files[JOURNAL] == flipped, "left exactly as it is"


def test_a_wrong_checksum_of_the_last_complete_record_is_refused_too(tmp_path: Path) -> None:
    abandon(fill(tmp_path / "s"))
    path = tmp_path / "s/journal.jsonl"
    path.write_bytes(path.read_bytes()[:-10] + b"!" + path.read_bytes()[-9:])
    with pytest.raises(CorruptState, match="checksum"):
        JsonFileStore(tmp_path / "s")


@pytest.mark.parametrize(("zeros", "step"), [(0, 1), (1, 17), (600, 17)])
def test_every_truncation_of_a_10_kb_journal_keeps_what_is_whole(
    tmp_path: Path, zeros: int, step: int
) -> None:
    data, whole = journal_of_10_kb(tmp_path)
    head = data.index(b"\n")
    for cut in range(0, len(data), step):
        files = in_memory(data[:cut] + bytes(zeros))
        if cut < head:
            with pytest.raises(CorruptState):
                JsonFileStore("s", files=files)
            continue
        # A record that lacks only its end is whole: its checksum says so.
        kept = whole[: max(0, data[: cut + 1].count(b"\n") - 3)]
        store = JsonFileStore("s", files=files)
        assert events_of(store.load("op-1")) == kept, f"cut at {cut}"
        if cut % 29 == 0:
            store.put("setting", "k", cut)
            store.close()
            again = JsonFileStore("s", files=files, read_only=True)
            assert events_of(again.load("op-1")) == kept
            assert [stored.value for _, stored in again.iterate("setting")] == [cut]


def test_a_repaired_tail_is_kept_aside(tmp_path: Path) -> None:
    abandon(fill(tmp_path / "s"))
    path = tmp_path / "s/journal.jsonl"
    path.write_bytes(path.read_bytes() + b'{"seq":4,"sha')
    JsonFileStore(tmp_path / "s").close()
    assert (tmp_path / "s/journal.torn-1").read_bytes() == b'{"seq":4,"sha'
    path.write_bytes(path.read_bytes() + b'{"se')
    JsonFileStore(tmp_path / "s", read_only=True).close()
    assert path.read_bytes().endswith(b'{"se'), "a reader repairs nothing"
    JsonFileStore(tmp_path / "s").close()
    assert (tmp_path / "s/journal.torn-2").read_bytes() == b'{"se'


def test_a_journal_cut_at_a_record_is_found_back_to_the_last_checkpoint(tmp_path: Path) -> None:
    store = fill(tmp_path / "s", 5_000)
    store.checkpoint()
    known = (tmp_path / "s/journal.jsonl").read_bytes().count(b"\n")
    version = len(store.load("op-1"))
    store.append("op-1", [INTENDED, DONE], expected_version=version, at=START)
    abandon(store)
    lines = (tmp_path / "s/journal.jsonl").read_bytes().splitlines(keepends=True)
    for count in range(1, len(lines)):
        copy = copy_with(tmp_path / "s", tmp_path / "copy", b"".join(lines[:count]))
        if count >= known:
            JsonFileStore(copy).close()
            continue
        with pytest.raises(CorruptState) as refused:
            JsonFileStore(copy)
        assert refused.value.code == "journal_cut"


def test_a_missing_line_in_the_middle_is_found(tmp_path: Path) -> None:
    abandon(fill(tmp_path / "s", 3_000))
    lines = (tmp_path / "s/journal.jsonl").read_bytes().splitlines(keepends=True)
    for gone in range(1, len(lines) - 1):
        rest = b"".join(lines[:gone] + lines[gone + 1 :])
        with pytest.raises(
            CorruptState, match=rf"line {gone + 1} \(byte {len(b''.join(lines[:gone]))}\).*missing"
        ):
            JsonFileStore(copy_with(tmp_path / "s", tmp_path / "copy", rest))


def test_another_journal_beside_the_same_checkpoint_is_refused(tmp_path: Path) -> None:
    fill(tmp_path / "s", 3_000).close()
    other = fill(tmp_path / "o", 3_000)
    other.put("setting", "k", 1)
    other.close()
    lines = (tmp_path / "o/journal.jsonl").read_bytes().splitlines(keepends=True)
    replaced = b"".join(
        JsonFileStoreLines.renumbered(lines, (tmp_path / "s/journal.jsonl").read_bytes().count(b"\n"))
    )
    with pytest.raises(CorruptState, match="not the journal"):
        JsonFileStore(copy_with(tmp_path / "s", tmp_path / "copy", replaced))


class JsonFileStoreLines:
    """Lines of one journal as a journal of another length."""

    @staticmethod
    def renumbered(lines: list[bytes], count: int) -> list[bytes]:
        from safeupdater.stores.framing import frame

        records = [json.loads(line)["record"] for line in lines]
        records = [records[0], *records[2:], records[-1]][:count]
        return [frame(seq, record).raw for seq, record in enumerate(records)]


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("state.json", b'{"version": "1.0", "assets": []}', "foreign_state"),
        ("state.json", b'{"version": "2.0", "journal": {"sequence": 1}}', "newer_state"),
        ("state.json", b'{"version": "1.0", "jour', "corrupt_state"),
        ("state.json", b'{"version": "1.0", "journal": {"sequence": 4, "checksum": "x"}}', "corrupt_state"),
        ("journal.jsonl", b"", "corrupt_state"),
        ("journal.jsonl", b"[1, 2]\n", "corrupt_state"),
    ],
)
def test_what_is_not_ours_is_refused_and_left_alone(
    tmp_path: Path, name: str, content: bytes, code: str
) -> None:
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / name).write_bytes(content)
    for read_only in (False, True):
        with pytest.raises(CorruptState) as refused:
            JsonFileStore(tmp_path / "s", read_only=read_only)
        assert refused.value.code == code
        assert str(tmp_path) in str(refused.value), "says where"
    assert (tmp_path / "s" / name).read_bytes() == content
    assert set(os.listdir(tmp_path / "s")) <= {name, "lock"}


def test_a_journal_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    from safeupdater.stores.framing import frame

    (tmp_path / "s").mkdir()
    newer = frame(
        0, {"do": "begin", "format": "safeupdater-journal", "v": 2, "through": 0, "compacted_bytes": 0}
    )
    (tmp_path / "s/journal.jsonl").write_bytes(newer.raw)
    with pytest.raises(CorruptState, match="newer") as refused:
        JsonFileStore(tmp_path / "s")
    assert refused.value.code == "newer_state"


def test_a_lost_journal_is_no_empty_start(tmp_path: Path) -> None:
    fill(tmp_path / "s").close()
    (tmp_path / "s/journal.jsonl").unlink()
    with pytest.raises(CorruptState, match="missing"):
        JsonFileStore(tmp_path / "s")


def test_a_file_in_the_place_of_the_directory_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "state.json").write_text("{}")
    with pytest.raises(StoreError):
        JsonFileStore(tmp_path / "state.json")
    assert (tmp_path / "state.json").read_text() == "{}"
