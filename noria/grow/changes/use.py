"""What each user of a log did in the last week, the week before, and the one before that: what changes of use are told by.

    found = use_of_events(events("runs/lake"), calendar, last=date(2026, 11, 29))
    compare(found.measures)

Weeks are seven whole days, the last one that is over among them, so that every weekday stands in each: a day beside the day before would
tell the weekday. A log of less than two weeks is told by what it holds, and not compared.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import ibis
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from noria.grow.log.log import Log
from noria.grow.log.times import day_number
from noria.grow.log.user_days import user_days
from noria.grow.log.zones import LocalCalendar, day_of
from noria.lake.event import microseconds

from .compared import Floats, PerUser, share_of

DAYS = 7
"""Days of a week."""
AGES = 3
"""Weeks that are looked at."""
SHARES: dict[str, tuple[str, str]] = {
    # share -> what is counted, of what
    "handed_over": ("handed", "support"),
    "refused": ("refused", "requests"),
    "failed": ("failed", "requests"),
    "judged_wrong": ("wrong", "judged"),
    "click_through": ("clicked", "shown"),
}
TOTALS: dict[str, str] = {"requests": "requests", "conversions": "bought"}


@dataclass(frozen=True)
class Use:
    """What users did."""

    first: date
    """First day with any use, of the calendar."""
    last: date
    """Last day that is compared."""
    measures: Mapping[str, PerUser]
    """The last week beside the one before; empty where the log has no two weeks."""
    levels: Mapping[str, tuple[float, float, float, int, int]]
    """Share -> its value, low and high (95 %), of how many, and users: over all of a log that is too short to compare."""
    users: int
    acts: int
    """Users and acts of the time that is told of: both weeks, or all of a log that is too short to compare."""
    simulated: float = 0.0
    """Part of those acts that is made up."""

    @property
    def whole(self) -> bool:
        """Return whether there are two weeks to compare."""
        return two_weeks(self.first, self.last)


def day_before(now: datetime, calendar: LocalCalendar) -> date:
    """Return the last day that is over."""
    return date(1970, 1, 1) + timedelta(days=calendar.day(microseconds(now)) - 1)


def two_weeks(first: date, last: date) -> bool:
    """Return whether two whole weeks end with a day."""
    return (last - first).days + 1 >= 2 * DAYS


def use_of_events(
    events: ibis.Table, calendar: LocalCalendar, last: date, simulated: Collection[str] = ()
) -> Use | None:
    """Return the use in a lake's events up to a day; None where there is none.

    Args:
        events: what `noria.grow.log.lake.events` returned.
        calendar: what days are counted by.
        last: the last day that is over.
        simulated: tenants whose use is made up.
    """
    dated = events.mutate(day=day_number(events.time, calendar))
    ends = dated.aggregate(first=dated.day.min(), last=dated.day.max()).to_pyarrow().to_pylist()[0]
    if ends["first"] is None:
        return None
    first = date(1970, 1, 1) + timedelta(days=int(ends["first"]))
    whole = two_weeks(first, last)
    age = (day_of(last) - dated.day) // DAYS if whole else ibis.literal(0)
    request = dated.kind == "request"
    judged = (dated.kind == "feedback") & dated.value.notnull()
    conditions = {
        "requests": request,
        "refused": request & (dated.outcome == "refused"),
        "failed": request & (dated.outcome == "failed"),
        "support": request & (dated.app == "support"),
        "handed": dated.kind == "handover",
        "judged": judged,
        "wrong": judged & (dated.value < 0),
        "shown": dated.kind == "impression",
        "clicked": dated.kind == "click",
        "bought": dated.kind == "conversion",
    }
    dated = dated.mutate(age=age, **{name: one.cast("int64") for name, one in conditions.items()})
    if whole:
        dated = dated.filter((dated.age >= 0) & (dated.age < AGES) & (dated.day <= day_of(last)))
    grouped = dated.group_by(["tenant", "user", "age"]).aggregate(**{name: dated[name].sum() for name in conditions})
    table = grouped.to_pyarrow()
    names = pc.binary_join_element_wise(table["tenant"], table["user"], "/")
    counts = _by_user(table, names, tuple(conditions))
    # Use that names no user is that of its key: it varies by chance as one, and is nobody's habit.
    counts["named"] = counts["requests"] * _named(names)
    told = slice(0, 2) if whole else slice(0, 1)
    acts = counts["requests"][told].sum()
    made_up = 0.0
    if simulated:
        theirs = np.isin(np.asarray(table["tenant"].to_pylist(), dtype=object), list(simulated))
        recent = np.asarray(table["age"]) < told.stop
        made_up = float(np.asarray(table["requests"])[theirs & recent].sum() / max(acts, 1))
    users = int((counts["named"][told].sum(0) > 0).sum())
    return Use(
        first, last, _measures(counts) if whole else {}, {} if whole else _levels(counts), users, int(acts), made_up
    )


def use_of_log(log: Log, last: date | None = None) -> Use:
    """Return the use in any log, up to the last day that it covers or the one given."""
    last = min(log.as_of, last or log.as_of)
    days = user_days(log)
    whole = two_weeks(log.first, last)
    aged = days.mutate(age=(day_of(last) - days.day) // DAYS if whole else ibis.literal(0))
    if whole:
        aged = aged.filter((aged.age >= 0) & (aged.age < AGES) & (aged.day <= day_of(last)))
    table = aged.group_by(["user", "age"]).aggregate(acts=aged.acts.sum()).to_pyarrow()
    counts = _by_user(table, table["user"], ("acts",))
    told = slice(0, 2) if whole else slice(0, 1)
    shown = counts["acts"][told]
    measures = _active(counts["acts"]) | {"acts": PerUser(counts["acts"][1], counts["acts"][0])} if whole else {}
    return Use(log.first, last, measures, {}, int((shown.sum(0) > 0).sum()), int(shown.sum()))


def _by_user(table: pa.Table, names: pa.ChunkedArray | pa.Array, columns: tuple[str, ...]) -> dict[str, Floats]:
    """Return each column as (ages, users)."""
    coded = _coded(names)
    users, ages = np.asarray(coded.indices), np.asarray(table["age"]).astype(np.int64)
    counts = {}
    for name in columns:
        counts[name] = np.zeros((AGES, len(coded.dictionary)))
        np.add.at(counts[name], (ages, users), np.asarray(table[name]).astype(np.float64))
    return counts


def _coded(names: pa.ChunkedArray | pa.Array) -> pa.DictionaryArray:
    whole = names.combine_chunks() if isinstance(names, pa.ChunkedArray) else names
    return whole.dictionary_encode()


def _named(names: pa.ChunkedArray | pa.Array) -> Floats:
    """Return which of the users in the order of `_by_user` has a name, as 0.0 or 1.0."""
    return np.asarray([not name.endswith("/") for name in _coded(names).dictionary.to_pylist()], dtype=np.float64)


def _active(acts: Floats) -> dict[str, PerUser]:
    """Return who is active, and who of a week came back in the next."""
    active = (acts > 0).astype(np.float64)
    back = PerUser(active[1] * active[2], active[0] * active[1], active[2], active[1])
    return {"active_users": PerUser(active[1], active[0]), "came_back": back}


def _measures(counts: Mapping[str, Floats]) -> dict[str, PerUser]:
    found = _active(counts["named"])
    found |= {name: PerUser(counts[part][1], counts[part][0]) for name, part in TOTALS.items()}
    for name, (part, of) in SHARES.items():
        size = counts[of]
        counted = np.minimum(counts[part], size)  # of an answer that was shown in the week before
        found[name] = PerUser(counted[1], counted[0], size[1], size[0])
    return found


def _levels(counts: Mapping[str, Floats]) -> dict[str, tuple[float, float, float, int, int]]:
    found = {}
    for name, (part, of) in SHARES.items():
        size = counts[of][0]
        if level := share_of(np.minimum(counts[part][0], size), size):
            found[name] = (*level, int(size.sum()), int((size > 0).sum()))
    return found
