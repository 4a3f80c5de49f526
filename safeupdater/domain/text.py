"""Text that can be written down: halves of characters, as in file names that are no Unicode, cannot."""

from __future__ import annotations

from typing import TypeGuard


def is_text(item: object) -> TypeGuard[str]:
    """Whether something is text that every store can hold."""
    return isinstance(item, str) and (item.isascii() or item == written(item))


def written(text: str) -> str:
    """The text with a question mark for what is no character."""
    return text.encode("utf-8", "replace").decode()
