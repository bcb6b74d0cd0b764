"""Times as people and programs write them, in Chinese and English: ISO 8601 in all its forms, seconds since 1970, days of a spreadsheet, words.

    (stamp,) = read_times(["2024年3月5日 下午3:05"])
    stamp.moment()                             # datetime(2024, 3, 5, 15, 5): its clock; in UTC where it says how far it is from that

A time is read as its clock shows it, with the distance from UTC where it names one. Whether 12/1/2010 is in January or in December
no single value tells: such are read where somebody says what comes first. What looks for a day within a sentence shares the pieces.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import cache
from typing import Literal, NamedTuple
from zoneinfo import ZoneInfo, available_timezones

from noria.core.errors import InputError, nearest
from noria.core.messages import message

DateOrder = Literal["", "dmy", "mdy", "ymd"]
"""What comes first in dates of numbers that end with the year; nothing where nobody says."""
_EPOCH = datetime(1970, 1, 1)
_SERIAL = datetime(1899, 12, 30)  # day 0 of a spreadsheet, which takes 1900 for a leap year
_SECOND = 1_000_000
_LONGEST = 120
"""Characters of a time, at most: what a browser writes, with its zone's long name, has 80."""

_NAMES = (
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
)
MONTH = "(?:" + "|".join(f"{name[:3]}(?:{name[3:]})?" if name[3:] else name for name in _NAMES) + "|sept)"
"""A month's English name, whole or short, in small letters: for a regular expression."""
DAY = r"(?P<d>\d{1,2})(?:st|nd|rd|th)?"
YEAR_FIRST = r"(?P<y>\d{4})\s*[-/.年]\s*(?P<m>\d{1,2})\s*[-/.月]\s*(?P<d>\d{1,2})"
NUMBERED = r"(?P<a>\d{1,2})([-/.])(?P<b>\d{1,2})\2(?P<y>\d{4}|\d{1,2})"
"""A day, a month and a year in numbers, the year last where it has four digits."""

_CLOCK = (
    r"(?:[T\s_:,]\s*)?(?:(?P<half>上午|下午|中午|凌晨|早上|晚上)\s*)?(?P<H>\d{1,2})\s*[:时時点點]\s*(?P<M>\d{1,2})"
    r"(?:\s*[:分]\s*(?P<S>\d{1,2})(?:[.,](?P<F>\d+))?\s*秒?|\s*分)?(?:\s*(?P<noon>[ap])\.?m\b\.?)?"  # not the Am of America
)
_ZONE = r"\s*(?:(?P<name>Z|UTC|GMT|\[?[A-Za-z]+(?:/[A-Za-z_+\-0-9]+)+\]?)?\s*(?P<ahead>[+-]\d{1,2}(?::?\d{2})?)?)(?:\s*\[[\w/+-]+\])?(?:\s*\([^)]*\))?"
_HALVES = {"上午": "a", "凌晨": "a", "早上": "a", "下午": "p", "晚上": "p", "中午": "p"}
_DAYNAME = r"(?:[A-Za-z]{3,9}\.?,?\s+)?"
_FORMS = [
    re.compile(form, re.IGNORECASE)
    for form in (
        rf"{YEAR_FIRST}\s*[日号]?(?:{_CLOCK})?{_ZONE}",
        rf"(?P<y>\d{{4}})(?P<m>\d{{2}})(?P<d>\d{{2}})(?:[T ]?(?P<H>\d{{2}}):?(?P<M>\d{{2}}):?(?:(?P<S>\d{{2}})(?:\.(?P<F>\d+))?)?{_ZONE})?",
        rf"{NUMBERED}(?:{_CLOCK})?{_ZONE}",
        rf"{_DAYNAME}{DAY}(?:\s+of)?[-\s/.]*(?P<word>{MONTH})\.?,?[-\s/]*(?P<y>\d{{4}})(?:{_CLOCK})?{_ZONE}",
        rf"(?P<d>\d{{1,2}})[-\s/]?(?P<word>{MONTH})[-\s/]'?(?P<y>\d{{2}})(?:\s{_CLOCK})?",
        rf"{_DAYNAME}(?P<word>{MONTH})\.?\s+{DAY},?\s+(?P<y>\d{{4}})(?:{_CLOCK})?{_ZONE}",
        rf"{_DAYNAME}(?P<word>{MONTH})\s+(?P<d>\d{{1,2}})\s+(?P<H>\d{{2}}):(?P<M>\d{{2}}):(?P<S>\d{{2}})(?P<name>\s+UTC|\s+GMT)?\s+(?P<y>\d{{4}})",
        r"(?P<y>\d{4})\s*[-/年]\s*(?P<m>\d{1,2})月?",
        r"(?P<y>\d{4})\.(?P<m>\d{2})",
        r"(?P<m>\d{1,2})[-/](?P<y>\d{4})",
        rf"(?P<word>{MONTH})\.?,?[-\s/]*(?P<y>\d{{4}})",
        rf"(?P<y>\d{{4}})[-\s/]*(?P<word>{MONTH})\.?",
    )
]
_DIGITS = re.compile(r"(\d{5,19})(\.\d+)?")
_POWER = re.compile(r"\d(?:\.\d+)?[eE]\+?(?:0?9|1[0-8])")
"""Seconds since 1970, and parts of them, as a program of statistics or a spreadsheet writes large numbers."""
_FIXED = re.compile(r"(?:UTC|GMT)?([+-])(\d{1,2})(?::?(\d{2}))?", re.IGNORECASE)
_REGIONS = ("Africa", "America", "Antarctica", "Asia", "Atlantic", "Australia", "Europe", "Indian", "Pacific")


