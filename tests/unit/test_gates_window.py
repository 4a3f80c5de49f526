"""Update windows on the wall clock: nights, clock changes, freezes."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta

import pytest

from safeupdater.domain.decision import Verdict
from safeupdater.errors import ConfigurationError
from safeupdater.gates import Freeze, FreezePeriod, UpdateWindow, Window
from safeupdater.testing.gates import make_candidate

EVERY_DAY = range(7)
MON_THU, FRI, SAT, SUN = range(4), 4, 5, 6


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def daily(start: str, end: str, timezone: str, days=EVERY_DAY) -> UpdateWindow:
    return UpdateWindow([Window(days, time.fromisoformat(start), time.fromisoformat(end), timezone)])


# --- plain weeks ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("now", "is_open", "next_open"),
    [
        ("2025-10-20T08:59:59", False, "2025-10-20T09:00"),  # a Monday
        ("2025-10-20T09:00:00", True, "2025-10-20T09:00"),
        ("2025-10-20T15:59:59", True, "2025-10-20T15:59:59"),
        ("2025-10-20T16:00:00", False, "2025-10-21T09:00"),
        ("2025-10-23T16:00:00", False, "2025-10-27T09:00"),  # Thursday evening: the weekend is skipped
        ("2025-10-24T12:00:00", False, "2025-10-27T09:00"),
    ],
)
def test_a_window_is_open_from_its_start_until_its_end_on_its_days(now, is_open, next_open):
    window = daily("09:00", "16:00", "UTC", MON_THU)
    assert window.is_open(utc(now)) is is_open
    assert window.next_open(utc(now)) == utc(next_open)


@pytest.mark.parametrize(
    ("now", "is_open"),
    [
        ("2025-10-24T21:59", False),
        ("2025-10-24T22:00", True),  # Friday evening
        ("2025-10-25T03:59", True),  # and the night after it
        ("2025-10-25T04:00", False),
        ("2025-10-25T22:00", False),  # Saturday evening is no Friday
        ("2025-10-24T03:00", False),  # nor is the night before
    ],
)
def test_a_window_over_midnight_belongs_to_the_day_on_which_it_begins(now, is_open):
    assert daily("22:00", "04:00", "UTC", [FRI]).is_open(utc(now)) is is_open


def test_equal_times_make_whole_days():
    window = daily("00:00", "00:00", "UTC", [SAT])
    assert not window.is_open(utc("2025-10-24T23:59:59"))
    assert window.is_open(utc("2025-10-25T00:00:00"))
    assert window.is_open(utc("2025-10-25T23:59:59"))
    assert not window.is_open(utc("2025-10-26T00:00:00"))


def test_the_week_wraps_from_sunday_to_monday():
    window = daily("23:00", "01:00", "UTC", [SUN])
    assert window.is_open(utc("2025-10-27T00:30"))
    assert window.next_open(utc("2025-10-27T01:00")) == utc("2025-11-02T23:00")


def test_days_are_those_of_the_place_and_not_of_utc():
    # Kathmandu is 5:45 ahead: its Monday begins on Sunday evening.
    window = daily("00:00", "01:00", "Asia/Kathmandu", [0])
    assert window.is_open(utc("2025-10-19T18:15"))
    assert not window.is_open(utc("2025-10-19T18:14:59"))
    assert window.next_open(utc("2025-10-19T19:15")) == utc("2025-10-26T18:15")


def test_the_earliest_of_several_windows_opens_first():
    both = UpdateWindow(
        [Window([SUN], time(3), time(4)), Window([SAT], time(20), time(21), "Asia/Kathmandu")]
    )
    assert both.next_open(utc("2025-10-20T00:00")) == utc("2025-10-25T14:15")


# --- clock changes ----------------------------------------------------------------------------------------

# place, window, from when, the openings that follow in UTC; worked out by hand from the dates on which the
# clocks changed.
CLOCK_CHANGES = [
    # Lisbon: +0 → +1 at 2025-03-30 01:00 UTC, back at 2025-10-26 01:00 UTC.
    ("Europe/Lisbon", "09:00", "10:00", "2025-03-29T12:00", "2025-03-30T08:00"),
    ("Europe/Lisbon", "09:00", "10:00", "2025-10-25T12:00", "2025-10-26T09:00"),
    # 01:30 does not exist on 30 March: the clock jumps from 01:00 to 02:00.
    ("Europe/Lisbon", "01:30", "03:00", "2025-03-30T00:00", "2025-03-30T01:00"),
    ("Europe/Lisbon", "01:15", "01:45", "2025-03-30T00:00", "2025-03-31T00:15"),
    # It comes twice on 26 October.
    ("Europe/Lisbon", "01:30", "01:40", "2025-10-25T23:00", "2025-10-26T00:30"),
    ("Europe/Lisbon", "01:30", "01:40", "2025-10-26T00:40", "2025-10-26T01:30"),
    # Half of the window comes again: it opens by the clock change itself.
    ("Europe/Lisbon", "00:30", "01:30", "2025-10-26T00:30", "2025-10-26T01:00"),
    # New York: -5 → -4 at 2025-03-09 07:00 UTC, back at 2025-11-02 06:00 UTC.
    ("America/New_York", "09:00", "10:00", "2025-03-08T20:00", "2025-03-09T13:00"),
    ("America/New_York", "09:00", "10:00", "2025-11-01T20:00", "2025-11-02T14:00"),
    ("America/New_York", "02:30", "04:00", "2025-03-09T05:00", "2025-03-09T07:00"),
    ("America/New_York", "02:10", "02:50", "2025-03-09T05:00", "2025-03-10T06:10"),
    ("America/New_York", "01:30", "01:45", "2025-11-02T05:45", "2025-11-02T06:30"),
    # Sydney: +11 → +10 at 2025-04-05 16:00 UTC, back at 2025-10-04 16:00 UTC. Spring is in October.
    ("Australia/Sydney", "09:00", "10:00", "2025-04-05T12:00", "2025-04-05T23:00"),
    ("Australia/Sydney", "09:00", "10:00", "2025-10-04T12:00", "2025-10-04T22:00"),
    ("Australia/Sydney", "02:30", "03:30", "2025-10-04T15:00", "2025-10-04T16:00"),
    ("Australia/Sydney", "02:30", "02:45", "2025-04-05T15:45", "2025-04-05T16:30"),
    # Kathmandu never changes its clocks.
    ("Asia/Kathmandu", "09:00", "10:00", "2025-03-30T12:00", "2025-03-31T03:15"),
    ("Asia/Kathmandu", "09:00", "10:00", "2025-10-26T12:00", "2025-10-27T03:15"),
    # In Newfoundland the clocks once went back over midnight, into the day before.
    ("America/St_Johns", "23:30", "23:45", "2010-11-07T02:30:30", "2010-11-07T03:00"),
    # Lord Howe changes by half an hour: +10:30 → +11 at 2025-10-04 15:30 UTC.
    ("Australia/Lord_Howe", "02:10", "03:00", "2025-10-04T15:00", "2025-10-04T15:30"),
]


@pytest.mark.parametrize(("timezone", "start", "end", "now", "next_open"), CLOCK_CHANGES)
def test_windows_follow_the_wall_clock_across_clock_changes(timezone, start, end, now, next_open):
    window = daily(start, end, timezone)
    assert window.next_open(utc(now)) == utc(next_open)
    assert window.is_open(utc(next_open))
    assert not window.is_open(utc(next_open) - timedelta(seconds=1))


def test_a_night_is_an_hour_shorter_in_spring_and_longer_in_autumn():
    night = daily("22:00", "04:00", "Europe/Lisbon")

    def open_minutes(evening: str) -> int:
        return sum(night.is_open(utc(evening) + timedelta(minutes=n)) for n in range(12 * 60))

    assert open_minutes("2025-03-22T18:00") == 6 * 60
    assert open_minutes("2025-03-29T18:00") == 5 * 60
    assert open_minutes("2025-10-25T18:00") == 7 * 60


def test_a_weekly_window_that_a_clock_change_swallows_opens_a_week_later():
    window = daily("01:15", "01:45", "Europe/Lisbon", [SUN])
    assert window.next_open(utc("2025-03-24T00:00")) == utc("2025-04-06T00:15")


def test_a_day_that_a_place_skipped_is_survived():
    # Samoa had no Friday, 30 December 2011.
    window = daily("09:00", "10:00", "Pacific/Apia", [FRI])
    assert window.next_open(utc("2011-12-24T00:00")) == utc("2012-01-05T19:00")


# --- freezes ----------------------------------------------------------------------------------------------


def test_a_freeze_lasts_until_the_end_of_its_last_day_where_it_is_meant():
    freeze = FreezePeriod(date(2025, 12, 20), date(2026, 1, 4), "Europe/Lisbon", "holidays")
    window = UpdateWindow((), [freeze])
    assert window.is_open(utc("2025-12-19T23:59:59"))
    assert not window.is_open(utc("2025-12-20T00:00"))
    assert not window.is_open(utc("2026-01-04T23:59:59"))
    assert window.next_open(utc("2025-12-24T12:00")) == utc("2026-01-05T00:00")


def test_the_first_window_after_all_freezes_is_found():
    freezes = [
        FreezePeriod(date(2025, 12, 1), date(2025, 12, 31)),
        FreezePeriod(date(2025, 12, 20), date(2026, 1, 6), "America/New_York"),
        FreezePeriod(date(2026, 1, 8), date(2026, 1, 31)),
    ]
    window = UpdateWindow([Window([3], time(9), time(10))], freezes)  # Thursdays
    assert window.next_open(utc("2025-12-02T00:00")) == utc("2026-02-05T09:00")


def test_a_clock_change_that_brings_the_last_day_back_brings_its_freeze_back():
    # In Newfoundland the clocks went from 00:01 on 7 November 2010 back to 23:01 on the 6th.
    window = UpdateWindow((), [FreezePeriod(date(2010, 11, 6), date(2010, 11, 6), "America/St_Johns")])
    assert window.is_open(utc("2010-11-07T02:30:30"))
    assert not window.is_open(utc("2010-11-07T02:31:00"))
    assert window.next_open(utc("2010-11-07T02:31:00")) == utc("2010-11-07T03:30:00")


@pytest.mark.parametrize(
    ("timezone", "day", "thaw"),
    [
        ("Europe/Lisbon", date(2025, 3, 30), "2025-03-30T23:00"),
        ("America/Havana", date(2025, 3, 8), "2025-03-09T05:00"),  # midnight was skipped
        ("America/Havana", date(2025, 11, 1), "2025-11-02T04:00"),  # 01:00 went back to 00:00: one midnight
        ("America/Asuncion", date(2024, 3, 23), "2024-03-24T04:00"),  # midnight went back into the last day
        ("Asia/Kathmandu", date(2025, 10, 20), "2025-10-20T18:15"),
        ("America/St_Johns", date(2010, 11, 6), "2010-11-07T02:30"),
    ],
)
def test_a_freeze_ends_at_midnight_even_where_midnight_is_skipped_or_comes_twice(timezone, day, thaw):
    window = UpdateWindow((), [FreezePeriod(day, day, timezone)])
    start = utc(thaw) - timedelta(hours=6)
    assert not window.is_open(start)
    assert window.next_open(start) == utc(thaw)


def test_a_freeze_until_the_end_of_the_calendar_never_opens():
    window = UpdateWindow((), [FreezePeriod(date(2025, 1, 1), date.max)])
    assert window.next_open(utc("2025-10-20T12:00")) is None
    decision = window(make_candidate(now=utc("2025-10-20T12:00")))
    assert (decision.verdict, decision.until) == (Verdict.DEFER, None)


# --- as gates ---------------------------------------------------------------------------------------------


def test_a_closed_window_defers_until_it_opens():
    decision = daily("09:00", "16:00", "UTC", MON_THU)(make_candidate(now=utc("2025-10-24T12:00")))
    assert decision.verdict is Verdict.DEFER
    assert decision.reasons[0].code == "outside_window"
    assert decision.until == utc("2025-10-27T09:00")


def test_a_freeze_period_says_why_and_until_when():
    window = UpdateWindow((), [FreezePeriod(date(2025, 10, 20), date(2025, 10, 21), reason="audit week")])
    decision = window(make_candidate(now=utc("2025-10-20T12:00")))
    assert decision.reasons[0].code == "frozen"
    assert "audit week" in decision.reason
    assert decision.until == utc("2025-10-22T00:00")


def test_without_windows_and_freezes_it_is_always_open():
    assert UpdateWindow()(make_candidate()).verdict is Verdict.APPROVE


@pytest.mark.parametrize("now", [None, datetime(2025, 10, 20, 12)])  # noqa: DTZ001
def test_without_a_time_that_names_an_instant_it_defers(now):
    decision = daily("00:00", "00:00", "UTC")(make_candidate(now=now))
    assert (decision.verdict, decision.reasons[0].code) == (Verdict.DEFER, "no_time")


def test_asking_about_a_naive_time_is_an_error():
    naive = datetime(2025, 10, 20, 12)  # noqa: DTZ001
    window = daily("09:00", "16:00", "UTC")
    for ask in (window.is_open, window.next_open):
        with pytest.raises(ValueError, match="names no instant"):
            ask(naive)


def test_the_freeze_switch_defers_while_it_is_active():
    active, lifted = Freeze(reason="incident 7"), Freeze(active=False)
    decision = active(make_candidate())
    assert (decision.verdict, decision.reasons[0].code, decision.until) == (Verdict.DEFER, "frozen", None)
    assert "incident 7" in decision.reason
    assert lifted(make_candidate()).verdict is Verdict.APPROVE


# --- mistakes ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "timezone", ["", "Lisbon", "europe/nowhere", "../UTC", "/etc/passwd", "UTC\0", "Europe"]
)
def test_an_unknown_time_zone_is_an_error(timezone):
    with pytest.raises(ConfigurationError, match=r"timezone: .* is not a time zone"):
        Window([0], time(9), time(10), timezone)
    with pytest.raises(ConfigurationError, match=r"timezone: .* is not a time zone"):
        FreezePeriod(date(2025, 1, 1), date(2025, 1, 2), timezone)


@pytest.mark.parametrize("days", [[], [7], [-1], [0, 9]])
def test_days_are_those_of_a_week(days):
    with pytest.raises(ConfigurationError, match="days: expected"):
        Window(days, time(9), time(10))


def test_a_time_of_day_with_its_own_zone_is_an_error():
    with pytest.raises(ConfigurationError, match="start: expected a time of day without a zone"):
        Window([0], time(9, tzinfo=UTC), time(10))


def test_a_freeze_that_ends_before_it_begins_is_an_error():
    with pytest.raises(ConfigurationError, match="two dates in order"):
        FreezePeriod(date(2025, 1, 2), date(2025, 1, 1))
