"""What is known to run: scans recorded, assets asked for, history kept."""

from __future__ import annotations

import contextlib
import functools
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping
from datetime import datetime, timedelta

import attrs

from safeupdater.domain.asset import Asset, AssetStatus, AssetType, UpdateRecord
from safeupdater.domain.notice import ScanFinished
from safeupdater.domain.operation import Outcome
from safeupdater.domain.plan import Plan, UnknownAsset
from safeupdater.errors import InvalidReference, VersionConflict
from safeupdater.protocols import ScanReport, StateStore, Stored
from safeupdater.update.accounts import update_asset

_KEPT_WHILE_UNCHANGED = frozenset({AssetStatus.UPDATE_AVAILABLE, AssetStatus.ROLLED_BACK})
_NOT_FOLLOWED = frozenset({"disabled", "local_build", "pinned_by_digest"})
"""Why nothing is looked for: that is no failure to find out, so nothing is on offer."""

_TRIES = 10
_AHEAD_AT_MOST = timedelta(minutes=5)
"""How far the clock of another process may be ahead of ours and be believed."""
_Read = Mapping[str, Stored[object]]
_LABEL_KEYS = ("label_changes", "labels_changed_at")
_KEPT_WHILE_OPEN = frozenset({AssetStatus.UPDATING, AssetStatus.HELD})


@attrs.frozen(kw_only=True)
class Statistics:
    """Counts of assets that were not removed."""

    total_assets: int
    by_type: Mapping[str, int]
    by_status: Mapping[str, int]


def statistics_of(assets: Iterable[Asset]) -> Statistics:
    """The counts of these assets; those that were removed do not count."""
    present = [asset for asset in assets if asset.status is not AssetStatus.REMOVED]
    return Statistics(
        total_assets=len(present),
        by_type=dict(sorted(Counter(str(asset.asset_type) for asset in present).items())),
        by_status=dict(sorted(Counter(str(asset.status) for asset in present).items())),
    )


