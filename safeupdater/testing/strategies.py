"""Hypothesis strategies for the values of safeupdater: any event, any record, any plan.

from hypothesis import given
from safeupdater.testing import strategies as su

@given(su.events())
def test_my_observer_takes_every_event(event): ...
"""

from __future__ import annotations

import string
from datetime import UTC, datetime
from typing import Any

from hypothesis import strategies as st

from safeupdater.domain.artifact import Artifact, ChartReference, ImageReference
from safeupdater.domain.asset import Asset, AssetStatus, AssetType, UpdateRecord
from safeupdater.domain.change import Change, VersionChangeType
from safeupdater.domain.decision import Decision, Reason
from safeupdater.domain.decision import Verdict as GateVerdict
from safeupdater.domain.health import Baseline, HealthPolicy, ProbeSpec, Rule, Tally
from safeupdater.domain.operation import (
    AbortRequested,
    Attempt,
    BecameReady,
    Blame,
    Breaker,
    Event,
    Finished,
    FirstSeen,
    Hook,
    HookPoint,
    OnInconclusive,
    OperationPlanned,
    OperationSettings,
    Outcome,
    Phase,
    PreflightPassed,
    Quarantine,
    Resolution,
    Resolved,
    Resumed,
    RollbackPolicy,
    RollbackRecord,
    Snapshot,
    SnapshotCaptured,
    StepDone,
    StepFailed,
    StepIntended,
    Steps,
    StepStatus,
    Unrunnable,
    Verdict,
    VerdictReached,
)
from safeupdater.domain.plan import Approval, Option, Plan, PlannedUpdate, UnknownAsset
from safeupdater.domain.sighting import Listing, Served, TagHistory

__all__ = [
    "approvals",
    "artifacts",
    "assets",
    "breakers",
    "changes",
    "decisions",
    "events",
    "first_seens",
    "images",
    "json_values",
    "later_events",
    "listings",
    "operation_planned",
    "planned_updates",
    "plans",
    "quarantines",
    "records",
    "rollback_records",
    "settings_values",
    "snapshots",
    "tag_histories",
    "times",
]

_LOWER = string.ascii_lowercase + string.digits
_texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
_names = st.text(_LOWER, min_size=1, max_size=8)
_tags = st.text(string.ascii_letters + string.digits + "_", min_size=1, max_size=10)
_digests = st.text("0123456789abcdef", min_size=64, max_size=64).map("sha256:".__add__)
_counts = st.integers(0, 10_000)
_shares = st.floats(0, 0.99)
_durations = st.floats(0.001, 86_400)


def times() -> st.SearchStrategy[datetime]:
    """Aware instants in UTC, to the microsecond."""
    earliest, latest = datetime(1990, 1, 1), datetime(2090, 1, 1)  # noqa: DTZ001 - the zone comes below
    return st.datetimes(earliest, latest, timezones=st.just(UTC))


def json_values() -> st.SearchStrategy[Any]:
    """Values with an exact JSON form."""
    leaves = (
        st.none()
        | st.booleans()
        | st.integers(-(2**63), 2**63 - 1)
        | st.floats(allow_nan=False, allow_infinity=False)
        | _texts
    )
    return st.recursive(
        leaves,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_texts, inner, max_size=3),
        max_leaves=6,
    )


def _objects() -> st.SearchStrategy[dict[str, Any]]:
    return st.dictionaries(_texts, json_values(), max_size=3)


def images() -> st.SearchStrategy[ImageReference]:
    """Image references of every shape: with and without tag, digest and registry port."""
    return st.builds(
        ImageReference,
        registry=st.sampled_from(["docker.io", "ghcr.io", "localhost:5000", "[::1]:5000", "registry"]),
        repository=st.lists(_names, min_size=1, max_size=3).map("/".join),
        tag=st.none() | _tags,
        digest=st.none() | _digests,
    )


def artifacts() -> st.SearchStrategy[Artifact]:
    """Images and charts."""
    charts = st.builds(
        ChartReference,
        name=_names,
        version=st.from_regex(r"[0-9]\.[0-9]\.[0-9]", fullmatch=True),
        repository=st.none() | st.sampled_from(["https://charts.example", "oci://registry.example/charts"]),
        digest=st.none() | _digests,
    )
    return images() | charts


_change_types = st.sampled_from(VersionChangeType)
_asset_ids = st.builds("memory://{}/{}".format, st.sampled_from(["here", "there"]), _names) | st.builds(
    "k8s://prod/{}/deployment/{}/{}".format, _names, _names, _names
)


def changes() -> st.SearchStrategy[Change]:
    """Changes of one asset."""
    return st.builds(
        Change, asset_id=_asset_ids, current=artifacts(), new=artifacts(), change_type=_change_types
    )


def decisions() -> st.SearchStrategy[Decision]:
    """Decisions with up to three reasons."""
    reasons = st.builds(
        Reason,
        code=_names,
        message=_texts,
        verdict=st.sampled_from(GateVerdict),
        gate=_texts,
        policy=_texts,
        until=st.none() | times(),
        fatal=st.booleans(),
    )
    return st.builds(
        Decision,
        verdict=st.sampled_from(GateVerdict),
        reasons=st.lists(reasons, max_size=3).map(tuple),
        change_type=_change_types,
    )


