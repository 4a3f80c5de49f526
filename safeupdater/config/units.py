"""How durations, shares, times of day and dates are written: text to value and back, one canonical form."""

from __future__ import annotations

import math
import re
from datetime import date, time
from decimal import Decimal

_UNITS = {"w": 604_800, "d": 86_400, "h": 3_600, "m": 60, "s": 1}
_PART = r"[0-9]{1,9}(?:\.[0-9]{1,3})?"
DURATION = "".join(f"(?:{_PART}{unit})?" for unit in _UNITS)
_DURATION = re.compile("".join(f"(?:({_PART}){unit})?" for unit in _UNITS))
SHARE = r"[0-9]{1,3}(?:\.[0-9]{1,4})?%"
CLOCK = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]"
DAY = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def parse_duration(value: object) -> float:
    """Seconds from ``3d``, ``1h30m``, ``300s`` or a bare number of seconds.

    Raises:
        ValueError: it is none of these.
    """
    if isinstance(value, str):
        match = _DURATION.fullmatch(value)
        if match is None or not value:
            raise ValueError(value)
        parts = zip(match.groups(), _UNITS.values(), strict=True)
        return float(sum(Decimal(number) * unit for number, unit in parts if number))
    return _finite(value)


def format_duration(seconds: float) -> str:
    """The canonical text of a duration, to the millisecond and without weeks: ``3d``, ``1h30m``, ``0.5s``."""
    rest = round(seconds * 1000)
    text = ""
    for unit in ("d", "h", "m"):
        count, rest = divmod(rest, _UNITS[unit] * 1000)
        text += f"{count}{unit}" if count else ""
    whole, milliseconds = divmod(rest, 1000)
    fraction = f".{milliseconds:03d}".rstrip("0") if milliseconds else ""
    return text + (f"{whole}{fraction}s" if rest or not text else "")


def parse_share(value: object) -> float:
    """A share from ``10%`` or ``0.1``.

    Raises:
        ValueError: it is neither.
    """
    if isinstance(value, str):
        if re.fullmatch(SHARE, value) is None:
            raise ValueError(value)
        return float(Decimal(value[:-1]) / 100)
    return _finite(value)


def parse_clock(value: object) -> time:
    """A time of day from ``HH:MM``.

    Raises:
        ValueError: it is not of that form.
    """
    if not isinstance(value, str) or re.fullmatch(CLOCK, value) is None:
        raise ValueError(value)
    return time(int(value[:2]), int(value[3:]))


def format_clock(value: time) -> str:
    """``HH:MM``."""
    return f"{value.hour:02d}:{value.minute:02d}"


def parse_day(value: object) -> date:
    """A date from ``YYYY-MM-DD``.

    Raises:
        ValueError: it is not of that form, or there is no such day.
    """
    if isinstance(value, date):
        return value
    if not isinstance(value, str) or re.fullmatch(DAY, value) is None:
        raise ValueError(value)
    return date.fromisoformat(value)


def parse_weekdays(text: str) -> frozenset[int]:
    """Days (0 is Monday) from ``daily``, ``sat`` or ``mon-thu``; ``fri-mon`` goes over the weekend.

    Raises:
        ValueError: it is none of these.
    """
    if text == "daily":
        return frozenset(range(7))
    first, dash, last = text.partition("-")
    begin, end = WEEKDAYS.index(first), WEEKDAYS.index(last if dash else first)
    return frozenset((begin + offset) % 7 for offset in range((end - begin) % 7 + 1))


def format_weekdays(days: frozenset[int]) -> str:
    """``daily``, ``mon-thu`` where the days follow one another, else ``mon, wed``."""
    ordered = sorted(days)
    if len(ordered) == 7:
        return "daily"
    if len(ordered) > 2 and ordered[-1] - ordered[0] == len(ordered) - 1:
        return f"{WEEKDAYS[ordered[0]]}-{WEEKDAYS[ordered[-1]]}"
    return ", ".join(WEEKDAYS[day] for day in ordered)


def _finite(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(value)
    if isinstance(value, int) and abs(value) > 10**15:
        raise ValueError("too large")
    if not math.isfinite(value):
        raise ValueError(value)
    return float(value)