class Stamp(NamedTuple):
    """A time as it was written."""

    wall: int
    """What its clock shows, in microseconds since 1970."""
    ahead: int | None
    """Microseconds that the clock is ahead of UTC; None where nothing says so."""
    day: bool
    """It is a day without a time."""
    month: bool = False
    """It is a month without a day; `wall` is its first."""

    def moment(self) -> datetime:
        """Return it in UTC where it says how far its clock is from that, else what its clock shows, of no zone.

        Raises:
            OverflowError: it lies beyond the years 1 to 9999.
        """
        at = _EPOCH + timedelta(microseconds=self.wall - (self.ahead or 0))
        return at if self.ahead is None else at.replace(tzinfo=UTC)


def read_times(texts: Iterable[str], order: DateOrder = "") -> list[Stamp | None]:
    """Return each text's time; None for one that cannot be read.

    Args:
        texts: each is a time and nothing else. Where they are of one column the form of the last is tried first for the next.
        order: of a day, a month and a year in numbers that end with the year; without it these are not read.

    >>> [stamp and str(stamp.moment()) for stamp in read_times(["Nov 30th, 2026 8:05 pm", "2026年11月30号", "30/11/2026"])]
    ['2026-11-30 20:05:00', '2026-11-30 00:00:00', None]
    """
    forms = list(_FORMS)
    # White space is folded: several forms allow it in several places, and of a long run all ways to part it would be tried.
    plain = (" ".join((text if text.isascii() else unicodedata.normalize("NFKC", text)).split()) for text in texts)
    return [_read(text, order, forms) if len(text) <= _LONGEST else None for text in plain]


def month_of(name: str) -> int:
    """Return the number of a month by a name that `MONTH` allows, in any case."""
    return next(number for number, known in enumerate(_NAMES, 1) if known[:3] == name[:3].lower())


def zone_of(name: str) -> tzinfo:
    """Return the zone of a name such as Asia/Shanghai, UTC, or +08:00.

    Raises:
        InputError: there is none of that name.
    """
    fixed = _FIXED.fullmatch(name.strip())
    if fixed:
        sign, hours, minutes = fixed.groups()
        ahead = timedelta(hours=int(hours), minutes=int(minutes or 0))
        if ahead < timedelta(hours=24):
            return timezone(-ahead if sign == "-" else ahead)
    if name in ("UTC", "GMT") or (name.count("/") and name.split("/")[0] in _REGIONS):  # to list all takes 20 ms
        try:
            return ZoneInfo(name)
        except (KeyError, ValueError, OSError):
            pass
    try:
        return ZoneInfo(_zones()[name.strip().lower()])
    except (KeyError, ValueError, OSError):
        near = nearest(name.strip().lower(), _zones())
        raise InputError(
            message("text.unknown_zone"),
            found=name,
            allowed=message("text.zone_names"),
            hint=message("errors.did_you_mean", close=_zones()[near]) if near else None,
        ) from None


@cache
def _zones() -> dict[str, str]:
    """Return the names of all zones, by themselves in small letters."""
    return {name.lower(): name for name in available_timezones()}


def _read(text: str, order: DateOrder, forms: list[re.Pattern[str]]) -> Stamp | None:
    """Return the time of one text, None where it cannot be read. The form that reads it is tried first for the next."""
    digits = _DIGITS.fullmatch(f"{float(text):.0f}" if _POWER.fullmatch(text) else text)
    found = _of_digits(digits) if digits else None
    if found is not None:
        return found
    for place, form in enumerate(forms):
        match = form.fullmatch(text)
        if match:
            stamp = _of_parts({name: value for name, value in match.groupdict().items() if value}, order)
            if stamp is not None:
                if place:
                    forms.insert(0, forms.pop(place))
                return stamp
    return None


