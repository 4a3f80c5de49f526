"""The monitoring window: when it is judged, how, and that it always ends."""

from __future__ import annotations

import timeit

import pytest

from safeupdater.domain.health import (
    Baseline,
    HealthPolicy,
    Judgement,
    Rule,
    Sample,
    SampleStatus,
    Tally,
    WindowVerdict,
)
from safeupdater.health import Window, baseline_refuses

STATUS = {"o": SampleStatus.OK, "F": SampleStatus.FAILED, "v": SampleStatus.VOID}
DEFAULT = HealthPolicy()
PLAIN = HealthPolicy(rule=Rule.FAILURE_RATE)


def fill(window: Window, samples: str) -> Window:
    """The window with one sample per letter, each taken when it was due."""
    for letter in samples:
        window = window.add(Sample(STATUS[letter], window.next_due_s))
    return window


def watch(
    samples: str, policy: HealthPolicy = DEFAULT, *, baseline: Baseline | None = None, then: str = "o"
) -> tuple[WindowVerdict, float]:
    """The verdict and the seconds until it, judged after every sample; after the letters comes ``then``."""
    window = Window.open(policy, 1000.0, baseline)
    for step in range(2000):
        now_s = window.next_due_s
        letter = samples[step] if step < len(samples) else then
        window = window.add(Sample(STATUS[letter], now_s))
        verdict = window.judge(now_s)
        if verdict is not None:
            return verdict, now_s - 1000.0
    raise AssertionError("the window did not end within 2000 samples")


# --- healthy ----------------------------------------------------------------------------------------------


def test_an_all_good_window_is_healthy_exactly_at_its_end() -> None:
    verdict, after_s = watch("o" * 30)

    assert (verdict.judgement, verdict.code, after_s) == (Judgement.HEALTHY, "window_healthy", 300.0)
    assert verdict.tally == Tally(due=30, ok=30)


def test_a_short_all_good_window_commits() -> None:
    verdict, after_s = watch("o" * 10, HealthPolicy(window_s=10.0, interval_s=1.0))

    assert (verdict.judgement, after_s) == (Judgement.HEALTHY, 10.0)


@pytest.mark.parametrize("began_s", [0.0, 0.1, 12345.678, 3e6 + 1 / 3])
def test_where_the_clock_stands_does_not_shift_the_end(began_s: float) -> None:
    window = fill(Window.open(HealthPolicy(window_s=9.0, interval_s=0.3), began_s), "o" * 30)

    verdict = window.judge(began_s + 9.0)

    assert verdict is not None
    assert verdict.tally == Tally(due=30, ok=30)


def test_good_samples_never_end_a_window_early() -> None:
    window = fill(Window.open(DEFAULT, 0.0), "o" * 29)

    assert window.judge(290.0) is None
    assert window.judge(299.9) is None


def test_a_window_too_short_for_three_samples_goes_on_until_it_has_them() -> None:
    verdict, after_s = watch("", HealthPolicy(window_s=10.0, interval_s=10.0))

    assert (verdict.judgement, after_s, verdict.tally.valid) == (Judgement.HEALTHY, 30.0, 3)


def test_a_window_shorter_than_its_interval_still_ends_well() -> None:
    verdict, _ = watch("", HealthPolicy(window_s=5.0, interval_s=60.0))

    assert (verdict.judgement, verdict.tally.valid) == (Judgement.HEALTHY, 3)


def test_one_failure_among_many_good_ones_is_noise() -> None:
    verdict, after_s = watch("oooooF" + "o" * 54, HealthPolicy(window_s=600.0))

    assert (verdict.judgement, after_s) == (Judgement.HEALTHY, 600.0)
    assert "1 of 60 samples failed (1.7 %)" in verdict.message


def test_one_failure_in_thirty_needs_some_more_good_samples() -> None:
    verdict, after_s = watch("oooooF" + "o" * 24)

    assert verdict.judgement is Judgement.HEALTHY
    assert 300.0 < after_s <= 400.0


def test_a_blip_of_five_is_survived() -> None:
    verdict, _ = watch("o" * 10 + "FFFFF" + "o" * 45, HealthPolicy(window_s=600.0))

    assert verdict.judgement is Judgement.HEALTHY


# --- unhealthy --------------------------------------------------------------------------------------------


