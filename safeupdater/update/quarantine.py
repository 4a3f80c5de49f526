"""Quarantine: the releases that are not tried again by themselves, on one asset or on all of them.

A release is known by its bits: another tag for the same bits does not lead out of quarantine. Once it has
failed on two assets by its own fault, all assets of its repository are kept from it.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

import attrs

from safeupdater.domain.artifact import Artifact, ImageReference
from safeupdater.domain.operation import Blame, OperationPlanned, Quarantine
from safeupdater.protocols import StateStore

_KIND = "quarantine"
_FAILURES = 2


def bits_of(version: Artifact) -> str:
    """What a quarantine is keyed by: the digest of the bits, else the tag where that is all we have."""
    return version.digest or version.version_text


def quarantine_key(kept_from: str, bits: str) -> str:
    """The record key of a quarantine: of an asset id, or of a repository for all its assets."""
    return f"{kept_from}#{bits}"


def repository_of(version: Artifact) -> str | None:
    """Where a release comes from, which assets may share; None for a chart that does not say it."""
    if isinstance(version, ImageReference):
        return version.name
    return f"{version.repository}/{version.name}" if version.repository else None


def put_in(
    store: StateStore,
    opened: OperationPlanned,
    versions: tuple[Artifact, ...],
    *,
    reason: str,
    blame: Blame,
    now: datetime,
) -> None:
    """Keeps every asset of an operation from its version, and other assets too where it is to blame.

    For how long is for the policy of the operation to say.
    """
    quarantine_s = opened.settings.rollback.quarantine_s
    until = None if quarantine_s is None else now + timedelta(seconds=quarantine_s)
    for change, version in zip(opened.changes, versions, strict=True):
        entry = Quarantine(
            asset_id=change.asset_id,
            digest=bits_of(version),
            version=version.version_text,
            operation_id=opened.operation_id,
            reason=reason,
            since=now,
            until=until,
            repository=repository_of(version) or "",
            blame=blame,
        )
        _put(store, entry)
        if blame is Blame.RELEASE and entry.repository:
            _spread(store, entry, now)


def _put(store: StateStore, entry: Quarantine) -> None:
    """Writes an entry, unless this operation did already: somebody may have lifted that one since."""
    key = quarantine_key(entry.asset_id, entry.digest)
    known = _at(store, key)
    if known is None or known.operation_id != entry.operation_id:
        store.put(_KIND, key, entry)


def _spread(store: StateStore, entry: Quarantine, now: datetime) -> None:
    """Keeps all assets of a repository from a release that failed on enough of them."""
    failed = [item for item in _failures(store, entry) if item.is_active(now)]
    if len({item.operation_id for item in failed}) >= _FAILURES:
        names = ", ".join(sorted(item.asset_id for item in failed))
        reason = f"failed on {names}: {entry.reason}"
        _put(store, attrs.evolve(entry, asset_id=entry.repository, reason=reason))


def _failures(store: StateStore, entry: Quarantine) -> Iterator[Quarantine]:
    """Every asset on which the same release failed by its own fault."""
    release = (entry.repository, entry.digest, Blame.RELEASE)
    for _, stored in store.iterate(_KIND):
        item = stored.value
        if not isinstance(item, Quarantine) or item.is_shared:
            continue
        if (item.repository, item.digest, item.blame) == release:
            yield item


def why_quarantined(store: StateStore, asset_id: str, version: Artifact, now: datetime | None) -> str | None:
    """Why an asset is kept from a version; None where it is not.

    What somebody allowed again on this very asset is allowed, whatever holds for the repository.
    Without a time nothing can expire.
    """
    own = _at(store, quarantine_key(asset_id, bits_of(version)))
    if own is not None and (own.lifted_by is not None or _is_active(own, now)):
        return f"{own.version} failed before: {own.reason}" if own.lifted_by is None else None
    repository = repository_of(version)
    shared = _at(store, quarantine_key(repository, bits_of(version))) if repository else None
    if shared is None or not _is_active(shared, now):
        return None
    return f"{shared.version} is kept from all assets of {repository}, since it {shared.reason}"


def _is_active(entry: Quarantine, now: datetime | None) -> bool:
    return entry.lifted_by is None if now is None else entry.is_active(now)


def _at(store: StateStore, key: str) -> Quarantine | None:
    stored = store.get(_KIND, key)
    return stored.value if stored is not None and isinstance(stored.value, Quarantine) else None


def lifted(entry: Quarantine, by: str) -> Quarantine:
    """The same entry, allowed again."""
    return attrs.evolve(entry, lifted_by=by)
