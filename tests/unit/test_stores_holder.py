"""A holder's death is believed only where it can be proved."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import attrs
import pytest

from safeupdater.stores import holder as module
from safeupdater.stores.holder import Holder, holder_identity, is_provably_dead

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="proved by /proc")

CODE = "from safeupdater.stores.holder import *\nprint(holder_identity(), flush=True)\ninput()"


def start() -> tuple[subprocess.Popen[str], str]:
    process = subprocess.Popen(
        [sys.executable, "-c", CODE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    return process, process.stdout.readline().strip()


def me(**changes: object) -> str:
    holder = Holder.parse(holder_identity())
    assert holder is not None
    return str(attrs.evolve(holder, **changes))  # type: ignore[arg-type]


def test_a_living_process_is_not_dead_and_a_killed_one_is() -> None:
    process, holder = start()
    assert not is_provably_dead(holder)
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert is_provably_dead(holder), "a zombie does nothing any more"
    process.communicate()
    assert is_provably_dead(holder)


def test_another_process_with_the_same_id_is_not_the_holder() -> None:
    process, text = start()
    holder = Holder.parse(text)
    assert holder is not None
    assert is_provably_dead(str(attrs.evolve(holder, started="1")))
    process.communicate("")


def test_two_identities_of_one_process_differ() -> None:
    assert holder_identity() != holder_identity()


@pytest.mark.parametrize("text", ["somebody", "", "a:b:c:d:e", "a:b:٣:d:e"])
def test_what_names_no_process_is_not_dead(text: str) -> None:
    assert not is_provably_dead(text)


@pytest.mark.parametrize("boot", ["another-boot/1", "unknown/unknown", "{this boot}/1"])
def test_a_gone_process_of_another_boot_or_container_is_not_provably_dead(boot: str) -> None:
    holder = Holder.parse(holder_identity())
    assert holder is not None
    this_boot = holder.boot.partition("/")[0]
    assert not is_provably_dead(me(pid=2**22 + 1, boot=boot.replace("{this boot}", this_boot)))


def test_a_process_id_of_another_namespace_on_this_boot_proves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = me(pid=2**22 + 1)
    boot_id = tmp_path / "sys/kernel/random/boot_id"
    boot_id.parent.mkdir(parents=True)
    boot_id.write_bytes(Path("/proc/sys/kernel/random/boot_id").read_bytes())
    (tmp_path / "self/ns").mkdir(parents=True)
    (tmp_path / "self/ns/pid").symlink_to("pid:[1]")
    monkeypatch.setattr(module, "_PROC", tmp_path)  # as a container beside us sees the same kernel
    assert not is_provably_dead(gone)


def test_this_process_is_not_dead() -> None:
    assert not is_provably_dead(me())


def test_a_gone_process_of_this_boot_is_dead() -> None:
    assert is_provably_dead(me(pid=2**22 + 1))


def test_an_identity_comes_back_from_its_text() -> None:
    text = holder_identity()
    holder = Holder.parse(text)
    assert holder is not None
    assert str(holder) == text
    assert holder.pid == os.getpid()