def test_a_version_that_always_fails_is_caught_in_seven_probes() -> None:
    verdict, after_s = watch("F" * 30)

    assert (verdict.code, verdict.tally.failed, after_s) == ("sequential_unhealthy", 7, 70.0)


def test_a_version_that_dies_late_is_caught_in_ten_probes() -> None:
    verdict, _ = watch("o" * 200 + "F" * 100, HealthPolicy(window_s=3000.0))

    assert (verdict.judgement, verdict.code) == (Judgement.UNHEALTHY, "late_onset")
    assert verdict.tally.failed == 10


@pytest.mark.parametrize("dead", [1, 2, 3, 4, 5, 6, 7])
def test_a_window_that_ends_in_failures_is_not_committed(dead: int) -> None:
    verdict, _ = watch("o" * (300 - dead), HealthPolicy(window_s=3000.0), then="F")

    assert verdict.judgement is Judgement.UNHEALTHY


@pytest.mark.parametrize("noise", [None, Baseline(samples=120, failures=6)])
def test_a_version_down_in_turns_is_never_committed(noise: Baseline | None) -> None:
    for phase in range(25):
        cycle = ("o" * 20 + "F" * 5)[phase:] + ("o" * 20 + "F" * 5) * 80
        verdict, _ = watch(cycle, HealthPolicy(window_s=600.0), baseline=noise)

        assert verdict.judgement is not Judgement.HEALTHY, phase


@pytest.mark.parametrize("policy", [DEFAULT, PLAIN])
def test_unhealthy_stays_unhealthy_whatever_follows(policy: HealthPolicy) -> None:
    window = fill(Window.open(policy, 0.0), "F" * 7 + "o" * 2000)

    verdict = window.judge(1e6)

    assert verdict is not None
    assert verdict.judgement is Judgement.UNHEALTHY


def test_a_noisy_old_version_buys_the_new_one_some_patience_but_not_much() -> None:
    failing_often = "oooF" * 30

    strict, strict_s = watch(failing_often)
    patient, patient_s = watch(failing_often, baseline=Baseline(samples=40, failures=4))

    assert strict.judgement is patient.judgement is Judgement.UNHEALTHY
    assert strict_s < patient_s


@pytest.mark.parametrize(
    ("baseline", "noise"),
    [
        (None, 0.02),
        (Baseline(samples=0, failures=0), 0.02),
        (Baseline(samples=100, failures=0), 0.02),
        (Baseline(samples=99, failures=3), 0.035),
        (Baseline(samples=3, failures=0), 0.05),
        (Baseline(samples=10, failures=10), 0.05),
    ],
)
def test_the_noise_that_is_forgiven_has_a_floor_and_a_ceiling(
    baseline: Baseline | None, noise: float
) -> None:
    from safeupdater.health.sequential import expected_noise

    assert expected_noise(baseline) == pytest.approx(noise)


# --- no verdict -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", [DEFAULT, PLAIN])
@pytest.mark.parametrize("samples", ["", "oo", "vvvv"])
def test_no_data_never_commits(samples: str, policy: HealthPolicy) -> None:
    verdict, after_s = watch(samples, policy, then="v")

    assert (verdict.judgement, verdict.code) == (Judgement.INCONCLUSIVE, "no_data")
    assert after_s == 900.0


def test_a_window_in_which_nobody_measured_ends_without_a_commit() -> None:
    assert Window.open(DEFAULT, 0.0).judge(300.0) is None

    verdict = Window.open(DEFAULT, 0.0).judge(1e9)

    assert verdict is not None
    assert (verdict.code, verdict.tally) == ("no_data", Tally(due=240))


def test_samples_that_came_before_a_long_pause_do_not_commit() -> None:
    window = fill(Window.open(DEFAULT, 0.0), "o" * 20)

    verdict = window.judge(86_400.0)

    assert verdict is not None
    assert verdict.judgement is Judgement.INCONCLUSIVE


def test_half_of_the_due_samples_are_enough() -> None:
    enough, _ = watch("ov" * 15)
    assert enough.judgement is Judgement.HEALTHY
    assert enough.tally == Tally(due=30, ok=15, void=15)

    _, later_s = watch("ovv" * 10)
    assert later_s > 300.0


def test_void_samples_break_no_run_of_failures() -> None:
    assert watch("FvFvFvFvFvFvFvFv")[0].tally.failed == watch("F" * 8)[0].tally.failed == 7


