"""A day as people write it, in Chinese and English: 2026年10月1日, 10/1, 后天, 下周三, 1 October, the day after tomorrow, in 3 days.

What may be two days is none: 3/4 outside of Chinese, "next Friday" on a Monday, two days in one message.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import date, timedelta
from typing import Literal

from noria.text.times import DAY, MONTH, YEAR_FIRST, month_of

Direction = Literal["ahead", "back", "near"]
"""Which of several years or weeks is meant where none is named."""
_RELATIVE = {
    **{
        "大前天": -3,
        "前天": -2,
        "昨天": -1,
        "昨日": -1,
        "今天": 0,
        "今日": 0,
        "明天": 1,
        "明日": 1,
        "大后天": 3,
        "后天": 2,
    },
    **{"day before yesterday": -2, "yesterday": -1, "today": 0, "day after tomorrow": 2, "tomorrow": 1},
}
_DIGITS = {one: at for at, one in enumerate("一二三四五六七八九十", 1)} | {"两": 2}
_WEEK_ZH = {one: at for at, one in enumerate("一二三四五六日")} | {"天": 6}
_WEEK_EN = {
    one: at for at, one in enumerate(["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"])
}
_SHIFT_ZH = {"上": -1, "这": 0, "本": 0, "下": 1, "下下": 2}
_WHOLE = re.compile(rf"{YEAR_FIRST}(?!\d)\s*[日号]?")
_CHINESE = re.compile(r"(?<!\d)(?P<m>\d{1,2})\s*月\s*(?P<d>\d{1,2})\s*[日号]?")
_DAY_FIRST = re.compile(rf"(?<![\d\w]){DAY}(?: of)? (?P<word>{MONTH})\.?(?:,? (?P<y>\d{{4}}))?(?!\w)")
_MONTH_FIRST = re.compile(rf"(?<!\w)(?P<word>{MONTH})\.? {DAY}(?:,? (?P<y>\d{{4}}))?(?!\w)")
_SLASHED = re.compile(r"(?<![\d/])(?P<one>\d{1,2})/(?P<two>\d{1,2})(?:/(?P<year>\d{4}))?(?![\d/])")
_IN_DAYS = re.compile(
    r"in (?P<ahead>\d{1,3}) days?|(?P<back>\d{1,3}) days? ago|(?P<zh>\d{1,3}|[一二两三四五六七八九十])\s*天(?P<side>以?之?[后前])"
)
_WORDS = re.compile("|".join(sorted(_RELATIVE, key=len, reverse=True)))
_CHINESE_WEEK = re.compile(r"(?P<shift>下下|下|上|这|本)?个?(?:周|星期|礼拜)(?P<day>[一二三四五六日天])")
_ENGLISH_WEEK = re.compile(rf"(?<!\w)(?:(?P<shift>next|last|this|coming)\s+)?(?P<day>{'|'.join(_WEEK_EN)})(?!\w)")


def day_in(text: str, today: date, language: str, direction: Direction = "near") -> date | None:
    """Return the one day that a text names; None where it names none, or several.

    Args:
        text: what was said.
        today: where it was said.
        language: by which 3/4 is read: the month stands first in Chinese, and elsewhere it is not told which.
        direction: which year or week is meant where none is named.

    >>> [str(day_in(one, date(2026, 9, 30), "zh", "ahead")) for one in ("明天", "10月1号", "下周三", "in 3 days", "3/4")]
    ['2026-10-01', '2026-10-01', '2026-10-07', '2026-10-03', '2027-03-04']
    """
    rest = unicodedata.normalize("NFKC", text).casefold()
    found: set[date] = set()
    for pattern, read in _READERS:
        spans = list(pattern.finditer(rest))
        for one in spans:
            with suppress(ValueError, OverflowError):  # the 30th of February
                found.update(read(one, today, language, direction))
        for one in reversed(spans):  # what was read is not read again by a looser pattern
            rest = f"{rest[: one.start()]} | {rest[one.end() :]}"
    return found.pop() if len(found) == 1 else None


def _whole(one: re.Match[str], today: date, language: str, direction: Direction) -> Iterator[date]:
    yield date(int(one["y"]), int(one["m"]), int(one["d"]))


def _named(one: re.Match[str], today: date, language: str, direction: Direction) -> Iterator[date]:
    yield _yearless(one["y"], month_of(one["word"]), int(one["d"]), today, direction)


def _chinese(one: re.Match[str], today: date, language: str, direction: Direction) -> Iterator[date]:
    yield _yearless(None, int(one["m"]), int(one["d"]), today, direction)


def _slashed(one: re.Match[str], today: date, language: str, direction: Direction) -> Iterator[date]:
    first, second = int(one["one"]), int(one["two"])
    for month, day in {(first, second)} if language == "zh" else {(first, second), (second, first)}:
        with suppress(ValueError):
            yield _yearless(one["year"], month, day, today, direction)


def _in_days(one: re.Match[str], today: date, language: str, direction: Direction) -> Iterator[date]:
    if one["zh"]:
        days = _DIGITS.get(one["zh"]) or int(one["zh"])
        yield today + timedelta(days=days if one["side"].endswith("后") else -days)
    else:
        yield today + timedelta(days=int(one["ahead"] or 0) - int(one["back"] or 0))


def _relative(one: re.Match[str], today: date, language: str, direction: Direction) -> Iterator[date]:
    yield today + timedelta(days=_RELATIVE[one[0]])


def _chinese_week(one: re.Match[str], today: date, language: str, direction: Direction) -> Iterator[date]:
    weekday, monday = _WEEK_ZH[one["day"]], today - timedelta(days=today.weekday())
    if one["shift"]:
        yield monday + timedelta(weeks=_SHIFT_ZH[one["shift"]], days=weekday)
    else:
        yield _nearest_weekday(weekday, today, direction)


def _english_week(one: re.Match[str], today: date, language: str, direction: Direction) -> Iterator[date]:
    weekday, monday = _WEEK_EN[one["day"]], today - timedelta(days=today.weekday())
    coming, gone = (_nearest_weekday(weekday, today, side) for side in ("ahead", "back"))
    if one["shift"] == "next":  # by some the coming one, by others the one of next week
        yield from {coming, monday + timedelta(weeks=1, days=weekday)}
    elif one["shift"] == "last":
        yield from {gone, monday + timedelta(weeks=-1, days=weekday)}
    else:
        yield coming if one["shift"] else _nearest_weekday(weekday, today, direction)


def _nearest_weekday(weekday: int, today: date, direction: Direction) -> date:
    ahead = (weekday - today.weekday()) % 7
    return today + timedelta(days=ahead - 7 if direction == "back" and ahead else ahead)


def _yearless(year: str | None, month: int, day: int, today: date, direction: Direction) -> date:
    """Return the day of a month in its year, or in the year that the direction means."""
    if year:
        return date(int(year), month, day)
    days = []
    for one in range(today.year - 4, today.year + 5):  # the 29th of February comes every four
        with suppress(ValueError):
            days.append(date(one, month, day))
    meant = [one for one in days if direction == "near" or (one >= today if direction == "ahead" else one <= today)]
    return min(meant, key=lambda one: abs((one - today).days))


_Reader = Callable[[re.Match[str], date, str, Direction], Iterator[date]]
_READERS: tuple[tuple[re.Pattern[str], _Reader], ...] = (
    (_WHOLE, _whole),
    (_CHINESE, _chinese),
    (_DAY_FIRST, _named),
    (_MONTH_FIRST, _named),
    (_SLASHED, _slashed),
    (_IN_DAYS, _in_days),
    (_WORDS, _relative),
    (_CHINESE_WEEK, _chinese_week),
    (_ENGLISH_WEEK, _english_week),
)
"""From the strictest form to the loosest."""
