"""The hard gates: what no policy can allow. ``DiffGate`` applies them itself.

They judge the two version texts, never the change type that somebody else wrote into the candidate.
"""

from __future__ import annotations

import attrs

from safeupdater.analysis import SemVerAnalyzer
from safeupdater.analysis.schemes import TagKind, family_difference, read_tag
from safeupdater.domain.artifact import ImageReference
from safeupdater.domain.candidate import Candidate
from safeupdater.domain.change import Change, VersionChangeType
from safeupdater.domain.decision import Decision, Verdict
from safeupdater.errors import ConfigurationError, InvalidVersion
from safeupdater.gates.combinators import Composable
from safeupdater.gates.reasons import printable, says, shown

_ANALYZER = SemVerAnalyzer()


# --- what kind of step it is ------------------------------------------------------------------------------


def classify_change(candidate: Candidate, analyzer: SemVerAnalyzer = _ANALYZER) -> VersionChangeType:
    """The change type by the texts and digests themselves.

    The same tag is ``DIGEST`` where both digests are known and no digest is shared, else ``NO_CHANGE``.

    Raises:
        InvalidVersion: the tags differ and one of them is not a version.
    """
    change = candidate.change
    if _same_name(change):
        return VersionChangeType.DIGEST if _has_other_bits(candidate) else VersionChangeType.NO_CHANGE
    return analyzer.compare_versions(change.current.version_text, change.new.version_text)[1]


def _same_name(change: Change) -> bool:
    current, new = change.current, change.new
    if isinstance(new, ImageReference) and new.tag is None:
        return False
    return type(current) is type(new) and current.version_text == new.version_text


def _has_other_bits(candidate: Candidate) -> bool:
    change = candidate.change
    known = candidate.asset.digests | ({change.current.digest} if change.current.digest else frozenset())
    return bool(known) and change.new.digest is not None and change.new.digest not in known


def unparsable(change: Change, analyzer: SemVerAnalyzer = _ANALYZER) -> str | None:
    """The first of the two version texts that is not a version; None where both are."""
    texts = (change.current.version_text, change.new.version_text)
    return next((text for text in texts if analyzer.parse_version(text) is None), None)


# --- the leaves of the decision tree ----------------------------------------------------------------------


def invalid_version(gate: str, text: str) -> Decision:
    """The rejection of a text that is not a version."""
    message = f"Version analysis failed: {shown(text)} is not a version"
    return says(gate, Verdict.REJECT, "invalid_version", message)


def not_an_upgrade(gate: str, change: Change) -> Decision:
    """The rejection of what is equal or lower."""
    current, new = change.current.version_text, change.new.version_text
    how = "is the version that runs" if current == new else f"is not newer than {shown(current)}"
    return says(gate, Verdict.REJECT, "not_an_upgrade", f"Not an upgrade: {shown(new)} {how}")


@attrs.frozen
class _TwoVersions(Composable):
    """A gate that looks at the two version texts; the same tag with other bits always passes."""

    analyzer: SemVerAnalyzer = attrs.field(factory=SemVerAnalyzer, kw_only=True, repr=False, eq=False)

    needs: frozenset[str] = attrs.field(default=frozenset(), init=False, repr=False, eq=False)


@attrs.frozen
class Parsable(_TwoVersions):
    """Rejects where one of the two texts is not a version: what cannot be compared is not updated."""

    name: str = attrs.field(default="parsable", kw_only=True)

    def __call__(self, candidate: Candidate) -> Decision:
        """Reject with ``invalid_version``, or approve."""
        text = None if _same_name(candidate.change) else unparsable(candidate.change, self.analyzer)
        return invalid_version(self.name, text) if text is not None else _PARSABLE


