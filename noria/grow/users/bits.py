"""Each user's active periods as the bits of whole numbers: one pass over a log, and all that growth and first-time retention need.

    for cell in cells(log, "week"):     # how many of the cohort of week 2920 were active in week 2925, and in the week before too
        cell.first, cell.period, cell.active, cell.stayed

A log's acts are grouped by user once, and come out as one row a user, a bit for every period with an act. No act is sorted, and
no user-period is a row of its own until few are left. A log of more than `WORDS * BITS` periods is counted from its steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import ibis

from noria.grow.log.log import Log
from noria.grow.log.times import day_number
from noria.grow.log.user_days import keep, user_days

from .periods import Period, looked_up, number_of, period_of, user_periods

BITS = 62
"""Periods in one whole number: the sign stays free, and so does the place that a shift by one fills."""
WORDS = 4
"""The most whole numbers a user."""


@dataclass(frozen=True)
class Cell:
    """The users of one cohort, and of one segment, who were active in one period."""

    by: tuple[str, ...]
    first: int
    """The period in which they came."""
    period: int
    active: int
    stayed: int
    """Those of them who were active in the period before, too."""


def user_bits(log: Log, unit: Period, by: Sequence[str] = ()) -> ibis.Table | None:
    """Return a row for each user, and each of the columns `by`: `user`, and `word0`, `word1` ... whose bit 0 is the log's first
    period of all, or of the word; None where the log has too many periods.

    `user` is a name, or a number where the log is already folded into user-days.

    Raises:
        SettingError: the log has no such column.
    """
    if _words(log, unit) > WORDS:
        return None
    return keep(log, " by ".join([f"{unit} bits", *by]), lambda: _folded(log, unit, by))


def _words(log: Log, unit: Period) -> int:
    calendar = log.calendar
    return (number_of(log.as_of, unit, calendar) - number_of(log.first, unit, calendar)) // BITS + 1


def _folded(log: Log, unit: Period, by: Sequence[str]) -> ibis.Table:
    calendar = log.calendar
    if by or "days" in log.kept or looked_up(unit, calendar):
        days = user_days(log, by)
        acts = days.select("user", *by, period=period_of(days.day, unit, calendar))
    else:
        acts = log.table.select(user="user", period=period_of(day_number(log.table.time, calendar), unit, calendar))
    first, words = number_of(log.first, unit, calendar), {}
    for number in range(_words(log, unit)):
        place = (acts.period - (first + number * BITS)).cast("int32")
        bit = ibis.literal(1, "int8").cast("int64") << place  # cast, or an engine takes it for a number of 8 or 32 bits
        here = place.between(0, BITS - 1)
        words[f"word{number}"] = (here.ifelse(bit, 0) if _words(log, unit) > 1 else bit).bit_or()
    return acts.group_by("user", *by).aggregate(**words)


def cells(log: Log, unit: Period, by: Sequence[str] = ()) -> list[Cell]:
    """Return how many users of each cohort were active in each period, by the columns `by`; a cell without users is left out.

    Raises:
        SettingError: the log has no such column.
    """
    name = " by ".join([f"{unit} cells", *by])
    if name not in log.kept:
        bits = user_bits(log, unit, by)
        counts = _of_steps(log, unit, by) if bits is None else _of_bits(log, unit, bits, by)
        log.kept[name] = [
            Cell(tuple(row[name] for name in by), row["first"], row["period"], int(row["active"]), int(row["stayed"]))
            for row in counts
        ]
    found: list[Cell] = log.kept[name]
    return found


def _of_steps(log: Log, unit: Period, by: Sequence[str]) -> list[dict[str, Any]]:
    steps = user_periods(log, unit, by)
    counts = steps.group_by("first", "period", *by).aggregate(
        active=steps.count(), stayed=(steps.before == steps.period - 1).ifelse(1, 0).sum()
    )
    rows: list[dict[str, Any]] = counts.to_pyarrow().to_pylist()
    return rows


def _of_bits(log: Log, unit: Period, bits: ibis.Table, by: Sequence[str]) -> list[dict[str, Any]]:
    calendar = log.calendar
    start = number_of(log.first, unit, calendar)
    rows: list[dict[str, Any]] = (
        _counted(bits, by, number_of(log.as_of, unit, calendar) - start + 1).to_pyarrow().to_pylist()
    )
    for row in rows:
        row["first"] = start + row["low_word"] * BITS + int(row["low_bit"]).bit_length() - 1
        row["period"] = start + row["word"] * BITS + row["at"]
    return rows


def _counted(bits: ibis.Table, by: Sequence[str], periods: int) -> ibis.Table:
    """Count a bit at a time. A cohort is told by the word and the bit of its first period."""
    words = [bits[name] for name in bits.columns if name.startswith("word")]
    low_word: Any = ibis.cases(*[(word != 0, number) for number, word in enumerate(words)], else_=0)
    low: Any = ibis.cases(*[(word != 0, word & -word) for word in words], else_=0)
    parts = []
    for number, word in enumerate(words):
        before = word << 1
        if number:
            before = before | (words[number - 1] >> (BITS - 1))
        told = bits.select(
            *by, low_word=low_word.cast("int32"), low_bit=low.cast("int64"), here=word, stay=word & before
        )
        each = ibis.range(min(BITS, periods - number * BITS)).unnest().name("at").as_table()
        spread = told.cross_join(each.select(at=each["at"].cast("int32")))
        there = spread.filter(((spread.here >> spread["at"]) & 1) == 1)
        counts = there.group_by("low_word", "low_bit", "at", *by).aggregate(
            active=there.count(), stayed=((there.stay >> there["at"]) & 1).sum()
        )
        parts.append(counts.mutate(word=ibis.literal(number, "int32")))
    return reduce(lambda one, other: one.union(other), parts)