class Inventory:
    """The assets that a store remembers."""

    def __init__(self, store: StateStore) -> None:
        self._store = store

    # --- recording ------------------------------------------------------------------------------------------

    def record(self, report: ScanReport, now: datetime, *, began: datetime | None = None) -> ScanFinished:
        """Takes in a scan: new assets are added, known ones updated, and what is gone is marked removed.

        Only a complete scan can tell that something in its scope is gone. An update that ends while the scan
        (which ``began`` then) is made or written says more than the scan, so its asset is left alone.

        Raises:
            StoreError: the store did not answer.
        """
        first = read = self._read(report)
        for _ in range(_TRIES):
            taken = _taken_in(report, now, read, _late(first, read, began, now))
            try:
                self._store.put_many("asset", taken.assets, expected=taken.versions)
            except VersionConflict:
                read = self._read(report)
            else:
                return taken.finished
        return self._put_singly(_taken_in(report, now, read, _late(first, read, began, now)))

    def _put_singly(self, taken: _Taken) -> ScanFinished:
        """Writes what nobody else is writing at the very moment; what they write is newer than the scan."""
        for key, asset in taken.assets.items():
            with contextlib.suppress(VersionConflict):
                self._store.put("asset", key, asset, expected=taken.versions[key])
        return taken.finished

    def _read(self, report: ScanReport) -> _Read:
        """What is known of a report's scope and of its assets, which may lie outside of it."""
        found = dict(self._store.iterate("asset", report.scope))
        for asset in report.assets:
            if asset.id not in found and (stored := self._store.get("asset", asset.id)) is not None:
                found[asset.id] = stored
        return found

    def record_plan(self, plan: Plan, now: datetime | None = None) -> None:
        """Takes in what a plan found: the version on offer, or why none is known.

        An asset that was updated since the plan was made is left alone; an update later than ``now``, where
        that is told, was noted by a wrong clock.
        """
        offered = {
            change.asset_id: change.new.version_text for update in plan.updates for change in update.changes
        }
        causes = {item.asset_id: item for item in plan.unknown}
        for asset_id in (*offered, *causes, *plan.current):
            checked = functools.partial(
                _checked, plan.created_at, now, offered.get(asset_id), causes.get(asset_id)
            )
            update_asset(self._store, asset_id, checked)

    # --- asking ---------------------------------------------------------------------------------------------

    def get(self, asset_id: str) -> Asset | None:
        """The asset with a canonical id, with an id of the original form, or with a name that only it has.

        Raises:
            InvalidReference: a short form means more than one asset.
        """
        known = _asset_in(self._store.get("asset", asset_id))
        if known is not None:
            return known
        if "://" in asset_id:
            return None
        found = [asset for asset in self._all() if asset_id in (asset.legacy_id, asset.name)]
        if len(found) > 1:
            meant = ", ".join(asset.id for asset in found[:5])
            raise InvalidReference(f"{asset_id!a} means more than one asset: {meant}", code="ambiguous_id")
        return found[0] if found else None

    def assets(
        self,
        *,
        asset_type: AssetType | None = None,
        status: AssetStatus | None = None,
        namespace: str | None = None,
        host: str | None = None,
        labels: Mapping[str, str] | None = None,
        include_removed: bool = False,
    ) -> tuple[Asset, ...]:
        """The assets that fit every given condition, by id."""
        return tuple(
            asset
            for asset in self._all()
            if (asset_type is None or asset.asset_type is asset_type)
            and (status is None or asset.status is status)
            and (namespace is None or asset.namespace == namespace)
            and (host is None or asset.host == host)
            and (labels is None or labels.items() <= asset.labels.items())
            and (include_removed or status is AssetStatus.REMOVED or asset.status is not AssetStatus.REMOVED)
        )

    def forget(self, asset_id: str) -> tuple[str, ...]:
        """Forgets an asset, or every asset of a host (``docker://old-name``), with its history; their ids.

        What still runs is found again by the next scan. Journals, snapshots and quarantine stay.
        """
        below = asset_id.rstrip("/") + "/"
        found = [
            asset.id for asset in self._all(asset_id) if asset.id == asset_id or asset.id.startswith(below)
        ]
        for each in found:
            self._store.delete("asset", each)
        return tuple(found)

    def history(self, asset_id: str) -> tuple[UpdateRecord, ...]:
        """The finished updates of an asset, newest first."""
        asset = self.get(asset_id)
        return tuple(reversed(asset.update_history)) if asset else ()

    def statistics(self) -> Statistics:
        """How many assets there are, by type and by status."""
        return statistics_of(self.assets())

    def _all(self, prefix: str = "") -> Iterator[Asset]:
        for _, stored in self._store.iterate("asset", prefix):
            asset = _asset_in(stored)
            if asset is not None:
                yield asset


@attrs.frozen(kw_only=True)
class _Taken:
    """What a scan makes of the assets, and the versions of the records that it was made from."""

    assets: Mapping[str, Asset]
    versions: Mapping[str, int]
    finished: ScanFinished


def _taken_in(report: ScanReport, now: datetime, read: _Read, late: frozenset[str]) -> _Taken:
    known = {key: asset for key, stored in read.items() if (asset := _asset_in(stored)) is not None}
    seen = {
        asset.id: _merged(known[asset.id], asset, now)
        if asset.id in known
        else attrs.evolve(asset, last_scan=now)
        for asset in report.assets
    }
    gone = _gone(known.values(), seen, now) if report.complete else {}
    written = {key: asset for key, asset in {**seen, **gone}.items() if key not in late}
    finished = ScanFinished(
        at=now,
        seen=len(report.assets),
        added=sum(key not in known for key in written),
        updated=sum(
            key in seen and key in known and _is_changed(known[key], asset) for key, asset in written.items()
        ),
        removed=sum(key in gone for key in written),
        problems=report.problems,
    )
    versions = {key: read[key].version if key in read else 0 for key in written}
    return _Taken(assets=written, versions=versions, finished=finished)


def _late(first: _Read, read: _Read, began: datetime | None, now: datetime) -> frozenset[str]:
    """The assets of which an update ended since the scan began: what was seen of them is no longer so."""
    return frozenset(
        key
        for key, stored in read.items()
        if (asset := _asset_in(stored)) is not None
        and (_was_updated_since(asset, began, now) or _has_other_history(_asset_in(first.get(key)), asset))
    )


