"""From assets and tags to a plan: every version on offer decided, the newest approved one chosen."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime

import attrs

from safeupdater.analysis import SemVerAnalyzer
from safeupdater.domain.asset import Asset
from safeupdater.domain.candidate import Candidate
from safeupdater.domain.change import Change
from safeupdater.domain.decision import Decision, Verdict
from safeupdater.domain.notice import UpdateEvaluated
from safeupdater.domain.plan import (
    Approval,
    Option,
    Plan,
    PlannedUpdate,
    UnknownAsset,
    fingerprint,
    update_hash,
)
from safeupdater.gates.diffgate import DiffGate
from safeupdater.protocols import AssetPolicy, FactSource, PolicySource, TagSource
from safeupdater.update.facts import with_facts
from safeupdater.update.offers import Offers, gather_offers

Notify = Callable[[UpdateEvaluated], None]

_MATURITY_DEPTH = 10
"""How many versions of one step size are decided, newest first, before the newest is left to wait."""

_WHOLE_STEP_GATES = frozenset(
    {"semver", "update_window", "freeze", "ownership", "sources", "labels", "stateful_guard", "diff_gate"}
)
"""Gates that say the same of every version of a step: an older one would fare no better."""


def plan_updates(
    assets: Iterable[Asset],
    tags: TagSource,
    policy: PolicySource,
    *,
    now: datetime,
    approvals: Iterable[Approval] = (),
    facts: Sequence[FactSource] = (),
    notify: Notify | None = None,
    analyzer: SemVerAnalyzer | None = None,
) -> Plan:
    """What to do about each asset: an update to decide on, nothing (current), or nobody knows (unknown).

    For each asset the newest version within patch, within minor and within major are decided, and the
    same tag where its digest moved; where the newest must wait for time, an older one that is ready is
    decided too. The plan takes the newest approved version and lists the others. What was approved by a
    person stays the choice while the approval is good. A registry that does not answer makes an asset
    unknown, never current.
    """
    analyzer = analyzer or SemVerAnalyzer()
    subjects = tuple(
        _Subject(asset, policy.for_asset(asset)) for asset in {item.id: item for item in assets}.values()
    )
    offers = gather_offers(((item.asset, item.policy) for item in subjects), tags, analyzer)
    consents = {approval.target_id: approval for approval in approvals if approval.is_good(now)}
    judge = _Judge(DiffGate(policy, analyzer=analyzer), now, tuple(facts), notify, offers, analyzer, consents)
    return _assemble([judge.examine(item) for item in subjects], now)


@attrs.frozen
class _Subject:
    """An asset with its policy."""

    asset: Asset
    policy: AssetPolicy


@attrs.frozen(kw_only=True)
class _Finding:
    """What was found about one asset: options (newest first), or why there is nothing to say."""

    asset: Asset
    policy: AssetPolicy
    options: tuple[Option, ...] = ()
    unknown: UnknownAsset | None = None

    @property
    def chosen(self) -> Option:
        """The newest of the mildest verdict, and of those rather one that need not wait for time as well."""
        return min(self.options, key=lambda option: (option.decision.verdict, _must_wait(option.decision)))


@attrs.frozen
class _Judge:
    """Decides on what is on offer for one asset after another."""

    gate: DiffGate
    now: datetime
    sources: tuple[FactSource, ...]
    notify: Notify | None
    offers: Offers
    analyzer: SemVerAnalyzer
    consents: Mapping[str, Approval]

    def examine(self, subject: _Subject) -> _Finding:
        """Every option of one asset, decided."""
        asset, policy = subject.asset, subject.policy
        refusal = self.offers.refusals.get(asset.id)
        if refusal is not None:
            return _Finding(asset=asset, policy=policy, unknown=refusal)
        approved = self._approved(subject)
        if approved is not None and approved.decision.safe:
            return _Finding(asset=asset, policy=policy, options=(approved, *self._others(subject, approved)))
        options = tuple(self._options(subject))
        if not options and (problem := self.offers.problem_of(asset)) is not None:
            return _Finding(asset=asset, policy=policy, unknown=problem)
        return _Finding(asset=asset, policy=policy, options=options)

    def _others(self, subject: _Subject, approved: Option) -> Iterator[Option]:
        return (option for option in self._options(subject) if option.change != approved.change)

    def _approved(self, subject: _Subject) -> Option | None:
        """What a person approved for this asset, decided again; None where nothing fits any more."""
        approval = self.consents.get(subject.asset.target_id)
        if approval is None:
            return None
        mine = [change for change in approval.changes if change.asset_id == subject.asset.id]
        if not mine or mine[0].current != self.offers.running(subject.asset):
            return None
        return self._decide(subject, mine[0], consent=approval.consent)

    def _options(self, subject: _Subject) -> Iterator[Option]:
        """The options of one asset, newest version first, the moved digest last."""
        found = [
            option for step in self.offers.steps_of(subject.asset) for option in self._walk(subject, step)
        ]
        yield from sorted(found, key=self._age_order)
        moved = self.offers.moved_digest(subject.asset)
        if moved is not None:
            yield self._decide(subject, moved)

    def _age_order(self, option: Option) -> tuple[_Newest, str]:
        text = option.change.new.version_text
        return _Newest(self.analyzer.parse_version(text)), text

    def _walk(self, subject: _Subject, changes: Iterable[Change]) -> Iterator[Option]:
        """The newest of one step size; where it must wait for time, the newest older one that need not."""
        for depth, change in enumerate(changes):
            option = self._decide(subject, change)
            is_ready = option.decision.verdict is not Verdict.REJECT and not _must_wait(option.decision)
            if depth == 0 or is_ready:
                yield option
            if is_ready or depth >= _MATURITY_DEPTH or _is_about_the_step(option.decision):
                return

    def _decide(self, subject: _Subject, change: Change, consent: Verdict | None = None) -> Option:
        asset, policy = subject.asset, subject.policy
        candidate = Candidate(asset=asset, change=change, now=self.now, consent=consent)
        candidate = with_facts(candidate, self.sources, self.gate.needs_of(asset))
        decision = self.gate.decide(candidate)
        if self.notify is not None:
            self.notify(UpdateEvaluated(asset_id=asset.id, change=change, decision=decision))
        bound = update_hash(asset.target_id, (change,), policy.fingerprint)
        return Option(change=change, decision=decision, hash=bound)


@attrs.frozen
class _Newest:
    """Sorts versions newest first; what says no version comes last."""

    version: object

    def __lt__(self, other: _Newest) -> bool:
        if other.version is None or self.version is None:
            return self.version is not None and other.version is None
        return bool(other.version < self.version)  # type: ignore[operator]


def _must_wait(decision: Decision) -> bool:
    """Whether time must pass before it can be approved, with or without a person's consent."""
    return not decision.safe and any(reason.verdict is Verdict.DEFER for reason in decision.reasons)


