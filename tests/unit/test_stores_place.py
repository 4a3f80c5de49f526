"""Where state may lie: no network file system, and nothing that somebody else could have put there."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from safeupdater.errors import ConfigurationError, StoreError
from safeupdater.stores import open_store
from safeupdater.stores.jsonfile import JsonFileStore
from safeupdater.stores.place import Mount, mount_of, system_mounts

TABLE = r"""22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 254:0 / / rw,relatime - ext4 /dev/vda rw
30 27 0:40 / /mnt/share rw,relatime shared:1 - nfs4 server:/export rw,vers=4.2
31 30 0:41 / /mnt/share/fast rw,relatime - xfs /dev/vdb rw
32 27 0:42 / /mnt/with\040space rw shared:2 master:3 - cifs //server/share rw
33 27 0:43 / /mnt/twice rw - nfs server:/a rw
34 33 0:44 / /mnt/twice rw - tmpfs tmpfs rw
garbage
35 27 0:45
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/var/lib/state", "ext4"),
        ("/mnt/share", "nfs4"),
        ("/mnt/share/deep/down/state.db", "nfs4"),
        ("/mnt/share2/state.db", "ext4"),
        ("/mnt/share/fast/state.db", "xfs"),
        ("/mnt/with space/state.db", "cifs"),
        ("/mnt/twice/state.db", "tmpfs"),
    ],
)
def test_a_path_lies_on_the_nearest_and_latest_mount(path: str, kind: str) -> None:
    found = mount_of(Path(path), TABLE)
    assert found is not None
    assert found.kind == kind


NETWORK = (
    "nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "ceph", "glusterfs", "fuse.glusterfs", "fuse.sshfs",
    "fuse.s3fs", "fuse.rclone", "afs", "lustre", "ocfs2", "gfs2", "beegfs", "fuse",
)  # fmt: skip
LOCAL = (
    "ext4", "xfs", "btrfs", "zfs", "overlay", "tmpfs", "fuseblk", "fuse.fuse-overlayfs", "f2fs", "virtiofs"
)  # fmt: skip


def test_what_is_a_network_file_system() -> None:
    assert [kind for kind in NETWORK if not Mount("/", kind).is_network] == []
    assert [kind for kind in LOCAL if Mount("/", kind).is_network] == []


def network_at(path: Path) -> str:
    return f"1 0 8:1 / / rw - ext4 /dev/sda rw\n2 1 0:9 / {path.resolve()} rw - nfs4 server:/export rw\n"


@pytest.mark.parametrize("scheme", ["json:{}/s", "sqlite:///{}/s.db"])
def test_a_store_on_a_network_file_system_is_refused_unless_it_is_said_that_it_may(
    tmp_path: Path, scheme: str
) -> None:
    url = scheme.format(tmp_path / "share")
    (tmp_path / "share").mkdir()
    table = network_at(tmp_path / "share")
    with pytest.raises(StoreError, match="nfs4") as refused:
        open_store(url, mounts=lambda: table)
    assert refused.value.code == "network_file_system"
    assert str(tmp_path / "share") in str(refused.value)
    with pytest.raises(StoreError):
        open_store(f"{url}?allow_network=0", mounts=lambda: table)
    assert list((tmp_path / "share").iterdir()) == [], "nothing was made there"
    open_store(url, mounts=lambda: table, allow_network=True).close()
    with open_store(f"{url}?allow_network=1", mounts=lambda: table) as store:  # type: ignore[attr-defined]
        assert store.put("setting", "k", 1) == 1


def test_a_link_does_not_hide_a_network_file_system(tmp_path: Path) -> None:
    (tmp_path / "share").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "share")
    table = network_at(tmp_path / "share")
    with pytest.raises(StoreError) as refused:
        JsonFileStore(tmp_path / "link" / "s", mounts=lambda: table)
    assert refused.value.code == "network_file_system"


def test_where_the_system_does_not_say_what_is_mounted_nothing_is_refused(tmp_path: Path) -> None:
    JsonFileStore(tmp_path / "s", mounts=str).close()


@pytest.mark.skipif(sys.platform != "linux", reason="does not apply: mountinfo is Linux's")
def test_the_real_table_knows_every_path() -> None:
    found = mount_of(Path("/proc/self"), system_mounts())
    assert found == Mount("/proc", "proc")


@pytest.mark.parametrize("option", ["allow_netwrok=1", "allow_network=yes", "allow_network", "mode=rw&x=1"])
def test_an_unknown_option_of_a_url_is_an_error(tmp_path: Path, option: str) -> None:
    with pytest.raises(ConfigurationError):
        open_store(f"json:{tmp_path}/s?{option}")
    assert list(tmp_path.iterdir()) == []


# --- what somebody else could have put there ----------------------------------------------------------------


def made(tmp_path: Path, kind: str) -> tuple[str, Path]:
    """A store's URL, and the path whose safety counts, after a store was made there."""
    url, path = {
        "json": (f"json:{tmp_path}/s", tmp_path / "s"),
        "journal": (f"json:{tmp_path}/s", tmp_path / "s/journal.jsonl"),
        "sqlite": (f"sqlite:///{tmp_path}/s.db", tmp_path / "s.db"),
    }[kind]
    open_store(url).close()
    return url, path


KINDS = ["json", "journal", "sqlite"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_symbolic_link_in_the_place_of_state_is_refused(tmp_path: Path, kind: str) -> None:
    url, path = made(tmp_path, kind)
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StoreError, match="symbolic link") as refused:
        open_store(url)
    assert refused.value.code == "unsafe_place"


@pytest.mark.parametrize("kind", ["json", "sqlite"])
def test_a_link_that_leads_nowhere_is_not_followed_to_make_a_file_there(tmp_path: Path, kind: str) -> None:
    url, path = made(tmp_path / "first", kind)
    url = url.replace("/first", "")
    (tmp_path / path.name).symlink_to(tmp_path / "trap")
    with pytest.raises(StoreError, match="symbolic link"):
        open_store(url)
    assert not (tmp_path / "trap").exists()


@pytest.mark.parametrize("kind", KINDS)
def test_state_that_everybody_can_write_is_refused(tmp_path: Path, kind: str) -> None:
    url, path = made(tmp_path, kind)
    path.chmod(path.stat().st_mode | 0o002)
    with pytest.raises(StoreError, match="everybody") as refused:
        open_store(url)
    assert refused.value.code == "unsafe_place"
    path.chmod(path.stat().st_mode & ~0o002)
    open_store(url).close()


@pytest.mark.skipif(os.geteuid() != 0, reason="does not apply: only root can give a file away")
@pytest.mark.parametrize("kind", KINDS)
def test_state_of_another_user_is_refused(tmp_path: Path, kind: str) -> None:
    url, path = made(tmp_path, kind)
    os.chown(path, 12345, 12345)
    with pytest.raises(StoreError, match="uid 12345") as refused:
        open_store(url)
    assert refused.value.code == "unsafe_place"


@pytest.mark.parametrize("kind", ["json", "sqlite"])
def test_files_are_for_their_owner_only_whatever_the_umask(tmp_path: Path, kind: str) -> None:
    before = os.umask(0)
    try:
        url, _ = made(tmp_path / "deep" / "down", kind)
        with open_store(url) as store:  # type: ignore[attr-defined]
            store.put("setting", "k", 1)
            modes = {path: path.stat().st_mode & 0o777 for path in (tmp_path / "deep").rglob("*")}
    finally:
        os.umask(before)
    assert {mode for path, mode in modes.items() if path.is_file()} == {0o600}
    assert {mode for path, mode in modes.items() if path.is_dir()} == {0o700}
