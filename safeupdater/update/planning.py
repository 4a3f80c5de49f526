"""From assets and tags to a plan: every version on offer decided, the newest approved one chosen."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import TypeVar

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
from safeupdater.errors import StoreError
from safeupdater.gates.diffgate import DiffGate
from safeupdater.protocols import AssetPolicy, FactSource, PolicySource, TagSource
from safeupdater.update.facts import with_facts
from safeupdater.update.listings import ListingMemory
from safeupdater.update.offers import Offers, gather_offers

Notify = Callable[[UpdateEvaluated], None]

_MATURITY_DEPTH = 10
"""How many versions of one step size are decided, newest first, before the newest is left to wait."""

_WHOLE_STEP_GATES = frozenset(
    {
        "semver",
        "update_window",
        "freeze",
        "ownership",
        "sources",
        "labels",
        "stateful_guard",
        "diff_gate",
        "running",
        "back_off",
    }
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
    memory: ListingMemory | None = None,
) -> Plan:
    """What to do about each asset: an update to decide on, nothing (current), or nobody knows (unknown).

    For each asset the newest version within patch, within minor and within major are decided, and the
    same tag where its digest moved; where the newest must wait for time, an older one that is ready is
    decided too. The plan takes the newest approved version and lists the others. What was approved by a
    person stays the choice while the approval is good. A registry that does not answer makes an asset
    unknown, never current, and so does a store that does not say what is in quarantine. With ``memory`` a
    list of tags that lost most of them since an earlier plan, or one that is in use, makes it unknown too.
    """
    analyzer = analyzer or SemVerAnalyzer()
    subjects = tuple(
        _Subject(asset, policy.for_asset(asset)) for asset in {item.id: item for item in assets}.values()
    )
    offers = gather_offers(((item.asset, item.policy) for item in subjects), tags, analyzer, memory)
    judge = _Judge(DiffGate(policy, analyzer=analyzer), now, tuple(facts), notify, offers, analyzer)
    consents = _by_target(approval for approval in approvals if approval.is_good(now))
    targets = _by_target(sorted(subjects, key=_id_of))
    return _assemble(
        {name: judge.examine(members, consents.get(name, ())) for name, members in targets.items()}, now
    )


@attrs.frozen
class _Subject:
    """An asset with its policy."""

    asset: Asset
    policy: AssetPolicy

    @property
    def target_id(self) -> str:
        """The target that it belongs to."""
        return self.asset.target_id


_Targeted = TypeVar("_Targeted", _Subject, Approval)


def _by_target(items: Iterable[_Targeted]) -> dict[str, list[_Targeted]]:
    grouped: defaultdict[str, list[_Targeted]] = defaultdict(list)
    for item in items:
        grouped[item.target_id].append(item)
    return dict(grouped)


@attrs.frozen(kw_only=True)
class _Finding:
    """What was found about one asset: options (newest first), or why there is nothing to say."""

    asset: Asset
    policy: AssetPolicy
    options: tuple[Option, ...] = ()
    consented: Option | None = None
    unknown: UnknownAsset | None = None

    @property
    def chosen(self) -> Option:
        """What a person approved, else the newest of the mildest verdict.

        Among equals one that need not wait for time as well comes first.
        """
        return self.consented or min(
            self.options, key=lambda option: (option.decision.verdict, _must_wait(option.decision))
        )


@attrs.frozen
class _Judge:
    """Decides on what is on offer for one target after another."""

    gate: DiffGate
    now: datetime
    sources: tuple[FactSource, ...]
    notify: Notify | None
    offers: Offers
    analyzer: SemVerAnalyzer

    def examine(self, members: Sequence[_Subject], approvals: Iterable[Approval]) -> list[_Finding]:
        """Every option of every asset of a target, decided; without the store nothing is known of any."""
        try:
            consented = self._consented(members, approvals)
            return [self._examine(subject, consented.get(subject.asset.id)) for subject in members]
        except StoreError as error:
            return [_undecided(subject, error) for subject in members]

    def _examine(self, subject: _Subject, consented: Option | None) -> _Finding:
        asset, policy = subject.asset, subject.policy
        refusal = self.offers.refusals.get(asset.id)
        if refusal is not None:
            return _Finding(asset=asset, policy=policy, unknown=refusal)
        options = tuple(self._options(subject, consented))
        if consented is not None and consented not in options:
            options = (consented, *options)
        if not options and (problem := self.offers.problem_of(asset)) is not None:
            return _Finding(asset=asset, policy=policy, unknown=problem)
        return _Finding(asset=asset, policy=policy, options=options, consented=consented)

    def _consented(self, members: Sequence[_Subject], approvals: Iterable[Approval]) -> Mapping[str, Option]:
        """The options, by asset, of the latest approval that still fits; empty where none does."""
        for approval in sorted(approvals, key=lambda item: (item.at, item.update_hash), reverse=True):
            fitting = self._fitting(members, approval)
            options = [self._decided(subject, change, approval) for subject, change in fitting]
            if options and all(option.decision.verdict <= Verdict.DEFER for option in options):
                for option in options:
                    self._tell(option)
                return {option.change.asset_id: option for option in options}
        return {}

    def _fitting(self, members: Sequence[_Subject], approval: Approval) -> Sequence[tuple[_Subject, Change]]:
        """What was approved, with the subjects; empty unless all of it is as it was when it was approved."""
        known = {
            subject.asset.id: subject for subject in members if subject.asset.id not in self.offers.refusals
        }
        moving = {change.asset_id: known.get(change.asset_id) for change in approval.changes}
        fitting = [
            (subject, change)
            for change in approval.changes
            if (subject := moving[change.asset_id]) and change.current == self.offers.running(subject.asset)
        ]
        if len(fitting) < len(approval.changes):
            return ()
        policies = {subject.asset.id: subject.policy for subject, _ in fitting}
        bound = update_hash(approval.target_id, approval.changes, policy_hash(policies))
        return fitting if bound == approval.update_hash else ()

    def _options(self, subject: _Subject, consented: Option | None) -> Iterator[Option]:
        """The options of one asset, newest version first, the moved digest last."""
        steps = self.offers.steps_of(subject.asset)
        found = [option for step in steps for option in self._walk(subject, step, consented)]
        yield from sorted(found, key=self._age_order)
        moved = self.offers.moved_digest(subject.asset)
        if moved is not None:
            yield self._decide(subject, moved, consented)

    def _age_order(self, option: Option) -> tuple[_Newest, str]:
        text = option.change.new.version_text
        return _Newest(self.analyzer.parse_version(text)), text

    def _walk(
        self, subject: _Subject, changes: Iterable[Change], consented: Option | None
    ) -> Iterator[Option]:
        """The newest of one step size; where it must wait for time, the newest older one that need not."""
        for depth, change in enumerate(changes):
            option = self._decide(subject, change, consented)
            is_ready = option.decision.verdict is not Verdict.REJECT and not _must_wait(option.decision)
            if depth == 0 or is_ready:
                yield option
            if is_ready or depth >= _MATURITY_DEPTH or _is_about_the_step(option.decision):
                return

    def _decide(self, subject: _Subject, change: Change, consented: Option | None) -> Option:
        if consented is not None and consented.change == change:
            return consented
        option = self._decided(subject, change)
        self._tell(option)
        return option

    def _decided(self, subject: _Subject, change: Change, approval: Approval | None = None) -> Option:
        asset, policy = subject.asset, subject.policy
        decision = decide(self.gate, asset, change, approval, self.sources, self.now)
        bound = update_hash(asset.target_id, (change,), policy.fingerprint)
        return Option(change=change, decision=decision, hash=bound)

    def _tell(self, option: Option) -> None:
        if self.notify is not None:
            change = option.change
            self.notify(UpdateEvaluated(asset_id=change.asset_id, change=change, decision=option.decision))


def _undecided(subject: _Subject, error: StoreError) -> _Finding:
    cause = UnknownAsset(asset_id=subject.asset.id, code=error.code, message=error.message)
    return _Finding(asset=subject.asset, policy=subject.policy, unknown=cause)


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


def _assemble(found: Mapping[str, Sequence[_Finding]], now: datetime) -> Plan:
    findings = sorted((finding for members in found.values() for finding in members), key=_id_of)
    moving = {name: [item for item in members if item.options] for name, members in sorted(found.items())}
    return Plan(
        updates=tuple(_planned(name, members) for name, members in moving.items() if members),
        current=tuple(item.asset.id for item in findings if not item.options and not item.unknown),
        unknown=tuple(item.unknown for item in findings if item.unknown is not None),
        created_at=now,
    )


def _id_of(item: _Finding | _Subject) -> str:
    return item.asset.id


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
    """The assets of a target that move: what a person approved, and nothing beside it; without that the
    approved ones, else those that wait, else all."""
    consented = [item for item in findings if item.consented is not None]
    if consented:
        return consented
    approved = [item for item in findings if item.chosen.decision.safe]
    waiting = [item for item in findings if item.chosen.decision.verdict is not Verdict.REJECT]
    return approved or waiting or findings


def _together(decisions: Sequence[Decision]) -> Decision:
    if len(decisions) == 1:
        return decisions[0]
    strictest = max(decisions, key=lambda decision: decision.verdict)
    reasons = (reason for decision in decisions for reason in decision.reasons)
    return Decision(verdict=strictest.verdict, reasons=tuple(reasons), change_type=strictest.change_type)


def decide(
    gate: DiffGate,
    asset: Asset,
    change: Change,
    approval: Approval | None,
    sources: Sequence[FactSource],
    now: datetime,
) -> Decision:
    """What the gates say of a change by all that is known of it, with the consent of whoever approved it.

    Raises:
        StoreError: nobody knows whether it is in quarantine, since the store did not answer.
    """
    candidate = Candidate(
        asset=asset, change=change, now=now,
        consent=approval.consent if approval else None, consented_at=approval.at if approval else None,
    )  # fmt: skip
    return gate.decide(with_facts(candidate, sources, gate.needs_of(asset)))


def policy_hash(policies: Mapping[str, AssetPolicy]) -> str:
    """What an update's hash covers of the effective policies of the assets that it moves."""
    prints = sorted(policy.fingerprint for policy in policies.values())
    return prints[0] if len(prints) == 1 else fingerprint(prints)
