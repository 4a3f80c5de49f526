"""Update windows against a search that looks at every minute."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from safeupdater.gates import FreezePeriod, UpdateWindow, Window

ZONES = (
    "UTC",
    "Europe/Lisbon",
    "America/New_York",
    "Australia/Sydney",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",
)
# Days around which clocks change in one of these places, and one ordinary day.
DAYS = ("2025-03-08", "2025-03-29", "2025-04-05", "2025-10-04", "2025-10-25", "2025-11-01", "2025-07-15")

times = st.builds(time, st.integers(0, 23), st.sampled_from((0, 15, 30, 59)))
windows = st.builds(
    Window, st.frozensets(st.integers(0, 6), min_size=4), times, times, st.sampled_from(ZONES)
)
instants = st.builds(
    lambda day, minutes: datetime.fromisoformat(day).replace(tzinfo=UTC) + timedelta(minutes=minutes),
    st.sampled_from(DAYS),
    st.integers(0, 2 * 24 * 60),
)
freezes = st.builds(
    lambda start, days, zone: FreezePeriod(start, start + timedelta(days=days), zone),
    st.sampled_from(DAYS).map(date.fromisoformat),
    st.integers(0, 2),
    st.sampled_from(ZONES),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(windows, min_size=1, max_size=2), st.lists(freezes, max_size=2), instants)
def test_next_open_is_the_first_minute_that_is_open(some, frozen, now):
    window = UpdateWindow(some, frozen)
    found = window.next_open(now)
    minutes = (now + timedelta(minutes=n) for n in range(9 * 24 * 60))
    assert found == next((minute for minute in minutes if window.is_open(minute)), found)
    assert found is not None
    assert window.is_open(found)


@given(windows, instants)
def test_a_window_and_its_complement_share_the_day(window, now):
    # From start to end and from end to start, on every day, cover each instant exactly once.
    every = range(7)
    there = Window(every, window.start, window.end, window.timezone)
    back = Window(every, window.end, window.start, window.timezone)
    is_whole = window.start == window.end
    assert there.is_open(now) + back.is_open(now) == (2 if is_whole else 1)
