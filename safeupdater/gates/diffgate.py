"""The decision on one update: the hard gates, then what the policy says."""

from __future__ import annotations

from datetime import datetime
from functools import cached_property, lru_cache

import attrs
from typing_extensions import TypeIs

from safeupdater.analysis import SemVerAnalyzer
from safeupdater.domain.artifact import Artifact, ChartReference, ImageReference, is_tag
from safeupdater.domain.asset import Asset, AssetType
from safeupdater.domain.candidate import Candidate
from safeupdater.domain.change import Change, VersionChangeType
from safeupdater.domain.decision import Decision, Reason, Verdict
from safeupdater.errors import InvalidReference, InvalidVersion
from safeupdater.gates.combinators import Composable, GateLike, all_of, as_gate
from safeupdater.gates.evaluation import evaluate
from safeupdater.gates.hard import (
    NotQuarantined,
    SameFamily,
    SchemeSanity,
    classify_change,
    invalid_version,
    not_an_upgrade,
    unparsable,
)
from safeupdater.gates.reasons import says, shown
from safeupdater.protocols import AssetPolicy, Gate, PolicySource

_NOT_UPGRADES = (VersionChangeType.NO_CHANGE, VersionChangeType.UNKNOWN)
_QUARANTINE = NotQuarantined()


@attrs.frozen
class _OneGate:
    """The policy that one gate is."""

    gate: Gate

    @cached_property
    def _policy(self) -> AssetPolicy:
        return AssetPolicy(gate=self.gate, fingerprint="")

    def for_asset(self, asset: Asset) -> AssetPolicy:
        return self._policy

    def defaults(self) -> AssetPolicy:
        return self._policy


def _as_policy(value: PolicySource | GateLike) -> PolicySource:
    return value if _is_policy(value) else _OneGate(as_gate(value))


def _or_usual(analyzer: SemVerAnalyzer | None) -> SemVerAnalyzer:
    return analyzer or SemVerAnalyzer()


def _is_policy(value: PolicySource | GateLike) -> TypeIs[PolicySource]:
    return hasattr(value, "for_asset") and hasattr(value, "defaults")


@attrs.frozen
class DiffGate(Composable):
    """Decides on updates, by a policy or by one gate.

    Whatever these allow, it never lets through what cannot be parsed, is not newer, is of another tag
    family or numbering scheme, or is in quarantine. Hard gates that pass give no reason. A candidate that
    fails one of the first four is rejected there and then, as in the decision tree; of quarantine and
    policy every reason is kept.
    """

    _policy: PolicySource = attrs.field(converter=_as_policy, alias="policy_or_gate")
    analyzer: SemVerAnalyzer = attrs.field(default=None, converter=_or_usual, kw_only=True)
    name: str = attrs.field(default="diff_gate", kw_only=True)

    @property
    def needs(self) -> frozenset[str]:
        """The facts that it reads where no rule of the policy matches; see ``needs_of``."""
        return self._policy.defaults().gate.needs | _QUARANTINE.needs

    def needs_of(self, asset: Asset) -> frozenset[str]:
        """The facts that it reads for one asset."""
        return self._policy.for_asset(asset).gate.needs | _QUARANTINE.needs

    def __call__(self, candidate: Candidate) -> Decision:
        """The same as ``decide``, so that it can be used as a gate."""
        return self.decide(candidate)

    def decide(self, candidate: Candidate) -> Decision:
        """The decision on a candidate, by the policy of its asset."""
        return self._decide(candidate, self._policy.for_asset(candidate.asset))

    def evaluate_update(self, current: str, new: str, *, now: datetime | None = None) -> Decision:
        """The decision on two versions alone, by the policy without its rules.

        A text is a tag or ``tag@sha256:…``; the same tag with another digest is a digest change. Without
        ``now`` gates that look at the time defer.
        """
        for text in (current, new):
            if not isinstance(text, str) or _artifact(text) is None:
                return invalid_version(self.name, str(text))
        asset, change = _placeholder(current, new)
        return self._decide(Candidate(asset=asset, change=change, now=now), self._policy.defaults())

    def _decide(self, candidate: Candidate, policy: AssetPolicy) -> Decision:
        change = candidate.change
        try:
            kind = classify_change(candidate, self.analyzer)
        except InvalidVersion:
            return invalid_version(self.name, unparsable(change, self.analyzer) or change.new.version_text)
        except Exception as error:  # noqa: BLE001 - a border: an analyzer that fails blocks the update
            message = f"Version analysis failed: the analyzer raised {type(error).__name__}"
            return says(self.name, Verdict.REJECT, "invalid_version", message, fatal=True)
        if kind is not change.change_type:
            # Gates see what was found here, not what somebody wrote.
            candidate = attrs.evolve(candidate, change=attrs.evolve(change, change_type=kind))
        refused = self._refusals(candidate, policy)
        if refused:
            return Decision(verdict=Verdict.REJECT, reasons=refused, change_type=kind)
        return self._weighed(candidate, policy)

    def _refusals(self, candidate: Candidate, policy: AssetPolicy) -> tuple[Reason, ...]:
        """Why the hard gates or the policy's own switch reject; empty where they pass."""
        change = candidate.change
        if change.change_type in _NOT_UPGRADES:
            return not_an_upgrade(self.name, change).reasons
        reasons: tuple[Reason, ...] = ()
        if change.change_type is not VersionChangeType.DIGEST:
            for sane in _sanity(policy.family, policy.max_major_step, self.analyzer):
                decision = sane(candidate)
                reasons += () if decision.safe else decision.reasons
        if not policy.enabled:
            reasons += says(self.name, Verdict.REJECT, "disabled_by_policy", "The policy is off").reasons
        return reasons

    def _weighed(self, candidate: Candidate, policy: AssetPolicy) -> Decision:
        if candidate.facts.quarantined is None:
            return evaluate(policy.gate, candidate)
        return all_of(_QUARANTINE, policy.gate)(candidate)


@lru_cache(maxsize=64)
def _sanity(family: str, max_major_step: int, analyzer: SemVerAnalyzer) -> tuple[SameFamily, SchemeSanity]:
    return SameFamily(family, analyzer=analyzer), SchemeSanity(max_major_step, analyzer=analyzer)


# --- the two-string form ----------------------------------------------------------------------------------

_ID = "memory://local/unnamed"
_REGISTRY, _REPOSITORY = "placeholder.invalid", "unnamed"


@lru_cache(maxsize=1024)
def _artifact(text: str) -> Artifact | None:
    """The placeholder artifact of a version text; None where it is neither a tag nor a chart version."""
    version, at, digest = text.partition("@")
    try:
        if is_tag(version):
            return ImageReference(
                registry=_REGISTRY, repository=_REPOSITORY, tag=version, digest=digest if at else None
            )
        # A full SemVer text holds a "+", which tags cannot.
        return ChartReference(name=_REPOSITORY, version=version, digest=digest if at else None)
    except InvalidReference:
        return None


@lru_cache(maxsize=1024)
def _placeholder(current: str, new: str) -> tuple[Asset, Change]:
    old, offered = _artifact(current), _artifact(new)
    if old is None or offered is None:
        raise InvalidVersion(f"{shown(current)} or {shown(new)} is no version text")
    asset = Asset(id=_ID, name="unnamed", asset_type=AssetType.CONTAINER, image=old)
    # DiffGate finds the change type out itself.
    return asset, Change(asset_id=_ID, current=old, new=offered, change_type=VersionChangeType.UNKNOWN)
