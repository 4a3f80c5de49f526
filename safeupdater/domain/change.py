"""What kind of step a version change is."""

from __future__ import annotations

import enum

import attrs

from safeupdater.domain.artifact import Artifact


class VersionChangeType(enum.Enum):
    """The size of a version change, in the terms of SemVer 2.0.0."""

    MAJOR = "major"
    MINOR = "minor"
    PATCH = "patch"
    PRERELEASE = "prerelease"
    DIGEST = "digest"
    """Same tag, other bits."""
    NO_CHANGE = "no_change"
    UNKNOWN = "unknown"
    """Not comparable, or a step down."""

    def __str__(self) -> str:
        return self.value


UPGRADES = (
    VersionChangeType.PATCH,
    VersionChangeType.MINOR,
    VersionChangeType.MAJOR,
    VersionChangeType.PRERELEASE,
    VersionChangeType.DIGEST,
)
"""The change types that an update can be, mildest release step first."""


@attrs.frozen(kw_only=True)
class Change:
    """One asset's step from the artifact that runs (``current``) to the one offered (``new``)."""

    asset_id: str
    current: Artifact
    new: Artifact
    change_type: VersionChangeType

    def __str__(self) -> str:
        return f"{self.current.version_text} → {self.new.version_text}"