def _was_updated_since(asset: Asset, when: datetime | None, now: datetime | None) -> bool:
    """Whether an update ended after that time; one that a wrong clock noted in the future says nothing."""
    if when is None or asset.last_update is None:
        return False
    return asset.last_update > when and (now is None or asset.last_update <= now + _AHEAD_AT_MOST)


def _has_other_history(before: Asset | None, after: Asset) -> bool:
    return before is not None and before.update_history != after.update_history


def _checked(
    planned: datetime | None,
    now: datetime | None,
    offered: str | None,
    unknown: UnknownAsset | None,
    asset: Asset,
) -> Asset:
    """An asset with what a check found; where none could be made, what was known before stays known."""
    if _was_updated_since(asset, planned, now):
        return asset
    if unknown is None:
        found = attrs.evolve(asset, available_version=offered, unknown_cause=None)
        return _with_availability(found)
    cause = f"{unknown.code}: {unknown.message}"
    if unknown.code in _NOT_FOLLOWED:
        return _with_availability(attrs.evolve(asset, available_version=None, unknown_cause=cause))
    return attrs.evolve(asset, unknown_cause=cause)


def _asset_in(stored: Stored[object] | None) -> Asset | None:
    return stored.value if stored is not None and isinstance(stored.value, Asset) else None


def _gone(known: Iterable[Asset | None], seen: Container[str], now: datetime) -> dict[str, Asset]:
    """The assets that were known and are not there any more, marked so; what is being updated may be back."""
    kept = (AssetStatus.REMOVED, AssetStatus.UPDATING)
    return {
        asset.id: attrs.evolve(asset.with_status(AssetStatus.REMOVED), last_scan=now, running=False)
        for asset in known
        if asset is not None and asset.id not in seen and asset.status not in kept
    }


def _is_changed(known: Asset, seen: Asset) -> bool:
    return attrs.evolve(known, last_scan=None) != attrs.evolve(seen, last_scan=None)


def _merged(known: Asset, scanned: Asset, now: datetime) -> Asset:
    """The scanned asset with what only we know: its history, what is on offer, where it stands."""
    same_bits = known.image == scanned.image and known.digests == scanned.digests
    merged = attrs.evolve(
        scanned,
        last_scan=now,
        last_update=known.last_update,
        update_history=known.update_history,
        available_version=known.available_version if same_bits else None,
        unknown_cause=known.unknown_cause if same_bits else None,
        status=_status(known, scanned, same_bits=same_bits),
    )
    return attrs.evolve(merged, metadata={**merged.metadata, **_relabelled(known, scanned, now)})


def _status(known: Asset, scanned: Asset, *, same_bits: bool) -> AssetStatus:
    if _is_in_operation(known) or (same_bits and known.status in _KEPT_WHILE_UNCHANGED):
        return known.status
    return scanned.status


def _is_in_operation(known: Asset) -> bool:
    """Whether an open operation gave the status: then its end changes it, not a scan of what it left."""
    latest = known.update_history[-1].outcome if known.update_history else ""
    is_stuck = known.status is AssetStatus.FAILED and latest == str(Outcome.ROLLBACK_FAILED)
    return is_stuck or known.status in _KEPT_WHILE_OPEN


def _relabelled(known: Asset, scanned: Asset, now: datetime) -> dict[str, object]:
    """What the latest change of labels was ([before, after] by name) and which scan saw it."""
    names = known.labels.keys() | scanned.labels.keys()
    changes = {
        name: [known.labels.get(name), scanned.labels.get(name)]
        for name in sorted(names)
        if known.labels.get(name) != scanned.labels.get(name)
    }
    if changes:
        return {"label_changes": changes, "labels_changed_at": now.isoformat()}
    return {key: known.metadata[key] for key in _LABEL_KEYS if key in known.metadata}


def _with_availability(asset: Asset) -> Asset:
    if asset.available_version is not None and asset.status in (AssetStatus.HEALTHY, AssetStatus.UNKNOWN):
        return asset.with_status(AssetStatus.UPDATE_AVAILABLE)
    if asset.available_version is None and asset.status is AssetStatus.UPDATE_AVAILABLE:
        return asset.with_status(AssetStatus.HEALTHY)
    return asset
