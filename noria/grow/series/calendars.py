"""The step of a series from its times: days, weeks, months at any day, quarters, years; and the times that follow.

    calendar = calendar_of(["2025-01-31", "2025-02-28", "2025-04-30"])
    calendar.text()                                       # 'monthly, dated at month ends'
    between(["2025-01-31", "2025-02-28", "2025-04-30"])    # ... with 2025-03-31, for which nothing is known
    following(["2025-01-31", "2025-02-28"], 1)             # ['2025-03-31']

Times are YYYY, YYYY-MM or YYYY-MM-DD. Days that are one day of the month throughout, the last one where a month is too short for it,
are months: a step is never the greatest common divisor of 28, 30 and 31 days. Monday to Friday without a weekend are business days.
"""

from __future__ import annotations

import calendar as gregorian
import itertools
import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache
from typing import Literal

from noria.core.errors import InputError
from noria.core.messages import Message, message

Unit = Literal["day", "business day", "month", "year"]
END = 31
"""The anchor of months told by their last day."""
_BUSINESS_WEEKS = 2
"""Weekends that must have been passed over before Monday to Friday are taken for business days."""


@dataclass(frozen=True)
class Calendar:
    """How the times of a series follow one another."""

    unit: Unit
    size: int
    """Units from one time to the next: 7 days are a week, 3 months a quarter."""
    anchor: int = 0
    """Day of the month that dated months are told by, `END` for the last; 0 for times without a day."""
    lone: bool = False
    """There was one time only: its step is taken to be one."""

    def number(self, time: str) -> int:
        """Return a time as a whole number of units."""
        year, *rest = (int(part) for part in time.split("-"))
        if self.unit == "year":
            return year
        if self.unit == "month":
            return year * 12 + rest[0] - 1
        day = date(year, *rest).toordinal()
        return day if self.unit == "day" else (day - 1) // 7 * 5 + min((day - 1) % 7, 4)

    def named(self, number: int) -> str:
        """Return the time that a number of units stands for."""
        if self.unit == "year":
            return f"{number:04d}"
        if self.unit == "month":
            year, month = number // 12, number % 12 + 1
            plain = f"{year:04d}-{month:02d}"
            return f"{plain}-{_day(year, month, self.anchor):02d}" if self.anchor else plain
        day = number if self.unit == "day" else number // 5 * 7 + number % 5 + 1
        return date.fromordinal(day).isoformat()

    def text(self) -> Message:
        """Return the step."""
        if self.unit == "month":
            step = _MONTHS.get(self.size) or message("series.every_months", size=self.size)
            if not self.anchor:
                return step
            day = message("series.month_ends") if self.anchor == END else message("series.day", anchor=self.anchor)
            return message("series.dated_at", step=step, day=day)
        if self.unit == "day" and self.size % 7 == 0:
            weeks = self.size // 7
            return message("series.weekly") if weeks == 1 else message("series.every_weeks", weeks=weeks)
        unit = self.unit.replace(" ", "_")
        return message(f"series.one.{unit}") if self.size == 1 else message(f"series.every.{unit}", size=self.size)


_MONTHS = {
    1: message("series.monthly"),
    3: message("series.quarterly"),
    6: message("series.half_yearly"),
    12: message("series.yearly"),
}


def calendar_of(times: Iterable[str]) -> Calendar:
    """Return the calendar of times of one form: its step is the largest that meets them all.

    >>> calendar_of(["2026-01-05", "2026-01-12", "2026-02-02"])
    Calendar(unit='day', size=7, anchor=0, lone=False)
    """
    return _calendar(tuple(dict.fromkeys(sorted(times))))


def between(times: Iterable[str]) -> list[str]:
    """Return all times from the first to the last, in their calendar: gaps are filled.

    >>> between(["2025-11", "2026-02", "2025-12"])
    ['2025-11', '2025-12', '2026-01', '2026-02']
    """
    known = sorted(times)
    calendar = calendar_of(known)
    first, last = calendar.number(known[0]), calendar.number(known[-1])
    return [calendar.named(number) for number in range(first, last + 1, calendar.size)]


def following(times: Sequence[str], count: int) -> list[str]:
    """Return the `count` times after `times`, in the same calendar.

    >>> following(["2025-05", "2025-08", "2025-11"], 2)
    ['2026-02', '2026-05']
    """
    calendar = calendar_of(times)
    last = calendar.number(times[-1])
    return [calendar.named(last + calendar.size * ahead) for ahead in range(1, count + 1)]


