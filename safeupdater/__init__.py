"""Keep running container software up to date without breaking it.

The public names are imported when they are first used, so that ``import safeupdater`` costs next to
nothing and loads no client library.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from safeupdater._version import __version__

if TYPE_CHECKING:
    from safeupdater.analysis import SemVerAnalyzer as SemVerAnalyzer
    from safeupdater.analysis import VersionRange as VersionRange
    from safeupdater.backends.memory import MemoryBackend as MemoryBackend
    from safeupdater.backends.memory import MemoryWorld as MemoryWorld
    from safeupdater.config import Policy as Policy
    from safeupdater.domain.artifact import ChartReference as ChartReference
    from safeupdater.domain.artifact import ImageReference as ImageReference
    from safeupdater.domain.asset import Asset as Asset
    from safeupdater.domain.asset import AssetStatus as AssetStatus
    from safeupdater.domain.asset import AssetType as AssetType
    from safeupdater.domain.asset import UpdateRecord as UpdateRecord
    from safeupdater.domain.candidate import Candidate as Candidate
    from safeupdater.domain.change import Change as Change
    from safeupdater.domain.change import VersionChangeType as VersionChangeType
    from safeupdater.domain.decision import Decision as Decision
    from safeupdater.domain.decision import Reason as Reason
    from safeupdater.domain.decision import Verdict as Verdict
    from safeupdater.domain.operation import Outcome as Outcome
    from safeupdater.domain.operation import Resolution as Resolution
    from safeupdater.domain.plan import Approval as Approval
    from safeupdater.domain.plan import Plan as Plan
    from safeupdater.domain.plan import PlannedUpdate as PlannedUpdate
    from safeupdater.domain.version import Version as Version
    from safeupdater.errors import SafeUpdaterError as SafeUpdaterError
    from safeupdater.gates import all_of as all_of
    from safeupdater.gates import any_of as any_of
    from safeupdater.gates import gate as gate
    from safeupdater.gates.diffgate import DiffGate as DiffGate
    from safeupdater.probes import HealthCheckFactory as HealthCheckFactory
    from safeupdater.registries.static import StaticTags as StaticTags
    from safeupdater.stores import open_store as open_store
    from safeupdater.update.executor import UpdateExecutor as UpdateExecutor
    from safeupdater.update.inventory import Inventory as Inventory
    from safeupdater.update.planning import plan_updates as plan_updates
    from safeupdater.update.preview import Outlook as Outlook
    from safeupdater.update.preview import Preview as Preview
    from safeupdater.update.result import AbortAnswer as AbortAnswer
    from safeupdater.update.result import OperationResult as OperationResult
    from safeupdater.update.rollback import RollbackManager as RollbackManager
    from safeupdater.update.updater import Updater as Updater

_HOMES = {
    "AbortAnswer": "update.result",
    "Approval": "domain.plan",
    "Asset": "domain.asset",
    "AssetStatus": "domain.asset",
    "AssetType": "domain.asset",
    "Candidate": "domain.candidate",
    "Change": "domain.change",
    "ChartReference": "domain.artifact",
    "Decision": "domain.decision",
    "DiffGate": "gates.diffgate",
    "HealthCheckFactory": "probes",
    "ImageReference": "domain.artifact",
    "Inventory": "update.inventory",
    "MemoryBackend": "backends.memory",
    "MemoryWorld": "backends.memory",
    "OperationResult": "update.result",
    "Outcome": "domain.operation",
    "Outlook": "update.preview",
    "Plan": "domain.plan",
    "PlannedUpdate": "domain.plan",
    "Policy": "config",
    "Preview": "update.preview",
    "Reason": "domain.decision",
    "Resolution": "domain.operation",
    "RollbackManager": "update.rollback",
    "SafeUpdaterError": "errors",
    "SemVerAnalyzer": "analysis",
    "StaticTags": "registries.static",
    "UpdateExecutor": "update.executor",
    "UpdateRecord": "domain.asset",
    "Updater": "update.updater",
    "Verdict": "domain.decision",
    "Version": "domain.version",
    "VersionChangeType": "domain.change",
    "VersionRange": "analysis",
    "all_of": "gates",
    "any_of": "gates",
    "gate": "gates",
    "open_store": "stores",
    "plan_updates": "update.planning",
}

__all__ = ["__version__", *sorted(_HOMES)]


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'safeupdater' has no attribute {name!r}")
    value: object = getattr(importlib.import_module(f"safeupdater.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
