"""What is promised of the health rule, on a small simulation with a fixed seed.

The full one: ``python -m tests.simulation.health_profiles --windows 20000``.
"""

from __future__ import annotations

import pytest

from safeupdater.domain.health import HealthPolicy, Judgement, Sample, SampleStatus
from safeupdater.health import Window
from tests.simulation.health_profiles import PROFILES, SIZES, Profile, main, simulate

WINDOWS = 2000
PROMISING = [
    profile
    for profile in PROFILES
    if profile.max_rolled_back is not None or profile.max_committed is not None
]


@pytest.mark.parametrize("profile", PROMISING, ids=lambda profile: profile.name)
def test_the_promise_is_kept_over_2000_windows_of_all_sizes(profile: Profile) -> None:
    rows = [simulate(profile, due, WINDOWS // len(SIZES), seed=7) for due in SIZES]

    rolled_back = sum(row.rolled_back * row.windows for row in rows) / WINDOWS
    committed = sum(row.committed * row.windows for row in rows) / WINDOWS

    assert profile.max_rolled_back is None or rolled_back <= profile.max_rolled_back
    assert profile.max_committed is None or committed <= profile.max_committed


def test_a_version_that_starts_slowly_is_good_once_it_is_watched() -> None:
    """Settling ends with the first good sample; what failed before it never reaches the window."""
    window = Window.open(HealthPolicy(), 250.0)
    for _ in range(30):
        window = window.add(Sample(SampleStatus.OK, window.next_due_s))

    verdict = window.judge(550.0)

    assert verdict is not None
    assert verdict.judgement is Judgement.HEALTHY


def test_the_command_prints_a_table_and_says_when_a_promise_is_broken(
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = ["--windows", "20", "--sizes", "30", "--jobs", "1", "--only", "always fails"]

    assert main(arguments) == 0
    assert "committed ≤ 0.0%: kept" in capsys.readouterr().out
