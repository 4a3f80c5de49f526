"""The JSON documents that commands give: plain dicts, described by the schemas beside this module."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from importlib import resources
from typing import Any

from safeupdater.codec import loads
from safeupdater.domain.asset import Asset, UpdateRecord
from safeupdater.domain.change import Change
from safeupdater.domain.decision import Decision
from safeupdater.domain.operation import Quarantine
from safeupdater.domain.plan import Approval, Option, Plan, PlannedUpdate
from safeupdater.errors import SafeUpdaterError
from safeupdater.update.inventory import Statistics
from safeupdater.update.preview import Preview
from safeupdater.update.result import OperationResult

Document = dict[str, Any]

KINDS = (
    "Inventory", "Plan", "ApplyResult", "Approvals", "History", "Quarantine", "AbortRequest",
    "PolicyExplanation", "PolicyCheck", "Diagnosis", "State", "Error",
)  # fmt: skip


def schema(kind: str) -> Document:
    """The JSON Schema (draft 2020-12) of one kind of document."""
    path = resources.files("safeupdater.cli") / "schemas" / f"{kind}.json"
    found: Document = loads(path.read_text(encoding="utf-8"))
    return found


def time(at: datetime | None) -> str | None:
    """An instant as RFC 3339 in UTC."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z") if at else None


# --- what runs --------------------------------------------------------------------------------------------


def inventory(assets: Iterable[Asset], statistics: Statistics, problems: Iterable[str]) -> Document:
    """``Inventory``. Labels and metadata stay out: people put secrets there."""
    return {
        "assets": [asset_document(asset) for asset in assets],
        "statistics": {
            "total_assets": statistics.total_assets,
            "by_type": dict(statistics.by_type),
            "by_status": dict(statistics.by_status),
        },
        "problems": list(problems),
    }


def asset_document(asset: Asset) -> Document:
    """One asset of an ``Inventory``."""
    return {
        "id": asset.id,
        "name": asset.name,
        "type": str(asset.asset_type),
        "host": asset.host,
        "namespace": asset.namespace,
        "image": str(asset.image),
        "version": asset.current_version,
        "digests": sorted(asset.digests),
        "status": str(asset.status),
        "running": asset.running,
        "owner": asset.owner,
        "available_version": asset.available_version,
        "unknown_cause": asset.unknown_cause,
        "last_scan": time(asset.last_scan),
        "last_update": time(asset.last_update),
    }


# --- what is planned --------------------------------------------------------------------------------------


def plan(planned: Plan, ahead: Iterable[Preview] = ()) -> Document:
    """``Plan``, with what looking ahead found of its updates."""
    previews = {preview.planned.hash: preview for preview in ahead}
    return {
        "hash": planned.hash,
        "created_at": time(planned.created_at),
        "updates": [_update(update, previews.get(update.hash)) for update in planned.updates],
        "current": list(planned.current),
        "unknown": [
            {"asset_id": item.asset_id, "code": item.code, "message": item.message}
            for item in planned.unknown
        ],
    }


def _update(update: PlannedUpdate, preview: Preview | None) -> Document:
    return {
        "target_id": update.target_id,
        "hash": update.hash,
        **_decision(update.decision),
        "changes": [_change(change) for change in update.changes],
        "alternatives": [_option(option) for option in update.alternatives],
        "preview": _preview(preview) if preview is not None else None,
    }


def _preview(preview: Preview) -> Document:
    return {
        "outlook": str(preview.outlook),
        "code": preview.code,
        "message": preview.message,
        "until": time(preview.until),
        "warnings": list(preview.warnings),
    }


def _option(option: Option) -> Document:
    return {"hash": option.hash, **_decision(option.decision), "change": _change(option.change)}


def _decision(decision: Decision) -> Document:
    return {
        "decision": str(decision.verdict),
        "reason": decision.reason,
        "policy_applied": decision.policy_applied,
        "until": time(decision.until),
        "reasons": [
            {
                "code": reason.code,
                "message": reason.message,
                "verdict": str(reason.verdict),
                "policy": reason.policy,
            }
            for reason in decision.reasons
        ],
    }


def _change(change: Change) -> Document:
    return {
        "asset_id": change.asset_id,
        "current": str(change.current),
        "new": str(change.new),
        "change_type": str(change.change_type),
    }


def approvals(given: Iterable[Approval]) -> Document:
    """``Approvals``."""
    return {
        "approvals": [
            {
                "update_hash": item.update_hash,
                "target_id": item.target_id,
                "changes": [_change(change) for change in item.changes],
                "approver": item.approver,
                "at": time(item.at),
                "expires_at": time(item.expires_at),
                "bulk": item.bulk,
            }
            for item in given
        ]
    }


# --- what was done ----------------------------------------------------------------------------------------


def apply_result(results: Iterable[OperationResult], plan_hash: str | None = None) -> Document:
    """``ApplyResult``: what became of operations."""
    return {"plan_hash": plan_hash, "operations": [_operation(result) for result in results]}


def _operation(result: OperationResult) -> Document:
    return {
        "operation_id": result.operation_id,
        "target_id": result.target_id,
        "outcome": str(result.outcome),
        "code": result.code,
        "message": result.message,
        "changes": [_change(change) for change in result.changes],
        "started": time(result.started),
        "finished": time(result.finished),
        "until": time(result.until),
        "warnings": list(result.warnings),
        "leftovers": list(result.leftovers),
        "probes": {
            "due": result.tally.due,
            "ok": result.tally.ok,
            "failed": result.tally.failed,
            "void": result.tally.void,
        },
    }


def history(entries: Iterable[tuple[str, UpdateRecord]]) -> Document:
    """``History``."""
    return {
        "entries": [
            {
                "asset_id": asset_id,
                "operation_id": record.operation_id,
                "from_version": record.from_version,
                "to_version": record.to_version,
                "from_digest": record.from_digest,
                "to_digest": record.to_digest,
                "change_type": str(record.change_type),
                "decision": record.decision,
                "outcome": record.outcome,
                "reason": record.reason,
                "code": record.code,
                "attempts": record.attempts,
                "started": time(record.started),
                "finished": time(record.finished),
            }
            for asset_id, record in entries
        ]
    }


def quarantine(entries: Iterable[Quarantine]) -> Document:
    """``Quarantine``."""
    return {
        "entries": [
            {
                "asset_id": item.asset_id,
                "digest": item.digest,
                "version": item.version,
                "operation_id": item.operation_id,
                "reason": item.reason,
                "since": time(item.since),
                "until": time(item.until),
                "lifted_by": item.lifted_by,
            }
            for item in entries
        ]
    }


def error(raised: SafeUpdaterError) -> Document:
    """``Error``."""
    return {"code": raised.code, "message": str(raised), "transient": raised.transient}
