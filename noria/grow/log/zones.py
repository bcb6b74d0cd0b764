"""The calendar that days, weeks, months and years are counted by: a time zone, when weeks and years begin; the same in every engine.

    calendar = local_calendar("Asia/Shanghai", "monday")
    calendar.day(1_709_249_400_000_000)        # 19783, 2024-03-01: 07:30 there, 23:30 the day before in UTC

A zone is a list of steps: from this instant on, so many microseconds are added to UTC. Days are whole numbers of local microseconds,
so that no engine's own table of zones is asked, and days of 23 and 25 hours are counted as the people who live there count them.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import lru_cache
from itertools import pairwise
from typing import Any, Literal

from noria.core.errors import SettingError, unknown
from noria.core.messages import Message, joined, message
from noria.text.times import zone_of

DAY = 86_400_000_000
"""Microseconds of a day."""
WeekStart = Literal["monday", "sunday", "saturday"]
WEEK_SHIFTS: dict[WeekStart, int] = {"monday": 3, "sunday": 4, "saturday": 5}
"""Days from the first day of the week in which 1970 began to its Thursday."""
Fiscal = Literal["", "iso", "4-4-5", "4-5-4", "5-4-4"]
YearWeek = Literal["nearest", "holding"]
Steps = tuple[tuple[int, int], ...]
"""(from this microsecond on, so many microseconds are added), ascending; the first holds for all that is earlier, too."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_YEARS = (1960, 2100)
"""The years whose steps are looked for; what is earlier or later goes on as it was there."""
_STRIDE = 4 * 86_400
"""Seconds: no zone changed its mind twice in four days."""


@dataclass(frozen=True)
class Years:
    """What months, quarters and years are."""

    fiscal: Fiscal = ""
    """"" for the calendar's own months; "iso" for whole weeks, each of the month that has most of its days; else the weeks of the
    three months of a quarter, as retailers count them. The 53rd week of a year is one of its last month."""
    starts: int = 1
    """The month, 1 to 12, in which a year begins."""
    week: YearWeek = "nearest"
    """A year of whole weeks begins with the week nearest to the first of that month, or with the week that holds it."""

    def text(self) -> Message | None:
        """Return what they are where they are not the calendar's."""
        if self.fiscal == "iso":
            return message("log.years.iso")
        if self.fiscal:
            return message(f"log.years.week.{self.week}", weeks=self.fiscal, month=message(f"log.month.{self.starts}"))
        return message("log.years.from", month=message(f"log.month.{self.starts}")) if self.starts != 1 else None


@dataclass(frozen=True)
class LocalCalendar:
    """A time zone by its steps, when weeks begin, and what months and years are."""

    zone: str = "UTC"
    week_starts: WeekStart = "monday"
    steps: Steps = ((0, 0),)
    years: Years = Years()
    days: tuple[int, int] = (0, 47_481)
    """First and last day, since 1970, that are to be counted: to 2099 where not known."""

    def day(self, microseconds: int) -> int:
        """Return the day, counted from 1970, of an instant in microseconds since then."""
        return (microseconds + ahead_of(microseconds, self.steps)) // DAY

    def between(self, first: int, last: int) -> LocalCalendar:
        """Return the same calendar with the steps and days alone that instants from `first` to `last` need."""
        starts = [start for start, _ in self.steps]
        low, high = max(bisect_right(starts, first) - 1, 0), max(bisect_right(starts, last), 1)
        return replace(self, steps=self.steps[low:high], days=(self.day(first), self.day(last) + 1))

    def text(self) -> Message:
        """Return which days are meant, and which weeks and years where they are not those of ISO 8601."""
        days = message("log.days", zone=self.zone)
        if self.week_starts != "monday":
            days = message("log.weeks", days=days, weekday=message(f"log.weekday.{self.week_starts}"))
        years = self.years.text()
        return joined("join.comma", [days, years]) if years else days


UTC_DAYS = LocalCalendar()
"""Days of UTC, weeks that begin on Monday, and years on 1 January."""


