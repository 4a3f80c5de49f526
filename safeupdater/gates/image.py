"""What a new image wants to be run as: a new user, volumes, ports, another command."""

from __future__ import annotations

import attrs

from safeupdater.domain.candidate import Candidate
from safeupdater.domain.decision import Decision, Reason, Verdict
from safeupdater.domain.image import GAINS_ROOT, ImageChange
from safeupdater.errors import ConfigurationError
from safeupdater.gates.combinators import Composable
from safeupdater.gates.reasons import says

_MODES = ("show", "review")


def _check_mode(instance: object, attribute: object, value: str) -> None:
    if value not in _MODES:
        raise ConfigurationError(f"image_changes: expected {' or '.join(_MODES)}, got {value!a}")


@attrs.frozen
class ImageChanges(Composable):
    """Says what a new image changes of how it is run, by the fact ``image_changes``.

    ``show`` tells and approves; ``review`` wants a review of any change. That it would run as root where
    its predecessor did not wants approval by hand in both. What is not known yet is deferred.
    """

    mode: str = attrs.field(default="show", validator=_check_mode)
    name: str = attrs.field(default="image_changes", kw_only=True)

    needs: frozenset[str] = attrs.field(
        default=frozenset({"image_changes"}), init=False, repr=False, eq=False
    )

    def __call__(self, candidate: Candidate) -> Decision:
        """A reason for each change, or ``image_unchanged``, or ``image_unknown``."""
        found = candidate.facts.extra.get("image_changes")
        if not isinstance(found, tuple) or not all(isinstance(item, ImageChange) for item in found):
            message = "The configs of the old and the new image could not be compared"
            return says(self.name, Verdict.DEFER, "image_unknown", message, policy=self._policy)
        if not found:
            message = "The new image is run as the old one was"
            return says(self.name, Verdict.APPROVE, "image_unchanged", message, policy=self._policy)
        reasons = tuple(self._reason(change) for change in found)
        return Decision(verdict=max(reason.verdict for reason in reasons), reasons=reasons)

    @property
    def _policy(self) -> str:
        return f"image_changes={self.mode}"

    def _reason(self, change: ImageChange) -> Reason:
        mild = Verdict.REVIEW_REQUIRED if self.mode == "review" else Verdict.APPROVE
        return Reason(
            code=f"image_{change.code}",
            message=change.message,
            verdict=Verdict.MANUAL_APPROVAL if change.code == GAINS_ROOT else mild,
            gate=self.name,
            policy=self._policy,
        )
