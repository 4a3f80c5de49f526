"""What type checkers conclude about Docker."""

from __future__ import annotations

from typing import assert_type

from safeupdater.backends.docker import (
    ContainerFilter,
    ContainerMetadata,
    DockerBackend,
    DockerScanner,
    ImageInfo,
)
from safeupdater.domain.asset import Asset
from safeupdater.protocols import Backend, Scanner


def check_ports(backend: DockerBackend, scanner: DockerScanner) -> None:
    ports: tuple[Backend, Scanner, Scanner] = (backend, backend, scanner)
    assert ports


def check_answers(scanner: DockerScanner) -> None:
    assert_type(scanner.scan_containers(include_stopped=True), tuple[Asset, ...])
    assert_type(scanner.get_container_metadata("web"), ContainerMetadata | None)
    assert_type(scanner.extract_image_info("web"), ImageInfo | None)
    assert_type(scanner.get_image_digest("nginx:1"), str | None)


def check_filters() -> None:
    DockerScanner(where=ContainerFilter(names=["web-*"], labels=["tier=front"]))