def local_calendar(
    zone: str | None = None,
    week_starts: str = "monday",
    fiscal: Fiscal = "",
    year_starts: int = 1,
    year_week: YearWeek = "nearest",
) -> LocalCalendar:
    """Return the calendar of a zone, UTC where none is named; what months and years are is as `Years` has it.

    Raises:
        InputError: no such zone.
        SettingError: weeks begin on no such day, or ISO's months are asked for with other weeks or years than ISO's.
    """
    if fiscal == "iso" and (week_starts, year_starts, year_week) != ("monday", 1, "nearest"):
        raise SettingError(
            message("grow.iso_months"),
            found=f"--week-starts {week_starts} --year-starts {year_starts} --year-week {year_week}",
            allowed="--week-starts monday --year-starts 1",
            hint=message("grow.other_weeks"),
        )
    for known in WEEK_SHIFTS:
        if week_starts == known:
            years = Years(fiscal, year_starts, year_week)
            return LocalCalendar(zone or "UTC", known, steps_of(zone or "UTC"), years)
    raise unknown("first day of the week", week_starts, tuple(WEEK_SHIFTS))


@lru_cache(maxsize=32)
def steps_of(name: str) -> Steps:
    """Return the steps of a zone from 1960 to 2100; those of UTC and of fixed zones are one.

    Raises:
        InputError: there is no such zone.
    """
    zone = zone_of(name)
    fixed = zone.utcoffset(None)  # None where it depends on the time
    if fixed is not None:
        return ((0, int(fixed.total_seconds()) * 1_000_000),)
    first, last = (int((datetime(year, 1, 1, tzinfo=UTC) - _EPOCH).total_seconds()) for year in _YEARS)
    steps = [(first, _ahead(zone, first))]
    for start in range(first, last, _STRIDE):
        until = start + _STRIDE
        if _ahead(zone, until) != steps[-1][1]:
            low, high = start, until
            while high - low > 1:
                middle = (low + high) // 2
                low, high = (middle, high) if _ahead(zone, middle) == steps[-1][1] else (low, middle)
            steps.append((high, _ahead(zone, high)))
    return tuple((start * 1_000_000, ahead * 1_000_000) for start, ahead in steps)


def _ahead(zone: tzinfo, seconds: int) -> int:
    offset = (_EPOCH + timedelta(seconds=seconds)).astimezone(zone).utcoffset()
    return int(offset.total_seconds()) if offset is not None else 0


def ahead_of(microseconds: int, steps: Steps) -> int:
    """Return what is added at an instant."""
    return steps[max(bisect_right([start for start, _ in steps], microseconds) - 1, 0)][1]


def from_wall(steps: Steps) -> Steps:
    """Return the steps that lead from a zone's own clock back to UTC: (from this local microsecond on, so many are added to UTC).

    An hour that comes twice is taken for its first; one that is left out is counted from before (PEP 495, fold 0).
    """
    turned = [steps[0]]
    for (_, before), (start, after) in pairwise(steps):
        turned.append((start + max(before, after), after))
    return tuple(turned)


def added(steps: Steps, below: Callable[[int, Any, Any], Any], value: Callable[[int], Any]) -> Any:
    """Return the expression of what is added, by halves: `below(instant, if earlier, if not)`, `value(microseconds)`."""
    if len(steps) == 1:
        return value(steps[0][1])
    middle = len(steps) // 2
    return below(steps[middle][0], added(steps[:middle], below, value), added(steps[middle:], below, value))


def added_sql(microseconds: str, steps: Steps) -> str:
    """Return the SQL of what is added at an instant, itself SQL of a whole number of microseconds."""
    told: str = added(
        steps, lambda at, early, late: f"CASE WHEN {microseconds} < {at} THEN {early} ELSE {late} END", str
    )
    return told


def day_of(moment: date) -> int:
    """Return a day as a number, counted from 1970."""
    return (moment - date(1970, 1, 1)).days
