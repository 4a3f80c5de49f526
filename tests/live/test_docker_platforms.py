"""Which manifest of an index a real daemon takes for a variant of 32-bit ARM: the one that was decided on.

Nothing is started, so any machine will do: staging ends with a container that was created.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import tarfile
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import docker
import pytest

from safeupdater.backends.docker import DockerBackend
from safeupdater.domain.artifact import ImageReference
from safeupdater.domain.operation import Phase
from safeupdater.domain.platform import Platform
from safeupdater.registries.oci.manifests import OCI_INDEX, OCI_MANIFEST
from safeupdater.testing.driving import Drive, StepStopped, operation_for
from testbed.registry import OCI_CONFIG, Registry
from tests.support.indexes import as_platform, index_of

ALL = ("linux/arm/v5", "linux/arm/v6", "linux/arm/v7", "linux/arm64", "linux/amd64")


def layer() -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as made:
        made.addfile(tarfile.TarInfo("file"))
    return data.getvalue()


def push(registry: Registry, name: str, tag: str, *platforms: str) -> tuple[str, dict[str, str]]:
    """Pushes an index of images that daemons can unpack; its digest, and the id of each image."""
    data, entries, ids = layer(), [], {}
    digest = registry.put_blob(name, data)
    for platform in platforms:
        config: dict[str, Any] = {
            **as_platform(platform), "config": {"Cmd": ["/file"], "Labels": {"tag": tag}},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(data).hexdigest()}"]},
        }  # fmt: skip
        raw = json.dumps(config).encode()
        ids[platform] = registry.put_blob(name, raw)
        kind = "application/vnd.oci.image.layer.v1.tar"
        manifest = {
            "schemaVersion": 2, "mediaType": OCI_MANIFEST,
            "config": {"mediaType": OCI_CONFIG, "digest": ids[platform], "size": len(raw)},
            "layers": [{"mediaType": kind, "digest": digest, "size": len(data)}],
        }  # fmt: skip
        body = json.dumps(manifest).encode()
        reference = f"sha256:{hashlib.sha256(body).hexdigest()}"
        entries.append((platform, registry.put_manifest(name, reference, body, OCI_MANIFEST), len(body)))
    index = json.loads(index_of(*((platform, pushed) for platform, pushed, _ in entries)))
    for entry, (_, _, size) in zip(index["manifests"], entries, strict=True):
        entry["size"] = size
    return registry.put_manifest(name, tag, json.dumps(index).encode(), OCI_INDEX), ids


@pytest.fixture(scope="module")
def shop() -> Iterator[Registry]:
    with Registry() as running:
        yield running


@pytest.mark.parametrize(
    ("machine", "running", "offered", "chosen"),
    [
        ("linux/arm/v7", "linux/arm/v6", ALL, "linux/arm/v7"),
        ("linux/arm/v7", "linux/arm/v6", ("linux/arm/v7", "linux/amd64"), "linux/arm/v7"),
        ("linux/arm/v6", "linux/arm/v6", ALL, "linux/arm/v6"),
        ("linux/arm64", "linux/arm/v6", ALL, "linux/arm/v6"),
        ("linux/arm64", "linux/amd64", ALL, "linux/amd64"),
        ("linux/amd64", "linux/amd64", ALL, "linux/amd64"),
        # Without its own variant, Docker 20.10 takes the first, later ones the next older.
        ("linux/arm/v7", "linux/arm/v7", ("linux/arm/v5", "linux/arm/v6", "linux/arm64"), None),
        ("linux/arm/v6", "linux/arm/v6", ("linux/arm/v7", "linux/arm/v5"), None),
    ],
)
def test_a_daemon_takes_the_manifest_that_was_decided_on(
    docker_host: str, shop: Registry, machine: str, running: str, offered: tuple[str, ...], chosen: str | None
) -> None:
    name = f"shop/app-{uuid.uuid4().hex[:8]}"
    push(shop, name, "1.0.0", running)
    digest, ids = push(shop, name, "1.0.1", *offered)
    with staged(docker_host, f"{shop.host}/{name}", running, machine, digest) as (drive, made):
        code = ""
        try:
            drive.perform(Phase.STAGING)
        except StepStopped as stopped:
            code = stopped.outcome.code
        if code:
            assert (chosen, code) == (None, "platform_mismatch")
            return
        (taken,) = (platform for platform, identity in ids.items() if identity == made()["Image"])
        assert taken == (chosen or taken)
        assert Platform.parse(machine).in_place_of(Platform.parse(running)).runs(Platform.parse(taken))


@contextlib.contextmanager
def staged(
    url: str, image: str, running: str, machine: str, digest: str
) -> Iterator[tuple[Drive, Callable[[], dict[str, Any]]]]:
    """An update of a stopped container that was captured, and what its candidate is, on such a machine."""
    client = docker.APIClient(base_url=url, version="1.41")
    client.trust_env = False
    client.pull(image, "1.0.0", platform=running)
    name = image.rpartition("/")[2]
    client.create_container(f"{image}:1.0.0", name=name, platform=running)
    backend = DockerBackend(client, host="test", own_container=None)
    vars(backend.scanner)["machine"] = Platform.parse(machine)
    (asset,) = (asset for asset in backend.scan().assets if asset.name == name)
    drive = Drive(backend, operation_for(asset, ImageReference.parse(f"{image}:1.0.1@{digest}")))
    drive.capture()
    try:
        yield drive, lambda: client.inspect_container(f"{name}.su-new")
    finally:
        drive.perform(Phase.DISCARDING)
        client.remove_container(name, force=True)
        client.close()
