"""Laws of the monitoring window, for every rule, window and sequence of samples."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from safeupdater.domain.health import (
    Baseline,
    HealthPolicy,
    Judgement,
    Rule,
    Sample,
    SampleStatus,
    WindowVerdict,
)
from safeupdater.health import Window

STATUSES = st.sampled_from(SampleStatus)
SEQUENCES = st.lists(STATUSES, max_size=150) | st.lists(
    st.sampled_from([SampleStatus.OK] * 8 + [SampleStatus.FAILED, SampleStatus.VOID]), max_size=400
)
POLICIES = st.builds(
    HealthPolicy,
    window_s=st.floats(0.5, 3000.0),
    interval_s=st.floats(0.5, 100.0),
    failure_rate=st.floats(0.0, 0.99),
    rule=st.sampled_from(Rule),
)
BASELINES = st.none() | st.integers(0, 200).flatmap(
    lambda samples: st.builds(Baseline, samples=st.just(samples), failures=st.integers(0, samples))
)


def filled(window: Window, statuses: list[SampleStatus]) -> Window:
    for status in statuses:
        window = window.add(Sample(status, window.next_due_s))
    return window


def judged(window: Window) -> WindowVerdict | None:
    return window.judge(window.began_s if window.last_s is None else window.last_s)


@given(POLICIES, BASELINES, st.floats(0, 1e7), SEQUENCES)
def test_the_same_samples_give_the_same_verdict(
    policy: HealthPolicy, baseline: Baseline | None, began_s: float, statuses: list[SampleStatus]
) -> None:
    once = filled(Window.open(policy, began_s, baseline), statuses)
    again = Window.open(policy, began_s, baseline)
    for status in statuses:
        judged(again)
        again = again.add(Sample(status, again.next_due_s, "some other words"))

    assert once == again
    assert judged(once) == judged(again)


@given(POLICIES, BASELINES, SEQUENCES)
def test_samples_without_a_failure_never_make_unhealthy(
    policy: HealthPolicy, baseline: Baseline | None, statuses: list[SampleStatus]
) -> None:
    window = Window.open(policy, 0.0, baseline)
    for status in statuses:
        window = window.add(Sample(SampleStatus.OK if status is SampleStatus.FAILED else status, 1.0))

    verdict = window.judge(1e9)

    assert verdict is None or verdict.judgement is not Judgement.UNHEALTHY


@given(POLICIES, BASELINES, SEQUENCES, SEQUENCES)
def test_no_later_sample_takes_unhealthy_back(
    policy: HealthPolicy,
    baseline: Baseline | None,
    statuses: list[SampleStatus],
    later: list[SampleStatus],
) -> None:
    window = filled(Window.open(policy, 0.0, baseline), [*statuses, *[SampleStatus.FAILED] * 12])
    before = judged(window)
    after = judged(filled(window, later))

    if before is not None and before.judgement is Judgement.UNHEALTHY:
        assert after is not None
        assert (after.judgement, after.code) == (before.judgement, before.code)


@given(POLICIES, BASELINES, SEQUENCES)
def test_one_more_failure_never_makes_healthy(
    policy: HealthPolicy, baseline: Baseline | None, statuses: list[SampleStatus]
) -> None:
    window = filled(Window.open(policy, 0.0, baseline), statuses)
    now_s = window.next_due_s
    worse = window.add(Sample(SampleStatus.FAILED, now_s))
    before, after = window.judge(now_s), worse.judge(now_s)

    if after is not None and after.judgement is Judgement.HEALTHY and policy.rule is Rule.SEQUENTIAL:
        assert before is not None
        assert before.judgement is Judgement.HEALTHY
    if before is not None and before.judgement is Judgement.UNHEALTHY:
        assert after is not None
        assert after.judgement is Judgement.UNHEALTHY


@given(POLICIES, BASELINES, st.floats(0, 1e7), SEQUENCES, STATUSES)
def test_every_window_ends(
    policy: HealthPolicy,
    baseline: Baseline | None,
    began_s: float,
    statuses: list[SampleStatus],
    then: SampleStatus,
) -> None:
    longest_s = max(3 * policy.window_s, 240 * policy.interval_s)
    window, step = Window.open(policy, began_s, baseline), 0
    while judged(window) is None:
        assert window.last_s is None or window.last_s - began_s <= longest_s + 1e-3
        window = filled(window, [statuses[step] if step < len(statuses) else then])
        step += 1
        assert step < 20_000


@given(POLICIES, BASELINES, SEQUENCES)
def test_nothing_is_committed_on_fewer_than_three_or_half_of_the_due_samples(
    policy: HealthPolicy, baseline: Baseline | None, statuses: list[SampleStatus]
) -> None:
    verdict = judged(filled(Window.open(policy, 0.0, baseline), statuses))

    if verdict is not None and verdict.judgement is Judgement.HEALTHY:
        assert verdict.tally.valid >= 3
        assert 2 * verdict.tally.valid >= verdict.tally.due


@given(POLICIES, BASELINES, SEQUENCES, st.integers(0, 150))
def test_a_void_sample_changes_no_evidence(
    policy: HealthPolicy, baseline: Baseline | None, statuses: list[SampleStatus], at: int
) -> None:
    window = Window.open(policy, 0.0, baseline)
    plain = with_void = window
    for index, status in enumerate(statuses):
        if index == at:
            with_void = with_void.add(Sample(SampleStatus.VOID, 1.0))
        plain, with_void = plain.add(Sample(status, 1.0)), with_void.add(Sample(status, 1.0))

    assert (plain.evidence, plain.fault, plain.ok, plain.failed) == (
        with_void.evidence,
        with_void.fault,
        with_void.ok,
        with_void.failed,
    )
