"""A daemon at a glance: what is read of it while many containers are looked at, it is asked for once."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

import attrs

from safeupdater.backends.docker.client import DockerApi, Json
from safeupdater.backends.docker.daemon import Daemon
from safeupdater.backends.docker.wire import ListedContainer

_Answer = TypeVar("_Answer")


@attrs.define(eq=False)
class Seen:
    """What a daemon answered; who asks the same meanwhile waits for that answer. Thread-safe."""

    _answers: dict[tuple[str, str], Future[object]] = attrs.field(factory=dict, init=False, repr=False)

    def once(self, what: str, name: str, ask: Callable[[], _Answer]) -> _Answer:
        """The answer. One that did not come is asked for again by the next."""
        mine: Future[object] = Future()
        first = self._answers.setdefault((what, name), mine)  # a single step for threads, too
        if first is mine:
            try:
                mine.set_result(ask())
            except BaseException as error:
                self._answers.pop((what, name))
                mine.set_exception(error)
                raise
        return first.result()  # type: ignore[return-value]  # each question has answers of one type


class GlancingDaemon(Daemon):
    """A daemon of which containers and images are read once. Nothing may be changed through it."""

    def __init__(self, api: DockerApi, deadline_s: float, seen: Seen) -> None:
        super().__init__(api, deadline_s)
        self._seen = seen

    def containers(self) -> list[ListedContainer]:
        """Every container, stopped ones too."""
        return self._seen.once("containers", "", super().containers)

    def inspect(self, name_or_id: str) -> Json | None:
        """A container in full."""
        ask = super().inspect
        return self._seen.once("container", name_or_id, lambda: ask(name_or_id))

    def inspect_image(self, reference: str) -> Json | None:
        """An image in full, by id or any reference."""
        ask = super().inspect_image
        return self._seen.once("image", reference, lambda: ask(reference))
