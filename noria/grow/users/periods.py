"""Days, weeks, months, quarters and years, and each user's active ones: made once a log, and what every count of users reads.

    steps = user_periods(log, "week")     # user, period, before, after, first: the active week before and after, and the first
    name_of_period(2966, "week", log.calendar)      # '2026-W45'

Weeks, months and years are those of the log's calendar. Periods are numbered from 1970, one after the other. A period that is not there
is `NEVER` or `AFTER`, and no NULL: an engine that has no NULL in a window (ClickHouse) then gives the same counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from itertools import accumulate
from typing import Any, Literal

import ibis

from noria.core.errors import SettingError
from noria.core.messages import message
from noria.grow.log.log import Log
from noria.grow.log.user_days import keep, numbered_acts, user_days
from noria.grow.log.zones import UTC_DAYS, WEEK_SHIFTS, LocalCalendar, added, day_of

Period = Literal["day", "week", "month", "quarter", "year"]
PERIODS: tuple[Period, ...] = ("day", "week", "month", "quarter", "year")
LONGER: dict[Period, Period] = {"day": "month", "week": "month", "month": "week", "quarter": "year", "year": "quarter"}
"""The period that a log is accounted by beside the one asked for."""
NEVER, AFTER = -1_000_000, 1_000_000
_MONTHS = {"month": 1, "quarter": 3, "year": 12}


def number_of(day: date, unit: Period, calendar: LocalCalendar = UTC_DAYS) -> int:
    """Return the number of the period that a day falls in."""
    if unit == "day":
        return day_of(day)
    if unit == "week":
        return _week(day, calendar)
    month = _month(day, calendar)
    return month if unit == "month" else (month - calendar.years.starts + 1) // _MONTHS[unit]


def first_day(number: int, unit: Period, calendar: LocalCalendar = UTC_DAYS) -> date:
    """Return the first day of a period."""
    if unit == "day":
        return date(1970, 1, 1) + timedelta(days=number)
    if unit == "week":
        return date(1970, 1, 1) + timedelta(days=7 * number - WEEK_SHIFTS[calendar.week_starts])
    lead = calendar.years.starts - 1
    month = number if unit == "month" else number * _MONTHS[unit] + lead
    if not calendar.years.fiscal:
        return _first_of(month)
    if calendar.years.fiscal == "iso":
        return first_day(_week_of_month(month, calendar), "week", calendar)
    year, place = divmod(month - lead, 12)
    return first_day(_week_of_month(12 * year + lead, calendar) + _ENDS[calendar.years.fiscal][place], "week", calendar)


def name_of_period(number: int, unit: Period, calendar: LocalCalendar = UTC_DAYS) -> str:
    """Return what a period is called: 2026-W05 of ISO's weeks, 2026-Q1, FY2025/26 P03; its first day where it has no name.

    A fiscal year that lies in two of the calendar's is told by both, as some call it by the first and some by the last.
    """
    first, years = first_day(number, unit, calendar), calendar.years
    own = bool(years.fiscal and years.fiscal != "iso")
    if unit == "day" or (unit == "week" and not own and calendar.week_starts != "monday"):
        return first.isoformat()
    if unit == "week" and not own:
        year, week, _ = first.isocalendar()
        return f"{year}-W{week:02d}"
    if unit == "month" and not own:
        month = _first_of(number)
        return f"{month:%Y}-M{month:%m}" if years.fiscal else f"{month:%Y-%m}"
    fiscal = own or years.starts != 1
    index = number_of(first, "year", calendar)
    told = f"FY{1970 + index}" if fiscal else f"{1970 + index}"
    if years.starts != 1:
        told += f"/{(1971 + index) % 100:02d}"
    if unit == "year":
        return told
    within = number - number_of(first_day(index, "year", calendar), unit, calendar) + 1
    part = f"Q{within}" if unit == "quarter" else f"P{within:02d}" if unit == "month" else f"W{within:02d}"
    return f"{told}{' ' if fiscal else '-'}{part}"


def series_time(number: int, unit: Period, calendar: LocalCalendar = UTC_DAYS) -> str:
    """Return the time of a series that a period is: a day, or the month of the calendar which it, or its first month, stands for.

    Months of 28 and 35 days then follow one another as months do.
    """
    if unit not in _MONTHS:
        return first_day(number, unit, calendar).isoformat()
    lead = calendar.years.starts - 1
    month = _first_of(number if unit == "month" else number * _MONTHS[unit] + lead)
    return f"{month:%Y}" if unit == "year" and not lead else f"{month:%Y-%m}"


def has_names(unit: Period, calendar: LocalCalendar = UTC_DAYS) -> bool:
    """Return whether periods have names that tell more than their first day."""
    if unit == "week":
        return calendar.week_starts == "monday" or bool(calendar.years.fiscal)
    return unit in ("quarter", "year") or (unit == "month" and bool(calendar.years.fiscal))


def last_whole(log: Log, unit: Period) -> int:
    """Return the number of the last period that the log covers to its end."""
    return number_of(log.as_of + timedelta(days=1), unit, log.calendar) - 1


def check_period(unit: str) -> Period:
    """Return `unit` if it is a period.

    Raises:
        SettingError: it is not.
    """
    for known in PERIODS:
        if unit == known:
            return known
    raise SettingError(message("grow.unknown_period"), found=unit, allowed=PERIODS)


_ENDS = {
    months: tuple(accumulate((int(weeks) for weeks in months.split("-") * 4), initial=0))[:12]
    for months in ("4-4-5", "4-5-4", "5-4-4")
}
"""Weeks of a year before each of its months."""


def _week(day: date, calendar: LocalCalendar) -> int:
    return (day_of(day) + WEEK_SHIFTS[calendar.week_starts]) // 7


def _first_of(month: int) -> date:
    return date(1970 + month // 12, month % 12 + 1, 1)


def _week_of_month(month: int, calendar: LocalCalendar) -> int:
    """Return the week with which a year, or a month of ISO's weeks, begins: the one that holds the first, or is nearest to it."""
    nearest = calendar.years.week == "nearest"  # a week that begins three days before or after the first is the nearest
    return _week(_first_of(month) + timedelta(days=3 if nearest else 0), calendar)


