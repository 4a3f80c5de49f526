"""The in-memory runtime: a world, and the backend that updates what runs in it."""

from safeupdater.backends.memory.backend import MemoryBackend
from safeupdater.backends.memory.world import (
    CRASHES,
    GOOD,
    NEVER_READY,
    Behaviour,
    Container,
    MemoryWorld,
    digest_of,
)

__all__ = [
    "CRASHES",
    "GOOD",
    "NEVER_READY",
    "Behaviour",
    "Container",
    "MemoryBackend",
    "MemoryWorld",
    "digest_of",
]
