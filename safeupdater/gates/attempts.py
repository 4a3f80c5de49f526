"""What an update could not do before: targets that do not run, and attempts that were refused."""

from __future__ import annotations

from datetime import datetime, timedelta

import attrs

from safeupdater.domain.asset import AssetStatus, UpdateRecord
from safeupdater.domain.candidate import Candidate
from safeupdater.domain.decision import Decision, Reason, Verdict
from safeupdater.domain.plan import situation_of
from safeupdater.gates.combinators import Composable
from safeupdater.gates.reasons import printable, says
from safeupdater.gates.timing import is_usable, no_time

_FIRST_REST_S = 3600.0
_LONGEST_REST_S = 86_400.0
_OF_THE_MOMENT = frozenset(
    {
        "abort_requested", "interrupted", "not_running",
        "concurrency", "cooldown", "rollback_budget_spent", "breaker_open",
        "store_full", "backend_hangs", "plugin_hangs", "registry_hangs", "unreachable",
        "daemon_absent", "daemon_error", "daemon_timeout", "daemon_unreachable", "registry_failed",
        "disk_full", "registry_denied", "registry_tls", "credential_helper", "bad_credentials_file",
        "permission_denied", "forbidden", "tls_failed",
    }
)  # fmt: skip
"""Ends that say nothing about the next attempt, or that something else decides on anew: what is down now may
be up in a moment, and whoever made room or logged in must not wait for an hour."""
REFUSED_BEFORE = "refused_before"


@attrs.frozen
class Running(Composable):
    """Defers what does not run: its new version could not be verified.

    What a scan found removed passes: where it really is gone, the update finds that out and says so.
    """

    name: str = attrs.field(default="running", kw_only=True)

    needs: frozenset[str] = attrs.field(default=frozenset(), init=False, repr=False, eq=False)

    def __call__(self, candidate: Candidate) -> Decision:
        """Defer with ``not_running``, or approve."""
        asset = candidate.asset
        return _RUNS if asset.running or asset.status is AssetStatus.REMOVED else _STOPPED


_RUNS = says("running", Verdict.APPROVE, "is_running", "It runs")
_STOPPED = says(
    "running",
    Verdict.DEFER,
    "not_running",
    "It does not run, so a new version could not be verified (unrunnable: commit allows it)",
    policy="unrunnable=defer",
)


@attrs.frozen
class BackOff(Composable):
    """Defers what was refused before anything was touched, while nothing has changed that would help.

    An hour after the first refusal it is tried again, after more of the same in a row 2, 4, 8, 16 and at
    most 24 hours later; at once where another version is on offer, where the asset or the policy
    (``policy_hash``) changed, or where a person approved the update after it was refused.
    """

    policy_hash: str = ""
    name: str = attrs.field(default="back_off", kw_only=True)

    needs: frozenset[str] = attrs.field(default=frozenset(), init=False, repr=False, eq=False)

    def __call__(self, candidate: Candidate) -> Decision:
        """Defer with ``refused_before`` or ``no_time``, or approve."""
        refused = self._refusal(candidate)
        if refused is None or _is_wanted_since(candidate, refused):
            return _NOT_REFUSED
        if not is_usable(candidate.now):
            return no_time(self.name)
        until = rests_until(refused)
        # A clock that was wrong then must not keep it waiting for years.
        if candidate.now >= until or refused.finished > candidate.now:
            return _NOT_REFUSED
        times = "" if refused.attempts == 1 else f" {refused.attempts} times"
        message = f"It was refused{times} before, and nothing changed since: {printable(refused.reason)}"
        return Decision.because(
            Reason(code=REFUSED_BEFORE, message=message, verdict=Verdict.DEFER, gate=self.name, until=until)
        )

    def _refusal(self, candidate: Candidate) -> UpdateRecord | None:
        """The attempt at this very change in this very situation that was refused, where nothing else
        happened since."""
        refusals = candidate.asset.refusals
        if not refusals:
            return None
        new = candidate.change.new
        situations = (situation_of(candidate.asset, self.policy_hash), situation_of(candidate.asset, ""))
        for refused in refusals:
            is_it = (refused.to_version, refused.to_digest) == (new.version_text, new.digest)
            if is_it and refused.situation in situations and refused.code not in _OF_THE_MOMENT:
                return refused
        return None


def _is_wanted_since(candidate: Candidate, refused: UpdateRecord) -> bool:
    """Whether somebody who may know that the cause is gone asked for it since."""
    return candidate.consented_at is not None and candidate.consented_at > refused.finished


_NOT_REFUSED = says("back_off", Verdict.APPROVE, "not_refused", "It was not refused before")


def rests_until(refused: UpdateRecord) -> datetime:
    """When an attempt that was refused may be made again."""
    rest_s = min(_LONGEST_REST_S, _FIRST_REST_S * 2.0 ** min(refused.attempts - 1, 10))
    return refused.finished + timedelta(seconds=rest_s)
