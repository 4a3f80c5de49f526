"""Docker: finding containers on a host and recreating them without losing anything."""

from __future__ import annotations

from safeupdater.backends.docker.backend import DockerBackend
from safeupdater.backends.docker.scanner import (
    ContainerFilter,
    ContainerMetadata,
    DockerScanner,
    ImageInfo,
    LabelChange,
)

__all__ = [
    "ContainerFilter",
    "ContainerMetadata",
    "DockerBackend",
    "DockerScanner",
    "ImageInfo",
    "LabelChange",
]
