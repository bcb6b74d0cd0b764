"""Retention: of those who came in one period, how many came back later. Triangle and curve, with intervals.

    triangle = retention(log, "month")
    triangle.counts["1997-01-01"]     # [7,846, 1,157, ...]: the cohort, then those of it active 1, 2, ... periods later
    triangle.curve()[3]               # pooled over the cohorts old enough, with its Wilson interval

`first`: a cohort is the users whose first period it is. `recurring`: a cohort is everyone active in the period, so a
user belongs to as many cohorts as they have active periods. `bracketed`: as `first`, and active in any period of a
bracket, such as 2 to 3 periods later. `rolling`: as `first`, and active so many periods later or at any time after.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any, Literal

import ibis

from noria.core.errors import SettingError
from noria.core.figure import Figure, proportion
from noria.core.messages import message
from noria.core.progress import stage
from noria.grow.log.log import Log

from .bits import cells
from .periods import Period, first_day, last_whole, name_of_period, number_of, user_periods

Kind = Literal["first", "recurring", "bracketed", "rolling"]
KINDS: tuple[Kind, ...] = ("first", "recurring", "bracketed", "rolling")
Bracket = tuple[int, int]
"""First and last age of a bracket, both included."""
BRACKETS: tuple[Bracket, ...] = tuple((2**power, 2 ** (power + 1) - 1) for power in range(10))
"""1, 2-3, 4-7, 8-15 ... periods later: about as many come back in each, where interest fades as a power of time."""


@dataclass(frozen=True)
class Retention:
    """A triangle of counts."""

    unit: Period
    kind: Kind
    counts: dict[str, list[int]]
    """First day of the cohort's period -> users active 0, 1, 2 ... periods later, as far as the log covers; of bracketed
    retention the cohort, then those active in each bracket."""
    source: str
    brackets: tuple[Bracket, ...] = ()
    """What the columns after the first stand for, where they are brackets."""
    names: tuple[str, ...] = ()
    """What the cohorts' periods are called, in the order of `counts`."""

    def age(self, column: int) -> str:
        """Return the age that a column stands for: "3", in brackets "4-7", at a rolling age "3+"."""
        if self.brackets and column:
            low, high = self.brackets[column - 1]
            return str(low) if low == high else f"{low}-{high}"
        return f"{column}+" if self.kind == "rolling" else str(column)

    def curve(self, level: float = 0.95) -> list[Figure]:
        """Return the share of users active k periods later, k = 0, 1, ..., pooled over the cohorts observed so long.

        Each point pools fewer cohorts than the one before. Interval: Wilson (1927). A recurring cohort's users are in other
        cohorts too, so that its pooled interval is too narrow, and says so.
        """
        note = "user-periods: interval too narrow" if self.kind == "recurring" else ""
        figures = []
        for column in range(max((len(row) for row in self.counts.values()), default=0)):
            rows = [row for row in self.counts.values() if len(row) > column]
            users, back = sum(row[0] for row in rows), sum(row[column] for row in rows)
            if users:
                figures.append(
                    proportion(
                        message(f"figures.age.{self.unit}", age=self.age(column)),
                        back,
                        users,
                        level=level,
                        source=self.source,
                        note=note,
                    )
                )
        return figures

    def cell(self, cohort: str, column: int, level: float = 0.95) -> Figure:
        """Return one cell of the triangle with its Wilson interval; within a cohort every user counts once.

        Raises:
            SettingError: the triangle has no such cell.
        """
        row = self.counts.get(cohort, [])
        if not 0 <= column < len(row):
            raise SettingError(
                message("grow.such_cell"),
                found=f"{cohort}, {column}",
                allowed=message("grow.cohort_age"),
            )
        return proportion(
            f"{cohort}, {self.unit} {self.age(column)}", row[column], row[0], level=level, source=self.source
        )


