"""Listings that are believed: kept for a while, compared with the last one and with what is served."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable

import attrs

from safeupdater.domain.artifact import ImageReference
from safeupdater.errors import RegistryError
from safeupdater.registries.oci.cache import SharedCache
from safeupdater.registries.oci.images import Images
from safeupdater.registries.oci.network import Deadline
from safeupdater.registries.oci.paging import list_tags
from safeupdater.registries.oci.session import Clockwork, RegistrySession

# Some 100 MB of tags: enough for a thousand large repositories, and no more however many there are.
_MAX_KEPT_TAGS = 1_000_000


@attrs.frozen
class _Trust:
    """How many tags a repository had when it was last believed, and the short list that was not."""

    count: int
    doubted: frozenset[str] = frozenset()


class Listings:
    """The tag lists of repositories, shared by everybody who asks. Thread-safe."""

    def __init__(
        self, session: Callable[[str], RegistrySession], images: Images, *, ttl_s: float, max_entries: int,
        clockwork: Clockwork,
    ) -> None:  # fmt: skip
        self._session, self._images, self._max_entries = session, images, max_entries
        self._cache: SharedCache[str, tuple[str, ...]] = SharedCache(
            ttl_s=ttl_s,
            refusal_ttl_s=ttl_s,
            max_entries=max_entries,
            monotonic=clockwork.monotonic,
            weigh=len,
            max_weight=_MAX_KEPT_TAGS,
        )
        self._trusted: OrderedDict[str, _Trust] = OrderedDict()
        self._lock = threading.Lock()

    def tags(self, image: ImageReference, running: Iterable[ImageReference]) -> tuple[str, ...]:
        """Every tag of the image's repository; ``running`` are references whose tags ought to be among them.

        Raises:
            RegistryError: there is no complete and plausible answer.
        """
        tags = self._cache.get(image.name, lambda: self._listed(image))
        for tag in {reference.tag for reference in running} - {None}:
            if tag not in tags:
                self._check_absence(image.with_tag(str(tag)), len(tags))
        return tags

    def forget(self) -> None:
        """Drops every kept listing; how long they were is still known."""
        self._cache.forget()

    def _listed(self, image: ImageReference) -> tuple[str, ...]:
        session = self._session(image.registry)
        tags = list_tags(session, image.repository, Deadline.after(session.limits.call_s))
        self._check_length(image.name, tags)
        return tags

    def _check_length(self, name: str, tags: tuple[str, ...]) -> None:
        """A list that lost more than half of its tags is believed only when it comes twice."""
        with self._lock:
            known = self._trusted.get(name, _Trust(0))
            has_shrunk = 2 * len(tags) < known.count
            if has_shrunk and (offered := frozenset(tags)) != known.doubted:
                self._trusted[name] = attrs.evolve(known, doubted=offered)
            else:
                has_shrunk = False
                self._trusted[name] = _Trust(len(tags))
            self._trusted.move_to_end(name)
            if len(self._trusted) > self._max_entries:
                self._trusted.popitem(last=False)
        if has_shrunk:
            raise _suspicious(
                name,
                f"lists {len(tags)} tags where it had {known.count}: believed only if the next list agrees",
            )

    def _check_absence(self, reference: ImageReference, count: int) -> None:
        try:
            self._images.resolve(reference)
        except RegistryError as error:
            if error.code == "not_found":
                return  # The registry is of one mind: the tag was deleted, the rest of the list is good.
            raise
        self._cache.forget(reference.name)
        raise _suspicious(
            reference.name,
            f"serves {reference.tag} but does not list it among its {count} tags: the list is incomplete, "
            "nothing of it is used; try again later",
        )


def _suspicious(name: str, what: str) -> RegistryError:
    return RegistryError(f"{name} {what}", code="suspicious_listing", repository=name)
