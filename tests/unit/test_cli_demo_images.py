"""The demonstration's images: a shell that runs in an empty file system, of whatever this machine has."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from safeupdater.cli.demo_images import NoPrograms, digest_of, image, layer, programs

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="images for Linux are made of its own programs"
)


def entered(directory: Path) -> None:
    os.chroot(directory)
    os.chdir("/")


@pytest.mark.skipif(os.geteuid() != 0, reason="chroot needs root")
def test_the_layer_alone_is_enough_to_run_a_shell_and_sleep(tmp_path: Path) -> None:
    subprocess.run(["tar", "-xC", tmp_path], input=layer(programs()), check=True)
    ran = subprocess.run(
        ["/bin/sh", "-c", "sleep 0 && echo well > /healthy && test -s /healthy && echo yes"],
        preexec_fn=lambda: entered(tmp_path), env={"PATH": "/bin"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (ran.stdout, ran.stderr, ran.returncode) == ("yes\n", "", 0)


def test_the_layer_has_both_programs_and_every_directory_on_the_way(tmp_path: Path) -> None:
    with tarfile.open(fileobj=io.BytesIO(layer(programs()))) as archive:
        members = {member.name: member for member in archive.getmembers()}
    assert {"bin/sh", "bin/sleep"} <= members.keys()
    for name in members:
        parents = [str(parent) for parent in Path(name).parents if parent.name]
        assert all(members[parent].isdir() for parent in parents)


def test_what_is_preloaded_here_is_not_taken_along(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    before = set(programs())
    monkeypatch.setenv("LD_LIBRARY_PATH", str(tmp_path))
    monkeypatch.setenv("LD_PRELOAD", "libm.so.6")
    assert set(programs()) == before


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"#!/usr/bin/env python\n", "no 64-bit Linux program"),
        (b"\x7fELF\x01\x01" + bytes(60), "no 64-bit Linux program"),
        (b"\x7fELF\x02\x01", "cannot read"),
    ],
)
def test_a_shell_that_is_no_linux_program_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: bytes, reason: str
) -> None:
    (tmp_path / "sh").write_bytes(content)
    (tmp_path / "sh").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NoPrograms, match=reason):
        programs()


def test_without_a_shell_there_is_nothing_to_make_images_of(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NoPrograms, match="there is no sh on this machine"):
        programs()


def test_versions_differ_in_their_configuration_and_share_their_layer() -> None:
    one, two = (image(b"layer", version, architecture="amd64") for version in ("1.0.0", "1.0.1"))
    assert one.digest != two.digest
    assert set(one.blobs) & set(two.blobs) == {digest_of(b"layer")}


def test_everything_that_a_manifest_names_is_there() -> None:
    made = image(b"layer", "1.0.0", architecture="arm64", dies_after_s=4)
    manifest = json.loads(made.manifest)
    named = [manifest["config"], *manifest["layers"]]
    assert {item["digest"] for item in named} == set(made.blobs)
    assert all(len(made.blobs[item["digest"]]) == item["size"] for item in named)
    config = json.loads(made.blobs[manifest["config"]["digest"]])
    assert config["architecture"] == "arm64"
    assert "sleep 4" in config["config"]["Cmd"][-1]
