"""When updates may happen: weekly windows on the wall clock of a place, freezes, and a switch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from functools import cached_property, lru_cache
from zoneinfo import ZoneInfo

import attrs

from safeupdater.domain.candidate import Candidate
from safeupdater.domain.decision import Decision, Reason, Verdict
from safeupdater.errors import ConfigurationError
from safeupdater.gates.combinators import Composable
from safeupdater.gates.reasons import printable, says, shown
from safeupdater.gates.timing import is_usable, no_time

_DAY = timedelta(days=1)
_SECOND = timedelta(seconds=1)
# A clock change can swallow a weekly window once, so two weeks and a day always reach the next one.
_SEARCH_DAYS = 16


@lru_cache(maxsize=128)
def _zone(name: str) -> tzinfo:
    if name == "UTC":
        return UTC  # there even where no time zone database is
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError, TypeError) as error:
        raise ConfigurationError(
            f"timezone: {shown(str(name))} is not a time zone of the IANA database, such as Europe/Lisbon"
        ) from error


def _known_zone(instance: object, attribute: object, name: str) -> None:
    _zone(name)


def _weekdays(days: Iterable[int]) -> frozenset[int]:
    chosen = frozenset(days)
    if not chosen or not chosen <= frozenset(range(7)):
        raise ConfigurationError("days: expected at least one of 0 (Monday) to 6 (Sunday)")
    return chosen


def _naive(instance: object, attribute: attrs.Attribute[time], value: time) -> None:
    if not isinstance(value, time) or value.tzinfo is not None:
        raise ConfigurationError(f"{attribute.name}: expected a time of day without a zone")


@attrs.frozen
class Window:
    """A weekly window: open while the clocks of ``timezone`` show a time from ``start`` until ``end``.

    ``days`` are the days on which it begins, 0 for Monday to 6 for Sunday. Where ``end`` is not after
    ``start`` it ends on the next day, so equal times make whole days. Clock changes need no rule of their
    own: a time that a change skips never comes, and one that it repeats comes twice.
    """

    days: frozenset[int] = attrs.field(converter=_weekdays)
    start: time = attrs.field(validator=_naive)
    end: time = attrs.field(validator=_naive)
    timezone: str = attrs.field(default="UTC", validator=_known_zone)

    @cached_property
    def _tz(self) -> tzinfo:
        return _zone(self.timezone)

    def is_open(self, now: datetime) -> bool:
        """Whether it is open at an instant (aware)."""
        local = now.astimezone(self._tz)
        clock, day = local.time(), local.weekday()
        if self.start < self.end:
            return day in self.days and self.start <= clock < self.end
        return (day in self.days and clock >= self.start) or ((day - 1) % 7 in self.days and clock < self.end)

    def openings(self, since: datetime) -> Iterator[datetime]:
        """The instants in the two weeks after ``since`` at which it may open, in no order.

        It can open when the wall clock shows ``start``, the first time or again, and when a clock change
        puts the hands inside it.
        """
        first = since.astimezone(self._tz).date() - _DAY
        for day in (first + n * _DAY for n in range(_SEARCH_DAYS + 2)):
            if day.weekday() in self.days:
                yield from _instants(day, self.start, self._tz)
        yield from _clock_changes(self._tz, since, _SEARCH_DAYS)


def _instants(day: date, clock: time, tz: tzinfo) -> Iterator[datetime]:
    """The instants at which the wall clock shows a time: one, two where it is repeated.

    A skipped time gives instants at which it shows something else.
    """
    for fold in (0, 1):
        yield datetime.combine(day, clock.replace(fold=fold), tzinfo=tz).astimezone(UTC)


def _clock_changes(tz: tzinfo, since: datetime, days: int) -> Iterator[datetime]:
    """The instants within so many days at which the zone's offset from UTC changes, to the second."""
    if tz is UTC:
        return
    before = since.astimezone(UTC).replace(microsecond=0)
    for _ in range(days):
        after = before + _DAY
        if _offset(tz, before) != _offset(tz, after):
            yield _change_between(tz, before, after)
        before = after