def _month(day: date, calendar: LocalCalendar) -> int:
    """Return the number of the month that a day falls in: that of the calendar which it stands for, from January 1970."""
    plain = (day.year - 1970) * 12 + day.month - 1
    if not calendar.years.fiscal:
        return plain
    week, lead = _week(day, calendar), calendar.years.starts - 1
    if calendar.years.fiscal == "iso":
        return next(month for month in (plain + 1, plain, plain - 1) if _week_of_month(month, calendar) <= week)
    year = (plain - lead) // 12 + 1
    while _week_of_month(12 * year + lead, calendar) > week:
        year -= 1
    at = week - _week_of_month(12 * year + lead, calendar)
    return 12 * year + lead + sum(begun <= at for begun in _ENDS[calendar.years.fiscal]) - 1


def period_of(day: Any, unit: Period, calendar: LocalCalendar = UTC_DAYS) -> Any:
    """Return the ibis expression that numbers the period of a day, itself numbered from 1970.

    Months by whole-number arithmetic, the same in every engine: years of March to February tile the calendar, leap days last
    (Richards 1998, "Mapping Time", ch. 25). Months of whole weeks are looked up by halves among those of the calendar's days.
    """
    if unit == "day":
        return day
    if unit == "week":
        return _over(day + WEEK_SHIFTS[calendar.week_starts], 7).cast("int32")
    if looked_up(unit, calendar):
        return _looked_up(day, unit, calendar)
    shifted = day + 719_468  # from 0000-03-01
    era = _over(shifted, 146_097)
    in_era = shifted - era * 146_097
    year = _over(in_era - _over(in_era, 1460) + _over(in_era, 36_524) - _over(in_era, 146_096), 365)
    in_year = in_era - (year * 365 + _over(year, 4) - _over(year, 100))
    march_month = _over(in_year * 5 + 2, 153)
    month = (era * 400 + year) * 12 + march_month + 2 - 1970 * 12
    return (month if unit == "month" else _over(month - (calendar.years.starts - 1), _MONTHS[unit])).cast("int32")


def looked_up(unit: Period, calendar: LocalCalendar) -> bool:
    """Return whether a period is found among many: then days are counted first, and it is asked of a day and not of every act."""
    return bool(calendar.years.fiscal) and unit in _MONTHS


def _looked_up(day: Any, unit: Period, calendar: LocalCalendar) -> Any:
    ends = (date(1970, 1, 1) + timedelta(days=end) for end in calendar.days)
    first, last = (number_of(end, unit, calendar) for end in ends)
    begins = tuple((day_of(first_day(number, unit, calendar)), number) for number in range(first, last + 1))
    found = added(
        begins, lambda at, early, late: (day < at).ifelse(early, late), lambda number: ibis.literal(number, "int64")
    )
    return found.cast("int32")


def _over(value: Any, by: int) -> Any:
    return (value / by).floor().cast("int64")


def user_periods(log: Log, unit: Period, by: Sequence[str] = ()) -> ibis.Table:
    """Return each user's active periods once: `user`, the columns `by`, `period`, and of the same user (and of the same columns)
    `before` and `after`, the active periods next to it, and `first`.

    Raises:
        SettingError: the log has no such column.
    """
    return keep(log, " by ".join([f"{unit} steps", *by]), lambda: _steps(log, unit, by))


def _steps(log: Log, unit: Period, by: Sequence[str]) -> ibis.Table:
    # A log that lies in a table is not folded into days only for the sake of longer periods.
    whole = bool(by) or unit == "day" or "days" in log.kept or looked_up(unit, log.calendar)
    days = user_days(log, by) if whole else numbered_acts(log)
    active = days.select("user", *by, period=period_of(days.day, unit, log.calendar).cast("int64"))
    if unit != "day":
        active = active.distinct()
    window = ibis.window(group_by=["user", *by], order_by="period")
    so_far = ibis.window(
        group_by=["user", *by], order_by="period", preceding=None, following=0
    )  # sorted once for all three
    return active.mutate(
        before=active.period.lag(1, ibis.literal(NEVER, "int64")).over(window),
        after=active.period.lead(1, ibis.literal(AFTER, "int64")).over(window),
        first=active.period.min().over(so_far),
    )
