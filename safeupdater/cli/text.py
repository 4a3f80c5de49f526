"""Text on its way to a terminal.

Names, labels, tags and messages come from servers, and a terminal obeys escape sequences in them: whatever
could do more than stand there is shown as its code instead.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

from rich.text import Text

from safeupdater.domain.artifact import Artifact, ImageReference


def clean(text: str) -> str:
    """The text in one line, with every character that is not plainly visible shown as its code.

    >>> clean("1.2\\x1b[31m")
    '1.2\\\\x1b[31m'
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(item if item.isprintable() else _code(item) for item in text)


def clean_lines(text: str) -> str:
    """The same for text of several lines, which stay lines."""
    return "\n".join(clean(line) for line in text.split("\n"))


def _code(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def plain(text: object, style: str = "") -> Text:
    """Foreign text for a table or a line: no markup, no control characters."""
    return Text(clean(str(text)), style=style)


def shortened(text: str, width: int) -> str:
    """The text with its middle cut out where it is too long."""
    if len(text) <= width:
        return text
    tail = (width - 1) // 2
    return f"{text[: width - 1 - tail]}…{text[-tail:] if tail else ''}"


def short_hosts(text: str) -> str:
    """The text with the long host of each target id cut in its middle: the name is what people look for.

    >>> short_hosts("nothing of docker://HUS7:SEJ7:XXLW:FCPW:RKTO:V3ZX/shop waits")
    'nothing of docker://HUS7:…:V3ZX/shop waits'
    """
    return _HOST.sub(lambda found: f"{found[1]}{shortened(found[2], _SHORT_HOST)}/", text)


_HOST = re.compile(r"\b((?:docker|k8s|helm|memory)://)([^/\s]+)/")
_SHORT_HOST = 11


def minute(at: datetime | None) -> str:
    """An instant to the minute in UTC; "never" where there is none."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M}Z" if at else "never"


def size(size_bytes: int) -> str:
    """A number of bytes as people read it."""
    amount = float(size_bytes)
    for unit in ("B", "kB", "MB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} GB"


def counted(count: int, one: str, many: str = "") -> str:
    """A number with its noun: ``1 update``, ``2 updates``."""
    return f"{count} {one if count == 1 else many or one + 's'}"


def artifact_text(artifact: Artifact) -> str:
    """An image or chart as people write it: ``nginx:1.27`` for ``docker.io/library/nginx:1.27``."""
    return artifact.familiar if isinstance(artifact, ImageReference) else str(artifact)
