"""What is remembered of registries from one round to the next."""

from __future__ import annotations

from datetime import datetime

import attrs


@attrs.frozen(kw_only=True)
class Listing:
    """One repository's list of tags when it was last believed, and what came of asking since.

    ``running`` are the tags in use that it named; ``doubted`` is the hash of a list that was not believed
    and has been the same since ``doubted_since``. ``failures`` counts the rounds in a row without an answer.
    """

    count: int = 0
    running: tuple[str, ...] = ()
    at: datetime
    doubted: str = ""
    doubted_since: datetime | None = None
    failures: int = 0


@attrs.frozen
class Served:
    """The digest that a tag served, and when it was first seen to."""

    digest: str
    at: datetime


@attrs.frozen(kw_only=True)
class TagHistory:
    """The digests that one tag served, oldest first; one that came back is there again."""

    served: tuple[Served, ...] = ()
