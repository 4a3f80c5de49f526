"""Indexes: images for several platforms under one digest, in a scripted registry."""

from __future__ import annotations

import json

from safeupdater.registries.oci.manifests import OCI_INDEX, OCI_MANIFEST
from testbed.scripted_registry import Repository


def index_of(*entries: tuple[str, str], media_type: str = OCI_INDEX, **more: object) -> bytes:
    """An index of manifests: a platform and a digest each."""
    manifests = [
        {"digest": digest, "size": 1, "mediaType": OCI_MANIFEST, "platform": as_platform(platform)}
        for platform, digest in entries
    ]
    return json.dumps({"schemaVersion": 2, "mediaType": media_type, "manifests": manifests, **more}).encode()


def nesting(inner: str, *entries: tuple[str, str]) -> bytes:
    """An index with these manifests and another index."""
    made = json.loads(index_of(*entries))
    made["manifests"].append({"digest": inner, "size": 1, "mediaType": OCI_INDEX})
    return json.dumps(made).encode()


def as_platform(text: str) -> dict[str, str]:
    """A platform as an index writes it."""
    return dict(zip(("os", "architecture", "variant"), text.split("/"), strict=False))


def add_index(repository: Repository, tag: str, *platforms: str) -> dict[str, str]:
    """An index of images for these platforms; the digest of each, and of the index under its tag."""
    digests = {}
    for platform in platforms:
        short = "/".join(platform.split("/")[:2])
        digests[platform] = repository.add_image(f"{tag}-{platform.replace('/', '-')}", platform=short)
    digests[tag] = repository.add_document(tag, OCI_INDEX, index_of(*digests.items()))
    return digests
