"""One record of every kind and one event of every type, with something of its own in every field."""

from __future__ import annotations

from datetime import timedelta

import attrs

from safeupdater.domain.asset import UpdateRecord
from safeupdater.domain.change import VersionChangeType
from safeupdater.domain.health import Baseline, Tally
from safeupdater.domain.operation import (
    AbortRequested,
    Attempt,
    BecameReady,
    Blame,
    Breaker,
    Event,
    Finished,
    FirstSeen,
    Outcome,
    Phase,
    PreflightPassed,
    Quarantine,
    Resolution,
    Resolved,
    Resumed,
    RollbackRecord,
    SnapshotCaptured,
    StepDone,
    StepFailed,
    StepIntended,
    StepStatus,
    Verdict,
    VerdictReached,
)
from safeupdater.domain.plan import Approval, Option, Plan, UnknownAsset
from safeupdater.domain.sighting import Listing, Served, TagHistory
from safeupdater.testing.store_samples import START, asset, planned, snapshot

EXACTLY = START + timedelta(microseconds=123_456)
"""A time that tells a store that cuts off what it finds too fine."""
_LATER = EXACTLY + timedelta(days=30)
_DIGEST = "sha256:" + "a" * 64
_HISTORY = UpdateRecord(
    operation_id="op-0",
    from_version="1.2.2",
    to_version="1.2.3",
    from_digest="sha256:" + "b" * 64,
    to_digest=_DIGEST,
    change_type=VersionChangeType.PATCH,
    decision="approve",
    outcome="refused",
    reason="no room",
    started=START,
    finished=EXACTLY,
    code="disk_full",
    attempts=3,
    told=EXACTLY,
    situation="crowded",
)


def filled_records() -> dict[str, object]:
    """A record of every kind."""
    update = planned().planned
    option = Option(change=update.changes[0], decision=update.decision, hash="f" * 64)
    return {
        "asset": attrs.evolve(
            asset(),
            host="north",
            namespace="shop",
            current_version="1.2.3-alpine",
            available_version="1.2.4",
            unknown_cause="no_answer",
            digests=frozenset({_DIGEST}),
            platform="linux/arm64",
            running=False,
            owner="swarm",
            last_scan=EXACTLY,
            last_update=_LATER,
            update_history=(_HISTORY,),
        ),
        "approval": Approval(
            update_hash=update.hash,
            target_id=update.target_id,
            changes=update.changes,
            approver="ann",
            at=EXACTLY,
            expires_at=_LATER,
            bulk=True,
            used_by="op-1",
        ),
        "quarantine": Quarantine(
            asset_id="memory://here/web",
            digest=_DIGEST,
            version="1.2.4",
            operation_id="op-1",
            reason="crashes",
            since=EXACTLY,
            until=_LATER,
            lifted_by="ann",
            repository="registry.example/web",
            blame=Blame.RELEASE,
            counted_from=START,
        ),
        "rollback": RollbackRecord(
            operation_id="op-1",
            target_id="memory://here/web",
            at=EXACTLY,
            digests=(_DIGEST,),
            blame=Blame.ENVIRONMENT,
            until=_LATER,
            counted_from=START,
        ),
        "breaker": Breaker(
            attempts=(
                Attempt(operation_id="op-1", started=START, ended=EXACTLY, succeeded=True, went_back=True),
            ),
            opened=EXACTLY,
            proven=_LATER,
            counted_from=START,
        ),
        "plan": Plan(
            updates=(attrs.evolve(update, alternatives=(option,)),),
            current=("memory://here/db",),
            unknown=(UnknownAsset(asset_id="memory://here/x", code="no_tag", message="it has no tag"),),
            created_at=EXACTLY,
        ),
        "snapshot": attrs.evolve(snapshot(password="hunter2"), running=True),  # noqa: S106 - an example
        "first_seen": FirstSeen(reference="a", at=EXACTLY, last=_LATER, counted_from=START),
        "listing": Listing(
            count=3,
            running=("1.0",),
            at=EXACTLY,
            doubted="shrunk",
            doubted_since=_LATER,
            failures=2,
            doubted_count=1,
            doubted_lost=("1.0",),
            failed_at=_LATER,
        ),
        "tag": TagHistory(served=(Served(_DIGEST, EXACTLY), Served("sha256:" + "b" * 64, _LATER))),
        "setting": {"a": [1, 2.5, None, True, "é\n\0"]},
    }


def filled_events() -> tuple[Event, ...]:
    """An event of every type: one operation, which begins and ends."""
    return (
        attrs.evolve(planned(), restores="op-0", can_resume=True),
        PreflightPassed(warnings=("no check",), running=False, baseline=Baseline(samples=9, failures=2)),
        SnapshotCaptured(sha256="c" * 64, running=True),
        StepIntended(phase=Phase.SWITCHING, step="swap"),
        StepFailed(
            phase=Phase.SWITCHING,
            step="swap",
            status=StepStatus.RETRY,
            code="busy",
            message="it is busy",
            unanswered=True,
        ),
        StepDone(phase=Phase.SWITCHING, step="swap", detail="web-2"),
        BecameReady(identity="web-2", evidence="running"),
        Resumed(by="north:1", epoch=7, proved=True),
        AbortRequested(by="ann", reason="not today"),
        VerdictReached(
            verdict=Verdict.HOLD,
            code="void",
            message="nothing could be measured",
            blame=Blame.ENVIRONMENT,
            tally=Tally(due=9, ok=4, failed=3, void=2),
        ),
        Resolved(resolution=Resolution.RESTORE, by="ann", reason="to be sure"),
        Finished(
            outcome=Outcome.ROLLED_BACK, code="by_hand", message="ann wanted it", leftovers=("image web:2",)
        ),
    )