def planned_updates(target_id: st.SearchStrategy[str] = _asset_ids) -> st.SearchStrategy[PlannedUpdate]:
    """Planned updates with one or two changes and their alternatives."""
    options = st.builds(Option, change=changes(), decision=decisions(), hash=_names)
    return st.builds(
        PlannedUpdate,
        target_id=target_id,
        changes=st.lists(changes(), min_size=1, max_size=2).map(tuple),
        decision=decisions(),
        policy_hash=_names,
        alternatives=st.lists(options, max_size=1).map(tuple),
    )


def plans() -> st.SearchStrategy[Plan]:
    """Plans with up to two updates."""
    unknown = st.builds(UnknownAsset, asset_id=_asset_ids, code=_names, message=_texts)
    return st.builds(
        Plan,
        updates=st.lists(planned_updates(), max_size=2).map(tuple),
        current=st.lists(_asset_ids, max_size=2).map(tuple),
        unknown=st.lists(unknown, max_size=2).map(tuple),
        created_at=st.none() | times(),
    )


# --- records ----------------------------------------------------------------------------------------------


def assets() -> st.SearchStrategy[Asset]:
    """Assets in any status, with up to two entries of history."""
    history = st.builds(
        UpdateRecord,
        operation_id=_names,
        from_version=_tags,
        to_version=_tags,
        from_digest=st.none() | _digests,
        to_digest=st.none() | _digests,
        change_type=_change_types,
        decision=_names,
        outcome=_names,
        reason=_texts,
        started=times(),
        finished=times(),
        code=_names,
        attempts=st.integers(1, 9),
        told=st.none() | times(),
        situation=_names,
    )
    return st.builds(
        Asset,
        id=_asset_ids,
        name=_names,
        asset_type=st.sampled_from(AssetType),
        image=artifacts(),
        host=_names,
        namespace=st.none() | _names,
        current_version=_tags,
        available_version=st.none() | _tags,
        unknown_cause=st.none() | _texts,
        digests=st.frozensets(_digests, max_size=2),
        platform=st.none() | st.just("linux/amd64"),
        running=st.booleans(),
        owner=st.none() | _texts,
        status=st.sampled_from(AssetStatus),
        last_scan=st.none() | times(),
        last_update=st.none() | times(),
        metadata=_objects(),
        labels=st.dictionaries(_texts, _texts, max_size=2),
        update_history=st.lists(history, max_size=2).map(tuple),
    )


def approvals() -> st.SearchStrategy[Approval]:
    """Approvals, used and unused."""
    return st.builds(
        Approval,
        update_hash=_names,
        target_id=_asset_ids,
        changes=st.lists(changes(), max_size=2).map(tuple),
        approver=_texts,
        at=times(),
        expires_at=times(),
        bulk=st.booleans(),
        used_by=st.none() | _names,
    )


def quarantines() -> st.SearchStrategy[Quarantine]:
    """Quarantines, active and lifted."""
    return st.builds(
        Quarantine,
        asset_id=_asset_ids,
        digest=_digests,
        version=_tags,
        operation_id=_names,
        reason=_texts,
        since=times(),
        until=st.none() | times(),
        lifted_by=st.none() | _texts,
        repository=st.just("") | images().map(lambda image: image.name),
        blame=st.sampled_from(Blame),
        counted_from=st.none() | times(),
    )


def rollback_records() -> st.SearchStrategy[RollbackRecord]:
    """Rollbacks as they are remembered."""
    return st.builds(
        RollbackRecord,
        operation_id=_names,
        target_id=_asset_ids,
        at=times(),
        digests=st.lists(_digests, max_size=2).map(tuple),
        blame=st.sampled_from(Blame),
        until=st.none() | times(),
        counted_from=st.none() | times(),
    )


def breakers() -> st.SearchStrategy[Breaker]:
    """Breakers, open and closed."""
    attempts = st.builds(
        Attempt,
        operation_id=_names,
        started=times(),
        ended=times(),
        succeeded=st.booleans(),
        went_back=st.booleans(),
    )
    maybe = st.none() | times()
    kept = st.lists(attempts, max_size=3).map(tuple)
    return st.builds(Breaker, attempts=kept, opened=maybe, proven=maybe, counted_from=maybe)


def snapshots() -> st.SearchStrategy[Snapshot]:
    """Snapshots of any content."""
    return st.builds(
        Snapshot, operation_id=_names, target_id=_asset_ids, format=_names, taken_at=times(), data=_objects()
    )


def first_seens() -> st.SearchStrategy[FirstSeen]:
    """When a reference was first seen."""
    maybe = st.none() | times()
    return st.builds(FirstSeen, reference=images().map(str), at=times(), last=maybe, counted_from=maybe)


