"""How large the step from one version to a newer one is."""

from __future__ import annotations

from safeupdater.domain.change import VersionChangeType
from safeupdater.domain.version import Version, significant_numbers

_BY_SIZE = (VersionChangeType.MAJOR, VersionChangeType.MINOR, VersionChangeType.PATCH)


def size_of_step(low: Version, high: Version) -> VersionChangeType:
    """The type of the step up from ``low`` to ``high``: ``PRERELEASE`` where ``high`` is one."""
    return VersionChangeType.PRERELEASE if high.is_prerelease else size_of_release_step(low, high)


def size_of_release_step(low: Version, high: Version) -> VersionChangeType:
    """Major, minor or patch: the size of the step up to ``high``, a pre-release counted as its release.

    The first number that differs decides; the third and every later one, and packaging revisions, are a
    patch.
    """
    size = size_by_position(first_difference(low.numbers, high.numbers))
    if not low.is_prerelease or high.is_prerelease:
        return size
    # The release that `low` leads to is finished on the way, and its own step was never taken.
    finished = size_by_position(max(len(significant_numbers(low.numbers)), 1) - 1)
    return min(size, finished, key=_BY_SIZE.index)


def size_by_position(place: int) -> VersionChangeType:
    """The size of a step of which the number at this place, from 0, is the first that differs."""
    return _BY_SIZE[min(place, 2)]


def first_difference(low: tuple[int, ...], high: tuple[int, ...]) -> int:
    """The place of the first number that differs, a missing one being 0; beyond all where none does."""
    longest = max(len(low), len(high))
    for place in range(longest):
        if (low[place] if place < len(low) else 0) != (high[place] if place < len(high) else 0):
            return place
    return longest + 2
