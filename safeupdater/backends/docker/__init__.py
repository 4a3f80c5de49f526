"""Docker: finding containers on a host and recreating them without losing anything."""

from __future__ import annotations

from safeupdater.backends.docker.backend import DockerBackend
from safeupdater.backends.docker.listing import ContainerFilter, ContainerMetadata, ImageInfo, LabelChange
from safeupdater.backends.docker.scanner import DockerScanner

__all__ = [
    "ContainerFilter",
    "ContainerMetadata",
    "DockerBackend",
    "DockerScanner",
    "ImageInfo",
    "LabelChange",
]
