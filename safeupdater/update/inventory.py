"""What is known to run: scans recorded, assets asked for, history kept."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping
from datetime import datetime

import attrs

from safeupdater.domain.asset import Asset, AssetStatus, AssetType, UpdateRecord
from safeupdater.domain.notice import ScanFinished
from safeupdater.domain.operation import Outcome
from safeupdater.domain.plan import Plan
from safeupdater.errors import InvalidReference, VersionConflict
from safeupdater.protocols import ScanReport, StateStore, Stored

_KEPT_WHILE_UNCHANGED = frozenset({AssetStatus.UPDATE_AVAILABLE, AssetStatus.ROLLED_BACK})
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

    def record(self, report: ScanReport, now: datetime) -> ScanFinished:
        """Takes in a scan: new assets are added, known ones updated, and what is gone is marked removed.

        Only a complete scan can tell that something in its scope is gone.
        """
        stored = dict(self._store.iterate("asset", report.scope))
        seen: dict[str, Asset] = {}
        added = updated = 0
        for asset in report.assets:
            known = _asset_in(stored.get(asset.id) or self._store.get("asset", asset.id))
            seen[asset.id] = (
                attrs.evolve(asset, last_scan=now) if known is None else _merged(known, asset, now)
            )
            added += known is None
            updated += known is not None and _is_changed(known, seen[asset.id])
        gone = _gone(map(_asset_in, stored.values()), seen, now) if report.complete else {}
        self._put({**seen, **gone})
        return ScanFinished(
            at=now, seen=len(report.assets), added=added, updated=updated, removed=len(gone),
            problems=report.problems,
        )  # fmt: skip

    def _put(self, assets: Mapping[str, Asset]) -> None:
        """Writes many assets at once, since each write of its own may cost a sync."""
        busy = {key: asset for key, asset in assets.items() if asset.status is AssetStatus.UPDATING}
        others = {key: asset for key, asset in assets.items() if key not in busy}
        self._store.put_many("asset", others)
        for key, asset in busy.items():
            self._put_busy(key, asset)

    def _put_busy(self, key: str, seen: Asset) -> None:
        """Writes an asset that is being updated, unless the update has just ended and says more than we."""
        stored = self._store.get("asset", key)
        known = _asset_in(stored)
        if stored is None or known is None or known.status is AssetStatus.UPDATING:
            with contextlib.suppress(VersionConflict):
                self._store.put("asset", key, seen, expected=stored.version if stored else 0)

    def record_plan(self, plan: Plan) -> None:
        """Takes in what a plan found: the version on offer, or why none is known."""
        offered = {
            change.asset_id: change.new.version_text for update in plan.updates for change in update.changes
        }
        causes = {item.asset_id: f"{item.code}: {item.message}" for item in plan.unknown}
        for asset_id in (*offered, *causes, *plan.current):
            asset = self.get(asset_id)
            if asset is None:
                continue
            checked = attrs.evolve(
                asset, available_version=offered.get(asset_id), unknown_cause=causes.get(asset_id)
            )
            checked = _with_availability(checked)
            if checked != asset:
                self._store.put("asset", asset_id, checked)

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
    changes = _label_changes(known, scanned)
    return attrs.evolve(merged, metadata={**merged.metadata, "label_changes": changes}) if changes else merged


def _status(known: Asset, scanned: Asset, *, same_bits: bool) -> AssetStatus:
    if _is_in_operation(known) or (same_bits and known.status in _KEPT_WHILE_UNCHANGED):
        return known.status
    return scanned.status


def _is_in_operation(known: Asset) -> bool:
    """Whether an open operation gave the status: then its end changes it, not a scan of what it left."""
    latest = known.update_history[-1].outcome if known.update_history else ""
    is_stuck = known.status is AssetStatus.FAILED and latest == str(Outcome.ROLLBACK_FAILED)
    return is_stuck or known.status in _KEPT_WHILE_OPEN


def _label_changes(known: Asset, scanned: Asset) -> dict[str, list[str | None]]:
    """Labels that are not what they were at the scan before: [before, now] by name."""
    names = known.labels.keys() | scanned.labels.keys()
    return {
        name: [known.labels.get(name), scanned.labels.get(name)]
        for name in sorted(names)
        if known.labels.get(name) != scanned.labels.get(name)
    }


def _with_availability(asset: Asset) -> Asset:
    if asset.available_version is not None and asset.status in (AssetStatus.HEALTHY, AssetStatus.UNKNOWN):
        return asset.with_status(AssetStatus.UPDATE_AVAILABLE)
    if asset.available_version is None and asset.status is AssetStatus.UPDATE_AVAILABLE:
        return asset.with_status(AssetStatus.HEALTHY)
    return asset
