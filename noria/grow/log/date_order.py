"""Whether days or months come first in dates such as 12/1/2010: by a day above 12, by the order of the rows, or by asking the person.

order_of(["12/1/2010", "12/13/2010"])         # Order("mdy", "12/13/2010", "day above 12")
order_of(["3/12/24", "4/12/24"], "s.csv")     # InputError: say it with --date-order
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from noria.core.errors import InputError
from noria.core.messages import Message, message
from noria.text.times import NUMBERED, DateOrder

Why = Literal["", "above_12", "points", "year", "months", "rows"]
_NUMBERED = re.compile(NUMBERED + r"(?!\d)")
_FEWEST = 6
"""Different days from which rows in order of time speak for the reading in which they are: 1 in 720 others would be by chance."""
_YEARS_APART = 3
"""Years in which dates must lie by one reading for another that puts all into one year to be the likelier."""
_YEARS: dict[DateOrder, int] = {"dmy": 2, "mdy": 2, "ymd": 0}
_MONTHS: dict[DateOrder, int] = {"dmy": 1, "mdy": 0, "ymd": 1}


class Order(NamedTuple):
    """What comes first in the dates of a column."""

    order: DateOrder
    """Nothing where no date is written so."""
    example: str = ""
    why: Why = ""
    """What decided."""

    def note(self) -> Message | None:
        """Return what a person should know of it."""
        if not self.why or self.why == "points":
            return None
        first = message(f"log.order.{self.order}")
        return message(f"log.note.order_{self.why}", example=self.example, first=first)


def order_of(texts: Sequence[str], place: str = "the times", line: Callable[[int], int] | None = None) -> Order:
    """Return what comes first in a column's dates in numbers.

    A number above 12 is no month and one above 31 no day. Where several readings are left, points as in 1.12.2010 mean that days
    come first, and else that reading is taken in which alone all are of one year, all are one day of their months, or all rows follow one another in time.

    Args:
        texts: of the column, in the order of the rows.
        place: what they are of, for the message.
        line: place of a text among them -> the line where it stands, for the message.

    Raises:
        InputError: it cannot be told.
    """
    plain = [text if text.isascii() else unicodedata.normalize("NFKC", text) for text in texts]
    matches = [match for text in plain if (match := _NUMBERED.match(text.strip()))]
    if not matches:
        return Order("")
    parts = np.array([(int(match["a"]), int(match["b"]), int(match["y"])) for match in matches], np.int64)
    digits = np.array([len(match["y"]) for match in matches])
    possible = {order: _possible(parts, digits, order) for order in _YEARS}
    dates = np.flatnonzero(sum(fits.astype(int) for fits in possible.values()))  # others are none in whatever order
    if not dates.size:
        return Order("dmy")
    matches, parts = [matches[place] for place in dates], parts[dates]
    possible = {order: fits[dates] for order, fits in possible.items()}
    left: list[DateOrder] = [order for order in _YEARS if possible[order].all()]
    if len(left) == 1:
        return Order(left[0], matches[_deciding(possible, left[0])].string, "above_12")
    doubtful = [match for match, several in zip(matches, _differ(parts, left), strict=True) if several] if left else []
    if left and all(match[2] == "." for match in doubtful):
        return Order("dmy" if "dmy" in left else left[0], why="points")
    one_year = [order for order in left if len(np.unique(parts[:, _YEARS[order]])) == 1]
    kept = [order for order in left if order in one_year or len(np.unique(parts[:, _YEARS[order]])) < _YEARS_APART]
    if len(kept) == 1:
        return Order(kept[0], doubtful[0].string, "year")
    monthly = [order for order in kept if _is_monthly(parts, order)]
    if len(monthly) == 1:
        return Order(monthly[0], doubtful[0].string, "months")
    running = [order for order in kept if _in_order(_days(parts, order))]
    if len(running) == 1:
        return Order(running[0], doubtful[0].string, "rows")
    first = doubtful[0].string if left else matches[0].string
    if line is not None:
        at = next(number for number, text in enumerate(plain) if text.strip() == first)
        place = message("log.at_line", place=place, line=line(at))
    raise InputError(
        message("grow.cannot_told", place=place),
        found=first if left else _contradiction(matches, possible),
        allowed=message("grow.dmy_mdy"),
        hint=message("grow.say_date"),
    )


def _possible(parts: npt.NDArray[np.int64], digits: npt.NDArray[np.int64], order: DateOrder) -> npt.NDArray[np.bool_]:
    """Return which dates may be written in an order; `digits` are those of the last part: four are a year, and one is none."""
    month = parts[:, _MONTHS[order]]
    day = parts[:, 3 - _MONTHS[order] - _YEARS[order]]
    return np.asarray(
        (month >= 1) & (month <= 12) & (day >= 1) & (day <= 31) & ((digits < 4) if order == "ymd" else (digits > 1))
    )


def _differ(parts: npt.NDArray[np.int64], orders: Sequence[DateOrder]) -> npt.NDArray[np.bool_]:
    """Return which dates are another day in each order: 3/3/2010 is not."""
    days = [_days(parts, order) for order in orders]
    return np.asarray(np.any([one != days[0] for one in days], axis=0))


def _deciding(possible: dict[DateOrder, npt.NDArray[np.bool_]], chosen: DateOrder) -> int:
    """Return a date that rules out most of the other orders."""
    others = sum((~fits).astype(int) for order, fits in possible.items() if order != chosen)
    return int(np.argmax(others))


def _contradiction(matches: Sequence[re.Match[str]], possible: dict[DateOrder, npt.NDArray[np.bool_]]) -> Message | str:
    """Return two dates that are not written in one order."""
    first = next((match.string for match, fits in zip(matches, possible["dmy"], strict=True) if not fits), "")
    second = next((match.string for match, fits in zip(matches, possible["mdy"], strict=True) if not fits), "")
    return message("log.note.two_orders", first=first, second=second) if first != second else first


def _days(parts: npt.NDArray[np.int64], order: DateOrder) -> npt.NDArray[np.int64]:
    """Return numbers that follow one another as the days do."""
    year = parts[:, _YEARS[order]] % 100
    year = np.where(year >= 69, year, year + 100)
    return np.asarray(year * 400 + parts[:, _MONTHS[order]] * 32 + parts[:, 3 - _MONTHS[order] - _YEARS[order]])


def _is_monthly(parts: npt.NDArray[np.int64], order: DateOrder) -> bool:
    """Return whether dates are one day of many months, over years: else all would lie in the first twelve days of one month of each."""
    day, month = parts[:, 3 - _MONTHS[order] - _YEARS[order]], parts[:, _MONTHS[order]]
    years = np.unique(parts[:, _YEARS[order]])
    return len(np.unique(day)) == 1 and len(np.unique(month)) >= _FEWEST and len(years) > 1


def _in_order(days: npt.NDArray[np.int64]) -> bool:
    steps = np.diff(days)
    return len(np.unique(days)) >= _FEWEST and (bool((steps >= 0).all()) or bool((steps <= 0).all()))
