"""What a recommender showed, week by week: how much of the catalogue, and how much oftener its picks were opened than what chance put there.

    for week in shown_by_week(events("runs/lake"), calendar, last):
        week.begins, week.items, week.lift

Places that chance filled are the control group, drawn by lot: so the difference is what the ranking brings. It is compared within users
(`within`), and its intervals hold for all weeks together (Bonferroni). A click counts in the week of its showing or not at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta

import ibis

from noria.core.errors import InputError
from noria.core.figure import Figure
from noria.grow.changes.compared import LEAST_USERS, corrected
from noria.grow.changes.use import DAYS
from noria.grow.log.times import day_number
from noria.grow.log.zones import LocalCalendar, day_of

from .within import within_events

WEEKS = 8
"""Weeks that are looked at, at most."""
CHANCE, TASTE = "chance", "taste"
"""Segments of showings: what chance put in its place, and what the ranking did."""


@dataclass(frozen=True)
class Week:
    """Seven days of showings, whole or, of the last one, as far as they have gone."""

    begins: date
    shown: int
    items: int
    """Different items among them."""
    users: int
    lift: Figure | None
    """Rate of clicks on what the ranking placed, less that on what chance did; None where too few users saw both."""


def shown_by_week(table: ibis.Table, calendar: LocalCalendar, last: date, app: str = "recommend") -> list[Week]:
    """Return the last weeks in which anything was shown, the earliest first.

    Args:
        table: what `noria.grow.log.lake.events` returned.
        calendar: what days are counted by.
        last: the last day of the last week.
        app: the application that shows.
    """
    mine = table.filter((table.app == app) & table.kind.isin(["impression", "click"]))
    dated = mine.mutate(age=(day_of(last) - day_number(mine.time, calendar)) // DAYS)
    dated = dated.filter((dated.age >= 0) & (dated.age < WEEKS))
    shown = dated.filter(dated.kind == "impression")
    counted = shown.group_by("age").aggregate(
        n=shown.count(), items=shown.subject.nunique(), users=shown.user.nunique()
    )
    rows = {int(row["age"]): row for row in counted.to_pyarrow().to_pylist()}
    return [
        Week(
            last - timedelta(days=DAYS * (age + 1) - 1),
            int(row["n"]),
            int(row["items"]),
            int(row["users"]),
            _lift(dated.filter(dated.age == age).drop("age"), corrected(len(rows))),
        )
        for age, row in sorted(rows.items(), reverse=True)
    ]


def _lift(table: ibis.Table, level: float) -> Figure | None:
    judged = table.filter((table.kind == "click") | table.segment.isin([CHANCE, TASTE]))
    try:
        found = within_events(judged, control=CHANCE, level=level)
    except InputError:
        return None
    gap = found.differences[0]
    if min(rate.n for rate in found.rates) < LEAST_USERS:
        return None
    return Figure("lift", gap.value, gap.n, gap.low, gap.high, source=found.source, level=level)


def coverage(weeks: list[Week], offered: int) -> Mapping[date, float]:
    """Return the part of the items on offer that each week showed; of a catalogue that shrank since, all of it at most."""
    return {week.begins: min(1.0, week.items / offered) if offered else 0.0 for week in weeks}