def _is_about_the_step(decision: Decision) -> bool:
    blocking = [reason for reason in decision.reasons if reason.verdict in (Verdict.DEFER, Verdict.REJECT)]
    return any(reason.fatal or reason.gate in _WHOLE_STEP_GATES for reason in blocking)


def _assemble(findings: Sequence[_Finding], now: datetime) -> Plan:
    by_target: defaultdict[str, list[_Finding]] = defaultdict(list)
    for finding in findings:
        if finding.options:
            by_target[finding.asset.target_id].append(finding)
    return Plan(
        updates=tuple(_planned(target_id, by_target[target_id]) for target_id in sorted(by_target)),
        current=tuple(sorted(item.asset.id for item in findings if not item.options and not item.unknown)),
        unknown=tuple(item.unknown for item in sorted(findings, key=_id_of) if item.unknown is not None),
        created_at=now,
    )


def _id_of(finding: _Finding) -> str:
    return finding.asset.id


def _planned(target_id: str, findings: Sequence[_Finding]) -> PlannedUpdate:
    """One update of a target: what moves is approved together, or waits together."""
    moving = _moving(findings)
    chosen = [finding.chosen for finding in moving]
    others = [
        option
        for finding in findings
        for option in finding.options
        if finding not in moving or option is not finding.chosen
    ]
    return PlannedUpdate(
        target_id=target_id,
        changes=tuple(sorted((option.change for option in chosen), key=lambda change: change.asset_id)),
        decision=_together([option.decision for option in chosen]),
        policy_hash=policy_hash({finding.asset.id: finding.policy for finding in moving}),
        alternatives=tuple(others),
    )


def _moving(findings: Sequence[_Finding]) -> Sequence[_Finding]:
    """The assets of a target that move: the approved ones, else those that wait, else all."""
    approved = [item for item in findings if item.chosen.decision.safe]
    waiting = [item for item in findings if item.chosen.decision.verdict is not Verdict.REJECT]
    return approved or waiting or findings


def _together(decisions: Sequence[Decision]) -> Decision:
    if len(decisions) == 1:
        return decisions[0]
    strictest = max(decisions, key=lambda decision: decision.verdict)
    reasons = (reason for decision in decisions for reason in decision.reasons)
    return Decision(verdict=strictest.verdict, reasons=tuple(reasons), change_type=strictest.change_type)


def policy_hash(policies: Mapping[str, AssetPolicy]) -> str:
    """What an update's hash covers of the effective policies of the assets that it moves."""
    prints = sorted(policy.fingerprint for policy in policies.values())
    return prints[0] if len(prints) == 1 else fingerprint(prints)
