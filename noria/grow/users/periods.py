"""Days, weeks and months, and each user's active ones: made once a log, and what every count of users reads.

    steps = user_periods(log, "week")     # user, period, before, after, first: the active week before and after, and the first

Weeks begin as the log's calendar says. Periods are numbered from 1970. A period that is not there is `NEVER` or `AFTER`, and no NULL: an engine
that has no NULL in a window (ClickHouse) then gives the same counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any, Literal

import ibis

from noria.core.errors import SettingError
from noria.core.messages import message
from noria.grow.log.log import Log
from noria.grow.log.user_days import keep, numbered_acts, user_days
from noria.grow.log.zones import WEEK_SHIFTS, WeekStart, day_of

Period = Literal["day", "week", "month"]
PERIODS: tuple[Period, ...] = ("day", "week", "month")
NEVER, AFTER = -1_000_000, 1_000_000


def number_of(day: date, unit: Period, week_starts: WeekStart = "monday") -> int:
    """Return the number of the period that a day falls in."""
    if unit == "month":
        return (day.year - 1970) * 12 + day.month - 1
    return day_of(day) if unit == "day" else (day_of(day) + WEEK_SHIFTS[week_starts]) // 7


def first_day(number: int, unit: Period, week_starts: WeekStart = "monday") -> date:
    """Return the first day of a period."""
    if unit == "day":
        return date(1970, 1, 1) + timedelta(days=number)
    if unit == "week":
        return date(1970, 1, 1) + timedelta(days=7 * number - WEEK_SHIFTS[week_starts])
    return date(1970 + number // 12, number % 12 + 1, 1)


def last_whole(log: Log, unit: Period) -> int:
    """Return the number of the last period that the log covers to its end."""
    return number_of(log.as_of + timedelta(days=1), unit, log.calendar.week_starts) - 1


def check_period(unit: str) -> Period:
    """Return `unit` if it is a period.

    Raises:
        SettingError: it is not.
    """
    for known in PERIODS:
        if unit == known:
            return known
    raise SettingError(message("grow.unknown_period"), found=unit, allowed=PERIODS)


def period_of(day: Any, unit: Period, week_starts: WeekStart = "monday") -> Any:
    """Return the ibis expression that numbers the period of a day, itself numbered from 1970.

    Months by whole-number arithmetic, the same in every engine: years of March to February tile the calendar, leap days last
    (Richards 1998, "Mapping Time", ch. 25).
    """
    if unit == "day":
        return day
    if unit == "week":
        return _over(day + WEEK_SHIFTS[week_starts], 7).cast("int32")
    shifted = day + 719_468  # from 0000-03-01
    era = _over(shifted, 146_097)
    in_era = shifted - era * 146_097
    year = _over(in_era - _over(in_era, 1460) + _over(in_era, 36_524) - _over(in_era, 146_096), 365)
    in_year = in_era - (year * 365 + _over(year, 4) - _over(year, 100))
    march_month = _over(in_year * 5 + 2, 153)
    return ((era * 400 + year) * 12 + march_month + 2 - 1970 * 12).cast("int32")


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
    whole = bool(by) or unit == "day" or "days" in log.kept
    days = user_days(log, by) if whole else numbered_acts(log)
    active = days.select("user", *by, period=period_of(days.day, unit, log.calendar.week_starts).cast("int64"))
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