@attrs.frozen
class NeverDown(_TwoVersions):
    """Rejects what is equal or lower; an equal tag passes only with other bits."""

    name: str = attrs.field(default="never_down", kw_only=True)

    def __call__(self, candidate: Candidate) -> Decision:
        """Reject with ``not_an_upgrade``, or approve."""
        try:
            kind = classify_change(candidate, self.analyzer)
        except InvalidVersion:
            return not_an_upgrade(self.name, candidate.change)
        down = kind in (VersionChangeType.NO_CHANGE, VersionChangeType.UNKNOWN)
        return not_an_upgrade(self.name, candidate.change) if down else _UPGRADE


def _check_family(instance: object, attribute: object, value: str) -> None:
    if value not in ("strict", "loose"):
        raise ConfigurationError(f"family: expected strict or loose, got {value!a}")


@attrs.frozen
class SameFamily(_TwoVersions):
    """Rejects a tag of another family, as choosing among tags does.

    Under ``strict`` prefix, count of numbers and variant suffix must be the same, under ``loose`` only
    the variant and the words of the prefix.
    """

    family: str = attrs.field(default="strict", validator=_check_family)
    name: str = attrs.field(default="same_family", kw_only=True)

    def __call__(self, candidate: Candidate) -> Decision:
        """Reject with ``other_prefix``, ``other_precision``, ``other_variant`` …, or approve."""
        change = candidate.change
        current, new = change.current.version_text, change.new.version_text
        is_same = self.analyzer.same_family(current, new)
        code = None if is_same else _difference(current, new, self.family)
        if code is None:
            return _SAME_FAMILY
        message = f"{shown(new)} is not of the tag family of {shown(current)}"
        return says(self.name, Verdict.REJECT, code, message)


def _difference(current: str, new: str, rule: str) -> str | None:
    ours, theirs = read_tag(current), read_tag(new)
    if isinstance(ours, TagKind) or isinstance(theirs, TagKind):
        return "other_family"  # a tag that says no version is only of a family with itself
    if rule == "loose":
        return family_difference(ours, theirs, "loose")
    return family_difference(ours, theirs) or "other_family"


@attrs.frozen
class SchemeSanity(_TwoVersions):
    """Rejects a leap that only a change of the numbering scheme explains, such as 10.11 → 2021.12.

    ``max_major_step`` is how far the first number may move at most.
    """

    max_major_step: int = 500
    name: str = attrs.field(default="scheme_sanity", kw_only=True)

    def __call__(self, candidate: Candidate) -> Decision:
        """Reject with ``scheme_change``, or approve."""
        change = candidate.change
        current, new = change.current.version_text, change.new.version_text
        if not self.analyzer.is_scheme_change(current, new, self.max_major_step):
            return _SAME_SCHEME
        message = f"{shown(new)} is numbered by another scheme than {shown(current)}"
        return says(self.name, Verdict.REJECT, "scheme_change", message)


@attrs.frozen
class NotQuarantined(Composable):
    """Rejects what failed before and is kept in quarantine, with the reason for it."""

    name: str = attrs.field(default="not_quarantined", kw_only=True)

    needs: frozenset[str] = attrs.field(default=frozenset({"quarantined"}), init=False, repr=False, eq=False)

    def __call__(self, candidate: Candidate) -> Decision:
        """Reject with ``quarantined``, or approve."""
        why = candidate.facts.quarantined
        if why is None:
            return _NO_QUARANTINE
        message = f"In quarantine: {printable(why) or 'it failed before'}"
        return says(self.name, Verdict.REJECT, "quarantined", message)


_PARSABLE = says("parsable", Verdict.APPROVE, "versions_parsed", "Both versions can be compared")
_UPGRADE = says("never_down", Verdict.APPROVE, "is_an_upgrade", "The new version is newer")
_SAME_FAMILY = says("same_family", Verdict.APPROVE, "same_family", "Both tags are of one family")
_SAME_SCHEME = says("scheme_sanity", Verdict.APPROVE, "same_scheme", "Both versions are numbered alike")
_NO_QUARANTINE = says("not_quarantined", Verdict.APPROVE, "not_quarantined", "It is not in quarantine")