def _of_digits(match: re.Match[str]) -> Stamp | None:
    """Return the time that a bare number tells by its length: a day, seconds and their parts since 1970, days of a spreadsheet."""
    whole, part = match[1], match[2] or ""
    size = len(whole)
    # Other numbers of 12 digits are milliseconds, of 1973 to 2001.
    if not part and (size in (8, 14, 17) or (size == 12 and whole[:2] in ("19", "20"))):
        calendar = _of_parts(
            {
                "y": whole[:4],
                "m": whole[4:6],
                "d": whole[6:8],
                **(
                    {"H": whole[8:10], "M": whole[10:12], "S": whole[12:14] or "0", "F": whole[14:] or "0"}
                    if size > 8
                    else {}
                ),
            },
            "",
        )
        if calendar is not None:
            return calendar
    if size == 5:
        days = float(whole + part)
        wall = (_SERIAL - _EPOCH) / timedelta(microseconds=1) + round(days * 86_400) * _SECOND
        return Stamp(int(wall), None, not part or days.is_integer())
    if size in (9, 10):
        return Stamp(int(whole) * _SECOND + int((part[1:] + "000000")[:6] if part else 0), 0, False)
    if part.strip(".0"):
        return None
    if 11 <= size <= 13:
        return Stamp(int(whole) * 1000, 0, False)
    if size in (15, 16):
        return Stamp(int(whole), 0, False)
    return Stamp(int(whole) // 1000, 0, False) if size in (18, 19) else None


def _of_parts(parts: dict[str, str], order: DateOrder) -> Stamp | None:
    """Return the time made of what a form found."""
    date = _date(parts, order)
    if date is None:
        return None
    year, month, day = date
    hour, minute, second = (int(parts.get(name, 0)) for name in ("H", "M", "S"))
    half = parts.get("half", "")
    noon = _HALVES[half] if half else parts.get("noon", "").lower()
    if half == "晚上" and hour == 12:
        return None  # of which day
    if noon:
        if not 1 <= hour <= 12 and not (parts.get("half") and hour < 24):
            return None
        hour = hour % 12 + (12 if noon == "p" else 0) if hour <= 12 else hour
    over = hour == 24 and minute == second == 0  # ISO 8601: the end of the day is the beginning of the next
    leap = second == 60
    try:
        wall = datetime(year, month, day, 0 if over else hour, minute, 59 if leap else second)
    except ValueError:
        return None
    shown = (wall - _EPOCH) // timedelta(seconds=1) * _SECOND + int((parts.get("F", "") + "000000")[:6])
    shown += 86_400 * _SECOND if over else _SECOND if leap else 0
    ahead = _ahead(parts, wall)
    if ahead == "unknown":
        return None
    return Stamp(shown, ahead if isinstance(ahead, int) else None, "H" not in parts, not {"d", "a"} & parts.keys())


def _date(parts: dict[str, str], order: DateOrder) -> tuple[int, int, int] | None:
    if "word" in parts:
        year = _century(int(parts["y"])) if len(parts["y"]) == 2 else int(parts["y"])
        return year, month_of(parts["word"]), int(parts.get("d", 1))
    if "a" not in parts:
        return int(parts["y"]), int(parts["m"]), int(parts.get("d", 1))
    if not order:
        return None
    first, second, third = int(parts["a"]), int(parts["b"]), int(parts["y"])
    if len(parts["y"]) < 3 and order == "ymd":
        return _century(first), second, third
    if len(parts["y"]) == 1:
        return None
    year = _century(third) if len(parts["y"]) == 2 else third
    return (year, first, second) if order == "mdy" else (year, second, first)


def _century(year: int) -> int:
    """Return the year of two digits, as POSIX has it: 69 to 99 are of the last century."""
    return year + (1900 if year >= 69 else 2000)


def _ahead(parts: dict[str, str], wall: datetime) -> int | Literal["unknown"] | None:
    """Return how far the clock is ahead of UTC, in microseconds; None where nothing is said."""
    told, name = parts.get("ahead"), parts.get("name", "").strip(" []")
    if told:
        hours, minutes = int(told[1:3].rstrip(":")), int(told[-2:]) if len(told) > 3 else 0
        if hours > 15 or minutes > 59:
            return "unknown"
        return (hours * 3600 + minutes * 60) * _SECOND * (-1 if told[0] == "-" else 1)
    if not name:
        return None
    if name.upper() in ("Z", "UTC", "GMT"):
        return 0
    try:
        offset = wall.replace(tzinfo=zone_of(name)).utcoffset()
    except InputError:
        return "unknown"
    return None if offset is None else int(offset.total_seconds()) * _SECOND
