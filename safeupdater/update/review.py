"""Deciding again, at execution, on what a plan proposed earlier."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from safeupdater.analysis import SemVerAnalyzer
from safeupdater.domain.artifact import ImageReference
from safeupdater.domain.asset import Asset, AssetType
from safeupdater.domain.candidate import Candidate
from safeupdater.domain.change import Change
from safeupdater.domain.decision import Decision, Verdict
from safeupdater.domain.operation import OperationPlanned, OperationSettings
from safeupdater.domain.plan import Approval, PlannedUpdate
from safeupdater.domain.quick import evolved
from safeupdater.errors import SafeUpdaterError, StoreError
from safeupdater.gates import Labels
from safeupdater.gates.diffgate import DiffGate
from safeupdater.gates.evaluation import evaluate
from safeupdater.protocols import FactSource, PolicySource, StateStore
from safeupdater.update.facts import StoreFacts, with_facts
from safeupdater.update.planning import decide, policy_hash
from safeupdater.update.policies import AskedPolicy
from safeupdater.update.result import OperationResult, refusal

_LABELS = Labels()
_FROZEN = "frozen"


def _forbidden(decision: Decision, *, is_another: bool) -> str | None:
    """The reason that no consent and no waiting for a window would lift; of another policy than the update's
    only what says "nothing at all, now": a freeze, or a label."""
    for reason in decision.reasons:
        is_broken = reason.fatal and reason.code.startswith("gate_")
        counts = not is_broken and (reason.gate == _LABELS.name or not is_another)
        if (reason.verdict is Verdict.REJECT and counts) or reason.code == _FROZEN:
            return reason.message
    return None


class PolicyReview:
    """Lets an update begin only if the policy of now says so, or a person approved this very update.

    All gates run again with the time of execution; a policy that changed since the plan, an approval for
    something else, one that is used or out of date, and a decision that is not approve are refusals.
    Without ``notes`` it remembers no sightings: then it only says what it would say now.
    """

    def __init__(
        self,
        policy: PolicySource,
        store: StateStore,
        *,
        facts: Sequence[FactSource] = (),
        analyzer: SemVerAnalyzer | None = None,
        notes: bool = True,
    ) -> None:
        self._policy = self._latest = policy if isinstance(policy, AskedPolicy) else AskedPolicy(policy)
        self._store = store
        self._facts = (*facts, StoreFacts(store, notes=notes))
        self._gate = DiffGate(self._policy, analyzer=analyzer)

    def __call__(
        self, planned: PlannedUpdate, now: datetime, approval: Approval | None
    ) -> OperationSettings | OperationResult:
        """The settings to run under, or the refusal.

        Raises:
            PluginError: the policy is a plugin's and raised; nothing was begun.
            StoreError: the store did not answer.
        """
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
        if approval is not None and not all(
            policy.lets_approve(approval.approver) for policy in policies.values()
        ):
            return refusal(planned, "not_an_approver", f"{approval.approver} may not approve this update")
        for change in planned.changes:
            blocked = self._blocked(planned, assets[change.asset_id], change, now, approval)
            if blocked is not None:
                return blocked
        settings = policies[planned.changes[0].asset_id].settings
        return evolved(settings, policy_origin=self._policy.origin)

    def objection(self, opened: OperationPlanned, now: datetime) -> str | None:
        """Why an update that is under way may not go on; None where it may.

        It goes on under the policy with which it began, unless the policy of now, read again where it has a
        file, forbids it outright: switched off, frozen, or rejected even with a person's consent. That an
        update window has closed meanwhile forbids nothing. Rejected counts only where the policy comes from
        where that of the update came from: another one never allowed it, so it has not become stricter.

        Raises:
            StoreError: the store did not answer.
        """
        planned = opened.planned
        try:
            policy = self._latest = self._latest.reread()
            is_another = policy.origin != opened.settings.policy_origin
            assets = {change.asset_id: self._asset(change) for change in planned.changes}
            policies = {asset_id: policy.for_asset(asset) for asset_id, asset in assets.items()}
            is_same = policy_hash(policies) == planned.policy_hash
            for change in planned.changes:
                asset = assets[change.asset_id]
                candidate = Candidate(asset=asset, change=change, now=now)
                gate = _LABELS if is_same else policies[change.asset_id].gate
                if not policies[change.asset_id].enabled:
                    return f"the policy does not look after {asset.name} any more (enabled: false)"
                decision = evaluate(gate, with_facts(candidate, self._facts, gate.needs))
                forbidden = _forbidden(decision, is_another=is_another)
                if forbidden is not None:
                    return forbidden
        except StoreError:
            raise
        except SafeUpdaterError:
            pass  # a policy that cannot be read or asked changes nothing for what has begun
        return None

    def _blocked(
        self,
        planned: PlannedUpdate,
        asset: Asset,
        change: Change,
        now: datetime,
        approval: Approval | None,
    ) -> OperationResult | None:
        decision = decide(self._gate, asset, change, approval, self._facts, now)
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
