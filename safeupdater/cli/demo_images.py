"""The demonstration's images: this machine's own shell in one layer, made in memory."""

from __future__ import annotations

import hashlib
import io
import json
import re
import shutil
import struct
import subprocess
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import attrs

_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar"
_PROGRAMS = ("sh", "sleep")
_INTERPRETED = 3  # PT_INTERP, the program header of what needs a dynamic linker (ELF specification)
_MOST_BYTES = 64 * 1024 * 1024
# One line of what the dynamic linkers of glibc and musl list: "libc.so.6 => /lib/libc.so.6 (0x7f…)"
_LISTED = re.compile(r"^\s*(?:\S+ => )?(?P<path>/\S+) \(0x", re.MULTILINE)

PROBE = ("/bin/sh", "-c", "test -s /healthy")


class NoPrograms(Exception):
    """This machine has no programs that images can be made of; the message says why."""


def programs() -> Mapping[str, bytes]:
    """A shell and ``sleep`` with all that they load, by path: enough to run in an empty file system.

    Raises:
        NoPrograms: they are no Linux programs, or cannot be read.
    """
    files: dict[str, Path] = {}
    for name in _PROGRAMS:
        found = shutil.which(name)
        if found is None:
            raise NoPrograms(f"there is no {name} on this machine to make images of")
        # A link is followed: the image has the program itself under the name that it is called by.
        program = Path(found).resolve()
        files[f"/bin/{name}"] = program
        files.update((str(path), path.resolve()) for path in _loaded(program))
    try:
        contents = {path: file.read_bytes() for path, file in files.items()}
    except OSError as error:
        raise NoPrograms(f"cannot read {error.filename} to make images of it") from error
    if sum(map(len, contents.values())) > _MOST_BYTES:
        raise NoPrograms("this machine's shell is too large to make images of")
    return contents


def _loaded(program: Path) -> Iterator[Path]:
    """The dynamic linker that a program names, and the libraries it would load; nothing if it is static."""
    linker = _linker(program)
    if linker is None:
        return
    yield linker
    # Nothing of the program is run; an empty environment keeps out what is preloaded here and not there.
    try:
        listed = subprocess.run(
            [linker, "--list", program], env={}, capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise NoPrograms(f"cannot tell which libraries {program} needs") from error
    yield from (Path(found["path"]) for found in _LISTED.finditer(listed.stdout))


def _linker(program: Path) -> Path | None:
    """What a 64-bit little-endian ELF program names as its dynamic linker (ELF specification)."""
    try:
        head = program.read_bytes()
        if head[:6] != b"\x7fELF\x02\x01":
            raise NoPrograms(f"{program} is no 64-bit Linux program")
        table, size, count = *struct.unpack_from("<Q", head, 32), *struct.unpack_from("<HH", head, 54)
        for at in range(table, table + size * count, size):
            if struct.unpack_from("<I", head, at)[0] == _INTERPRETED:
                offset, length = (
                    struct.unpack_from("<Q", head, at + 8)[0],
                    struct.unpack_from("<Q", head, at + 32)[0],
                )
                return Path(head[offset : offset + length].rstrip(b"\0").decode())
    except (OSError, struct.error, UnicodeDecodeError) as error:
        raise NoPrograms(f"cannot read {program} to make images of it") from error
    return None


@attrs.frozen(kw_only=True)
class Image:
    """An image as a registry serves it: its manifest, and what the manifest names."""

    manifest: bytes
    blobs: dict[str, bytes] = attrs.field(repr=False)

    @property
    def digest(self) -> str:
        """What it is pulled by."""
        return digest_of(self.manifest)

    @property
    def media_type(self) -> str:
        """The type of the manifest."""
        return _MANIFEST


def digest_of(data: bytes) -> str:
    """The digest of some bytes."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def layer(files: Mapping[str, bytes]) -> bytes:
    """A layer with some programs, by path, and the directories that they are in."""
    directories = {parent for path in files for parent in PurePosixPath(path).parents if parent.name}
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        for directory in sorted(directories):
            archive.addfile(_entry(str(directory), tarfile.DIRTYPE))
        for path, data in files.items():
            entry = _entry(path)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return made.getvalue()


def _entry(path: str, kind: bytes = tarfile.REGTYPE) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(path.lstrip("/"))
    entry.type, entry.mode = kind, 0o755
    return entry


def image(programs: bytes, version: str, *, architecture: str, dies_after_s: int | None = None) -> Image:
    """A service that says it is well, in one layer of ``programs``.

    With ``dies_after_s`` it does so for that long, then ends.
    """
    config = _config(programs, version, _command(dies_after_s), architecture)
    manifest = {
        "schemaVersion": 2,
        "mediaType": _MANIFEST,
        "config": _descriptor(_CONFIG, config),
        "layers": [_descriptor(_LAYER, programs)],
    }
    return Image(
        manifest=json.dumps(manifest).encode(), blobs={digest_of(blob): blob for blob in (config, programs)}
    )


def _command(dies_after_s: int | None) -> Sequence[str]:
    # As process 1, sleep itself would ignore SIGTERM and cost ten seconds at each stop.
    lives = "while :; do sleep 3600 & wait $!; done"
    rest = lives if dies_after_s is None else f"sleep {dies_after_s} & wait $!; exit 1"
    return ["/bin/sh", "-c", f"trap 'exit 0' TERM; echo ok > /healthy; {rest}"]


def _config(layer: bytes, version: str, command: Sequence[str], architecture: str) -> bytes:
    config: dict[str, Any] = {
        "architecture": architecture,
        "os": "linux",
        "config": {
            "Cmd": list(command),
            "Env": ["PATH=/bin"],
            "Labels": {"org.opencontainers.image.version": version},
        },
        "rootfs": {"type": "layers", "diff_ids": [digest_of(layer)]},
    }
    return json.dumps(config).encode()


def _descriptor(media_type: str, blob: bytes) -> dict[str, object]:
    return {"mediaType": media_type, "digest": digest_of(blob), "size": len(blob)}