def _change_between(tz: tzinfo, before: datetime, after: datetime) -> datetime:
    old = _offset(tz, before)
    while after - before > _SECOND:
        middle = before + timedelta(seconds=(after - before) // _SECOND // 2)
        before, after = (middle, after) if _offset(tz, middle) == old else (before, middle)
    return after


def _offset(tz: tzinfo, at: datetime) -> timedelta | None:
    return at.astimezone(tz).utcoffset()


@attrs.frozen
class FreezePeriod:
    """No updates from the first day until the end of the last, by the calendar of ``timezone``."""

    start: date
    end: date
    timezone: str = attrs.field(default="UTC", validator=_known_zone)
    reason: str = ""

    @cached_property
    def _tz(self) -> tzinfo:
        return _zone(self.timezone)

    def __attrs_post_init__(self) -> None:
        if isinstance(self.start, datetime) or isinstance(self.end, datetime) or self.end < self.start:
            raise ConfigurationError(f"freeze: expected two dates in order, got {self.start} and {self.end}")

    def covers(self, now: datetime) -> bool:
        """Whether an instant (aware) falls into it."""
        return self.start <= now.astimezone(self._tz).date() <= self.end

    def thaw(self, since: datetime) -> datetime:
        """The first instant from ``since`` on at which it ends.

        Raises:
            OverflowError: it ends with the calendar.
        """
        # Since 1970 no place has jumped over midnight: its clocks show it, or jump from it.
        ends = tuple(_instants(self.end + _DAY, time(), self._tz))
        is_end = [end for end in ends if end > since and self.covers(end - _SECOND) and not self.covers(end)]
        return min(is_end, default=max(ends))


@attrs.frozen(cache_hash=True)
class UpdateWindow(Composable):
    """Defers outside every window and inside every freeze, with the next opening as ``until``.

    Without windows it is always open but for the freezes.
    """

    windows: tuple[Window, ...] = attrs.field(default=(), converter=tuple)
    freezes: tuple[FreezePeriod, ...] = attrs.field(default=(), converter=tuple)
    name: str = attrs.field(default="update_window", kw_only=True)

    needs: frozenset[str] = attrs.field(default=frozenset(), init=False, repr=False, eq=False)

    def is_open(self, now: datetime) -> bool:
        """Whether updates may happen at an instant (aware).

        Raises:
            ValueError: ``now`` is naive, so that it names no instant.
        """
        _require_aware(now)
        if any(freeze.covers(now) for freeze in self.freezes):
            return False
        return not self.windows or any(window.is_open(now) for window in self.windows)

    def next_open(self, now: datetime) -> datetime | None:
        """The first instant from ``now`` on at which it is open, in UTC; None where none is found.

        Exact across clock changes. The search looks two weeks past ``now`` and past the end of each
        freeze, which is enough for any weekly window.

        Raises:
            ValueError: ``now`` is naive, so that it names no instant.
        """
        _require_aware(now)
        since = now.astimezone(UTC)
        try:
            # Each round leaves a freeze behind; twice that, as a clock change may bring its last day back.
            for _ in range(2 * len(self.freezes) + 1):
                opening = self._window_from(since)
                frozen = [freeze for freeze in self.freezes if opening and freeze.covers(opening)]
                if opening is None or not frozen:
                    return opening
                since = max(freeze.thaw(opening) for freeze in frozen)
        except OverflowError:  # the end of the calendar
            pass
        return None

    def _window_from(self, since: datetime) -> datetime | None:
        if not self.windows or any(window.is_open(since) for window in self.windows):
            return since
        openings = (at for window in self.windows for at in window.openings(since) if window.is_open(at))
        return min((at for at in openings if at >= since), default=None)

    def __call__(self, candidate: Candidate) -> Decision:
        """Defer with ``outside_window``, ``frozen`` or ``no_time``, or approve."""
        now = candidate.now
        if not is_usable(now):
            return no_time(self.name)
        if self.is_open(now):
            return says(self.name, Verdict.APPROVE, "window_open", "The update window is open")
        return _closed(self, now)

    def _reason(self, now: datetime) -> Reason:
        freeze = next((freeze for freeze in self.freezes if freeze.covers(now)), None)
        code, message = "outside_window", "It is outside the update window"
        if freeze is not None:
            code, message = "frozen", f"Updates are frozen until the end of {freeze.end}"
            message += f": {printable(freeze.reason)}" if freeze.reason else ""
        return Reason(
            code=code, message=message, verdict=Verdict.DEFER, gate=self.name, until=self.next_open(now)
        )


def _require_aware(now: datetime) -> None:
    # astimezone would take a naive time for one of this machine's own zone.
    if not is_usable(now):
        raise ValueError(f"{now} names no instant: expected a time with a zone")


@lru_cache(maxsize=256)
def _closed(window: UpdateWindow, now: datetime) -> Decision:
    # One plan asks for a whole fleet at one time, and looking for the next opening is the dear part.
    return Decision.because(window._reason(now))


@attrs.frozen
class Freeze(Composable):
    """Defers everything while ``active``, until somebody turns it off: the emergency brake."""

    active: bool = True
    reason: str = ""
    name: str = attrs.field(default="freeze", kw_only=True)

    needs: frozenset[str] = attrs.field(default=frozenset(), init=False, repr=False, eq=False)

    def __call__(self, candidate: Candidate) -> Decision:
        """Defer with ``frozen``, or approve."""
        if not self.active:
            return says(self.name, Verdict.APPROVE, "not_frozen", "Updates are not frozen")
        message = "Updates are frozen" + (f": {printable(self.reason)}" if self.reason else "")
        return says(self.name, Verdict.DEFER, "frozen", message)
