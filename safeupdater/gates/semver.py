"""What the size of a version step allows: the decision matrix."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from functools import cached_property

import attrs

from safeupdater.analysis import SemVerAnalyzer
from safeupdater.domain.candidate import Candidate
from safeupdater.domain.change import UPGRADES, VersionChangeType
from safeupdater.domain.decision import Decision, Verdict
from safeupdater.errors import ConfigurationError
from safeupdater.gates.combinators import Composable
from safeupdater.gates.hard import invalid_version, not_an_upgrade, unparsable
from safeupdater.gates.reasons import says

ACTIONS = {
    "auto": Verdict.APPROVE,
    "review": Verdict.REVIEW_REQUIRED,
    "manual": Verdict.MANUAL_APPROVAL,
    "skip": Verdict.REJECT,
}
"""What a policy may say about a change type, and the verdict that it stands for."""

_CODES = {
    "auto": "auto_approved",
    "review": "review_required",
    "manual": "manual_approval",
    "skip": "skipped",
}
_SENTENCES = {
    "auto": "is approved automatically",
    "review": "needs a review",
    "manual": "needs manual approval",
    "skip": "is skipped by policy",
}
_NAMES = {VersionChangeType.PRERELEASE: "Pre-release"}


def _one_of(*choices: str) -> Callable[[object, attrs.Attribute[str], str], None]:
    def check(instance: object, attribute: attrs.Attribute[str], value: str) -> None:
        if value in choices:
            return
        near = difflib.get_close_matches(str(value)[:40], choices, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        expected = f"expected one of {', '.join(choices)}, got {str(value)[:40]!a}{hint}"
        raise ConfigurationError(f"semver_gates.{attribute.name}: {expected}")

    return check


_ACTION = _one_of(*ACTIONS)


@attrs.frozen
class SemverGate(Composable):
    """Decides by the change type alone: ``auto``, ``review``, ``manual`` or ``skip`` for each.

    Below 1.0.0 a minor step may break everything (SemVer 2.0.0 §4), so it takes the stricter of the
    actions for minor and major; ``zero_major="literal"`` takes that for minor as it stands.
    """

    patch: str = attrs.field(default="auto", validator=_ACTION)
    minor: str = attrs.field(default="review", validator=_ACTION)
    major: str = attrs.field(default="manual", validator=_ACTION)
    prerelease: str = attrs.field(default="skip", validator=_ACTION)
    digest: str = attrs.field(default="review", validator=_ACTION)
    zero_major: str = attrs.field(default="strict", validator=_one_of("strict", "literal"))
    name: str = attrs.field(default="semver", kw_only=True)

    needs: frozenset[str] = attrs.field(default=frozenset(), init=False, repr=False, eq=False)

    @cached_property
    def _decisions(self) -> dict[VersionChangeType, Decision]:
        return {kind: self._rule(kind, kind) for kind in UPGRADES}

    @cached_property
    def _breaking_minor(self) -> Decision:
        rules = (VersionChangeType.MINOR, VersionChangeType.MAJOR)
        strictest = max(rules, key=lambda rule: ACTIONS[self.action(rule)])
        return self._rule(VersionChangeType.MINOR, strictest, " of a 0.x version, which may break,")

    def action(self, change_type: VersionChangeType) -> str:
        """What the policy says about a change type that is an upgrade."""
        return str(getattr(self, change_type.value))

    def _rule(self, kind: VersionChangeType, rule: VersionChangeType, which: str = "") -> Decision:
        action = self.action(rule)
        return says(
            self.name,
            ACTIONS[action],
            f"{kind}_update_{_CODES[action]}",
            f"{_NAMES.get(kind, kind.value.capitalize())} update{which} {_SENTENCES[action]}",
            policy=f"semver_gates.{rule}={action}",
        )

    def __call__(self, candidate: Candidate) -> Decision:
        """The decision for the candidate's change type; a change that is no upgrade is rejected."""
        change = candidate.change
        decision = self._decisions.get(change.change_type)
        if decision is None:
            text = unparsable(change, _ANALYZER)
            return invalid_version(self.name, text) if text else not_an_upgrade(self.name, change)
        if change.change_type is VersionChangeType.MINOR and self.zero_major == "strict":
            is_breaking = _ANALYZER.is_breaking_change(change.current.version_text, change.new.version_text)
            return self._breaking_minor if is_breaking else decision
        return decision


_ANALYZER = SemVerAnalyzer()
