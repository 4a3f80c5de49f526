"""Who else looks after an asset, and what its own labels say."""

from __future__ import annotations

import unicodedata

import attrs

from safeupdater.domain.candidate import Candidate
from safeupdater.domain.decision import Decision, Verdict
from safeupdater.gates.combinators import Composable
from safeupdater.gates.patterns import Patterns, patterns
from safeupdater.gates.reasons import says, shown


@attrs.frozen
class Ownership(Composable):
    """Rejects what another tool manages, by its name: two writers on one workload undo each other.

    ``allow`` lists owners (globs, such as ``helm/*``) that may be overruled. The owner is the fact
    ``owner``, else what the scan saw; an unknown one is rejected.
    """

    allow: Patterns = attrs.field(default=Patterns(()), converter=patterns)
    name: str = attrs.field(default="ownership", kw_only=True)

    needs: frozenset[str] = attrs.field(default=frozenset({"owner"}), init=False, repr=False, eq=False)

    def __call__(self, candidate: Candidate) -> Decision:
        """Reject with ``owned`` or ``owner_unknown``, or approve."""
        fact = candidate.facts.owner
        owner = candidate.asset.owner if fact is None else fact
        if owner is None:
            message = "Nobody knows whether another tool manages this"
            return says(self.name, Verdict.REJECT, "owner_unknown", message)
        if not owner:
            return says(self.name, Verdict.APPROVE, "not_owned", "No other tool manages this")
        if self.allow.match(owner) is not None:
            message = f"It is managed by {shown(owner)}, which the policy allows"
            return says(self.name, Verdict.APPROVE, "owner_allowed", message)
        message = f"It is managed by {shown(owner)}: update it there"
        return says(self.name, Verdict.REJECT, "owned", message)


_ON = frozenset({"true", "1", "yes", "on"})
_OFF = frozenset({"false", "0", "no", "off"})


@attrs.frozen
class Labels(Composable):
    """Rejects what its own label turns off. A label can only restrict: a true one allows nothing more.

    A value that is neither true nor false rejects too, and so does a label whose key only looks like the
    switch: whoever wrote it meant to turn something off.
    """

    switch: str = "safeupdater.enable"
    name: str = attrs.field(default="labels", kw_only=True)

    needs: frozenset[str] = attrs.field(default=frozenset(), init=False, repr=False, eq=False)

    def __call__(self, candidate: Candidate) -> Decision:
        """Reject with ``disabled_by_label`` or ``label_invalid``, or approve."""
        for key, value in candidate.asset.labels.items():
            if (key == self.switch or _looks_like(key, self.switch)) and value.strip().lower() not in _ON:
                return self._restricted(key, value)
        return says(self.name, Verdict.APPROVE, "not_disabled", "No label turns updates off")

    def _restricted(self, key: str, value: str) -> Decision:
        label = f"{shown(key)}={shown(value)}"
        if value.strip().lower() in _OFF:
            message = f"The label {label} turns updates off"
            return says(self.name, Verdict.REJECT, "disabled_by_label", message)
        message = f"The label {label} is neither true nor false"
        return says(self.name, Verdict.REJECT, "label_invalid", message)


def _looks_like(key: str, switch: str) -> bool:
    """Whether a key reads as the switch: other case, spaces, invisible or foreign letters in it."""
    if key.isascii():
        return key.strip().lower() == switch.lower()
    plain = unicodedata.normalize("NFKC", key[:256])
    visible = "".join(letter for letter in plain if unicodedata.category(letter)[0] not in "CZM").casefold()
    return len(visible) == len(switch) and all(
        one == other or not one.isascii() for one, other in zip(visible, switch.lower(), strict=True)
    )
