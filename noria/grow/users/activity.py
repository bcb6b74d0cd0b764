"""Active users by day, week and month, and growth accounting that adds up to the last user.

    accounting = growth(log, "week")
    accounting.rows[3].active == rows[2].active + rows[3].new + rows[3].resurrected - rows[3].churned   # always

Weeks begin on Monday. A user is new in the period of their first act in the whole log, whenever that act arrived in
it: a late or backfilled event changes the period it happened in, and never makes everyone new in the period it came.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from typing import Any, Literal

import ibis
import numpy as np

from noria.core.errors import SettingError
from noria.core.figure import Figure

from ..log import Log

Period = Literal["day", "week", "month"]
PERIODS: tuple[Period, ...] = ("day", "week", "month")
NO_SEGMENT = "(none)"
"""The segment of acts that name none, where "" stands for all users together."""
_MONDAY = date(1969, 12, 29)  # the Monday of the week in which 1970 began


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

    def segment(self, name: str = "") -> tuple[GrowthRow, ...]:
        """Return the rows of one segment; of all users together where no name is given."""
        return tuple(row for row in self.rows if row.segment == name)

    def defects(self) -> list[str]:
        """Return every period in which active is not active before + new + resurrected - churned. There are none."""
        found = []
        for name in dict.fromkeys(row.segment for row in self.rows):
            rows = self.segment(name)
            for earlier, row in zip((None, *rows), rows, strict=False):
                sums = row.active == row.before + row.new + row.resurrected - row.churned and row.retained >= 0
                if not sums or (earlier and row.before != earlier.active):
                    found.append(f"{row.period} {row.segment}: {row.active} is not {row.before} + {row.new} + "
                                 f"{row.resurrected} - {row.churned}")  # fmt: skip
        return found


def period_number(time: Any, unit: Period) -> Any:
    """Return the ibis expression that numbers the period a time falls in, counted from 1970."""
    days = time.date().epoch_days()
    if unit == "day":
        return days
    if unit == "week":
        return ((days + 3) / 7).floor().cast("int32")
    return (time.year() * 12 + time.month() - 1 - 1970 * 12).cast("int32")


def number_of(day: date, unit: Period) -> int:
    """Return the number of the period that a day falls in."""
    days = (day - date(1970, 1, 1)).days
    return days if unit == "day" else (days + 3) // 7 if unit == "week" else (day.year - 1970) * 12 + day.month - 1


def first_day(number: int, unit: Period) -> date:
    """Return the first day of a period."""
    if unit == "day":
        return date(1970, 1, 1) + timedelta(days=number)
    if unit == "week":
        return _MONDAY + timedelta(weeks=number)
    return date(1970 + number // 12, number % 12 + 1, 1)


def check_period(unit: str) -> Period:
    """Return `unit` if it is a period.

    Raises:
        SettingError: it is not.
    """
    for known in PERIODS:
        if unit == known:
            return known
    raise SettingError("unknown period", found=unit, allowed=PERIODS)


def user_periods(log: Log, unit: Period, *, by_segment: bool = False) -> ibis.Table:
    """Return each user's active periods once: `user`, `period` (a number) and, where asked for, `segment`."""
    table = log.table.mutate(
        period=period_number(log.table.time, unit),
        segment=(log.table.segment == "").ifelse(NO_SEGMENT, log.table.segment),
    )
    return table.select("user", "period", *(["segment"] if by_segment else [])).distinct()


def growth(log: Log, unit: Period = "week", *, by_segment: bool = False, since: date | None = None) -> Growth:
    """Return the growth accounting of a log, over all users and, where asked for, within each segment.

    Args:
        log: the activity.
        unit: day, week or month.
        by_segment: also account within each segment. A user of two segments counts in both, and once in all users
            together, so segments do not add up to the whole.
        since: leave out the periods before this day. Who was active earlier is still known not to be new.
    """
    rows = _account(log, unit, ("",), None)
    if by_segment:
        rows += _account(log, unit, None, "segment")
    if since is not None:
        rows = [row for row in rows if date.fromisoformat(row.period) >= first_day(number_of(since, unit), unit)]
    return Growth(unit, tuple(rows), log.source)


def _account(log: Log, unit: Period, segments: Sequence[str] | None, by: str | None) -> list[GrowthRow]:
    keys = ["segment"] if by else []
    active = user_periods(log, unit, by_segment=bool(by))
    window = ibis.window(group_by=["user", *keys], order_by="period")
    steps = active.mutate(before=active.period.lag().over(window), after=active.period.lead().over(window))
    counts = steps.group_by("period", *keys).aggregate(
        active=steps.count(),
        new=steps.before.isnull().sum(),
        resurrected=(steps.before < steps.period - 1).fill_null(False).sum(),
        leaving=(steps.after.isnull() | (steps.after > steps.period + 1)).sum(),
    )
    found = counts.to_pyarrow().to_pylist()
    first, last = number_of(log.first, unit), number_of(log.as_of, unit)
    names = segments if segments is not None else sorted({row["segment"] for row in found})
    place = {(row.get("segment", ""), row["period"]): row for row in found}
    rows = []
    for name in names:
        before = leaving = 0
        for number in range(first, last + 1):
            row = place.get((name, number), {"active": 0, "new": 0, "resurrected": 0, "leaving": 0})
            whole = log.as_of >= first_day(number + 1, unit) - timedelta(days=1) and (
                number > first or log.first == first_day(number, unit)
            )
            rows.append(GrowthRow(first_day(number, unit).isoformat(), name, before, row["active"], row["new"],
                                  row["resurrected"], leaving, whole))  # fmt: skip
            before, leaving = row["active"], row["leaving"]
    return rows


def stickiness(log: Log) -> list[Figure]:
    """Return, for each whole month, the mean of daily over monthly active users, with its interval.

    DAU/MAU is the mean over the month's users of the part of its days on which each was active, so its interval is
    that of a mean over users.
    """
    days = log.table.select(user=log.table.user, day=log.table.time.date()).distinct()
    days = days.mutate(month=period_number(days.day.cast("timestamp"), "month"))
    each = days.group_by("user", "month").aggregate(active=days.count())
    found = each.group_by("month").aggregate(
        users=each.count(), total=each.active.sum(), squares=(each.active * each.active).sum()
    ).order_by("month").to_pyarrow().to_pylist()  # fmt: skip
    figures = []
    for row in found:
        first = first_day(row["month"], "month")
        length = (first_day(row["month"] + 1, "month") - first).days
        if first < log.first or log.as_of < first + timedelta(days=length - 1):
            continue
        users = row["users"]
        mean = row["total"] / users
        spread = float(np.sqrt(max(row["squares"] / users - mean**2, 0.0) / users))
        figures.append(Figure(f"DAU/MAU {first:%Y-%m}", mean / length, users, max(mean - 1.96 * spread, 0.0) / length,
                              (mean + 1.96 * spread) / length, source=log.source))  # fmt: skip
    return figures
