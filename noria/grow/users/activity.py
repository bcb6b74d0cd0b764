"""Active users by day, week and month, and growth accounting that adds up to the last user.

    accounting = growth(log, "week")
    accounting.rows[3].active == rows[2].active + rows[3].new + rows[3].resurrected - rows[3].churned   # always

Days, weeks, months and years are those of the log's calendar. A user is new in the period of their first act in the whole log, whenever that act arrived in
it: a late or backfilled event changes the period it happened in, and never makes everyone new in the period it came.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np

from noria.core.figure import Figure
from noria.core.messages import message
from noria.core.progress import stage
from noria.grow.log.log import Log
from noria.grow.log.user_days import user_days

from .bits import cells
from .periods import PERIODS, Period, check_period, first_day, name_of_period, number_of, period_of

__all__ = ["PERIODS", "Growth", "GrowthRow", "Period", "check_period", "first_day", "growth", "number_of", "stickiness"]

ROLLED = " · "
"""Stands between the names of a segment within a segment."""


@dataclass(frozen=True)
class GrowthRow:
    """One period of growth accounting; all values are users."""

    period: str
    """First day of the period, YYYY-MM-DD."""
    segment: str
    """"" over all segments."""
    before: int
    """Active in the period before."""
    active: int
    new: int
    """Active for the first time ever."""
    resurrected: int
    """Active before, not in the period before, and back."""
    churned: int
    """Active in the period before, and not in this one."""
    complete: bool = True
    """The log covers the whole period."""
    depth: int = 0
    """How many columns the segment is told by: 0 for all users."""
    name: str = ""
    """What the period is called: 2026-W05, 2026-Q1, FY2025/26 P03; its first day where it has no name."""

    @property
    def retained(self) -> int:
        """Users active in this period and in the one before."""
        return self.active - self.new - self.resurrected

    @property
    def quick_ratio(self) -> float | None:
        """(new + resurrected) / churned; None where no one churned."""
        return (self.new + self.resurrected) / self.churned if self.churned else None

    def as_dict(self) -> dict[str, Any]:
        """Return a JSON-able dict."""
        return {**asdict(self), "retained": self.retained, "quick_ratio": self.quick_ratio}


@dataclass(frozen=True)
class Growth:
    """Growth accounting of one log, a row for every period even where no one was active."""

    unit: Period
    rows: tuple[GrowthRow, ...]
    source: str
    by: tuple[str, ...] = ()
    """The columns of the rollup."""

    def segment(self, name: str = "") -> tuple[GrowthRow, ...]:
        """Return the rows of one segment; of all users together where no name is given."""
        return tuple(row for row in self.rows if row.segment == name)

    def segments(self) -> list[str]:
        """Return the names of the segments, the ones with most users over all periods first."""
        active: dict[str, int] = {}
        for row in self.rows:
            if row.depth:
                active[row.segment] = active.get(row.segment, 0) + row.active
        return sorted(active, key=lambda name: (-active[name], name))

    def defects(self) -> list[str]:
        """Return every period in which active is not active before + new + resurrected - churned. There are none."""
        found = []
        for name in dict.fromkeys(row.segment for row in self.rows):
            rows = self.segment(name)
            for earlier, row in zip((None, *rows), rows, strict=False):
                sums = row.active == row.before + row.new + row.resurrected - row.churned and row.retained >= 0
                if not sums or (earlier and row.before != earlier.active):
                    found.append(
                        f"{row.period} {row.segment}: {row.active} is not {row.before} + {row.new} + "
                        f"{row.resurrected} - {row.churned}"
                    )
        return found


@stage(message("progress.growth"))
def growth(log: Log, unit: Period = "week", *, by: str | Sequence[str] = (), since: date | None = None) -> Growth:
    """Return the growth accounting of a log, over all users and, where asked for, within segments.

    Args:
        log: the activity.
        unit: day, week, month, quarter or year.
        by: a column, or several as a rollup: ("app", "model") also accounts within each app, and within each model of each
            app. A user of two segments counts in both, and once in all users together: segments do not add up to the whole.
        since: leave out the periods before this day. Who was active earlier is still known not to be new.

    Raises:
        SettingError: the log has no such column.
    """
    columns = (by,) if isinstance(by, str) else tuple(by)
    rows = [row for depth in range(len(columns) + 1) for row in _account(log, unit, columns[:depth])]
    calendar = log.calendar
    if since is not None:
        rows = [
            row
            for row in rows
            if date.fromisoformat(row.period) >= first_day(number_of(since, unit, calendar), unit, calendar)
        ]
    return Growth(unit, tuple(rows), log.source, columns)


def _account(log: Log, unit: Period, by: Sequence[str]) -> list[GrowthRow]:
    active: dict[tuple[tuple[str, ...], int], int] = defaultdict(int)
    new, stayed = defaultdict(int, active), defaultdict(int, active)
    for cell in cells(log, unit, by):
        place = cell.by, cell.period
        active[place] += cell.active
        stayed[place] += cell.stayed
        new[place] += cell.active if cell.first == cell.period else 0
    calendar = log.calendar
    first, last = number_of(log.first, unit, calendar), number_of(log.as_of, unit, calendar)
    rows, names = [], {number: name_of_period(number, unit, calendar) for number in range(first, last + 1)}
    for name in sorted({segment for segment, _ in active}):
        before = 0
        for number in range(first, last + 1):
            place = name, number
            back = active[place] - new[place] - stayed[place]
            whole = log.as_of >= first_day(number + 1, unit, calendar) - timedelta(days=1) and (
                number > first or log.first == first_day(number, unit, calendar)
            )
            rows.append(
                GrowthRow(
                    first_day(number, unit, calendar).isoformat(),
                    ROLLED.join(name),
                    before,
                    active[place],
                    new[place],
                    back,
                    before - stayed[place],
                    whole,
                    len(name),
                    names[number],
                )
            )
            before = active[place]
    return rows


def stickiness(log: Log) -> list[Figure]:
    """Return, for each whole month, the mean of daily over monthly active users, with its interval.

    DAU/MAU is the mean over the month's users of the part of its days on which each was active, so its interval is
    that of a mean over users.
    """
    days = user_days(log)
    days = days.mutate(month=period_of(days.day, "month", log.calendar))
    each = days.group_by("user", "month").aggregate(active=days.count().cast("int64"))
    found = (
        each.group_by("month")
        .aggregate(
            users=each.count(),
            total=each.active.sum().cast("int64"),
            squares=(each.active * each.active).sum().cast("int64"),
        )
        .order_by("month")
        .to_pyarrow()
        .to_pylist()
    )
    figures = []
    for row in found:
        first = first_day(row["month"], "month", log.calendar)
        length = (first_day(row["month"] + 1, "month", log.calendar) - first).days
        if first < log.first or log.as_of < first + timedelta(days=length - 1):
            continue
        users = row["users"]
        mean = row["total"] / users
        spread = float(np.sqrt(max(row["squares"] / users - mean**2, 0.0) / users))
        figures.append(
            Figure(
                f"DAU/MAU {name_of_period(row['month'], 'month', log.calendar)}",
                mean / length,
                users,
                max(mean - 1.96 * spread, 0.0) / length,
                (mean + 1.96 * spread) / length,
                source=log.source,
            )
        )
    return figures