def listings() -> st.SearchStrategy[Listing]:
    """What repositories listed."""
    return st.builds(
        Listing, count=st.integers(0, 10_000), running=st.lists(_names, max_size=3).map(tuple), at=times(),
        doubted=_names, doubted_since=st.none() | times(), failures=st.integers(0, 5),
        doubted_count=st.integers(0, 10_000), doubted_lost=st.lists(_names, max_size=3).map(tuple),
        failed_at=st.none() | times(),
    )  # fmt: skip


def tag_histories() -> st.SearchStrategy[TagHistory]:
    """What tags served."""
    served = st.builds(Served, _names, times())
    return st.builds(TagHistory, served=st.lists(served, max_size=3).map(tuple))


def records() -> st.SearchStrategy[tuple[str, object]]:
    """Any record as (kind, value)."""
    by_kind: dict[str, st.SearchStrategy[Any]] = {
        "asset": assets(),
        "approval": approvals(),
        "quarantine": quarantines(),
        "rollback": rollback_records(),
        "breaker": breakers(),
        "plan": plans(),
        "snapshot": snapshots(),
        "first_seen": first_seens(),
        "listing": listings(),
        "tag": tag_histories(),
        "setting": json_values(),
    }
    return st.one_of([st.tuples(st.just(kind), values) for kind, values in by_kind.items()])


# --- events -----------------------------------------------------------------------------------------------


def settings_values() -> st.SearchStrategy[OperationSettings]:
    """Settings of operations."""
    health = st.builds(
        HealthPolicy,
        ready_timeout_s=_durations,
        window_s=_durations,
        interval_s=_durations,
        failure_rate=_shares,
        rule=st.sampled_from(Rule),
        checks=st.lists(st.builds(ProbeSpec, type=_names, options=_objects()), max_size=2).map(tuple),
        check_timeout_s=_durations,
    )
    rollback = st.builds(
        RollbackPolicy,
        cooldown_s=_durations,
        max_per_day=_counts,
        on_inconclusive=st.sampled_from(OnInconclusive),
        keep_previous=_counts,
        retain_s=_durations,
        quarantine_s=st.none() | _durations,
    )
    hooks = st.builds(
        Hook,
        name=_names,
        point=st.sampled_from(HookPoint),
        argv=st.lists(_texts, max_size=2).map(tuple),
        in_container=st.booleans(),
        timeout_s=_durations,
    )
    return st.builds(
        OperationSettings,
        health=health,
        rollback=rollback,
        hooks=st.lists(hooks, max_size=1).map(tuple),
        unrunnable=st.sampled_from(Unrunnable),
        stop_timeout_s=_durations,
        policy=_objects(),
    )


def operation_planned(
    operation_id: st.SearchStrategy[str] = _names, target_id: st.SearchStrategy[str] = _asset_ids
) -> st.SearchStrategy[OperationPlanned]:
    """First events of operations."""
    names = st.lists(_names, max_size=2).map(tuple)
    steps = st.builds(
        Steps,
        staging=names,
        switching=names,
        committing=names,
        restoring=names,
        discarding=names,
        resuming=names,
    )
    return st.builds(
        OperationPlanned,
        operation_id=operation_id,
        target_id=target_id,
        planned=planned_updates(),
        settings=settings_values(),
        steps=steps,
        restores=st.none() | _names,
        can_resume=st.booleans(),
    )


def later_events(outcomes: st.SearchStrategy[Outcome] | None = None) -> st.SearchStrategy[Event]:
    """Every event that can follow the first one; ``Finished`` with these outcomes only."""
    phases = st.sampled_from(Phase)
    tallies = st.builds(Tally, due=_counts, ok=_counts, failed=_counts, void=_counts)
    baselines = st.builds(Baseline, samples=_counts, failures=_counts)
    texts = st.lists(_texts, max_size=2).map(tuple)
    return st.one_of(
        st.builds(PreflightPassed, warnings=texts, running=st.booleans(), baseline=st.none() | baselines),
        st.builds(SnapshotCaptured, sha256=_names, running=st.none() | st.booleans()),
        st.builds(StepIntended, phase=phases, step=_names),
        st.builds(StepDone, phase=phases, step=_names, detail=_texts),
        st.builds(
            StepFailed,
            phase=phases,
            step=_names,
            status=st.sampled_from(StepStatus),
            code=_names,
            message=_texts,
        ),
        st.builds(BecameReady, identity=_names, evidence=_texts),
        st.builds(
            VerdictReached,
            verdict=st.sampled_from(Verdict),
            code=_names,
            message=_texts,
            blame=st.sampled_from(Blame),
            tally=tallies,
        ),
        st.builds(AbortRequested, by=_texts, reason=_texts),
        st.builds(Resumed, by=_texts, epoch=_counts, proved=st.booleans()),
        st.builds(Resolved, resolution=st.sampled_from(Resolution), by=_texts, reason=_texts),
        st.builds(
            Finished,
            outcome=st.sampled_from(Outcome) if outcomes is None else outcomes,
            code=_names,
            message=_texts,
            leftovers=texts,
        ),
    )


def events() -> st.SearchStrategy[Event]:
    """Any event of a journal."""
    return operation_planned() | later_events()
