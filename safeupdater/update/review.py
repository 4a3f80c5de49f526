"""Deciding again, at execution, on what a plan proposed earlier."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from safeupdater.analysis import SemVerAnalyzer
from safeupdater.domain.artifact import ImageReference
from safeupdater.domain.asset import Asset, AssetType
from safeupdater.domain.candidate import Candidate
from safeupdater.domain.change import Change
from safeupdater.domain.decision import Verdict
from safeupdater.domain.operation import OperationSettings
from safeupdater.domain.plan import Approval, PlannedUpdate
from safeupdater.gates.diffgate import DiffGate
from safeupdater.protocols import FactSource, PolicySource, StateStore
from safeupdater.update.facts import StoreFacts, with_facts
from safeupdater.update.planning import policy_hash
from safeupdater.update.result import OperationResult, refusal


class PolicyReview:
    """Lets an update begin only if the policy of now says so, or a person approved this very update.

    All gates run again with the time of execution; a policy that changed since the plan, an approval for
    something else, one that is used or out of date, and a decision that is not approve are refusals.
    """

    def __init__(
        self,
        policy: PolicySource,
        store: StateStore,
        *,
        facts: Sequence[FactSource] = (),
        analyzer: SemVerAnalyzer | None = None,
    ) -> None:
        self._policy = policy
        self._store = store
        self._facts = (StoreFacts(store), *facts)
        self._gate = DiffGate(policy, analyzer=analyzer)

    def __call__(
        self, planned: PlannedUpdate, now: datetime, approval: Approval | None
    ) -> OperationSettings | OperationResult:
        """The settings to run under, or the refusal."""
        if approval is not None and not (approval.update_hash == planned.hash and approval.is_good(now)):
            message = (
                "the approval is for another update, was used, or is out of date: plan and approve again"
            )
            return refusal(planned, "approval_invalid", message)
        assets = {change.asset_id: self._asset(change) for change in planned.changes}
        policies = {asset_id: self._policy.for_asset(asset) for asset_id, asset in assets.items()}
        if policy_hash(policies) != planned.policy_hash:
            message = "the policy changed since the plan was made: plan again"
            return refusal(planned, "policy_changed", message)
        consent = approval.consent if approval is not None else None
        for change in planned.changes:
            blocked = self._blocked(planned, assets[change.asset_id], change, now, consent)
            if blocked is not None:
                return blocked
        return policies[planned.changes[0].asset_id].settings

    def _blocked(
        self,
        planned: PlannedUpdate,
        asset: Asset,
        change: Change,
        now: datetime,
        consent: Verdict | None,
    ) -> OperationResult | None:
        candidate = Candidate(asset=asset, change=change, now=now, consent=consent)
        decision = self._gate.decide(with_facts(candidate, self._facts, self._gate.needs_of(asset)))
        if decision.verdict is Verdict.APPROVE:
            return None
        code = "not_approved" if decision.verdict < Verdict.REJECT else "rejected"
        return refusal(planned, code, f"{decision.verdict}: {decision.reason}", decision.until)

    def _asset(self, change: Change) -> Asset:
        """The asset as it was last recorded; where it never was, what the change itself says of it."""
        stored = self._store.get("asset", change.asset_id)
        if stored is not None and isinstance(stored.value, Asset):
            return stored.value
        kind = AssetType.CONTAINER if isinstance(change.current, ImageReference) else AssetType.HELM_RELEASE
        name = change.asset_id.rpartition("/")[2]
        return Asset(id=change.asset_id, name=name, asset_type=kind, image=change.current)
