"""Tiny images made of a static busybox: built by ``docker import``, so nothing is pulled from anywhere.

A good release serves ``/health``, a bad one answers 404 there, a crash exits at once.
"""

from __future__ import annotations

import enum
import io
import json
import shutil
import tarfile
import urllib.parse
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path

import docker

from testbed.processes import Unavailable

BUSYBOX = "/bin/busybox"
PORT = 8080
# As process 1, httpd itself would ignore SIGTERM and cost each stop its ten seconds of grace.
SERVE = ["/bin/sh", "-c", f"trap 'exit 0' TERM; {BUSYBOX} httpd -f -p {PORT} -h /www & wait $!"]


class Kind(enum.Enum):
    """How a release behaves."""

    GOOD = "good"
    BAD = "bad"
    CRASH = "crash"


def busybox() -> Path:
    """A statically linked busybox.

    Raises:
        Unavailable: there is none.
    """
    found = shutil.which("busybox")
    if found is None:
        raise Unavailable("busybox is not installed (Debian package busybox-static)")
    if b"ld-linux" in Path(found).read_bytes()[:4096]:
        raise Unavailable("busybox is not static (Debian package busybox-static)")
    return Path(found)


def build(
    client: docker.APIClient,
    reference: str,
    kind: Kind = Kind.GOOD,
    *,
    changes: Iterable[str] = (),
    files: Mapping[str, str] | None = None,
) -> str:
    """Imports an image under ``repository:tag`` and gives its id.

    ``changes`` are Dockerfile lines (``ENV A=1``, ``LABEL a=b``, ``HEALTHCHECK …``) that come after the
    defaults; ``files`` maps further paths to their content. The reference is in ``/www/version``.
    """
    command = [BUSYBOX, "false"] if kind is Kind.CRASH else SERVE
    lines = [f"CMD {json.dumps(command)}", f"EXPOSE {PORT}", *changes]
    query = [("fromSrc", "-"), ("repo", reference.rpartition(":")[0]), ("tag", reference.rpartition(":")[2])]
    query += [("changes", line) for line in lines]
    answer = client.post(
        f"{client.base_url}/images/create?{urllib.parse.urlencode(query)}",
        data=_layer(reference, kind, tuple(sorted((files or {}).items()))),
        headers={"Content-Type": "application/x-tar"},
    )
    answer.raise_for_status()
    last = json.loads(answer.text.strip().splitlines()[-1])
    if "status" not in last:
        raise RuntimeError(f"building {reference}: {last}")
    return str(last["status"])


@lru_cache(maxsize=64)
def _layer(reference: str, kind: Kind, files: tuple[tuple[str, str], ...]) -> bytes:
    content = {"www/version": reference, "www/index.html": "<h1>It runs</h1>\n", **dict(files)}
    if kind is Kind.GOOD:
        content["www/health"] = "ok\n"
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for directory in ("bin", "www", "tmp", "etc", "data"):
            archive.addfile(_entry(directory, 0o755, tarfile.DIRTYPE))
        _add(archive, "bin/busybox", busybox().read_bytes(), 0o755)
        archive.addfile(_entry("bin/sh", 0o777, tarfile.SYMTYPE, linkname="busybox"))
        for path, text in content.items():
            _add(archive, path.lstrip("/"), text.encode(), 0o644)
    return out.getvalue()


def _entry(name: str, mode: int, type: bytes = tarfile.REGTYPE, *, linkname: str = "") -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.mode, entry.type, entry.linkname = mode, type, linkname
    return entry


def _add(archive: tarfile.TarFile, name: str, data: bytes, mode: int) -> None:
    entry = _entry(name, mode)
    entry.size = len(data)
    archive.addfile(entry, io.BytesIO(data))


def push(client: docker.APIClient, reference: str, login: tuple[str, str] = ("", "")) -> str:
    """Pushes an image to its registry and gives the digest that the registry has it under."""
    user, password = login
    auth_config = {"username": user, "password": password}
    for line in client.push(reference, stream=True, decode=True, auth_config=auth_config):
        if "error" in line:
            raise RuntimeError(f"pushing {reference}: {line['error']}")
        if line.get("aux", {}).get("Digest"):
            return str(line["aux"]["Digest"])
    raise RuntimeError(f"pushing {reference}: the registry named no digest")


def release(
    client: docker.APIClient,
    reference: str,
    kind: Kind = Kind.GOOD,
    *,
    changes: Iterable[str] = (),
    files: Mapping[str, str] | None = None,
    keep: bool = False,
    login: tuple[str, str] = ("", ""),
) -> str:
    """Builds and pushes a release and gives its digest; the local copy goes unless it is to be kept."""
    build(client, reference, kind, changes=changes, files=files)
    digest = push(client, reference, login)
    if not keep:
        client.remove_image(reference)
    return digest
