"""Retention: of those who came in one period, how many came back later. Triangle and curve, with intervals.

    triangle = retention(log, "month")
    triangle.counts["1997-01-01"]     # [7,846, 1,155, ...]: the cohort, then those of it active 1, 2, ... periods later
    triangle.curve()[3]               # pooled over the cohorts old enough, with its Wilson interval

`first`: a cohort is the users whose first period it is. `recurring`: a cohort is everyone active in the period, so a
user belongs to as many cohorts as they have active periods.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from noria.core.errors import SettingError
from noria.core.figure import Figure, proportion

from ..log import Log
from .activity import Period, first_day, number_of, user_periods

Kind = Literal["first", "recurring"]
KINDS: tuple[Kind, ...] = ("first", "recurring")


@dataclass(frozen=True)
class Retention:
    """A triangle of counts."""

    unit: Period
    kind: Kind
    counts: dict[str, list[int]]
    """First day of the cohort's period -> users active 0, 1, 2 ... periods later, as far as the log covers."""
    source: str

    def curve(self, level: float = 0.95) -> list[Figure]:
        """Return the share of users active k periods later, k = 0, 1, ..., pooled over the cohorts observed so long.

        Each point pools fewer cohorts than the one before. Interval: Wilson (1927).
        """
        figures = []
        for age in range(max((len(row) for row in self.counts.values()), default=0)):
            rows = [row for row in self.counts.values() if len(row) > age]
            users, back = sum(row[0] for row in rows), sum(row[age] for row in rows)
            if users:
                figures.append(proportion(f"{self.unit} {age}", back, users, level=level, source=self.source))
        return figures


def retention(log: Log, unit: Period = "week", kind: Kind = "first") -> Retention:
    """Return the retention triangle of a log. Only periods that the log covers whole are shown as ages.

    Raises:
        SettingError: `kind` is not known.
    """
    if kind not in KINDS:
        raise SettingError("unknown kind of retention", found=kind, allowed=KINDS)
    active = user_periods(log, unit)
    if kind == "first":
        cohorts = active.group_by("user").aggregate(cohort=active.period.min())
    else:
        cohorts = active.select(user=active.user, cohort=active.period)
    later = cohorts.join(active, "user")
    later = later.filter(later.period >= later.cohort)
    later = later.mutate(age=later.period - later.cohort)
    found = later.group_by("cohort", "age").aggregate(users=later.count()).to_pyarrow().to_pylist()
    first = number_of(log.first, unit)
    last = number_of(log.as_of + timedelta(days=1), unit) - 1  # the last period that the log covers to its end
    counts = {number: [0] * (last - number + 1) for number in range(first, last + 1)}
    for row in found:
        if row["cohort"] + row["age"] <= last:
            counts[row["cohort"]][row["age"]] = row["users"]
    return Retention(
        unit, kind, {first_day(number, unit).isoformat(): row for number, row in counts.items()}, log.source
    )
