"""What is remembered of registries from one round to the next."""

from __future__ import annotations

from datetime import datetime

import attrs


@attrs.frozen(kw_only=True)
class Listing:
    """One repository's list of tags when it was last believed, and what came of asking since.

    ``running`` are the tags in use that it named. Since ``doubted_since`` the lists are not believed, for the
    same reason: the latest has ``doubted_count`` tags and lacks ``doubted_lost``, which run. ``failures``
    counts the rounds in a row without an answer, the last of them at ``failed_at``. ``doubted`` is not
    written any more.
    """

    count: int = 0
    running: tuple[str, ...] = ()
    at: datetime
    doubted: str = ""
    doubted_since: datetime | None = None
    failures: int = 0
    doubted_count: int = 0
    doubted_lost: tuple[str, ...] = ()
    failed_at: datetime | None = None


@attrs.frozen
class Served:
    """The digest that a tag served, and when it was first seen to."""

    digest: str
    at: datetime


@attrs.frozen(kw_only=True)
class TagHistory:
    """The digests that one tag served, oldest first; one that came back is there again."""

    served: tuple[Served, ...] = ()
