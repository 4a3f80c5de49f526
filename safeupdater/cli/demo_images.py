"""The demonstration's images: one static program, one layer, made in memory and pulled from nowhere else."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import struct
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs

_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar"
_INTERPRETED = 3  # PT_INTERP, the program header of what needs a dynamic linker (ELF specification)
_MOST_BYTES = 16 * 1024 * 1024

PORT = 8080
PROBE = ("/bin/busybox", "wget", "-q", "-O", "/dev/null", f"http://127.0.0.1:{PORT}/health")


def static_busybox() -> Path | None:
    """A busybox on this machine that runs in an empty file system; None where there is none."""
    for name in ("busybox", "busybox.static", "busybox-static"):
        found = shutil.which(name)
        if found and _is_static(Path(found)):
            return Path(found)
    return None


def _is_static(path: Path) -> bool:
    """Whether a file is a 64-bit little-endian ELF program that names no dynamic linker."""
    try:
        if path.stat().st_size > _MOST_BYTES:
            return False
        head = path.read_bytes()
        if head[:6] != b"\x7fELF\x02\x01":
            return False
        table, size, count = *struct.unpack_from("<Q", head, 32), *struct.unpack_from("<HH", head, 54)
        kinds = [struct.unpack_from("<I", head, table + size * index)[0] for index in range(count)]
    except (OSError, struct.error):
        return False
    return _INTERPRETED not in kinds


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


def image(busybox: Path, version: str, *, architecture: str, dies_after_s: int | None = None) -> Image:
    """A web server that says it is well; with ``dies_after_s`` it does so for that long, then ends."""
    layer = _layer(busybox, version)
    config = _config(layer, _command(dies_after_s), architecture)
    manifest = {
        "schemaVersion": 2,
        "mediaType": _MANIFEST,
        "config": _descriptor(_CONFIG, config),
        "layers": [_descriptor(_LAYER, layer)],
    }
    return Image(
        manifest=json.dumps(manifest).encode(), blobs={digest_of(blob): blob for blob in (config, layer)}
    )


def _command(dies_after_s: int | None) -> Sequence[str]:
    # The shell is process 1: httpd itself would ignore SIGTERM there and cost ten seconds at each stop.
    serve = f"/bin/busybox httpd -f -p 127.0.0.1:{PORT} -h /www & "
    rest = "wait $!" if dies_after_s is None else f"/bin/busybox sleep {dies_after_s} & wait $!; exit 1"
    return ["/bin/busybox", "sh", "-c", f"trap 'exit 0' TERM; {serve}{rest}"]


def _config(layer: bytes, command: Sequence[str], architecture: str) -> bytes:
    config: dict[str, Any] = {
        "architecture": architecture,
        "os": "linux",
        "config": {"Cmd": list(command)},
        "rootfs": {"type": "layers", "diff_ids": [digest_of(layer)]},
    }
    return json.dumps(config).encode()


def _descriptor(media_type: str, blob: bytes) -> dict[str, object]:
    return {"mediaType": media_type, "digest": digest_of(blob), "size": len(blob)}


def _layer(busybox: Path, version: str) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        for name in ("bin", "www", "tmp"):
            directory = tarfile.TarInfo(name)
            directory.type, directory.mode = tarfile.DIRTYPE, 0o755
            archive.addfile(directory)
        _add(archive, "bin/busybox", busybox.read_bytes(), 0o755)
        _add(archive, "www/health", b"ok\n", 0o644)
        _add(archive, "www/version", version.encode() + b"\n", 0o644)
    return made.getvalue()


def _add(archive: tarfile.TarFile, name: str, data: bytes, mode: int) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(data), mode
    archive.addfile(entry, io.BytesIO(data))