def place_of(time: str, times: Sequence[str]) -> float:
    """Return how many steps of `times` a time, which may lie outside, comes after the first of them.

    Raises:
        InputError: not a time of their form.

    >>> place_of("2001-10", ["2003-03", "2003-04"])
    -17.0
    """
    if len(time) != len(times[0]) or not is_time(time):
        raise InputError(message("grow.time_series"), found=time, allowed=message("grow.such_3", times=times[0]))
    calendar = calendar_of(times)
    return (calendar.number(time) - calendar.number(times[0])) / calendar.size


def time_at(place: int, times: Sequence[str]) -> str:
    """Return the time so many steps after the first of `times`.

    >>> time_at(-17, ["2003-03", "2003-04"])
    '2001-10'
    """
    calendar = calendar_of(times)
    return calendar.named(calendar.number(times[0]) + calendar.size * place)


def regular(times: Iterable[str]) -> dict[str, str]:
    """Return a name for each time of dated months and weeks whose day wanders: the month, or the weekday that most of them have.

    The last trading day of each month, or a week told on a Thursday where Friday was a holiday, has no step in days. Empty where
    the times are in step as they are.

    >>> regular(["2024-01-31", "2024-02-29", "2024-03-28", "2024-04-30"])["2024-03-28"]
    '2024-03'
    """
    known = sorted(dict.fromkeys(times))
    calendar = calendar_of(known)
    if calendar.unit not in ("day", "business day") or len(known) < 4 or calendar.size >= 7:
        return {}
    days = [date.fromisoformat(time) for time in known]
    gaps = sorted((later - earlier).days for earlier, later in itertools.pairwise(days))
    usual = gaps[len(gaps) // 2]
    if usual in range(26, 37):
        named = [time[:7] for time in known]
    elif usual in range(5, 10):
        weekday = Counter(day.weekday() for day in days).most_common(1)[0][0]
        named = [(day + timedelta((weekday - day.weekday() + 3) % 7 - 3)).isoformat() for day in days]
    else:
        return {}
    return dict(zip(known, named, strict=True)) if len(set(named)) == len(known) else {}


def is_time(text: str) -> bool:
    """Return whether a text is a time of a series: YYYY, YYYY-MM or YYYY-MM-DD, 1900 to 2200."""
    lengths = {4: "-01-01", 7: "-01", 10: ""}
    try:
        # A day of an ISO week, 2026-W05-1, is a date to Python and none of these forms.
        return (
            text.isascii()
            and text.replace("-", "").isdigit()
            and 1900 <= date.fromisoformat(text + lengths[len(text)]).year <= 2200
        )
    except (KeyError, ValueError):
        return False


def read_time(text: str) -> str | None:
    """Return a time in the form of a series, of those forms that can be read in one way only; None for others.

    >>> [read_time(text) for text in ("2024/3", "2024年3月5日", "Q2 2024", "20240305", "Mar 2024", "3/5/2024")]
    ['2024-03', '2024-03-05', '2024-04', '2024-03-05', '2024-03', None]
    """
    plain = unicodedata.normalize("NFKC", text).strip()
    plain = _MIDNIGHT.sub("", plain)
    for pattern in _FORMS:
        if found := pattern.fullmatch(plain):
            parts = found.groupdict()
            if short := parts.pop("short", None):
                parts["year"] = f"20{short}"
            if quarter := parts.get("quarter"):
                return _checked(f"{parts['year']}-{3 * _counted(quarter) - 2:02d}")
            if half := parts.get("half"):
                return _checked(f"{parts['year']}-{6 * _counted(half) - 5:02d}")
            if word := parts.get("word"):
                if word.casefold() not in _MONTH_WORDS:
                    continue
                return _checked(f"{parts['year']}-{_MONTH_WORDS[word.casefold()]:02d}")
            if week := parts.get("week"):
                try:
                    return date.fromisocalendar(int(parts["year"]), int(week), 1).isoformat()
                except ValueError:
                    return None
            named = (parts.get(name) for name in ("year", "month", "day"))
            return _checked("-".join(f"{int(part):02d}" for part in named if part))
    return None


_MIDNIGHT = re.compile(r"[ T]00:00(?::00(?:\.0+)?)?(?:Z|\+00:00)?$")
_FORMS = tuple(
    re.compile(form)
    for form in (
        r"(?P<year>\d{4})年?",
        r"(?P<year>\d{4})[-/](?P<month>\d{1,2})",
        r"(?P<year>\d{4})\.(?P<month>\d{2})",
        r"(?P<year>\d{4})年 ?(?P<month>\d{1,2})月",
        r"(?P<year>\d{4})[-/.](?P<month>\d{1,2})[-/.](?P<day>\d{1,2})",
        r"(?P<year>\d{4})年 ?(?P<month>\d{1,2})月 ?(?P<day>\d{1,2})日",
        r"(?P<year>(?:19|2[01])\d{2})(?P<month>\d{2})(?P<day>\d{2})?",
        r"(?P<year>\d{4})[- ]?[Qq](?P<quarter>[1-4])",
        r"(?P<year>\d{4})年? ?第?(?P<quarter>[1-4一二三四])季度?",
        r"(?P<quarter>[1-4])季度?[- /]?(?P<year>\d{4})年?",
        r"[Qq](?P<quarter>[1-4])[- /']{0,2}(?:(?P<year>\d{4})|(?P<short>\d{2}))",
        r"(?P<quarter>[1-4])[Qq][- /']{0,2}(?:(?P<year>\d{4})|(?P<short>\d{2}))",
        r"(?P<year>\d{4})[- /]?[Hh](?P<half>[12])",
        r"[Hh](?P<half>[12])[- /]?(?P<year>\d{4})",
        r"(?P<year>\d{4})年? ?(?P<half>[上下])半年",
        r"(?P<year>\d{4})[- ]?[Ww](?P<week>\d{1,2})",
        r"(?P<year>\d{4})年? ?第 ?(?P<week>\d{1,2}) ?周",
        r"[Ww](?P<week>\d{1,2})[- /](?P<year>\d{4})",
        r"(?P<month>\d{1,2})[-/](?P<year>\d{4})",
        r"(?P<short>\d{2})年 ?(?P<month>\d{1,2})月",
        r"(?P<word>[A-Za-z]{3,9})\.?[-/ ,']{1,2}(?:(?P<year>\d{4})|(?P<short>\d{2}))",
        r"(?P<year>\d{4})[-/ ](?P<word>[A-Za-z]{3,9})\.?",
    )
)
_COUNTED = {"一": 1, "二": 2, "三": 3, "四": 4, "上": 1, "下": 2}
_MONTH_WORDS = {
    form.casefold(): place
    for names in (gregorian.month_name, gregorian.month_abbr)
    for place, form in enumerate(names)
    if form
} | {"sept": 9}


def _counted(text: str) -> int:
    return _COUNTED[text] if text in _COUNTED else int(text)


def _checked(plain: str) -> str | None:
    return plain if is_time(plain) else None


@lru_cache(maxsize=256)
def _calendar(times: tuple[str, ...]) -> Calendar:
    lone = len(times) < 2
    parts = len(times[0].split("-"))
    if parts < 3:
        return _stepped(Calendar("year" if parts == 1 else "month", 1, 0, lone), times)
    days = [date.fromisoformat(time) for time in times]
    anchor = 0 if lone else _anchor(days)
    if anchor:
        return _stepped(Calendar("month", 1, anchor), times)
    daily = _stepped(Calendar("day", 1, 0, lone), times)
    weekends = (days[-1] - days[0]).days // 7
    if daily.size == 1 and weekends >= _BUSINESS_WEEKS and {day.weekday() for day in days} == set(range(5)):
        return _stepped(Calendar("business day", 1), times)
    return daily


def _stepped(calendar: Calendar, times: tuple[str, ...]) -> Calendar:
    numbers = [calendar.number(time) for time in times]
    step = math.gcd(*(later - earlier for earlier, later in itertools.pairwise(numbers))) or 1
    return Calendar(calendar.unit, step, calendar.anchor, calendar.lone)


def _anchor(days: Sequence[date]) -> int:
    """Return the day of the month that all stand for, `END` where all are a month's last; 0 where they stand for none."""
    if len({(day.year, day.month) for day in days}) < len(days):
        return 0
    for anchor in (END, max(day.day for day in days)):
        if all(day.day == _day(day.year, day.month, anchor) for day in days):
            return anchor
    return 0


def _day(year: int, month: int, anchor: int) -> int:
    return min(anchor, gregorian.monthrange(year, month)[1])
