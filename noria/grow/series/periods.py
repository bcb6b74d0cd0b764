"""The times of a column in the form of a series, whatever way they are written: days, weeks, months, quarters, half-years and years.

    periods = read_periods(["3/1/2024", "3/31/2024"])     # {"3/1/2024": "2024-03-01", ...}, and what is to be said of it

A form that can be read in one way is read so (`calendars.read_time`). Numbers and days that depend on the rest of the column are read by
all of it: days before months, seconds since 1970, days of a spreadsheet.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from noria.core.messages import Message
from noria.grow.log.date_order import Order, order_of
from noria.text.times import DateOrder, Stamp, read_times, zone_of

from .calendars import is_time, read_time

_EPOCH = datetime(1970, 1, 1)
_ORDERS: tuple[DateOrder, ...] = ("dmy", "mdy", "ymd")
_NUMBER = re.compile(r"[+-]?\d*[.,]?\d+(?:[eE][+-]?\d+)?%?")


@dataclass(frozen=True)
class Periods:
    """Times as they are written, and as a series has them."""

    times: dict[str, str]
    """Those that can be read."""
    notes: tuple[Message, ...] = ()
    zoneless: str = ""
    """A time within a day in UTC, which may be the beginning of a day in a zone that nobody has named."""


def read_periods(
    texts: Iterable[str],
    order: DateOrder = "",
    zone: str | None = None,
    place: str = "the times",
    lines: Mapping[str, int] | None = None,
) -> Periods:
    """Return the times among the texts of a column.

    Args:
        texts: in the order of the rows.
        order: of dates in numbers, where the person has told it.
        zone: in which seconds since 1970 are days.
        place: what the texts are of, for the message.
        lines: text -> the line where it first stands, for the message.

    Raises:
        InputError: days and months cannot be told apart.
    """
    distinct = list(dict.fromkeys(texts))
    times: dict[str, str] = {}
    others = []
    for text in distinct:
        time = text if is_time(text) else read_time(text)
        if time is None:
            others.append(text)
        else:
            times[text] = time
    judged = Order(order) if order else order_of(others, place, (lambda at: lines[others[at]]) if lines else None)
    zoneless = ""
    for text, stamp in zip(others, read_times(others, judged.order or "dmy"), strict=True):
        if stamp is None:
            continue
        time = _of_stamp(stamp, zone)
        if time is not None and is_time(time):
            times[text] = time
        elif stamp.ahead is not None:
            zoneless = zoneless or text
    note = judged.note()
    return Periods(times, (note,) if note else (), zoneless)


def are_times(cells: Iterable[str]) -> bool:
    """Return whether the cells of a column are times rather than amounts, leaving the order of days and months open.

    Plain numbers are times only as years, and as eight digits of a day.
    """
    known = [cell for cell in dict.fromkeys(cells) if cell.strip()]
    if not known:
        return False
    read: dict[str, str] = {}
    for order in _ORDERS:
        read |= read_periods([cell for cell in known if cell not in read], order).times
    if len(read) < max(1.0, 0.8 * len(known)):
        return False
    numbers = [cell for cell in known if _NUMBER.fullmatch(cell.strip())]
    return not numbers or all(len(cell.strip()) in (4, 8) and is_time(read.get(cell, "")) for cell in numbers)


def _of_stamp(stamp: Stamp, zone: str | None) -> str | None:
    """Return a time without its clock; None where that is not the beginning of a day."""
    wall = _EPOCH + timedelta(microseconds=stamp.wall)
    if stamp.ahead is not None and zone:
        instant = wall - timedelta(microseconds=stamp.ahead)
        offset = zone_of(zone).utcoffset(instant)
        wall = instant + offset if offset is not None else instant
    if stamp.month:
        return wall.strftime("%Y-%m")
    return wall.date().isoformat() if not (wall.hour or wall.minute or wall.second or wall.microsecond) else None
