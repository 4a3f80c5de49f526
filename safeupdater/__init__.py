"""safeupdater keeps running container software up to date without breaking it."""

from safeupdater._version import __version__

__all__ = ["__version__"]
