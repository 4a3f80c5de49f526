"""What the tests of a backend need to see and do: one target on one runtime, beside the backend itself."""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

import attrs

from safeupdater.domain.artifact import ImageReference
from safeupdater.protocols import Backend


@attrs.frozen(kw_only=True)
class Thing:
    """One thing on the runtime, running or not: a container, a release. Two looks at it are compared.

    ``id`` is its identity, which no other thing ever has and no rename changes. ``config`` is what its
    owner chose, and not what a release brings along or a backend adds, in any form that can be compared.
    ``restart`` is its restart policy in the runtime's words; empty where nothing starts it by itself, as
    always on runtimes that have no such policies.
    """

    id: str
    name: str
    running: bool
    config: object = attrs.field(repr=False)
    restart: str = ""


class Stage(Protocol):
    """One target on one runtime, and what people do to it. At first nothing but the target is there.

    The target runs, has a configuration that is not empty and, where there are such, a restart policy.
    """

    backend: Backend
    new: ImageReference
    """The newer release, pinned to its digest."""

    def state(self) -> object:
        """Everything that runs or is kept there, to be compared: names, identities, configurations."""
        ...

    def things(self) -> Collection[Thing]:
        """Everything that exists there, whoever made it, and what is stopped as well."""
        ...

    def somebody_removes(self) -> None:
        """Somebody removes what has the target's name."""
        ...

    def somebody_replaces(self) -> None:
        """Somebody puts another thing of their own under the target's name."""
        ...

    def somebody_edits(self) -> None:
        """Somebody configures what has the target's name otherwise: in place, or by making it anew where
        this runtime wants it so."""
        ...

    def power_fails(self) -> None:
        """What has the target's name is cut off, not stopped; nothing but a backend starts it again."""
        ...