def test_what_cannot_be_decided_ends_inconclusive_with_its_evidence() -> None:
    verdict, after_s = watch(("o" * 11 + "F") * 40)

    assert (verdict.judgement, verdict.code) == (Judgement.INCONCLUSIVE, "inconclusive")
    assert (verdict.tally.valid, after_s) == (120, 1200.0)
    assert "10 of 120 samples failed (8.3 %)" in verdict.message


# --- the plain rate ---------------------------------------------------------------------------------------


def test_the_plain_rate_fails_strictly_above_its_limit() -> None:
    assert watch("o" * 9 + "F" + "o" * 20, PLAIN)[0].judgement is Judgement.HEALTHY
    assert watch("o" * 9 + "FF", PLAIN)[0].code == "failure_rate_exceeded"


@pytest.mark.parametrize("percent", range(1, 100))
def test_exactly_the_limit_is_never_above_it(percent: int) -> None:
    policy = HealthPolicy(rule=Rule.FAILURE_RATE, failure_rate=percent / 100, window_s=1000.0)

    assert watch("o" * (100 - percent) + "F" * percent, policy)[0].judgement is Judgement.HEALTHY


def test_the_plain_rate_looks_after_each_probe() -> None:
    verdict, after_s = watch("F", PLAIN)

    assert (verdict.code, after_s) == ("failure_rate_exceeded", 10.0)
    assert "1 of 1 samples failed (100.0 %), more than 10 %" in verdict.message


def test_the_plain_rate_does_not_depend_on_how_often_it_is_judged() -> None:
    window = fill(Window.open(PLAIN, 0.0), "F" + "o" * 29)

    verdict = window.judge(300.0)

    assert verdict is not None
    assert verdict.code == "failure_rate_exceeded"


# --- the beat, the counts, the cost -----------------------------------------------------------------------


def test_thirty_samples_are_due_in_the_default_window_the_last_at_its_end() -> None:
    window, due = Window.open(DEFAULT, 7.0), []
    for _ in range(30):
        due.append(window.next_due_s)
        window = window.add(Sample(SampleStatus.OK, window.next_due_s))

    assert due == [7.0 + 10.0 * beat for beat in range(1, 31)]


def test_a_late_sample_does_not_shift_those_after_it() -> None:
    window = Window.open(DEFAULT, 0.0).add(Sample(SampleStatus.OK, 14.5))

    assert window.next_due_s == 20.0


def test_the_next_sample_is_always_later_than_the_last() -> None:
    window = Window.open(HealthPolicy(window_s=100.0, interval_s=0.1), 1e6 + 0.1)
    for _ in range(1000):
        due_s = window.next_due_s
        assert window.last_s is None or due_s > window.last_s + 0.09
        window = window.add(Sample(SampleStatus.OK, due_s))


def test_the_end_of_a_window_is_measured_even_between_two_beats() -> None:
    window = fill(Window.open(HealthPolicy(window_s=25.0), 0.0), "oo")

    assert window.next_due_s == 25.0


def test_the_tally_counts_as_of_the_latest_sample() -> None:
    assert Window.open(DEFAULT, 5.0).tally == Tally()
    assert fill(Window.open(DEFAULT, 5.0), "oFvo").tally == Tally(due=4, ok=2, failed=1, void=1)


def test_a_window_is_a_value() -> None:
    before = Window.open(DEFAULT, 0.0)
    after = fill(before, "oF")

    assert before == Window.open(DEFAULT, 0.0)
    assert after != before
    assert hash(after) == hash(fill(before, "oF"))
    with pytest.raises(AttributeError):
        after.ok = 3  # type: ignore[misc]


def test_the_thousandth_sample_costs_what_the_first_did() -> None:
    sample = Sample(SampleStatus.OK, 10.0)
    fresh = Window.open(DEFAULT, 0.0)
    full = fill(fresh, "oF" * 5000)

    def cost(window: Window) -> float:
        return min(timeit.repeat(lambda: window.add(sample), number=2000, repeat=5))

    assert cost(full) < 3 * cost(fresh)


@pytest.mark.parametrize(
    ("samples", "failures", "refuses"),
    [(0, 0, False), (30, 3, False), (30, 4, True), (1, 1, True), (100, 0, False)],
)
def test_an_old_version_that_fails_above_a_tenth_refuses_the_update(
    samples: int, failures: int, refuses: bool
) -> None:
    assert baseline_refuses(Baseline(samples=samples, failures=failures)) is refuses