@stage(message("progress.retention"))
def retention(
    log: Log, unit: Period = "week", kind: Kind = "first", *, brackets: Sequence[Bracket] = BRACKETS
) -> Retention:
    """Return the retention triangle of a log. Only periods that the log covers whole are shown as ages.

    Args:
        log: the activity.
        unit: day, week, month, quarter or year.
        kind: one of `KINDS`.
        brackets: ages of bracketed retention, in periods, from 1 on; one is shown where the log covers it whole.

    Raises:
        SettingError: `kind` is not known, or the brackets are none.
    """
    if kind not in KINDS:
        raise SettingError(message("grow.unknown_kind_retention"), found=kind, allowed=KINDS)
    ends = [0, *(age for bracket in brackets for age in bracket)]
    if any(low > high or (at % 2 == 0 and low == high) for at, (low, high) in enumerate(pairwise(ends))):
        raise SettingError(
            message("grow.brackets_ages"),
            found=", ".join(f"{low}-{high}" for low, high in brackets),
            allowed=message("grow.first_last"),
        )
    calendar = log.calendar
    first, last = number_of(log.first, unit, calendar), last_whole(log, unit)
    counts = {number: [0] * (last - number + 1) for number in range(first, last + 1)}
    if kind == "first":
        for cell in cells(log, unit):
            if cell.period <= last:
                counts[cell.first][cell.period - cell.first] = cell.active
    elif kind == "bracketed":
        counts = _bracketed(_steps(log, unit, last), counts, brackets, last)
    else:
        steps = _steps(log, unit, last)
        for cohort, age, users in _rows(_recurring(steps) if kind == "recurring" else _rolling(steps)):
            counts[cohort][age] = users
        if kind == "rolling":
            counts = {number: list(accumulate(reversed(row)))[::-1] for number, row in counts.items()}
    used = tuple(brackets)[: max(map(len, counts.values()), default=1) - 1] if kind == "bracketed" else ()
    days = {first_day(number, unit, calendar).isoformat(): row for number, row in counts.items()}
    names = tuple(name_of_period(number, unit, calendar) for number in counts)
    return Retention(unit, kind, days, log.source, used, names)


def _steps(log: Log, unit: Period, last: int) -> ibis.Table:
    steps = user_periods(log, unit)
    return steps.filter(steps.period <= last)


def _rolling(steps: ibis.Table) -> ibis.Table:
    """Count the users of each cohort by the age at which they were last active."""
    ends = steps.group_by("user", "first").aggregate(latest=steps.period.max())
    return ends.group_by(cohort=ends["first"], age=ends.latest - ends["first"]).aggregate(users=ends.count())


def _recurring(steps: ibis.Table) -> ibis.Table:
    active = steps.select("user", "period")
    cohorts = steps.select(user=steps.user, cohort=steps.period)
    later = cohorts.join(active, "user").select("cohort", "period")
    later = later.filter(later.period >= later.cohort)
    return later.group_by(cohort=later.cohort, age=later.period - later.cohort).aggregate(users=later.count())


def _bracketed(
    steps: ibis.Table, counts: dict[int, list[int]], brackets: Sequence[Bracket], last: int
) -> dict[int, list[int]]:
    age = steps.period - steps["first"]
    place: Any = ibis.cases(
        (age == 0, 0), *[(age.between(low, high), at + 1) for at, (low, high) in enumerate(brackets)], else_=-1
    )
    there = steps.select("user", cohort=steps["first"], age=place.cast("int32")).distinct()
    there = there.filter(there.age >= 0)
    filled = {
        number: [0] * (1 + sum(number + high <= last for _, high in brackets)) for number in counts
    }  # a bracket that the log cuts short would show too few
    for cohort, column, users in _rows(there.group_by("cohort", "age").aggregate(users=there.count())):
        if column < len(filled[cohort]):
            filled[cohort][column] = users
    return filled


def _rows(cells: ibis.Table) -> list[tuple[int, int, int]]:
    return [(int(row["cohort"]), int(row["age"]), int(row["users"])) for row in cells.to_pyarrow().to_pylist()]
